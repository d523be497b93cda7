package engine

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
	"millrace/raftmeta"
)

// deleteTopics deletes by name, or by id from version 6 on.
func (c *Core) deleteTopics(rq *Request, req *kmsg.DeleteTopicsRequest) {
	resp := kmsg.NewPtrDeleteTopicsResponse()
	asked := req.Topics
	if rq.Version < 6 {
		asked = nil
		for i := range req.TopicNames {
			t := kmsg.NewDeleteTopicsRequestTopic()
			t.Topic = &req.TopicNames[i]
			asked = append(asked, t)
		}
	}
	counts := make(map[topicRef]int)
	for i := range asked {
		counts[refOf(&asked[i])]++
	}
	var cmd raftmeta.DeleteTopics
	var at []int     // places of cmd's ids in the answer
	var named []bool // by name and not by id
	for i := range asked {
		t := &asked[i]
		n := counts[refOf(t)]
		if n == 0 {
			continue // a duplicate is answered once
		}
		delete(counts, refOf(t))
		rt := kmsg.NewDeleteTopicsResponseTopic()
		rt.Topic, rt.TopicID = t.Topic, t.TopicID
		found, code, text := c.topicToDelete(t, rq.Version, n > 1)
		rt.ErrorCode, rt.ErrorMessage = int16(code), messageOf(text)
		if found != nil {
			rt.Topic, rt.TopicID = &found.Name, found.ID
			cmd.IDs, at = append(cmd.IDs, found.ID), append(at, len(resp.Topics))
			named = append(named, t.Topic != nil)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	if len(cmd.IDs) == 0 {
		rq.Answer(resp)
		return
	}
	c.propose(cmd, func(o raftOutcome, err error) {
		for i, place := range at {
			rt := &resp.Topics[place]
			if err != nil {
				rt.ErrorCode = int16(proposalCode(err))
				continue
			}
			it := o.Items[i]
			if it.Code == protocol.UnknownTopicId && named[i] { // another request was faster
				it = raftmeta.Item{Code: protocol.UnknownTopicOrPartition,
					Message: protocol.UnknownTopicOrPartition.Message()}
			}
			rt.ErrorCode, rt.ErrorMessage = int16(it.Code), messageOf(it.Message)
		}
		rq.Answer(resp)
	})
}

// topicRef is what a request names a topic by.
type topicRef struct {
	name  string
	named bool
	id    protocol.TopicID
}

func refOf(t *kmsg.DeleteTopicsRequestTopic) topicRef {
	r := topicRef{id: t.TopicID}
	if t.Topic != nil {
		r.name, r.named = *t.Topic, true
	}
	return r
}

// topicToDelete finds the topic, or says why it cannot be deleted.
func (c *Core) topicToDelete(t *kmsg.DeleteTopicsRequestTopic, version int16, again bool) (
	found *raftmeta.Topic, code protocol.Code, text string) {
	id := protocol.TopicID(t.TopicID)
	switch {
	case t.Topic != nil && !id.IsZero():
		return nil, protocol.InvalidRequest, "You may not specify both topic name and topic id."
	case t.Topic == nil && id.IsZero():
		return nil, protocol.InvalidRequest, "Neither topic name nor id were specified."
	case again && t.Topic != nil:
		return nil, protocol.InvalidRequest, "Duplicate topic name."
	case again:
		return nil, protocol.InvalidRequest, "Duplicate topic id."
	case !c.cfg.DeleteTopicEnable && version < 3:
		return nil, protocol.InvalidRequest, "Topic deletion is disabled."
	case !c.cfg.DeleteTopicEnable:
		return nil, protocol.TopicDeletionDisabled, protocol.TopicDeletionDisabled.Message()
	}
	if t.Topic != nil {
		if found = c.topics.image.Topic(*t.Topic); found != nil {
			return found, protocol.None, ""
		}
		code = protocol.UnknownTopicOrPartition
		return nil, code, code.Message()
	}
	if found = c.topics.image.TopicByID(id); found != nil {
		return found, protocol.None, ""
	}
	return nil, protocol.UnknownTopicId, protocol.UnknownTopicId.Message()
}
