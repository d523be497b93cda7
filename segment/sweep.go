package segment

import (
	"encoding/binary"
	"slices"

	"millrace/internal/clock"
	"millrace/internal/invariant"
	"millrace/internal/mutant"
	"millrace/protocol"
	"millrace/segment/seal"
)

// sweep writes out what all tails hold, takes every log's state down, and then
// gives the journal files back that were full when it began. One runs at a time.
type sweep struct {
	number  uint64 // sweeps begun
	state   sweepState
	first   bool // one is wanted because a journal was replayed
	final   bool // of a clean stop
	pressed bool // memory is short
	at      int  // next log to walk
	free    int  // used journal files that it will free
	waiting int  // logs with writes to wait for
	replay  uint64
	buf     []byte   // the piece being filled; the first begins with the header
	parts   [][]byte // full ones
	logs    uint32
	moves   uint64    // generation of the book of moves when it began
	rec     logRecord // reused
	index   []indexWrite
	rest    []restWrite
	done    bool // one has completed in this boot
	again   bool // a segment went before it was written: what was noted of it is wrong

	begun, walked, flushed clock.Instant // when the running one got so far
	written                int           // bytes of its checkpoint

	uncomplete bool // the job that makes the checkpoints the base has to run again
}

type sweepState uint8

const (
	sweepIdle sweepState = iota
	sweepWalking
	sweepWaiting
	sweepWriting
)

const (
	// walkLogs and walkBytes bound what a sweep does in one turn.
	walkLogs  = 16
	walkBytes = 128 << 10
	// partBytes is when a piece of the checkpoint is put aside: growing one buffer
	// to what 10 000 logs need would copy it again and again.
	partBytes = 1 << 20
	// checkpointWriters is on how many threads a checkpoint makes and changes files.
	checkpointWriters = 8
)

// indexWrite appends entries to a segment's index files.
type indexWrite struct {
	seg             *seg
	dir             string
	id              protocol.TopicID
	base            int64
	offsets, times  []byte
	offsetAt        int64
	timeAt          int64
	nOffset, nTimes int

	offsetSum, timeSum uint32 // of the files with these entries
	sums               []byte // for .sums, and where
	sumsAt             int64
	nSums              int
	closes             bool // the trailer is among them
}

// sweepTurn begins a sweep when one is due and moves the running one on.
func (s *Shard) sweepTurn() {
	s.relieve()
	w := &s.sw
	if w.uncomplete && s.now.Mono >= s.fullUntil {
		s.completeSet()
	}
	if w.state == sweepIdle && s.sweepDue() {
		s.sweepBegin()
	}
	if w.state == sweepWalking {
		s.sweepWalk()
	}
	if w.state == sweepWaiting && w.waiting == 0 && w.again {
		w.walk()
	}
	if w.state == sweepWaiting && w.waiting == 0 && s.now.Mono >= s.fullUntil {
		s.writeCheckpoint()
	}
}

func (s *Shard) sweepDue() bool {
	j := &s.j
	switch {
	case s.now.Mono < s.fullUntil, s.move.holdsSweeps():
		return false
	case s.draining && s.quiet():
		return !s.drained && !s.sw.final
	case s.sw.first:
		return true
	}
	return len(j.used) > 0 && (2*j.usedSize > j.total || len(j.free) == 0 && !j.mk.on ||
		j.want > s.room())
}

func (s *Shard) sweepBegin() {
	w := &s.sw
	w.number++
	w.waiting = 0
	w.begun = s.now.Mono
	w.moves = s.shared.moves.generation.Load()
	w.walk()
	w.first = false
	w.final = s.draining && s.quiet()
	w.free = len(s.j.used)
	if w.free > 0 {
		w.replay = s.j.used[w.free-1].lastSeq + 1
	}
	if w.final {
		w.replay = s.st.commits + 1 // quiet: everything is in this checkpoint
	}
}

// walk begins to take logs' states down, at the first one.
func (w *sweep) walk() {
	w.state, w.at, w.again = sweepWalking, 0, false
	w.buf = append(w.buf[:0], make([]byte, checkpointHeader)...)
	w.parts = w.parts[:0]
	w.logs = 0
	w.index, w.rest = w.index[:0], w.rest[:0]
}

