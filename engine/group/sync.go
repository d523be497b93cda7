package group

import (
	"bytes"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/internal/clock"
	"millrace/protocol"
)

// syncNamesProtocol is the first version of SyncGroup that must name type and protocol.
const syncNamesProtocol = 5

// Sync answers SyncGroup, now or when the leader's assignment is durable.
func (c *Coordinator) Sync(now clock.Now, tok Token, req *kmsg.SyncGroupRequest,
	out *Effects) {
	c.begin(now, out)
	g, m, code := c.syncing(req)
	if code == protocol.None && g.state == PreparingRebalance {
		code = protocol.RebalanceInProgress
	}
	switch {
	case code != protocol.None:
		resp := kmsg.NewSyncGroupResponse()
		resp.Version = req.Version
		resp.ErrorCode = int16(code)
		c.reply(tok, &resp)
	case g.state == CompletingRebalance:
		g.failSync(m, protocol.RebalanceInProgress) // an earlier one, that was given up
		m.sync = waiting{true, tok, req.Version}
		g.settleSync(m)
		if g.leader == m.id {
			g.assign(req)
		}
	default: // Stable
		g.settleSync(m)
		resp := g.synced(m)
		resp.Version = req.Version
		c.reply(tok, resp)
	}
}

func (c *Coordinator) syncing(req *kmsg.SyncGroupRequest) (*group, *member, protocol.Code) {
	if req.Version >= syncNamesProtocol && (req.ProtocolType == nil || req.Protocol == nil) {
		return nil, nil, protocol.InconsistentGroupProtocol
	}
	if req.Group == "" {
		return nil, nil, protocol.InvalidGroupId
	}
	_, g, code := c.find(req.Group)
	if code != protocol.None {
		return nil, nil, code
	}
	if g == nil || g.state == Empty {
		return nil, nil, protocol.UnknownMemberId
	}
	m, code := g.check(req.MemberID, req.InstanceID)
	switch {
	case code != protocol.None:
		return nil, nil, code
	case req.Generation != g.generation:
		return nil, nil, protocol.IllegalGeneration
	case req.ProtocolType != nil && g.protocolType != "" && *req.ProtocolType != g.protocolType,
		req.Protocol != nil && g.protocol != nil && *req.Protocol != *g.protocol:
		return nil, nil, protocol.InconsistentGroupProtocol
	}
	return g, m, protocol.None
}

// assign stores what the leader decided; when that is durable, everybody is told.
func (g *group) assign(req *kmsg.SyncGroupRequest) {
	given := make(map[string][]byte, len(req.GroupAssignment))
	for i := range req.GroupAssignment {
		a := &req.GroupAssignment[i]
		if g.members[a.MemberID] != nil {
			given[a.MemberID] = bytes.Clone(a.MemberAssignment)
		}
	}
	generation := g.generation
	g.c.append(g.home, []Record{g.record(given)}, func(code protocol.Code) {
		// If the group went on to another rebalance, those who waited know already.
		if g.dead || g.state != CompletingRebalance || g.generation != generation {
			return
		}
		if code != protocol.None {
			g.resetAssignment(storeError(code))
			g.prepare("the assignment could not be stored")
			return
		}
		for m := g.first; m != nil; m = m.next {
			m.assignment = given[m.id]
		}
		for m := g.first; m != nil; m = m.next {
			if g.answerSync(m, g.synced(m)) {
				g.alive(m)
			}
		}
		g.enter(Stable)
	})
}

func (g *group) synced(m *member) *kmsg.SyncGroupResponse {
	resp := kmsg.NewSyncGroupResponse()
	if g.protocolType != "" {
		resp.ProtocolType = kmsg.StringPtr(g.protocolType)
	}
	resp.Protocol = g.protocol
	resp.MemberAssignment = m.assignment
	return &resp
}

// Heartbeat answers Heartbeat at once.
func (c *Coordinator) Heartbeat(now clock.Now, tok Token, req *kmsg.HeartbeatRequest,
	out *Effects) {
	c.begin(now, out)
	resp := kmsg.NewHeartbeatResponse()
	resp.Version = req.Version
	resp.ErrorCode = int16(c.heartbeat(req))
	c.reply(tok, &resp)
}

func (c *Coordinator) heartbeat(req *kmsg.HeartbeatRequest) protocol.Code {
	if req.Group == "" {
		return protocol.InvalidGroupId
	}
	_, g, code := c.find(req.Group)
	switch {
	case code == protocol.CoordinatorLoadInProgress:
		return protocol.None // nobody expires while groups load
	case code != protocol.None:
		return code
	case g == nil:
		return protocol.UnknownMemberId
	}
	m, code := g.check(req.MemberID, req.InstanceID)
	switch {
	case code != protocol.None:
		return code
	case req.Generation != g.generation:
		return protocol.IllegalGeneration
	}
	g.alive(m)
	if g.state == PreparingRebalance {
		return protocol.RebalanceInProgress
	}
	return protocol.None
}
