package hot

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
	"millrace/protocol/internal/randmsg"
)

func text(p *string) []byte {
	if p == nil {
		return nil
	}
	return []byte(*p)
}

func same(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }

// truncations holds that no part of a body parses, whatever is missing.
func truncations(t *testing.T, body []byte, r *rand.Rand, parse func([]byte) error) {
	t.Helper()
	for range 8 {
		if cut := r.IntN(len(body) + 1); cut < len(body) && parse(body[:cut]) == nil {
			t.Fatalf("%d of %d bytes parse", cut, len(body))
		}
	}
}

func TestProduceRequestIsKmsgs(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var q ProduceRequest
	for version := int16(3); version <= 13; version++ {
		for range 200 {
			var want kmsg.ProduceRequest
			randmsg.Fill(r, &want)
			want.SetVersion(version)
			body := want.AppendTo(nil)
			if err := q.Parse(version, body); err != nil {
				t.Fatalf("v%d: %v", version, err)
			}
			checkProduce(t, &q, &want)
			q.Rewind()
			checkProduce(t, &q, &want)
			truncations(t, body, r, func(b []byte) error { return new(ProduceRequest).Parse(version, b) })
		}
	}
}

func checkProduce(t *testing.T, q *ProduceRequest, want *kmsg.ProduceRequest) {
	t.Helper()
	version := want.GetVersion()
	if !same(q.TransactionalID, text(want.TransactionID)) || q.Acks != want.Acks ||
		q.TimeoutMillis != want.TimeoutMillis || q.Topics != len(want.Topics) {
		t.Fatalf("v%d: head %+v", version, q)
	}
	partitions, records := 0, 0
	for _, topic := range want.Topics {
		if !q.NextTopic() {
			t.Fatalf("v%d: too few topics", version)
		}
		if version >= 13 && q.Topic.ID != topic.TopicID || version < 13 && string(q.Topic.Name) != topic.Topic ||
			q.Topic.Partitions != len(topic.Partitions) {
			t.Fatalf("v%d: topic %+v, want %+v", version, q.Topic, topic)
		}
		for _, p := range topic.Partitions {
			if !q.NextPartition() || q.Partition.Index != p.Partition || !same(q.Partition.Records, p.Records) {
				t.Fatalf("v%d: partition %+v, want %+v", version, q.Partition, p)
			}
			partitions++
			records += len(p.Records)
		}
		if q.NextPartition() {
			t.Fatalf("v%d: too many partitions", version)
		}
	}
	if q.NextTopic() || q.Partitions != partitions || q.Records != records {
		t.Fatalf("v%d: %d partitions, %d bytes", version, q.Partitions, q.Records)
	}
}

// A caller may leave partitions out and still gets the right topics.
func TestNextTopicLeavesPartitionsOut(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 1))
	for version := int16(3); version <= 13; version++ {
		var want kmsg.ProduceRequest
		randmsg.Fill(r, &want)
		want.SetVersion(version)
		var q ProduceRequest
		if err := q.Parse(version, want.AppendTo(nil)); err != nil {
			t.Fatal(err)
		}
		for i := 0; q.NextTopic(); i++ {
			topic := want.Topics[i]
			if version < 13 && string(q.Topic.Name) != topic.Topic || version >= 13 && q.Topic.ID != topic.TopicID {
				t.Fatalf("v%d: topic %d is %q", version, i, q.Topic.Name)
			}
			if i%2 == 0 {
				q.NextPartition()
			}
		}
	}
}

func TestFetchRequestIsKmsgs(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	var q FetchRequest
	for version := int16(4); version <= 18; version++ {
		for range 200 {
			want := kmsg.NewFetchRequest()
			randmsg.Fill(r, &want)
			want.SetVersion(version)
			want.IsolationLevel = int8(r.IntN(2))
			body := want.AppendTo(nil)
			if err := q.Parse(version, body); err != nil {
				t.Fatalf("v%d: %v", version, err)
			}
			// What the version has not comes back as kmsg's defaults.
			back := kmsg.NewFetchRequest()
			back.SetVersion(version)
			if err := back.ReadFrom(body); err != nil {
				t.Fatal(err)
			}
			forgetLaterTags(&back)
			checkFetch(t, &q, &back)
			q.Rewind()
			checkFetch(t, &q, &back)
			truncations(t, body, r, func(b []byte) error { return new(FetchRequest).Parse(version, b) })
		}
	}
}

