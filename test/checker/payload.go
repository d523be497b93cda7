package checker

import (
	"encoding/binary"
	"errors"

	"github.com/cespare/xxhash/v2"
)

// Place is one log: a partition of one incarnation of a topic. A topic deleted and
// created again is another incarnation.
type Place struct {
	Topic       string
	Incarnation uint32
	Partition   int32
}

// Origin names a record for good: where it was sent, by whom, and its number in the
// producer's sending order to that place, from 0.
type Origin struct {
	Place
	Producer uint32
	Seq      uint64
}

// A payload is: magic 4 | size 4 | incarnation 4 | partition 4 | producer 4 | seq 8 |
// topic length 2 | topic | filler | xxhash64 of all before it 8. Little endian.
const (
	payloadMagic  = 0x6b635243
	payloadHeader = 30
	payloadHash   = 8
)

var errPayload = errors.New("checker: payload: not what was sent")

// MinPayload is the smallest payload of a topic in bytes.
func MinPayload(topic string) int { return payloadHeader + len(topic) + payloadHash }

// Payload makes a record's value of size bytes, or of MinPayload if that is more. The
// filler follows from the origin and does not compress well.
func Payload(o Origin, size int) []byte {
	size = max(size, MinPayload(o.Topic))
	p := make([]byte, size)
	le := binary.LittleEndian
	le.PutUint32(p[0:], payloadMagic)
	le.PutUint32(p[4:], uint32(size))
	le.PutUint32(p[8:], o.Incarnation)
	le.PutUint32(p[12:], uint32(o.Partition))
	le.PutUint32(p[16:], o.Producer)
	le.PutUint64(p[20:], o.Seq)
	le.PutUint16(p[28:], uint16(len(o.Topic)))
	at := payloadHeader + copy(p[payloadHeader:], o.Topic)
	state := xxhash.Sum64(p[:at]) | 1
	for ; at < size-payloadHash; at++ {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		p[at] = byte(state)
	}
	le.PutUint64(p[at:], xxhash.Sum64(p[:at]))
	return p
}

// ParsePayload checks a value's bytes and gives its origin.
func ParsePayload(p []byte) (Origin, error) {
	le := binary.LittleEndian
	if len(p) < payloadHeader+payloadHash || le.Uint32(p) != payloadMagic ||
		uint64(le.Uint32(p[4:])) != uint64(len(p)) {
		return Origin{}, errPayload
	}
	body := p[:len(p)-payloadHash]
	topic := int(le.Uint16(p[28:]))
	if payloadHeader+topic > len(body) || le.Uint64(p[len(body):]) != xxhash.Sum64(body) {
		return Origin{}, errPayload
	}
	return Origin{
		Place: Place{
			Topic:       string(p[payloadHeader : payloadHeader+topic]),
			Incarnation: le.Uint32(p[8:]),
			Partition:   int32(le.Uint32(p[12:])),
		},
		Producer: le.Uint32(p[16:]),
		Seq:      le.Uint64(p[20:]),
	}, nil
}
