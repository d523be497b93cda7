package sim

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
)

// simGroup is what all members of one group know together. Its rules: in one
// generation a partition has one owner, and committed offsets never go back.
type simGroup struct {
	name   string
	topic  *dataTopic
	owners map[[2]int32]string // generation, partition → member
	sure   []int64             // the largest commit acknowledged, per partition
	floor  []int64             // and when the broker started
	tried  []int64             // the largest commit sent
}

// simMember is a member of a classic group: it joins, is assigned partitions, counts
// its offsets up, commits them, and leaves or vanishes now and then.
type simMember struct {
	b          *brokerRun
	g          *simGroup
	link       *link
	id         string
	generation int32
	mine       []int32
	at         []int64 // per partition of mine
}

func newGroup(b *brokerRun) *simGroup {
	t := b.topics[0]
	g := &simGroup{name: "members", topic: t, owners: map[[2]int32]string{},
		sure: make([]int64, len(t.parts)), tried: make([]int64, len(t.parts)),
		floor: make([]int64, len(t.parts))}
	for i := range g.sure {
		g.sure[i], g.tried[i], g.floor[i] = -1, -1, -1
	}
	return g
}

func newMember(b *brokerRun, g *simGroup) *simMember {
	m := &simMember{b: b, g: g}
	m.link = newLink(b, m.join, nil)
	return m
}

func (m *simMember) soon(do func()) { m.link.soon(20*time.Millisecond, do) }

// again handles the errors that every answer of a group may have; false: there is none.
func (m *simMember) again(code protocol.Code) bool {
	switch code {
	case protocol.None:
		return false
	case protocol.RebalanceInProgress:
		m.mine = nil
		m.soon(m.join)
	case protocol.IllegalGeneration, protocol.UnknownMemberId:
		m.id, m.mine = "", nil
		m.soon(m.join)
	case protocol.CoordinatorLoadInProgress, protocol.NotCoordinator, protocol.CoordinatorNotAvailable:
		m.soon(m.join)
	default:
		if m.b.refused(code) {
			m.soon(m.join)
			return true
		}
		m.b.fail("group member %q: %v", m.id, code)
	}
	return true
}

func (m *simMember) join() {
	if m.b.ending {
		return
	}
	req := kmsg.NewPtrJoinGroupRequest()
	req.SetVersion(int16(4 + m.b.rng.IntN(5)))
	req.Group, req.MemberID, req.ProtocolType = m.g.name, m.id, "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 6000, 6000
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "mine", Metadata: []byte("m")}}
	m.link.ask(req, func(r kmsg.Response) {
		resp := r.(*kmsg.JoinGroupResponse)
		code := protocol.Code(resp.ErrorCode)
		if code == protocol.MemberIdRequired {
			m.b.check(m.id == "" && resp.MemberID != "", "member id required, given %q for %q", resp.MemberID, m.id)
			m.id = resp.MemberID
			m.join()
			return
		}
		if m.again(code) {
			return
		}
		m.id, m.generation = resp.MemberID, resp.Generation
		m.sync(resp)
	})
}

// sync hands the assignment over, if this member leads, and takes its own.
func (m *simMember) sync(joined *kmsg.JoinGroupResponse) {
	req := kmsg.NewPtrSyncGroupRequest()
	req.SetVersion(int16(1 + m.b.rng.IntN(4)))
	req.Group, req.MemberID, req.Generation = m.g.name, m.id, m.generation
	if joined.LeaderID == m.id {
		var ids []string
		for _, x := range joined.Members {
			ids = append(ids, x.MemberID)
		}
		m.b.check(slices.Contains(ids, m.id), "the leader %q is not among the members %q", m.id, ids)
		slices.Sort(ids)
		for i, id := range ids {
			var mine []byte
			for p := i; p < len(m.g.topic.parts); p += len(ids) {
				mine = binary.BigEndian.AppendUint32(mine, uint32(p))
			}
			req.GroupAssignment = append(req.GroupAssignment,
				kmsg.SyncGroupRequestGroupAssignment{MemberID: id, MemberAssignment: mine})
		}
	}
	m.link.ask(req, func(r kmsg.Response) {
		resp := r.(*kmsg.SyncGroupResponse)
		if m.again(protocol.Code(resp.ErrorCode)) {
			return
		}
		m.assigned(resp.MemberAssignment)
	})
}