// forgetLaterTags resets what kmsg writes and reads as tags in versions that have not
// these tags: there they are unknown ones, and left out.
func forgetLaterTags(q *kmsg.FetchRequest) {
	fresh := kmsg.NewFetchRequestTopicPartition()
	for i := range q.Topics {
		for j := range q.Topics[i].Partitions {
			p := &q.Topics[i].Partitions[j]
			if q.Version < 17 {
				p.ReplicaDirectoryID = fresh.ReplicaDirectoryID
			}
			if q.Version < 18 {
				p.HighWatermark = fresh.HighWatermark
			}
		}
	}
}

func checkFetch(t *testing.T, q *FetchRequest, want *kmsg.FetchRequest) {
	t.Helper()
	version := want.GetVersion()
	replica, replicaEpoch := want.ReplicaID, int64(-1)
	if version >= 15 {
		replica, replicaEpoch = want.ReplicaState.ID, want.ReplicaState.Epoch
	}
	if !same(q.ClusterID, text(want.ClusterID)) || q.ReplicaID != replica || q.ReplicaEpoch != replicaEpoch ||
		q.MaxWaitMillis != want.MaxWaitMillis || q.MinBytes != want.MinBytes || q.MaxBytes != want.MaxBytes ||
		q.ReadCommitted != (want.IsolationLevel == 1) || q.SessionID != want.SessionID ||
		q.SessionEpoch != want.SessionEpoch || string(q.RackID) != want.Rack {
		t.Fatalf("v%d: head %+v, want %+v", version, q, want)
	}
	for _, topic := range want.Topics {
		if !q.NextTopic() || string(q.Topic.Name) != topic.Topic || q.Topic.ID != topic.TopicID {
			t.Fatalf("v%d: topic %+v", version, q.Topic)
		}
		for _, p := range topic.Partitions {
			if !q.NextPartition() {
				t.Fatalf("v%d: too few partitions", version)
			}
			have := FetchPartition{Index: p.Partition, CurrentLeaderEpoch: p.CurrentLeaderEpoch,
				FetchOffset: p.FetchOffset, LastFetchedEpoch: p.LastFetchedEpoch, LogStart: p.LogStartOffset,
				MaxBytes: p.PartitionMaxBytes, Directory: p.ReplicaDirectoryID, HighWatermark: p.HighWatermark}
			if q.Partition != have {
				t.Fatalf("v%d: partition %+v, want %+v", version, q.Partition, have)
			}
		}
	}
	if q.NextTopic() {
		t.Fatalf("v%d: too many topics", version)
	}
	for _, topic := range want.ForgottenTopics {
		if !q.NextForgotten() || string(q.ForgottenTopic.Name) != topic.Topic || q.ForgottenTopic.ID != topic.TopicID {
			t.Fatalf("v%d: forgotten %+v", version, q.ForgottenTopic)
		}
		for _, p := range topic.Partitions {
			if !q.NextForgottenPartition() || q.ForgottenPartition != p {
				t.Fatalf("v%d: forgotten partition %d, want %d", version, q.ForgottenPartition, p)
			}
		}
	}
	if q.NextForgotten() {
		t.Fatalf("v%d: too many forgotten topics", version)
	}
}

func TestVersionsBeyondAreRefused(t *testing.T) {
	for _, version := range []int16{-1, 0, 2, 14, math.MaxInt16} {
		if new(ProduceRequest).Parse(version, make([]byte, 100)) == nil {
			t.Errorf("Produce v%d parses", version)
		}
	}
	for _, version := range []int16{-1, 0, 3, 19, math.MaxInt16} {
		if new(FetchRequest).Parse(version, make([]byte, 100)) == nil {
			t.Errorf("Fetch v%d parses", version)
		}
	}
}

