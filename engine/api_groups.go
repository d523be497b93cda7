package engine

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/engine/group"
	"millrace/protocol"
)

// Requests of one group go to the core that coordinates it; that core's reply comes
// home as a call.

// toGroup runs ask on the group's core with a token for the reply. refuse answers while
// there is no coordinator.
func (c *Core) toGroup(rq *Request, name string, refuse func(code protocol.Code) kmsg.Response,
	ask func(c *Core, tok group.Token, cl group.Client)) {
	core, ok := c.groups.coreOf(c, name)
	if !ok {
		rq.AnswerCode(refuse(protocol.NotCoordinator), protocol.NotCoordinator)
		return
	}
	cl := group.Client{ID: rq.ClientID, Host: "/" + rq.Host}
	home := c.id
	c.call(core, func(on *Core) {
		tok := on.groups.token(func(resp kmsg.Response) {
			on.call(home, func(*Core) { rq.Answer(resp) })
		})
		ask(on, tok, cl)
		on.groups.run(on)
	})
}

func (c *Core) joinGroup(rq *Request, req *kmsg.JoinGroupRequest) {
	c.toGroup(rq, req.Group, func(code protocol.Code) kmsg.Response {
		resp := kmsg.NewPtrJoinGroupResponse()
		resp.ErrorCode, resp.Generation, resp.MemberID = int16(code), -1, req.MemberID
		return resp
	}, func(on *Core, tok group.Token, cl group.Client) {
		on.groups.coord.Join(on.now, tok, cl, req, &on.groups.fx)
	})
}

func (c *Core) syncGroup(rq *Request, req *kmsg.SyncGroupRequest) {
	c.toGroup(rq, req.Group, func(code protocol.Code) kmsg.Response {
		resp := kmsg.NewPtrSyncGroupResponse()
		resp.ErrorCode = int16(code)
		return resp
	}, func(on *Core, tok group.Token, _ group.Client) {
		on.groups.coord.Sync(on.now, tok, req, &on.groups.fx)
	})
}

func (c *Core) heartbeat(rq *Request, req *kmsg.HeartbeatRequest) {
	c.toGroup(rq, req.Group, func(code protocol.Code) kmsg.Response {
		resp := kmsg.NewPtrHeartbeatResponse()
		resp.ErrorCode = int16(code)
		return resp
	}, func(on *Core, tok group.Token, _ group.Client) {
		on.groups.coord.Heartbeat(on.now, tok, req, &on.groups.fx)
	})
}

func (c *Core) leaveGroup(rq *Request, req *kmsg.LeaveGroupRequest) {
	c.toGroup(rq, req.Group, func(code protocol.Code) kmsg.Response {
		resp := kmsg.NewPtrLeaveGroupResponse()
		resp.ErrorCode = int16(code)
		return resp
	}, func(on *Core, tok group.Token, _ group.Client) {
		on.groups.coord.Leave(on.now, tok, req, &on.groups.fx)
	})
}

func (c *Core) offsetCommit(rq *Request, req *kmsg.OffsetCommitRequest) {
	c.groups.ensureOffsets(c, func(c *Core) {
		c.toGroup(rq, req.Group, func(code protocol.Code) kmsg.Response {
			return refuseCommit(req, code)
		}, func(on *Core, tok group.Token, _ group.Client) {
			on.groups.coord.Commit(on.now, tok, req, &on.groups.fx)
		})
	})
}

func refuseCommit(req *kmsg.OffsetCommitRequest, code protocol.Code) kmsg.Response {
	resp := kmsg.NewPtrOffsetCommitResponse()
	for _, t := range req.Topics {
		rt := kmsg.NewOffsetCommitResponseTopic()
		rt.Topic, rt.TopicID = t.Topic, t.TopicID
		for _, p := range t.Partitions {
			rp := kmsg.NewOffsetCommitResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, int16(code)
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

func (c *Core) offsetDelete(rq *Request, req *kmsg.OffsetDeleteRequest) {
	c.toGroup(rq, req.Group, func(code protocol.Code) kmsg.Response {
		resp := kmsg.NewPtrOffsetDeleteResponse()
		resp.ErrorCode = int16(code)
		return resp
	}, func(on *Core, tok group.Token, _ group.Client) {
		on.groups.coord.DeleteOffsets(on.now, tok, req, &on.groups.fx)
	})
}

// offsetFetch asks for one group up to version 7, for several from 8 on.
func (c *Core) offsetFetch(rq *Request, req *kmsg.OffsetFetchRequest) {
	resp := kmsg.NewPtrOffsetFetchResponse()
	asked := req.Groups
	if rq.Version < 8 {
		asked = []kmsg.OffsetFetchRequestGroup{singleGroup(req)}
	}
	resp.Groups = make([]kmsg.OffsetFetchResponseGroup, len(asked))
	cores := make([]int, len(asked))
	for i := range asked {
		core, ok := c.groups.coreOf(c, asked[i].Group)
		if !ok {
			core = c.id
		}
		cores[i] = core
	}
	c.gather(cores, func(on *Core, i int, ok func()) {
		resp.Groups[i] = on.groups.coord.FetchOffsets(rq.Version, &asked[i])
		ok()
	}, func() {
		if rq.Version < 2 && resp.Groups[0].ErrorCode != 0 {
			failPartitions(&resp.Groups[0], &asked[0])
		}
		if rq.Version < 8 {
			flattenGroup(resp)
		}
		rq.Answer(resp)
	})
}

// singleGroup is the only group of an old request, in the shape of new ones.
func singleGroup(req *kmsg.OffsetFetchRequest) kmsg.OffsetFetchRequestGroup {
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = req.Group
	if req.Topics == nil {
		return g
	}
	g.Topics = make([]kmsg.OffsetFetchRequestGroupTopic, 0, len(req.Topics))
	for _, t := range req.Topics {
		gt := kmsg.NewOffsetFetchRequestGroupTopic()
		gt.Topic, gt.Partitions = t.Topic, t.Partitions
		g.Topics = append(g.Topics, gt)
	}
	return g
}

// failPartitions says the group's error of every partition that was asked for: before
// version 2 there is no other place.
func failPartitions(g *kmsg.OffsetFetchResponseGroup, asked *kmsg.OffsetFetchRequestGroup) {
	g.Topics = make([]kmsg.OffsetFetchResponseGroupTopic, len(asked.Topics))
	for i := range asked.Topics {
		t, rt := &asked.Topics[i], &g.Topics[i]
		rt.Topic = t.Topic
		rt.Partitions = make([]kmsg.OffsetFetchResponseGroupTopicPartition, len(t.Partitions))
		for j, n := range t.Partitions {
			p := &rt.Partitions[j]
			p.Default()
			p.Partition, p.Offset, p.LeaderEpoch, p.ErrorCode = n, -1, -1, g.ErrorCode
			p.Metadata = new(string)
		}
	}
}

func flattenGroup(resp *kmsg.OffsetFetchResponse) {
	g := &resp.Groups[0]
	resp.ErrorCode = g.ErrorCode
	resp.Topics = make([]kmsg.OffsetFetchResponseTopic, 0, len(g.Topics))
	for _, t := range g.Topics {
		rt := kmsg.NewOffsetFetchResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewOffsetFetchResponseTopicPartition()
			rp.Partition, rp.Offset, rp.LeaderEpoch = p.Partition, p.Offset, p.LeaderEpoch
			rp.Metadata, rp.ErrorCode = p.Metadata, p.ErrorCode
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	resp.Groups = nil
}
