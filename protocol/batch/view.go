package batch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"millrace/internal/invariant"
)

// Sizes and positions of the batch header (doc.go).
const (
	// HeaderSize is what a batch without records takes.
	HeaderSize = 61
	// LogOverhead is base offset and length, which batchLength does not count.
	LogOverhead = 12
	// Magic2 is the only format served (KIP-724).
	Magic2 = 2

	posLength        = 8
	posLeaderEpoch   = 12
	posMagic         = 16
	posCRC           = 17
	posAttributes    = 21
	posLastDelta     = 23
	posBaseTimestamp = 27
	posMaxTimestamp  = 35
	posProducerID    = 43
	posProducerEpoch = 51
	posBaseSequence  = 53
	posCount         = 57
)

const (
	attrCodec         = 0x07
	attrLogAppendTime = 0x08
	attrTransactional = 0x10
	attrControl       = 0x20
	attrDeleteHorizon = 0x40
)

// NoTimestamp is a batch or record without time.
const NoTimestamp = -1

// NoProducer is the producer id of a batch without idempotence.
const NoProducer = -1

// Codec is a compression type, as in the attributes' low three bits.
type Codec int8

// The codecs of Kafka.
const (
	None Codec = iota
	Gzip
	Snappy
	LZ4
	Zstd

	codecCount
)

// String is Kafka's name of the codec.
func (c Codec) String() string {
	switch c {
	case None:
		return "none"
	case Gzip:
		return "gzip"
	case Snappy:
		return "snappy"
	case LZ4:
		return "lz4"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("codec%d", int8(c))
}

// Errors of Next. Short means that more bytes could complete the batch; the others
// that no bytes could.
var (
	ErrShort  = errors.New("batch: bytes end inside a batch")
	ErrLength = errors.New("batch: impossible batch length")
	ErrMagic  = errors.New("batch: magic is not 2")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// View is one whole record batch over somebody's bytes. It is valid as long as they
// are.
type View []byte

// Next splits the first batch off b. It checks length and magic and nothing else; it
// does not touch the records.
func Next(b []byte) (v View, rest []byte, err error) {
	if len(b) < posMagic+1 {
		return nil, b, ErrShort
	}
	n := int64(int32(binary.BigEndian.Uint32(b[posLength:])))
	if b[posMagic] != Magic2 {
		return nil, b, ErrMagic
	}
	if n < HeaderSize-LogOverhead {
		return nil, b, ErrLength
	}
	size := n + LogOverhead
	if size > int64(len(b)) {
		return nil, b, ErrShort
	}
	return View(b[:size:size]), b[size:], nil
}

func (v View) u32(pos int) uint32 { return binary.BigEndian.Uint32(v[pos:]) }
func (v View) u64(pos int) uint64 { return binary.BigEndian.Uint64(v[pos:]) }

// BaseOffset is the offset of the first record (before compaction).
func (v View) BaseOffset() int64 { return int64(v.u64(0)) }

// Length is the batchLength field: Size without the first 12 bytes.
func (v View) Length() int32 { return int32(v.u32(posLength)) }

// LeaderEpoch is the epoch of the leader that appended the batch.
func (v View) LeaderEpoch() int32 { return int32(v.u32(posLeaderEpoch)) }

// Magic is the format; Next lets only 2 through.
func (v View) Magic() int8 { return int8(v[posMagic]) }

// CRC is the stored CRC-32C.
func (v View) CRC() uint32 { return v.u32(posCRC) }

// Attributes are the 16 flag bits.
func (v View) Attributes() int16 {
	return int16(binary.BigEndian.Uint16(v[posAttributes:]))
}

// Codec is how the records are compressed; may be an unknown one (5–7).
func (v View) Codec() Codec { return Codec(v[posAttributes+1] & attrCodec) }

// IsLogAppendTime says that MaxTimestamp is the broker's and holds for every record.
func (v View) IsLogAppendTime() bool { return v[posAttributes+1]&attrLogAppendTime != 0 }

// TimestampType is 0 for CreateTime and 1 for LogAppendTime.
func (v View) TimestampType() int8 { return int8(v[posAttributes+1] & attrLogAppendTime >> 3) }

// IsTransactional says that the batch belongs to a transaction.
func (v View) IsTransactional() bool { return v[posAttributes+1]&attrTransactional != 0 }

// IsControl says that the records are the broker's own markers.
func (v View) IsControl() bool { return v[posAttributes+1]&attrControl != 0 }

// LastOffsetDelta is the last record's offset relative to BaseOffset.
func (v View) LastOffsetDelta() int32 { return int32(v.u32(posLastDelta)) }

// BaseTimestamp is the first record's time in ms, or the delete horizon.
func (v View) BaseTimestamp() int64 { return int64(v.u64(posBaseTimestamp)) }

// MaxTimestamp is the greatest time of the records in ms, or −1.
func (v View) MaxTimestamp() int64 { return int64(v.u64(posMaxTimestamp)) }

// ProducerID is −1 without idempotence.
func (v View) ProducerID() int64 { return int64(v.u64(posProducerID)) }

// ProducerEpoch is −1 without idempotence.
func (v View) ProducerEpoch() int16 {
	return int16(binary.BigEndian.Uint16(v[posProducerEpoch:]))
}

// BaseSequence is −1 without idempotence.
func (v View) BaseSequence() int32 { return int32(v.u32(posBaseSequence)) }

// LastSequence is the last record's sequence number, which wraps to 0 after 2³¹−1.
func (v View) LastSequence() int32 {
	first := v.BaseSequence()
	if first < 0 {
		return first
	}
	return AddSequence(first, v.LastOffsetDelta())
}

// AddSequence moves a sequence number on by n records, as Kafka wraps it.
func AddSequence(seq, n int32) int32 {
	return int32((int64(seq) + int64(n)) & 0x7fffffff)
}

// Count is how many records the header claims. Validate holds it against
// LastOffsetDelta for batches of clients; after compaction it is less.
func (v View) Count() int32 { return int32(v.u32(posCount)) }

// Size is the whole batch in bytes.
func (v View) Size() int { return len(v) }

// LastOffset is BaseOffset + LastOffsetDelta.
func (v View) LastOffset() int64 { return v.BaseOffset() + int64(v.LastOffsetDelta()) }

// NextOffset is the offset after LastOffset.
func (v View) NextOffset() int64 { return v.LastOffset() + 1 }

// RecordBytes is what follows the header, compressed or not.
func (v View) RecordBytes() []byte { return v[HeaderSize:] }

// Bytes is the whole batch.
func (v View) Bytes() []byte { return v }

// CheckCRC hashes the batch and compares.
func (v View) CheckCRC() bool { return crc32.Checksum(v[posAttributes:], castagnoli) == v.CRC() }

// Stamp writes base offset and leader epoch, which the CRC does not cover.
func (v View) Stamp(base int64, epoch int32) {
	invariant.Check(len(v) >= HeaderSize) // I1
	binary.BigEndian.PutUint64(v, uint64(base))
	binary.BigEndian.PutUint32(v[posLeaderEpoch:], uint32(epoch))
}

// StampLogAppendTime makes the batch one of LogAppendTime with the broker's time in
// ms, and rehashes it. Records need no change: their deltas lose their meaning.
func (v View) StampLogAppendTime(millis int64) {
	v[posAttributes+1] |= attrLogAppendTime
	binary.BigEndian.PutUint64(v[posMaxTimestamp:], uint64(millis))
	v.rehash()
}

func (v View) rehash() {
	binary.BigEndian.PutUint32(v[posCRC:], crc32.Checksum(v[posAttributes:], castagnoli))
}
