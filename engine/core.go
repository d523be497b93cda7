package engine

import (
	"sync/atomic"

	"millrace/internal/admin/status"
	"millrace/internal/arena"
	"millrace/internal/clock"
	"millrace/netio"
	"millrace/protocol"
	"millrace/raftmeta"
	"millrace/raftmeta/configdef"
	"millrace/segment"
)

// Input is everything that happened to a core since its last turn.
type Input struct {
	Now    clock.Now
	Done   []netio.Completion
	Events []Event
	mail   []uint32 // how far each peer's ring was filled before Events were drained (I5)
	image  *raftmeta.Image
}

// Output is everything that a core wants done.
type Output struct {
	Ops  []netio.Op
	Jobs []Job
	Next clock.Instant // when to come back without other cause
}

// Job is blocking or long work for a helper; Then runs on the core with its result.
type Job struct {
	Run  func() any
	Then func(c *Core, v any)
}

// Kinds of tags.
const (
	tagNone uint8 = iota
	tagAccept
	tagRecv
	tagSend
	tagConn // close, shutdown, cancel: nobody waits for it
	tagShard
)

// Core owns some of the connections, partitions and groups. Only its own thread
// touches it.
type Core struct {
	id    int
	cfg   *Config
	now   clock.Now
	pool  *arena.Pool
	shard *segment.Shard // nil: this core has no journal and owns no partitions
	meta  raftmeta.Quorum
	// placed are the partitions that were moved before this start. Nobody changes it.
	placed map[protocol.TopicPartition]int
	bound  []Listener

	directory [16]byte // directory.id

	inbox inbox
	boxes []*mailbox // to each core, by index; nil for itself
	from  []*mailbox // from each core
	wakes []bool     // peers to wake at the end of the turn
	peers []*Core

	conns      connTable
	topics     topicTable
	timers     timers
	acks       ackQueue
	produces   produceBook
	kitchen    kitchen
	fetches    fetchBook
	groups     groupBook
	moves      moves
	pids       producerIDs
	configs    *configdef.Resolver
	ready      []*conn       // may dispatch again
	dirty      []*conn       // have answers to send
	starved    []*conn       // want to read, but memory is short
	short      atomic.Bool   // of memory
	feedAt     clock.Instant // when the starved are looked at again
	rxBytes    int64         // of receive buffers, with those that requests still hold
	open       *atomic.Int64 // connections of all cores, and those on their way to one
	traveling  *atomic.Int64 // partitions on their way from one core to another
	stopping   bool
	calm       int // steps of stopping at which no core had a connection
	draining   bool
	drainUntil clock.Instant
	kept       []netio.Completion // reaped while submitting

	ops     []netio.Op
	jobs    []Job
	effects segment.Effects
	vecs    []netio.Vec // of effects' gathered writes
	stats   status.Core
	scratch scratch
	limits  admission
	apis    *[protocol.KeyCount]api
	faults  *faultLog
	failed  error
	onFatal func(error)
	addrs   func(fd int32) (local, remote string)
}

// newCore builds a core; link must follow before the first Step.
func newCore(p parts) *Core {
	c := &Core{
		id: p.id, cfg: p.cfg, pool: p.pool, shard: p.shard, meta: p.quorum,
		placed: p.placed, bound: p.bound, addrs: p.addrs, directory: p.dir, apis: &apis, faults: newFaultLog(p.cfg.Log),
		configs: newResolver(p.cfg),
	}
	c.stats.Index = p.id
	c.stats.APIs = make([]status.API, protocol.KeyCount)
	c.conns.init(c)
	c.topics.init()
	c.timers.init()
	c.produces.init()
	c.fetches.init(c)
	c.limits.init(p.cfg)
	c.groups.init(c)
	return c
}

// link joins the cores of one broker.
func link(cores []*Core) {
	n := len(cores)
	open, traveling := new(atomic.Int64), new(atomic.Int64)
	for _, c := range cores {
		c.open, c.traveling = open, traveling
		c.peers = cores
		c.boxes = make([]*mailbox, n)
		c.from = make([]*mailbox, n)
		c.wakes = make([]bool, n)
	}
	for i, a := range cores {
		for j, b := range cores {
			if i != j {
				m := new(mailbox)
				a.boxes[j], b.from[i] = m, m
			}
		}
	}
}