func TestHeader(t *testing.T) {
	id := "the-client"
	for _, c := range []struct {
		key     kmsg.Request
		version int16
	}{{kmsg.NewPtrProduceRequest(), 8}, {kmsg.NewPtrProduceRequest(), 9}, {kmsg.NewPtrApiVersionsRequest(), 3},
		{kmsg.NewPtrFetchRequest(), 18}, {kmsg.NewPtrSASLHandshakeRequest(), 1}} {
		for _, client := range []*string{&id, nil} {
			var opts []kmsg.RequestFormatterOpt
			if client != nil {
				opts = append(opts, kmsg.FormatterClientID(*client))
			}
			c.key.SetVersion(c.version)
			frame := kmsg.NewRequestFormatter(opts...).AppendRequest(nil, c.key, 99)[4:]
			var h Header
			body, err := h.Parse(frame)
			if err != nil || int16(h.Key) != c.key.Key() || h.Version != c.version || h.Correlation != 99 ||
				!same(h.ClientID, text(client)) || !bytes.Equal(body, c.key.AppendTo(nil)) {
				t.Errorf("%d v%d: %+v %v", c.key.Key(), c.version, h, err)
			}
			for cut := range len(frame) - len(body) {
				if _, err := h.Parse(frame[:cut]); err == nil {
					t.Errorf("%d bytes of a header parse", cut)
				}
			}
		}
	}
	// Tags of a flexible header are left out, whatever they are.
	frame := []byte{0, 3, 0, 12, 0, 0, 0, 7, 0, 1, 'c', 2, 5, 1, 'x', 9, 0, 42}
	var h Header
	if body, err := h.Parse(frame); err != nil || string(h.ClientID) != "c" || !bytes.Equal(body, []byte{42}) {
		t.Errorf("%+v %v %v", h, body, err)
	}
}

func TestLyingCountsAreRefused(t *testing.T) {
	head := []byte{0xff, 0xff, 0, 1, 0, 0, 0, 0} // no transactional id, acks, timeout
	for _, n := range []uint32{0xffffffff, 0x80000000, 0x7fffffff, maxElements + 1, 20} {
		body := binary.BigEndian.AppendUint32(bytes.Clone(head), n)
		if new(ProduceRequest).Parse(3, append(body, make([]byte, 100)...)) == nil {
			t.Errorf("%d topics parse", int32(n))
		}
	}
	tags := []byte{0, 0, 1, 0, 0, 0, 0, 1} // no id, acks, timeout, no topics
	tags = binary.AppendUvarint(tags, maxTags+1)
	if new(ProduceRequest).Parse(9, append(tags, make([]byte, 4*maxTags)...)) == nil {
		t.Error("too many tags parse")
	}
}

func FuzzProduceRequest(f *testing.F) {
	r := rand.New(rand.NewPCG(4, 1))
	for version := int16(3); version <= 13; version++ {
		var q kmsg.ProduceRequest
		randmsg.Fill(r, &q)
		q.SetVersion(version)
		f.Add(version, q.AppendTo(nil))
	}
	var q ProduceRequest
	f.Fuzz(func(t *testing.T, version int16, body []byte) {
		if q.Parse(version, body) != nil {
			return
		}
		topics, partitions, records := 0, 0, 0
		for ; q.NextTopic(); topics++ {
			for ; q.NextPartition(); partitions++ {
				records += len(q.Partition.Records)
			}
		}
		if q.r.bad || topics != q.Topics || partitions != q.Partitions || records != q.Records || records > len(body) {
			t.Fatalf("I1: %+v", q)
		}
	})
}

