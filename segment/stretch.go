package segment

import (
	"time"

	"millrace/internal/arena"
	"millrace/internal/clock"
	"millrace/protocol"
)

// stretch is a run of a segment file's bytes, read once for all who want them.
type stretch struct {
	seg     *seg
	buf     *arena.Buf
	pos     int64 // of buf.Mem[0] in the segment, a multiple of 4096
	end     int64 // of its bytes
	have    int64 // bytes below are there
	from    int64 // batches that begin in [from, sure) were checked
	sure    int64
	filling bool // waits for its file or a read, or one is in flight
	ahead   bool // nobody has asked for it yet
	gone    bool // let go while filling
	users   int  // readings that wait for it, or for more of a batch that begins in it
	waiting []*reading
	prev    *stretch // in the order of use
	next    *stretch // there, or in the list of free structs
}

// coldSet is what is in memory of cold bytes: a little, least recently used first,
// and the reads that fill it.
type coldSet struct {
	first, last *stretch
	bytes       int64
	unread      int64      // of them, read ahead
	fills       []*stretch // that wait for a read, in turn
	closed      []*stretch // that wait for their file to be opened
	flying      int
	spare       *stretch
	most        int           // reads that may fly now
	slice       int           // bytes of one
	work        int           // bytes that one turn may check
	calm        bool          // somebody writes
	credit      int64         // bytes that may be read meanwhile; below zero: owed
	counted     clock.Instant // until when time, and
	matched     uint64        // up to where what was written counts in it
	busy        bool          // a journal write is on its way
	ended       bool          // the last one has, in this turn,
	rest        clock.Instant // then
	next        clock.Instant // a read may go then
	worked      clock.Instant // when readings last went on
	held        bool          // they wait for a journal write
}

const (
	// coldShare of the core's memory is what stretches may take together.
	coldShare = 16
	// cellMin is the least size of a stretch when memory is small. Stretches end where
	// a multiple of their largest size does, so that readers come to share them.
	cellMin = 64 << 10

	// While nobody writes, reads are as large as is good for the disk, and a turn
	// checks as much as one answer has. A journal write waits behind what the disk is
	// at, and a request behind the turn: with writers there are few small ones.
	freeReads, freeSlice, freeWork = 2, maxChunk, maxChunk
	calmReads, calmSlice, calmWork = 1, 128 << 10, 64 << 10
	// calmRate is what all cores' readers then get together, in bytes a second, and calmShare
	// times as much as is written, so that whoever is behind comes to the end.
	calmRate, calmShare = 128_000_000, 2
	// Best is right after a journal write has ended: who waited for it has yet to send the next
	// request. Reads go then, for calmGap, and bytes are checked while no write is on its way.
	// Without such moments a read goes when calmLate bytes are due, and a turn's work is done
	// every calmPatience.
	calmGap      = clock.Instant(50_000)
	calmPatience = clock.Instant(1_000_000)
	calmLate     = 4 * calmSlice
	// writersFor is how long somebody counts as writing.
	writersFor = clock.Instant(20_000_000)
)

// pace decides by what the journals of all cores do.
func (c *coldSet) pace(s *Shard) {
	now, busy := s.now.Mono, s.st.flying != nil || s.st.gather.entries > 0
	c.ended = c.busy && !busy
	if c.busy = busy; busy {
		s.shared.wrote.Store(int64(now))
	}
	if c.ended {
		c.rest = now
	}
	written, rate := s.shared.written.Load(), calmRate/int64(s.cores)
	passed := min(now-c.counted, writersFor)
	c.credit += int64(passed)*rate/int64(time.Second) + calmShare*int64(written-c.matched)
	c.credit = min(c.credit, calmLate)
	c.counted, c.matched = now, written
	last := s.shared.wrote.Load()
	if c.calm = last > 0 && now < clock.Instant(last)+writersFor; !c.calm {
		c.most, c.slice, c.work, c.credit, c.held = freeReads, freeSlice, freeWork, 0, false
		return
	}
	c.most, c.slice, c.work = calmReads, calmSlice, calmWork
	c.held = (busy || c.ended) && c.credit < calmLate && now < c.worked+calmPatience
	due := func(credit int64) clock.Instant {
		if credit <= c.credit {
			return now
		}
		// And a little: a turn that is a byte too early would come again and again.
		return now.Add(time.Duration((credit-c.credit)*int64(time.Second)/rate) + time.Microsecond)
	}
	c.next = due(calmLate)
	if soon := due(0); !busy && soon < c.rest+calmGap {
		c.next = soon
	}
}

