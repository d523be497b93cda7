package main

import (
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// volatileDisk is a disk with a write cache that does not survive a power loss: a write
// is in the cache until a flush takes it to the medium. The medium is a file.
//
// A disk may write back of its own accord, in any order: so a cut keeps some sectors of
// the cache and drops the others, or drops all.
type volatileDisk struct {
	mu     sync.Mutex
	medium *os.File
	size   int64
	cache  map[int64][]byte // block number → its newest bytes
	cut    bool             // no power: writes and flushes fail

	bad     *badBlocks // nil: nothing fails
	flushes int64
	dropped int64 // blocks of the cache that a cut lost, in whole or in part
}

const (
	diskBlock  = 4096
	diskSector = 512
)

func openVolatileDisk(image string) (*volatileDisk, error) {
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &volatileDisk{medium: f, size: st.Size(), cache: map[int64][]byte{}}, nil
}

func (d *volatileDisk) close() { _ = d.medium.Close() }

// read fills p from off and gives how much of it lies on the disk.
func (d *volatileDisk) read(p []byte, off int64) (int, unix.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if off < 0 || off >= d.size {
		return 0, 0
	}
	p = p[:min(int64(len(p)), d.size-off)]
	if d.refuses(nil, off, len(p)) {
		return 0, unix.EIO
	}
	if _, err := d.medium.ReadAt(p, off); err != nil {
		return 0, unix.EIO
	}
	for at := off / diskBlock * diskBlock; at < off+int64(len(p)); at += diskBlock {
		block := d.cache[at/diskBlock]
		if block == nil {
			continue
		}
		from := max(at, off)
		copy(p[from-off:], block[from-at:])
	}
	return len(p), 0
}

// write takes p into the cache.
func (d *volatileDisk) write(p []byte, off int64) unix.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cut {
		return unix.EIO
	}
	if off < 0 || off+int64(len(p)) > d.size {
		return unix.ENOSPC
	}
	if d.refuses(p, off, len(p)) {
		return unix.EIO
	}
	for len(p) > 0 {
		number, within := off/diskBlock, off%diskBlock
		block := d.cache[number]
		if block == nil {
			block = make([]byte, diskBlock)
			if within != 0 || len(p) < diskBlock {
				if _, err := d.medium.ReadAt(block, number*diskBlock); err != nil {
					return unix.EIO
				}
			}
			d.cache[number] = block
		}
		n := copy(block[within:], p)
		p, off = p[n:], off+int64(n)
	}
	return 0
}

// flush takes the cache to the medium: what was written before is safe from now on.
func (d *volatileDisk) flush() unix.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cut {
		return unix.EIO
	}
	d.flushes++
	lost := d.loses()
	for number, block := range d.cache {
		if _, err := d.medium.WriteAt(block, number*diskBlock); err != nil {
			return unix.EIO
		}
	}
	clear(d.cache)
	if lost {
		return unix.EIO
	}
	return 0
}

// powerOff ends all writing and loses the cache: all of it, or, if r is not nil, what
// chance says, sector by sector. It gives how many blocks lost something.
func (d *volatileDisk) powerOff(r *rand.Rand) (lost int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cut = true
	for number, block := range d.cache {
		whole := true
		for at := 0; at < diskBlock; at += diskSector {
			if r == nil || r.IntN(2) == 0 {
				whole = false
				continue
			}
			if _, err := d.medium.WriteAt(block[at:at+diskSector], number*diskBlock+int64(at)); err != nil {
				return lost, err
			}
		}
		if !whole {
			lost++
		}
	}
	d.dropped += int64(lost)
	clear(d.cache)
	return lost, nil
}

// await waits for blocks that are in the cache only, for a while: a loss bites best when
// there is something to lose.
func (d *volatileDisk) await(blocks int, within time.Duration) {
	for end := time.Now().Add(within); d.cached() < blocks && time.Now().Before(end); {
		time.Sleep(20 * time.Microsecond)
	}
}

func (d *volatileDisk) cached() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.cache)
}
