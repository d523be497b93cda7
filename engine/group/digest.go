package group

import (
	"cmp"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"maps"
	"slices"

	"millrace/protocol"
)

// Digest is a partition of __consumer_offsets boiled down: of every key the last record below
// an offset, without those that a tombstone deleted. To load it, and then the log behind that
// offset, gives what replaying the whole log gives. It is a function of the log alone, never
// of what a coordinator holds in memory.
//
// The file, little-endian:
//
//	 0 magic "MGRP"    24 topic id 16       48 end i64: all records below it are in the file
//	 4 version u16     40 partition i32     56 length of the file u64
//	 8 directory id    44 records u32       64 the records, by offset; CRC-32C of all before it
//
//	record: offset i64, key length u32, value length u32, key, value
type Digest struct {
	Topic     protocol.TopicID
	Partition int32
	End       int64

	last map[string]*kept
	size int
}

// kept is the last record of a key.
type kept struct {
	offset int64
	value  []byte
}

const (
	stateMagic   = 0x5052474d // "MGRP"
	stateVersion = 1
	stateHeader  = 64
	stateTrailer = 4
	stateRecord  = 16 // before key and value
)

var (
	le         = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// errState is a file that is not a whole state of this partition.
var errState = errors.New("group: damaged state of a partition of __consumer_offsets")

// NewDigest is the state of an empty log.
func NewDigest(topic protocol.TopicID, partition int32) *Digest {
	return &Digest{Topic: topic, Partition: partition, last: make(map[string]*kept),
		size: stateHeader + stateTrailer}
}

// Apply takes the next record, in offset order; key and value are copied. A nil value is a
// tombstone.
func (s *Digest) Apply(offset int64, key, value []byte) {
	k := s.last[string(key)]
	if k != nil {
		s.size -= stateRecord + len(key) + len(k.value)
	}
	if value == nil {
		delete(s.last, string(key))
		return
	}
	if k == nil {
		k = new(kept)
		s.last[string(key)] = k
	}
	s.size += stateRecord + len(key) + len(value)
	k.offset, k.value = offset, append(k.value[:0], value...)
}

// Encode is the file.
func (s *Digest) Encode(directory [16]byte) []byte {
	b := make([]byte, stateHeader, s.size)
	le.PutUint32(b, stateMagic)
	le.PutUint16(b[4:], stateVersion)
	copy(b[8:], directory[:])
	copy(b[24:], s.Topic[:])
	le.PutUint32(b[40:], uint32(s.Partition))
	le.PutUint32(b[44:], uint32(len(s.last)))
	le.PutUint64(b[48:], uint64(s.End))
	le.PutUint64(b[56:], uint64(s.size))
	keys := slices.SortedFunc(maps.Keys(s.last), func(x, y string) int {
		return cmp.Compare(s.last[x].offset, s.last[y].offset)
	})
	for _, key := range keys {
		k := s.last[key]
		b = le.AppendUint64(b, uint64(k.offset))
		b = le.AppendUint32(b, uint32(len(key)))
		b = le.AppendUint32(b, uint32(len(k.value)))
		b = append(b, key...)
		b = append(b, k.value...)
	}
	return le.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// Stored iterates over the records of a state file.
type Stored struct {
	End  int64
	left uint32
	rest []byte
}

// ReadDigest checks a file as a whole: its records can be believed then.
func ReadDigest(b []byte, directory [16]byte, topic protocol.TopicID, partition int32) (Stored,
	error) {
	if len(b) < stateHeader+stateTrailer {
		return Stored{}, errState
	}
	body := b[:len(b)-stateTrailer]
	s := Stored{End: int64(le.Uint64(b[48:])), left: le.Uint32(b[44:]), rest: body[stateHeader:]}
	switch {
	case le.Uint32(b) != stateMagic, le.Uint16(b[4:]) != stateVersion,
		[16]byte(b[8:24]) != directory, protocol.TopicID(b[24:40]) != topic,
		int32(le.Uint32(b[40:])) != partition, le.Uint64(b[56:]) != uint64(len(b)), s.End < 0,
		crc32.Checksum(body, castagnoli) != le.Uint32(b[len(body):]):
		return Stored{}, errState
	}
	for r, last := s, int64(-1); ; {
		at, _, _, ok := r.Next()
		if !ok {
			if r.left != 0 || len(r.rest) != 0 {
				return Stored{}, errState
			}
			return s, nil
		}
		if at <= last || at >= s.End {
			return Stored{}, errState
		}
		last = at
	}
}

// Next is the next record, by offset, over the file's bytes.
func (s *Stored) Next() (offset int64, key, value []byte, ok bool) {
	if s.left == 0 || len(s.rest) < stateRecord {
		return 0, nil, nil, false
	}
	b := s.rest
	k, v := uint64(le.Uint32(b[8:])), uint64(le.Uint32(b[12:]))
	if k+v > uint64(len(b)-stateRecord) {
		return 0, nil, nil, false
	}
	offset = int64(le.Uint64(b))
	b = b[stateRecord:]
	key, value = b[:k:k], b[k:k+v:k+v]
	s.left--
	s.rest = b[k+v:]
	return offset, key, value, true
}

// Left is how many bytes of records are still to come.
func (s *Stored) Left() int { return len(s.rest) }
