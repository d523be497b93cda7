package inspect

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"millrace/internal/vfs"
	"millrace/protocol/batch"
	"millrace/segment"
	"millrace/segment/index"
	"millrace/segment/seal"
)

// content is a log: a file, and what of its end stands elsewhere.
type content struct {
	f    vfs.File
	cut  int64 // the file counts up to here
	tail []byte
}

// ReadAt implements io.ReaderAt.
func (c *content) ReadAt(p []byte, off int64) (n int, err error) {
	if off < c.cut {
		n, err = c.f.ReadAt(p[:min(int64(len(p)), c.cut-off)], off)
		if err != nil || n == len(p) {
			return n, err
		}
	}
	if at := off + int64(n) - c.cut; at >= 0 && at < int64(len(c.tail)) {
		n += copy(p[n:], c.tail[at:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// errLimit ends a walk early.
var errLimit = errors.New("enough")

// log shows a .log file of its own.
func (t *Tool) log(path string, base int64) error {
	f, err := t.files.Open(path, vfs.ReadOnly, false)
	if err != nil {
		return fmt.Errorf("inspect: %w", err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return fmt.Errorf("inspect: %w", err)
	}
	if err := t.show(&Head{Type: "file", File: fmt.Sprintf("%s, log starting offset: %d", path, base)}); err != nil {
		return err
	}
	shown := 0
	valid, err := segment.Walk(f, path, base, size, func(v batch.View, pos int64) error {
		if v.LastOffset() < t.o.From || t.o.Verify {
			return nil
		}
		if t.o.Limit > 0 && shown == t.o.Limit {
			return errLimit
		}
		shown++
		return t.batch(path, v, pos)
	})
	if errors.Is(err, errLimit) {
		return nil
	}
	var bad *segment.CorruptError
	if err != nil && !errors.As(err, &bad) {
		return err
	}
	if bad == nil && valid == size {
		return nil
	}
	return t.tornEnd(f, path, valid, size, bad)
}

// tornEnd judges what follows the last whole batch of a file: zeros of an active
// segment, or a batch whose end is in a checkpoint or a journal, are no damage.
func (t *Tool) tornEnd(f vfs.File, path string, valid, size int64, bad *segment.CorruptError) error {
	used, err := lastUsed(f, valid, size)
	if err != nil {
		return err
	}
	if used == valid {
		return t.note(path, "%d bytes of batches, zeros to %d: an active segment", valid, size)
	}
	head := make([]byte, batch.LogOverhead)
	if _, err := f.ReadAt(head, valid); err == nil {
		n := int64(int32(binary.BigEndian.Uint32(head[8:]))) + batch.LogOverhead
		if whole := (used + 4095) &^ 4095; n > batch.HeaderSize && valid+n > whole {
			return t.note(path, "the batch at %d goes on elsewhere: an active segment", valid)
		}
	}
	if bad == nil {
		bad = &segment.CorruptError{File: path, Pos: valid, Rule: "length"}
	}
	return t.badErr(bad)
}

// lastUsed is where the last byte is that is not zero, and one more.
func lastUsed(f io.ReaderAt, from, size int64) (int64, error) {
	buf := make([]byte, 1<<20)
	used := from
	for at := from; at < size; {
		n, err := f.ReadAt(buf[:min(int64(len(buf)), size-at)], at)
		if n == 0 && err != nil {
			return used, fmt.Errorf("inspect: %w", err)
		}
		for i := n - 1; i >= 0; i-- {
			if buf[i] != 0 {
				used = at + int64(i) + 1
				break
			}
		}
		at += int64(n)
	}
	return used, nil
}

// maxInflated bounds what a batch may grow to when records are shown.
const maxInflated = 1 << 30

// batch shows a batch, and its records when deep.
func (t *Tool) batch(file string, v batch.View, pos int64) error {
	if err := t.show(newBatch(v, pos)); err != nil || !t.o.Deep && !t.o.Values {
		return err
	}
	plain := v.RecordBytes()
	if v.Codec() != batch.None {
		var err error
		if plain, err = v.Inflate(nil, maxInflated); err != nil {
			return t.bad(file, pos, "records: "+err.Error())
		}
	}
	it := v.Records(plain)
	for it.Next() {
		if it.Record.Offset < t.o.From {
			continue
		}
		if err := t.show(t.record(v, &it.Record)); err != nil {
			return err
		}
	}
	if it.Err() != nil {
		return t.bad(file, pos, it.Err().Error())
	}
	return nil
}

func (t *Tool) record(v batch.View, r *batch.Record) *Record {
	out := &Record{
		Type: "record", Offset: r.Offset, Time: r.Timestamp, TimeType: "CreateTime",
		Sequence: -1, Key: r.Key, Value: r.Value, bare: !t.o.Values,
	}
	if v.IsLogAppendTime() {
		out.TimeType = "LogAppendTime"
	}
	if base := v.BaseSequence(); base >= 0 {
		out.Sequence = int32((int64(base) + int64(r.Delta)) & 0x7fffffff)
	}
	for _, h := range r.Headers(nil) {
		out.Headers = append(out.Headers, Header{string(h.Key), h.Value})
	}
	return out
}

// index shows a .index file and returns its entries.
func (t *Tool) index(path string, base int64) ([]byte, error) {
	b, err := t.read(path)
	if err != nil || b == nil {
		return nil, err
	}
	x, err := index.ParseOffsets(base, b, 1<<31-1)
	if err != nil {
		return nil, t.bad(path, 0, "order")
	}
	b = x.Bytes()
	for i := 0; i < len(b); i += index.OffsetEntrySize {
		e := offsetEntry(b, base, i)
		if e.Offset < t.o.From {
			continue
		}
		if err := t.show(e); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func offsetEntry(b []byte, base int64, at int) *IndexEntry {
	return &IndexEntry{"index", base + int64(int32(binary.BigEndian.Uint32(b[at:]))),
		int32(binary.BigEndian.Uint32(b[at+4:]))}
}

// timeIndex shows a .timeindex file and returns its entries.
func (t *Tool) timeIndex(path string, base int64) ([]byte, error) {
	b, err := t.read(path)
	if err != nil || b == nil {
		return nil, err
	}
	x, err := index.ParseTimes(base, b, 1<<63-1)
	if err != nil {
		return nil, t.bad(path, 0, "order")
	}
	b = x.Bytes()
	for i := 0; i < len(b); i += index.TimeEntrySize {
		e := timeEntry(b, base, i)
		if e.Offset < t.o.From {
			continue
		}
		if err := t.show(e); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func timeEntry(b []byte, base int64, at int) *TimeEntry {
	return &TimeEntry{"timeindex", int64(binary.BigEndian.Uint64(b[at:])),
		base + int64(int32(binary.BigEndian.Uint32(b[at+8:])))}
}

// sums shows a .sums file and returns its pieces.
func (t *Tool) sums(path string) (*seal.Table, error) {
	b, err := t.read(path)
	if err != nil || b == nil {
		return nil, err
	}
	id, ok := seal.HeaderID(b)
	if !ok {
		return nil, t.bad(path, 0, "header")
	}
	table, tr, rule := seal.ParseSealed(id, b)
	sealed := rule == ""
	if !sealed { // of an active segment: as many entries as there are
		n := (int64(len(b)) - seal.HeaderSize) / seal.EntrySize
		if table, rule = seal.Parse(id, b, n); rule != "" {
			return nil, t.bad(path, 0, rule)
		}
	}
	for i := range table.Len() {
		p := table.At(i)
		if err := t.show(&Sum{"sum", p.Begin, p.End, p.Next, p.Sum}); err != nil {
			return nil, err
		}
	}
	if sealed {
		err = t.show(&Trailer{"trailer", tr.Size, tr.Next, tr.Entries, tr.Index, tr.IndexSum, tr.Times, tr.TimesSum})
	}
	return &table, err
}

// partition shows a partition's directory of its own: each segment's files, against
// one another when they are sealed.
func (t *Tool) partition(dir string, names []string) error {
	for _, name := range names {
		base, ok := baseOf(name)
		if !ok || !strings.HasSuffix(name, ".log") {
			continue
		}
		if err := t.log(filepath.Join(dir, name), base); err != nil {
			return err
		}
		for _, ending := range []string{".index", ".timeindex", ".sums"} {
			path := segment.SegmentFile(dir, base, ending)
			if _, err := t.files.Stat(path); errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err := t.file(path); err != nil {
				return err
			}
		}
		if err := t.sealed(dir, base); err != nil {
			return err
		}
	}
	return nil
}

// sealed checks a segment by its own trailer, when it has one.
func (t *Tool) sealed(dir string, base int64) error {
	b, err := t.files.ReadFile(segment.SegmentFile(dir, base, ".sums"))
	if err != nil {
		return nil // the one who asked has been told what is missing
	}
	id, ok := seal.HeaderID(b)
	if !ok {
		return nil
	}
	_, tr, rule := seal.ParseSealed(id, b)
	if rule != "" {
		return nil
	}
	return t.checkSegment(dir, &segment.SegmentInfo{
		ID: id, End: tr.Next, Size: tr.Size, Sealed: true, Gaps: true, OnDisk: true,
		Offsets: tr.Index / index.OffsetEntrySize, Times: tr.Times / index.TimeEntrySize,
		Sums: tr.Entries, OffsetSum: tr.IndexSum, TimeSum: tr.TimesSum,
	}, nil)
}
