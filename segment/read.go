package segment

import (
	"errors"
	"sort"
	"time"

	"millrace/internal/arena"
	"millrace/protocol"
	"millrace/protocol/batch"
	"millrace/segment/index"
	"millrace/segment/seal"
)

// reader serves what is older than memory: index lookup, a read through the ring
// into the arena, a check of every batch's CRC.
type reader struct {
	queue         []*reading // not yet in flight
	waiting       []*reading // for an index or an open file
	results, told []Result
	lastID        uint32
	spare         *reading
	cached        []*seg // with an index in memory, oldest first
	cachedBytes   int64
}

// reading is one cold read.
type reading struct {
	id          uint32
	log         *Log
	seg         *seg
	from, limit int64
	max         int
	pos         int64 // in the segment, of the first batch to look at
	need        int   // bytes wanted from pos on; 0: by max
	buf         *arena.Buf
	skew        int // pos − the aligned position that the buffer begins at
	got         int // bytes in the buffer, skew included
	fileEnd     int // bytes of the buffer that come from the file
	memAbs      int64
	find        *finding // nil: a Read
	next        *reading
}

// hint remembers where a cold read ended, so that the next goes on without an index.
type hint struct {
	seg    *seg
	offset int64
	pos    int64
}

const (
	// readSlack is added to a read that begins at an index entry: the batch may
	// begin up to so much later.
	readSlack = 8 << 10
	// indexCache bounds the index files kept in memory.
	indexCache = 16 << 20
	// retryMemory is how soon a read asks again for memory.
	retryMemory = time.Millisecond
)

// Read reads whole batches from the one that holds offset from, below limit and
// within max bytes; the first one whole even if it is larger. The answer comes with
// Results. It may return less than there is.
func (s *Shard) Read(l *Log, from, limit int64, max int) (id uint32) {
	r := s.newReading(l, from, limit, max)
	s.rd.lastID++
	r.id = s.rd.lastID
	return r.id
}

func (s *Shard) newReading(l *Log, from, limit int64, max int) *reading {
	r := s.rd.spare
	if r == nil {
		r = &reading{}
	} else {
		s.rd.spare = r.next
	}
	*r = reading{log: l, from: from, limit: limit, max: max, pos: -1}
	s.rd.queue = append(s.rd.queue, r)
	return r
}

// Results are the answers since the last call; valid until the next.
func (s *Shard) Results() []Result {
	clear(s.rd.told)
	s.rd.told, s.rd.results = s.rd.results, s.rd.told[:0]
	return s.rd.told
}

// readTurn starts what can be started.
func (s *Shard) readTurn(out *Effects) {
	rd := &s.rd
	if len(rd.queue) == 0 {
		return
	}
	kept := 0
	for i := 0; i < len(rd.queue); i++ {
		r := rd.queue[i]
		if !s.startRead(r, out) {
			rd.queue[kept] = r
			kept++
		}
	}
	clear(rd.queue[kept:])
	rd.queue = rd.queue[:kept]
}

// startRead takes a reading as far as its IO. False: it stays queued for memory.
func (s *Shard) startRead(r *reading, out *Effects) bool {
	l := r.log
	if l.dropped {
		s.answer(r, protocol.UnknownTopicOrPartition)
		return true
	}
	if r.from < l.marks.Start || r.from >= l.marks.End {
		s.answer(r, protocol.OffsetOutOfRange)
		return true
	}
	if r.seg == nil || r.seg.gone {
		r.seg, r.pos = l.segmentOf(r.from), -1
	}
	for r.seg.gaps && (r.seg.size == 0 || r.pos >= r.seg.size) { // nothing is left behind from
		r.from, r.pos, r.need = max(r.from, r.seg.end), -1, 0
		if r.from >= min(r.limit, l.marks.End) {
			s.answer(r, protocol.None)
			return true
		}
		r.seg = l.segmentOf(r.from)
	}
	g := r.seg
	if r.pos < 0 && !s.locate(r) {
		return true // waits for the index
	}
	mem, abs := l.memoryOf(g)
	if r.pos < mem && g.fd.f == nil {
		s.rd.waiting = append(s.rd.waiting, r)
		s.prepare(g, g.alloc)
		return true
	}
	return s.sendRead(r, mem, abs, out)
}

