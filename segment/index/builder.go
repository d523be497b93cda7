package index

import (
	"encoding/binary"
	"hash/crc32"
	"math"

	"millrace/internal/invariant"
)

// Builder applies Kafka's rule of when a batch gets an entry (LogSegment.append). A
// rebuild from the log gives the same bytes as the live appends did.
type Builder struct {
	Offsets Offsets
	Times   Times

	interval  int64
	since     int64 // bytes since the last entry
	maxTime   int64
	maxOffset int64 // last offset of the batch that maxTime is from
}

// NewBuilder begins the segment with that base offset. interval is
// index.interval.bytes.
func NewBuilder(base, interval int64) *Builder {
	return &Builder{
		Offsets: NewOffsets(base), Times: NewTimes(base),
		interval: interval, maxTime: NoTime, maxOffset: base,
	}
}

// Batch notes one batch, in log order: its last offset, its greatest timestamp, its
// position in the .log and its size.
func (b *Builder) Batch(lastOffset, maxTimestamp, pos, size int64) {
	invariant.Check(pos >= 0 && pos <= math.MaxInt32 && size > 0)
	if maxTimestamp > b.maxTime {
		b.maxTime, b.maxOffset = maxTimestamp, lastOffset
	}
	if b.since > b.interval {
		b.Offsets.Append(lastOffset, int32(pos))
		b.Times.Append(b.maxTime, b.maxOffset)
		b.since = 0
	}
	b.since += size
}

// Seal adds the time entry that Kafka adds when a segment becomes inactive.
func (b *Builder) Seal() {
	if b.maxTime != NoTime {
		b.Times.Append(b.maxTime, b.maxOffset)
	}
}

// MaxTime is the greatest timestamp so far and the last offset of its batch,
// (NoTime, base) when no batch has a time.
func (b *Builder) MaxTime() (ts, offset int64) { return b.maxTime, b.maxOffset }

// SetInterval changes index.interval.bytes from now on.
func (b *Builder) SetInterval(bytes int64) { b.interval = bytes }

// Header is what an index needs to know of a batch.
type Header struct {
	BaseOffset, LastOffset, MaxTimestamp int64
	Size                                 int64
}

// Positions in a record batch of magic 2 (docs: Kafka's message format).
const (
	posLength  = 8
	posMagic   = 16
	posCRC     = 17
	posRest    = 21 // what the CRC covers
	posDelta   = 23
	posMaxTime = 35
	headerSize = 61
	overhead   = 12 // base offset and length, which length does not count
)

// ParseHeader reads the first batch header in b; false when there is none, or when
// it cannot be the next one of a log. The batch's records need not be in b.
func ParseHeader(b []byte) (h Header, ok bool) {
	if len(b) < headerSize || b[posMagic] != 2 {
		return h, false
	}
	length := int64(int32(binary.BigEndian.Uint32(b[posLength:])))
	delta := int64(int32(binary.BigEndian.Uint32(b[posDelta:])))
	h.BaseOffset = int64(binary.BigEndian.Uint64(b))
	if length < headerSize-overhead || delta < 0 || h.BaseOffset < 0 ||
		h.BaseOffset > math.MaxInt64-delta {
		return h, false
	}
	h.LastOffset = h.BaseOffset + delta
	h.MaxTimestamp = int64(binary.BigEndian.Uint64(b[posMaxTime:]))
	h.Size = length + overhead
	return h, true
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Rebuild walks the batches of a whole .log, checks order and CRC of each, and
// returns the index, the length of the valid prefix and the offset behind it. With
// dense, offsets must have no gap (a log that was never compacted): the base offset
// is outside the CRC. A zero tail, a torn last batch and damage all end the prefix;
// whether that may be is for the caller to judge.
func Rebuild(base, interval int64, log []byte, dense bool) (b *Builder, valid, end int64) {
	b, end = NewBuilder(base, interval), base
	for {
		h, ok := ParseHeader(log[valid:])
		if !ok || h.Size > int64(len(log))-valid || h.BaseOffset < end ||
			dense && h.BaseOffset != end ||
			h.LastOffset-base > math.MaxInt32 || valid > math.MaxInt32 {
			return b, valid, end
		}
		batch := log[valid : valid+h.Size]
		if crc32.Checksum(batch[posRest:], castagnoli) != binary.BigEndian.Uint32(batch[posCRC:]) {
			return b, valid, end
		}
		b.Batch(h.LastOffset, h.MaxTimestamp, valid, h.Size)
		valid += h.Size
		end = h.LastOffset + 1
	}
}
