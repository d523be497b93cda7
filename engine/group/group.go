package group

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/internal/invariant"
	"millrace/protocol"
)

// consumerType is the protocol type whose subscriptions the coordinator can read.
const consumerType = "consumer"

// group is one classic group: its members, and the offsets committed for it.
type group struct {
	c     *Coordinator
	home  *partition
	name  string
	index int // in home.list
	dead  bool

	state State
	prev  State
	since int64 // milliseconds since the epoch when the state began; -1: not known

	protocolType string // "": none, offsets only
	protocol     *string
	generation   int32
	leader       string // "": none

	members     map[string]*member
	first, last *member // by time of joining; I7
	static      map[string]*member
	pending     map[string]*member // have an id, did not join with it yet
	awaiting    int                // members whose JoinGroup waits
	owing       int                // members whose SyncGroup did not come yet
	supported   map[string]int     // protocol → members that support it

	topics      map[string]bool // subscribed
	topicsKnown bool

	joinTimer      timer // ends PreparingRebalance
	syncTimer      timer // waits for all SyncGroups
	initialDelay   time.Duration
	initialLeft    time.Duration
	initialStarted bool // the join timer is that of the initial delay
	newcomer       bool // somebody joined during the initial delay

	offsets map[string]map[int32]*slot
}

// member is one member, or one that is to become it (pending).
type member struct {
	g         *group
	id        string
	instance  *string
	client    Client
	rebalance time.Duration
	session   time.Duration
	protocols []memberProtocol

	assignment []byte
	join       waiting
	sync       waiting
	isNew      bool // its first JoinGroup still waits
	owesSync   bool
	timer      timer
	next, prev *member
}

type memberProtocol struct {
	name     string
	metadata []byte
}

// waiting is a request that is not answered yet.
type waiting struct {
	on      bool
	tok     Token
	version int16
}

func (c *Coordinator) newGroup(p *partition, name string) *group {
	g := &group{
		c: c, home: p, name: strings.Clone(name),
		prev: Dead, since: c.now.Wall,
		members:   make(map[string]*member),
		supported: make(map[string]int),
	}
	g.joinTimer.fire = g.joinTimeout
	g.syncTimer.fire = g.syncTimeout
	p.insert(g)
	return g
}

func (p *partition) insert(g *group) {
	invariant.Check(p.groups[g.name] == nil)
	p.groups[g.name] = g
	g.index = len(p.list)
	p.list = append(p.list, g)
	g.dead = false
}

// remove takes the group out of its partition; it is dead until inserted again.
func (p *partition) remove(g *group) {
	last := p.list[len(p.list)-1]
	p.list[g.index] = last
	last.index = g.index
	p.list[len(p.list)-1] = nil
	p.list = p.list[:len(p.list)-1]
	delete(p.groups, g.name)
	g.dead = true
	g.c.timers.cancel(&g.joinTimer)
	g.c.timers.cancel(&g.syncTimer)
	for m := g.first; m != nil; m = m.next {
		g.c.timers.cancel(&m.timer)
	}
	for _, m := range g.pending {
		g.c.timers.cancel(&m.timer)
	}
	g.pending = nil
}

func (g *group) enter(s State) {
	g.prev, g.state = g.state, s
	g.since = g.c.now.Wall
}

// add makes m a member. It is pending no more.
func (g *group) add(m *member, protocolType string) {
	if m.instance != nil {
		invariant.Check(g.static[*m.instance] == nil)
		if g.static == nil {
			g.static = make(map[string]*member)
		}
		g.static[*m.instance] = m
	}
	if len(g.members) == 0 {
		g.protocolType = protocolType
	}
	if g.leader == "" {
		g.leader = m.id
	}
	g.members[m.id] = m
	m.prev = g.last
	if g.last == nil {
		g.first = m
	} else {
		g.last.next = m
	}
	g.last = m
	g.count(m, 1)
	g.dropPending(m.id)
}

func (g *group) dropPending(id string) {
	if m := g.pending[id]; m != nil {
		g.c.timers.cancel(&m.timer)
		delete(g.pending, id)
	}
}

// remove ends a membership. What waits is told that the member is unknown, upon which
// a client that still lives joins anew.
func (g *group) remove(m *member) {
	g.failJoin(m, "", protocol.UnknownMemberId)
	g.failSync(m, protocol.UnknownMemberId)
	g.c.timers.cancel(&m.timer)
	g.settleSync(m)
	g.count(m, -1)
	delete(g.members, m.id)
	if m.instance != nil {
		delete(g.static, *m.instance)
	}
	if m.prev == nil {
		g.first = m.next
	} else {
		m.prev.next = m.next
	}
	if m.next == nil {
		g.last = m.prev
	} else {
		m.next.prev = m.prev
	}
	m.next, m.prev = nil, nil
	if g.leader == m.id {
		g.leader = ""
		if g.first != nil {
			g.leader = g.first.id
		}
	}
}

// count notes the protocols that m supports, each once however often it is listed.
func (g *group) count(m *member, by int) {
	for i, p := range m.protocols {
		if slices.ContainsFunc(m.protocols[:i], func(q memberProtocol) bool {
			return q.name == p.name
		}) {
			continue
		}
		if g.supported[p.name] += by; g.supported[p.name] == 0 {
			delete(g.supported, p.name)
		}
	}
}

