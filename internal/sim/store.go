package sim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"syscall"
	"time"

	"millrace/internal/arena"
	"millrace/internal/clock"
	"millrace/internal/vfs"
	"millrace/netio"
	"millrace/protocol"
	"millrace/segment"
)

// Storage is one seeded run of segment's shards over the simulated disk: several
// lives that end in a crash, a kill, a failure or cleanly, and after each what was
// acknowledged has to be there.
type Storage struct {
	Seed  uint64
	Lives int // 0: a few

	// Mutants, which a run must catch.
	AckEarly     bool // acknowledges what is staged and not durable
	LieAboutSync bool // the disk says durable and is not
}

// StorageStats says what a run did: a run that did nothing proves nothing.
type StorageStats struct {
	Trace                                   uint64
	Appends, Acks, Reads, Cold, Finds       int
	Duplicates, Retried, Lost, Drops, Waits int
	Crashes, Kills, Stops, Faults, Cuts     int
	Full, Checked                           int
}

// RunStorage runs one seed. An error names the rule that was broken.
func RunStorage(o Storage) (stats StorageStats, err error) {
	s := newStore(o)
	defer func() {
		stats = s.stats
		stats.Trace = s.w.Trace()
		if r := recover(); r != nil {
			if b, ok := r.(broken); ok {
				err = fmt.Errorf("seed %d, life %d (%v): %s", o.Seed, s.life, s.durability, string(b))
				return
			}
			err = fmt.Errorf("seed %d, life %d (%v): panic: %v\n%s", o.Seed, s.life, s.durability, r,
				debug.Stack())
		}
	}()
	lives := o.Lives
	if lives == 0 {
		lives = 3 + s.rng.IntN(4)
	}
	for s.life = 1; s.life <= lives; s.life++ {
		s.open()
		s.verify()
		s.live()
	}
	s.open()
	s.verify()
	s.stop()
	s.checkFiles()
	return stats, nil
}

// broken is how a check ends a run.
type broken string

func (s *store) fail(format string, args ...any) { panic(broken(fmt.Sprintf(format, args...))) }

func (s *store) check(ok bool, format string, args ...any) {
	if !ok {
		s.fail(format, args...)
	}
}

// store is the world of a storage run: the model of what was appended, and the
// shards of the present life.
type store struct {
	o          Storage
	w          *World
	rng        *rand.Rand
	fs         *vfs.Faults
	durability segment.Durability
	journal    int64
	memory     int64
	life       int
	stats      StorageStats

	topics  []*topic
	deleted map[protocol.TopicID]bool
	names   int
	pids    int64
	bytes   int // appended in this run

	cores  []*shardCore
	shards []*segment.Shard
	pools  []*arena.Pool
	quiet  bool // no new work
	clean  bool // the last life ended cleanly
	faulty bool // an error of the disk was ordered in this life
	tight  bool // the disk is nearly full
}

const dataDir = "/data"

func newStore(o Storage) *store {
	w := New(o.Seed)
	s := &store{o: o, w: w, rng: w.Rand(), deleted: map[protocol.TopicID]bool{}}
	s.fs = vfs.Faulty(w.Disk)
	s.fs.Sleep = func(time.Duration) {}
	if s.rng.IntN(4) == 0 {
		s.durability = segment.Write
	}
	if s.rng.IntN(8) == 0 {
		w.Disk.SetDirect(false)
	}
	s.journal = int64(64<<10) << s.rng.IntN(4)
	s.memory = int64(8<<20) << s.rng.IntN(3)
	if err := w.Disk.MkdirAll(dataDir); err != nil {
		panic(err)
	}
	if err := w.Disk.SyncDir("/"); err != nil {
		panic(err)
	}
	for range 1 + s.rng.IntN(4) {
		s.newTopic()
	}
	return s
}