// sweepWalk takes a few logs' state down. Logs made meanwhile are walked too; what
// is appended behind it stays in journal files that this sweep does not free.
func (s *Shard) sweepWalk() {
	w := &s.sw
	limit := len(w.buf) + walkBytes
	for n := 0; w.at < len(s.list); w.at++ {
		l := s.list[w.at]
		if l == nil || len(l.segs) == 0 && l.marks.End == 0 && l.moves == 0 {
			continue
		}
		if n++; n > walkLogs || len(w.buf) > limit {
			return
		}
		s.sweepLog(l)
		if len(w.buf) > partBytes {
			w.parts = append(w.parts, w.buf)
			limit -= len(w.buf)
			w.buf = make([]byte, 0, partBytes+partBytes/8)
		}
	}
	w.state = sweepWaiting
	w.walked = s.now.Mono
}

// sweepLog wants a log's whole blocks written and notes its state as of now.
func (s *Shard) sweepLog(l *Log) {
	w := &s.sw
	s.takeDown(w, l)
	w.buf = appendLogRecord(w.buf, &w.rec)
	w.logs++
	s.sweepWants(l)
}

// takeDown notes a log's state as of now in w.rec, as it will be on disk when its whole
// blocks are written and w's index entries, too.
func (s *Shard) takeDown(w *sweep, l *Log) {
	r := &w.rec
	*r = logRecord{
		tp: l.TP, topic: append(r.topic[:0], l.Topic...), journal: s.id, seq: s.st.seq,
		moves: l.moves, cores: uint16(s.cores),
		start: l.marks.Start, high: l.marks.High, end: l.marks.End,
		segs: r.segs[:0], tail: r.tail[:0], pending: r.pending[:0],
		producers: l.producers.Encode(r.producers[:0]), epochs: l.epochs.Encode(r.epochs[:0]),
	}
	for _, g := range l.segs {
		r.segs = append(r.segs, w.segRecord(g))
	}
	if g := l.active(); g != nil && !g.sealed {
		part := g.size - floor(g.size)
		r.tail = append(r.tail, make([]byte, part)...)
		if part > 0 {
			l.tail.read(l.tail.end-part, r.tail)
		}
		if w.final {
			w.noteRest(l, g, r.tail)
		}
		if r.segs[len(r.segs)-1].onDisk && g.staysPending(w.final) {
			r.pending = g.appendPending(r.pending)
		}
	}
}

// segRecord is a segment as it will be on disk when this sweep is done.
func (w *sweep) segRecord(g *seg) segRecord {
	x := &g.index
	if g.sealed && g.noted == 0 {
		g.noted = w.number
	}
	r := segRecord{
		base: g.base, end: g.end, size: g.size, created: g.created, firstMax: g.firstMax,
		maxTime: g.maxTime, maxAt: g.maxAt, since: x.since, lastTime: -1,
		sealed: g.sealed, finished: g.sealed, gaps: g.gaps,
		onDisk: g.onDisk || g.sealed || g.size >= block || w.final,
	}
	if r.onDisk {
		if w.final {
			x.time(g) // as Kafka does when it closes a segment
		}
		r.lastTime = x.lastTime
		if g.staysPending(w.final) {
			r.offsets, r.times = x.offsets, x.times
			r.offsetSum, r.timeSum = x.offsetSum, x.timeSum
			r.sums = g.sums.filed
			if g.sums.unknown {
				r.sums = -1
			}
			r.sumBegin, r.sum = g.sums.run.Begin, g.sums.run.Sum
			return r
		}
		r.offsets = x.offsets + int64(len(x.fresh))
		r.times = x.times + int64(len(x.freshT))
		r.offsetSum, r.timeSum = w.noteIndex(g)
		r.sums = g.sums.pieces()
	} else if g.sums.pieces() != 0 {
		r.sums = -1
	}
	r.sumBegin, r.sum = g.sums.run.Begin, g.sums.run.Sum
	return r
}

// sweepWants puts the log's whole blocks up for writing.
func (s *Shard) sweepWants(l *Log) {
	c := l.tail.last()
	if c == nil {
		return
	}
	goal := c.abs + int64(c.ready())
	if l.flushedAbs >= goal {
		return
	}
	l.swept, l.sweepGoal = true, goal
	s.sw.waiting++
	s.flushTo(l, l.tail.end)
}

