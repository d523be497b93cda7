package segment

import (
	"syscall"

	"millrace/internal/vfs"
	"millrace/protocol"
)

// Of thousands of logs a sweep writes some KiB each. One ring operation a piece, and one job
// for each file that has to be opened or extended, would cost more than the bytes do: the
// kernel hands a write that also changes the file's times to a thread of its own. A batch is one
// job, which opens, extends and writes the files of many logs.

const (
	// smallDebt is up to where a log's pieces go in a batch.
	smallDebt = 256 << 10
	// batchLogs and batchBytes bound a batch.
	batchLogs  = 64
	batchBytes = 1 << 20
	calmBatch  = 256 << 10
	// fewBatches and maxBatches are how many may run, as with larger pieces.
	fewBatches = 6
	maxBatches = 12
	// sweepsAhead is for how many sweeps like the last one a file is extended.
	sweepsAhead = 8
)

// flushBatch is what one job writes.
type flushBatch struct {
	work  []segWork
	bytes int
}

// segWork are the pieces of one segment, and what its file needs before.
type segWork struct {
	seg      *seg
	prepares bool // the file is opened or extended
	pinned   bool

	f          vfs.File
	dir        string
	id         protocol.TopicID
	base       int64
	create     bool
	alloc      int64
	need, wish int64
	pieces     []batchPiece
	done       preparedFile
}

type batchPiece struct {
	chunk *chunk
	mem   []byte
	off   int64
	res   int32
}

// small says that what waits of the log goes in a batch.
func (l *Log) small() bool { return l.dropped || l.goalAbs-l.flushedAbs <= smallDebt }

// flushBatches sends batches off while small logs wait. It ends at the first log that is
// not small.
func (s *Shard) flushBatches() {
	f := &s.fl
	for f.head < len(f.queue) && f.running < f.batches {
		b := f.newBatch()
		for f.head < len(f.queue) && len(b.work) < batchLogs && b.bytes < f.batch {
			l := f.queue[f.head]
			if !l.dropped {
				if !l.small() {
					break
				}
				s.batchLog(l, b)
			}
			f.pop()
		}
		if len(b.work) == 0 {
			f.spare = append(f.spare, b)
			if f.head < len(f.queue) {
				return // at a large one
			}
			continue
		}
		f.running++
		sh, files := s.shared, s.o.FS
		s.job(jobFlush, b, func() any {
			b.run(sh, files)
			return nil
		})
	}
}

// batchLog puts what is ready of a log into a batch.
func (s *Shard) batchLog(l *Log, b *flushBatch) {
	live := l.tail.live()
	for i := max(chunkOf(live, l.flushedAbs), 0); i < len(live); i++ {
		c := live[i]
		to, due := l.due(c)
		if !due {
			continue
		}
		w := b.last(c.seg)
		if w == nil {
			if c.seg.preparing {
				return // queued again when the file is there
			}
			w = b.add(c.seg)
		}
		c.flying = to - c.flushed
		s.fl.flying++
		s.fl.bytes += c.flying
		b.bytes += c.flying
		w.need = max(w.need, c.pos+ceil(int64(to)))
		w.pieces = append(w.pieces, batchPiece{
			chunk: c, mem: c.mem[c.flushed:ceil(int64(to))], off: c.pos + int64(c.flushed),
		})
	}
	s.settleWork(l, b)
}

// settleWork decides what the files of the log's segments need; b has its pieces.
func (s *Shard) settleWork(l *Log, b *flushBatch) {
	for i := len(b.work) - 1; i >= 0 && b.work[i].seg.log == l; i-- {
		w := &b.work[i]
		g := w.seg
		w.f, w.pinned = g.fd.f, g.fd.f != nil
		if w.pinned {
			s.pin(g)
		}
		w.prepares = !w.pinned || g.alloc < w.need
		w.dir, w.id, w.base = g.log.dir(), g.log.TP.Topic, g.base
		w.create, w.alloc = !g.onDisk, g.alloc
		w.wish = g.wish(w.need, sweepsAhead*(w.need-w.pieces[0].off))
		g.preparing = w.prepares
	}
}

// last is the batch's newest work if it is of this segment.
func (b *flushBatch) last(g *seg) *segWork {
	if n := len(b.work); n > 0 && b.work[n-1].seg == g {
		return &b.work[n-1]
	}
	return nil
}

func (b *flushBatch) add(g *seg) *segWork {
	n := len(b.work)
	if n < cap(b.work) {
		b.work = b.work[:n+1]
		b.work[n].seg = g
	} else {
		b.work = append(b.work, segWork{seg: g})
	}
	return &b.work[n]
}

// newBatch is an empty one.
func (f *flusher) newBatch() *flushBatch {
	n := len(f.spare)
	if n == 0 {
		return &flushBatch{}
	}
	b := f.spare[n-1]
	f.spare = f.spare[:n-1]
	return b
}

// run is the job: it opens and extends files, and writes.
func (b *flushBatch) run(sh *shared, files vfs.FS) {
	for i := range b.work {
		w := &b.work[i]
		f := w.f
		if w.prepares {
			w.done = prepareFile(sh, files, w.dir, w.id, w.base, f, w.create, w.alloc, w.need, w.wish)
			if w.done.f != nil {
				f = w.done.f
			}
		}
		for k := range w.pieces {
			p := &w.pieces[k]
			if w.done.err != nil {
				p.res = -int32(syscall.EAGAIN)
				continue
			}
			p.res = writeNow(f, IO{Mem: p.mem, Off: p.off})
		}
	}
}

// batchDone takes what the job has done.
func (s *Shard) batchDone(b *flushBatch) {
	f := &s.fl
	f.running--
	for i := range b.work {
		w := &b.work[i]
		g := w.seg
		for k := range w.pieces {
			s.pieceDone(w.pieces[k].chunk, w.pieces[k].res)
		}
		if w.prepares {
			s.prepared(g, w.done) // it lets go of the file, too
		} else {
			s.unpin(g)
		}
		clear(w.pieces)
		*w = segWork{pieces: w.pieces[:0]}
	}
	b.work, b.bytes = b.work[:0], 0
	f.spare = append(f.spare, b)
}
