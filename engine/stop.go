package engine

import (
	"millrace/netio"
)

// Stopping: stop accepting, let requests in flight finish, close connections, flush
// storage, end. Each core does it for itself.

// stopGrace is how long requests in flight may take at a stop.
const stopGrace = 3_000_000_000

// stop begins the clean end of this core.
func (c *Core) stop() {
	if c.stopping {
		return
	}
	c.stopping = true
	for i, fd := range c.limits.listeners {
		c.ops = append(c.ops,
			netio.Op{Kind: netio.OpCancel, Fd: fd, Target: netio.MakeTag(tagAccept, 0, uint32(i)),
				Tag: netio.MakeTag(tagConn, 0, 0)},
			netio.Op{Kind: netio.OpClose, Fd: fd, Tag: netio.MakeTag(tagConn, 0, 0)})
	}
	c.limits.listeners = nil
	c.drainUntil = c.now.Mono + stopGrace
	c.timers.after(c.now.Mono+10_000_000, (*Core).stopStep)
	c.hangUpIdle(false)
}

// stopStep closes connections that have nothing in flight, all of them when the grace
// is over, and then drains storage.
func (c *Core) stopStep() {
	c.hangUpIdle(c.now.Mono >= c.drainUntil)
	if c.conns.live == 0 && !c.draining {
		c.draining = true
		c.shard.Drain()
	}
	c.timers.after(c.now.Mono+5_000_000, (*Core).stopStep)
}

func (c *Core) hangUpIdle(all bool) {
	for _, cn := range c.conns.slots {
		if cn.open() && (all || cn.inFlight() == 0 || c.onlyParked(cn)) {
			c.hangUp(cn)
		}
	}
}

// onlyParked says whether a connection waits for nothing but long polls.
func (c *Core) onlyParked(cn *conn) bool {
	for s := cn.head; s != cn.tail; s++ {
		if t := cn.at(s).fetch; t == nil || t.state != fetchParked {
			return false
		}
	}
	return true
}

// ended says whether the driver may leave: everything is flushed, or nothing can be.
func (c *Core) ended() bool {
	return c.draining && (c.shard.Drained() || c.shard.Err() != nil)
}

// keep puts completions aside that were reaped while submitting; the next turn sees
// them first.
func (c *Core) keep(done []netio.Completion) { c.kept = append(c.kept, done...) }
