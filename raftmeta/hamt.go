package raftmeta

import (
	"hash/maphash"
	"math/bits"
)

// hamt is a persistent map: a set or delete copies the path of about log32(n) small nodes
// and shares the rest, so ten thousand changes one by one cost ten thousand paths, and two
// images can be compared without visiting what they share.
//
// The order of its entries depends on the seed of this process: whatever leaves this
// package is sorted first.
type hamt[K, V comparable] struct {
	root *hnode[K, V]
	n    int
}

// hnode has one slot for each set bit of bitmap, in order of the bits. Below the last bits
// of the hash bitmap is zero and slots is a plain list.
type hnode[K, V comparable] struct {
	bitmap uint32
	slots  []hslot[K, V]
}

// hslot is a subtree if child is set, else an entry.
type hslot[K, V comparable] struct {
	child *hnode[K, V]
	hash  uint64
	key   K
	val   V
}

const (
	hbits = 5
	hmax  = 60 // shift from which equal hashes are listed
)

var hseed = maphash.MakeSeed()

func (m hamt[K, V]) len() int { return m.n }

func (m hamt[K, V]) get(k K) (v V, ok bool) {
	h := maphash.Comparable(hseed, k)
	for n, shift := m.root, uint(0); n != nil; shift += hbits {
		i := n.find(h, shift, k)
		if i < 0 {
			return v, false
		}
		s := &n.slots[i]
		if s.child == nil {
			if s.key == k {
				v, ok = s.val, true
			}
			return v, ok
		}
		n = s.child
	}
	return v, false
}

// find returns the slot where k is or would have to be looked for, -1 if there is none.
func (n *hnode[K, V]) find(h uint64, shift uint, k K) int {
	if shift >= hmax {
		for i := range n.slots {
			if n.slots[i].key == k {
				return i
			}
		}
		return -1
	}
	bit := uint32(1) << (h >> shift & 31)
	if n.bitmap&bit == 0 {
		return -1
	}
	return bits.OnesCount32(n.bitmap & (bit - 1))
}

func (m hamt[K, V]) set(k K, v V) hamt[K, V] {
	e := hslot[K, V]{hash: maphash.Comparable(hseed, k), key: k, val: v}
	root, added := m.root.with(e, 0)
	if added {
		m.n++
	}
	m.root = root
	return m
}

func (n *hnode[K, V]) with(e hslot[K, V], shift uint) (*hnode[K, V], bool) {
	if n == nil {
		n = &hnode[K, V]{}
	}
	i := n.find(e.hash, shift, e.key)
	if i < 0 {
		return n.insert(e, shift), true
	}
	old, added := n.slots[i], false
	switch {
	case old.child != nil:
		e.child, added = old.child.with(e, shift+hbits)
		e = hslot[K, V]{child: e.child}
	case old.key != e.key: // two entries in one slot: a level more
		c, _ := (*hnode[K, V])(nil).with(old, shift+hbits)
		c, _ = c.with(e, shift+hbits)
		e, added = hslot[K, V]{child: c}, true
	}
	c := &hnode[K, V]{bitmap: n.bitmap, slots: append([]hslot[K, V](nil), n.slots...)}
	c.slots[i] = e
	return c, added
}

func (n *hnode[K, V]) insert(e hslot[K, V], shift uint) *hnode[K, V] {
	at, c := len(n.slots), &hnode[K, V]{bitmap: n.bitmap}
	if shift < hmax {
		bit := uint32(1) << (e.hash >> shift & 31)
		at = bits.OnesCount32(n.bitmap & (bit - 1))
		c.bitmap |= bit
	}
	c.slots = make([]hslot[K, V], 0, len(n.slots)+1)
	c.slots = append(c.slots, n.slots[:at]...)
	c.slots = append(c.slots, e)
	c.slots = append(c.slots, n.slots[at:]...)
	return c
}

