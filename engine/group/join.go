package group

import (
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/internal/clock"
	"millrace/protocol"
)

// Versions of JoinGroup that brought something the coordinator minds.
const (
	joinNeedsID       = 4 // a member without an id is given one, and joins again with it
	joinSkipsAssigner = 9 // SkipAssignment: a leader that came back need not assign
)

// joining is a JoinGroup under way.
type joining struct {
	g      *group
	tok    Token
	client Client
	req    *kmsg.JoinGroupRequest
}

// Join answers JoinGroup, now or when the rebalance is through.
func (c *Coordinator) Join(now clock.Now, tok Token, client Client,
	req *kmsg.JoinGroupRequest, out *Effects) {
	c.begin(now, out)
	j := &joining{tok: tok, client: client, req: req}
	session := time.Duration(req.SessionTimeoutMillis) * time.Millisecond
	switch {
	case req.Group == "":
		c.refuseJoin(j, req.MemberID, protocol.InvalidGroupId)
		return
	case session < c.o.MinSessionTimeout || session > c.o.MaxSessionTimeout:
		c.refuseJoin(j, req.MemberID, protocol.InvalidSessionTimeout)
		return
	}
	p, g, code := c.find(req.Group)
	if code != protocol.None {
		c.refuseJoin(j, "", code)
		return
	}
	isNew := g == nil
	if isNew {
		if req.MemberID != "" {
			c.refuseJoin(j, req.MemberID, protocol.UnknownMemberId)
			return
		}
		g = c.newGroup(p, req.Group)
	}
	j.g = g
	appends := len(out.Appends)
	switch {
	case !g.hasRoom(req.MemberID):
		g.expel(req.MemberID)
		c.refuseJoin(j, "", protocol.GroupMaxSizeReached)
		g.completeIfJoined() // it may have been the last that was waited for
	case req.MemberID == "":
		g.joinNew(j)
	default:
		g.joinKnown(j)
	}
	if isNew && len(out.Appends) == appends {
		c.append(p, []Record{g.emptyRecord()}, func(code protocol.Code) {
			if code != protocol.None {
				g.dissolve(storeError(code))
			}
		})
	}
}

func (c *Coordinator) refuseJoin(j *joining, id string, code protocol.Code) {
	resp := j.req.ResponseKind().(*kmsg.JoinGroupResponse)
	resp.Default()
	resp.Version = j.req.Version
	resp.MemberID = id
	resp.ErrorCode = int16(code)
	c.reply(j.tok, resp)
}

// dissolve undoes a new group whose first record could not be stored.
func (g *group) dissolve(code protocol.Code) {
	if g.dead || g.generation > 0 || len(g.offsets) > 0 {
		return
	}
	for g.first != nil {
		g.failJoin(g.first, "", code)
		g.remove(g.first)
	}
	g.home.remove(g)
}

// hasRoom says whether a member may (still) join under group.max.size.
func (g *group) hasRoom(id string) bool {
	m := g.members[id]
	switch g.state {
	case PreparingRebalance:
		// Those that wait are counted: the size could be above a limit that was
		// lowered, and the last to rejoin are the ones to go.
		return m != nil && m.join.on || g.awaiting < g.c.o.MaxSize
	case CompletingRebalance, Stable:
		return m != nil || len(g.members) < g.c.o.MaxSize
	}
	return true
}

func (g *group) expel(id string) {
	if m := g.members[id]; m != nil {
		g.remove(m)
	}
	g.dropPending(id)
}

// joinNew serves a member without an id.
func (g *group) joinNew(j *joining) {
	c, req := g.c, j.req
	if !g.accepts(req.ProtocolType, req.Protocols) {
		c.refuseJoin(j, "", protocol.InconsistentGroupProtocol)
		return
	}
	switch {
	case req.InstanceID != nil:
		id := c.newMemberID(*req.InstanceID)
		if old := g.static[*req.InstanceID]; old != nil {
			g.replace(j, old, id)
			return
		}
		g.addAndRebalance(j, id)
	case req.Version < joinNeedsID:
		g.addAndRebalance(j, c.newMemberID(j.client.ID))
	case len(g.pending) >= pendingMax:
		c.refuseJoin(j, "", protocol.CoordinatorNotAvailable)
	default:
		id := c.newMemberID(j.client.ID)
		m := &member{g: g, id: id}
		m.timer.fire = func() { g.pendingTimeout(m) }
		if g.pending == nil {
			g.pending = make(map[string]*member)
		}
		g.pending[id] = m
		_, session := timeouts(req)
		c.arm(&m.timer, session)
		c.refuseJoin(j, id, protocol.MemberIdRequired)
	}
}

