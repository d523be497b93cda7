package segment

import (
	"encoding/binary"
	"sort"

	"millrace/internal/arena"
	"millrace/internal/invariant"
)

// mark is one entry of a chunk's sparse index: a batch begins at mem[at].
type mark struct {
	offset int64
	at     int32
}

// markEvery is the least distance of two marks: what a reader walks at most.
const markEvery = 4096

// chunk is a piece of a log in memory: a range of one segment's file (I8).
type chunk struct {
	log     *Log
	seg     *seg
	buf     *arena.Buf
	mem     []byte
	pos     int64 // of mem[0] in the segment, a multiple of 4096
	abs     int64 // of mem[0] in the log, counted since it was opened
	first   int64 // base offset of the first batch that begins here, or of the one that spans it
	n       int   // bytes filled
	once    int   // bytes that were filled before a truncation: a write may still read them
	flushed int   // bytes in the file: whole blocks, or n at the end of a sealed segment
	flying  int   // bytes of the write in flight, 0: none
	cached  bool  // in the shard's list of written chunks
	orphan  bool  // out of the tail while its write is in flight
	marks   []mark
	prev    *chunk // in the list of written chunks
	next    *chunk // there, or in the list of free structs
}

// full says that nothing more will be put into it.
func (c *chunk) full() bool { return c.n == len(c.mem) || c.seg.sealed }

// ready is how far the chunk may be written: whole blocks, and all of it at the end
// of a sealed segment.
func (c *chunk) ready() int {
	if c.seg.sealed {
		return c.n
	}
	return int(floor(int64(c.n)))
}

// tail is the newest part of a log, in memory: chunks without holes (I6).
type tail struct {
	chunks []*chunk // from head on; oldest first
	head   int
	end    int64 // abs after the last byte
}

func (t *tail) live() []*chunk { return t.chunks[t.head:] }

func (t *tail) last() *chunk {
	if t.head == len(t.chunks) {
		return nil
	}
	return t.chunks[len(t.chunks)-1]
}

func (t *tail) push(c *chunk) {
	if len(t.chunks) == cap(t.chunks) && t.head > 0 {
		n := copy(t.chunks, t.chunks[t.head:])
		clear(t.chunks[n:])
		t.chunks, t.head = t.chunks[:n], 0
	}
	t.chunks = append(t.chunks, c)
}

// shift drops the oldest chunk.
func (t *tail) shift() {
	t.chunks[t.head] = nil
	t.head++
	if t.head == len(t.chunks) {
		t.chunks, t.head = t.chunks[:0], 0
	}
}

// put copies one whole batch behind the last one.
//
//hot:noalloc
func (l *Log) put(base int64, b []byte) {
	t := &l.tail
	c := t.last()
	if c == nil || c.full() {
		c = l.shard.newChunk(l, len(b), base)
	}
	if k := len(c.marks); k == 0 || c.n-int(c.marks[k-1].at) >= markEvery {
		if k == 0 {
			c.first = base
		}
		c.marks = append(c.marks, mark{base, int32(c.n)})
	}
	t.end += int64(len(b))
	for {
		k := copy(c.mem[c.n:], b)
		c.n += k
		b = b[k:]
		if len(b) == 0 {
			return
		}
		c = l.shard.newChunk(l, len(b), base)
	}
}

// batchHead is what a walk over batches needs of a header.
type batchHead struct {
	base int64
	next int64 // offset after the last
	size int64
}

const walkHeader = 27 // base offset … last offset delta

// head reads the header of the batch at abs, which lies in chunk i of live.
func (t *tail) head1(live []*chunk, i int, abs int64) batchHead {
	c := live[i]
	at := int(abs - c.abs)
	var room [walkHeader]byte
	b := c.mem[at:c.n]
	if len(b) < walkHeader { // the header lies on both sides of a border
		b = t.gather(live, i, at, &room)
	}
	base := int64(binary.BigEndian.Uint64(b))
	return batchHead{
		base: base,
		size: int64(int32(binary.BigEndian.Uint32(b[8:]))) + 12,
		next: base + int64(int32(binary.BigEndian.Uint32(b[23:]))) + 1,
	}
}

func (t *tail) gather(live []*chunk, i, at int, room *[walkHeader]byte) []byte {
	n := copy(room[:], live[i].mem[at:live[i].n])
	for n < walkHeader {
		i++
		n += copy(room[n:], live[i].mem[:live[i].n])
	}
	return room[:]
}