// segmentOf is the segment that holds offset.
func (l *Log) segmentOf(offset int64) *seg {
	i := sort.Search(len(l.segs), func(i int) bool { return l.segs[i].base > offset })
	return l.segs[max(i-1, 0)]
}

// memoryOf says from where on a segment's bytes are in the tail, and where there.
func (l *Log) memoryOf(g *seg) (pos, abs int64) {
	for _, c := range l.tail.live() {
		if c.seg == g {
			return c.pos, c.abs
		}
	}
	return g.size, 0
}

// locate finds where to begin. False: the reading waits for the index.
func (s *Shard) locate(r *reading) bool {
	g, x := r.seg, &r.seg.index
	for i := range r.log.hints {
		if h := &r.log.hints[i]; h.seg == g && h.offset == r.from {
			r.pos = h.pos
			return true
		}
	}
	if n := len(x.fresh); n > 0 && x.fresh[0].offset <= r.from {
		i := sort.Search(n, func(i int) bool { return x.fresh[i].offset > r.from })
		r.pos = int64(x.fresh[i-1].pos)
		return true
	}
	if x.offsets == 0 {
		r.pos = 0
		return true
	}
	if g.cache != nil {
		r.pos = int64(index.LookupOffset(g.cache.offsets, g.base, r.from))
		return true
	}
	s.rd.waiting = append(s.rd.waiting, r)
	s.loadIndex(g)
	return false
}

// sendRead reads from the file what is not in memory, and takes the rest from the
// tail. False: no memory now.
func (s *Shard) sendRead(r *reading, mem, abs int64, out *Effects) bool {
	g := r.seg
	skew := r.pos - floor(r.pos)
	n := int64(r.need)
	if n == 0 {
		n = min(int64(max(r.max, batch.HeaderSize))+readSlack, maxChunk-skew)
	}
	n = min(n, g.size-r.pos)
	buf := s.readMemory(int(ceil(skew + n)))
	if buf == nil {
		return false
	}
	r.buf, r.skew, r.got = buf, int(skew), 0
	end := r.pos + n
	r.fileEnd = int(min(end, max(mem, r.pos)) - floor(r.pos))
	if r.pos >= mem {
		r.fileEnd = r.skew
	}
	r.memAbs = abs - mem // abs of a position p ≥ mem is memAbs + p
	if r.pos < mem {
		s.pin(g)
		id := s.newOp(op{kind: opRead, read: r})
		out.IO = append(out.IO, IO{ID: id, Kind: IORead, Fd: g.fd.f.Fd(), Off: floor(r.pos),
			Mem: buf.Mem[:ceil(int64(r.fileEnd))]})
		r.got = int(end - floor(r.pos)) // what it shall be
		s.stats.ColdReads++
		return true
	}
	r.got = int(end - floor(r.pos))
	s.tailPart(r)
	s.parse(r)
	return true
}

// readMemory is memory for a cold read: cached chunks give way to it.
func (s *Shard) readMemory(n int) *arena.Buf {
	for {
		if b := s.pool.Get(n); b != nil {
			return b
		}
		if !s.evict() {
			return nil
		}
	}
}

// tailPart copies what lies behind the file's part out of the tail.
func (s *Shard) tailPart(r *reading) {
	if r.got <= r.fileEnd {
		return
	}
	at := floor(r.pos) + int64(r.fileEnd)
	t := &r.log.tail
	if first := t.live(); len(first) > 0 && r.memAbs+at >= first[0].abs {
		t.read(r.memAbs+at, r.buf.Mem[r.fileEnd:r.got])
		return
	}
	r.got = r.fileEnd // given up meanwhile: the next read finds it in the file
}

