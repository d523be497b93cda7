package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// badBlocks are blocks of a disk that fail, by where they lie or by what is written.
type badBlocks struct {
	reads, writes, flushes bool
	lasting                bool // else it bites once
	holds                  func(block []byte) bool
	extents                []extent // in order

	bitten int
	first  time.Time // when it bit first
}

// extent is a run of blocks, to is behind the last.
type extent struct{ from, to int64 }

// matches says whether a block is one of them. data is nil for reads.
func (f *badBlocks) matches(number int64, data []byte) bool {
	if f.holds != nil {
		return data != nil && f.holds(data)
	}
	i := sort.Search(len(f.extents), func(i int) bool { return f.extents[i].to > number })
	return i < len(f.extents) && f.extents[i].from <= number
}

func (f *badBlocks) bite() {
	if f.bitten++; f.bitten == 1 {
		f.first = time.Now()
	}
}

// due says whether the fault still bites.
func (f *badBlocks) due() bool { return f != nil && (f.lasting || f.bitten == 0) }

// fail breaks the disk; nil mends it.
func (d *volatileDisk) fail(f *badBlocks) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bad = f
}

// bitten tells how often the fault bit, and when it did first.
func (d *volatileDisk) bitten() (int, time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bad == nil {
		return 0, time.Time{}
	}
	return d.bad.bitten, d.bad.first
}

// move tells the fault where its files lie by now.
func (d *volatileDisk) move(to []extent) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bad != nil {
		d.bad.extents = to
	}
}

// refuses says whether a transfer of n bytes fails. The caller holds d.mu. The bytes of
// a write are p, those of a read are not known: p is nil.
func (d *volatileDisk) refuses(p []byte, off int64, n int) bool {
	f := d.bad
	if !f.due() || p == nil && !f.reads || p != nil && !f.writes {
		return false
	}
	for at := off / diskBlock * diskBlock; at < off+int64(n); at += diskBlock {
		var block []byte
		if p != nil {
			block = p[max(at-off, 0):min(at-off+diskBlock, int64(n))]
		}
		if f.matches(at/diskBlock, block) {
			f.bite()
			return true
		}
	}
	return false
}

// failsOn is how long flushes go on failing after the first: what other writers had in
// the cache may be lost as well, and who flushes next must not be told that it is safe.
// Then a fault that does not last lets a flush succeed, as Linux does: who tried again
// would believe it.
const failsOn = 50 * time.Millisecond

// loses drops the bad blocks of the cache, as a disk does that cannot write them, and
// says whether the flush fails. The caller holds d.mu.
func (d *volatileDisk) loses() bool {
	f := d.bad
	if f == nil || !f.flushes || f.bitten > 0 && !f.lasting && time.Since(f.first) > failsOn {
		return false
	}
	lost := f.bitten > 0
	for number, block := range d.cache {
		if f.matches(number, block) {
			delete(d.cache, number)
			d.dropped++
			lost = true
		}
	}
	if lost {
		f.bite()
	}
	return lost
}

// beginsWith matches blocks that begin with words, in any of their sectors.
func beginsWith(words ...string) func([]byte) bool {
	return func(block []byte) bool {
		for at := 0; at < len(block); at += diskSector {
			for _, w := range words {
				if bytes.HasPrefix(block[at:], []byte(w)) {
					return true
				}
			}
		}
		return false
	}
}

// blocksOf gives the blocks that files have, as their filesystem tells (FIEMAP).
func blocksOf(patterns ...string) ([]extent, error) {
	var out []extent
	for _, pattern := range patterns {
		names, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			list, err := mapFile(name)
			if errors.Is(err, os.ErrNotExist) {
				continue // removed meanwhile
			}
			if err != nil {
				return nil, err
			}
			out = append(out, list...)
		}
	}
	slices.SortFunc(out, func(a, b extent) int { return int(a.from - b.from) })
	return out, nil
}

// struct fiemap and its extents, include/uapi/linux/fiemap.h.
const (
	fsIOCFiemap   = 0xc020660b
	fiemapHead    = 32
	fiemapExtent  = 56
	fiemapMost    = 512
	fiemapLast    = 1
	fiemapNowhere = 2 | 4 | 0x200 // unknown, not allocated yet, inline
)

func mapFile(name string) ([]extent, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	var out []extent
	buf := make([]byte, fiemapHead+fiemapMost*fiemapExtent)
	le := binary.LittleEndian
	for at, last := uint64(0), false; !last; {
		clear(buf)
		le.PutUint64(buf[0:], at)
		le.PutUint64(buf[8:], ^uint64(0)-at)
		le.PutUint32(buf[24:], fiemapMost)
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), fsIOCFiemap,
			uintptr(unsafe.Pointer(&buf[0]))); errno != 0 {
			return nil, &os.PathError{Op: "fiemap", Path: name, Err: errno}
		}
		n := int(le.Uint32(buf[20:]))
		if n == 0 {
			break
		}
		for i := range n {
			e := buf[fiemapHead+i*fiemapExtent:]
			from, length, flags := le.Uint64(e[8:]), le.Uint64(e[16:]), le.Uint32(e[40:])
			if flags&fiemapNowhere == 0 {
				out = append(out, extent{int64(from / diskBlock), int64((from + length + diskBlock - 1) / diskBlock)})
			}
			at, last = le.Uint64(e)+length, flags&fiemapLast != 0
		}
	}
	return out, nil
}
