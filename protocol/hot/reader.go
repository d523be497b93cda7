package hot

import (
	"encoding/binary"
	"errors"

	"millrace/protocol"
)

// ErrMalformed is a body that ends early, or whose lengths, counts or nulls are
// impossible. It has no detail, so that refusing garbage costs nothing.
var ErrMalformed = errors.New("hot: malformed request")

const (
	// maxElements is Kafka 4.4's limit for one array.
	maxElements = 1_000_000
	// maxTags is Kafka 4.4's limit for one tag buffer.
	maxTags = 10_000
)

// reader walks bytes. After the first failure it is bad, holds no bytes, and returns
// zeros; so callers may check once.
type reader struct {
	b   []byte
	pos int
	bad bool
}

func (r *reader) fail() {
	r.bad = true
	r.b = nil
	r.pos = 0
}

func (r *reader) rest() []byte { return r.b[r.pos:] }

func (r *reader) left() int { return len(r.b) - r.pos }

func (r *reader) int8() int8 {
	if r.left() < 1 {
		r.fail()
		return 0
	}
	v := r.b[r.pos]
	r.pos++
	return int8(v)
}

func (r *reader) int16() int16 {
	if r.left() < 2 {
		r.fail()
		return 0
	}
	v := binary.BigEndian.Uint16(r.b[r.pos:])
	r.pos += 2
	return int16(v)
}

func (r *reader) int32() int32 {
	if r.left() < 4 {
		r.fail()
		return 0
	}
	v := binary.BigEndian.Uint32(r.b[r.pos:])
	r.pos += 4
	return int32(v)
}

func (r *reader) int64() int64 {
	if r.left() < 8 {
		r.fail()
		return 0
	}
	v := binary.BigEndian.Uint64(r.b[r.pos:])
	r.pos += 8
	return int64(v)
}

func (r *reader) id() (id protocol.TopicID) {
	copy(id[:], r.span(16))
	return id
}

// uvarint reads an unsigned 32-bit varint of at most five bytes.
func (r *reader) uvarint() uint32 {
	var v uint64
	for shift := 0; shift < 35; shift += 7 {
		if r.left() < 1 {
			break
		}
		c := r.b[r.pos]
		r.pos++
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			if v > 1<<32-1 {
				break
			}
			return uint32(v)
		}
	}
	r.fail()
	return 0
}

func (r *reader) span(n int) []byte {
	if n < 0 || n > r.left() {
		r.fail()
		return nil
	}
	v := r.b[r.pos : r.pos+n : r.pos+n]
	r.pos += n
	return v
}

// nullableString returns nil for null, and an empty slice for an empty string.
func (r *reader) nullableString(flexible bool) []byte {
	if flexible {
		return r.nullableSpan(int64(r.uvarint()) - 1)
	}
	return r.nullableSpan(int64(r.int16()))
}

func (r *reader) nullableBytes(flexible bool) []byte {
	if flexible {
		return r.nullableSpan(int64(r.uvarint()) - 1)
	}
	return r.nullableSpan(int64(r.int32()))
}

func (r *reader) nullableSpan(n int64) []byte {
	if r.bad || n == -1 {
		return nil
	}
	if n < 0 || n > int64(r.left()) {
		r.fail()
		return nil
	}
	return r.span(int(n))
}

// string is a string that may not be null.
func (r *reader) string(flexible bool) []byte {
	s := r.nullableString(flexible)
	if s == nil {
		r.fail()
	}
	return s
}

// count reads an array's length, where null counts as bad, and holds it against
// the bytes that remain: every element takes at least min.
func (r *reader) count(flexible bool, min int) int {
	var n int64
	if flexible {
		n = int64(r.uvarint()) - 1
	} else {
		n = int64(r.int32())
	}
	if r.bad || n < 0 || n > maxElements || n*int64(min) > int64(r.left()) {
		r.fail()
		return 0
	}
	return int(n)
}

// tags reads a tag buffer's count.
func (r *reader) tags() int {
	n := r.uvarint()
	if n > maxTags || int64(n)*2 > int64(r.left()) {
		r.fail()
		return 0
	}
	return int(n)
}

// tag reads one tag's number and value.
func (r *reader) tag() (number uint32, value reader) {
	number = r.uvarint()
	value.b = r.nullableSpan(int64(r.uvarint()))
	return number, value
}

func (r *reader) skipTags() {
	for n := r.tags(); n > 0; n-- {
		r.tag()
	}
}
