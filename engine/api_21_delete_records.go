package engine

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
)

// deleteRecords moves the starts of logs, and answers when that is durable.
func (c *Core) deleteRecords(rq *Request, req *kmsg.DeleteRecordsRequest) {
	resp := kmsg.NewPtrDeleteRecordsResponse()
	resp.Topics = make([]kmsg.DeleteRecordsResponseTopic, len(req.Topics))
	var spots []spot
	var offsets []int64
	var places []*kmsg.DeleteRecordsResponseTopicPartition
	for i := range req.Topics {
		t, rt := &req.Topics[i], &resp.Topics[i]
		rt.Topic = t.Topic
		rt.Partitions = make([]kmsg.DeleteRecordsResponseTopicPartition, len(t.Partitions))
		top := c.topics.byName[t.Topic]
		for j := range t.Partitions {
			p, rp := &t.Partitions[j], &rt.Partitions[j]
			rp.Partition, rp.LowWatermark = p.Partition, -1
			tp, core, ok := c.partitionAt(top, p.Partition)
			switch {
			case !ok:
				rp.ErrorCode = int16(protocol.UnknownTopicOrPartition)
			case top.meta.Internal:
				rp.ErrorCode = int16(protocol.InvalidTopicException)
			default:
				spots = append(spots, spot{tp, core, len(places)})
				offsets, places = append(offsets, p.Offset), append(places, rp)
			}
		}
	}
	c.visit(spots, func(on *Core, part *partition, at int, ok func()) {
		on.deleteBelow(part, offsets[at], places[at], ok)
	}, func() { rq.Answer(resp) })
}

func (c *Core) deleteBelow(part *partition, offset int64,
	rp *kmsg.DeleteRecordsResponseTopicPartition, ok func()) {
	if part == nil {
		rp.ErrorCode = int16(protocol.UnknownTopicOrPartition)
		ok()
		return
	}
	if c.draining {
		rp.ErrorCode = int16(protocol.NotLeaderOrFollower)
		ok()
		return
	}
	m := part.log.Marks()
	if offset == -1 {
		offset = m.High
	}
	switch {
	case !part.topic.cfg.CleanupDelete && part.topic.cfg.CleanupCompact:
		rp.ErrorCode = int16(protocol.PolicyViolation)
	case offset < 0 || offset > m.High:
		rp.ErrorCode = int16(protocol.OffsetOutOfRange)
	case offset <= m.Start:
		rp.LowWatermark = m.Start
		if last := c.produces.last; last > c.shard.Durable() { // what moved it may be on its way
			c.await(last, func(*Core) { ok() })
			return
		}
	default:
		rp.LowWatermark = offset
		seq := c.shard.SetStart(part.log, offset)
		c.produces.last = seq
		c.await(seq, func(*Core) { ok() })
		return
	}
	ok()
}
