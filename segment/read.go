package segment

import (
	"sort"
	"time"

	"millrace/internal/invariant"
	"millrace/protocol"
	"millrace/segment/index"
	"millrace/segment/seal"
)

// reader serves what is older than memory: index lookup, stretches of the file, a
// check of every batch's CRC; all readers share what was read and checked.
type reader struct {
	queue         []*reading // can go on, or want memory
	indexing      []*reading // wait for an index
	results, told []Result
	extents, lent []Extent // of results, and of told
	lastID        uint32
	spare         *reading
	more          bool // the queue can go on at once
	walk          walker
	hints         [256]hint
	cached        []*seg // with an index in memory, oldest first
	cachedBytes   int64
}

// reading is one cold read, or one search.
type reading struct {
	id          uint32
	log         *Log
	seg         *seg
	from, limit int64
	max         int
	pos         int64      // in the segment, of the first batch to look at; −1: not known
	exact       bool       // a batch begins there, as sure as can be
	steady      bool       // it goes on where another ended: read ahead
	need        int64      // position up to which it waits for bytes
	uses        []*stretch // that it waits for, and that must stay meanwhile
	find        *finding
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
	// walkWork is what walking over a batch counts, in bytes that are checked.
	walkWork = 64
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

// Results are the answers since the last call; valid until the next. Readings whose bytes
// have come are looked at first.
func (s *Shard) Results() []Result {
	rd := &s.rd
	s.runReads()
	clear(rd.told)
	rd.told, rd.results = rd.results, rd.told[:0]
	clear(rd.lent)
	rd.lent, rd.extents = rd.extents, rd.lent[:0]
	return rd.told
}

// outcome is how far a reading came.
type outcome uint8

const (
	readOver    outcome = iota // answered
	readWaits                  // for an index, or for bytes
	readHungers                // for memory
	readTired                  // the turn's work is done
)

// readTurn takes readings that came in this turn as far as they come, and sends reads off.
func (s *Shard) readTurn(out *Effects) {
	s.cold.pace(s)
	s.runReads()
	if len(s.cold.fills) > 0 {
		s.fill(out)
	}
}

// readNow says that there are answers to fetch, or work for another turn.
func (s *Shard) readNow() bool { return s.rd.more || len(s.rd.results) > 0 }

// runReads takes readings as far as they come, within the work of one turn.
func (s *Shard) runReads() {
	rd, c := &s.rd, &s.cold
	rd.more = false
	if len(rd.queue) == 0 {
		return
	}
	if c.held {
		rd.more = c.ended // first what has become durable is told
		return
	}
	c.worked = s.now.Mono
	queue := rd.queue
	rd.queue = rd.queue[len(queue):]
	tired := (*reading)(nil)
	kept := 0
	for i, r := range queue {
		if c.work <= 0 {
			rd.more = true
			kept += copy(queue[kept:], queue[i:])
			break
		}
		switch s.advance(r) {
		case readTired:
			tired = r // others first
		case readHungers:
			queue[kept] = r
			kept++
		}
	}
	added := rd.queue
	rd.queue = queue[:kept]
	clear(queue[kept:])
	rd.queue = append(rd.queue, added...)
	if tired != nil {
		rd.queue = append(rd.queue, tired)
		rd.more = true
	}
}

// advance takes one reading as far as it comes.
func (s *Shard) advance(r *reading) outcome {
	uses := r.uses
	r.uses = nil
	how := s.proceed(r)
	leave(uses)
	return how
}

// leave ends a reading's use of stretches.
func leave(uses []*stretch) {
	for _, st := range uses {
		st.users--
	}
}

func (s *Shard) proceed(r *reading) outcome {
	l := r.log
	if r.find != nil && !l.dropped {
		if !s.findPlace(r) {
			return readOver
		}
	}
	switch {
	case l.dropped:
		return s.answer(r, protocol.UnknownTopicOrPartition)
	case r.from < l.marks.Start || r.from >= l.marks.End:
		return s.answer(r, protocol.OffsetOutOfRange)
	}
	if r.seg == nil || r.seg.gone {
		r.seg, r.pos = l.segmentOf(r.from), -1
	}
	if g := r.seg; g.cache == nil && g.sums.needTable(g) {
		s.awaitIndex(r)
		return readWaits
	}
	if r.pos < 0 && !s.locate(r) {
		return readWaits
	}
	return s.walk(r)
}

// segmentOf is the segment that holds offset.
func (l *Log) segmentOf(offset int64) *seg {
	i := sort.Search(len(l.segs), func(i int) bool { return l.segs[i].base > offset })
	return l.segs[max(i-1, 0)]
}

// after is the segment that follows, nil: none.
func (l *Log) after(g *seg) *seg {
	i := sort.Search(len(l.segs), func(i int) bool { return l.segs[i].base > g.base })
	if i == len(l.segs) {
		return nil
	}
	return l.segs[i]
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
	if h := s.hint(g, r.from); h.seg == g && h.offset == r.from {
		r.pos, r.exact, r.steady = h.pos, true, true
		return true
	}
	r.exact = false
	if r.from <= g.base {
		r.pos, r.exact, r.steady = 0, true, true
		return true
	}
	if r.find != nil {
		if abs, ok := r.log.tail.find(r.from); ok {
			live := r.log.tail.live()
			c := live[chunkOf(live, abs)]
			r.seg, r.pos, r.exact = c.seg, c.pos+abs-c.abs, true
			return true
		}
	}
	if n := len(x.fresh); n > 0 && x.fresh[0].offset <= r.from {
		i := sort.Search(n, func(i int) bool { return x.fresh[i].offset > r.from })
		r.pos, r.exact = int64(x.fresh[i-1].pos), true
		return true
	}
	if x.offsets == 0 {
		r.pos, r.exact = 0, true
		return true
	}
	if g.cache != nil {
		r.pos = int64(index.LookupOffset(g.cache.offsets, g.base, r.from))
		r.exact = r.pos == 0 || !g.sums.unknown // then the index has a sum, too
		return true
	}
	s.awaitIndex(r)
	return false
}

func (s *Shard) awaitIndex(r *reading) {
	s.rd.indexing = append(s.rd.indexing, r)
	s.loadIndex(r.seg)
}

// hint is where a read that begins at offset would have been noted.
func (s *Shard) hint(g *seg, offset int64) *hint {
	return &s.rd.hints[uint64(g.base*31+offset)*0x9e3779b97f4a7c15>>56]
}

// walk goes from r.pos on over whatever is in memory, checks it, and answers with
// what was asked for; or wants what is missing.
func (s *Shard) walk(r *reading) outcome {
	w, g, c := &s.rd.walk, r.seg, &s.cold
	w.begin(s, r.log, g)
	first, next := int64(-1), int64(-1) // of what is found: where it begins, the offset after it
	p := r.pos
	for p < g.size && (first < 0 || p < w.mem) {
		if c.work <= 0 {
			if first >= 0 {
				break
			}
			r.pos, r.exact = p, r.exact || p > r.pos
			return readTired
		}
		h, ok := w.look(p, next)
		if ok && (h.after > max(r.limit, r.from) || first >= 0 && p+h.size-first > int64(r.max)) {
			break
		}
		if ok {
			ok = w.take(&h, r.exact || p > r.pos)
		}
		if ok && first < 0 && next < 0 && h.base > r.from && h.base != g.base && !g.gaps {
			ok, h.rule = false, "base offset" // that of another batch was looked for
		}
		if !ok {
			if first >= 0 && (h.rule != "" || p-first >= min(int64(r.max), s.cell())/2) {
				break
			}
			if h.rule != "" {
				return s.damaged(r, p, h.rule)
			}
			return s.awaitBytes(r, first, next, p, &h)
		}
		c.work -= walkWork
		next = h.after
		if h.after > r.from {
			if r.find != nil && s.looksInto(r, &h) {
				return readOver
			}
			if r.find == nil && first < 0 {
				first = p
			}
		}
		p += h.size
	}
	if first >= 0 {
		return s.readFound(r, first, p, next)
	}
	return s.readOn(r, p)
}

// awaitBytes wants what is missing of the batch at p. Who has found something answers
// with that, unless more is on its way already.
func (s *Shard) awaitBytes(r *reading, first, next, p int64, h *walkHead) outcome {
	g, from, unit := r.seg, p, h.unit
	if first >= 0 {
		from, unit = first, first
	}
	invariant.Check(h.missing < s.rd.walk.mem) // I6
	st := g.stretchAt(h.missing)
	if st == nil {
		if first >= 0 {
			return s.readFound(r, first, p, next)
		}
		wish := from + int64(r.max) + readSlack
		if r.steady {
			wish = g.size
		}
		st = s.newStretch(g, h.missing, h.need, wish, s.rd.walk.mem, h.missing > unit)
		if st == nil {
			return readHungers
		}
	}
	s.cold.touch(st)
	r.exact = r.exact || from > r.pos
	r.pos, r.need = from, max(h.need, from+min(int64(r.max), s.cell()))
	st.waiting = append(st.waiting, r)
	for _, x := range g.cold {
		if x == st || x.pos < h.missing && x.end > unit {
			x.users++
			r.uses = append(r.uses, x)
		}
	}
	return readWaits
}

// readFound answers with [from, to) of the segment, which ends below the offset next.
func (s *Shard) readFound(r *reading, from, to, next int64) outcome {
	rd, g := &s.rd, r.seg
	*s.hint(g, next) = hint{seg: g, offset: next, pos: to}
	k := len(rd.extents)
	rd.extents = rd.walk.extents(rd.extents, from, to)
	rd.results = append(rd.results, Result{
		ID: r.id, Extents: rd.extents[k:len(rd.extents):len(rd.extents)],
		Offset: -1, Time: -1, Epoch: -1,
	})
	if r.steady {
		s.readAhead(r.log, g, to)
	}
	s.freeReading(r)
	return readOver
}

// readAhead begins to read what follows the stretch that a steady reader has come to.
func (s *Shard) readAhead(l *Log, g *seg, pos int64) {
	c := &s.cold
	if st := g.stretchAt(pos); st != nil {
		pos = st.end
	}
	limit, _ := l.memoryOf(g)
	if pos >= limit {
		if g = l.after(g); g == nil {
			return
		}
		pos = 0
		limit, _ = l.memoryOf(g)
	}
	if pos >= limit || g.stretchAt(pos) != nil ||
		c.unread+s.cell() > s.pool.Budget()/coldShare/2 {
		return
	}
	if st := s.newStretch(g, pos, 0, limit, limit, false); st != nil {
		st.ahead = true
		c.unread += int64(len(st.buf.Mem))
	}
}

// readOn: this segment has nothing for the reading from p on.
func (s *Shard) readOn(r *reading, p int64) outcome {
	g := r.seg
	if p < g.size {
		return s.answer(r, protocol.None) // nothing whole below the limit
	}
	if r.find != nil {
		r.find.from = max(r.find.from, g.end)
	}
	n := r.log.after(g)
	if n == nil {
		return s.answer(r, protocol.None)
	}
	r.seg, r.pos, r.exact, r.steady = n, 0, true, true // its last records were compacted away
	if r.find != nil {
		r.seg, r.pos = nil, -1
	}
	s.rd.queue = append(s.rd.queue, r)
	s.rd.more = true
	return readOver
}

// damaged says where the bytes are bad, and serves none of them.
func (s *Shard) damaged(r *reading, pos int64, rule string) outcome {
	err := &CorruptError{r.seg.path(endLog), pos, rule}
	s.o.Log.Error("segment is damaged", "err", err, "offset", r.from)
	s.forget(r.seg) // the disk may do better the next time
	return s.answer(r, protocol.CorruptMessage)
}

// answer ends a reading without bytes.
func (s *Shard) answer(r *reading, code protocol.Code) outcome {
	if r.find != nil {
		s.findAnswer(r.find, findResult{code: code})
	} else {
		s.rd.results = append(s.rd.results,
			Result{ID: r.id, Code: code, Offset: -1, Time: -1, Epoch: -1})
	}
	s.freeReading(r)
	return readOver
}

func (s *Shard) freeReading(r *reading) {
	leave(r.uses)
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

// wake queues the readings that waited for a segment's index, or ends them.
func (s *Shard) wake(g *seg, err error) {
	rd := &s.rd
	kept := rd.indexing[:0]
	for _, r := range rd.indexing {
		switch {
		case r.seg != g:
			kept = append(kept, r)
		case err != nil && !noSpace(err):
			s.answer(r, protocol.KafkaStorageError)
		default:
			rd.queue = append(rd.queue, r)
		}
	}
	clear(rd.indexing[len(kept):])
	rd.indexing = kept
}
