package netio

import (
	"fmt"

	"millrace/internal/invariant"
)

// none marks the end of a list of slots.
const none int32 = -1

// pending is an op that could not be finished at once.
type pending struct {
	kind  Kind
	flags Flags
	used  bool
	fd    int32
	next  int32
	tag   Tag
	off   int64
	done  int     // bytes moved so far, of a WaitAll
	mem   []byte  // what is left of it
	vec   []iovec // what is left of it
	block []iovec // the whole of vec's memory, to be given back
}

// list is a queue of slots in order of submission.
type list struct{ head, tail int32 }

var empty = list{none, none}

// slab holds pending ops; it grows to the most that ever waited.
type slab struct {
	all  []pending
	free int32
}

func (s *slab) get() int32 {
	if s.free == none {
		n := len(s.all)
		s.all = append(s.all, pending{})
		s.all = s.all[:cap(s.all)]
		for i := len(s.all) - 1; i >= n; i-- {
			s.all[i] = pending{next: s.free}
			s.free = int32(i)
		}
	}
	i := s.free
	s.free = s.all[i].next
	s.all[i] = pending{used: true, next: none}
	return i
}

func (s *slab) put(i int32) {
	invariant.Check(s.all[i].used)
	s.all[i] = pending{next: s.free}
	s.free = i
}

func (s *slab) push(l *list, i int32) {
	if l.tail == none {
		l.head = i
	} else {
		s.all[l.tail].next = i
	}
	l.tail = i
}

func (s *slab) pop(l *list) int32 {
	i := l.head
	l.head = s.all[i].next
	if l.head == none {
		l.tail = none
	}
	s.all[i].next = none
	return i
}

// remove takes i out of l, wherever it stands.
func (s *slab) remove(l *list, i int32) {
	for n := l.length(s); n > 0; n-- {
		if j := s.pop(l); j != i {
			s.push(l, j)
		}
	}
}

func (l *list) length(s *slab) (n int) {
	for i := l.head; i != none; i = s.all[i].next {
		n++
	}
	return n
}

// vecPool lends off-heap arrays of pieces to ops that outlive Submit.
type vecPool struct {
	free    [len(vecClasses)][][]iovec
	regions []region
}

// Most gathered sends have a few pieces; a class is mapped only when first asked for.
var vecClasses = [...]int{16, 128, MaxVec}

const vecRegion = 64 << 10

func (p *vecPool) get(n int) []iovec {
	class := 0
	for vecClasses[class] < n {
		class++
	}
	if len(p.free[class]) == 0 {
		p.more(class)
	}
	last := len(p.free[class]) - 1
	v := p.free[class][last]
	p.free[class] = p.free[class][:last]
	return v[:n]
}

func (p *vecPool) put(v []iovec) {
	v = v[:cap(v)]
	for class, n := range vecClasses {
		if n == len(v) {
			p.free[class] = append(p.free[class], v)
			return
		}
	}
	panic(fmt.Sprintf("netio: %d pieces of no class", len(v)))
}

func (p *vecPool) more(class int) {
	r, err := mapRegion(vecRegion)
	invariant.Checkf(err == nil, "%v", err) // 64 KiB of address space
	p.regions = append(p.regions, r)
	all := table[iovec](r, vecRegion/sizeOf[iovec]())
	for n := vecClasses[class]; len(all) >= n; all = all[n:] {
		p.free[class] = append(p.free[class], all[:n:n])
	}
}

func (p *vecPool) release() {
	for _, r := range p.regions {
		r.unmap()
	}
	*p = vecPool{}
}
