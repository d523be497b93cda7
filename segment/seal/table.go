package seal

import (
	"hash/crc32"
	"math"
	"sort"

	"millrace/internal/invariant"
)

// Sizes of the parts of the file.
const (
	HeaderSize  = 48
	EntrySize   = 16
	TrailerSize = 48

	headerMagic  = 0x4d55534d // "MSUM"
	trailerMagic = 0x444e454d // "MEND"
	version      = 1
)

// Header is how the file of a segment begins.
func Header(id ID) []byte {
	b := make([]byte, HeaderSize)
	le.PutUint32(b, headerMagic)
	le.PutUint16(b[4:], version)
	copy(b[8:], id.Topic[:])
	le.PutUint32(b[24:], uint32(id.Partition))
	le.PutUint64(b[32:], uint64(id.Base))
	le.PutUint32(b[44:], crc32.Checksum(b[:44], castagnoli))
	return b
}

// headCRC is what the checks of a segment's entries begin with.
func headCRC(id ID) uint32 { return le.Uint32(Header(id)[44:]) }

// AppendEntries appends pieces in file form; the first is the segment's n-th.
func AppendEntries(b []byte, id ID, n int64, pieces []Piece) []byte {
	seed := headCRC(id)
	for i := range pieces {
		p := &pieces[i]
		invariant.Check(p.End <= math.MaxUint32 && p.Next-id.Base <= math.MaxUint32)
		at := len(b)
		b = le.AppendUint32(b, uint32(p.End))
		b = le.AppendUint32(b, uint32(p.Next-id.Base))
		b = le.AppendUint32(b, p.Sum)
		b = le.AppendUint32(b, entryCheck(seed, n+int64(i), b[at:]))
	}
	return b
}

func entryCheck(seed uint32, n int64, entry []byte) uint32 {
	var num [8]byte
	le.PutUint64(num[:], uint64(n))
	return crc32.Update(crc32.Update(seed, castagnoli, num[:]), castagnoli, entry[:12])
}

// Trailer is what a sealed segment's file ends with.
type Trailer struct {
	Entries            int64 // pieces
	Size               int64 // of the .log
	Next               int64 // offset behind the segment
	Index, Times       int64 // bytes of .index and .timeindex
	IndexSum, TimesSum uint32
}

// AppendTrailer appends it in file form.
func AppendTrailer(b []byte, id ID, t *Trailer) []byte {
	var f [TrailerSize]byte
	le.PutUint32(f[:], trailerMagic)
	le.PutUint32(f[4:], uint32(t.Entries))
	le.PutUint64(f[8:], uint64(t.Size))
	le.PutUint64(f[16:], uint64(t.Next))
	le.PutUint32(f[24:], uint32(t.Index))
	le.PutUint32(f[28:], uint32(t.Times))
	le.PutUint32(f[32:], t.IndexSum)
	le.PutUint32(f[36:], t.TimesSum)
	le.PutUint32(f[44:], crc32.Update(headCRC(id), castagnoli, f[:44]))
	return append(b, f[:]...)
}

// Table is the sums of one segment that are in its file.
type Table struct {
	entries []byte // checked
	base    int64
}

// Parse takes the first n entries of a file over; it says which rule they break, ""
// for none. What follows them is not looked at (I3).
func Parse(id ID, b []byte, n int64) (t Table, rule string) {
	if n < 0 || n > int64(len(b)) || int64(len(b)) < HeaderSize+n*EntrySize {
		return t, "length"
	}
	if rule = checkHeader(id, b); rule != "" {
		return t, rule
	}
	seed := headCRC(id)
	e := b[HeaderSize : HeaderSize+n*EntrySize]
	end, next := uint32(0), uint32(0)
	for i := range n {
		x := e[i*EntrySize:]
		if le.Uint32(x[12:]) != entryCheck(seed, i, x) {
			return t, "entry"
		}
		if le.Uint32(x) <= end || le.Uint32(x[4:]) < next { // I1
			return t, "order"
		}
		end, next = le.Uint32(x), le.Uint32(x[4:])
	}
	return Table{entries: e[:len(e):len(e)], base: id.Base}, ""
}

