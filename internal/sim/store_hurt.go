package sim

import (
	"bytes"
	"path"
	"strings"

	"millrace/internal/arena"
	"millrace/internal/clock"
	"millrace/internal/vfs"
	"millrace/netio"
	"millrace/protocol"
	"millrace/segment"
)

// What no recovery can make good is tried on a copy of the disk: bits that flipped while
// the process was down, and a disk that lied about its syncs. There may be less than was
// acknowledged; what is served must still be right, or an error.

// trial is a life of which nothing is kept.
type trial struct {
	s       *store
	cores   []*trialCore
	refused bool
	found   bool // a read said that something is wrong
	cut     bool // a log ends before what was acknowledged
}

type trialCore struct {
	t     *trial
	core  *Core
	shard *segment.Shard
	pool  *arena.Pool
	parts []*part
	logs  []*segment.Log
	at    int64 // in the first log
	ends  int64
	begun bool
	read  uint32 // in flight, 0: none
	eff   segment.Effects
}

// flip changes one bit of one file, and tries how a start takes it.
func (s *store) flip() {
	disk := s.w.Disk.Clone(s.rng.Uint64())
	name, size := s.anyFile(disk)
	if size == 0 {
		return
	}
	data, err := disk.ReadFile(name)
	s.check(err == nil, "%v", err)
	at := s.rng.IntN(len(data))
	if s.rng.IntN(4) > 0 { // much of a file is zeros that nobody looks at
		if i := bytes.IndexFunc(data[at:], func(r rune) bool { return r != 0 }); i >= 0 {
			at += i
		}
	}
	if err := disk.Flip(name, int64(at), 1<<s.rng.IntN(8)); err != nil {
		s.fail("%v", err)
	}
	t := s.try(disk)
	tail := strings.HasSuffix(name, ".journal")
	switch {
	case t.refused:
		s.w.Tally[FlipsRefused]++
	case t.found:
		s.w.Tally[FlipsDetected]++
	case t.cut:
		s.check(tail, "a bit of %s at %d flipped: records are gone and nobody says so", name, at)
		s.w.Tally[FlipsTorn]++
	default:
		s.w.Tally[FlipsHarmless]++
	}
}

// anyFile picks one of the files of the data directory.
func (s *store) anyFile(disk *vfs.Mem) (name string, size int64) {
	var names []string
	var walk func(dir string)
	walk = func(dir string) {
		list, err := disk.List(dir)
		s.check(err == nil, "%v", err)
		for _, n := range list {
			n = path.Join(dir, n)
			info, err := disk.Stat(n)
			s.check(err == nil, "%v", err)
			switch {
			case info.IsDir():
				walk(n)
			case info.Size() > 0:
				names = append(names, n)
			}
		}
	}
	for _, dir := range s.directories() {
		walk(dir)
	}
	if len(names) == 0 {
		return "", 0
	}
	name = names[s.rng.IntN(len(names))]
	info, err := disk.Stat(name)
	s.check(err == nil, "%v", err)
	return name, info.Size()
}

// lie is a last life on a disk that syncs nothing; then the power fails.
func (s *store) lie() {
	s.life++
	s.open()
	s.verify()
	s.begins()
	s.w.Disk.SetLying(true)
	s.run(500+s.rng.IntN(3000), func() bool { return false })
	s.end(true)
	s.w.Disk.SetLying(false)
	t := s.try(s.w.Disk)
	switch {
	case t.refused:
		s.w.Tally[LiesRefused]++
	case t.found:
		s.w.Tally[LiesFound]++
	case t.cut:
		s.w.Tally[LiesLost]++
	default:
		s.w.Tally[LiesHarmless]++
	}
}

