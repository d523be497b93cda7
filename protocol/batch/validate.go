package batch

import (
	"encoding/binary"
	"errors"

	"millrace/protocol"
)

// Limits are what one Produce request and its topic's configuration allow.
type Limits struct {
	MaxBytes      int   // max.message.bytes
	Version       int16 // of the Produce request: zstd needs 7
	Now           int64 // ms
	BeforeMax     int64 // message.timestamp.before.max.ms
	AfterMax      int64 // message.timestamp.after.max.ms
	LogAppendTime bool  // message.timestamp.type: clients' times are not looked at
	Compacted     bool  // cleanup.policy has compact: every record needs a key (Inspect)
}

// zstdVersion is the first Produce version whose clients know zstd (KIP-110).
const zstdVersion = 7

// One takes the single batch that a partition of a Produce request must hold. None,
// several, or an old format are InvalidRecord, and bytes behind it that are not a
// whole batch are left out, as Kafka does. It looks at length and magic only;
// Validate does the rest.
func One(records []byte, l *Limits) (View, protocol.Code) {
	v, rest, err := Next(records)
	switch {
	case err == ErrLength:
		return nil, protocol.CorruptMessage
	case err == ErrMagic && records[posMagic] > Magic2:
		return nil, protocol.CorruptMessage
	case err != nil:
		return nil, protocol.InvalidRecord
	case v.Codec() == Zstd && l.Version < zstdVersion:
		return nil, protocol.UnsupportedCompressionType
	}
	if _, _, err = Next(rest); err != ErrShort {
		return nil, protocol.InvalidRecord
	}
	return v, protocol.None
}

// Validate checks one batch of a client as Kafka's LogValidator does, without
// inflating: size, CRC, counts, flags, producer fields and times. Of records that are
// not compressed it looks at lengths and offsets, so that no header lies about them.
// Where Kafka takes what no client sends and repairs it (a delete horizon, the flag of
// LogAppendTime, times and producers below −1), it is refused: batches are stored as
// they came.
func Validate(v View, l *Limits) protocol.Code {
	switch {
	case v.BaseOffset() != 0:
		return protocol.InvalidRecord
	case len(v) > l.MaxBytes:
		return protocol.MessageTooLarge
	case !v.CheckCRC():
		return protocol.CorruptMessage
	case v.Codec() >= codecCount:
		return protocol.UnsupportedCompressionType
	case v.Codec() == Zstd && l.Version < zstdVersion:
		return protocol.UnsupportedCompressionType
	case v.Count() <= 0 || v.LastOffsetDelta() != v.Count()-1:
		return protocol.InvalidRecord
	case v.IsControl() || v[posAttributes+1]&attrDeleteHorizon != 0:
		return protocol.InvalidRecord
	case v.IsTransactional():
		return protocol.TransactionalIdAuthorizationFailed // not served, and fatal
	case v.ProducerID() < NoProducer:
		return protocol.InvalidRecord
	case v.ProducerID() != NoProducer && (v.BaseSequence() < 0 || v.ProducerEpoch() < 0):
		return protocol.InvalidRecord
	case v.Codec() == None && !plainFits(v.RecordBytes(), v.Count()):
		return protocol.InvalidRecord
	}
	if l.LogAppendTime {
		return protocol.None
	}
	if v.IsLogAppendTime() {
		return protocol.InvalidTimestamp
	}
	if !l.fits(v.BaseTimestamp()) || !l.fits(v.MaxTimestamp()) {
		return protocol.InvalidTimestamp
	}
	return protocol.None
}