// joinKnown serves a member that names its id.
func (g *group) joinKnown(j *joining) {
	c, req := g.c, j.req
	if !g.accepts(req.ProtocolType, req.Protocols) {
		c.refuseJoin(j, req.MemberID, protocol.InconsistentGroupProtocol)
		return
	}
	if g.pending[req.MemberID] != nil && req.InstanceID == nil {
		g.addAndRebalance(j, req.MemberID)
		return
	}
	m, code := g.check(req.MemberID, req.InstanceID)
	if code != protocol.None {
		c.refuseJoin(j, req.MemberID, code)
		return
	}
	same := m.matches(req.Protocols)
	switch {
	case g.state == PreparingRebalance:
		g.updateAndRebalance(j, m)
	case g.state == CompletingRebalance && same:
		// It did not get our answer: the same again.
		c.reply(j.tok, g.joined(m, req.Version, g.leader == m.id))
	case g.state == CompletingRebalance:
		g.updateAndRebalance(j, m)
	case g.state == Stable && (g.leader == m.id || !same):
		// A leader may join to have topics' changes assigned; others when theirs change.
		g.updateAndRebalance(j, m)
	case g.state == Stable:
		c.reply(j.tok, g.joined(m, req.Version, false))
	default:
		c.refuseJoin(j, req.MemberID, protocol.UnknownMemberId)
	}
}

// joined is the answer that puts m into the generation, with all members for the leader.
func (g *group) joined(m *member, version int16, withMembers bool) *kmsg.JoinGroupResponse {
	resp := kmsg.NewJoinGroupResponse()
	resp.Version = version
	resp.MemberID = m.id
	resp.Generation = g.generation
	if g.protocolType != "" {
		resp.ProtocolType = kmsg.StringPtr(g.protocolType)
	}
	resp.Protocol = g.protocol
	resp.LeaderID = g.leader
	if withMembers {
		resp.Members = make([]kmsg.JoinGroupResponseMember, 0, len(g.members))
		for o := g.first; o != nil; o = o.next {
			resp.Members = append(resp.Members, kmsg.JoinGroupResponseMember{
				MemberID:         o.id,
				InstanceID:       o.instance,
				ProtocolMetadata: o.metadata(g.protocol),
			})
		}
	}
	return &resp
}

func (g *group) addAndRebalance(j *joining, id string) {
	req := j.req
	m := &member{
		g: g, id: strings.Clone(id),
		client:    Client{strings.Clone(j.client.ID), strings.Clone(j.client.Host)},
		protocols: copyProtocols(req.Protocols),
		isNew:     true,
	}
	m.rebalance, m.session = timeouts(req)
	if req.InstanceID != nil {
		m.instance = kmsg.StringPtr(strings.Clone(*req.InstanceID))
	}
	m.timer.fire = func() { g.sessionTimeout(m) }
	if g.state == PreparingRebalance && g.prev == Empty {
		g.newcomer = true // the initial delay is prolonged
	}
	g.add(m, strings.Clone(req.ProtocolType))
	g.awaitJoin(m, waiting{true, j.tok, req.Version})
	g.c.arm(&m.timer, newMemberTimeout)
	g.rebalanceOrComplete("a member joined")
}

func (g *group) updateAndRebalance(j *joining, m *member) {
	g.setProtocols(m, j.req)
	g.awaitJoin(m, waiting{true, j.tok, j.req.Version})
	g.rebalanceOrComplete("a member joined again")
}

// replace gives a static member that came back without an id a new one. A process that
// still runs under the old id is fenced by it.
func (g *group) replace(j *joining, m *member, id string) {
	oldLeader, oldID := g.leader, m.id
	g.rename(m, id)
	g.alive(m)
	oldProtocols, oldRebalance, oldSession := m.protocols, m.rebalance, m.session
	g.setProtocols(m, j.req)
	g.awaitJoin(m, waiting{true, j.tok, j.req.Version})
	switch g.state {
	case Stable:
		if g.protocol == nil || g.selectProtocol() != *g.protocol {
			g.rebalanceOrComplete("a static member changed its protocols")
			return
		}
		// Nothing changes but the id: no rebalance, only a record.
		g.c.append(g.home, []Record{g.record(nil)}, func(code protocol.Code) {
			if g.dead || g.members[id] != m {
				return
			}
			if code == protocol.None {
				g.replaced(m, oldLeader)
				return
			}
			resp := g.joined(m, 0, false)
			resp.MemberID, resp.LeaderID = "", oldLeader
			resp.ErrorCode = int16(storeError(code))
			g.answerJoin(m, resp)
			g.count(m, -1)
			m.protocols, m.rebalance, m.session = oldProtocols, oldRebalance, oldSession
			g.count(m, 1)
			g.rename(m, oldID)
			g.alive(m)
		})
	case CompletingRebalance:
		// The leader may have been told the old id: its assignment would miss the new one.
		g.prepare("a static member came back")
	default:
		g.completeIfJoined()
	}
}

// rename changes a member's id, and fences what waits under the old one.
func (g *group) rename(m *member, id string) {
	g.failJoin(m, m.id, protocol.FencedInstanceId)
	g.failSync(m, protocol.FencedInstanceId)
	delete(g.members, m.id)
	if g.leader == m.id {
		g.leader = id
	}
	m.id = id
	g.members[id] = m
}

// replaced answers a static member whose new id is durable. From version 9 on a leader
// is told that it leads but need not assign (KIP-814); before, it is told that its old
// self leads, so that it does not assign.
func (g *group) replaced(m *member, oldLeader string) {
	version := m.join.version
	leads := g.leader == m.id
	resp := g.joined(m, version, leads && version >= joinSkipsAssigner)
	if version >= joinSkipsAssigner {
		resp.SkipAssignment = leads
	} else {
		resp.LeaderID = oldLeader
	}
	g.answerJoin(m, resp)
	g.alive(m)
}
