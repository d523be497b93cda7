package vfs

import (
	"math/rand/v2"
	"slices"
	"syscall"
)

// Clone is a copy that goes its own way, by the chance of seed: to try something on it.
// Nothing is open in it.
func (m *Mem) Clone(seed uint64) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := cloner{}
	k := NewMem(seed)
	k.rng = rand.New(rand.NewPCG(seed, 0x636c6f6e65))
	k.capacity, k.noDirect, k.noDsync, k.disks = m.capacity, m.noDirect, m.noDsync, m.disks
	k.root = c.node(m.root)
	for _, ch := range m.pending {
		var of []entry
		for _, e := range ch.of {
			of = append(of, entry{c.node(e.in), e.name, c.node(e.node)})
		}
		k.pending = append(k.pending, change{of})
	}
	k.used = usedBy(k.root)
	return k
}

// cloner knows the copy of every node: one may be found by several ways.
type cloner map[*node]*node

func (c cloner) node(n *node) *node {
	if n == nil {
		return nil
	}
	if k, ok := c[n]; ok {
		return k
	}
	k := &node{dir: n.dir, disk: n.disk, content: n.content.clone()}
	c[n] = k
	if n.dir {
		k.entries, k.durable = c.names(n.entries), c.names(n.durable)
	}
	return k
}

func (c cloner) names(of map[string]*node) map[string]*node {
	out := make(map[string]*node, len(of))
	for name, n := range of {
		out[name] = c.node(n)
	}
	return out
}

func (c *content) clone() content {
	k := *c
	k.opens, k.dirty, k.pages = 0, slices.Clone(c.dirty), slices.Clone(c.pages)
	for i := range k.pages {
		g := &k.pages[i]
		if g.now != nil {
			now := *g.now
			g.now = &now
		}
		if g.old != nil {
			old := *g.old
			g.old = &old
		}
	}
	return k
}

// Flip inverts the bits of mask in the byte at off, as a failing medium does: nobody
// wrote it.
func (m *Mem) Flip(name string, off int64, mask byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.find(name)
	if n == nil || n.dir || off < 0 || off >= n.size {
		return pathError("flip", name, syscall.ENOENT)
	}
	i := int(off / blockSize)
	for len(n.pages) <= i {
		n.pages = append(n.pages, page{})
	}
	g := &n.pages[i]
	if g.now == nil {
		g.now = new(block)
	}
	g.now[off%blockSize] ^= mask
	return nil
}
