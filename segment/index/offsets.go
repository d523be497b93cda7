package index

import (
	"encoding/binary"
	"errors"
	"math"
	"sort"

	"millrace/internal/invariant"
)

// OffsetEntrySize is one entry of .index.
const OffsetEntrySize = 8

// ErrDamaged says that bytes are not an index of that segment: rebuild it.
var ErrDamaged = errors.New("index: parse: damaged index")

// Offsets is one segment's .index.
type Offsets struct {
	base int64
	buf  []byte
}

// NewOffsets is the empty index of the segment that begins at offset base.
func NewOffsets(base int64) Offsets { return Offsets{base: base} }

// ParseOffsets takes a file's bytes over. logSize is the size of the .log: no entry
// points behind it. Zero bytes at the end, which Kafka leaves in an active segment's
// index, are cut off.
func ParseOffsets(base int64, b []byte, logSize int64) (Offsets, error) {
	prevOffset, prevPos := int32(-1), int32(-1)
	n := 0
	for ; n+OffsetEntrySize <= len(b); n += OffsetEntrySize {
		offset, pos := offsetEntry(b, n)
		if offset <= prevOffset || pos <= prevPos || int64(pos) >= logSize {
			break
		}
		prevOffset, prevPos = offset, pos
	}
	if !allZero(b[n:]) {
		return Offsets{base: base}, ErrDamaged
	}
	if n == OffsetEntrySize && allZero(b) {
		n = 0 // the first batch never has an entry: this is preallocated space
	}
	return Offsets{base: base, buf: b[:n:n]}, nil
}

func offsetEntry(b []byte, at int) (offset, pos int32) {
	return int32(binary.BigEndian.Uint32(b[at:])), int32(binary.BigEndian.Uint32(b[at+4:]))
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// Append adds an entry behind the others.
func (x *Offsets) Append(offset int64, pos int32) {
	rel := offset - x.base
	invariant.Check(rel >= 0 && rel <= math.MaxInt32 && pos >= 0)
	if n := len(x.buf); n > 0 {
		lastOffset, lastPos := offsetEntry(x.buf, n-OffsetEntrySize)
		invariant.Check(int32(rel) > lastOffset && pos > lastPos) // I1
	}
	x.buf = binary.BigEndian.AppendUint32(x.buf, uint32(rel))
	x.buf = binary.BigEndian.AppendUint32(x.buf, uint32(pos))
}

// Entries is their number.
func (x *Offsets) Entries() int { return len(x.buf) / OffsetEntrySize }

// Base is the segment's base offset.
func (x *Offsets) Base() int64 { return x.base }

// Bytes is the file form; not to be changed.
func (x *Offsets) Bytes() []byte { return x.buf }

// Lookup is where to begin reading for offset: the position of the largest entry
// ≤ offset, or 0.
func (x *Offsets) Lookup(offset int64) (pos int32) { return LookupOffset(x.buf, x.base, offset) }

// LookupOffset is Lookup over a file's bytes, which may have a partial last entry.
func LookupOffset(b []byte, base, offset int64) (pos int32) {
	i := sort.Search(len(b)/OffsetEntrySize, func(i int) bool {
		rel, _ := offsetEntry(b, i*OffsetEntrySize)
		return base+int64(rel) > offset
	})
	if i == 0 {
		return 0
	}
	_, pos = offsetEntry(b, (i-1)*OffsetEntrySize)
	return pos
}

// TruncateTo keeps the entries below offset.
func (x *Offsets) TruncateTo(offset int64) {
	i := sort.Search(x.Entries(), func(i int) bool {
		rel, _ := offsetEntry(x.buf, i*OffsetEntrySize)
		return x.base+int64(rel) >= offset
	})
	x.buf = x.buf[:i*OffsetEntrySize]
}