// open starts a life: recovery, perhaps with the power failing in it a few times.
func (s *store) open() {
	cuts := 0
	if s.rng.IntN(3) == 0 {
		cuts = s.rng.IntN(3)
	}
	n := 1 + s.rng.IntN(3)
	for {
		for range n {
			p := arena.New(s.memory)
			p.Poison = true
			s.pools = append(s.pools, p)
		}
		if cuts > 0 {
			s.w.Disk.PowerOffAfter(int64(s.rng.IntN(60)))
		}
		shards, report, err := segment.Open(s.options(), n, s.known())
		if err == nil && !s.w.Disk.Off() {
			s.w.Disk.PowerOffAfter(1 << 40)
			s.begin(shards, report)
			return
		}
		s.check(s.w.Disk.Off(), "open fails: %v", err)
		cuts--
		s.stats.Cuts++
		s.clean = false
		s.end(true)
	}
}

func (s *store) options() segment.Options {
	return segment.Options{
		FS: s.fs, Dir: dataDir, Directory: [16]byte{1, 2, 3}, Pools: s.pools,
		Durability: s.durability, JournalFile: s.journal, JournalMax: 8 * s.journal,
		CacheBytes: s.memory / 4, OpenFiles: 4 + s.rng.IntN(60), PlaceMin: 1 << (12 + s.rng.IntN(6)),
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: s.w.Now,
	}
}

// known is the agreed image.
func (s *store) known() segment.Known {
	k := segment.Known{Deleted: s.deleted}
	for _, t := range s.topics {
		k.Topics = append(k.Topics, segment.KnownTopic{
			ID: t.id, Name: t.name, Partitions: int32(len(t.parts)), Config: t.cfg,
		})
	}
	return k
}

// begin joins the model with the shards of a new life.
func (s *store) begin(shards []*segment.Shard, report segment.Report) {
	s.shards, s.cores = shards, nil
	for i, shard := range shards {
		c := &shardCore{s: s, shard: shard, pool: s.pools[i]}
		c.core = s.w.AddCore(c.turn)
		c.core.ring.LieAboutSync = s.o.LieAboutSync
		c.core.ring.Files = s.fs
		s.cores = append(s.cores, c)
	}
	for _, dir := range report.Quarantined { // only what a crash left without a name
		text, err := s.w.Disk.ReadFile(dir + "/partition.metadata")
		s.check(err != nil || !bytes.Contains(text, []byte("topic_id: ")), "quarantined: %s: %s", dir, text)
	}
	s.check(!s.clean || report.Clean && report.Replayed == 0, "after a clean stop: %+v", report)
	s.clean = false
	for _, t := range s.topics {
		for _, p := range t.parts {
			s.attach(p)
			s.recovered(p)
		}
	}
}

// attach finds or makes a partition's log.
func (s *store) attach(p *part) {
	p.core = s.cores[segment.CoreOf(p.tp, len(s.cores))]
	p.log = p.core.shard.Find(p.tp)
	if p.log == nil {
		p.log = p.core.shard.Create(p.tp, p.topic.name, p.topic.cfg)
	}
	p.core.parts = append(p.core.parts, p)
}

// end ends a life without grace.
func (s *store) end(power bool) {
	if power {
		s.stats.Crashes++
	} else {
		s.stats.Kills++
	}
	s.w.Crash(power)
	for _, p := range s.pools {
		p.Abandon()
	}
	s.pools, s.shards, s.cores = nil, nil, nil
	s.fs.Clear()
	s.w.Disk.SetCapacity(0)
	s.faulty, s.tight = false, false
	if power && s.durability == segment.Write {
		s.forgetAcks()
	}
}

// run lets events happen until stop says so. False: the power failed, or limit events
// were not enough.
func (s *store) run(limit int, stop func() bool) bool {
	return s.w.RunUntil(limit, func() bool { return s.w.Disk.Off() || stop() }) && !s.w.Disk.Off()
}

