package vfs

import (
	"math/bits"
	"syscall"
)

const (
	sectorSize = 512 // what a disk writes wholly or not at all
	blockSize  = BlockSize
)

type block [blockSize]byte

// content is a file's bytes: now, and after a power loss.
type content struct {
	size     int64 // now
	kept     int64 // durable size
	pages    []page
	dirty    []int // pages with a sector that differs from the durable one
	opens    int
	unlinked bool
}

// page is one block. The masks have a bit per sector; a sector without a bit is
// durable as it is in now.
type page struct {
	now       *block // nil reads as zero bytes
	old       *block // durable bytes of the sectors in the masks; nil = zero bytes
	allocated bool   // counts for the capacity
	listed    bool   // is in content.dirty
	written   uint8  // written since the last sync
	cut       uint8  // made zero by a truncation since the last sync
	lost      uint8  // its sync failed: never durable, though it can be read (I4)
}

func (p *page) open() uint8 { return p.written | p.cut | p.lost }

func (c *content) read(p []byte, off int64) int {
	if off >= c.size {
		return 0
	}
	p = p[:min(int64(len(p)), c.size-off)]
	for at := 0; at < len(p); {
		i, in := (off+int64(at))/blockSize, int((off+int64(at))%blockSize)
		n := min(blockSize-in, len(p)-at)
		if i < int64(len(c.pages)) && c.pages[i].now != nil {
			copy(p[at:at+n], c.pages[i].now[in:])
		} else {
			clear(p[at : at+n])
		}
		at += n
	}
	return len(p)
}

// allocate makes the blocks of [off, off+n) exist; false when the disk is full, and
// then those before stay.
func (m *Mem) allocate(c *content, off, n int64) bool {
	last := int((off + n - 1) / blockSize)
	for len(c.pages) <= last {
		c.pages = append(c.pages, page{})
	}
	for i := int(off / blockSize); i <= last; i++ {
		if c.pages[i].allocated {
			continue
		}
		if m.capacity > 0 && m.used+blockSize > m.capacity {
			return false
		}
		m.used += blockSize
		c.pages[i].allocated = true
	}
	return true
}

// write puts p at off. On a full disk it writes what fits, as a kernel does.
func (m *Mem) write(c *content, p []byte, off int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if off < 0 {
		return 0, syscall.EINVAL
	}
	done := 0
	for done < len(p) {
		at := off + int64(done)
		in := int(at % blockSize)
		n := min(blockSize-in, len(p)-done)
		if !m.allocate(c, at, int64(n)) {
			break
		}
		c.put(int(at/blockSize), in, p[done:done+n])
		done += n
	}
	c.size = max(c.size, off+int64(done))
	if done == 0 {
		return 0, syscall.ENOSPC
	}
	return done, nil
}

// put overwrites a part of page i.
func (c *content) put(i, in int, p []byte) {
	g := &c.pages[i]
	first, last := in/sectorSize, (in+len(p)-1)/sectorSize
	mask := uint8(0xff) >> (7 - last) & (0xff << first)
	c.save(i, mask)
	g.written |= mask
	g.cut &^= mask
	g.lost &^= mask
	if g.now == nil {
		g.now = new(block)
	}
	copy(g.now[in:], p)
}

// save keeps the durable bytes of the sectors in mask before they change.
func (c *content) save(i int, mask uint8) {
	g := &c.pages[i]
	if !g.listed {
		g.listed = true
		c.dirty = append(c.dirty, i)
	}
	fresh := mask &^ g.open()
	if fresh == 0 || g.now == nil && g.old == nil {
		return
	}
	if g.old == nil {
		g.old = new(block)
	}
	if g.now == nil {
		copySectors(g.old, &block{}, fresh)
	} else {
		copySectors(g.old, g.now, fresh)
	}
}

func copySectors(to, from *block, mask uint8) {
	for s := range blockSize / sectorSize {
		if mask&(1<<s) != 0 {
			copy(to[s*sectorSize:(s+1)*sectorSize], from[s*sectorSize:])
		}
	}
}