// noteIndex copies a segment's index entries and sums that are not in its files, and
// returns the CRCs of the indexes with them.
func (w *sweep) noteIndex(g *seg) (offsetSum, timeSum uint32) {
	x := &g.index
	if len(x.fresh) == 0 && len(x.freshT) == 0 && !g.sums.pending(g.sealed) {
		return x.offsetSum, x.timeSum
	}
	iw := indexWrite{
		seg: g, dir: g.log.dir(), id: g.log.TP.Topic, base: g.base,
		offsetAt: x.offsets * offsetEntrySize, timeAt: x.times * timeEntrySize,
		nOffset: len(x.fresh), nTimes: len(x.freshT),
	}
	for _, e := range x.fresh {
		iw.offsets = binary.BigEndian.AppendUint32(iw.offsets, uint32(e.offset-g.base))
		iw.offsets = binary.BigEndian.AppendUint32(iw.offsets, uint32(e.pos))
	}
	for _, e := range x.freshT {
		iw.times = binary.BigEndian.AppendUint64(iw.times, uint64(e.time))
		iw.times = binary.BigEndian.AppendUint32(iw.times, uint32(e.offset-g.base))
	}
	iw.offsetSum = seal.Sum(x.offsetSum, iw.offsets)
	iw.timeSum = seal.Sum(x.timeSum, iw.times)
	if g.sums.pending(g.sealed) {
		g.sums.note(g, &iw)
	}
	w.index = append(w.index, iw)
	return iw.offsetSum, iw.timeSum
}

// writeCheckpoint starts the job that makes the segments durable and then the
// checkpoint that relies on them.
func (s *Shard) writeCheckpoint() {
	w := &s.sw
	w.state = sweepWriting
	if mutant.RecycleEarly {
		s.j.recycle(w.free)
		w.free = 0
	}
	if mutant.LateReplay {
		w.replay = s.st.commits + 1
	}
	parts := append(w.parts, w.buf)
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	w.flushed, w.written = s.now.Mono, size
	putCheckpointHead(parts[0], s.o.Directory, size, &checkpointHead{
		boot: s.boot, core: uint16(s.core), cores: uint16(s.cores), clean: w.final,
		replay: w.replay, journal: s.id, logs: w.logs, moves: w.moves,
	})
	w.index = slices.DeleteFunc(w.index, func(i indexWrite) bool {
		return i.seg.removed || i.seg.gone && !i.seg.onDisk || i.seg.log.dropped
	})
	w.rest = slices.DeleteFunc(w.rest, func(r restWrite) bool { return r.log.dropped })
	t := &checkpointTask{
		weak: s.o.Durability == Write, workers: s.o.workers(checkpointWriters),
		sh: s.shared, fs: s.o.FS, dir: s.o.Dir, place: s.o.journalDir(), roots: s.o.roots(),
		boot: s.boot, core: s.core, index: w.index, rest: w.rest, data: parts, segs: s.fl.dirty, fresh: s.fl.fresh,
	}
	var kept []*seg
	for _, g := range s.fl.dirty {
		g.dirty = false
		if g.removed || g.log.dropped {
			continue
		}
		if !g.onDisk { // sealed, and not yet written at all
			g.dirty = !g.gone
			if g.dirty {
				kept = append(kept, g)
			}
			continue
		}
		item := syncItem{dir: g.log.dir(), id: g.log.TP.Topic, base: g.base, truncate: -1}
		if g.sealed && !g.finished && g.written == g.size {
			item.truncate = g.size
			g.trimming = true
		}
		t.sync = append(t.sync, item)
	}
	for _, g := range s.fl.fresh {
		if !g.removed && !g.log.dropped {
			t.dirs = append(t.dirs, g.log.dir())
		}
	}
	s.fl.dirty, s.fl.fresh = kept, nil
	s.job(jobCheckpoint, nil, func() any { return t.run() })
}

// checkpointDone is what that job answers.
type checkpointDone struct {
	task *checkpointTask
	err  error
}

func (s *Shard) checkpointed(d checkpointDone) {
	w := &s.sw
	t := d.task
	if d.err != nil {
		for _, g := range t.segs { // written, but not known to be durable
			g.trimming = false
			s.soil(g)
		}
		s.fl.fresh = append(s.fl.fresh, t.fresh...)
		w.state = sweepWaiting // and once more
		s.trouble("checkpoint", d.err)
		return
	}
	for _, g := range t.segs {
		if g.trimming {
			g.trimming, g.finished, g.alloc = false, true, g.size
		}
	}
	for i := range t.index {
		t.index[i].seg.persisted(&t.index[i])
	}
	s.missing = 0
	s.shared.moves.swept[s.core].Store(w.number)
	s.j.recycle(w.free)
	w.state = sweepIdle
	w.index, w.rest, w.parts = t.index, t.rest, nil
	clear(w.index)
	clear(w.rest)
	s.stats.Sweeps++
	s.o.Log.Debug("checkpoint", "core", s.core, "logs", w.logs, "bytes", w.written,
		"files", len(t.sync)+len(t.index)+len(t.rest), "walk ms", ms(w.begun, w.walked),
		"flush ms", ms(w.walked, w.flushed), "write ms", ms(w.flushed, s.now.Mono))
	s.swept()
}

