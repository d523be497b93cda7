package workload

import (
	"encoding/binary"
	"hash/crc32"
)

// Stamp is what a value begins with when somebody will check it: who wrote it, as which of its
// messages, when it was due, and a checksum. Written by both clients alike, so that one can
// verify what the other wrote.
//
//	0      4       8          16         24     28
//	┌──────┬───────┬──────────┬──────────┬──────┬───────┬─────────
//	│magic │stream │number    │due       │run   │check  │content …
//	└──────┴───────┴──────────┴──────────┴──────┴───────┴─────────
//
// All big-endian. check = CRC-32C of the content, mixed with stream, number and run (not with the
// due time: a template's check is patched without reading its content again).
type Stamp struct {
	Stream uint32 // producer, numbered from 0
	Number uint64 // counts from 0 in every partition of the stream, without gaps
	Due    int64  // intended send time: nanoseconds of CLOCK_MONOTONIC
	Run    uint32 // tells runs on one topic apart
}

// StampSize is what a stamp takes of a value.
const StampSize = 32

const (
	stampMagic = 0x4d4c5331 // "MLS1"

	// DueAt is where the due time lies in a value.
	DueAt = 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ContentSum is the checksum of what follows a value's stamp.
func ContentSum(value []byte) uint32 { return crc32.Checksum(value[StampSize:], castagnoli) }

// Put writes the stamp into a value whose content has the given sum.
func (s Stamp) Put(value []byte, contentSum uint32) {
	_ = value[StampSize-1]
	be := binary.BigEndian
	be.PutUint32(value, stampMagic)
	be.PutUint32(value[4:], s.Stream)
	be.PutUint64(value[8:], s.Number)
	be.PutUint64(value[DueAt:], uint64(s.Due))
	be.PutUint32(value[24:], s.Run)
	be.PutUint32(value[28:], contentSum^s.mix())
}

// mix spreads what identifies a message over 32 bits.
func (s Stamp) mix() uint32 {
	x := s.Number*0x9e3779b97f4a7c15 ^ (uint64(s.Stream)<<32|uint64(s.Run))*0xc2b2ae3d27d4eb4f
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return uint32(x >> 32)
}

// Stamped reads the stamp of a value; no stamp is there when ok is false. The content is not
// checked: Intact does.
func Stamped(value []byte) (s Stamp, ok bool) {
	be := binary.BigEndian
	if len(value) < StampSize || be.Uint32(value) != stampMagic {
		return Stamp{}, false
	}
	return Stamp{Stream: be.Uint32(value[4:]), Number: be.Uint64(value[8:]),
		Due: int64(be.Uint64(value[DueAt:])), Run: be.Uint32(value[24:])}, true
}

// Intact says whether the value holds what was written under its stamp.
func (s Stamp) Intact(value []byte) bool {
	return len(value) >= StampSize &&
		binary.BigEndian.Uint32(value[28:]) == ContentSum(value)^s.mix()
}