// settle makes the sectors in mask durable as they are now, but for lost ones.
func (g *page) settle(mask uint8) {
	g.written &^= mask
	g.cut &^= mask
	if g.open() == 0 {
		g.old = nil
	}
}

// sync makes the bytes and the size durable.
func (c *content) sync() {
	still := c.dirty[:0]
	for _, i := range c.dirty {
		g := &c.pages[i]
		g.settle(0xff)
		if g.lost != 0 {
			still = append(still, i)
		} else {
			g.listed = false
		}
	}
	c.dirty = still
	c.kept = c.size
}

// syncRange makes one range durable, as a write with RWF_DSYNC does, and the size
// as far as that range needs it.
func (c *content) syncRange(off, n int64) {
	for at := off; at < off+n; {
		i, in := int(at/blockSize), at%blockSize
		length := min(blockSize-in, off+n-at)
		first, last := in/sectorSize, (in+length-1)/sectorSize
		c.pages[i].settle(uint8(0xff) >> (7 - last) & (0xff << first))
		at += length
	}
	if off+n > c.kept {
		c.kept = c.size
	}
}

// lose marks what is not durable as lost: a sync failed (I4).
func (c *content) lose() {
	for _, i := range c.dirty {
		g := &c.pages[i]
		g.lost |= g.written | g.cut
		g.written, g.cut = 0, 0
	}
}

// drop takes back what was written and not synced.
func (c *content) drop() {
	still := c.dirty[:0]
	for _, i := range c.dirty {
		g := &c.pages[i]
		g.revert(g.written)
		g.settle(g.written)
		if g.open() != 0 {
			still = append(still, i)
		} else {
			g.listed = false
		}
	}
	c.dirty = still
}

// truncate sets the size; what is cut off reads as zero bytes from then on.
func (m *Mem) truncate(c *content, size int64) {
	for i := int(size / blockSize); i < len(c.pages); i++ {
		g := &c.pages[i]
		from := int(max(0, size-int64(i)*blockSize))
		if from == 0 && g.allocated {
			m.used -= blockSize
			g.allocated = false
		}
		if g.now == nil && g.open() == 0 {
			continue
		}
		mask := uint8(0xff) << (from / sectorSize)
		c.save(i, mask)
		if from == 0 {
			g.now = nil
		} else if g.now != nil {
			clear(g.now[from:])
		}
		partial := from%sectorSize != 0
		if partial { // a sector with bytes on both sides is written, not cut
			s := uint8(1) << (from / sectorSize)
			mask &^= s
			g.written |= s
			g.lost &^= s
		}
		g.cut |= mask
		g.written &^= mask
		g.lost &^= mask
	}
	c.size = size
}

// crash leaves what a power loss leaves (I1, I2): of each sector that was not
// synced the old or the new bytes, of the size the old, the new or one between.
func (m *Mem) crash(c *content) {
	size := c.size
	switch m.rng.IntN(3) {
	case 0:
		size = c.kept
	case 1:
		if lo, hi := min(c.kept, c.size), max(c.kept, c.size); hi > lo {
			size = lo + m.rng.Int64N((hi-lo)/sectorSize+1)*sectorSize
		}
	}
	uncut := c.size < c.kept && size > c.size // the truncation did not happen
	for _, i := range sortedInts(c.dirty) {
		g := &c.pages[i]
		revert := g.lost
		for s := range 8 {
			bit := uint8(1) << s
			if g.written&bit != 0 && m.rng.IntN(2) == 0 || g.cut&bit != 0 && uncut {
				revert |= bit
			}
		}
		m.lostSectors += bits.OnesCount8(revert)
		g.revert(revert)
	}
	c.dirty = nil
	m.truncate(c, size)
	for i := range c.pages {
		c.pages[i].settle(0xff)
		g := &c.pages[i]
		g.lost, g.listed, g.old = 0, false, nil
		g.allocated = g.allocated || g.now != nil // a removed file that came back
	}
	c.dirty, c.size, c.kept = nil, size, size
}

func (g *page) revert(mask uint8) {
	if mask == 0 {
		return
	}
	if g.now == nil {
		g.now = new(block)
	}
	if g.old == nil {
		g.old = new(block)
	}
	copySectors(g.now, g.old, mask)
}
