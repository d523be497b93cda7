package group

import (
	"strings"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/internal/clock"
	"millrace/protocol"
)

// Versions of OffsetCommit that brought something the coordinator minds.
const (
	commitSaysNoGroup = 9  // GROUP_ID_NOT_FOUND, not ILLEGAL_GENERATION
	commitByID        = 10 // topics by id
)

// commit is one committed offset.
type commit struct {
	offset   int64
	at       int64 // milliseconds since the epoch
	deadline int64 // when it expires, of a client that said so; -1
	epoch    int32 // leader epoch, -1
	metadata string
	topicID  protocol.TopicID
}

// slot is the place of one partition's offset. What is readable is durable (I4).
type slot struct {
	commit
	stored   bool
	wanted   bool  // it will be stored when all that is on its way has arrived
	inFlight int32 // batches under way that write it
}

// change is one slot's part in a batch.
type change struct {
	topic     string
	partition int32
	slot      *slot
	drop      bool
	commit    commit
}

// reserve returns the change that will write a slot, making the slot if need be.
func (g *group) reserve(topic string, partition int32, drop bool) change {
	slots := g.offsets[topic]
	if slots == nil {
		if g.offsets == nil {
			g.offsets = make(map[string]map[int32]*slot)
		}
		topic = strings.Clone(topic)
		slots = make(map[int32]*slot)
		g.offsets[topic] = slots
	}
	s := slots[partition]
	if s == nil {
		s = new(slot)
		slots[partition] = s
	}
	s.inFlight++
	s.wanted = !drop
	return change{topic: topic, partition: partition, slot: s, drop: drop}
}

// apply makes the changes of a batch readable, or forgets them.
func (g *group) apply(changes []change, code protocol.Code) {
	for i := range changes {
		ch := &changes[i]
		s := ch.slot
		s.inFlight--
		if code == protocol.None {
			was := s.stored
			s.stored, s.commit = !ch.drop, ch.commit
			g.countOffset(was, s.stored)
		}
		if s.inFlight > 0 {
			continue
		}
		s.wanted = s.stored
		if !s.stored {
			delete(g.offsets[ch.topic], ch.partition)
			if len(g.offsets[ch.topic]) == 0 {
				delete(g.offsets, ch.topic)
			}
		}
	}
}

func (g *group) countOffset(was, is bool) {
	switch {
	case g.home.gone: // its offsets are counted no more
	case is && !was:
		g.c.offsets++
	case was && !is:
		g.c.offsets--
	}
}

// Commit answers OffsetCommit when the offsets are durable.
func (c *Coordinator) Commit(now clock.Now, tok Token, req *kmsg.OffsetCommitRequest,
	out *Effects) {
	c.begin(now, out)
	resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
	resp.Topics = make([]kmsg.OffsetCommitResponseTopic, len(req.Topics))
	valid := 0
	for i := range req.Topics {
		valid += c.resolveCommit(req, &req.Topics[i], &resp.Topics[i])
	}
	if valid == 0 {
		c.reply(tok, resp)
		return
	}
	g, code := c.committing(req)
	if code != protocol.None {
		failCommit(resp, code)
		c.reply(tok, resp)
		return
	}
	if g.state == Stable || g.state == PreparingRebalance {
		g.alive(g.members[req.MemberID])
	}
	changes, records := g.stage(req, resp, valid)
	if len(records) == 0 {
		g.forgetIfBlank()
		c.reply(tok, resp)
		return
	}
	c.append(g.home, records, func(code protocol.Code) {
		g.apply(changes, code)
		if code != protocol.None {
			failCommit(resp, storeError(code))
			g.forgetIfBlank()
		}
		c.reply(tok, resp)
	})
}

// stage makes the records of the partitions that have no error yet.
func (g *group) stage(req *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse,
	valid int) ([]change, []Record) {
	changes := make([]change, 0, valid)
	records := make([]Record, 0, valid)
	for i := range resp.Topics {
		t := &resp.Topics[i]
		id, _, _ := g.c.o.Topics.ByName(t.Topic)
		for j := range t.Partitions {
			p := &req.Topics[i].Partitions[j]
			if t.Partitions[j].ErrorCode != 0 {
				continue
			}
			if p.Metadata != nil && utf16Len(*p.Metadata) > g.c.o.OffsetMetadataMax {
				t.Partitions[j].ErrorCode = int16(protocol.OffsetMetadataTooLarge)
				continue
			}
			ch := g.reserve(t.Topic, p.Partition, false)
			ch.commit = g.c.newCommit(req, p)
			ch.commit.topicID = id
			changes = append(changes, ch)
			records = append(records, offsetRecord(g.name, ch.topic, ch.partition, &ch.commit))
		}
	}
	return changes, records
}

