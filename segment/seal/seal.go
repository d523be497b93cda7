package seal

import (
	"encoding/binary"
	"hash/crc32"

	"millrace/protocol"
)

const (
	// PieceBytes is how long a piece is before it is closed at the next batch.
	PieceBytes = 64 << 10
	// HeadBytes of a batch are summed: what its CRC leaves out, and that CRC.
	HeadBytes = 21

	lengthAt = 8  // of the batch's length field
	overhead = 12 // base offset and length, which length does not count
	minBatch = 61
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// le is the byte order of every format of our own.
var le = binary.LittleEndian

// ID names one segment.
type ID struct {
	Topic     protocol.TopicID
	Partition int32
	Base      int64 // offset
}

// Piece is a run of whole batches and its sum.
type Piece struct {
	Begin, End int64 // positions in the .log
	Next       int64 // offset behind its last record
	Sum        uint32
}

// Size is how many bytes the piece has.
func (p *Piece) Size() int64 { return p.End - p.Begin }

// Running is the piece that is being filled.
type Running struct {
	Begin int64 // its position in the .log
	Sum   uint32
}

// Seed is what the sums of a segment begin with.
type Seed uint32

// Seed is the CRC of topic id, partition and base offset.
func (id ID) Seed() Seed {
	b := make([]byte, 28)
	copy(b, id.Topic[:])
	le.PutUint32(b[16:], uint32(id.Partition))
	le.PutUint64(b[20:], uint64(id.Base))
	return Seed(crc32.Checksum(b, castagnoli))
}

// At starts a piece at a position. Two states that differ stay different over the same
// bytes: a piece elsewhere has another sum.
func (s Seed) At(pos int64) Running { return Running{Begin: pos, Sum: uint32(s) ^ uint32(pos)} }

// Begin starts a piece at a position.
func Begin(id ID, pos int64) Running { return id.Seed().At(pos) }

// Batch adds a batch, which is stamped with offset and epoch.
//
//hot:noalloc
func (r *Running) Batch(v []byte) {
	r.Sum = crc32.Update(r.Sum, castagnoli, v[:HeadBytes])
}

// Full says whether the piece is closed when the log ends at end.
func (r *Running) Full(end int64) bool { return end-r.Begin >= PieceBytes }

// Check says which rule the bytes of a piece break, "" for none. It does not look at
// the batches' own CRC: a batch whose CRC is right too is what was written, here.
func Check(id ID, p Piece, b []byte) (rule string) {
	if int64(len(b)) != p.End-p.Begin {
		return "piece"
	}
	r := Begin(id, p.Begin)
	for len(b) > 0 {
		if len(b) < minBatch {
			return "sum"
		}
		n := int64(int32(binary.BigEndian.Uint32(b[lengthAt:]))) + overhead
		if n < minBatch || n > int64(len(b)) {
			return "sum"
		}
		r.Batch(b)
		b = b[n:]
	}
	if r.Sum != p.Sum {
		return "sum"
	}
	return ""
}
