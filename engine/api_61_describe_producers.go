package engine

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
	"millrace/raftmeta"
	"millrace/segment/producer"
)

// describeProducers lists the idempotent producers that partitions know.
func (c *Core) describeProducers(rq *Request, req *kmsg.DescribeProducersRequest) {
	resp := kmsg.NewPtrDescribeProducersResponse()
	resp.Topics = make([]kmsg.DescribeProducersResponseTopic, len(req.Topics))
	var spots []spot
	var places []*kmsg.DescribeProducersResponseTopicPartition
	for i := range req.Topics {
		t, rt := &req.Topics[i], &resp.Topics[i]
		rt.Topic = t.Topic
		rt.Partitions = make([]kmsg.DescribeProducersResponseTopicPartition, len(t.Partitions))
		top := c.topics.byName[t.Topic]
		invalid := raftmeta.InvalidTopicName(t.Topic)
		for j, index := range t.Partitions {
			rp := &rt.Partitions[j]
			rp.Partition = index
			tp, core, ok := c.partitionAt(top, index)
			switch {
			case invalid != "":
				rp.ErrorCode = int16(protocol.InvalidTopicException)
				rp.ErrorMessage = &invalid
			case !ok:
				rp.ErrorCode = int16(protocol.UnknownTopicOrPartition)
				rp.ErrorMessage = messageOf(protocol.UnknownTopicOrPartition.Message())
			default:
				spots = append(spots, spot{tp, core, len(places)})
				places = append(places, rp)
			}
		}
	}
	c.visit(spots, func(_ *Core, part *partition, at int, ok func()) {
		defer ok()
		rp := places[at]
		if part == nil {
			rp.ErrorCode = int16(protocol.UnknownTopicOrPartition)
			return
		}
		rp.ActiveProducers = activeProducers(part)
	}, func() { rq.Answer(resp) })
}

func activeProducers(part *partition) (list []kmsg.DescribeProducersResponseTopicPartitionActiveProducer) {
	part.log.Producers().Each(func(i producer.Info) {
		p := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
		p.ProducerID, p.ProducerEpoch, p.LastSequence = i.PID, int32(i.Epoch), i.LastSeq
		p.LastTimestamp, p.CoordinatorEpoch = i.LastTimestamp, i.CoordinatorEpoch
		p.CurrentTxnStartOffset = i.TxnStartOffset
		list = append(list, p)
	})
	return list
}
