package arena

import (
	"millrace/internal/invariant"

	"golang.org/x/sys/unix"
)

const (
	slabSize  = 4 << 20
	slabPages = slabSize / MinSize
	none      = int32(-1)
)

// slab is one mapping that blocks are carved from; mem is nil when it was given
// back and its number waits for reuse.
type slab struct {
	mem  []byte
	used int32 // pages in held Bufs
}

// page is the book-keeping of 4 KiB. Only the first page of a free block means
// anything: the others, and those of held Bufs, have size 0.
type page struct {
	prev, next int32
	size       int8 // order + 1 of the free block that begins here, or 0
	dry        bool // the free block's memory was given back to the kernel
}

// take returns the first page of a block of that order, cut out of a larger one or
// of a fresh slab when there is none; none when the kernel has no memory.
func (p *Pool) take(order int8) int32 {
	from := order
	for from < orders && p.free[from] == none {
		from++
	}
	if from == orders {
		if !p.addSlab() {
			return none
		}
		from = orders - 1
	}
	at := p.free[from]
	dry := p.pages[at].dry
	p.unlink(at)
	for from > order { // keep the lower half, the upper one is free
		from--
		p.link(at+1<<from, from, dry)
	}
	p.slabs[at/slabPages].used += 1 << order
	return at
}

// give frees a block and joins it with its buddy as often as that is free too (I5).
func (p *Pool) give(at int32, order int8) {
	p.slabs[at/slabPages].used -= 1 << order
	invariant.Check(p.pages[at].size == 0) // I4: it was not free
	for order < orders-1 {
		buddy := at ^ 1<<order
		if p.pages[buddy].size != order+1 {
			break
		}
		p.unlink(buddy)
		at &^= 1 << order
		order++
	}
	p.link(at, order, false)
}

func (p *Pool) link(at int32, order int8, dry bool) {
	head := p.free[order]
	p.pages[at] = page{prev: none, next: head, size: order + 1, dry: dry}
	if head != none {
		p.pages[head].prev = at
	}
	p.free[order] = at
}

func (p *Pool) unlink(at int32) {
	e := &p.pages[at]
	if e.prev == none {
		p.free[e.size-1] = e.next
	} else {
		p.pages[e.prev].next = e.next
	}
	if e.next != none {
		p.pages[e.next].prev = e.prev
	}
	*e = page{}
}

func (p *Pool) memory(at int32, order int8) []byte {
	mem := p.slabs[at/slabPages].mem
	from := int(at%slabPages) * MinSize
	to := from + MinSize<<order
	return mem[from:to:to]
}

// addSlab takes a slab that was made ready, or maps one, and puts its blocks of the
// largest order up. One that is mapped here has no huge pages: with a page cache that
// fills the machine the first touch of one may compact memory for tens of milliseconds,
// on the core's thread.
func (p *Pool) addSlab() bool {
	var mem []byte
	dry := true
	if n := len(p.ready); n > 0 {
		mem, p.ready[n-1] = p.ready[n-1], nil
		p.ready = p.ready[:n-1]
		dry = false
	} else if mem = p.mmap(slabSize); mem == nil {
		return false
	}
	at := len(p.slabs)
	for i := range p.slabs {
		if p.slabs[i].mem == nil {
			at = i
			break
		}
	}
	if at == len(p.slabs) {
		p.slabs = append(p.slabs, slab{})
		p.pages = append(p.pages, make([]page, slabPages)...)
	}
	p.slabs[at] = slab{mem: mem}
	first := int32(at) * slabPages
	for i := first + slabPages - 1<<(orders-1); i >= first; i -= 1 << (orders - 1) {
		p.link(i, orders-1, dry)
	}
	return true
}

// Trim gives about most bytes of free memory back to the kernel, and says how many it
// gave: empty slabs wholly, free blocks of the others one by one. It goes on where it
// stopped the last time. Each block costs a system call.
func (p *Pool) Trim(most int64) (given int64) {
	for n := len(p.ready); n > 0 && given < most; n-- {
		Forget(p.ready[n-1:])
		p.ready = p.ready[:n-1]
		p.mapped.Add(-slabSize)
		given += slabSize
	}
	for range p.slabs {
		if given >= most {
			return given
		}
		p.trimAt = (p.trimAt + 1) % len(p.slabs)
		given += p.trimSlab(p.trimAt)
	}
	return given
}

func (p *Pool) trimSlab(i int) (given int64) {
	s := &p.slabs[i]
	if s.mem == nil {
		return 0
	}
	first := int32(i) * slabPages
	for at := first; at < first+slabPages; {
		e := &p.pages[at]
		if e.size == 0 {
			at++
			continue
		}
		order := e.size - 1
		if s.used == 0 {
			p.unlink(at)
		} else if !e.dry {
			_ = unix.Madvise(p.memory(at, order), unix.MADV_DONTNEED)
			e.dry = true
			given += MinSize << order
		}
		at += 1 << order
	}
	if s.used == 0 {
		p.unmap(s.mem)
		s.mem = nil
		given = slabSize
	}
	return given
}