// chunkOf is the index in live of the chunk that holds abs.
func chunkOf(live []*chunk, abs int64) int {
	return sort.Search(len(live), func(i int) bool { return live[i].abs > abs }) - 1
}

// find is where the batch that holds offset begins. False: not in memory.
func (t *tail) find(offset int64) (abs int64, ok bool) {
	live := t.live()
	i := sort.Search(len(live), func(i int) bool { return live[i].first > offset }) - 1
	for i >= 0 && (len(live[i].marks) == 0 || live[i].marks[0].offset > offset) {
		i-- // a batch that began before spans this chunk's start, or all of it
	}
	if i < 0 {
		return 0, false
	}
	c := live[i]
	k := sort.Search(len(c.marks), func(k int) bool { return c.marks[k].offset > offset }) - 1
	abs = c.abs + int64(c.marks[k].at)
	for {
		for abs >= c.abs+int64(c.n) {
			i++
			c = live[i]
		}
		h := t.head1(live, i, abs)
		if offset < h.next {
			return abs, true
		}
		abs += h.size
	}
}

// bound is the end of the whole batches in [from, …) that lie below limit and
// within max bytes; the first one counts even if larger when oneMore. Equal to
// from: none.
func (t *tail) bound(from, limit int64, max int64, oneMore bool) int64 {
	live := t.live()
	abs := t.jump(live, from, from+max, limit)
	i := chunkOf(live, abs)
	for abs < t.end {
		for abs >= live[i].abs+int64(live[i].n) {
			i++
		}
		h := t.head1(live, i, abs)
		if h.next > limit {
			break
		}
		if abs+h.size > from+max && !(oneMore && abs == from) {
			break
		}
		abs += h.size
	}
	return abs
}

// jump is the last marked batch in [from, to] that does not begin above limit.
func (t *tail) jump(live []*chunk, from, to, limit int64) int64 {
	i := sort.Search(len(live), func(i int) bool {
		return live[i].abs > to || live[i].first > limit
	}) - 1
	for ; i >= 0 && live[i].abs+int64(live[i].n) > from; i-- {
		c := live[i]
		k := sort.Search(len(c.marks), func(k int) bool {
			return c.abs+int64(c.marks[k].at) > to || c.marks[k].offset > limit
		}) - 1
		if k >= 0 {
			if abs := c.abs + int64(c.marks[k].at); abs > from {
				return abs
			}
			return from
		}
	}
	return from
}

// extents appends [from, to) and takes a reference on every piece.
func (t *tail) extents(from, to int64, dst []Extent) []Extent {
	live := t.live()
	for i := chunkOf(live, from); from < to; i++ {
		c := live[i]
		a, b := from-c.abs, min(to-c.abs, int64(c.n))
		c.buf.Hold()
		dst = append(dst, Extent{Buf: c.buf, Mem: c.mem[a:b:b]})
		from = c.abs + b
	}
	return dst
}

// Locate finds the whole batches from the one that holds offset from, below limit
// and within max bytes; the first one whole even if it is larger when oneMore.
// InMemory: their memory was appended to dst, each piece with a reference on its
// Buf for the caller; none when the first batch is larger than max and not oneMore.
//
//hot:noalloc
func (l *Log) Locate(from, limit int64, max int, oneMore bool, dst []Extent) ([]Extent, Where) {
	switch {
	case from < l.marks.Start:
		return dst, Below
	case from > l.marks.End:
		return dst, Above
	case from >= limit || from == l.marks.End:
		return dst, AtEnd
	}
	t := &l.tail
	at, ok := t.find(from)
	if !ok {
		return dst, Cold
	}
	var to int64
	if limit == l.marks.High && l.highAbs > at && l.highAbs-at <= int64(max) {
		to = l.highAbs
	} else {
		to = t.bound(at, limit, int64(max), oneMore)
	}
	if to == at {
		live := t.live()
		if t.head1(live, chunkOf(live, at), at).next > limit {
			return dst, AtEnd
		}
		return dst, InMemory
	}
	return t.extents(at, to, dst), InMemory
}

// read copies the tail's bytes [from, from+len(b)) to b: for the journal and the
// checkpoint.
func (t *tail) read(from int64, b []byte) {
	live := t.live()
	i := chunkOf(live, from)
	invariant.Check(i >= 0 && from+int64(len(b)) <= t.end) // I6
	for len(b) > 0 {
		c := live[i]
		k := copy(b, c.mem[from-c.abs:c.n])
		b, from, i = b[k:], from+int64(k), i+1
	}
}