// nextFill is when a read may go that waits for its turn.
func (c *coldSet) nextFill(now clock.Instant) clock.Instant {
	if len(c.fills) == 0 || c.flying >= c.most || !c.calm || c.next <= now {
		return clock.Never
	}
	return c.next
}

// cell is the largest usual stretch.
func (s *Shard) cell() int64 {
	n := int64(maxChunk)
	for n > cellMin && n*2*coldShare > s.pool.Budget() {
		n >>= 1
	}
	return n
}

// stretchAt is the one that holds the position, nil: none.
func (g *seg) stretchAt(pos int64) *stretch {
	for _, st := range g.cold {
		if st.pos <= pos && pos < st.end {
			return st
		}
	}
	return nil
}

// newStretch begins to read what is at pos of a segment: up to need when a batch is
// that large, else up to wish within the cell. limit is where the file's bytes end.
// begun: of a batch, part is there. nil: no memory now.
func (s *Shard) newStretch(g *seg, pos, need, wish, limit int64, begun bool) *stretch {
	c := &s.cold
	at, cell := floor(pos), s.cell()
	end := min(at-at%cell+cell, ceil(max(wish, need)))
	k := len(g.cold)
	for k > 0 && g.cold[k-1].pos > at {
		k--
		end = min(end, g.cold[k].pos)
	}
	if begun || need-at > cell {
		end = max(end, ceil(need)) // the whole rest
	}
	end = min(end, ceil(limit))
	buf := s.coldMemory(int(end-at), begun)
	if buf == nil {
		return nil
	}
	st := c.spare
	if st == nil {
		st = &stretch{}
	} else {
		c.spare = st.next
	}
	*st = stretch{
		seg: g, buf: buf, pos: at, end: min(end, limit), have: at, filling: true,
		from: -1, sure: -1, waiting: st.waiting[:0],
	}
	for k = len(g.cold); k > 0 && g.cold[k-1].pos > at; k-- { // some may have been given up
	}
	g.cold = append(g.cold, nil)
	copy(g.cold[k+1:], g.cold[k:])
	g.cold[k] = st
	c.bytes += int64(len(buf.Mem))
	c.link(st)
	c.fills = append(c.fills, st)
	return st
}

// coldMemory is memory for a stretch: older ones give way, then written chunks. Who has
// begun with a batch may go on, so that readers never wait for one another in a ring.
func (s *Shard) coldMemory(n int, begun bool) *arena.Buf {
	c := &s.cold
	most := s.pool.Budget() / coldShare
	for c.bytes > 0 && c.bytes+int64(arena.SizeFor(n)) > most && s.evictCold() {
	}
	if !begun && c.bytes > 0 && c.bytes+int64(n) > 2*most {
		return nil // the rest is in use
	}
	for {
		if b := s.pool.Get(n); b != nil {
			return b
		}
		if !s.evict() {
			return nil
		}
	}
}

// evictCold gives up the stretch that was not used for longest. False: all are.
func (s *Shard) evictCold() bool {
	for st := s.cold.first; st != nil; st = st.next {
		if !st.filling && st.users == 0 {
			s.dropStretch(st)
			return true
		}
	}
	return false
}

// dropStretch takes one out; its memory goes when no reader has it and no read fills it.
func (s *Shard) dropStretch(st *stretch) {
	c, g := &s.cold, st.seg
	for i, x := range g.cold {
		if x == st {
			g.cold = append(g.cold[:i], g.cold[i+1:]...)
			break
		}
	}
	c.used(st)
	c.unlink(st)
	c.bytes -= int64(len(st.buf.Mem))
	if st.filling {
		st.gone = true
		return
	}
	s.freeStretch(st)
}

func (s *Shard) freeStretch(st *stretch) {
	s.pool.Release(st.buf)
	if st.users > 0 {
		st.buf = nil // somebody has yet to notice
		return
	}
	*st = stretch{waiting: st.waiting[:0], next: s.cold.spare}
	s.cold.spare = st
}

// forget drops what is in memory of a segment that is deleted or replaced.
func (s *Shard) forget(g *seg) {
	s.rd.dropIndex(g)
	for len(g.cold) > 0 {
		st := g.cold[len(g.cold)-1]
		s.rd.queue = append(s.rd.queue, st.waiting...) // they look where to go on
		clear(st.waiting)
		st.waiting = st.waiting[:0]
		s.dropStretch(st)
	}
}

// used notes that a reader asked for it.
func (c *coldSet) used(st *stretch) {
	if st.ahead {
		st.ahead = false
		c.unread -= int64(len(st.buf.Mem))
	}
}

