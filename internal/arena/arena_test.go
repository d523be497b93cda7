package arena

import (
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
)

func TestSizesAndAlignment(t *testing.T) {
	p := New(64 << 20)
	for _, c := range []struct{ ask, want int }{
		{1, 4096}, {4096, 4096}, {4097, 8192}, {100_000, 131072}, {1 << 20, 1 << 20},
		{1<<20 + 1, 1<<20 + 4096}, {5 << 20, 5 << 20},
	} {
		b := p.Get(c.ask)
		if len(b.Mem) != c.want || cap(b.Mem) != c.want || SizeFor(c.ask) != c.want {
			t.Errorf("Get(%d): %d bytes, cap %d, want %d", c.ask, len(b.Mem), cap(b.Mem), c.want)
		}
		if at := uintptr(unsafe.Pointer(&b.Mem[0])); at%4096 != 0 {
			t.Errorf("Get(%d) is at %x", c.ask, at)
		}
		b.Mem[0], b.Mem[len(b.Mem)-1] = 1, 1
		p.Release(b)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestBudget(t *testing.T) {
	p := New(3 << 20)
	a, b := p.Get(1<<20), p.Get(2<<20)
	if a == nil || b == nil || p.Held() != 3<<20 {
		t.Fatalf("held %d", p.Held())
	}
	if p.Get(1) != nil || p.Get(2<<20) != nil {
		t.Fatal("a Get beyond the budget was served")
	}
	p.Release(b)
	if c := p.Get(1); c == nil {
		t.Fatal("nothing to be had after a release")
	} else {
		p.Release(c)
	}
	p.Release(a)
	if p.Held() != 0 {
		t.Fatalf("held %d after all was released", p.Held())
	}
}

func TestReferences(t *testing.T) {
	p := New(1 << 20)
	p.Poison = true
	b := p.Get(100)
	b.Hold()
	if b.Refs() != 2 {
		t.Fatalf("refs %d", b.Refs())
	}
	mem := b.Mem
	mem[7] = 9
	p.Release(b)
	if mem[7] != 9 {
		t.Fatal("freed while held")
	}
	p.Release(b)
	if mem[7] != 0xDB {
		t.Fatal("not poisoned when freed")
	}
	mustPanic(t, "double release", func() { p.Release(b) })
	mustPanic(t, "hold of a free one", func() { b.Hold() })
	c := p.Get(1)
	mustPanic(t, "release to a stranger", func() { New(1).Release(c) })
	if err := p.Close(); err == nil {
		t.Fatal("closed while a buffer is held")
	}
}

func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s: no panic", what)
		}
	}()
	f()
}

