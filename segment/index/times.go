package index

import (
	"encoding/binary"
	"math"
	"sort"

	"millrace/internal/invariant"
)

// TimeEntrySize is one entry of .timeindex.
const TimeEntrySize = 12

// NoTime is the timestamp of an index without entries.
const NoTime = -1

// Times is one segment's .timeindex.
type Times struct {
	base int64
	buf  []byte
}

// NewTimes is the empty index of the segment that begins at offset base.
func NewTimes(base int64) Times { return Times{base: base} }

// ParseTimes takes a file's bytes over. end is the offset behind the segment's last:
// no entry names one at or behind it. Zero bytes at the end are cut off.
func ParseTimes(base int64, b []byte, end int64) (Times, error) {
	prevTime, prevOffset := int64(math.MinInt64), int32(0)
	n := 0
	for ; n+TimeEntrySize <= len(b); n += TimeEntrySize {
		ts, offset := timeEntry(b, n)
		if ts <= prevTime || offset < prevOffset || base+int64(offset) >= end {
			break
		}
		prevTime, prevOffset = ts, offset
	}
	if !allZero(b[n:]) {
		return Times{base: base}, ErrDamaged
	}
	if n == TimeEntrySize && allZero(b) {
		n = 0 // preallocated space, not a record of 1970
	}
	return Times{base: base, buf: b[:n:n]}, nil
}

func timeEntry(b []byte, at int) (ts int64, offset int32) {
	return int64(binary.BigEndian.Uint64(b[at:])), int32(binary.BigEndian.Uint32(b[at+8:]))
}

// Append adds an entry, unless its timestamp is not greater than the last one's
// (Kafka's maybeAppend).
func (x *Times) Append(ts, offset int64) {
	rel := offset - x.base
	invariant.Check(rel >= 0 && rel <= math.MaxInt32)
	if n := len(x.buf); n > 0 {
		lastTime, lastOffset := timeEntry(x.buf, n-TimeEntrySize)
		if ts <= lastTime {
			return
		}
		invariant.Check(int32(rel) >= lastOffset) // I2
	}
	x.buf = binary.BigEndian.AppendUint64(x.buf, uint64(ts))
	x.buf = binary.BigEndian.AppendUint32(x.buf, uint32(rel))
}

// Entries is their number.
func (x *Times) Entries() int { return len(x.buf) / TimeEntrySize }

// Base is the segment's base offset.
func (x *Times) Base() int64 { return x.base }

// Bytes is the file form; not to be changed.
func (x *Times) Bytes() []byte { return x.buf }

// Last entry, (NoTime, base) when there is none.
func (x *Times) Last() (ts, offset int64) { return x.entry(x.Entries() - 1) }

func (x *Times) entry(i int) (ts, offset int64) {
	if i < 0 {
		return NoTime, x.base
	}
	ts, rel := timeEntry(x.buf, i*TimeEntrySize)
	return ts, x.base + int64(rel)
}

// Lookup is the largest entry ≤ ts, or (NoTime, base): where to begin looking for the
// first record with timestamp ≥ ts. Batches before the one that the entry names are
// all older than it, so none of them can have that record.
func (x *Times) Lookup(ts int64) (time, offset int64) { return LookupTime(x.buf, x.base, ts) }

// LookupTime is Lookup over a file's bytes, which may have a partial last entry.
func LookupTime(b []byte, base, ts int64) (time, offset int64) {
	x := Times{base: base, buf: b}
	i := sort.Search(x.Entries(), func(i int) bool {
		at, _ := timeEntry(b, i*TimeEntrySize)
		return at > ts
	})
	return x.entry(i - 1)
}

// TruncateTo keeps the entries below offset.
func (x *Times) TruncateTo(offset int64) {
	i := sort.Search(x.Entries(), func(i int) bool {
		_, rel := timeEntry(x.buf, i*TimeEntrySize)
		return x.base+int64(rel) >= offset
	})
	x.buf = x.buf[:i*TimeEntrySize]
}
