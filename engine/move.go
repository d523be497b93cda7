package engine

import (
	"errors"

	"millrace/internal/clock"
	"millrace/protocol"
	"millrace/segment"
)

// A partition goes from one core to another in these steps (A has it, B gets it, H is any
// core with connections, A and B among them):
//
//  1. Core 0 lets one move begin at a time, and asks A.
//  2. A's storage writes the log's bytes, and finds a moment without a sweep (segment/move.go).
//  3. A has all cores close it: H begins no request on it any more (move_wait.go), and tells A
//     when the ones that it had begun are answered.
//  4. A freezes it: nothing is appended, fetches wait. Storage makes it durable as B's.
//  5. A forgets it and sends it to B, which takes it in and has all cores open it: H sends
//     what waited to B, fetches that waited on A are planned anew.
//
// So no request of H that came before step 3 can meet one that comes after step 5, and no
// client sees more than a pause. Whatever fails before storage has committed ends with all
// cores opening it where it was.

// What a move may be refused for.
var (
	ErrNoPartition = errors.New("there is no such partition")
	ErrNoCore      = errors.New("there is no such core, or it owns no partitions")
	ErrMoving      = errors.New("another partition is on its way")
	ErrStaysPut    = errors.New("partitions of " + offsetsTopic + " stay where their groups are")
	ErrMoveFailed  = errors.New("the partition stays where it was")
)

const (
	// flushPatience is how long a move waits for its bytes to be written and a moment without
	// a sweep, while the partition serves; closedPatience how long it may be closed before
	// it is called off, unless it is being committed.
	flushPatience  = clock.Instant(30_000_000_000)
	closedPatience = clock.Instant(2_000_000_000)
	// adoptPause is how soon B looks again for memory.
	adoptPause = clock.Instant(1_000_000)
)

// moveOut is the move of a partition out of this core.
type moveOut struct {
	number uint64
	part   *partition
	to     int
	closed int // cores that have closed it; −1: not asked to
	frozen bool
	done   func(c *Core, err error)
}

// moveCounts are figures that go with a partition.
type moveCounts struct{ messagesIn, bytesIn, bytesOut uint64 }

// requestMove begins a move; on core 0. done runs there when it is over.
func (c *Core) requestMove(topic string, index int32, to int, done func(err error)) {
	m := &c.moves
	top := c.topics.byName[topic]
	tp, core, ok := c.partitionAt(top, index)
	switch {
	case !ok:
		done(ErrNoPartition)
	case to < 0 || to >= c.cfg.Journals:
		done(ErrNoCore)
	case topic == offsetsTopic:
		done(ErrStaysPut)
	case m.busy || c.stopping:
		done(ErrMoving)
	case core == to:
		done(nil)
	default:
		m.busy = true
		m.number++
		number := m.number
		c.call(core, func(on *Core) {
			on.moveAway(number, tp, to, func(from *Core, err error) {
				from.call(0, func(c *Core) {
					c.moves.busy = false
					done(err)
				})
			})
		})
	}
}

// moveAway begins the move on the core that has the partition.
func (c *Core) moveAway(number uint64, tp protocol.TopicPartition, to int, done func(*Core, error)) {
	part := c.topics.find(tp)
	switch {
	case part == nil:
		done(c, ErrNoPartition)
		return
	case c.stopping || !c.shard.BeginMove(part.log, to):
		done(c, ErrMoveFailed)
		return
	}
	c.traveling.Add(1)
	c.moves.out = &moveOut{number: number, part: part, to: to, closed: -1, done: done}
	c.moveBy(number, flushPatience)
}

// moveBy calls the move off that is not committed by then.
func (c *Core) moveBy(number uint64, patience clock.Instant) {
	c.timers.after(c.now.Mono+patience, func(c *Core) {
		if out := c.moves.out; out != nil && out.number == number &&
			(out.closed >= 0) == (patience == closedPatience) {
			c.callOff()
		}
	})
}

