package raftmeta

import (
	"encoding/binary"
	"errors"
	"fmt"

	"millrace/protocol"
)

// ErrFormat is under every refusal of bytes: not ours, damaged, or of a newer binary.
var ErrFormat = errors.New("raftmeta: format")

func formatError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
}

// reader takes primitives off the front of p. After the first fault it returns zeros, so
// that a decoder asks for err once, at its end.
type reader struct {
	p   []byte
	err error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = formatError("%s", what)
	}
	r.p = nil
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.p) {
		r.fail("too short")
		return nil
	}
	b := r.p[:n]
	r.p = r.p[n:]
	return b
}

func (r *reader) u8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) boolean() bool {
	b := r.u8()
	if b > 1 {
		r.fail("boolean")
	}
	return b == 1
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.p)
	if n <= 0 || n > 1 && r.p[n-1] == 0 { // one value, one form
		r.fail("uvarint")
		return 0
	}
	r.p = r.p[n:]
	return v
}

// varint32 and varint64 are zigzag.
func (r *reader) varint64() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (r *reader) varint32() int32 {
	v := r.varint64()
	if v != int64(int32(v)) {
		r.fail("varint32")
		return 0
	}
	return int32(v)
}

func (r *reader) varint16() int16 {
	v := r.varint64()
	if v != int64(int16(v)) {
		r.fail("varint16")
		return 0
	}
	return int16(v)
}

// count reads how many items follow, each of at least size bytes.
func (r *reader) count(size int) int {
	n := r.uvarint()
	if n > uint64(len(r.p)/size) {
		r.fail("count larger than the rest")
		return 0
	}
	return int(n)
}

func (r *reader) str() string { return string(r.take(r.count(1))) }

func (r *reader) id() (id [16]byte) {
	copy(id[:], r.take(len(id)))
	return id
}

func (r *reader) nodes() []protocol.NodeID {
	n := r.count(1)
	if n == 0 {
		return nil
	}
	ids := make([]protocol.NodeID, n)
	for i := range ids {
		ids[i] = r.varint32()
	}
	return ids
}

// end refuses bytes that nobody asked for.
func (r *reader) end() error {
	if r.err == nil && len(r.p) > 0 {
		r.fail("bytes left over")
	}
	return r.err
}

// many reads a counted list; size is the least number of bytes of one item.
func many[T any](r *reader, size int, one func(*reader) T) []T {
	n := r.count(size)
	if n == 0 {
		return nil
	}
	// An item takes more memory than its bytes on disk: grow with what is really there.
	list := make([]T, 0, min(n, 1024))
	for range n {
		v := one(r)
		if r.err != nil {
			return nil
		}
		list = append(list, v)
	}
	return list
}

func putUvarint(b []byte, v uint64) []byte { return binary.AppendUvarint(b, v) }
func putVarint(b []byte, v int64) []byte   { return binary.AppendVarint(b, v) }
func putCount(b []byte, n int) []byte      { return binary.AppendUvarint(b, uint64(n)) }
func putStr(b []byte, s string) []byte     { return append(putCount(b, len(s)), s...) }

func putBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func putNodes(b []byte, ids []protocol.NodeID) []byte {
	b = putCount(b, len(ids))
	for _, id := range ids {
		b = putVarint(b, int64(id))
	}
	return b
}

func putMany[T any](b []byte, list []T, one func([]byte, T) []byte) []byte {
	b = putCount(b, len(list))
	for _, v := range list {
		b = one(b, v)
	}
	return b
}