// live works for a while and then ends in one of many ways.
func (s *store) live() {
	s.quiet = false
	events := 200 + s.rng.IntN(3000)
	how := s.rng.IntN(8)
	if s.rng.IntN(4) == 0 {
		s.squeeze()
	}
	switch how {
	case 0, 1: // a power loss at any event
		s.run(events, func() bool { return false })
		s.end(true)
	case 2: // a kill at any event
		s.run(events, func() bool { return false })
		s.end(false)
	case 3, 4: // a power loss at any call of the file system
		s.w.Disk.PowerOffAfter(int64(s.rng.IntN(1500)))
		s.run(20_000, func() bool { return false })
		s.end(true)
	case 5: // the disk fails for good
		s.breakDisk(events)
	default:
		s.run(events, func() bool { return false })
		s.relax()
		s.stop()
		s.end(s.rng.IntN(2) == 0)
		s.clean = true
	}
}

// breakDisk orders a fault at one place and watches that nothing is acknowledged after
// the shard has seen it.
func (s *store) breakDisk(events int) {
	rules := []*vfs.Rule{
		{Calls: vfs.CallWrite, Name: "journal", Err: syscall.EIO},
		{Calls: vfs.CallSync, Name: "journal", Err: syscall.EIO},
		{Calls: vfs.CallWrite, Name: ".log", Err: syscall.EIO},
		{Calls: vfs.CallSync | vfs.CallSyncFS, Err: syscall.EIO},
		{Calls: vfs.CallRename | vfs.CallSyncDir, Err: syscall.EIO},
	}
	r := rules[s.rng.IntN(len(rules))]
	r.Skip = s.rng.IntN(40)
	s.faulty = true
	s.fs.Add(r)
	s.run(events, func() bool { return false })
	s.stats.Faults += min(1, s.fs.Hits(r))
	s.end(s.rng.IntN(2) == 0)
}

// squeeze leaves little room on the disk for a while.
func (s *store) squeeze() {
	s.tight = true
	s.w.Disk.SetCapacity(s.w.Disk.Used() + int64(s.rng.IntN(2<<20)))
	s.w.After(time.Duration(s.rng.IntN(100))*time.Millisecond, s.relax)
}

func (s *store) relax() {
	s.w.Disk.SetCapacity(0)
}

// stop ends a life cleanly: everything appended is acknowledged, then drained.
func (s *store) stop() {
	s.quiet = true
	settled := func() bool {
		for _, c := range s.cores {
			if len(c.waits) > 0 || len(c.reads) > 0 || len(c.pins) > 0 {
				return false
			}
		}
		return true
	}
	s.check(s.run(300_000, settled), "a stop waits for ever: %s", s.waiting())
	for _, c := range s.cores {
		c.shard.Drain()
		c.core.wake()
	}
	drained := func() bool {
		for _, c := range s.cores {
			if !c.shard.Drained() {
				return false
			}
		}
		return true
	}
	s.check(s.run(300_000, drained), "a drain takes for ever: %s", s.waiting())
	if err := segment.Close(s.shards); err != nil {
		s.fail("close: %v", err)
	}
	s.stats.Stops++
}

// waiting says what a stop waits for.
func (s *store) waiting() string {
	out := ""
	for i, c := range s.cores {
		out += fmt.Sprintf("core %d: %d acks, %d reads, %d pins, %d ops in flight, next turn in %v, "+
			"drained %v, err %v, %+v; ", i, len(c.waits), len(c.reads), len(c.pins),
			len(c.core.ring.flying), c.shard.Next().Sub(s.w.now.Mono), c.shard.Drained(),
			c.shard.Err(), c.shard.Stats())
	}
	return out
}

// shardCore drives one shard as the engine does.
type shardCore struct {
	s     *store
	core  *Core
	shard *segment.Shard
	pool  *arena.Pool
	parts []*part

	waits   []wait // in order of seq
	reads   []*read
	pins    []pin
	extents []segment.Extent
	eff     segment.Effects
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
	c.checkMarks()
	if !s.quiet {
		c.work(now)
	}
	c.readOn()
	if s.o.AckEarly {
		c.ackBelow(1 << 62)
	}
	c.eff.Reset()
	c.shard.Turn(now, &c.eff)
	if err := c.shard.Err(); err != nil {
		s.check(s.faulty || s.w.Disk.Off() || errors.Is(err, vfs.ErrPowerOff), "shard fails: %v", err)
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
