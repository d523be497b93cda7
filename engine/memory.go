package engine

import (
	"millrace/internal/arena"
	"millrace/internal/clock"
)

// A core's memory is shared by what is received, what is written and what readers hold.
// No part may take all of it. Requests that wait for storage hold their bytes, so storage
// must find room beside the largest heap of them; and on another core, too, whose requests
// may wait for this one.
const (
	rxShare      = 2 // 1/2 of the budget: all receive buffers
	rxSmallShare = 4 // 1/4: those of usual size, so that a large frame finds room beside them
	pinShare     = 8 // 1/8: the hot tail that readers hold, before they wait for each other
)

// stalledAfter is how long a connection may neither read its answers nor finish its
// request while memory is short; then it is closed.
const stalledAfter = clock.Instant(10_000_000_000)

// frameMax is the largest frame that is taken: socket.request.max.bytes, as far as memory
// goes; a connection's first buffer must find room beside it.
func (c *Core) frameMax() int64 {
	return min(int64(c.cfg.RequestMaxBytes), c.pool.Budget()/16*7)
}

// memory is pool memory for an answer; written data that is only kept for readers gives
// way to it.
func (c *Core) memory(n int) *arena.Buf {
	b := c.pool.Get(n)
	if b == nil && c.shard != nil && c.shard.Yield(n) {
		b = c.pool.Get(n)
	}
	return b
}

// takeRx is a receive buffer of wish bytes, or at least of want when memory is short; nil
// when receive buffers have taken their share.
func (c *Core) takeRx(want, wish int) *arena.Buf {
	budget, most := c.pool.Budget(), c.pool.Budget()/rxSmallShare
	switch {
	case want > rxMax:
		most = budget / rxShare
	case c.rxBytes > most/2:
		wish = rxMin
	}
	n := max(want, wish)
	if c.rxBytes+int64(arena.SizeFor(n)) > most {
		return nil
	}
	b := c.memory(n)
	if b != nil {
		c.rxBytes += int64(len(b.Mem))
	}
	return b
}

// releaseRx gives one reference to a receive buffer back.
func (c *Core) releaseRx(b *arena.Buf) {
	if b.Refs() == 1 {
		c.rxBytes -= int64(len(b.Mem))
	}
	c.pool.Release(b)
}

// noMemory closes a connection whose answer finds no memory.
func (c *Core) noMemory(cn *conn) {
	c.faults.note(c.now.Mono, "closing connection", cn.host, "no memory for an answer")
	c.hangUp(cn)
}

// noteShort tells all cores whether memory is short here. Who holds it may be a connection
// of another core.
func (c *Core) noteShort() {
	short := len(c.starved) > 0 || c.produces.held() || len(c.kitchen.ready) > 0 ||
		c.fetches.pinned >= c.pinMax()
	if short != c.short.Load() {
		c.short.Store(short)
	}
}

// memoryShort says whether memory is short on some core.
func (c *Core) memoryShort() bool {
	for _, p := range c.peers {
		if p.short.Load() {
			return true
		}
	}
	return false
}

// pinMax is how many bytes of the hot tail readers may hold on this core.
func (c *Core) pinMax() int { return int(c.pool.Budget() / pinShare) }

// trimStep is how much memory a core gives back to the kernel at a time.
const trimStep = 64 << 20

// limitMemory sets the core's budget. Written data that is kept for readers gives way, and
// free memory beyond the budget goes back to the kernel, a step at each call.
func (c *Core) limitMemory(budget int64) {
	c.pool.SetBudget(budget)
	if c.pool.Mapped() <= budget {
		return
	}
	if c.shard != nil {
		c.shard.Yield(arena.MinSize)
	}
	c.pool.Trim(trimStep)
}
