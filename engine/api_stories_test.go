package engine

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
)

// newAdminRig is a rig whose cores have the first image, and a connection to the last.
func newAdminRig(t *testing.T, cores int, journals ...int) (*rig, int32) {
	r := newRig(t, cores, journals...)
	img := r.quorum.Image()
	for _, c := range r.cores {
		c.inbox.Post(func(c *Core) { c.install(img) })
	}
	return r, r.connect(cores - 1)
}

// Every request in every version that ApiVersions names is answered, if only with an
// error, in a form that kmsg reads.
func TestEveryVersionIsAnswered(t *testing.T) {
	for _, shape := range [][2]int{{1, 1}, {2, 2}, {3, 1}} {
		r, fd := newAdminRig(t, shape[0], shape[1])
		r.create("t", 3)
		for k := range protocol.Key(protocol.KeyCount) {
			if apis[k].serve == nil {
				continue
			}
			v := protocol.VersionsOf(k)
			for version := v.Min; version <= v.Max; version++ {
				req := kmsg.RequestForKey(int16(k))
				req.SetVersion(version)
				if p, ok := req.(*kmsg.ProduceRequest); ok {
					p.Acks = 1
				}
				r.ask(fd, req)
				if r.ends[fd].shut {
					t.Fatalf("%v v%d: connection closed", k, version)
				}
			}
		}
	}
}

func createRequest(names ...string) *kmsg.CreateTopicsRequest {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version = 7
	for _, n := range names {
		rt := kmsg.NewCreateTopicsRequestTopic()
		rt.Topic, rt.NumPartitions, rt.ReplicationFactor = n, 3, 1
		req.Topics = append(req.Topics, rt)
	}
	return req
}

// Create, see, grow, delete: each step is visible to every core when it is answered.
func TestTopicsFromBirthToDeath(t *testing.T) {
	for cores := 1; cores <= 3; cores++ {
		r, last := newAdminRig(t, cores)
		fds := []int32{last}
		for i := range cores {
			fds = append(fds, r.connect(i))
		}
		made := r.ask(fds[0], createRequest("a", "b", "a", "b c")).(*kmsg.CreateTopicsResponse)
		codes := map[string]protocol.Code{}
		for _, rt := range made.Topics {
			codes[rt.Topic] = protocol.Code(rt.ErrorCode)
			if rt.Topic == "b" && (rt.NumPartitions != 3 || rt.ReplicationFactor != 1 || len(rt.Configs) < 30) {
				t.Errorf("b: %+v", rt)
			}
		}
		if len(codes) != 3 || codes["a"] != protocol.InvalidRequest || codes["b"] != protocol.None ||
			codes["b c"] != protocol.InvalidTopicException {
			t.Fatalf("%v", codes)
		}
		check := func(step string, want int) {
			t.Helper()
			for _, fd := range fds {
				if n := r.partitionsOf(fd, "b"); n != want {
					t.Fatalf("cores %d, %s: %d partitions, want %d", cores, step, n, want)
				}
			}
		}
		check("created", 3)
		grow := kmsg.NewPtrCreatePartitionsRequest()
		grow.Version = 3
		gt := kmsg.NewCreatePartitionsRequestTopic()
		gt.Topic, gt.Count = "b", 5
		grow.Topics = append(grow.Topics, gt)
		grow.ValidateOnly = true
		r.ask(fds[0], grow)
		check("grown only in thought", 3)
		grow.ValidateOnly = false
		r.ask(fds[0], grow)
		check("grown", 5)
		for part := range int32(5) {
			if resp := r.ask(fds[cores], produceRequest("b", part, records(2, "v"))).(*kmsg.ProduceResponse); resp.Topics[0].Partitions[0].ErrorCode != 0 {
				t.Fatalf("produce to partition %d: %+v", part, resp.Topics[0].Partitions[0])
			}
		}
		del := kmsg.NewPtrDeleteTopicsRequest()
		del.Version = 6
		dt := kmsg.NewDeleteTopicsRequestTopic()
		dt.Topic = kmsg.StringPtr("b")
		del.Topics = append(del.Topics, dt)
		if resp := r.ask(fds[0], del).(*kmsg.DeleteTopicsResponse); resp.Topics[0].ErrorCode != 0 {
			t.Fatalf("%+v", resp.Topics[0])
		}
		check("deleted", -int(protocol.UnknownTopicOrPartition))
	}
}

