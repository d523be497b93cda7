package engine

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
	"millrace/segment"
)

// spot is one partition that a cold request names, and the place of its answer.
type spot struct {
	tp   protocol.TopicPartition
	core int
	at   int
}

// visit runs fn for every spot on the core that owns it, and then done here. The
// partition is nil when it is gone by then; one that moves is waited for. fn calls ok
// exactly once per spot, now or later, on the core it got; answers go to distinct places, so no two cores write to one.
func (c *Core) visit(spots []spot, fn func(on *Core, p *partition, at int, ok func()), done func()) {
	byCore := make([][]spot, len(c.peers))
	for _, s := range spots {
		byCore[s.core] = append(byCore[s.core], s)
	}
	var cores []int
	for i := range byCore {
		if len(byCore[i]) > 0 {
			cores = append(cores, i)
		}
	}
	c.gather(cores, func(on *Core, i int, ok func()) {
		mine := byCore[cores[i]]
		left := len(mine)
		one := func() {
			if left--; left == 0 {
				ok()
			}
		}
		for _, s := range mine {
			on.reach(s.tp, func(at *Core, p *partition) {
				fn(at, p, s.at, func() { at.call(on.id, func(*Core) { one() }) })
			})
		}
	}, done)
}

// await calls then once everything that this core has staged up to seq is durable.
func (c *Core) await(seq segment.Seq, then func(c *Core)) {
	c.acks.push(ack{seq: max(seq, c.acks.newest()), fn: then})
}

// manyPartitions is from how many partitions on an answer is built by a helper: about
// 100 µs of work.
const manyPartitions = 1000

// answerFrom builds an answer from immutable data: here, or on a helper when it is
// large.
func (c *Core) answerFrom(rq *Request, size int, build func() kmsg.Response) {
	if size < manyPartitions {
		rq.Answer(build())
		return
	}
	version, correlation := rq.Version, rq.Correlation
	c.work(func() any {
		resp := build()
		resp.SetVersion(version)
		return protocol.Encode(nil, correlation, resp)
	}, func(c *Core, v any) { c.reply(rq.to, v.([]byte), false) })
}

// noOperations is what authorized-operations fields hold when they were not asked for.
const noOperations = -1 << 31

// Without authorization everybody may do everything: the bits of Kafka's AclOperation
// that apply to the resource.
const (
	topicOperations   = 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<8 | 1<<10 | 1<<11
	clusterOperations = 1<<5 | 1<<7 | 1<<8 | 1<<9 | 1<<10 | 1<<11 | 1<<12
)

// epochCode compares the leader epoch that a client believes in with ours.
func epochCode(known, ours int32) protocol.Code {
	switch {
	case known < 0 || known == ours:
		return protocol.None
	case known < ours:
		return protocol.FencedLeaderEpoch
	}
	return protocol.UnknownLeaderEpoch
}

// messageOf is a nullable text; none is null.
func messageOf(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
