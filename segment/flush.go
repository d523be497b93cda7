package segment

import (
	"errors"
	"io/fs"
	"sort"
	"syscall"

	"millrace/internal/invariant"
)

// flusher writes tails to segment files: never on the way to an acknowledgement,
// a few pieces at a time.
type flusher struct {
	queue  []*Log // from head on
	head   int
	flying int
	bytes  int // of those
	most   int // that may fly now
	room   int // bytes of them
	piece  int // bytes of one write

	many    bool // small logs wait: they go in batches
	running int  // batches
	batches int  // that may run now
	batch   int  // bytes of one
	spare   []*flushBatch

	dirty []*seg // written or sealed since the last sync
	fresh []*seg // whose file was made since then
}

const (
	// While little waits, pieces are small and fly alone: a journal write waits behind
	// what the disk is at. With more to do they are large, and several where half of
	// the journal waits for them.
	calmPiece   = 128 << 10
	busyPiece   = 1 << 20
	busyDebt    = 32 << 20
	fewFlushing = 2
	maxFlushing = 4
	// manyFlushing is how many may fly when they are small, of many logs: together they are
	// no more than a few large ones.
	manyFlushing = 256
	// manyLogs is from how many small logs on batches are worth it.
	manyLogs = 4
	// eagerFlush is how much of a log may wait before it is written without a sweep.
	eagerFlush = 512 << 10
	// firstAlloc and maxAllocStep bound how far ahead a segment file is allocated.
	firstAlloc   = 64 << 10
	maxAllocStep = 64 << 20
)

// flushable says whether enough whole chunks wait.
func (l *Log) flushable() bool {
	c := l.tail.last()
	return c != nil && c.abs-l.goalAbs >= eagerFlush
}

// queueFlush wants what is in the log's full chunks written.
func (s *Shard) queueFlush(l *Log) {
	goal := l.tail.end
	if c := l.tail.last(); c != nil && !c.full() {
		goal = c.abs
	}
	s.flushTo(l, goal)
}

// flushTo wants whole blocks below abs written.
func (s *Shard) flushTo(l *Log, abs int64) {
	l.goalAbs = max(l.goalAbs, abs)
	if l.inFlush {
		return
	}
	l.inFlush = true
	f := &s.fl
	if s.move.log == l && f.head > 0 { // others wait for it
		f.head--
		f.queue[f.head] = l
		return
	}
	if len(f.queue) == cap(f.queue) && f.head > 0 {
		n := copy(f.queue, f.queue[f.head:])
		clear(f.queue[n:])
		f.queue, f.head = f.queue[:n], 0
	}
	f.queue = append(f.queue, l)
}

// flush sends writes off while there is work and room.
func (s *Shard) flush(out *Effects) {
	if s.full {
		if s.now.Mono < s.fullUntil {
			return
		}
		s.full = false // try again; trouble sets it anew
	}
	f := &s.fl
	f.pace(2*s.j.usedSize > s.j.total)
	for f.head < len(f.queue) {
		if f.many {
			s.flushBatches()
		}
		if !f.ready() {
			return
		}
		l := f.queue[f.head]
		if !l.dropped && !s.flushLog(l, out) {
			return
		}
		f.pop()
	}
}

// pop takes the queue's first log off.
func (f *flusher) pop() {
	f.queue[f.head].inFlush = false
	f.queue[f.head] = nil
	f.head++
	if f.head == len(f.queue) {
		f.queue, f.head = f.queue[:0], 0
	}
}

// pace says how many pieces of which size may fly.
func (f *flusher) pace(pressed bool) {
	f.most, f.piece, f.room = 1, calmPiece, busyPiece
	f.batches, f.batch = 1, calmBatch
	logs := len(f.queue) - f.head
	some := min(logs, 64)
	debt := int64(0)
	for _, l := range f.queue[f.head : f.head+some] {
		debt += l.goalAbs - l.flushedAbs
	}
	f.many = logs >= manyLogs && debt/int64(some) <= smallDebt
	if logs == 0 || debt*int64(logs)/int64(some) < busyDebt {
		return
	}
	f.most, f.piece, f.room = manyFlushing, busyPiece, fewFlushing*busyPiece
	f.batches, f.batch = fewBatches, batchBytes
	if pressed {
		f.room = maxFlushing * busyPiece
		f.batches = maxBatches
	}
}

// free says whether another piece may fly.
func (f *flusher) free() bool { return f.flying < f.most && f.bytes < f.room }

// ready says whether something of the queue may be sent off now.
func (f *flusher) ready() bool {
	if f.head == len(f.queue) {
		return false
	}
	if f.many && f.queue[f.head].small() {
		return f.running < f.batches
	}
	return f.free()
}

// due says whether a chunk has bytes to write now, below the log's goal, and up to where.
func (l *Log) due(c *chunk) (to int, due bool) {
	to = c.ready()
	return to, c.abs < l.goalAbs && c.flying <= 0 && to > c.flushed && !c.seg.absent
}

// flushLog sends what is ready of one log. False: there is more, but no room.
func (s *Shard) flushLog(l *Log, out *Effects) bool {
	live := l.tail.live()
	for i := max(chunkOf(live, l.flushedAbs), 0); i < len(live); i++ {
		c := live[i]
		to, due := l.due(c)
		if !due {
			continue
		}
		if !s.fl.free() {
			return false
		}
		to = min(to, c.flushed+s.fl.piece)
		end := c.pos + ceil(int64(to))
		if c.seg.fd.f == nil || c.seg.alloc < end {
			s.prepare(c.seg, end)
			return true // queued again when the file is there
		}
		s.flushChunk(c, to, out)
	}
	return true
}

