package group

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/internal/clock"
	"millrace/protocol"
)

// removal gathers tombstones for one batch and what follows when it is durable.
type removal struct {
	records []Record
	parts   []removedPart
}

type removedPart struct {
	g       *group
	changes []change
	whole   bool // the group itself goes, too
}

// offsets adds the slots of g that pick chooses, in order. A slot that only waits to be
// stored is chosen, too: the tombstone comes after it.
func (r *removal) offsets(g *group, pick func(topic string, n int32, s *slot) bool) {
	var changes []change
	for _, topic := range sortedKeys(g.offsets) {
		slots := g.offsets[topic]
		for _, n := range sortedKeys(slots) {
			if s := slots[n]; s.wanted && pick(topic, n, s) {
				changes = append(changes, g.reserve(topic, n, true))
				r.records = append(r.records, Record{Key: offsetKey(g.name, topic, n)})
			}
		}
	}
	if len(changes) > 0 {
		r.parts = append(r.parts, removedPart{g: g, changes: changes})
	}
}

// group adds the group itself, which is out of sight at once.
func (r *removal) group(g *group) {
	r.records = append(r.records, Record{Key: groupKey(g.name)})
	r.parts = append(r.parts, removedPart{g: g, whole: true})
	g.home.remove(g)
}

func anyOffset(string, int32, *slot) bool { return true }

// write sends the tombstones, the groups' last. If it fails, groups come back, unless there
// are new ones of their names. What does not fit a batch goes in several: a crash between
// them leaves the group with fewer offsets, and nobody was told that it is gone.
func (r *removal) write(c *Coordinator, p *partition, then func(protocol.Code)) {
	parts, records := r.parts, r.records
	r.records, r.parts = nil, nil
	left, result := 0, protocol.None
	done := func(code protocol.Code) {
		left--
		if result == protocol.None {
			result = code
		}
		if left > 0 {
			return
		}
		for _, part := range parts {
			part.g.apply(part.changes, result)
			if part.whole && result != protocol.None && p.groups[part.g.name] == nil &&
				!p.gone {
				p.insert(part.g)
			}
		}
		then(result)
	}
	var chunks [][]Record
	for len(records) > 0 {
		n := chunk(records, c.o.BatchMax)
		chunks = append(chunks, records[:n])
		records = records[n:]
	}
	left = len(chunks)
	for _, chunk := range chunks {
		c.append(p, chunk, done)
	}
}

// chunk is how many of the records fit a batch; one at least.
func chunk(records []Record, limit int) int {
	size := batchOverhead
	for i := range records {
		size += records[i].size()
		if size > limit && i > 0 {
			return i
		}
	}
	return len(records)
}

// Delete deletes one group and its offsets; it replies with a DeleteGroupsResponse of one
// group when that is durable.
func (c *Coordinator) Delete(now clock.Now, tok Token, name string, version int16,
	out *Effects) {
	c.begin(now, out)
	resp := kmsg.NewDeleteGroupsResponse()
	resp.Version = version
	one := kmsg.NewDeleteGroupsResponseGroup()
	one.Group = name
	p, g, code := c.find(name)
	switch {
	case code != protocol.None:
	case g == nil:
		code = protocol.GroupIdNotFound
	case g.state != Empty:
		code = protocol.NonEmptyGroup
	}
	finish := func(code protocol.Code) {
		one.ErrorCode = int16(code)
		resp.Groups = []kmsg.DeleteGroupsResponseGroup{one}
		c.reply(tok, &resp)
	}
	if code != protocol.None {
		finish(code)
		return
	}
	var r removal
	r.offsets(g, anyOffset)
	r.group(g)
	r.write(c, p, func(code protocol.Code) { finish(storeError(code)) })
}

