package engine

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
	"millrace/raftmeta"
)

// createPartitions adds partitions to topics.
func (c *Core) createPartitions(rq *Request, req *kmsg.CreatePartitionsRequest) {
	resp := kmsg.NewPtrCreatePartitionsResponse()
	counts := make(map[string]int)
	for i := range req.Topics {
		counts[req.Topics[i].Topic]++
	}
	var cmd raftmeta.AddPartitions
	var at []int // places of cmd's topics in the answer
	total := 0
	for i := range req.Topics {
		t := &req.Topics[i]
		n := counts[t.Topic]
		if n == 0 {
			continue // a duplicate is answered once
		}
		delete(counts, t.Topic)
		rt := kmsg.NewCreatePartitionsResponseTopic()
		rt.Topic = t.Topic
		more, it := c.planPartitions(t, n > 1)
		total += len(more.Replicas)
		if it.Code == protocol.None && total > raftmeta.MaxPartitionsPerRequest {
			it = raftmeta.Item{Code: protocol.PolicyViolation,
				Message: "Excessively large number of partitions per request."}
		}
		rt.ErrorCode, rt.ErrorMessage = int16(it.Code), messageOf(it.Message)
		if it.Code == protocol.None {
			cmd.Topics, at = append(cmd.Topics, more), append(at, len(resp.Topics))
		}
		resp.Topics = append(resp.Topics, rt)
	}
	if len(cmd.Topics) == 0 {
		rq.Answer(resp)
		return
	}
	settle := func(o raftOutcome, err error) {
		for i, place := range at {
			rt := &resp.Topics[place]
			if err != nil {
				rt.ErrorCode = int16(proposalCode(err))
				continue
			}
			rt.ErrorCode, rt.ErrorMessage = int16(o.Items[i].Code), messageOf(o.Items[i].Message)
		}
		rq.Answer(resp)
	}
	if req.ValidateOnly {
		settle(raftmeta.Check(c.topics.image, cmd), nil)
		return
	}
	c.propose(cmd, settle)
}

func (c *Core) planPartitions(t *kmsg.CreatePartitionsRequestTopic, again bool) (
	raftmeta.MorePartitions, raftmeta.Item) {
	if again {
		return raftmeta.MorePartitions{}, raftmeta.Item{Code: protocol.InvalidRequest,
			Message: "Duplicate topic name."}
	}
	img := c.topics.image
	top := img.Topic(t.Topic)
	if top == nil {
		return raftmeta.MorePartitions{}, raftmeta.Item{Code: protocol.UnknownTopicOrPartition}
	}
	var assignment [][]protocol.NodeID
	if t.Assignment != nil {
		assignment = make([][]protocol.NodeID, len(t.Assignment))
		for i := range t.Assignment {
			assignment[i] = t.Assignment[i].Replicas
		}
	}
	return raftmeta.PlanPartitions(img, top, t.Count, assignment)
}