// setProtocols replaces what m said when it joined.
func (g *group) setProtocols(m *member, req *kmsg.JoinGroupRequest) {
	g.count(m, -1)
	m.protocols = copyProtocols(req.Protocols)
	m.rebalance, m.session = timeouts(req)
	g.count(m, 1)
}

func copyProtocols(from []kmsg.JoinGroupRequestProtocol) []memberProtocol {
	to := make([]memberProtocol, len(from))
	for i, p := range from {
		to[i] = memberProtocol{strings.Clone(p.Name), bytes.Clone(p.Metadata)}
	}
	return to
}

// timeouts of a request; version 0 has no rebalance timeout of its own.
func timeouts(req *kmsg.JoinGroupRequest) (rebalance, session time.Duration) {
	session = time.Duration(req.SessionTimeoutMillis) * time.Millisecond
	if req.Version == 0 {
		return session, session
	}
	return time.Duration(max(req.RebalanceTimeoutMillis, 0)) * time.Millisecond, session
}

func (m *member) matches(protocols []kmsg.JoinGroupRequestProtocol) bool {
	return slices.EqualFunc(m.protocols, protocols,
		func(a memberProtocol, b kmsg.JoinGroupRequestProtocol) bool {
			return a.name == b.Name && bytes.Equal(a.metadata, b.Metadata)
		})
}

// metadata is what m said for a protocol.
func (m *member) metadata(protocol *string) []byte {
	if protocol != nil {
		for _, p := range m.protocols {
			if p.name == *protocol {
				return p.metadata
			}
		}
	}
	return nil
}

// accepts says whether a member with these protocols leaves the group one in common.
func (g *group) accepts(protocolType string, protocols []kmsg.JoinGroupRequestProtocol) bool {
	if g.state == Empty {
		return protocolType != "" && len(protocols) > 0
	}
	if g.protocolType == "" || g.protocolType != protocolType {
		return false
	}
	for i := range protocols {
		if g.supported[protocols[i].Name] == len(g.members) {
			return true
		}
	}
	return false
}

// selectProtocol lets each member vote for the first of its protocols that all support.
// Among equals the first in the eldest member's order wins.
func (g *group) selectProtocol() string {
	votes := make(map[string]int)
	for m := g.first; m != nil; m = m.next {
		for _, p := range m.protocols {
			if g.supported[p.name] == len(g.members) {
				votes[p.name]++
				break
			}
		}
	}
	best := ""
	for _, p := range g.first.protocols {
		if votes[p.name] > votes[best] {
			best = p.name
		}
	}
	invariant.Check(votes[best] > 0) // accepts saw to it
	return best
}

func (g *group) rebalanceTimeout() time.Duration {
	var longest time.Duration
	for m := g.first; m != nil; m = m.next {
		longest = max(longest, m.rebalance)
	}
	return longest
}

func (g *group) allJoined() bool {
	return len(g.members) == g.awaiting && len(g.pending) == 0
}

// check is the part of a request's validation that all requests of members share.
func (g *group) check(id string, instance *string) (*member, protocol.Code) {
	if instance != nil {
		m := g.static[*instance]
		if m == nil {
			return nil, protocol.UnknownMemberId
		}
		if m.id != id {
			return nil, protocol.FencedInstanceId
		}
	}
	m := g.members[id]
	if m == nil {
		return nil, protocol.UnknownMemberId
	}
	return m, protocol.None
}

// awaitJoin lets a JoinGroup wait. An earlier one of the same member, whose client gave
// it up, is told to come again.
func (g *group) awaitJoin(m *member, w waiting) {
	g.failJoin(m, m.id, protocol.RebalanceInProgress)
	m.join = w
	g.awaiting++
}

func (g *group) failJoin(m *member, id string, code protocol.Code) {
	resp := kmsg.NewJoinGroupResponse()
	resp.MemberID = id
	resp.ErrorCode = int16(code)
	g.answerJoin(m, &resp)
}

// answerJoin answers the JoinGroup that waits, if there is one.
func (g *group) answerJoin(m *member, resp *kmsg.JoinGroupResponse) {
	if !m.join.on {
		return
	}
	resp.Version = m.join.version
	g.c.reply(m.join.tok, resp)
	m.join = waiting{}
	g.awaiting--
}

func (g *group) failSync(m *member, code protocol.Code) {
	resp := kmsg.NewSyncGroupResponse()
	resp.ErrorCode = int16(code)
	g.answerSync(m, &resp)
}

// answerSync answers the SyncGroup that waits, if there is one, and says so.
func (g *group) answerSync(m *member, resp *kmsg.SyncGroupResponse) bool {
	if !m.sync.on {
		return false
	}
	resp.Version = m.sync.version
	g.c.reply(m.sync.tok, resp)
	m.sync = waiting{}
	return true
}

// settleSync notes that m owes no SyncGroup (any more).
func (g *group) settleSync(m *member) {
	if m.owesSync {
		m.owesSync = false
		g.owing--
		if g.owing == 0 {
			g.c.timers.cancel(&g.syncTimer)
		}
	}
}

// alive sets m's session to expire, if nothing is heard of it.
func (g *group) alive(m *member) { g.c.arm(&m.timer, m.session) }
