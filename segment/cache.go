package segment

import (
	"millrace/internal/arena"
	"millrace/internal/invariant"
)

// cache is the list of chunks that are in their files and stay readable: oldest
// first. They are given up for new data, or beyond CacheBytes.
type cache struct {
	first, last *chunk
	bytes       int64
	count       int    // chunks in the list
	spare       *chunk // structs without memory
	reserve     []*arena.Buf
	tails       int // chunks that exist
}

const (
	minChunk = arena.MinSize
	maxChunk = arena.MaxSize

	// reserveBufs × minChunk are kept back, so that an append that was admitted
	// finds memory even if others of the core took what Admit saw.
	reserveBufs = 64
)

// newChunk puts room for at least some of need bytes behind the log's tail. base is
// the batch that asks.
func (s *Shard) newChunk(l *Log, need int, base int64) *chunk {
	g := l.active()
	c := s.cache.spare
	if c == nil {
		c = &chunk{}
	} else {
		s.cache.spare = c.next
		c.next = nil
	}
	size := max(minChunk, need)
	pos, abs := g.size, l.tail.end
	if prev := l.tail.last(); prev != nil {
		abs = prev.abs + int64(prev.n)
		if prev.seg == g {
			invariant.Check(prev.n == len(prev.mem))
			pos = prev.pos + int64(len(prev.mem))
		}
		size = max(size, 2*len(prev.mem))
	}
	invariant.Check(pos%block == 0) // I8
	buf := s.tailMemory(min(size, s.largestChunk()))
	marks := c.marks[:0]
	*c = chunk{log: l, seg: g, buf: buf, mem: buf.Mem, pos: pos, abs: abs, first: base, marks: marks}
	s.cache.tails++
	l.tail.push(c)
	return c
}

// largestChunk keeps many logs from taking a large piece each. Cached chunks do not
// count: they are given up when memory is wanted.
func (s *Shard) largestChunk() int {
	share := s.pool.Budget() / int64(2*(s.cache.tails-s.cache.count+1))
	size := maxChunk
	for size > minChunk && int64(size) > share {
		size >>= 1
	}
	return size
}

// tailMemory cannot fail after Admit: it gives up cached chunks, takes smaller
// pieces, and at last the reserve.
func (s *Shard) tailMemory(size int) *arena.Buf {
	for {
		if b := s.pool.Get(size); b != nil {
			return b
		}
		if s.evict() {
			continue
		}
		if size <= minChunk {
			break
		}
		size >>= 1
	}
	n := len(s.cache.reserve)
	invariant.Checkf(n > 0, "segment: no memory for what Admit let in")
	b := s.cache.reserve[n-1]
	s.cache.reserve = s.cache.reserve[:n-1]
	return b
}

// memoryFor says whether bytes more may go into tails. It gives up cached chunks
// for it; when that is not enough, a sweep is wanted.
func (s *Shard) memoryFor(bytes int64, others bool) bool {
	for len(s.cache.reserve) < reserveBufs {
		b := s.pool.Get(minChunk)
		if b == nil {
			break
		}
		s.cache.reserve = append(s.cache.reserve, b)
	}
	budget := s.pool.Budget()
	keep := int64(minChunk)
	if others {
		keep = budget / 8
	}
	if bytes+keep > budget {
		keep = max(budget-bytes, 0) / 2 // a huge request may take nearly all
	}
	for s.pool.Held()+bytes+bytes/8+keep > budget {
		if !s.evict() {
			s.sw.pressed = true
			return false
		}
	}
	return true
}

// evict gives up what was read of files, beyond its share or when nothing else is left,
// and else the oldest written chunk. False: there is nothing.
func (s *Shard) evict() bool {
	if s.cold.bytes*coldShare > s.pool.Budget() && s.evictCold() {
		return true
	}
	return s.evictChunk() || s.evictCold()
}

// evictChunk gives up the oldest written chunk. False: there is none.
func (s *Shard) evictChunk() bool {
	c := s.cache.first
	if c == nil {
		return false
	}
	l := c.log
	if c.abs+int64(c.n) > l.stagedAbs {
		return false // the journal has yet to read it
	}
	invariant.Check(l.tail.live()[0] == c) // I6: the oldest of its log
	s.uncache(c)
	l.tail.shift()
	s.freeChunk(c)
	return true
}

// Yield gives cached chunks up until n bytes fit into the core's budget, and says
// whether they do. When that is not enough, a sweep is wanted.
func (s *Shard) Yield(n int) bool {
	for s.pool.Held()+int64(arena.SizeFor(n)) > s.pool.Budget() {
		if !s.evict() {
			s.sw.pressed = true
			return false
		}
	}
	return true
}

// trimCache gives up what is beyond CacheBytes.
func (s *Shard) trimCache() {
	for s.cache.bytes > s.o.CacheBytes && s.evictChunk() {
	}
}

// cacheChunk notes a chunk that is wholly in its file.
func (s *Shard) cacheChunk(c *chunk) {
	invariant.Check(!c.cached)
	c.cached = true
	s.cache.bytes += int64(len(c.buf.Mem))
	s.cache.count++
	c.prev = s.cache.last
	if s.cache.last == nil {
		s.cache.first = c
	} else {
		s.cache.last.next = c
	}
	s.cache.last = c
}

func (s *Shard) uncache(c *chunk) {
	if c.prev == nil {
		s.cache.first = c.next
	} else {
		c.prev.next = c.next
	}
	if c.next == nil {
		s.cache.last = c.prev
	} else {
		c.next.prev = c.prev
	}
	c.prev, c.next, c.cached = nil, nil, false
	s.cache.bytes -= int64(len(c.buf.Mem))
	s.cache.count--
}

// freeChunk gives the memory back, when no reader has it any more.
func (s *Shard) freeChunk(c *chunk) {
	s.pool.Release(c.buf)
	s.cache.tails--
	marks := c.marks[:0]
	*c = chunk{marks: marks, next: s.cache.spare}
	s.cache.spare = c
}