func ms(from, to clock.Instant) int64 { return to.Sub(from).Milliseconds() }

// swept counts this core's first sweep: with the last core's, nothing of earlier
// boots is needed any more.
func (s *Shard) swept() {
	if s.sw.done {
		return
	}
	s.sw.done = true
	left := s.shared.unswept.Add(-1)
	invariant.Check(left >= 0)
	if left == 0 {
		s.completeSet()
	}
}

// completeSet starts the job that makes this boot's checkpoints the base.
func (s *Shard) completeSet() {
	s.sw.uncomplete = false
	fs, dir, id, boot, sh := s.o.FS, s.o.Dir, s.o.Directory, s.boot, s.shared
	s.job(jobComplete, nil, func() any {
		if err := completeBoot(fs, dir, id, boot); err != nil {
			return err
		}
		sh.released.Store(true)
		return nil
	})
}

// setCompleted takes its answer; without space it is tried again.
func (s *Shard) setCompleted(v any) {
	if err, _ := v.(error); err != nil {
		s.sw.uncomplete = true
		s.trouble("checkpoint set", err)
	}
}

// persisted forgets entries that are in the files now.
func (g *seg) persisted(w *indexWrite) {
	x := &g.index
	x.fresh = append(x.fresh[:0], x.fresh[w.nOffset:]...)
	x.freshT = append(x.freshT[:0], x.freshT[w.nTimes:]...)
	x.offsets += int64(w.nOffset)
	x.times += int64(w.nTimes)
	x.offsetSum, x.timeSum = w.offsetSum, w.timeSum
	g.sums.persisted(w)
}

// takeReleased takes over journal files of earlier boots once they are free.
func (s *Shard) takeReleased() {
	j := &s.j
	if len(j.old) == 0 || !s.shared.released.Load() && !mutant.ReleaseEarly {
		return
	}
	for _, f := range j.old {
		if j.total+f.size > s.o.JournalMax && len(j.free) > 0 {
			fs, f, list, o := s.o.FS, f, &s.shared.list, &s.o
			s.job(jobClose, nil, func() any {
				_ = f.f.Close()
				if err := list.drop(o, f.number); err != nil {
					return err // it stays: the next start finds it spare
				}
				return fs.Remove(f.name)
			})
			continue
		}
		j.total += f.size
		j.addFree(f)
	}
	j.old = nil
}

// relieve writes out what it can when memory is short, without a checkpoint.
func (s *Shard) relieve() {
	if !s.sw.pressed || s.fl.flying > 0 || s.fl.head < len(s.fl.queue) {
		return
	}
	s.sw.pressed = false
	for _, l := range s.list {
		if l == nil {
			continue
		}
		c := l.tail.last()
		if c == nil {
			continue
		}
		if l.flushedAbs < c.abs+int64(c.ready()) {
			s.flushTo(l, l.tail.end)
		} else {
			s.shrink(l, c)
		}
	}
}

// shrink moves what is left of a large chunk to a small one, so that the large one
// can be given up.
func (s *Shard) shrink(l *Log, c *chunk) {
	if c.full() || c.flying > 0 || c.flushed == 0 || c.flushed != c.ready() {
		return
	}
	part := c.n - c.flushed
	from := c.flushed
	if part == 0 {
		c.mem = c.mem[:c.n]
		s.cacheInOrder(l)
		return
	}
	buf := s.pool.Get(minChunk)
	if buf == nil {
		return
	}
	d := s.cache.spare
	if d == nil {
		d = &chunk{}
	} else {
		s.cache.spare = d.next
	}
	*d = chunk{
		log: l, seg: c.seg, buf: buf, mem: buf.Mem, pos: c.pos + int64(from),
		abs: c.abs + int64(from), first: c.first, n: part, marks: d.marks[:0],
	}
	copy(d.mem, c.mem[from:c.n])
	k := len(c.marks)
	for k > 0 && int(c.marks[k-1].at) >= from {
		k--
	}
	for _, m := range c.marks[k:] {
		if len(d.marks) == 0 {
			d.first = m.offset
		}
		d.marks = append(d.marks, mark{m.offset, m.at - int32(from)})
	}
	if k > 0 && len(d.marks) == 0 {
		d.first = c.marks[k-1].offset
	}
	c.marks = c.marks[:k]
	c.mem, c.n = c.mem[:from], from
	s.cache.tails++
	l.tail.push(d)
	s.cacheInOrder(l)
}