// resolveCommit fills one topic of the answer with the errors that the topic itself
// gives, and counts the partitions without one.
func (c *Coordinator) resolveCommit(req *kmsg.OffsetCommitRequest,
	t *kmsg.OffsetCommitRequestTopic, to *kmsg.OffsetCommitResponseTopic) (valid int) {
	to.Topic, to.TopicID = strings.Clone(t.Topic), t.TopicID
	var partitions int32
	known, unknown := false, protocol.UnknownTopicOrPartition
	if req.Version >= commitByID {
		to.Topic, partitions, known = c.o.Topics.ByID(t.TopicID)
		unknown = protocol.UnknownTopicId
	} else {
		_, partitions, known = c.o.Topics.ByName(t.Topic)
	}
	to.Partitions = make([]kmsg.OffsetCommitResponseTopicPartition, len(t.Partitions))
	for i := range t.Partitions {
		p := &t.Partitions[i]
		code := protocol.None
		switch {
		case !known:
			code = unknown
		case p.Partition < 0 || p.Partition >= partitions:
			code = protocol.UnknownTopicOrPartition
		}
		if code == protocol.None {
			valid++
		}
		to.Partitions[i].Partition, to.Partitions[i].ErrorCode = p.Partition, int16(code)
	}
	return valid
}

// utf16Len is the length as Java counts it.
func utf16Len(s string) int {
	n := utf8.RuneCountInString(s)
	for _, r := range s {
		if r >= 0x10000 {
			n++
		}
	}
	return n
}

// failCommit puts a code on all partitions that have none.
func failCommit(resp *kmsg.OffsetCommitResponse, code protocol.Code) {
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			if p := &resp.Topics[i].Partitions[j]; p.ErrorCode == 0 {
				p.ErrorCode = int16(code)
			}
		}
	}
}

func (c *Coordinator) newCommit(req *kmsg.OffsetCommitRequest,
	p *kmsg.OffsetCommitRequestTopicPartition) commit {
	to := commit{offset: p.Offset, at: c.now.Wall, deadline: -1, epoch: p.LeaderEpoch}
	if p.Metadata != nil {
		to.metadata = strings.Clone(*p.Metadata)
	}
	if req.RetentionTimeMillis >= 0 {
		to.deadline = c.now.Wall + req.RetentionTimeMillis
	}
	return to
}

// committing finds the group that a commit is for. One that only stores offsets is made
// by its first commit.
func (c *Coordinator) committing(req *kmsg.OffsetCommitRequest) (*group, protocol.Code) {
	p, g, code := c.find(req.Group)
	if code != protocol.None {
		return nil, code
	}
	if g == nil {
		switch {
		case req.Generation < 0:
			return c.newGroup(p, req.Group), protocol.None
		case req.Version >= commitSaysNoGroup:
			return nil, protocol.GroupIdNotFound
		}
		return nil, protocol.IllegalGeneration
	}
	if req.Generation < 0 && g.state == Empty {
		return g, protocol.None // an administrator, or a consumer that manages itself
	}
	if req.Generation < 0 && req.MemberID == "" && req.InstanceID == nil {
		return nil, protocol.UnknownMemberId
	}
	if _, code := g.check(req.MemberID, req.InstanceID); code != protocol.None {
		return nil, code
	}
	switch {
	case req.Generation != g.generation:
		return nil, protocol.IllegalGeneration
	case g.state == CompletingRebalance:
		return nil, protocol.RebalanceInProgress
	}
	return g, protocol.None
}

// forgetIfBlank drops a group of which nothing was ever stored.
func (g *group) forgetIfBlank() {
	if !g.dead && g.state == Empty && g.protocolType == "" && g.generation == 0 &&
		len(g.offsets) == 0 && len(g.pending) == 0 {
		g.home.remove(g)
	}
}