// partitionsOf asks for a topic without creating it; a negative number is an error.
func (r *rig) partitionsOf(fd int32, name string) int {
	req := kmsg.NewPtrMetadataRequest()
	req.Version = 12
	mt := kmsg.NewMetadataRequestTopic()
	mt.Topic = &name
	req.Topics = append(req.Topics, mt)
	rt := r.ask(fd, req).(*kmsg.MetadataResponse).Topics[0]
	if rt.ErrorCode != 0 {
		return -int(rt.ErrorCode)
	}
	return len(rt.Partitions)
}

func TestMetadataCreatesTopics(t *testing.T) {
	r, fd := newAdminRig(t, 2)
	for _, c := range []struct {
		version int16
		may     bool
		want    protocol.Code
	}{{12, false, protocol.UnknownTopicOrPartition}, {12, true, protocol.None}, {3, false, protocol.None}} {
		req := kmsg.NewPtrMetadataRequest()
		req.Version, req.AllowAutoTopicCreation = c.version, c.may
		mt := kmsg.NewMetadataRequestTopic()
		mt.Topic = kmsg.StringPtr(fmt.Sprintf("new%d%v", c.version, c.may))
		req.Topics = append(req.Topics, mt)
		resp := r.ask(fd, req).(*kmsg.MetadataResponse)
		if rt := resp.Topics[0]; protocol.Code(rt.ErrorCode) != c.want || c.want == protocol.None && len(rt.Partitions) != 1 {
			t.Errorf("%+v: %+v", c, rt)
		}
		if len(resp.Brokers) != 1 || resp.Brokers[0].Host != "broker" || resp.Brokers[0].Port != 9092 {
			t.Errorf("brokers %+v", resp.Brokers)
		}
	}
	all := kmsg.NewPtrMetadataRequest()
	all.Version, all.Topics = 12, nil
	var names []string
	for _, rt := range r.ask(fd, all).(*kmsg.MetadataResponse).Topics {
		names = append(names, *rt.Topic)
	}
	if !slices.Equal(names, []string{"new12true", "new3false"}) {
		t.Errorf("%v", names)
	}
}

func (r *rig) listOffset(fd int32, topic string, part int32, ts int64) kmsg.ListOffsetsResponseTopicPartition {
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version, req.ReplicaID = 11, -1
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewListOffsetsRequestTopicPartition()
	rp.Partition, rp.Timestamp, rp.CurrentLeaderEpoch = part, ts, -1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return r.ask(fd, req).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
}