// moveStep goes on with the move out of this core as far as storage has come.
func (c *Core) moveStep() {
	out := c.moves.out
	if c.stopping && c.callOff() {
		return
	}
	switch c.shard.MoveStage() {
	case segment.MoveReady:
		switch {
		case out.closed < 0:
			out.closed = 0
			c.moveBy(out.number, closedPatience)
			c.closeEverywhere(out)
		case out.closed == len(c.peers) && !out.frozen:
			out.frozen, out.part.frozen = true, true
			c.shard.FreezeMove()
		}
	case segment.MoveDone:
		c.handOver(out)
	case segment.MoveFailed:
		c.callOff()
	}
}

// closeEverywhere has all cores close the partition.
func (c *Core) closeEverywhere(out *moveOut) {
	number, tp, home := out.number, out.part.tp, c.id
	for i := range c.peers {
		c.call(i, func(on *Core) {
			on.closePlace(tp, func(on *Core) {
				on.call(home, func(c *Core) {
					if out := c.moves.out; out != nil && out.number == number {
						if out.closed++; out.closed == len(c.peers) {
							c.moveStep()
						}
					}
				})
			})
		})
	}
}

// openEverywhere has all cores send what waits for the partition to the core that has it.
func (c *Core) openEverywhere(tp protocol.TopicPartition, core int) {
	for i := range c.peers {
		c.call(i, func(on *Core) { on.openPlace(tp, core) })
	}
}

// callOff ends a move that is not committed. False: it is.
func (c *Core) callOff() bool {
	out := c.moves.out
	if !c.shard.CancelMove() {
		return false
	}
	c.traveling.Add(-1)
	c.moves.out = nil
	out.part.frozen = false
	if out.closed >= 0 {
		c.openEverywhere(out.part.tp, c.id)
	}
	c.fetches.wake(c, out.part)
	err := ErrMoveFailed
	if out.part.gone {
		err = ErrNoPartition
	}
	c.cfg.Log.Info("a partition stays on its core", "topic", out.part.topic.meta.Name,
		"partition", out.part.tp.Partition, "core", c.id)
	out.done(c, err)
	return true
}

// handOver sends a partition that storage has given up to its new core.
func (c *Core) handOver(out *moveOut) {
	part, from, done := out.part, c.id, out.done
	parcel := c.shard.TakeMoved()
	c.moves.out = nil
	part.gone, part.frozen = true, false
	part.topic.parts[part.tp.Partition].part = nil
	t := &c.topics
	t.parts[part.log.User] = nil
	t.free = append(t.free, part.log.User)
	counts := moveCounts{part.messagesIn, part.bytesIn, part.bytesOut}
	c.call(out.to, func(on *Core) {
		on.takeIn(parcel, counts, func(on *Core) { on.call(from, func(c *Core) { done(c, nil) }) })
	})
	c.fetches.wake(c, part)
}

// takeIn makes a partition this core's.
func (c *Core) takeIn(parcel *segment.Parcel, counts moveCounts, done func(on *Core)) {
	if !c.shard.MayAdopt() {
		c.timers.after(c.now.Mono+adoptPause, func(c *Core) { c.takeIn(parcel, counts, done) })
		return
	}
	top := c.topics.byID[parcel.TP.Topic]
	if top == nil { // deleted on the way: its files are still there
		c.shard.Drop(c.shard.Adopt(parcel, segment.DefaultConfig()))
	} else {
		c.shard.Adopt(parcel, logConfig(top.cfg))
		p := c.newPartition(top, parcel.TP, logConfig(top.cfg))
		p.epoch = top.meta.Partitions[parcel.TP.Partition].LeaderEpoch
		p.messagesIn, p.bytesIn, p.bytesOut = counts.messagesIn, counts.bytesIn, counts.bytesOut
		top.parts[parcel.TP.Partition] = place{core: c.id, part: p, closed: true}
		c.cfg.Log.Info("a partition came from another core", "topic", top.meta.Name,
			"partition", parcel.TP.Partition, "core", c.id)
	}
	c.traveling.Add(-1)
	c.openEverywhere(parcel.TP, c.id)
	done(c)
}