func (m hamt[K, V]) delete(k K) hamt[K, V] {
	root, gone := m.root.without(maphash.Comparable(hseed, k), 0, k)
	if gone {
		m.root = root
		m.n--
	}
	return m
}

func (n *hnode[K, V]) without(h uint64, shift uint, k K) (*hnode[K, V], bool) {
	if n == nil {
		return nil, false
	}
	i := n.find(h, shift, k)
	if i < 0 {
		return n, false
	}
	s := n.slots[i]
	if s.child == nil {
		if s.key != k {
			return n, false
		}
		return n.drop(i, h, shift), true
	}
	child, gone := s.child.without(h, shift+hbits, k)
	if !gone {
		return n, false
	}
	if child == nil {
		return n.drop(i, h, shift), true
	}
	c := &hnode[K, V]{bitmap: n.bitmap, slots: append([]hslot[K, V](nil), n.slots...)}
	if c.slots[i] = (hslot[K, V]{child: child}); len(child.slots) == 1 &&
		child.slots[0].child == nil { // a lone entry moves up
		c.slots[i] = child.slots[0]
	}
	return c, true
}

func (n *hnode[K, V]) drop(i int, h uint64, shift uint) *hnode[K, V] {
	if len(n.slots) == 1 {
		return nil
	}
	c := &hnode[K, V]{bitmap: n.bitmap, slots: make([]hslot[K, V], 0, len(n.slots)-1)}
	if shift < hmax {
		c.bitmap &^= 1 << (h >> shift & 31)
	}
	c.slots = append(c.slots, n.slots[:i]...)
	c.slots = append(c.slots, n.slots[i+1:]...)
	return c
}

// each visits every entry, in no useful order.
func (m hamt[K, V]) each(f func(K, V)) { m.root.each(f) }

func (n *hnode[K, V]) each(f func(K, V)) {
	if n == nil {
		return
	}
	for i := range n.slots {
		if s := &n.slots[i]; s.child != nil {
			s.child.each(f)
		} else {
			f(s.key, s.val)
		}
	}
}

// diff calls f for every key whose value is not the same in both; had and has say on which
// side the key exists. Shared nodes are not visited.
func (m hamt[K, V]) diff(to hamt[K, V], f func(k K, old, new V, had, has bool)) {
	diffNodes(m.root, to.root, 0, f)
}

func diffNodes[K, V comparable](a, b *hnode[K, V], shift uint,
	f func(k K, old, new V, had, has bool)) {
	if a == b {
		return
	}
	if a == nil || b == nil || shift >= hmax {
		diffLists(a, b, f)
		return
	}
	for rest := a.bitmap | b.bitmap; rest != 0; rest &= rest - 1 {
		bit := rest & -rest
		x, y := a.sub(bit), b.sub(bit)
		if x != nil && y != nil && x.child != nil && y.child != nil {
			diffNodes(x.child, y.child, shift+hbits, f)
			continue
		}
		diffLists(x.node(), y.node(), f)
	}
}

// sub is the slot of one bit, nil if empty.
func (n *hnode[K, V]) sub(bit uint32) *hslot[K, V] {
	if n.bitmap&bit == 0 {
		return nil
	}
	return &n.slots[bits.OnesCount32(n.bitmap&(bit-1))]
}

// node makes a subtree of a slot.
func (s *hslot[K, V]) node() *hnode[K, V] {
	switch {
	case s == nil:
		return nil
	case s.child != nil:
		return s.child
	}
	return &hnode[K, V]{slots: []hslot[K, V]{*s}}
}

// diffLists compares two subtrees entry by entry; at least one of them is small.
func diffLists[K, V comparable](a, b *hnode[K, V], f func(k K, old, new V, had, has bool)) {
	var zero V
	old := map[K]V{}
	a.each(func(k K, v V) { old[k] = v })
	b.each(func(k K, v V) {
		was, had := old[k]
		delete(old, k)
		if !had || was != v {
			f(k, was, v, had, true)
		}
	})
	for k, v := range old {
		f(k, v, zero, true, false)
	}
}
