package sim

import (
	"errors"
	"time"

	"millrace/internal/arena"
	"millrace/internal/clock"
	"millrace/internal/vfs"
	"millrace/netio"
	"millrace/segment"
)

// shardCore drives one shard as the engine does.
type shardCore struct {
	s      *store
	number int
	core   *Core
	shard  *segment.Shard
	pool   *arena.Pool
	parts  []*part

	move     *moveOn
	arrivals []parcel

	waits   []wait // in order of seq
	reads   []*read
	pins    []pin
	extents []segment.Extent
	eff     segment.Effects
	swept   uint64 // sweeps that have ended
	failed  bool
	final   segment.Seq // the last durable one when it failed
	ops     []netio.Op
	jobs    []Job
}

// wait is something that may be told when seq is durable.
type wait struct {
	seq  segment.Seq
	then func()
}

func (c *shardCore) turn(now clock.Now, done []netio.Completion) ([]netio.Op, []Job, clock.Instant) {
	s := c.s
	for _, d := range done {
		c.shard.IODone(d.Tag.Slot(), d.Res)
	}
	c.settle()
	c.sweeps()
	c.goOn()
	c.arrive()
	c.checkMarks()
	if !s.quiet {
		c.work(now)
		c.startMove()
	}
	c.readOn()
	if s.o.AckEarly {
		c.ackBelow(1 << 62)
	}
	c.eff.Reset()
	c.shard.Turn(now, &c.eff)
	if err := c.shard.Err(); err != nil {
		s.check(s.trouble.hit() || s.w.Disk.Off() || errors.Is(err, vfs.ErrPowerOff), "shard fails: %v", err)
		if !c.failed {
			c.failed, c.final = true, c.shard.Durable()
		}
	}
	c.ops, c.jobs = c.ops[:0], c.jobs[:0]
	for i := range c.eff.IO {
		c.ops = append(c.ops, fileOp(&c.eff.IO[i]))
	}
	for _, j := range c.eff.Jobs {
		id := j.ID
		c.jobs = append(c.jobs, Job{Run: j.Run, Done: func(v any) { c.shard.JobDone(id, v) }})
	}
	next := c.shard.Next()
	if !s.quiet && !c.failed {
		next = min(next, now.Mono.Add(time.Duration(s.rng.IntN(2000))*time.Microsecond))
	}
	return c.ops, c.jobs, next
}

func fileOp(io *segment.IO) netio.Op {
	op := netio.Op{Fd: io.Fd, Off: io.Off, Mem: io.Mem, Tag: netio.MakeTag(1, 0, io.ID)}
	for _, b := range io.Vec {
		op.Vec = append(op.Vec, netio.Vec{Base: &b[0], Len: uint64(len(b))})
	}
	switch io.Kind {
	case segment.IORead:
		op.Kind = netio.OpRead
	case segment.IOWrite:
		op.Kind = netio.OpWrite
		if io.Dsync {
			op.Flags = netio.Dsync
		}
	case segment.IOSync:
		op.Kind = netio.OpSync
	}
	return op
}

// settle tells what has become durable.
func (c *shardCore) settle() {
	c.ackBelow(c.shard.Durable())
	for _, l := range c.shard.Advanced() {
		c.s.check(l.Marks().High <= l.Marks().End, "High beyond End")
	}
	for _, r := range c.shard.Results() {
		c.answered(r)
	}
}

func (c *shardCore) ackBelow(durable segment.Seq) {
	n := 0
	for n < len(c.waits) && c.waits[n].seq <= durable {
		c.s.check(!c.failed || c.waits[n].seq <= c.final, "acknowledged after the disk failed")
		c.waits[n].then()
		n++
	}
	c.waits = append(c.waits[:0], c.waits[n:]...)
}