// plainFits says whether b is exactly count records whose offsets are 0, 1, 2 …
// relative to the batch. Keys, values and headers are not looked at.
func plainFits(b []byte, count int32) bool {
	if int64(count)*minRecord > int64(len(b)) {
		return false
	}
	at := 0
	for i := range uint64(count) {
		size, p := unsignedAt(b, at)
		end := p + int(size>>1)
		if size&1 != 0 || size < 2*(minRecord-1) || end < p || end > len(b) {
			return false
		}
		p++ // attributes
		last := min(p+10, end)
		for p < last && b[p] >= 0x80 {
			p++ // timestamp
		}
		if delta, _ := unsignedAt(b[:end], p+1); p == last || delta != i<<1 {
			return false
		}
		at = end
	}
	return at == len(b)
}

// unsignedAt decodes a varint before its zigzag, and says where it ends. Without one it
// is a number that no length and no offset is.
func unsignedAt(b []byte, at int) (u uint64, end int) {
	if at+1 < len(b) {
		c, d := uint64(b[at]), uint64(b[at+1])
		if c < 0x80 {
			return c, at + 1
		}
		if d < 0x80 {
			return c&0x7f | d<<7, at + 2
		}
	}
	return longUnsignedAt(b, at)
}

//go:noinline
func longUnsignedAt(b []byte, at int) (u uint64, end int) {
	if at < len(b) {
		if u, n := binary.Uvarint(b[at:]); n > 0 && u < 1<<40 {
			return u, at + n
		}
	}
	return 1, len(b) + 1
}

// minRecord is the smallest record: a byte each for length, attributes, timestamp,
// offset, no key, no value, no headers.
const minRecord = 7

// fits says whether a client's time lies inside the topic's bounds. Differences
// that overflow are out of them, unless the bound is the greatest, which is none.
func (l *Limits) fits(millis int64) bool {
	switch {
	case millis == NoTimestamp:
		return true
	case millis < NoTimestamp:
		return false
	case millis <= l.Now:
		return l.Now-millis <= l.BeforeMax
	}
	return millis-l.Now <= l.AfterMax
}

// RecordFault names the record because of which a batch is refused.
type RecordFault struct {
	Index   int32
	Message string
}

// Inspect looks at every record of a batch that Validate let through, inflating at
// most limit bytes: structure, offsets, and, where the topic asks for them, keys and
// times. It allocates and belongs off the cores.
func Inspect(v View, l *Limits, limit int) (protocol.Code, []RecordFault) {
	plain, err := v.Inflate(nil, limit)
	if err != nil {
		return inflateCode(err), nil
	}
	var faults []RecordFault
	code := protocol.None
	_, bad := checkRecords(v, plain, func(r *Record) {
		switch {
		case l.Compacted && r.Key == nil:
			code = protocol.InvalidRecord
			faults = append(faults, RecordFault{r.Delta,
				"Compacted topic cannot accept message without key in topic partition."})
		case !l.LogAppendTime && !l.fits(r.Timestamp) && code == protocol.None:
			code = protocol.InvalidTimestamp
			faults = append(faults, RecordFault{r.Delta, "Timestamp is out of range."})
		}
	})
	if bad != protocol.None {
		return bad, nil
	}
	return code, faults
}

// checkRecords walks plain records and returns the greatest time. Their offsets must
// be 0, 1, 2 … relative to the batch, since consumers go by them.
func checkRecords(v View, plain []byte, each func(*Record)) (greatest int64, c protocol.Code) {
	greatest = NoTimestamp
	it := v.Records(plain)
	for i := int32(0); it.Next(); i++ {
		if it.Record.Delta != i {
			return 0, protocol.InvalidRecord
		}
		greatest = max(greatest, it.Record.Timestamp)
		if each != nil {
			each(&it.Record)
		}
	}
	if it.Err() != nil {
		return 0, protocol.InvalidRecord
	}
	return greatest, protocol.None
}

func inflateCode(err error) protocol.Code {
	switch {
	case errors.Is(err, ErrTooBig):
		return protocol.MessageTooLarge
	case errors.Is(err, ErrCodec):
		return protocol.UnsupportedCompressionType
	}
	return protocol.CorruptMessage
}
