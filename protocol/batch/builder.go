package batch

import (
	"encoding/binary"
	"math"

	"millrace/internal/invariant"
)

// Header is one header of a record.
type Header struct {
	Key   []byte
	Value []byte // nil is null
}

// Options describe the batch that a Builder makes. The zero value is a plain batch
// at offset 0 without producer.
type Options struct {
	Codec         Codec
	Level         int // of the codec; 0 is its default
	BaseOffset    int64
	LeaderEpoch   int32
	LogAppendTime bool
	Transactional bool
	Control       bool
	Idempotent    bool // the next three count only then
	ProducerID    int64
	ProducerEpoch int16
	BaseSequence  int32
}

// Builder makes one batch of records. Its memory is reused after Reset. Only Finish
// with a codec allocates beside growth.
type Builder struct {
	o     Options
	buf   []byte // header and plain records
	out   []byte // header and compressed records
	count int32
	first int64
	max   int64
}

// Reset begins a batch.
func (b *Builder) Reset(o Options) {
	b.o = o
	if cap(b.buf) < HeaderSize {
		b.buf = make([]byte, 0, 512)
	}
	b.buf = b.buf[:HeaderSize]
	b.count = 0
	b.first, b.max = NoTimestamp, NoTimestamp
}

// Add appends one record with its time in ms. A nil key or value is null, as is a
// header's nil value. Its bytes are copied. Its offset is one after the last.
func (b *Builder) Add(millis int64, key, value []byte, headers []Header) {
	invariant.Check(len(b.buf) >= HeaderSize) // Reset came first
	invariant.Check(b.count < math.MaxInt32)
	if b.count == 0 {
		b.first = millis
	}
	b.max = max(b.max, millis)
	size := 1 + varintSize(millis-b.first) + varintSize(int64(b.count)) +
		bytesSize(key) + bytesSize(value) + varintSize(int64(len(headers)))
	for i := range headers {
		size += varintSize(int64(len(headers[i].Key))) + len(headers[i].Key) +
			bytesSize(headers[i].Value)
	}
	p := appendVarint(b.buf, int64(size))
	start := len(p)
	p = append(p, 0) // attributes: none are defined
	p = appendVarint(p, millis-b.first)
	p = appendVarint(p, int64(b.count))
	p = appendBytes(p, key)
	p = appendBytes(p, value)
	p = appendVarint(p, int64(len(headers)))
	for i := range headers {
		p = appendVarint(p, int64(len(headers[i].Key)))
		p = append(p, headers[i].Key...)
		p = appendBytes(p, headers[i].Value)
	}
	invariant.Check(len(p)-start == size)
	b.buf = p
	b.count++
}

func bytesSize(b []byte) int {
	if b == nil {
		return 1
	}
	return varintSize(int64(len(b))) + len(b)
}

func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return appendVarint(dst, -1)
	}
	dst = appendVarint(dst, int64(len(b)))
	return append(dst, b...)
}

// Count is how many records were added.
func (b *Builder) Count() int { return int(b.count) }

// Size is the batch's bytes so far, before compression.
func (b *Builder) Size() int { return len(b.buf) }

// Finish writes the header and returns the batch, valid until the next Reset.
// There must be a record.
func (b *Builder) Finish() (View, error) {
	invariant.Check(b.count > 0)
	v := View(b.buf)
	if b.o.Codec != None {
		level := b.o.Level
		if level == 0 {
			level = DefaultLevel
		}
		out, err := deflate(append(b.out[:0], b.buf[:HeaderSize]...), b.buf[HeaderSize:],
			b.o.Codec, level)
		if err != nil {
			return nil, err
		}
		b.out, v = out, View(out)
	}
	b.header(v)
	return v, nil
}

func (b *Builder) header(v View) {
	attributes := uint16(b.o.Codec)
	if b.o.LogAppendTime {
		attributes |= attrLogAppendTime
	}
	if b.o.Transactional {
		attributes |= attrTransactional
	}
	if b.o.Control {
		attributes |= attrControl
	}
	id, epoch, sequence := int64(NoProducer), int16(-1), int32(-1)
	if b.o.Idempotent {
		id, epoch, sequence = b.o.ProducerID, b.o.ProducerEpoch, b.o.BaseSequence
	}
	be := binary.BigEndian
	be.PutUint64(v, uint64(b.o.BaseOffset))
	be.PutUint32(v[posLength:], uint32(len(v)-LogOverhead))
	be.PutUint32(v[posLeaderEpoch:], uint32(b.o.LeaderEpoch))
	v[posMagic] = Magic2
	be.PutUint16(v[posAttributes:], attributes)
	be.PutUint32(v[posLastDelta:], uint32(b.count-1))
	be.PutUint64(v[posBaseTimestamp:], uint64(b.first))
	be.PutUint64(v[posMaxTimestamp:], uint64(b.max))
	be.PutUint64(v[posProducerID:], uint64(id))
	be.PutUint16(v[posProducerEpoch:], uint16(epoch))
	be.PutUint32(v[posBaseSequence:], uint32(sequence))
	be.PutUint32(v[posCount:], uint32(b.count))
	v.rehash()
}