func (m *simMember) assigned(mine []byte) {
	m.mine, m.at = nil, nil
	for ; len(mine) >= 4; mine = mine[4:] {
		p := int32(binary.BigEndian.Uint32(mine))
		key := [2]int32{m.generation, p}
		owner, taken := m.g.owners[key]
		m.b.check(!taken || owner == m.id, "partition %d has two owners in generation %d: %q and %q",
			p, m.generation, owner, m.id)
		m.g.owners[key] = m.id
		m.mine = append(m.mine, p)
	}
	m.b.w.Tally[Assigned]++
	m.position()
}

// position learns where the group stands.
func (m *simMember) position() {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.SetVersion(int16(2 + m.b.rng.IntN(6)))
	req.Group = m.g.name
	req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: m.g.topic.name, Partitions: m.mine}}
	m.link.ask(req, func(r kmsg.Response) {
		resp := r.(*kmsg.OffsetFetchResponse)
		if m.again(protocol.Code(resp.ErrorCode)) {
			return
		}
		m.at = make([]int64, len(m.mine))
		for i, p := range m.mine {
			got := resp.Topics[0].Partitions[i]
			m.b.check(got.Partition == p, "OffsetFetch answers for partition %d, asked was %d", got.Partition, p)
			m.b.check(got.Offset >= m.g.sure[p] && got.Offset <= m.g.tried[p],
				"group offset of partition %d is %d; acknowledged was %d, sent %d", p, got.Offset,
				m.g.sure[p], m.g.tried[p])
			m.at[i] = got.Offset
		}
		m.next()
	})
}

func (m *simMember) next() {
	switch n := m.b.rng.IntN(40); {
	case m.b.ending:
	case n == 0:
		m.leave()
	case n == 1: // vanishes; its session ends by itself
		m.id, m.mine = "", nil
		m.link.drop()
	case n == 2: // is away for a while
		m.link.soon(9*time.Second, m.heartbeat)
	case n < 20 && len(m.mine) > 0:
		m.commit()
	default:
		m.heartbeat()
	}
}

func (m *simMember) heartbeat() {
	req := kmsg.NewPtrHeartbeatRequest()
	req.SetVersion(int16(m.b.rng.IntN(5)))
	req.Group, req.MemberID, req.Generation = m.g.name, m.id, m.generation
	m.link.ask(req, func(r kmsg.Response) {
		if !m.again(protocol.Code(r.(*kmsg.HeartbeatResponse).ErrorCode)) {
			m.soon(m.next)
		}
	})
}

// commit counts one partition's offset up.
func (m *simMember) commit() {
	i := m.b.rng.IntN(len(m.mine))
	p := m.mine[i]
	m.at[i]++
	offset := m.at[i]
	m.g.tried[p] = max(m.g.tried[p], offset)
	req := kmsg.NewPtrOffsetCommitRequest()
	req.SetVersion(int16(2 + m.b.rng.IntN(8)))
	req.Group, req.MemberID, req.Generation = m.g.name, m.id, m.generation
	req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: m.g.topic.name, TopicID: m.g.topic.id,
		Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Partition: p, Offset: offset, LeaderEpoch: -1}}}}
	m.link.ask(req, func(r kmsg.Response) {
		code := protocol.Code(r.(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode)
		if m.again(code) {
			return
		}
		m.b.check(offset >= m.g.sure[p], "%q of generation %d commits %d for partition %d after %d",
			m.id, m.generation, offset, p, m.g.sure[p])
		m.g.sure[p] = max(m.g.sure[p], offset)
		m.b.w.Tally[Commits]++
		m.soon(m.next)
	})
}

func (m *simMember) leave() {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.SetVersion(int16(m.b.rng.IntN(3)))
	req.Group, req.MemberID = m.g.name, m.id
	m.link.ask(req, func(r kmsg.Response) {
		code := protocol.Code(r.(*kmsg.LeaveGroupResponse).ErrorCode)
		m.id, m.mine = "", nil
		if code != protocol.UnknownMemberId && m.again(code) {
			return
		}
		m.soon(m.join)
	})
}