// TestRandomUse checks I3–I5 against a plain model: every held Buf has a pattern
// of its own that nobody else may touch.
func TestRandomUse(t *testing.T) {
	const budget = 24 << 20
	p := New(budget)
	rng := rand.New(rand.NewPCG(1, 2))
	type held struct {
		b    *Buf
		mark byte
	}
	var all []held
	sum := int64(0)
	for step := range 30_000 {
		if len(all) > 0 && rng.IntN(100) < 48 {
			i := rng.IntN(len(all))
			h := all[i]
			for _, at := range []int{0, len(h.b.Mem) / 2, len(h.b.Mem) - 1} {
				if h.b.Mem[at] != h.mark {
					t.Fatalf("step %d: a held buffer was overwritten", step)
				}
			}
			sum -= int64(len(h.b.Mem))
			p.Release(h.b)
			all[i] = all[len(all)-1]
			all = all[:len(all)-1]
		} else {
			n := 1 + rng.IntN(MinSize<<rng.IntN(orders+1))
			b := p.Get(n)
			if full := sum+int64(SizeFor(n)) > budget; full != (b == nil) {
				t.Fatalf("step %d: Get(%d) with %d held: full %v", step, n, sum, full)
			}
			if b == nil {
				continue
			}
			mark := byte(rng.Uint32())
			b.Mem[0], b.Mem[len(b.Mem)/2], b.Mem[len(b.Mem)-1] = mark, mark, mark
			sum += int64(len(b.Mem))
			all = append(all, held{b, mark})
		}
		if p.Held() != sum {
			t.Fatalf("step %d: held %d, model %d", step, p.Held(), sum)
		}
		if step%1000 == 0 {
			p.Trim(math.MaxInt64)
			checkBooks(t, p)
		}
	}
	for _, h := range all {
		p.Release(h.b)
	}
	checkBooks(t, p)
	for at, e := range p.pages {
		if e.size != 0 && e.size != orders {
			t.Fatalf("all is free, but page %d begins a block of order %d", at, e.size-1)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}

// checkBooks: free blocks are disjoint, linked, and none has a free buddy (I4, I5).
func checkBooks(t *testing.T, p *Pool) {
	t.Helper()
	seen := make(map[int32]bool)
	for order := range int8(orders) {
		prev := none
		for at := p.free[order]; at != none; at = p.pages[at].next {
			e := p.pages[at]
			if e.size != order+1 || e.prev != prev {
				t.Fatalf("free list of order %d is broken at page %d", order, at)
			}
			if order < orders-1 && p.pages[at^1<<order].size == order+1 {
				t.Fatalf("page %d has a free buddy", at)
			}
			for i := at; i < at+1<<order; i++ {
				if seen[i] {
					t.Fatalf("page %d is free twice", i)
				}
				seen[i] = true
			}
			prev = at
		}
	}
	used := int32(0)
	for i := range p.slabs {
		if p.slabs[i].mem != nil {
			used += p.slabs[i].used
		}
	}
	live := int32(p.Mapped()/MinSize) - int32(len(seen)) - used
	own := int32(p.Held()/MinSize) - used
	if live != own {
		t.Fatalf("%d pages are neither free nor held", live-own)
	}
}

func TestTrim(t *testing.T) {
	p := New(16 << 20)
	var bufs []*Buf
	for range 3000 {
		bufs = append(bufs, p.Get(4096))
	}
	keep := bufs[1500]
	keep.Mem[5] = 77
	for i, b := range bufs {
		b.Mem[1] = 1
		if i != 1500 {
			p.Release(b)
		}
	}
	p.Trim(math.MaxInt64)
	if keep.Mem[5] != 77 {
		t.Fatal("Trim touched a held buffer")
	}
	if p.Mapped() != slabSize {
		t.Fatalf("%d bytes mapped for one held page", p.Mapped())
	}
	next := p.Get(4096) // beside it, in the slab that stayed
	if next.Mem[1] != 0 {
		t.Fatal("trimmed memory came back dirty")
	}
	p.Release(next)
	p.Release(keep)
	p.Trim(math.MaxInt64)
	if p.Mapped() != 0 {
		t.Fatalf("%d bytes mapped for nothing", p.Mapped())
	}
	if b := p.Get(1 << 20); b == nil {
		t.Fatal("nothing after Trim")
	} else {
		p.Release(b)
	}
}

func TestNoAllocation(t *testing.T) {
	p := New(64 << 20)
	var held [64]*Buf
	round := func() {
		for i := range held {
			held[i] = p.Get(1 << (8 + i%13))
		}
		for _, b := range held {
			b.Hold()
			p.Release(b)
			p.Release(b)
		}
	}
	round()
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Fatalf("%v allocations per round", n)
	}
}

func BenchmarkGetRelease(b *testing.B) {
	p := New(64 << 20)
	keep := p.Get(16 << 10)
	b.ReportAllocs()
	for range b.N {
		p.Release(p.Get(16 << 10))
	}
	p.Release(keep)
}

func TestAbandon(t *testing.T) {
	p := New(64 << 20)
	for range 10 {
		p.Get(5000)
		p.Get(2 << 20)
	}
	a, b := p.Get(3<<20), p.Get(2<<20)
	p.Release(a)
	p.Release(b)
	if len(p.large) != 10 || p.Mapped() != slabSize+10*(2<<20) {
		t.Fatalf("%d mappings, %d bytes", len(p.large), p.Mapped())
	}
	p.Abandon()
	if p.Mapped() != 0 || p.Get(1) != nil {
		t.Fatal("an abandoned pool lives on")
	}
}

// Slabs that were made ready are used before new ones are mapped, and a pool that is
// small wants none.
func TestSlabsAheadOfNeed(t *testing.T) {
	p := New(256 << 20)
	if p.Want() != 0 {
		t.Fatal("an empty pool wants slabs")
	}
	var held []*Buf
	for p.Want() == 0 {
		held = append(held, p.Get(MaxSize))
	}
	if p.Want() != 0 {
		t.Fatal("wants more while some are on their way")
	}
	slabs := Prepare(aheadSlabs)
	if len(slabs) != aheadSlabs {
		t.Fatal("nothing prepared")
	}
	p.Supply(slabs)
	mapped := p.Mapped()
	for range aheadSlabs * (slabSize / MaxSize) {
		b := p.Get(MaxSize)
		b.Mem[0], b.Mem[MaxSize-1] = 1, 1
		held = append(held, b)
	}
	if p.Mapped() > mapped+slabSize {
		t.Errorf("mapped %d MiB beside the slabs at hand", (p.Mapped()-mapped)>>20)
	}
	for _, b := range held {
		p.Release(b)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}

// A pool whose budget is lowered hands nothing out until enough is free again, and
// gives its free memory back in steps.
func TestBudgetLowered(t *testing.T) {
	p := New(16 << 20)
	var bufs []*Buf
	for range 16 {
		bufs = append(bufs, p.Get(1<<20))
	}
	p.SetBudget(4 << 20)
	if p.Get(4096) != nil {
		t.Fatal("memory beyond the new budget")
	}
	for _, b := range bufs[3:] {
		p.Release(b)
	}
	for steps, want := 0, int64(12<<20); want > 0; steps++ {
		given := p.Trim(1 << 20)
		if given < 1<<20 || given > slabSize || steps > 13 {
			t.Fatalf("step %d gave %d bytes back", steps, given)
		}
		want -= given
	}
	if p.Mapped() != slabSize {
		t.Fatalf("%d bytes mapped for 3 MiB", p.Mapped())
	}
	b := p.Get(1 << 20)
	if b == nil {
		t.Fatal("nothing within the new budget")
	}
	for _, b := range append(bufs[:3], b) {
		p.Release(b)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}
