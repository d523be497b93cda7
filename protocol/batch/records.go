package batch

import "errors"

// ErrRecords is record bytes that are not what the batch's header says.
var ErrRecords = errors.New("batch: malformed records")

// Record is one record over its batch's plain bytes.
type Record struct {
	Attributes int8
	Delta      int32 // offset relative to the batch's base
	Offset     int64
	Timestamp  int64  // ms; the batch's own with LogAppendTime
	Key        []byte // nil is null
	Value      []byte // nil is null

	rest        []byte // encoded: from the key to the end
	headers     []byte // encoded
	headerCount int32
	size        int
}

// Size is the record's encoded bytes with its length.
func (r *Record) Size() int { return r.size }

// HeaderCount is how many headers it has.
func (r *Record) HeaderCount() int { return int(r.headerCount) }

// Headers appends the record's headers, over its bytes, to dst.
func (r *Record) Headers(dst []Header) []Header {
	c := cursor{b: r.headers}
	for i := int32(0); i < r.headerCount; i++ {
		key := c.bytes()
		dst = append(dst, Header{Key: key, Value: c.bytes()})
	}
	return dst
}

// Records iterates over the records of one batch:
//
//	for it := v.Records(plain); it.Next(); {
//		use(&it.Record)
//	}
//	if it.Err() != nil …
type Records struct {
	Record Record

	v    View
	c    cursor
	left int32
	base int64
	time int64
}

// Records starts iterating. Plain is the records without compression: RecordBytes
// for codec None, what Inflate returned otherwise.
func (v View) Records(plain []byte) Records {
	return Records{v: v, c: cursor{b: plain}, left: v.Count(), base: v.BaseOffset(),
		time: v.BaseTimestamp()}
}

// Next reads the next record. It is false at the end and at the first error.
func (it *Records) Next() bool {
	if it.left <= 0 || it.c.bad {
		return false
	}
	before := len(it.c.b)
	n := it.c.varint()
	if it.c.bad || n < 0 || int(n) > len(it.c.b) {
		it.c.bad = true
		return false
	}
	c := cursor{b: it.c.b[:n:n]}
	it.c.b = it.c.b[n:]
	it.left--

	r := &it.Record
	r.size = before - len(it.c.b)
	r.Attributes = c.int8()
	r.Timestamp = it.time + c.varlong()
	r.Delta = c.varint()
	r.Offset = it.base + int64(r.Delta)
	r.rest = c.b
	r.Key = c.bytes()
	r.Value = c.bytes()
	r.headerCount = c.varint()
	r.headers = c.b
	if c.bad || !skipHeaders(&c, r.headerCount) {
		it.c.bad = true
		return false
	}
	if it.v.IsLogAppendTime() {
		r.Timestamp = it.v.MaxTimestamp()
	}
	return true
}

// skipHeaders checks the headers and that nothing follows them. A header takes at
// least two bytes, which bounds a lying count.
func skipHeaders(c *cursor, n int32) bool {
	if n < 0 || int64(n)*2 > int64(len(c.b)) {
		return false
	}
	for ; n > 0; n-- {
		if c.bytes() == nil { // a header's key is never null
			return false
		}
		c.bytes()
	}
	return !c.bad && len(c.b) == 0
}

// Err says, after Next was false, whether the records were whole: as many as the
// header counts, and no bytes behind them.
func (it *Records) Err() error {
	if it.c.bad || it.left != 0 || len(it.c.b) != 0 {
		return ErrRecords
	}
	return nil
}
