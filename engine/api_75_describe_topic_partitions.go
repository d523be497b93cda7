package engine

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
	"millrace/raftmeta"
)

// describeTopicPartitions is Metadata in pages, by topic name (KIP-966).
func (c *Core) describeTopicPartitions(rq *Request, req *kmsg.DescribeTopicPartitionsRequest) {
	img := c.topics.image
	names := topicNames(req, img)
	resp := kmsg.NewPtrDescribeTopicPartitionsResponse()
	from := int32(0)
	if cur := req.Cursor; cur != nil {
		if cur.Partition < 0 || !hasName(req, cur.Topic) {
			refuseCursor(resp, names)
			rq.AnswerCode(resp, protocol.InvalidRequest)
			return
		}
		at, found := slices.BinarySearch(names, cur.Topic)
		names = names[at:]
		if found {
			from = cur.Partition
		}
	}
	most := c.configs.Int64(img, "max.request.partition.size.limit")
	left := int(max(min(int64(req.ResponsePartitionLimit), most), 1))
	c.answerFrom(rq, min(left, img.PartitionCount()), func() kmsg.Response {
		fillPage(resp, img, names, from, left)
		return resp
	})
}

// topicNames is what to describe: the names asked for, or all, sorted and each once.
func topicNames(req *kmsg.DescribeTopicPartitionsRequest, img *raftmeta.Image) []string {
	var names []string
	for i := range req.Topics {
		names = append(names, req.Topics[i].Topic)
	}
	if len(req.Topics) == 0 {
		for _, t := range img.Topics() {
			names = append(names, t.Name)
		}
		return names
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// hasName says whether a cursor may point at a topic: any, when all are described.
func hasName(req *kmsg.DescribeTopicPartitionsRequest, name string) bool {
	return len(req.Topics) == 0 || slices.ContainsFunc(req.Topics,
		func(t kmsg.DescribeTopicPartitionsRequestTopic) bool { return t.Topic == name })
}

func refuseCursor(resp *kmsg.DescribeTopicPartitionsResponse, names []string) {
	for _, name := range names {
		rt := kmsg.NewDescribeTopicPartitionsResponseTopic()
		rt.ErrorCode, rt.Topic = int16(protocol.InvalidRequest), &name
		rt.AuthorizedOperations = noOperations
		resp.Topics = append(resp.Topics, rt)
	}
}

// fillPage adds topics until no partition is left of the limit, then a cursor.
func fillPage(resp *kmsg.DescribeTopicPartitionsResponse, img *raftmeta.Image, names []string,
	from int32, left int) {
	for _, name := range names {
		t := img.Topic(name)
		if t != nil && left == 0 {
			resp.NextCursor = cursorAt(name, 0)
			return
		}
		rt := kmsg.NewDescribeTopicPartitionsResponseTopic()
		rt.Topic, rt.AuthorizedOperations = &name, topicOperations
		if t == nil {
			rt.ErrorCode = int16(protocol.UnknownTopicOrPartition)
			if !raftmeta.ValidTopicName(name) {
				rt.ErrorCode = int16(protocol.InvalidTopicException)
			}
			resp.Topics = append(resp.Topics, rt)
			continue
		}
		rt.TopicID, rt.IsInternal = t.ID, t.Internal
		first := min(int(from), len(t.Partitions))
		last := min(first+left, len(t.Partitions))
		for i := first; i < last; i++ {
			rt.Partitions = append(rt.Partitions, describedPartition(t, i))
		}
		resp.Topics = append(resp.Topics, rt)
		left -= last - first
		from = 0
		if last < len(t.Partitions) {
			resp.NextCursor = cursorAt(name, int32(last))
			return
		}
	}
}

func cursorAt(topic string, partition int32) *kmsg.DescribeTopicPartitionsResponseNextCursor {
	cur := kmsg.NewDescribeTopicPartitionsResponseNextCursor()
	cur.Topic, cur.Partition = topic, partition
	return &cur
}

func describedPartition(t *raftmeta.Topic, i int) kmsg.DescribeTopicPartitionsResponseTopicPartition {
	p := &t.Partitions[i]
	rp := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
	rp.Partition, rp.LeaderID, rp.LeaderEpoch = int32(i), p.Leader, p.LeaderEpoch
	rp.Replicas, rp.ISR = p.Replicas, p.ISR
	rp.EligibleLeaderReplicas, rp.LastKnownELR = []int32{}, []int32{}
	rp.EligibleLeaderReplicas = append(rp.EligibleLeaderReplicas, p.ELR...)
	rp.LastKnownELR = append(rp.LastKnownELR, p.LastKnownELR...)
	if p.Leader < 0 {
		rp.ErrorCode = int16(protocol.LeaderNotAvailable)
	}
	return rp
}