// HeaderID is the segment that a file says it is of; false when it is none.
func HeaderID(b []byte) (id ID, ok bool) {
	if len(b) < HeaderSize {
		return id, false
	}
	copy(id.Topic[:], b[8:])
	id.Partition = int32(le.Uint32(b[24:]))
	id.Base = int64(le.Uint64(b[32:]))
	return id, checkHeader(id, b) == ""
}

func checkHeader(id ID, b []byte) string {
	want := Header(id)
	switch {
	case le.Uint32(b) != headerMagic:
		return "magic"
	case le.Uint16(b[4:]) > version:
		return "version"
	case crc32.Checksum(b[:44], castagnoli) != le.Uint32(b[44:]):
		return "header crc"
	case string(b[:HeaderSize]) != string(want):
		return "segment" // of another one
	}
	return ""
}

// ParseSealed takes the whole file of a sealed segment over.
func ParseSealed(id ID, b []byte) (t Table, tr Trailer, rule string) {
	n := int64(len(b)) - HeaderSize - TrailerSize
	if n < 0 || n%EntrySize != 0 {
		return t, tr, "length"
	}
	n /= EntrySize
	if t, rule = Parse(id, b, n); rule != "" {
		return t, tr, rule
	}
	if tr, rule = ParseTrailer(id, b, n); rule != "" {
		return t, tr, rule
	}
	if last := t.At(t.Len() - 1); t.Len() > 0 && (last.End != tr.Size || last.Next > tr.Next) {
		return t, tr, "trailer"
	}
	return t, tr, ""
}

// ParseTrailer reads what follows n entries.
func ParseTrailer(id ID, b []byte, n int64) (t Trailer, rule string) {
	if n < 0 || n > int64(len(b)) || int64(len(b)) < HeaderSize+n*EntrySize+TrailerSize {
		return t, "length"
	}
	f := b[HeaderSize+n*EntrySize:][:TrailerSize]
	switch {
	case le.Uint32(f) != trailerMagic:
		return t, "magic"
	case le.Uint32(f[44:]) != crc32.Update(headCRC(id), castagnoli, f[:44]):
		return t, "trailer crc"
	case int64(le.Uint32(f[4:])) != n:
		return t, "entries"
	}
	return Trailer{
		Entries: n, Size: int64(le.Uint64(f[8:])), Next: int64(le.Uint64(f[16:])),
		Index: int64(le.Uint32(f[24:])), Times: int64(le.Uint32(f[28:])),
		IndexSum: le.Uint32(f[32:]), TimesSum: le.Uint32(f[36:]),
	}, ""
}

// Len is the number of pieces.
func (t *Table) Len() int { return len(t.entries) / EntrySize }

// At is the i-th piece; of −1 it is the empty one before the first.
func (t *Table) At(i int) (p Piece) {
	p.Next = t.base
	if i > 0 {
		p.Begin = int64(le.Uint32(t.entries[(i-1)*EntrySize:]))
	}
	if i >= 0 {
		x := t.entries[i*EntrySize:]
		p.End, p.Next = int64(le.Uint32(x)), t.base+int64(le.Uint32(x[4:]))
		p.Sum = le.Uint32(x[8:])
	}
	return p
}

// End is where the pieces of the table end.
func (t *Table) End() int64 {
	p := t.At(t.Len() - 1)
	return p.End
}

// Find is the piece that holds a position; false when that is behind the last.
func (t *Table) Find(pos int64) (Piece, bool) {
	n := t.Len()
	i := sort.Search(n, func(i int) bool { return int64(le.Uint32(t.entries[i*EntrySize:])) > pos })
	if i == n {
		return Piece{}, false
	}
	return t.At(i), true
}

// FindOffset is the piece that holds an offset, or the one before which it would be;
// false when that is behind the last.
func (t *Table) FindOffset(offset int64) (Piece, bool) {
	n := t.Len()
	i := sort.Search(n, func(i int) bool {
		return t.base+int64(le.Uint32(t.entries[i*EntrySize+4:])) > offset
	})
	if i == n {
		return Piece{}, false
	}
	return t.At(i), true
}

// Bytes is what the table takes in memory.
func (t *Table) Bytes() int { return len(t.entries) }

// Sum adds bytes to the checksum of an index file.
func Sum(sum uint32, b []byte) uint32 { return crc32.Update(sum, castagnoli, b) }