func TestOffsetsAndDeleteRecords(t *testing.T) {
	const born = 1_700_000_000_000 // of records()
	for cores := 1; cores <= 3; cores++ {
		r, fd := newAdminRig(t, cores)
		r.create("t", 4)
		part := int32(cores)
		r.ask(fd, produceRequest("t", part, records(4, "v")))
		r.ask(fd, produceRequest("t", part, records(4, "v")))
		del := func(offset int64) kmsg.DeleteRecordsResponseTopicPartition {
			req := kmsg.NewPtrDeleteRecordsRequest()
			req.Version = 2
			rt := kmsg.NewDeleteRecordsRequestTopic()
			rt.Topic = "t"
			rp := kmsg.NewDeleteRecordsRequestTopicPartition()
			rp.Partition, rp.Offset = part, offset
			rt.Partitions = append(rt.Partitions, rp)
			req.Topics = append(req.Topics, rt)
			return r.ask(fd, req).(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0]
		}
		expect := func(ts, offset int64, code protocol.Code) {
			t.Helper()
			if got := r.listOffset(fd, "t", part, ts); got.Offset != offset || protocol.Code(got.ErrorCode) != code {
				t.Errorf("cores %d, at %d: %+v, want %d", cores, ts, got, offset)
			}
		}
		expect(tsLatest, 8, 0)
		expect(tsEarliest, 0, 0)
		expect(tsMax, 0, 0)
		expect(born, 0, 0)
		expect(born+1, -1, 0)
		expect(tsLatestTiered, -1, 0)
		expect(-7, -1, protocol.UnsupportedVersion)
		if got := del(9); protocol.Code(got.ErrorCode) != protocol.OffsetOutOfRange {
			t.Errorf("above: %+v", got)
		}
		if got := del(4); got.ErrorCode != 0 || got.LowWatermark != 4 {
			t.Errorf("%+v", got)
		}
		expect(tsEarliest, 4, 0)
		if got := del(2); got.ErrorCode != 0 || got.LowWatermark != 4 {
			t.Errorf("below: %+v", got)
		}
		if got := del(-1); got.ErrorCode != 0 || got.LowWatermark != 8 {
			t.Errorf("all: %+v", got)
		}
		expect(tsEarliest, 8, 0)
		if p := onePart(t, r.ask(fd, fetchRequest("t", part, 3, 0))); protocol.Code(p.ErrorCode) != protocol.OffsetOutOfRange {
			t.Errorf("deleted records are read: %+v", p)
		}
		if got := r.listOffset(fd, "t", 99, tsLatest); protocol.Code(got.ErrorCode) != protocol.UnknownTopicOrPartition {
			t.Errorf("%+v", got)
		}
	}
}

func TestConfigsReachTheLog(t *testing.T) {
	r, fd := newAdminRig(t, 2)
	r.create("t", 2)
	alter := func(name, value string, validate bool) kmsg.IncrementalAlterConfigsResponseResource {
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		req.Version, req.ValidateOnly = 1, validate
		rr := kmsg.NewIncrementalAlterConfigsRequestResource()
		rr.ResourceType, rr.ResourceName = kmsg.ConfigResourceTypeTopic, "t"
		rc := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		rc.Name, rc.Value = name, &value
		rr.Configs = append(rr.Configs, rc)
		req.Resources = append(req.Resources, rr)
		return r.ask(fd, req).(*kmsg.IncrementalAlterConfigsResponse).Resources[0]
	}
	shown := func(name string) string {
		req := kmsg.NewPtrDescribeConfigsRequest()
		req.Version = 4
		rr := kmsg.NewDescribeConfigsRequestResource()
		rr.ResourceType, rr.ResourceName, rr.ConfigNames = kmsg.ConfigResourceTypeTopic, "t", []string{name}
		req.Resources = append(req.Resources, rr)
		c := r.ask(fd, req).(*kmsg.DescribeConfigsResponse).Resources[0].Configs
		if len(c) != 1 || c[0].Value == nil {
			return "?"
		}
		return *c[0].Value
	}
	big := records(1, string(make([]byte, 5000)))
	produce := func() protocol.Code {
		resp := r.ask(fd, produceRequest("t", 1, big)).(*kmsg.ProduceResponse)
		return protocol.Code(resp.Topics[0].Partitions[0].ErrorCode)
	}
	if code := produce(); code != protocol.None {
		t.Fatal(code)
	}
	if res := alter("max.message.bytes", "1000", true); res.ErrorCode != 0 || shown("max.message.bytes") != "1048588" {
		t.Errorf("a validation changed something: %+v", res)
	}
	if res := alter("max.message.bytes", "1000", false); res.ErrorCode != 0 || shown("max.message.bytes") != "1000" {
		t.Errorf("%+v", res)
	}
	if code := produce(); code != protocol.MessageTooLarge {
		t.Errorf("the log does not know: %v", code)
	}
	for _, c := range []struct {
		name, value string
		want        protocol.Code
	}{{"nope", "1", protocol.InvalidConfig}, {"retention.ms", "x", protocol.InvalidConfig}} {
		if res := alter(c.name, c.value, false); protocol.Code(res.ErrorCode) != c.want {
			t.Errorf("%s=%s: %+v", c.name, c.value, res)
		}
	}
}

