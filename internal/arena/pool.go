package arena

import (
	"fmt"
	"math"
	"sync/atomic"
	"unsafe"

	"millrace/internal/invariant"

	"golang.org/x/sys/unix"
)

// Pool is the off-heap memory of one core.
type Pool struct {
	// Poison overwrites memory when it is freed, so that a user who kept a pointer
	// too long sees rubbish. For tests and simulations.
	Poison bool

	budget int64
	held   atomic.Int64
	mapped atomic.Int64
	free   [orders]int32 // heads of the lists of free blocks, none = empty
	pages  []page        // of all slabs; the links of the free blocks
	slabs  []slab
	large  []*Buf // mappings of their own
	spare  *Buf   // structs without memory

	ready   [][]byte // slabs made ready ahead
	wanting bool     // more are on their way
	trimAt  int      // slab that Trim looked at last
}

// New returns an empty pool that will never hold more than budget bytes. It maps
// nothing before the first Get.
func New(budget int64) *Pool {
	p := &Pool{budget: budget}
	for i := range p.free {
		p.free[i] = none
	}
	return p
}

// Get returns at least n bytes with one reference, or nil when the budget would be
// exceeded or the kernel has no memory.
//
//hot:noalloc
func (p *Pool) Get(n int) *Buf {
	invariant.Check(n > 0)
	if n > MaxSize {
		return p.getMapping(n)
	}
	order := orderOf(n)
	size := int64(MinSize) << order
	held := p.held.Load()
	if held+size > p.budget {
		return nil // I3
	}
	at := p.take(order)
	if at == none {
		return nil
	}
	p.held.Store(held + size) // one writer: this core
	b := p.header()
	b.Mem, b.page, b.order, b.refs = p.memory(at, order), at, order, 1
	return b
}

// Release gives one reference back; with the last one the memory is free.
//
//hot:noalloc
func (p *Pool) Release(b *Buf) {
	invariant.Check(b.refs > 0)  // I1: a double release
	invariant.Check(b.pool == p) // released on another core
	b.refs--
	if b.refs > 0 {
		return
	}
	p.held.Store(p.held.Load() - int64(len(b.Mem)))
	if p.Poison {
		b.Mem[0] = 0xDB
		for n := 1; n < len(b.Mem); n *= 2 {
			copy(b.Mem[n:], b.Mem[:n])
		}
	}
	if b.order == ownMapping {
		p.releaseMapping(b)
	} else {
		p.give(b.page, b.order)
	}
	b.Mem = nil
	b.next, p.spare = p.spare, b
}

// Held is the number of bytes held now. Any thread may ask.
func (p *Pool) Held() int64 { return p.held.Load() }

// Mapped is the number of bytes that the pool has from the kernel. Any thread may
// ask. What was trimmed inside a slab in use still counts.
func (p *Pool) Mapped() int64 { return p.mapped.Load() }

// Budget is the most bytes that may be held.
func (p *Pool) Budget() int64 { return p.budget }

// SetBudget changes it. What is held beyond the new one stays until it is released.
func (p *Pool) SetBudget(n int64) { p.budget = n }

// Close gives everything back to the kernel. Buffers still held are an error, and
// then nothing is given back: somebody may yet touch them.
func (p *Pool) Close() error {
	if held := p.Held(); held != 0 {
		return fmt.Errorf("arena: close: %d bytes are still held", held)
	}
	p.Trim(math.MaxInt64)
	invariant.Check(p.Mapped() == 0)
	return nil
}

// Abandon gives everything back to the kernel, held or not: for a simulated crash,
// after which nobody uses it any more.
func (p *Pool) Abandon() {
	for _, b := range p.large {
		p.unmap(b.Mem)
	}
	for i := range p.slabs {
		if p.slabs[i].mem != nil {
			p.unmap(p.slabs[i].mem)
		}
	}
	Forget(p.ready)
	*p = Pool{}
}

// getMapping serves what is larger than the largest class.
func (p *Pool) getMapping(n int) *Buf {
	size := SizeFor(n)
	if p.held.Load()+int64(size) > p.budget {
		return nil // I3
	}
	mem := p.mmap(size)
	if mem == nil {
		return nil
	}
	p.held.Add(int64(size))
	b := p.header()
	b.Mem, b.page, b.order, b.refs = mem, int32(len(p.large)), ownMapping, 1
	p.large = append(p.large, b)
	return b
}

func (p *Pool) releaseMapping(b *Buf) {
	last := p.large[len(p.large)-1]
	last.page, p.large[b.page] = b.page, last
	p.large = p.large[:len(p.large)-1]
	p.unmap(b.Mem)
}

// header recycles a Buf struct (I6).
func (p *Pool) header() *Buf {
	b := p.spare
	if b == nil {
		return &Buf{pool: p}
	}
	p.spare, b.next = b.next, nil
	return b
}

func (p *Pool) mmap(size int) []byte {
	at, err := mmap(uintptr(size))
	if err != nil {
		return nil
	}
	p.mapped.Add(int64(size))
	return unsafe.Slice((*byte)(at), size)
}

func (p *Pool) unmap(mem []byte) {
	p.mapped.Add(-int64(len(mem)))
	err := unix.MunmapPtr(unsafe.Pointer(&mem[0]), uintptr(len(mem)))
	invariant.Checkf(err == nil, "arena: munmap: %v", err)
}
