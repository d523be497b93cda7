package engine

import (
	"millrace/internal/mutant"
	"millrace/netio"
	"millrace/protocol"
)

// Stopping: stop accepting and reading, let requests in flight finish, close connections,
// flush storage, end. Storage is drained when no core has a connection left: until then
// its requests may need this core.

const (
	// stopGrace is how long requests in flight may take at a stop.
	stopGrace = 3_000_000_000
	// drainGrace is how much longer a core waits for the others before it drains anyway.
	drainGrace = 500_000_000
	stopPause  = 5_000_000
)

// stop begins the clean end of this core.
func (c *Core) stop() {
	if c.stopping {
		return
	}
	c.stopping = true
	for i, fd := range c.limits.listeners {
		c.ops = append(c.ops, netio.Op{
			Kind: netio.OpCancel, Fd: fd, Target: netio.MakeTag(tagAccept, 0, uint32(i)),
			Tag: netio.MakeTag(tagConn, 0, 0),
		})
		c.close(fd)
	}
	c.limits.listeners = nil
	c.drainUntil = c.now.Mono + stopGrace
	c.timers.after(c.now.Mono+stopPause, (*Core).stopStep)
	c.hangUpIdle(false)
	if mutant.DrainAlone {
		c.stopStep()
	}
}

// stopStep closes connections that have nothing in flight, all of them when the grace
// is over. Storage is drained when no core had a connection at this step and at the one
// before: what their requests sent here has been handled in between.
func (c *Core) stopStep() {
	c.hangUpIdle(c.now.Mono >= c.drainUntil)
	c.calm++
	if c.open.Load() > 0 || c.traveling.Load() > 0 {
		c.calm = 0
	}
	late := (c.now.Mono >= c.drainUntil+drainGrace || mutant.DrainAlone) && c.conns.live == 0
	if !c.draining && (c.calm > 1 || late) {
		c.draining = true
		if c.shard != nil {
			c.shard.Drain()
		}
	}
	c.timers.after(c.now.Mono+stopPause, (*Core).stopStep)
}

func (c *Core) hangUpIdle(all bool) {
	for _, cn := range c.conns.slots {
		if cn.open() && (all || cn.inFlight() == 0 || c.onlyParked(cn)) {
			c.hangUp(cn)
		}
	}
}

// onlyParked says whether a connection waits for nothing but time or other clients: long
// polls, and members of a group that is not complete.
func (c *Core) onlyParked(cn *conn) bool {
	for s := cn.head; s != cn.tail; s++ {
		a := cn.at(s)
		switch {
		case a.state != answerPending:
			return false
		case a.key == protocol.JoinGroup || a.key == protocol.SyncGroup:
		case a.fetch == nil || a.fetch.state != fetchParked:
			return false
		}
	}
	return true
}

// ended says whether the driver may leave: everything is flushed, or nothing can be.
func (c *Core) ended() bool {
	return c.draining && (c.shard == nil || c.shard.Drained() || c.shard.Err() != nil)
}

// keep puts completions aside that were reaped while submitting; the next turn sees
// them first.
func (c *Core) keep(done []netio.Completion) { c.kept = append(c.kept, done...) }
