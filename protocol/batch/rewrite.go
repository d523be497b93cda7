package batch

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Rewriting is what compaction does to a batch: some of its records go, the rest of it
// stays what it was. It allocates and belongs off the cores.

// DeleteHorizon is the wall time in ms from which on tombstones and markers of the
// batch may go (KIP-534); ok is false when compaction has not set it.
func (v View) DeleteHorizon() (millis int64, ok bool) {
	if v[posAttributes+1]&attrDeleteHorizon == 0 {
		return 0, false
	}
	return v.BaseTimestamp(), true
}

// Rewriter makes batches with fewer records. Its memory is reused: a batch that it
// returned is valid until the next call.
type Rewriter struct {
	plain, out []byte
}

// NoHorizon says that a rewritten batch has no delete horizon.
const NoHorizon = -1

// Keep writes v with only those records that keep[i] is true for, at least one. Plain
// is its records without compression. Offsets, base and last offset, producer and flags
// stay; the times of the header become those of the records that are left. With a
// horizon of 0 or more the base timestamp holds that instead.
func (w *Rewriter) Keep(v View, plain []byte, keep []bool, horizon int64) (View, error) {
	first, greatest, count := horizon, int64(NoTimestamp), int32(0)
	w.plain = w.plain[:0]
	it := v.Records(plain)
	for i := 0; it.Next(); i++ {
		if !keep[i] {
			continue
		}
		r := &it.Record
		if count == 0 && horizon < 0 {
			first = r.Timestamp
		}
		count++
		greatest = max(greatest, r.Timestamp)
		w.plain = r.append(w.plain, r.Timestamp-first)
	}
	if it.Err() != nil || count == 0 {
		return nil, ErrRecords
	}
	w.out = append(w.out[:0], v[:HeaderSize]...)
	out, err := deflate(w.out, w.plain, v.Codec(), DefaultLevel)
	if err != nil {
		return nil, err
	}
	w.out = out
	if len(out) > math.MaxInt32 {
		return nil, fmt.Errorf("batch: rewrite: %w", ErrTooBig)
	}
	n := View(out)
	be := binary.BigEndian
	be.PutUint32(n[posLength:], uint32(len(n)-LogOverhead))
	n[posAttributes+1] &^= attrDeleteHorizon
	if horizon >= 0 {
		n[posAttributes+1] |= attrDeleteHorizon
	}
	be.PutUint64(n[posBaseTimestamp:], uint64(first))
	if !v.IsLogAppendTime() {
		be.PutUint64(n[posMaxTimestamp:], uint64(greatest))
	}
	be.PutUint32(n[posCount:], uint32(count))
	n.rehash()
	return n, nil
}

// append writes the record with another timestamp delta.
func (r *Record) append(dst []byte, delta int64) []byte {
	size := 1 + varintSize(delta) + varintSize(int64(r.Delta)) + len(r.rest)
	dst = appendVarint(dst, int64(size))
	dst = append(dst, byte(r.Attributes))
	dst = appendVarint(dst, delta)
	dst = appendVarint(dst, int64(r.Delta))
	return append(dst, r.rest...)
}

// Empty writes v without records: what is kept of a producer's last batch, so that its
// sequence is not forgotten, and of a log's last one, so that its end is not.
func (w *Rewriter) Empty(v View) View {
	w.out = append(w.out[:0], v[:HeaderSize]...)
	n := View(w.out)
	be := binary.BigEndian
	be.PutUint32(n[posLength:], HeaderSize-LogOverhead)
	n[posAttributes+1] &^= attrCodec | attrDeleteHorizon
	be.PutUint64(n[posBaseTimestamp:], math.MaxUint64) // NoTimestamp
	be.PutUint32(n[posCount:], 0)
	n.rehash()
	return n
}

// Marker is the kind of a control batch's record.
type Marker int16

// The markers of transactions; the others are not of partitions' logs.
const (
	Abort    Marker = 0
	Commit   Marker = 1
	NoMarker Marker = -1
)

// MarkerOf reads the kind out of a control batch; NoMarker when it has no record.
func MarkerOf(v View) Marker {
	it := v.Records(v.RecordBytes())
	if v.Codec() != None || !it.Next() || len(it.Record.Key) < 4 {
		return NoMarker
	}
	return Marker(binary.BigEndian.Uint16(it.Record.Key[2:])) // behind the key's version
}
