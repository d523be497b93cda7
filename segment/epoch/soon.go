// Package epoch is the leader epoch cache of one partition (KIP-101, KIP-320).
package epoch

// Cache is the zero value or what Decode reads.
type Cache struct{}

// Entry is an epoch and its first offset.
type Entry struct {
	Epoch int32
	Start int64
}

// Assign notes that epoch began at start.
func (c *Cache) Assign(epoch int32, start int64) { panic("soon") }

// Latest epoch, -1 when there is none.
func (c *Cache) Latest() int32 { panic("soon") }

// At is the epoch of the record at offset, -1 when unknown.
func (c *Cache) At(offset int64) int32 { panic("soon") }

// EndOffset answers OffsetForLeaderEpoch: (-1, -1) when unknown.
func (c *Cache) EndOffset(requested int32, logEnd int64) (epoch int32, end int64) { panic("soon") }

// TruncateEnd drops entries that start at or beyond end; TruncateStart those
// wholly below start.
func (c *Cache) TruncateEnd(end int64)     { panic("soon") }
func (c *Cache) TruncateStart(start int64) { panic("soon") }

// Entries in order; not to be changed.
func (c *Cache) Entries() []Entry { panic("soon") }

// Encode appends; Decode replaces, b must be used up exactly.
func (c *Cache) Encode(dst []byte) []byte { panic("soon") }
func (c *Cache) Decode(b []byte) error    { panic("soon") }
