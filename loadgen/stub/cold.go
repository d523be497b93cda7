package stub

import (
	"encoding/binary"

	"millrace/protocol"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Greatest versions of the requests that are served.
const (
	maxProduce = 12
	maxFetch   = 12
)

var served = []kmsg.ApiVersionsResponseApiKey{
	{ApiKey: int16(protocol.Produce), MinVersion: 3, MaxVersion: maxProduce},
	{ApiKey: int16(protocol.Fetch), MinVersion: 4, MaxVersion: maxFetch},
	{ApiKey: int16(protocol.ListOffsets), MinVersion: 1, MaxVersion: 7},
	{ApiKey: int16(protocol.Metadata), MinVersion: 1, MaxVersion: 12},
	{ApiKey: int16(protocol.ApiVersions), MinVersion: 0, MaxVersion: 3},
	{ApiKey: int16(protocol.CreateTopics), MinVersion: 2, MaxVersion: 6},
	{ApiKey: int16(protocol.DeleteTopics), MinVersion: 1, MaxVersion: 5},
	{ApiKey: int16(protocol.InitProducerId), MinVersion: 0, MaxVersion: 4},
}

func version(key, v int16) bool {
	for _, k := range served {
		if k.ApiKey == key {
			return v >= k.MinVersion && v <= k.MaxVersion
		}
	}
	return false
}

// cold answers the requests that come seldom.
func (x *session) cold(body []byte) bool {
	key, v := int16(x.header.Key), x.header.Version
	if x.header.Key == protocol.ApiVersions && !version(key, v) {
		return x.answer(x.versions(35), 0)
	}
	if !version(key, v) {
		return false
	}
	req, err := protocol.Decode(x.header.Key, v, body)
	if err != nil {
		return false
	}
	var resp kmsg.Response
	switch q := req.(type) {
	case *kmsg.ApiVersionsRequest:
		resp = x.versions(0)
	case *kmsg.MetadataRequest:
		resp = x.metadata(q)
	case *kmsg.ListOffsetsRequest:
		resp = x.offsets(q)
	case *kmsg.CreateTopicsRequest:
		resp = x.create(q)
	case *kmsg.DeleteTopicsRequest:
		resp = x.remove(q)
	case *kmsg.InitProducerIDRequest:
		p := kmsg.NewPtrInitProducerIDResponse()
		p.ProducerID = 1 + x.n.stub.requests.Load()
		resp = p
	default:
		return false
	}
	return x.answer(resp, v)
}

func (x *session) answer(resp kmsg.Response, v int16) bool {
	resp.SetVersion(v)
	at := len(x.out)
	x.out = append(x.out, 0, 0, 0, 0)
	x.out = binary.BigEndian.AppendUint32(x.out, uint32(x.header.Correlation))
	if resp.IsFlexible() && resp.Key() != int16(protocol.ApiVersions) {
		x.out = append(x.out, 0)
	}
	x.out = resp.AppendTo(x.out)
	binary.BigEndian.PutUint32(x.out[at:], uint32(len(x.out)-at-4))
	return true
}

func (x *session) versions(code int16) kmsg.Response {
	r := kmsg.NewPtrApiVersionsResponse()
	r.ErrorCode, r.ApiKeys = code, served
	return r
}

func (x *session) metadata(q *kmsg.MetadataRequest) kmsg.Response {
	s := x.n.stub
	s.mu.Lock()
	defer s.mu.Unlock()
	r := kmsg.NewPtrMetadataResponse()
	r.ClusterID, r.ControllerID = kmsg.StringPtr("stub"), 0
	for _, n := range s.nodes {
		n.mu.Lock()
		dead := n.dead
		n.mu.Unlock()
		if dead {
			continue
		}
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID, b.Host, b.Port = n.id, n.host, n.port
		r.Brokers = append(r.Brokers, b)
	}
	if q.Topics == nil {
		for name := range s.topics {
			t := kmsg.NewMetadataRequestTopic()
			t.Topic = kmsg.StringPtr(name)
			q.Topics = append(q.Topics, t)
		}
	}
	for _, want := range q.Topics {
		t := kmsg.NewMetadataResponseTopic()
		t.Topic = want.Topic
		var have *topic
		if want.Topic != nil {
			have = s.topics[*want.Topic]
		}
		if have == nil {
			t.ErrorCode = int16(protocol.UnknownTopicOrPartition)
			r.Topics = append(r.Topics, t)
			continue
		}
		t.TopicID = have.id
		for i, p := range have.parts {
			one := kmsg.NewMetadataResponseTopicPartition()
			one.Partition, one.Leader = int32(i), p.leader
			one.Replicas, one.ISR = []int32{p.leader}, []int32{p.leader}
			t.Partitions = append(t.Partitions, one)
		}
		r.Topics = append(r.Topics, t)
	}
	return r
}

func (x *session) offsets(q *kmsg.ListOffsetsRequest) kmsg.Response {
	r := kmsg.NewPtrListOffsetsResponse()
	for _, want := range q.Topics {
		t := kmsg.NewListOffsetsResponseTopic()
		t.Topic = want.Topic
		for _, wp := range want.Partitions {
			one := kmsg.NewListOffsetsResponseTopicPartition()
			one.Partition, one.Timestamp = wp.Partition, -1
			p, code := x.n.stub.of(x.n, []byte(want.Topic), wp.Partition)
			one.ErrorCode = int16(code)
			if p != nil {
				p.mu.Lock()
				one.Offset = p.end
				if wp.Timestamp == -2 {
					one.Offset = p.start
				}
				p.mu.Unlock()
			}
			t.Partitions = append(t.Partitions, one)
		}
		r.Topics = append(r.Topics, t)
	}
	return r
}

func (x *session) create(q *kmsg.CreateTopicsRequest) kmsg.Response {
	r := kmsg.NewPtrCreateTopicsResponse()
	for _, want := range q.Topics {
		t := kmsg.NewCreateTopicsResponseTopic()
		t.Topic = want.Topic
		n := int(want.NumPartitions)
		if n <= 0 {
			n = x.n.stub.o.Partitions
		}
		switch {
		case n > 100_000:
			t.ErrorCode = int16(protocol.InvalidPartitions)
		case x.n.stub.Create(want.Topic, n) != nil:
			t.ErrorCode = int16(protocol.TopicAlreadyExists)
		}
		r.Topics = append(r.Topics, t)
	}
	return r
}

func (x *session) remove(q *kmsg.DeleteTopicsRequest) kmsg.Response {
	r := kmsg.NewPtrDeleteTopicsResponse()
	for _, name := range q.TopicNames {
		t := kmsg.NewDeleteTopicsResponseTopic()
		t.Topic = kmsg.StringPtr(name)
		if !x.n.stub.Delete(name) {
			t.ErrorCode = int16(protocol.UnknownTopicOrPartition)
		}
		r.Topics = append(r.Topics, t)
	}
	return r
}
