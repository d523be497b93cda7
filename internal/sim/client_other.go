package sim

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
)

// simOther is everybody else: somebody who creates and deletes topics, asks for
// metadata, produces without waiting, sends rubbish and hangs up.
type simOther struct {
	b     *brokerRun
	link  *link
	names int
	topic string // one of its own, "" when it has none
}

func newOther(b *brokerRun) *simOther {
	o := &simOther{b: b}
	o.link = newLink(b, o.next, nil)
	return o
}

func (o *simOther) next() {
	if o.link.conn == nil || o.b.ending {
		return
	}
	switch o.b.rng.IntN(6) {
	case 0:
		o.versions()
	case 1, 2:
		o.metadata()
	case 3:
		o.create()
	case 4:
		o.remove()
	case 5:
		o.rubbish()
	}
}

func (o *simOther) done() {
	o.link.soon(3*time.Millisecond, o.next)
}

func (o *simOther) versions() {
	req := kmsg.NewPtrApiVersionsRequest()
	req.SetVersion(int16(o.b.rng.IntN(4)))
	req.ClientSoftwareName, req.ClientSoftwareVersion = "sim", "1"
	o.link.ask(req, func(r kmsg.Response) {
		resp := r.(*kmsg.ApiVersionsResponse)
		o.b.check(resp.ErrorCode == 0 && len(resp.ApiKeys) > 20, "ApiVersions: %d, %d keys",
			resp.ErrorCode, len(resp.ApiKeys))
		o.done()
	})
}

func (o *simOther) metadata() {
	req := kmsg.NewPtrMetadataRequest()
	req.SetVersion(int16(1 + o.b.rng.IntN(12)))
	o.link.ask(req, func(r kmsg.Response) {
		resp := r.(*kmsg.MetadataResponse)
		o.b.check(len(resp.Brokers) == 1 && resp.Brokers[0].NodeID == 1, "Metadata: brokers %+v", resp.Brokers)
		found := 0
		for _, t := range resp.Topics {
			for _, d := range o.b.topics {
				if t.Topic != nil && *t.Topic == d.name {
					found++
					o.b.check(len(t.Partitions) == len(d.parts) && t.ErrorCode == 0,
						"Metadata: %s has %d partitions, error %d", d.name, len(t.Partitions), t.ErrorCode)
				}
			}
		}
		o.b.check(found == len(o.b.topics), "Metadata: %d of %d topics", found, len(o.b.topics))
		o.done()
	})
}

func (o *simOther) create() {
	if o.topic == "" {
		o.names++
		o.topic = fmt.Sprintf("other-%d", o.b.rng.IntN(3))
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.SetVersion(int16(2 + o.b.rng.IntN(6)))
	req.TimeoutMillis = 1000
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = o.topic, int32(1+o.b.rng.IntN(4)), 1
	req.Topics = append(req.Topics, t)
	o.link.ask(req, func(r kmsg.Response) {
		code := protocol.Code(r.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode)
		o.b.check(code == protocol.None || code == protocol.TopicAlreadyExists, "CreateTopics: %v", code)
		o.b.w.Tally[Topics]++
		o.done()
	})
}

func (o *simOther) remove() {
	if o.topic == "" {
		o.done()
		return
	}
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.SetVersion(int16(1 + o.b.rng.IntN(5)))
	req.TimeoutMillis = 1000
	req.TopicNames = []string{o.topic}
	o.topic = ""
	o.link.ask(req, func(r kmsg.Response) {
		code := protocol.Code(r.(*kmsg.DeleteTopicsResponse).Topics[0].ErrorCode)
		o.b.check(code == protocol.None || code == protocol.UnknownTopicOrPartition, "DeleteTopics: %v", code)
		o.done()
	})
}

// rubbish is half a request, or bytes that are none; then the client is gone.
func (o *simOther) rubbish() {
	o.b.w.Tally[Garbage]++
	p := make([]byte, 1+o.b.rng.IntN(200))
	for i := range p {
		p[i] = byte(o.b.rng.Uint32())
	}
	if o.b.rng.IntN(2) == 0 {
		req := kmsg.NewPtrMetadataRequest()
		req.SetVersion(9)
		p = o.link.format.AppendRequest(nil, req, 5)
		p = p[:o.b.rng.IntN(len(p))]
	}
	c := o.link.conn
	c.OnData = nil // an answer, if any, is nobody's
	c.Write(p)
	if o.b.rng.IntN(2) == 0 {
		c.Close()
	}
	o.link.soon(5*time.Millisecond, o.link.drop)
}
