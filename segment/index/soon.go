// Package index is Kafka's .index and .timeindex, over bytes.
package index

const (
	OffsetEntrySize = 8  // relative offset int32, position int32
	TimeEntrySize   = 12 // timestamp int64, relative offset int32
)

// Offsets is one segment's .index in file form. Zero value: empty, base 0.
type Offsets struct {
	base int64
	buf  []byte
}

func NewOffsets(base int64) Offsets                                     { panic("soon") }
func ParseOffsets(base int64, b []byte, logSize int64) (Offsets, error) { panic("soon") } // validates all entries
func (x *Offsets) Append(offset int64, pos int32)                       { panic("soon") }
func (x *Offsets) Entries() int                                         { panic("soon") }
func (x *Offsets) Bytes() []byte                                        { panic("soon") } // whole file form; tail = Bytes()[n:]
func (x *Offsets) Lookup(offset int64) (pos int32)                      { panic("soon") } // position of the largest entry ≤ offset, else 0
func (x *Offsets) TruncateTo(offset int64)                              { panic("soon") } // keeps entries < offset
func LookupOffset(b []byte, base, offset int64) (pos int32)             { panic("soon") } // the same over file bytes

// Times is one segment's .timeindex in file form.
type Times struct {
	base int64
	buf  []byte
}

func NewTimes(base int64) Times                                       { panic("soon") }
func ParseTimes(base int64, b []byte, endOffset int64) (Times, error) { panic("soon") }
func (x *Times) Append(ts, offset int64)                              { panic("soon") } // Kafka's maybeAppend: ignored unless ts grows
func (x *Times) Entries() int                                         { panic("soon") }
func (x *Times) Bytes() []byte                                        { panic("soon") }
func (x *Times) Lookup(ts int64) (time, offset int64)                 { panic("soon") } // largest entry with timestamp ≤ ts, else (-1, base)
func (x *Times) Last() (ts, offset int64)                             { panic("soon") } // (-1, base) when empty
func (x *Times) TruncateTo(offset int64)                              { panic("soon") }
func LookupTime(b []byte, base, ts int64) (time, offset int64)        { panic("soon") }

// Builder applies Kafka's rule of when a batch gets an entry; the same for live
// appends and for a rebuild from the log.
type Builder struct {
	Offsets Offsets
	Times   Times
}

func NewBuilder(base int64, intervalBytes int) *Builder { panic("soon") }

// Batch notes one batch in log order, by its place in the segment file.
func (b *Builder) Batch(lastOffset, maxTimestamp int64, pos, size int32) { panic("soon") }

// Seal adds the last time entry, as Kafka does when a segment becomes inactive.
func (b *Builder) Seal() { panic("soon") }

// MaxTime is the largest timestamp so far and the last offset of its batch.
func (b *Builder) MaxTime() (ts, offset int64) { panic("soon") }

// Rebuild walks batch headers in log (whole segment bytes) and returns the built
// index and the length of the valid prefix.
func Rebuild(base int64, intervalBytes int, log []byte) (*Builder, int) { panic("soon") }