// readDone is the completion of a cold read.
func (s *Shard) readDone(r *reading, res int32) {
	g := r.seg
	s.unpin(g)
	switch {
	case again(res):
		s.requeue(r)
		return
	case res < 0:
		s.o.Log.Error("reading a segment failed", "file", g.path(endLog), "pos", r.pos, "errno", -res)
		s.answer(r, protocol.KafkaStorageError)
		return
	}
	if r.log.dropped || g.gone && r.from < r.log.marks.Start {
		s.requeue(r)
		return
	}
	if int(res) < r.fileEnd {
		if int(res) <= r.skew || floor(int64(res)) == 0 {
			s.corrupt(r, "length")
			return
		}
		r.got = int(res) // short: what is there may do
	} else {
		s.tailPart(r)
	}
	s.stats.ColdBytes += uint64(r.got)
	s.parse(r)
}

func (s *Shard) requeue(r *reading) {
	if r.buf != nil {
		s.pool.Release(r.buf)
		r.buf = nil
	}
	s.rd.queue = append(s.rd.queue, r)
}

// parse finds the whole batches that were asked for in the buffer.
func (s *Shard) parse(r *reading) {
	b := r.buf.Mem[r.skew:r.got]
	from, to := 0, 0
	next := int64(-1) // the offset after the last batch
	for {
		v, _, err := batch.Next(b[to:])
		if errors.Is(err, batch.ErrShort) {
			break
		}
		if err != nil {
			s.corrupt(r, err.Error())
			return
		}
		if v.BaseOffset() < r.seg.base || v.NextOffset() > r.seg.end || v.LastOffsetDelta() < 0 {
			s.corrupt(r, "offset") // of no batch of this segment
			return
		}
		if v.NextOffset() <= r.from { // begins before
			to += len(v)
			from = to
			continue
		}
		if v.NextOffset() > r.limit || to > from && to+len(v)-from > r.max {
			break
		}
		if from == to && v.BaseOffset() > r.from && v.BaseOffset() != r.seg.base && !r.seg.gaps ||
			next >= 0 && v.BaseOffset() < next {
			s.corrupt(r, "base offset")
			return
		}
		if !v.CheckCRC() {
			s.corrupt(r, "crc")
			return
		}
		next = v.NextOffset()
		to += len(v)
		if r.find != nil && v.MaxTimestamp() >= r.find.ts {
			break // this one is looked at now
		}
	}
	if to > from {
		s.readFound(r, b, from, to, next)
		return
	}
	s.readMore(r, b[to:], int64(to))
}

// readFound answers with [from, to) of b.
func (s *Shard) readFound(r *reading, b []byte, from, to int, next int64) {
	h := &r.log.hints[r.log.hintAt%uint8(len(r.log.hints))]
	r.log.hintAt++
	*h = hint{seg: r.seg, offset: next, pos: r.pos + int64(to)}
	if r.find != nil {
		s.findNext(r, b[from:to])
		return
	}
	s.rd.results = append(s.rd.results, Result{
		ID: r.id, Buf: r.buf, Mem: b[from:to:to], Offset: -1, Time: -1, Epoch: -1,
	})
	r.buf = nil
	s.freeReading(r)
}

