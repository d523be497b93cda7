package engine

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
)

// offsetForLeaderEpoch says where a leader epoch ended: how consumers notice that the
// log was cut (KIP-320).
func (c *Core) offsetForLeaderEpoch(rq *Request, req *kmsg.OffsetForLeaderEpochRequest) {
	resp := kmsg.NewPtrOffsetForLeaderEpochResponse()
	resp.Topics = make([]kmsg.OffsetForLeaderEpochResponseTopic, len(req.Topics))
	var spots []spot
	var wants []*kmsg.OffsetForLeaderEpochRequestTopicPartition
	var places []*kmsg.OffsetForLeaderEpochResponseTopicPartition
	for i := range req.Topics {
		t, rt := &req.Topics[i], &resp.Topics[i]
		rt.Topic = t.Topic
		rt.Partitions = make([]kmsg.OffsetForLeaderEpochResponseTopicPartition, len(t.Partitions))
		top := c.topics.byName[t.Topic]
		for j := range t.Partitions {
			p, rp := &t.Partitions[j], &rt.Partitions[j]
			rp.Default()
			rp.Partition = p.Partition
			tp, core, ok := c.partitionAt(top, p.Partition)
			if !ok {
				rp.ErrorCode = int16(protocol.UnknownTopicOrPartition)
				continue
			}
			spots = append(spots, spot{tp, core, len(wants)})
			wants, places = append(wants, p), append(places, rp)
		}
	}
	c.visit(spots, func(_ *Core, part *partition, at int, ok func()) {
		defer ok()
		want, rp := wants[at], places[at]
		if part == nil {
			rp.ErrorCode = int16(protocol.UnknownTopicOrPartition)
			return
		}
		if code := epochCode(want.CurrentLeaderEpoch, part.epoch); code != protocol.None {
			rp.ErrorCode = int16(code)
			return
		}
		rp.LeaderEpoch, rp.EndOffset = part.endOf(want.LeaderEpoch)
	}, func() { rq.Answer(resp) })
}

// endOf is the greatest epoch up to the one asked for, and where it ended; −1 and −1
// when there is none. The current epoch ends at High: records above it may yet be
// lost in a crash, and nobody has seen them (I3).
func (p *partition) endOf(epoch int32) (int32, int64) {
	high := p.log.Marks().High
	if epoch == p.epoch {
		return epoch, high
	}
	found, end := p.log.Epochs().EndOffset(epoch, high)
	return found, min(end, high)
}
