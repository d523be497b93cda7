package group

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/internal/clock"
	"millrace/protocol"
)

// leaveBatches is the first version of LeaveGroup that names several members.
const leaveBatches = 3

// Leave answers LeaveGroup: at once, or when an empty group's record is durable.
func (c *Coordinator) Leave(now clock.Now, tok Token, req *kmsg.LeaveGroupRequest,
	out *Effects) {
	c.begin(now, out)
	resp := kmsg.NewLeaveGroupResponse()
	resp.Version = req.Version
	_, g, code := c.find(req.Group)
	if req.Group == "" {
		code = protocol.InvalidGroupId
	}
	if code != protocol.None {
		resp.ErrorCode = int16(code)
		c.reply(tok, &resp)
		return
	}
	members := req.Members
	if req.Version < leaveBatches {
		members = []kmsg.LeaveGroupRequestMember{{MemberID: req.MemberID}}
	}
	left := false
	for i := range members {
		m := kmsg.NewLeaveGroupResponseMember()
		m.MemberID, m.InstanceID = members[i].MemberID, members[i].InstanceID
		code := protocol.UnknownMemberId
		if g != nil {
			code = g.leave(&members[i])
		}
		m.ErrorCode = int16(code)
		left = left || code == protocol.None
		resp.Members = append(resp.Members, m)
	}
	if req.Version < leaveBatches {
		resp.ErrorCode = resp.Members[0].ErrorCode
		resp.Members = nil
	}
	var b *batch
	if left {
		switch g.state {
		case Stable, CompletingRebalance:
			b = g.prepare("members left")
		case PreparingRebalance:
			b = g.completeIfJoined()
		}
	}
	if b == nil {
		c.reply(tok, &resp)
		return
	}
	b.then(func(code protocol.Code) {
		if code != protocol.None {
			resp.ErrorCode, resp.Members = int16(storeError(code)), nil
		}
		c.reply(tok, &resp)
	})
}

// leave ends one membership. An administrator names a static member by instance only.
func (g *group) leave(who *kmsg.LeaveGroupRequestMember) protocol.Code {
	if who.MemberID == "" {
		if who.InstanceID == nil || g.static[*who.InstanceID] == nil {
			return protocol.UnknownMemberId
		}
		g.remove(g.static[*who.InstanceID])
		return protocol.None
	}
	if g.pending[who.MemberID] != nil {
		g.dropPending(who.MemberID)
		return protocol.None
	}
	m, code := g.check(who.MemberID, who.InstanceID)
	if code == protocol.None {
		g.remove(m)
	}
	return code
}