// readMore goes on when the buffer ended before a whole batch that is wanted.
func (s *Shard) readMore(r *reading, rest []byte, skipped int64) {
	if len(rest) >= walkHeader {
		v := batch.View(rest)
		if next := v.NextOffset(); next > r.limit && next > r.from && next <= r.seg.end {
			s.answer(r, protocol.None) // nothing whole below the limit
			return
		}
		size := int64(v.Length()) + batch.LogOverhead
		if size < batch.HeaderSize || size > r.seg.size-(r.pos+skipped) {
			s.corrupt(r, "length")
			return
		}
		if skipped == 0 && int64(len(rest)) >= size {
			s.answer(r, protocol.None)
			return
		}
		r.need = int(size)
	} else {
		r.need = 0
		if skipped == 0 {
			if r.seg.size-r.pos <= int64(len(rest)) && len(rest) > 0 {
				s.corrupt(r, "length")
				return
			}
			r.need = 2 * readSlack
		}
	}
	r.pos += skipped
	if r.pos >= r.seg.size && !r.seg.gaps {
		s.corrupt(r, "offset")
		return
	}
	s.requeue(r)
}

// corrupt says where the bytes are bad, and serves none of them.
func (s *Shard) corrupt(r *reading, rule string) {
	err := &CorruptError{r.seg.path(endLog), r.pos, rule}
	s.o.Log.Error("segment is damaged", "err", err, "offset", r.from)
	s.answer(r, protocol.CorruptMessage)
}

// answer ends a reading without bytes.
func (s *Shard) answer(r *reading, code protocol.Code) {
	if r.find != nil {
		s.findFailed(r, code)
		return
	}
	s.rd.results = append(s.rd.results, Result{ID: r.id, Code: code, Offset: -1, Time: -1, Epoch: -1})
	s.freeReading(r)
}

func (s *Shard) freeReading(r *reading) {
	if r.buf != nil {
		s.pool.Release(r.buf)
	}
	*r = reading{next: s.rd.spare}
	s.rd.spare = r
}

// loadedIndex is a segment's .index and .sums in memory.
type loadedIndex struct {
	offsets []byte
	sums    seal.Table
}

func (s *Shard) loadIndex(g *seg) {
	if g.loading {
		return
	}
	g.loading = true
	sh, files, want := s.shared, s.o.FS, g.loadWant()
	s.job(jobIndex, g, func() any { return want.run(sh, files) })
}

func (s *Shard) indexLoaded(g *seg, res loadedResult) {
	g.loading = false
	s.loaded(g, &res)
	if res.err != nil {
		s.o.Log.Error("index cannot be read", "file", g.path(endIndex), "err", res.err)
	} else if !g.gone && !g.log.dropped {
		s.rd.keepIndex(g, &loadedIndex{res.offsets, res.sums})
	}
	s.wake(g, res.err)
	if g.gone {
		s.rd.dropIndex(g)
	}
}

func (x *loadedIndex) bytes() int64 { return int64(len(x.offsets) + x.sums.Bytes()) }

func (rd *reader) keepIndex(g *seg, x *loadedIndex) {
	rd.dropIndex(g)
	g.cache = x
	rd.cached = append(rd.cached, g)
	rd.cachedBytes += x.bytes()
	for rd.cachedBytes > indexCache && len(rd.cached) > 1 {
		rd.dropIndex(rd.cached[0])
	}
}

func (rd *reader) dropIndex(g *seg) {
	if g.cache == nil {
		return
	}
	rd.cachedBytes -= g.cache.bytes()
	g.cache = nil
	for i, x := range rd.cached {
		if x == g {
			rd.cached = append(rd.cached[:i], rd.cached[i+1:]...)
			return
		}
	}
}

// fileReady wakes what waited for an open file.
func (s *Shard) fileReady(g *seg, err error) { s.wake(g, err) }

// wake queues the readings that waited for something of a segment, or ends them.
func (s *Shard) wake(g *seg, err error) {
	rd := &s.rd
	kept := rd.waiting[:0]
	for _, r := range rd.waiting {
		switch {
		case r.seg != g:
			kept = append(kept, r)
		case err != nil && !noSpace(err):
			s.answer(r, protocol.KafkaStorageError)
		default:
			rd.queue = append(rd.queue, r)
		}
	}
	clear(rd.waiting[len(kept):])
	rd.waiting = kept
}