// Gather fills what came by memory: first the marks of the mail, then the events, so
// that mail which was sent after an event is never handled before it (I5). A new image is
// posted to one core after the other: mail of a core that has it already may be faster
// than the event, so the image itself is looked at, too.
func (c *Core) Gather(in *Input) {
	in.mail = in.mail[:0]
	for _, m := range c.from {
		if m == nil {
			in.mail = append(in.mail, 0)
			continue
		}
		in.mail = append(in.mail, m.tail.Load())
	}
	in.Events = c.inbox.drain(in.Events[:0])
	in.image = c.meta.Image()
}

// Step runs one turn.
func (c *Core) Step(in *Input, out *Output) {
	c.now = in.Now
	c.ops, c.jobs = out.Ops[:0], out.Jobs[:0]
	for i, e := range in.Events {
		e(c)
		in.Events[i] = nil
	}
	if in.image.Index() > c.topics.image.Index() {
		c.install(in.image)
	}
	c.readMail(in.mail)
	c.completeAll(in.Done)
	c.timers.expire(c)
	c.settle()
	c.feed()
	c.storage()
	c.fetches.quench(c)
	c.flush()
	c.noteShort()
	more := c.sendMail()
	c.stats.Turns++
	c.stats.Ops += uint64(len(c.ops))
	out.Ops, out.Jobs, out.Next = c.ops, c.jobs, c.nextTurn(more)
}

func (c *Core) nextTurn(more bool) clock.Instant {
	if more || len(c.ready) > 0 || len(c.kept) > 0 {
		return c.now.Mono
	}
	next := c.timers.next()
	if c.shard != nil {
		next = min(next, c.shard.Next())
	}
	if len(c.starved) > 0 {
		next = min(next, c.feedAt)
	}
	if c.produces.held() || len(c.kitchen.ready) > 0 {
		next = min(next, c.now.Mono+starvedPause)
	}
	return next
}

const (
	// starvedPause is how long a core waits before it asks storage for room again, when no
	// completion brings it back earlier.
	starvedPause = clock.Instant(2_000_000)
	// feedPause is how long starved connections are left alone after they were looked at,
	// and feedEach more for each of them: a busy core has many turns, and little is free.
	feedPause = clock.Instant(250_000)
	feedEach  = clock.Instant(1_000)
)

func (c *Core) completeAll(done []netio.Completion) {
	for i := range c.kept {
		c.complete(&c.kept[i])
	}
	c.kept = c.kept[:0]
	for i := range done {
		c.complete(&done[i])
	}
}

func (c *Core) complete(d *netio.Completion) {
	switch d.Tag.Kind() {
	case tagRecv:
		c.received(d)
	case tagSend:
		c.sent(d)
	case tagShard:
		c.shard.IODone(d.Tag.Slot(), d.Res)
	case tagAccept:
		c.accepted(d)
	}
}

// settle answers what has become durable or readable.
func (c *Core) settle() {
	if c.shard == nil {
		return
	}
	if c.moves.out != nil {
		c.moveStep()
	}
	c.acks.settle(c)
	for _, l := range c.shard.Advanced() {
		c.advanced(l)
	}
	for _, r := range c.shard.Results() {
		c.fetches.result(c, r)
	}
}

// feed lets connections go on that were held up: by a barrier that has been answered,
// by memory, or by storage.
func (c *Core) feed() {
	c.kitchen.serve(c)
	c.produces.retry(c)
	if len(c.starved) > 0 && c.now.Mono >= c.feedAt {
		c.feedAt = c.now.Mono + feedPause + clock.Instant(len(c.starved))*feedEach
		waiting := c.starved
		c.starved = c.conns.spare[:0]
		for i, cn := range waiting {
			waiting[i] = nil
			cn.starved = false
			if cn.open() {
				c.dispatch(cn)
			}
		}
		c.conns.spare = waiting[:0]
	}
	for len(c.ready) > 0 {
		cn := c.ready[len(c.ready)-1]
		c.ready[len(c.ready)-1] = nil
		c.ready = c.ready[:len(c.ready)-1]
		cn.ready = false
		if cn.open() {
			c.dispatch(cn)
		}
	}
}

