package engine

import (
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/engine/group"
	"millrace/internal/clock"
	"millrace/internal/mutant"
	"millrace/protocol"
	"millrace/protocol/batch"
	"millrace/raftmeta"
	"millrace/segment"
)

// offsetsTopic holds what groups committed, in Kafka's own schemas.
const offsetsTopic = "__consumer_offsets"

// groupBook is the group coordinator of one core: it owns the groups whose partition of
// __consumer_offsets is here.
type groupBook struct {
	coord   *group.Coordinator
	parts   int32 // of __consumer_offsets; 0: it does not exist yet
	fx      group.Effects
	waiting map[group.Token]func(kmsg.Response)
	next    group.Token
	loaded  map[int32]*offsetsPart // partitions that are loading or loaded
	snaps   snapshots
	builder batch.Builder
	at      clock.Instant // when the timer is armed for
	asked   bool          // the topic is being created
	askers  []func(c *Core)
}

func (g *groupBook) init(c *Core) {
	g.waiting = make(map[group.Token]func(kmsg.Response))
	g.loaded = make(map[int32]*offsetsPart)
	g.at = clock.Never
	g.coord = g.newCoordinator(c, c.cfg.OffsetsPartitions)
}

func (g *groupBook) newCoordinator(c *Core, parts int32) *group.Coordinator {
	gc := &c.cfg.Groups
	return group.New(group.Options{
		Partitions:        int(parts),
		MinSessionTimeout: time.Duration(gc.MinSessionTimeoutMs) * time.Millisecond,
		MaxSessionTimeout: time.Duration(gc.MaxSessionTimeoutMs) * time.Millisecond,
		InitialDelay:      time.Duration(gc.InitialRebalanceDelayMs) * time.Millisecond,
		MaxSize:           int(gc.MaxSize),
		OffsetMetadataMax: int(gc.OffsetMetadataMaxBytes),
		OffsetsRetention:  time.Duration(gc.OffsetsRetentionMinutes) * time.Minute,
		RetentionCheck:    time.Duration(gc.OffsetsRetentionCheckMs) * time.Millisecond,
		BatchMax:          1 << 20,
		Seed:              c.cfg.Seed + uint64(c.id),
		Topics:            imageTopics{c},
		Log:               c.cfg.Log,
	})
}

// imageTopics resolves topics for the coordinator from the core's image.
type imageTopics struct{ c *Core }

// ByID is part of group.Topics.
func (t imageTopics) ByID(id protocol.TopicID) (string, int32, bool) {
	top := t.c.topics.image.TopicByID(id)
	if top == nil {
		return "", 0, false
	}
	return top.Name, int32(len(top.Partitions)), true
}

// ByName is part of group.Topics.
func (t imageTopics) ByName(name string) (protocol.TopicID, int32, bool) {
	top := t.c.topics.image.Topic(name)
	if top == nil {
		return protocol.TopicID{}, 0, false
	}
	return top.ID, int32(len(top.Partitions)), true
}

// topicDeleted removes committed offsets of a deleted topic.
func (g *groupBook) topicDeleted(c *Core, top *topic) {
	if top.meta.Name == offsetsTopic {
		for _, i := range slices.Sorted(maps.Keys(g.loaded)) {
			g.coord.Unload(c.now, i, &g.fx)
			g.forgetState(c, top.meta.ID, i, nil)
		}
		clear(g.loaded)
		g.parts = 0
		g.run(c)
		return
	}
	g.coord.TopicsDeleted(c.now, []string{top.meta.Name}, &g.fx)
	g.run(c)
}

// token names a reply that the coordinator owes.
func (g *groupBook) token(reply func(kmsg.Response)) group.Token {
	g.next++
	g.waiting[g.next] = reply
	return g.next
}

// run carries out what the coordinator wants: batches to append, replies to send.
func (g *groupBook) run(c *Core) {
	for len(g.fx.Appends) > 0 || len(g.fx.Replies) > 0 {
		appends, replies := slices.Clone(g.fx.Appends), slices.Clone(g.fx.Replies)
		g.fx.Reset()
		for i := range appends {
			g.append(c, &appends[i])
		}
		for _, r := range replies {
			if reply := g.waiting[r.Token]; reply != nil {
				delete(g.waiting, r.Token)
				reply(r.Response)
			}
		}
	}
	g.arm(c)
}

func (g *groupBook) append(c *Core, a *group.Append) {
	part := g.partition(c, a.Partition)
	if part == nil || c.draining {
		g.coord.Appended(c.now, a.Ticket, protocol.NotCoordinator, &g.fx)
		return
	}
	g.builder.Reset(batch.Options{})
	for _, r := range a.Records {
		g.builder.Add(c.now.Wall, r.Key, r.Value, nil)
	}
	v, err := g.builder.Finish()
	if err != nil || len(v) > int(part.topic.cfg.MaxMessageBytes) {
		g.coord.Appended(c.now, a.Ticket, protocol.MessageTooLarge, &g.fx)
		return
	}
	switch c.shard.AdmitInternal(len(v)) {
	case segment.Admitted:
	case segment.Wait:
		g.coord.Appended(c.now, a.Ticket, protocol.CoordinatorNotAvailable, &g.fx)
		return
	default:
		g.coord.Appended(c.now, a.Ticket, protocol.KafkaStorageError, &g.fx)
		return
	}
	_, seq := c.shard.Append(part.log, v, part.epoch, c.now.Wall)
	c.produces.last = seq
	if own := g.loaded[a.Partition]; own != nil {
		own.since += int64(len(v))
		g.snaps.since += int64(len(v))
		g.snapshot(c)
	}
	ticket, coord := a.Ticket, g.coord // another one may follow when the topic is made anew
	if mutant.CommitEarly {
		seq = 0
	}
	c.acks.push(ack{seq: max(seq, c.acks.newest()), fn: func(c *Core) {
		coord.Appended(c.now, ticket, protocol.None, &g.fx)
		g.run(c)
	}})
}

func (g *groupBook) partition(c *Core, index int32) *partition {
	top := c.topics.byName[offsetsTopic]
	if top == nil || int(index) >= len(top.parts) {
		return nil
	}
	return top.parts[index].part
}

// arm sets the timer for the coordinator's next deadline.
func (g *groupBook) arm(c *Core) {
	next := g.coord.Next()
	if next >= g.at {
		return
	}
	g.at = next
	c.timers.after(next, func(c *Core) {
		if g.at != next {
			return // armed anew for an earlier time
		}
		g.at = clock.Never
		g.coord.Expire(c.now, &g.fx)
		g.run(c)
	})
}

// coreOf is the core that coordinates a group; ok is false while __consumer_offsets
// does not exist.
func (g *groupBook) coreOf(c *Core, name string) (core int, ok bool) {
	top := c.topics.byName[offsetsTopic]
	if top == nil {
		return 0, false
	}
	return top.parts[group.PartitionFor(name, len(top.parts))].core, true
}

// ensureOffsets creates __consumer_offsets if it is absent, and then calls then.
func (g *groupBook) ensureOffsets(c *Core, then func(c *Core)) {
	if c.topics.byName[offsetsTopic] != nil {
		then(c)
		return
	}
	g.askers = append(g.askers, then)
	if g.asked {
		return
	}
	g.asked = true
	topic := newTopic(c, offsetsTopic, c.cfg.OffsetsPartitions, offsetsConfigs(c.cfg))
	c.propose(raftmeta.CreateTopics{Topics: []raftmeta.NewTopic{topic}}, func(raftOutcome, error) {
		g.asked = false
		askers := g.askers
		g.askers = nil
		for _, then := range askers {
			then(c)
		}
	})
}