// touch makes it the one most recently used.
func (c *coldSet) touch(st *stretch) {
	c.used(st)
	if c.last != st {
		c.unlink(st)
		c.link(st)
	}
}

func (c *coldSet) link(st *stretch) {
	st.prev, st.next = c.last, nil
	if c.last == nil {
		c.first = st
	} else {
		c.last.next = st
	}
	c.last = st
}

func (c *coldSet) unlink(st *stretch) {
	if st.prev == nil {
		c.first = st.next
	} else {
		st.prev.next = st.next
	}
	if st.next == nil {
		c.last = st.prev
	} else {
		st.next.prev = st.prev
	}
	st.prev, st.next = nil, nil
}

// fill sends reads off, a slice of each stretch in turn.
func (s *Shard) fill(out *Effects) {
	c := &s.cold
	if c.calm && s.now.Mono < c.next {
		return
	}
	for n := len(c.fills); n > 0 && c.flying < c.most; n-- {
		st := c.fills[0]
		c.fills = c.fills[:copy(c.fills, c.fills[1:])]
		g := st.seg
		switch {
		case st.gone:
			s.freeStretch(st)
			continue
		case g.fd.f == nil && s.now.Mono < s.fullUntil:
			c.fills = append(c.fills, st) // no descriptors: later
			continue
		case g.fd.f == nil:
			c.closed = append(c.closed, st)
			s.prepare(g, g.alloc)
			continue
		}
		from := st.have - st.pos
		n := min(int64(c.slice), ceil(st.end)-st.have)
		s.pin(g)
		c.flying++
		c.credit -= n
		s.stats.ColdReads++
		id := s.newOp(op{kind: opRead, stretch: st})
		out.IO = append(out.IO, IO{ID: id, Kind: IORead, Fd: g.fd.f.Fd(), Off: st.have,
			Mem: st.buf.Mem[from : from+n]})
	}
}

// readDone is the completion of a read.
func (s *Shard) readDone(st *stretch, res int32) {
	c, g := &s.cold, st.seg
	s.unpin(g)
	c.flying--
	switch {
	case st.gone:
		s.freeStretch(st)
		return
	case again(res):
		c.fills = append(c.fills, st)
		return
	case res < 0:
		s.o.Log.Error("reading a segment failed", "file", g.path(endLog), "pos", st.have, "errno", -res)
		s.failStretch(st, protocol.KafkaStorageError)
		return
	case st.have+int64(res) >= st.end:
		s.stats.ColdBytes += uint64(st.end - st.have)
		st.have, st.filling = st.end, false
	case res < block:
		err := &CorruptError{g.path(endLog), st.have + int64(res), "length"}
		s.o.Log.Error("segment is damaged", "err", err)
		s.failStretch(st, protocol.CorruptMessage)
		return
	default:
		s.stats.ColdBytes += uint64(floor(int64(res)))
		st.have += floor(int64(res))
		c.fills = append(c.fills, st)
	}
	kept := st.waiting[:0]
	for _, r := range st.waiting {
		if st.have < min(r.need, st.end) {
			kept = append(kept, r)
			continue
		}
		s.rd.queue = append(s.rd.queue, r)
	}
	clear(st.waiting[len(kept):])
	st.waiting = kept
}

// failStretch ends those who wait for one that cannot be read.
func (s *Shard) failStretch(st *stretch, code protocol.Code) {
	st.filling = false
	for _, r := range st.waiting {
		s.answer(r, code)
	}
	clear(st.waiting)
	st.waiting = st.waiting[:0]
	s.dropStretch(st)
}

// fileReady goes on with what waited for an open file.
func (s *Shard) fileReady(g *seg, err error) {
	c := &s.cold
	kept := c.closed[:0]
	var failed []*stretch
	for _, st := range c.closed {
		switch {
		case st.seg != g:
			kept = append(kept, st)
		case err != nil && !noSpace(err) && !st.gone:
			failed = append(failed, st)
		default:
			c.fills = append(c.fills, st)
		}
	}
	clear(c.closed[len(kept):])
	c.closed = kept
	for _, st := range failed {
		s.failStretch(st, protocol.KafkaStorageError)
	}
	s.wake(g, nil) // a swap held the index back, too
}

// releaseCold gives everything back (Close).
func (s *Shard) releaseCold() {
	for st := s.cold.first; st != nil; st = st.next {
		s.pool.Release(st.buf)
	}
	for _, st := range append(s.cold.fills, s.cold.closed...) {
		if st.gone {
			s.pool.Release(st.buf)
		}
	}
	s.cold = coldSet{}
}
