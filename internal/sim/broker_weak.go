package sim

import (
	"millrace/protocol"
	"millrace/segment"
)

// Under durability write an acknowledgement outlives the process and not a power loss. What
// must hold then: of every log a prefix is there, byte for byte; what an earlier start found
// is there; and everything goes on from that prefix.

// recovered follows a start: where a power loss may have taken something, clients learn of
// it as they would from the ends of the logs.
func (b *brokerRun) recovered() {
	if b.weak {
		b.forget()
	}
	b.weak = false
	b.eachPart(func(p *dataPart) { p.floor = b.marks(p.topic.id, p.index).End })
	for _, p := range b.keyed.parts {
		p.floor = b.marks(b.keyed.id, p.index).End
	}
	for _, c := range b.consumers {
		c.floor = c.sure
	}
	if len(b.members) > 0 {
		g := b.members[0].g
		copy(g.floor, g.sure)
	}
	for _, t := range b.trimmers {
		t.safe()
	}
}

func (b *brokerRun) eachPart(do func(p *dataPart)) {
	for _, list := range [][]*dataTopic{b.topics, b.trims} {
		for _, t := range list {
			for _, p := range t.parts {
				do(p)
			}
		}
	}
}

// marks are those of a partition's log.
func (b *brokerRun) marks(id protocol.TopicID, index int32) segment.Marks {
	tp := protocol.TopicPartition{Topic: id, Partition: index}
	for _, s := range b.broker.Shards() {
		if l := s.Find(tp); l != nil {
			return l.Marks()
		}
	}
	b.fail("partition %d of topic %v has no log", index, id)
	return segment.Marks{}
}

// forget takes out of the model what is gone. Nobody can know whether what was under way
// then has been stored: it is not sent again.
func (b *brokerRun) forget() {
	b.eachPart(func(p *dataPart) { p.cut(b, b.marks(p.topic.id, p.index).End) })
	for _, p := range b.keyed.parts {
		p.cut(b, b.marks(b.keyed.id, p.index).End)
	}
	for _, p := range b.producers {
		p.forget()
	}
	for _, c := range b.consumers {
		c.sure = c.floor
		clear(c.ends)
		b.eachPart(func(p *dataPart) { c.at[p] = min(c.at[p], p.end) })
	}
	for _, c := range b.churns {
		if doomed := c.doomed; !c.id.IsZero() {
			c.begin(c.id)
			c.doomed = doomed
		}
	}
	for _, k := range b.keyeds {
		clear(k.at)
	}
	if len(b.members) > 0 {
		g := b.members[0].g
		copy(g.sure, g.floor)
		clear(g.owners)
	}
	for _, t := range b.trimmers {
		t.forget()
	}
}

// cut takes all from end on.
func (p *dataPart) cut(b *brokerRun, end int64) {
	b.check(end >= p.floor, "%v: End is %d, %d was safe", p, end, p.floor)
	for o := end; o < p.end; o++ {
		if value, ok := p.records[o]; ok {
			delete(p.records, o)
			delete(p.place, value)
			b.w.Tally[Weak]++
		}
	}
	p.end = min(p.end, end)
}
