// Package epoch is the leader epoch cache of one partition: which epoch began at
// which offset (KIP-101, KIP-320). By it followers and clients find out where two
// logs part.
//
// Not its job: who is leader.
//
// Invariants:
//
//	I1  Epochs and start offsets both grow strictly from entry to entry.
//
// Encoded, big endian: version:1 count:4, then per entry epoch:4 start:8.
package epoch

import (
	"encoding/binary"
	"errors"
	"slices"
	"sort"

	"millrace/internal/invariant"
)

// Unknown is the answer where there is none (UNDEFINED_EPOCH, UNDEFINED_EPOCH_OFFSET).
const Unknown = -1

// Entry is an epoch and its first offset.
type Entry struct {
	Epoch int32
	Start int64
}

// Cache holds the entries in order. The zero value is empty and ready.
type Cache struct {
	entries []Entry
}

// Assign notes that epoch began at start. Entries that contradict it go: those of
// that or a later epoch, and those that begin at start or behind it.
func (c *Cache) Assign(epoch int32, start int64) {
	invariant.Check(epoch >= 0 && start >= 0)
	if n := len(c.entries); n > 0 {
		last := c.entries[n-1]
		if last.Epoch == epoch && last.Start <= start {
			return // the usual case: one more batch of the present leader
		}
	}
	n := len(c.entries)
	for n > 0 && (c.entries[n-1].Epoch >= epoch || c.entries[n-1].Start >= start) {
		n--
	}
	c.entries = append(c.entries[:n], Entry{epoch, start})
}

// Latest epoch, Unknown when there is none.
func (c *Cache) Latest() int32 {
	if len(c.entries) == 0 {
		return Unknown
	}
	return c.entries[len(c.entries)-1].Epoch
}

// At is the epoch of the record at offset, Unknown before the first entry.
func (c *Cache) At(offset int64) int32 {
	if n := len(c.entries); n > 0 && c.entries[n-1].Start <= offset {
		return c.entries[n-1].Epoch
	}
	i := sort.Search(len(c.entries), func(i int) bool { return c.entries[i].Start > offset })
	if i == 0 {
		return Unknown
	}
	return c.entries[i-1].Epoch
}

// EndOffset answers OffsetForLeaderEpoch: the largest epoch ≤ requested that the log
// has, and where it ends.
func (c *Cache) EndOffset(requested int32, logEnd int64) (epoch int32, end int64) {
	n := len(c.entries)
	if requested < 0 || n == 0 || requested > c.entries[n-1].Epoch {
		return Unknown, Unknown
	}
	i := sort.Search(n, func(i int) bool { return c.entries[i].Epoch > requested })
	switch i {
	case n: // the present epoch goes on
		return requested, logEnd
	case 0: // older than what is left: whoever asks begins where the log begins
		return requested, c.entries[0].Start
	}
	return c.entries[i-1].Epoch, c.entries[i].Start
}

// TruncateEnd drops entries that begin at or behind end.
func (c *Cache) TruncateEnd(end int64) {
	n := len(c.entries)
	for n > 0 && c.entries[n-1].Start >= end {
		n--
	}
	c.entries = c.entries[:n]
}

// TruncateStart drops entries that end at or before start; the one that start lies
// in begins there now.
func (c *Cache) TruncateStart(start int64) {
	i := sort.Search(len(c.entries), func(i int) bool { return c.entries[i].Start > start })
	if i == 0 {
		return
	}
	c.entries = slices.Delete(c.entries, 0, i-1)
	c.entries[0].Start = start
}

// Entries in order; not to be changed.
func (c *Cache) Entries() []Entry { return c.entries }

const (
	version    = 1
	headerSize = 1 + 4
	entrySize  = 4 + 8
)

// ErrDamaged says that bytes are not what Encode wrote.
var ErrDamaged = errors.New("epoch: decode: damaged cache")

// Encode appends the cache to dst.
func (c *Cache) Encode(dst []byte) []byte {
	dst = append(dst, version)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(c.entries)))
	for _, e := range c.entries {
		dst = binary.BigEndian.AppendUint32(dst, uint32(e.Epoch))
		dst = binary.BigEndian.AppendUint64(dst, uint64(e.Start))
	}
	return dst
}

// Decode replaces the cache by what Encode wrote. b must be used up exactly; after
// an error the cache is empty.
func (c *Cache) Decode(b []byte) error {
	c.entries = nil
	if len(b) < headerSize || b[0] != version {
		return ErrDamaged
	}
	n := uint64(binary.BigEndian.Uint32(b[1:]))
	b = b[headerSize:]
	if uint64(len(b)) != n*entrySize {
		return ErrDamaged
	}
	entries := make([]Entry, 0, n)
	prev := Entry{Unknown, Unknown}
	for ; len(b) > 0; b = b[entrySize:] {
		e := Entry{int32(binary.BigEndian.Uint32(b)), int64(binary.BigEndian.Uint64(b[4:]))}
		if e.Epoch <= prev.Epoch || e.Start <= prev.Start { // I1
			return ErrDamaged
		}
		entries = append(entries, e)
		prev = e
	}
	c.entries = entries
	return nil
}