// storage ends the turn: one group commit and whatever else the shard wants, and fresh
// memory.
func (c *Core) storage() {
	if n := c.pool.Want(); n > 0 {
		c.work(func() any { return arena.Prepare(n) }, func(c *Core, v any) { c.pool.Supply(v.([][]byte)) })
	}
	if c.shard == nil {
		return
	}
	c.effects.IO, c.effects.Jobs = c.effects.IO[:0], c.effects.Jobs[:0]
	c.shard.Turn(c.now, &c.effects)
	c.vecs = c.vecs[:0]
	for i := range c.effects.IO {
		op := shardOp(&c.effects.IO[i])
		op.Vec = c.gathered(c.effects.IO[i].Vec)
		c.ops = append(c.ops, op)
	}
	for _, j := range c.effects.Jobs {
		id := j.ID
		c.jobs = append(c.jobs, Job{Run: j.Run, Then: func(c *Core, v any) { c.shard.JobDone(id, v) }})
	}
	if err := c.shard.Err(); err != nil && c.failed == nil {
		c.failed = err
		c.onFatal(err)
	}
}

// gathered names the pieces of a gathered write; the array lives until Submit.
func (c *Core) gathered(pieces [][]byte) []netio.Vec {
	from := len(c.vecs)
	for _, b := range pieces {
		c.vecs = append(c.vecs, piece(b))
	}
	return c.vecs[from:]
}

func shardOp(io *segment.IO) netio.Op {
	op := netio.Op{Fd: io.Fd, Off: io.Off, Mem: io.Mem, Tag: netio.MakeTag(tagShard, 0, io.ID)}
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

// work runs a pure function on a helper.
func (c *Core) work(run func() any, then func(c *Core, v any)) {
	c.jobs = append(c.jobs, Job{Run: run, Then: then})
}

// call runs fn on the core that owns something; there is no answer but the letter
// that fn sends itself.
func (c *Core) call(core int, fn func(c *Core)) {
	if core == c.id {
		fn(c)
		return
	}
	c.post(core, letter{kind: letterCall, call: fn})
}

// post puts a letter into another core's mail.
func (c *Core) post(core int, l letter) {
	c.boxes[core].put(l)
	c.wakes[core] = true
}

func (c *Core) readMail(marks []uint32) {
	for i, m := range c.from {
		if m == nil {
			continue
		}
		for m.head.Load() != marks[i] {
			c.take(m.take(), i)
		}
	}
}

func (c *Core) take(l letter, from int) {
	switch l.kind {
	case letterCall:
		l.call(c)
	case letterConn:
		c.adopt(l.fd, l.lsn, l.host)
	case letterProduce:
		c.admitShare(l.prod)
	case letterProduced:
		c.produced(l.prod)
	case letterFetch:
		c.fetches.serve(c, l.share)
	case letterFetched:
		c.fetches.gathered(c, l.share)
	case letterFetchPark:
		c.fetches.letGo(c, l.share)
	case letterFetchDone:
		c.fetches.release(c, l.share, from)
	case letterFetchFree:
		c.fetches.freed(c, l.share)
	case letterFetchNotify:
		c.fetches.notified(c, l.share)
	}
}

// sendMail wakes the cores that got letters; true when some letters still wait.
func (c *Core) sendMail() bool {
	more := false
	for i, m := range c.boxes {
		if m == nil {
			continue
		}
		if len(m.wait) > 0 && !m.retry() {
			more = true
			c.wakes[i] = true
		}
		if c.wakes[i] {
			c.wakes[i] = false
			c.ops = append(c.ops, netio.Op{Kind: netio.OpWake, Peer: int32(i)})
		}
	}
	return more
}