func FuzzFetchRequest(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 1))
	for version := int16(4); version <= 18; version++ {
		var q kmsg.FetchRequest
		randmsg.Fill(r, &q)
		q.IsolationLevel = 0
		q.SetVersion(version)
		f.Add(version, q.AppendTo(nil))
	}
	var q FetchRequest
	f.Fuzz(func(t *testing.T, version int16, body []byte) {
		if q.Parse(version, body) != nil {
			return
		}
		topics, partitions, forgotten := 0, 0, 0
		for ; q.NextTopic(); topics++ {
			for ; q.NextPartition(); partitions++ {
			}
		}
		for ; q.NextForgotten(); forgotten++ {
			for q.NextForgottenPartition() {
			}
		}
		if q.r.bad || q.f.bad || topics != q.Topics || partitions != q.Partitions || forgotten != q.Forgotten {
			t.Fatalf("I1: %+v", q)
		}
	})
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte{0, 3, 0, 12, 0, 0, 0, 7, 0, 1, 'c', 2, 5, 1, 'x', 9, 0, 42})
	f.Add([]byte{0, 18, 0, 3, 0, 0, 0, 7, 0xff, 0xff, 0})
	f.Fuzz(func(t *testing.T, frame []byte) {
		var h Header
		if body, err := h.Parse(frame); err == nil && len(body) > len(frame)-10 {
			t.Fatalf("%d of %d bytes are the body", len(body), len(frame))
		}
	})
}

func TestNoAllocation(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 1))
	var produce kmsg.ProduceRequest
	var fetch kmsg.FetchRequest
	for len(produce.Topics) == 0 || len(fetch.Topics) == 0 || len(fetch.ForgottenTopics) == 0 {
		randmsg.Fill(r, &produce)
		randmsg.Fill(r, &fetch)
	}
	fetch.IsolationLevel = 1
	produce.SetVersion(13)
	fetch.SetVersion(18)
	pb, fb := produce.AppendTo(nil), fetch.AppendTo(nil)
	out := make([]byte, 0, 64<<10)
	nodes := []Endpoint{{ID: 1, Host: "host", Port: 9092, Rack: "r"}}
	if n := testing.AllocsPerRun(100, func() {
		var p ProduceRequest
		var q FetchRequest
		if p.Parse(13, pb) != nil || q.Parse(18, fb) != nil || p.Parse(13, pb[:3]) == nil {
			t.Error("parse")
		}
		var w ProduceWriter
		w.Begin(out, 13, 1, p.Topics)
		for p.NextTopic() {
			w.Topic(p.Topic.Name, p.Topic.ID, p.Topic.Partitions)
			for p.NextPartition() {
				w.Partition(&ProduceResult{Index: p.Partition.Index, Leader: Leader{true, 1, 2}})
			}
		}
		w.End(0, nodes)
		var f FetchWriter
		f.Begin(out, 18, 1, 0, 0, 7, q.Topics)
		for q.NextTopic() {
			f.Topic(q.Topic.Name, q.Topic.ID, q.Topic.Partitions)
			for q.NextPartition() {
				f.Partition(&FetchResult{Index: q.Partition.Index, Records: 100})
			}
		}
		f.End(nodes)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkProduceRoundTrip(b *testing.B) {
	req := kmsg.ProduceRequest{Acks: -1, Topics: []kmsg.ProduceRequestTopic{{Topic: "orders",
		Partitions: []kmsg.ProduceRequestTopicPartition{{Records: make([]byte, 300)}}}}}
	req.SetVersion(9)
	body := req.AppendTo(nil)
	out := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		var q ProduceRequest
		if q.Parse(9, body) != nil {
			b.Fatal()
		}
		var w ProduceWriter
		w.Begin(out, 9, 1, q.Topics)
		for q.NextTopic() {
			w.Topic(q.Topic.Name, protocol.TopicID{}, q.Topic.Partitions)
			for q.NextPartition() {
				w.Partition(&ProduceResult{Index: q.Partition.Index, AppendMillis: -1})
			}
		}
		w.End(0, nil)
	}
}
