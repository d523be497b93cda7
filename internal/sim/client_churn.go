package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
	"millrace/protocol/batch"
)

// simChurn creates a topic, fills it, reads it and deletes it, again and again under
// the same name, and always speaks of it by id. Records carry the id: none may ever
// come out of another topic of that name.
type simChurn struct {
	b      *brokerRun
	number int
	link   *link
	id     protocol.TopicID // zero: there is none
	parts  int32
	serial int
	acked  map[string]int64 // value → offset
	sent   map[string]bool
	doomed bool // a deletion was sent: it may be gone
	at     []int64
	seen   map[string]bool
}

func newChurn(b *brokerRun, number int) *simChurn {
	c := &simChurn{b: b, number: number}
	c.link = newLink(b, c.next, nil)
	return c
}

func (c *simChurn) name() string { return fmt.Sprintf("churn-%d", c.number) }

func (c *simChurn) next() {
	if c.link.conn == nil || c.b.ending {
		return
	}
	switch n := c.b.rng.IntN(20); {
	case c.b.w.Chance(0.005):
		c.link.vanish()
	case c.id.IsZero():
		c.create()
	case n == 0 || c.doomed:
		c.remove()
	case n < 12:
		c.produce()
	default:
		c.read()
	}
}

func (c *simChurn) done() { c.link.soon(2*time.Millisecond, c.next) }

// create makes the topic, or takes over one that an earlier answer was lost of.
func (c *simChurn) create() {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.SetVersion(7)
	req.TimeoutMillis = 1000
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = c.name(), 2, 1
	req.Topics = append(req.Topics, t)
	c.link.ask(req, func(r kmsg.Response) {
		got := r.(*kmsg.CreateTopicsResponse).Topics[0]
		switch code := protocol.Code(got.ErrorCode); code {
		case protocol.None:
			c.begin(protocol.TopicID(got.TopicID))
			c.b.w.Tally[Topics]++
			c.done()
		case protocol.TopicAlreadyExists:
			c.find()
		default:
			c.b.fail("CreateTopics: %v", code)
		}
	})
}

// find learns the id of the topic that is there.
func (c *simChurn) find() {
	req := kmsg.NewPtrMetadataRequest()
	req.SetVersion(12)
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = kmsg.StringPtr(c.name())
	req.Topics = append(req.Topics, t)
	c.link.ask(req, func(r kmsg.Response) {
		got := r.(*kmsg.MetadataResponse).Topics[0]
		if protocol.Code(got.ErrorCode) == protocol.None {
			c.begin(protocol.TopicID(got.TopicID))
		}
		c.done()
	})
}

// begin follows a topic from its creation on. One that was found has records that
// nobody acknowledged, or none.
func (c *simChurn) begin(id protocol.TopicID) {
	c.id, c.parts, c.doomed = id, 2, false
	c.at = make([]int64, c.parts)
	c.acked, c.sent, c.seen = map[string]int64{}, map[string]bool{}, map[string]bool{}
}

func (c *simChurn) gone(code protocol.Code) bool {
	if code != protocol.UnknownTopicId && code != protocol.UnknownTopicOrPartition {
		return false
	}
	c.b.check(c.doomed, "%s: topic %v is gone, nobody deleted it", c.name(), c.id)
	c.id = protocol.TopicID{}
	c.done()
	return true
}

func (c *simChurn) produce() {
	b := c.b
	part := b.rng.Int32N(c.parts)
	var bb batch.Builder
	bb.Reset(batch.Options{})
	var values []string
	for range 1 + b.rng.IntN(3) {
		c.serial++
		v := fmt.Sprintf("%v/%d", c.id, c.serial)
		values = append(values, v)
		c.sent[v] = true
		bb.Add(b.w.now.Wall, nil, []byte(v), nil)
	}
	view, err := bb.Finish()
	b.check(err == nil, "building a batch: %v", err)
	req := produceTo(c.id, part, view)
	req.Acks = []int16{-1, 1, 0}[b.rng.IntN(3)]
	b.w.Tally[Produced]++
	if req.Acks == 0 { // no answer: they may be there or not
		c.link.ask(req, nil)
		c.done()
		return
	}
	c.link.ask(req, func(r kmsg.Response) {
		got := r.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
		code := protocol.Code(got.ErrorCode)
		if c.gone(code) {
			return
		}
		if b.refused(code) {
			c.done()
			return
		}
		b.check(code == protocol.None, "%s: produce: %v", c.name(), code)
		b.w.Tally[Acked]++
		for i, v := range values {
			c.acked[v] = got.BaseOffset + int64(i)
		}
		c.done()
	})
}

// read reads a partition from its beginning and looks at everything.
func (c *simChurn) read() {
	b := c.b
	part := b.rng.Int32N(c.parts)
	req := fetchFrom(c.id, part, c.at[part], 1<<20)
	req.MaxWaitMillis = 0
	c.link.ask(req, func(r kmsg.Response) {
		resp := r.(*kmsg.FetchResponse)
		if c.gone(protocol.Code(resp.ErrorCode)) {
			return
		}
		got := resp.Topics[0].Partitions[0]
		if c.gone(protocol.Code(got.ErrorCode)) {
			return
		}
		if b.excused(protocol.Code(got.ErrorCode)) {
			c.done()
			return
		}
		b.check(got.ErrorCode == 0, "%s: fetch: %v", c.name(), protocol.Code(got.ErrorCode))
		for rest := got.RecordBatches; len(rest) > 0; {
			v, more, err := batch.Next(rest)
			b.check(err == nil, "%s: fetch: %v", c.name(), err)
			rest = more
			for it := v.Records(v.RecordBytes()); it.Next(); {
				c.look(string(it.Record.Value), it.Record.Offset)
			}
			c.at[part] = v.NextOffset()
		}
		c.done()
	})
}

func (c *simChurn) look(v string, offset int64) {
	b := c.b
	b.check(strings.HasPrefix(v, c.id.String()+"/"), "%s: topic %v has a record of another: %q",
		c.name(), c.id, v)
	b.check(!c.seen[v], "%s: %q is there twice", c.name(), v)
	c.seen[v] = true
	if at, ok := c.acked[v]; ok {
		b.check(at == offset, "%s: %q is at %d, acknowledged at %d", c.name(), v, offset, at)
	}
	b.w.Tally[Consumed]++
}

func (c *simChurn) remove() {
	c.doomed = true
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.SetVersion(6)
	req.TimeoutMillis = 1000
	req.Topics = []kmsg.DeleteTopicsRequestTopic{{TopicID: c.id}}
	c.link.ask(req, func(r kmsg.Response) {
		code := protocol.Code(r.(*kmsg.DeleteTopicsResponse).Topics[0].ErrorCode)
		if c.gone(code) {
			return
		}
		c.b.check(code == protocol.None, "%s: DeleteTopics: %v", c.name(), code)
		c.id = protocol.TopicID{}
		c.done()
	})
}
