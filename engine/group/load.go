package group

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/internal/clock"
	"millrace/internal/invariant"
	"millrace/protocol"
)

// Loading begins to own a partition of __consumer_offsets: its groups are answered with
// COORDINATOR_LOAD_IN_PROGRESS until LoadDone. Before it and after Unload the answer is
// NOT_COORDINATOR.
func (c *Coordinator) Loading(partitionID int32) {
	invariant.Check(c.partitions[partitionID] == nil)
	p := &partition{id: partitionID, loading: true, groups: make(map[string]*group)}
	p.sweep.fire = func() { p.sweepNow(c) }
	c.partitions[partitionID] = p
	c.order = append(c.order, p)
}

// Load replays one record, in offset order. key and value are only read during the call; a
// nil value is a tombstone. Records of other kinds (of groups of the newer protocols) and
// those that cannot be read are counted and left out.
func (c *Coordinator) Load(partitionID int32, key, value []byte) {
	p := c.partitions[partitionID]
	invariant.Check(p != nil && p.loading)
	if len(key) < 2 {
		c.bad++
		return
	}
	ok := true
	switch int16(binary.BigEndian.Uint16(key)) {
	case 0, offsetKeyVersion:
		ok = c.loadPlain(p, key, value) || c.loadOffset(p, key, value)
	case groupKeyVersion:
		ok = c.loadGroup(p, key, value)
	default:
		c.skipped++
	}
	if !ok {
		c.bad++
	}
}

func (c *Coordinator) loadOffset(p *partition, key, value []byte) bool {
	var k kmsg.OffsetCommitKey
	if k.ReadFrom(key) != nil {
		return false
	}
	g := p.groups[k.Group]
	if value == nil {
		if g != nil {
			if s := g.offsets[k.Topic][k.Partition]; s != nil {
				ch := g.reserve(k.Topic, k.Partition, true)
				g.apply([]change{ch}, protocol.None)
			}
		}
		return true
	}
	v := kmsg.NewOffsetCommitValue()
	if !knownVersion(value, offsetValueVersion) || v.ReadFrom(value) != nil {
		return false
	}
	if g == nil {
		g = c.newGroup(p, k.Group)
		g.since = -1
	}
	ch := g.reserve(k.Topic, k.Partition, false)
	ch.commit = commit{
		offset: v.Offset, at: v.CommitTimestamp, deadline: -1, epoch: -1,
		metadata: v.Metadata, topicID: v.TopicID,
	}
	if v.Version >= 3 {
		ch.commit.epoch = v.LeaderEpoch
	}
	if v.Version == offsetValueWithDeadline {
		ch.commit.deadline = v.ExpireTimestamp
	}
	g.apply([]change{ch}, protocol.None)
	return true
}

// knownVersion says whether a value is of a version that can be read, up to the newest.
func knownVersion(value []byte, newest uint16) bool {
	return len(value) >= 2 && binary.BigEndian.Uint16(value) <= newest
}

// groupValueRead is the newest GroupMetadataValue: flexible, not written by anybody yet.
const groupValueRead = 4

func (c *Coordinator) loadGroup(p *partition, key, value []byte) bool {
	var k kmsg.GroupMetadataKey
	if k.ReadFrom(key) != nil {
		return false
	}
	old := p.groups[k.Group]
	if value == nil {
		if old != nil {
			p.remove(old)
			if len(old.offsets) > 0 { // should not be; they go on without members
				g := c.newGroup(p, k.Group)
				g.offsets, g.since = old.offsets, -1
			}
		}
		return true
	}
	v := kmsg.NewGroupMetadataValue()
	if !knownVersion(value, groupValueRead) || v.ReadFrom(value) != nil ||
		!plausible(&v) {
		return false
	}
	if old != nil {
		p.remove(old)
	}
	g := c.newGroup(p, k.Group)
	if old != nil {
		g.offsets = old.offsets
	}
	g.restore(&v)
	return true
}

// plausible says whether the members of a record can be members of one group.
func plausible(v *kmsg.GroupMetadataValue) bool {
	ids, instances := make(map[string]bool), make(map[string]bool)
	for i := range v.Members {
		m := &v.Members[i]
		if v.Protocol == nil || m.MemberID == "" || ids[m.MemberID] {
			return false
		}
		ids[m.MemberID] = true
		if m.InstanceID != nil {
			if instances[*m.InstanceID] {
				return false
			}
			instances[*m.InstanceID] = true
		}
	}
	return true
}

func (g *group) restore(v *kmsg.GroupMetadataValue) {
	g.protocolType, g.protocol, g.generation = v.ProtocolType, v.Protocol, v.Generation
	g.since = -1
	if v.Version >= 2 {
		g.since = v.CurrentStateTimestamp
	}
	if v.Leader != nil {
		g.leader = *v.Leader
	}
	for i := range v.Members {
		r := &v.Members[i]
		m := &member{
			g: g, id: r.MemberID, instance: r.InstanceID,
			client:     Client{r.ClientID, r.ClientHost},
			session:    time.Duration(max(r.SessionTimeoutMillis, 0)) * time.Millisecond,
			assignment: bytes.Clone(r.Assignment),
			protocols:  []memberProtocol{{*v.Protocol, bytes.Clone(r.Subscription)}},
		}
		m.rebalance = m.session
		if r.RebalanceTimeoutMillis >= 0 {
			m.rebalance = time.Duration(r.RebalanceTimeoutMillis) * time.Millisecond
		}
		m.timer.fire = func() { g.sessionTimeout(m) }
		g.add(m, v.ProtocolType)
	}
	switch {
	case len(g.members) == 0:
		g.protocol, g.leader = nil, ""
	case g.members[g.leader] == nil:
		g.leader = g.first.id
		fallthrough
	default:
		g.state = Stable
	}
	g.learnTopics()
}

// LoadDone opens the partition for requests and starts the members' timers.
func (c *Coordinator) LoadDone(now clock.Now, partitionID int32, out *Effects) {
	c.begin(now, out)
	p := c.partitions[partitionID]
	invariant.Check(p != nil && p.loading)
	p.loading = false
	for _, g := range p.list {
		for m := g.first; m != nil; m = m.next {
			g.alive(m)
		}
		if len(g.members) > c.o.MaxSize {
			g.prepare("the group is larger than group.max.size")
		}
	}
	c.arm(&p.sweep, c.o.RetentionCheck)
}

// Unload gives a partition up: waiting members are told NOT_COORDINATOR. Batches under way
// are still to be reported.
func (c *Coordinator) Unload(now clock.Now, partitionID int32, out *Effects) {
	c.begin(now, out)
	p := c.partitions[partitionID]
	invariant.Check(p != nil)
	delete(c.partitions, partitionID)
	c.order = slices.DeleteFunc(c.order, func(o *partition) bool { return o == p })
	c.timers.cancel(&p.sweep)
	for len(p.list) > 0 {
		g := p.list[0]
		p.remove(g)
		for m := g.first; m != nil; m = m.next {
			g.failJoin(m, m.id, protocol.NotCoordinator)
			g.failSync(m, protocol.NotCoordinator)
		}
		for _, slots := range g.offsets {
			for _, s := range slots {
				g.countOffset(s.stored, false)
			}
		}
	}
	p.gone = true
}