// Producer ids are never given twice, also across cores and blocks.
func TestProducerIDsAreUnique(t *testing.T) {
	r := newRig(t, 2)
	seen := map[int64]bool{}
	for i := range 2 {
		fd := r.connect(i)
		for range producerBlock + 10 {
			req := kmsg.NewPtrInitProducerIDRequest()
			req.Version, req.ProducerID, req.ProducerEpoch = 5, -1, -1
			resp := r.ask(fd, req).(*kmsg.InitProducerIDResponse)
			if resp.ErrorCode != 0 || resp.ProducerEpoch != 0 || seen[resp.ProducerID] {
				t.Fatalf("%+v", resp)
			}
			seen[resp.ProducerID] = true
		}
		req := kmsg.NewPtrInitProducerIDRequest()
		req.Version, req.TransactionalID = 5, kmsg.StringPtr("tx")
		req.ProducerID, req.ProducerEpoch = -1, -1
		code := protocol.Code(r.ask(fd, req).(*kmsg.InitProducerIDResponse).ErrorCode)
		if code == protocol.None || code.Retriable() {
			t.Errorf("transactional: %v", code)
		}
	}
}

func TestUnknownApiVersionsAnswersInVersion0(t *testing.T) {
	r, fd := newAdminRig(t, 1)
	// ApiVersions v99: header 2, correlation 42, client "c", no tags, any body.
	r.write(fd, []byte{0, 0, 0, 12, 0, 18, 0, 99, 0, 0, 0, 42, 0, 1, 'c', 0})
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version = 0
	resp := r.answer(fd, req).(*kmsg.ApiVersionsResponse)
	if protocol.Code(resp.ErrorCode) != protocol.UnsupportedVersion || len(resp.ApiKeys) != 1 || resp.ApiKeys[0].ApiKey != 18 {
		t.Errorf("%+v", resp)
	}
	if r.ends[fd].shut {
		t.Error("connection closed")
	}
}

func TestProducersAndEpochsAreDescribed(t *testing.T) {
	r, fd := newAdminRig(t, 2)
	r.create("t", 2)
	r.ask(fd, produceRequest("t", 1, records(3, "v")))
	dp := kmsg.NewPtrDescribeProducersRequest()
	pt := kmsg.NewDescribeProducersRequestTopic()
	pt.Topic, pt.Partitions = "t", []int32{1, 7}
	dp.Topics = append(dp.Topics, pt)
	got := r.ask(fd, dp).(*kmsg.DescribeProducersResponse).Topics[0].Partitions
	if got[0].ErrorCode != 0 || len(got[0].ActiveProducers) != 0 || protocol.Code(got[1].ErrorCode) != protocol.UnknownTopicOrPartition {
		t.Errorf("%+v", got)
	}
	oe := kmsg.NewPtrOffsetForLeaderEpochRequest()
	oe.Version, oe.ReplicaID = 4, -1
	ot := kmsg.NewOffsetForLeaderEpochRequestTopic()
	ot.Topic = "t"
	for _, e := range [][2]int32{{-1, 0}, {-1, 5}, {4, 0}} {
		op := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		op.Partition, op.CurrentLeaderEpoch, op.LeaderEpoch = 1, e[0], e[1]
		ot.Partitions = append(ot.Partitions, op)
	}
	oe.Topics = append(oe.Topics, ot)
	ends := r.ask(fd, oe).(*kmsg.OffsetForLeaderEpochResponse).Topics[0].Partitions
	if ends[0].EndOffset != 3 || ends[0].LeaderEpoch != 0 || ends[1].EndOffset != -1 ||
		protocol.Code(ends[2].ErrorCode) != protocol.UnknownLeaderEpoch {
		t.Errorf("%+v", ends)
	}
	ld := kmsg.NewPtrDescribeLogDirsRequest()
	ld.Version = 4
	dir := r.ask(fd, ld).(*kmsg.DescribeLogDirsResponse).Dirs[0]
	if len(dir.Topics) != 1 || len(dir.Topics[0].Partitions) != 2 || dir.Topics[0].Partitions[1].Size == 0 {
		t.Errorf("%+v", dir)
	}
}