// try starts on disk, reads everything and ends.
func (s *store) try(disk *vfs.Mem) *trial {
	t := &trial{s: s}
	own, faults := s.w.Disk, s.fs
	s.w.Disk, s.fs, s.trying = disk, vfs.Faulty(disk), true
	defer func() { s.w.Disk, s.fs, s.trying = own, faults, false }()
	n := 1 + s.rng.IntN(3)
	for range n {
		p := arena.New(s.memory)
		p.Poison = true
		s.pools = append(s.pools, p)
	}
	shards, _, err := segment.Open(s.options(), n, s.known())
	if err != nil {
		t.refused = true
	} else {
		t.readAll(shards)
	}
	s.w.Crash(false)
	s.w.Tally[Kills]--
	s.dropPools()
	return t
}

func (t *trial) readAll(shards []*segment.Shard) {
	s := t.s
	for i, shard := range shards {
		c := &trialCore{t: t, shard: shard, pool: s.pools[i]}
		c.core = s.w.AddCore(c.turn)
		c.core.ring.Files = s.fs
		t.cores = append(t.cores, c)
	}
	for _, topic := range s.topics {
		for _, p := range topic.parts {
			for _, c := range t.cores {
				if l := c.shard.Find(p.tp); l != nil {
					c.parts, c.logs = append(c.parts, p), append(c.logs, l)
					t.cut = t.cut || l.Marks().End < p.acked || l.Marks().Start < p.start
				}
			}
		}
	}
	done := func() bool {
		for _, c := range t.cores {
			if len(c.logs) > 0 {
				return false
			}
		}
		return true
	}
	s.check(s.run(400_000, done), "reading of damaged logs does not come to an end")
}

func (c *trialCore) turn(now clock.Now, done []netio.Completion) ([]netio.Op, []Job, clock.Instant) {
	for _, d := range done {
		c.shard.IODone(d.Tag.Slot(), d.Res)
	}
	for _, r := range c.shard.Results() {
		c.answered(r)
	}
	for n := 0; len(c.logs) > 0 && c.read == 0 && n < 8; n++ {
		c.step()
	}
	c.eff.Reset()
	c.shard.Turn(now, &c.eff)
	var ops []netio.Op
	var jobs []Job
	for i := range c.eff.IO {
		ops = append(ops, fileOp(&c.eff.IO[i]))
	}
	for _, j := range c.eff.Jobs {
		id := j.ID
		jobs = append(jobs, Job{Run: j.Run, Done: func(v any) { c.shard.JobDone(id, v) }})
	}
	next := c.shard.Next()
	if len(c.logs) > 0 && c.read == 0 {
		next = now.Mono
	}
	return ops, jobs, next
}

// step reads on in the first log.
func (c *trialCore) step() {
	l := c.logs[0]
	if !c.begun {
		c.begun, c.at, c.ends = true, l.Marks().Start, l.Marks().High
	}
	const most = 200_000
	exts, where := l.Locate(c.at, c.ends, most, true, nil)
	switch where {
	case segment.InMemory:
		var got []byte
		for _, e := range exts {
			got = append(got, e.Mem...)
			c.pool.Release(e.Buf)
		}
		c.look(got)
	case segment.Cold:
		c.read = c.shard.Read(l, c.at, c.ends, most)
	default:
		c.next()
	}
}

func (c *trialCore) next() {
	c.parts, c.logs, c.begun = c.parts[1:], c.logs[1:], false
}

func (c *trialCore) answered(r segment.Result) {
	got := resultBytes(&r, c.pool)
	c.read = 0
	if r.Code != protocol.None {
		c.t.found = true
		c.next()
		return
	}
	c.look(got)
}

// look: what was read is what was written there.
func (c *trialCore) look(got []byte) {
	if len(got) == 0 {
		c.next()
		return
	}
	c.at = c.t.s.compare(c.parts[0], got, c.at, c.ends, len(got))
	if c.at >= c.ends {
		c.next()
	}
}

// resultBytes are the bytes of a cold read's answer, whose memory is given back.
func resultBytes(r *segment.Result, pool *arena.Pool) []byte {
	var got []byte
	for _, e := range r.Extents {
		got = append(got, e.Mem...)
		pool.Release(e.Buf)
	}
	return got
}