// DeleteOffsets answers OffsetDelete when it is durable.
func (c *Coordinator) DeleteOffsets(now clock.Now, tok Token, req *kmsg.OffsetDeleteRequest,
	out *Effects) {
	c.begin(now, out)
	resp := kmsg.NewOffsetDeleteResponse()
	resp.Version = req.Version
	fail := func(code protocol.Code) {
		resp.ErrorCode, resp.Topics = int16(code), nil
		c.reply(tok, &resp)
	}
	p, g, code := c.deleting(req)
	if code != protocol.None {
		fail(code)
		return
	}
	var r removal
	for _, asked := range req.Topics {
		t := kmsg.NewOffsetDeleteResponseTopic()
		t.Topic = asked.Topic
		_, partitions, known := c.o.Topics.ByName(asked.Topic)
		chosen := make(map[int32]bool, len(asked.Partitions))
		for _, ap := range asked.Partitions {
			to := kmsg.NewOffsetDeleteResponseTopicPartition()
			to.Partition = ap.Partition
			switch {
			case !known || ap.Partition < 0 || ap.Partition >= partitions:
				to.ErrorCode = int16(protocol.UnknownTopicOrPartition)
			case g.subscribes(asked.Topic):
				to.ErrorCode = int16(protocol.GroupSubscribedToTopic)
			default:
				chosen[ap.Partition] = true
			}
			t.Partitions = append(t.Partitions, to)
		}
		r.offsets(g, func(topic string, n int32, _ *slot) bool {
			return topic == asked.Topic && chosen[n]
		})
		resp.Topics = append(resp.Topics, t)
	}
	if len(r.records) == 0 {
		c.reply(tok, &resp)
		return
	}
	r.write(c, p, func(code protocol.Code) {
		if code != protocol.None {
			fail(storeError(code))
			return
		}
		c.reply(tok, &resp)
	})
}

func (c *Coordinator) deleting(req *kmsg.OffsetDeleteRequest) (*partition, *group,
	protocol.Code) {
	if req.Group == "" {
		return nil, nil, protocol.InvalidGroupId
	}
	p, g, code := c.find(req.Group)
	switch {
	case code != protocol.None:
		return nil, nil, code
	case g == nil:
		return nil, nil, protocol.GroupIdNotFound
	case g.state != Empty && g.protocolType != consumerType:
		return nil, nil, protocol.NonEmptyGroup
	}
	return p, g, protocol.None
}

// TopicsDeleted removes the offsets committed for topics that are no more.
func (c *Coordinator) TopicsDeleted(now clock.Now, topics []string, out *Effects) {
	c.begin(now, out)
	gone := make(map[string]bool, len(topics))
	for _, t := range topics {
		gone[t] = true
	}
	for _, p := range c.order {
		var r removal
		for _, g := range p.list {
			if g.knowsAny(topics) {
				r.offsets(g, func(topic string, _ int32, _ *slot) bool { return gone[topic] })
			}
			if len(r.records) >= sweepRecords {
				r.write(c, p, func(protocol.Code) {})
			}
		}
		if len(r.records) > 0 {
			r.write(c, p, func(protocol.Code) {})
		}
	}
}

func (g *group) knowsAny(topics []string) bool {
	for _, t := range topics {
		if g.offsets[t] != nil {
			return true
		}
	}
	return false
}

// sweepNow is a step of offset retention: some groups of a partition, then the next after
// the interval, or at once if the round is not through.
func (p *partition) sweepNow(c *Coordinator) {
	var r removal
	for range sweepGroups {
		if p.cursor >= len(p.list) || len(r.records) >= sweepRecords {
			break
		}
		g := p.list[p.cursor]
		if g.sweep(&r) {
			r.group(g) // another group takes its place in the list
			continue
		}
		p.cursor++
	}
	if len(r.records) > 0 {
		r.write(c, p, func(protocol.Code) {})
	}
	if p.cursor >= len(p.list) {
		p.cursor = 0
		c.arm(&p.sweep, c.o.RetentionCheck)
		return
	}
	c.arm(&p.sweep, 1) // the rest in the next turn
}

// sweep removes the offsets that expired, and says whether the group can go with them.
// An Empty group's offsets are kept for the retention time from when it became empty; a
// consumer group's that it does not subscribe to, and those of a group that has only
// offsets, from their commit.
func (g *group) sweep(r *removal) (all bool) {
	now, retention := g.c.aged, g.c.o.OffsetsRetention.Milliseconds()
	expires := g.protocolType == "" || g.state == Empty ||
		g.protocolType == consumerType && g.topicsKnown && g.state == Stable
	all = g.state == Empty && len(g.pending) == 0
	r.offsets(g, func(topic string, _ int32, s *slot) bool {
		if s.inFlight > 0 {
			return false
		}
		if id, _, ok := g.c.o.Topics.ByName(topic); !s.topicID.IsZero() && (!ok || s.strange(id)) {
			return true // the topic was deleted while nobody looked
		}
		from := s.at
		if g.protocolType != "" && g.state == Empty && g.since >= 0 {
			from = g.since
		}
		old := now-from >= retention
		if s.deadline >= 0 {
			old = now >= s.deadline
		}
		return expires && old && !g.subscribes(topic)
	})
	for _, slots := range g.offsets {
		for _, s := range slots {
			all = all && !s.wanted
		}
	}
	return all
}