func (s *Shard) flushChunk(c *chunk, to int, out *Effects) {
	g := c.seg
	c.flying = to - c.flushed
	s.pin(g)
	s.fl.flying++
	s.fl.bytes += c.flying
	id := s.newOp(op{kind: opFlush, chunk: c})
	out.IO = append(out.IO, IO{
		ID: id, Kind: IOWrite, Fd: g.fd.f.Fd(), Off: c.pos + int64(c.flushed),
		Mem: c.mem[c.flushed:ceil(int64(to))],
	})
}

// prepare starts the job that opens or extends a segment's file.
func (s *Shard) prepare(g *seg, need int64) {
	if g.preparing {
		return
	}
	g.preparing = true
	wish := g.wish(need, firstAlloc)
	fs, dir, id, base, f := s.o.FS, g.log.dir(), g.log.TP.Topic, g.base, g.fd.f
	create, alloc, sh := !g.onDisk, g.alloc, s.shared
	if f != nil {
		s.pin(g)
	}
	s.job(jobPrepare, g, func() any {
		return prepareFile(sh, fs, dir, id, base, f, create, alloc, need, wish)
	})
}

// wish is how far the file had better be allocated when need bytes of it have to be: at
// least step further.
func (g *seg) wish(need, step int64) int64 {
	if g.sealed {
		return need
	}
	step = min(max(g.alloc, ceil(step), firstAlloc), maxAllocStep)
	return max(need, min(g.alloc+step, max(ceil(g.log.segmentBytes()), need)))
}

func (s *Shard) prepared(g *seg, p preparedFile) {
	g.preparing = false
	g.alloc = p.alloc
	if p.f != nil {
		invariant.Check(g.fd.f == nil)
		s.opened(g, p.f)
	} else if g.fd.f != nil {
		s.unpin(g)
	}
	if p.created && p.f != nil {
		g.onDisk = true
		s.fl.fresh = append(s.fl.fresh, g)
	}
	if g.gone && g.fd.pins == 0 {
		s.closeFile(g)
	}
	if s.recovering && errors.Is(p.err, fs.ErrNotExist) {
		g.absent = true // an entry that is yet to come says so, or finishLog refuses
	} else if p.err != nil && !g.gone && !g.log.dropped {
		s.trouble("segment file "+g.path(endLog), p.err)
	}
	if l := g.log; !l.dropped && l.flushedAbs < l.goalAbs { // though the segment may be gone
		s.flushTo(g.log, g.log.goalAbs)
	}
	s.fileReady(g, p.err)
}

// flushDone is the completion of a segment write.
func (s *Shard) flushDone(c *chunk, res int32) {
	g := c.seg
	s.pieceDone(c, res)
	s.unpin(g)
}

func (s *Shard) pieceDone(c *chunk, res int32) {
	g, l := c.seg, c.log
	want := int(ceil(int64(c.flying)))
	done := c.flying
	c.flying = 0
	s.fl.flying--
	s.fl.bytes -= done
	if c.orphan {
		s.freeChunk(c)
		return
	}
	switch {
	case again(res):
		s.flushTo(l, l.goalAbs)
		return
	case res <= 0:
		err := error(syscall.Errno(-res))
		if res == 0 {
			err = errors.New("nothing was written")
		}
		s.trouble("segment write "+g.path(endLog), err)
		s.flushTo(l, l.goalAbs)
		return
	case int(res) < want:
		done = min(done, int(floor(int64(res)))) // short: the rest goes again
	}
	c.flushed += done
	g.written += int64(done)
	s.stats.Flushed += uint64(done)
	s.soil(g)
	if c.flushed < c.ready() {
		s.flushTo(l, l.goalAbs)
	}
	if c.full() && c.flushed == c.n {
		s.cacheInOrder(l)
	}
	s.advanceFlushed(l)
	s.trimCache()
}

// soil notes that the next checkpoint has to sync a segment, or to cut it to size.
func (s *Shard) soil(g *seg) {
	if !g.dirty {
		g.dirty = true
		s.fl.dirty = append(s.fl.dirty, g)
	}
}

// cacheInOrder enters a log's written chunks into the cache, oldest first: writes
// complete in any order, but chunks are given up from the old end only (I6).
func (s *Shard) cacheInOrder(l *Log) {
	live := l.tail.live()
	first := sort.Search(len(live), func(i int) bool { return !live[i].cached })
	for _, c := range live[first:] {
		if !c.full() || c.flushed < c.n {
			return
		}
		s.cacheChunk(c)
	}
}

// advanceFlushed moves the mark below which everything is in files.
func (s *Shard) advanceFlushed(l *Log) {
	live := l.tail.live()
	if len(live) == 0 {
		l.flushedAbs = l.tail.end // written, or deleted before it was
	}
	for i := max(chunkOf(live, l.flushedAbs), 0); i < len(live); i++ {
		c := live[i]
		l.flushedAbs = max(l.flushedAbs, c.abs+int64(c.flushed))
		if c.flushed < c.n {
			break
		}
	}
	if l.swept && l.flushedAbs >= l.sweepGoal {
		l.swept = false
		s.sw.waiting--
	}
}
