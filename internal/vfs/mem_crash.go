package vfs

import (
	"slices"
	"syscall"
)

// Kill is the death of the process: what was written stays, open files and locks
// are gone.
func (m *Mem) Kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.endLife()
}

func (m *Mem) endLife() {
	m.life++
	m.lastCall = 0
	clear(m.locks)
	for _, f := range m.files {
		if f != nil {
			m.close(f)
		}
	}
	m.files = nil
}

// Crash is a power loss: of what was not synced, a random part stays.
func (m *Mem) Crash() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.endLife()
	m.crashDirs()
	m.crashTree(m.root)
	m.used = usedBy(m.root)
}

func usedBy(n *node) int64 {
	used := int64(0)
	for i := range n.pages {
		if n.pages[i].allocated {
			used += blockSize
		}
	}
	for _, child := range n.entries {
		used += usedBy(child)
	}
	return used
}

// crashDirs decides which directory changes happened. A change that did implies
// the earlier ones on the same names, as in a journal of metadata; otherwise any
// subset may have happened, or (as often) a prefix, as on ext4.
func (m *Mem) crashDirs() {
	keep := make([]bool, len(m.pending))
	if m.rng.IntN(2) == 0 {
		for i := range m.rng.IntN(len(m.pending) + 1) {
			keep[i] = true
		}
	} else {
		for i := range keep {
			keep[i] = m.rng.IntN(2) == 0
		}
	}
	m.apply(keep)
	m.lostEntries += len(m.pending)
	m.pending = nil
}

// apply makes the chosen changes durable, with the earlier ones that they build on.
func (m *Mem) apply(keep []bool) {
	type place struct {
		in   *node
		name string
	}
	touched := make(map[place]bool)
	for i := len(m.pending) - 1; i >= 0; i-- {
		for _, e := range m.pending[i].of {
			keep[i] = keep[i] || touched[place{e.in, e.name}]
		}
		if !keep[i] {
			continue
		}
		for _, e := range m.pending[i].of {
			touched[place{e.in, e.name}] = true
		}
	}
	rest := m.pending[:0]
	for i, c := range m.pending {
		if !keep[i] {
			rest = append(rest, c)
			continue
		}
		for _, e := range c.of {
			if e.node == nil {
				delete(e.in.durable, e.name)
			} else {
				e.in.durable[e.name] = e.node
			}
		}
	}
	m.pending = rest
}

// crashTree walks what is reachable, in order of name so that a seed decides.
func (m *Mem) crashTree(n *node) {
	if !n.dir {
		n.unlinked = false
		m.crash(&n.content)
		return
	}
	clear(n.entries)
	for _, name := range sortedNames(n.durable) {
		n.entries[name] = n.durable[name]
		m.crashTree(n.durable[name])
	}
}

// SyncDir makes the changes of dir's entries durable.
func (m *Mem) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("sync directory", dir); err != nil {
		return err
	}
	n := m.find(dir)
	if n == nil {
		return pathError("sync directory", dir, syscall.ENOENT)
	}
	if m.lying {
		return nil
	}
	keep := make([]bool, len(m.pending))
	for i, c := range m.pending {
		for _, e := range c.of {
			keep[i] = keep[i] || e.in == n
		}
	}
	m.apply(keep)
	return nil
}

// SyncFS makes everything durable that is on the file system of dir.
func (m *Mem) SyncFS(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("syncfs", dir); err != nil {
		return err
	}
	n := m.find(dir)
	if n == nil {
		return pathError("syncfs", dir, syscall.ENOENT)
	}
	if m.lying {
		return nil
	}
	keep := make([]bool, len(m.pending))
	for i, c := range m.pending {
		keep[i] = c.of[0].in.disk == n.disk
	}
	m.apply(keep)
	syncTree(m.root, n.disk)
	return nil
}

func syncTree(n *node, disk int) {
	if !n.dir && n.disk == disk {
		n.sync()
	}
	for _, child := range n.entries {
		syncTree(child, disk)
	}
}

func sortedInts(of []int) []int {
	out := slices.Clone(of)
	slices.Sort(out)
	return out
}
