package inspect

import (
	"errors"
	"fmt"
	"io/fs"

	"millrace/internal/vfs"
	"millrace/protocol/batch"
	"millrace/segment"
	"millrace/segment/index"
	"millrace/segment/seal"
)

// check walks one segment and holds what stands beside it against it.
type check struct {
	t    *Tool
	s    *segment.SegmentInfo
	name string // of the .log

	next  int64 // offset
	epoch int32

	offsets, times []byte
	table          seal.Table
	piece          int
	run            seal.Running
	summed         bool // sums are known
	stop           error
}

// checkSegment checks a segment's files against what a checkpoint or its own trailer
// says. tail is what of it is not in the file.
func (t *Tool) checkSegment(dir string, s *segment.SegmentInfo, tail []byte) error {
	c := &check{t: t, s: s, name: segment.SegmentFile(dir, s.ID.Base, ".log"), next: s.ID.Base,
		epoch: -1, run: seal.Begin(s.ID, 0)}
	if !s.OnDisk && len(tail) == 0 && s.Size == 0 {
		return nil
	}
	if err := c.beside(dir); err != nil {
		return err
	}
	in := &content{cut: s.Size - int64(len(tail)), tail: tail}
	if in.cut > 0 || s.OnDisk { // a start wants the file, whatever of it is in the checkpoint
		f, err := t.files.Open(c.name, vfs.ReadOnly, false)
		if errors.Is(err, fs.ErrNotExist) {
			return t.bad(c.name, 0, "missing")
		}
		if err != nil {
			return fmt.Errorf("inspect: %w", err)
		}
		defer f.Close()
		size, err := f.Size()
		if err != nil {
			return fmt.Errorf("inspect: %w", err)
		}
		if size < in.cut {
			return t.bad(c.name, size, "length")
		}
		in.f = f
	}
	valid, err := segment.Walk(in, c.name, s.ID.Base, s.Size, c.batch)
	if c.stop != nil {
		return c.stop
	}
	if err != nil {
		return t.badErr(err)
	}
	return c.end(valid)
}

// beside reads the index files and the sums, as far as they count.
func (c *check) beside(dir string) error {
	known := c.s.Sums >= 0
	for _, f := range []struct {
		ending string
		want   int64
		sum    uint32
		into   *[]byte
	}{
		{".index", c.s.Offsets * index.OffsetEntrySize, c.s.OffsetSum, &c.offsets},
		{".timeindex", c.s.Times * index.TimeEntrySize, c.s.TimeSum, &c.times},
	} {
		b, err := c.part(segment.SegmentFile(dir, c.s.ID.Base, f.ending), f.want)
		if err != nil {
			return err
		}
		if known && b != nil && seal.Sum(0, b) != f.sum {
			if err := c.t.bad(segment.SegmentFile(dir, c.s.ID.Base, f.ending), 0, "crc"); err != nil {
				return err
			}
			b = nil
		}
		*f.into = b
	}
	if !known {
		return c.t.note(c.name, "has no sums: what the batches' CRC leaves out is not checked")
	}
	c.summed = true
	if c.s.Sums == 0 {
		return nil
	}
	name := segment.SegmentFile(dir, c.s.ID.Base, ".sums")
	b, err := c.part(name, seal.HeaderSize+c.s.Sums*seal.EntrySize)
	if err != nil {
		return err
	}
	c.summed = false
	if b == nil {
		return nil
	}
	table, rule := seal.Parse(c.s.ID, b, c.s.Sums)
	if rule != "" {
		return c.t.bad(name, 0, rule)
	}
	c.table, c.summed = table, true
	return nil
}

// part is the beginning of a file that counts; nil after a finding.
func (c *check) part(name string, want int64) ([]byte, error) {
	if want == 0 {
		return nil, nil
	}
	b, err := c.t.read(name)
	if err != nil || b == nil {
		return nil, err
	}
	if int64(len(b)) < want {
		return nil, c.t.bad(name, int64(len(b)), "length")
	}
	return b[:want], nil
}

// batch checks one batch; what it finds does not end the walk.
func (c *check) batch(v batch.View, pos int64) error {
	c.stop = c.fits(v, pos)
	if c.stop == nil {
		c.stop = c.indexed(v, pos)
	}
	if c.stop == nil && c.summed {
		c.stop = c.sum(v, pos)
	}
	c.next = v.NextOffset()
	return c.stop
}

func (c *check) fits(v batch.View, pos int64) error {
	switch {
	case !c.s.Gaps && v.BaseOffset() != c.next:
		return c.t.bad(c.name, pos, fmt.Sprintf("offset %d follows %d", v.BaseOffset(), c.next-1))
	case v.NextOffset() > c.s.End:
		return c.t.bad(c.name, pos, fmt.Sprintf("offset %d is behind the segment's end", v.LastOffset()))
	case v.LeaderEpoch() < c.epoch:
		return c.t.bad(c.name, pos, fmt.Sprintf("epoch %d follows %d", v.LeaderEpoch(), c.epoch))
	}
	c.epoch = v.LeaderEpoch()
	return nil
}

// indexed checks the index entries that name this batch, or a place within it.
func (c *check) indexed(v batch.View, pos int64) error {
	for len(c.offsets) > 0 {
		e := offsetEntry(c.offsets, c.s.ID.Base, 0)
		if int64(e.Pos) >= pos+int64(len(v)) {
			break
		}
		at := c.s.Offsets*index.OffsetEntrySize - int64(len(c.offsets))
		c.offsets = c.offsets[index.OffsetEntrySize:]
		if int64(e.Pos) != pos || e.Offset != v.LastOffset() {
			return c.t.bad(c.file(".index"), at, fmt.Sprintf("no batch ends with offset %d at %d", e.Offset, e.Pos))
		}
	}
	for len(c.times) > 0 {
		e := timeEntry(c.times, c.s.ID.Base, 0)
		if e.Offset > v.LastOffset() {
			break
		}
		at := c.s.Times*index.TimeEntrySize - int64(len(c.times))
		c.times = c.times[index.TimeEntrySize:]
		if e.Offset != v.LastOffset() && !c.s.Gaps || e.Offset == v.LastOffset() && e.Time != v.MaxTimestamp() {
			return c.t.bad(c.file(".timeindex"), at,
				fmt.Sprintf("offset %d does not have timestamp %d", e.Offset, e.Time))
		}
	}
	return nil
}

func (c *check) file(ending string) string { return c.name[:len(c.name)-len(".log")] + ending }

// sum checks the piece that the batch ends, if it ends one.
func (c *check) sum(v batch.View, pos int64) error {
	c.run.Batch(v)
	end := pos + int64(len(v))
	var p seal.Piece
	switch n := c.table.Len(); {
	case c.piece < n:
		p = c.table.At(c.piece)
	case c.piece < n+len(c.s.Pieces):
		p = c.s.Pieces[c.piece-n]
	default:
		return nil
	}
	if end < p.End {
		return nil
	}
	c.piece++
	right := end == p.End && c.run.Sum == p.Sum
	c.run = seal.Begin(c.s.ID, p.End)
	if right {
		return nil
	}
	if end != p.End {
		c.summed = false
	}
	return c.t.bad(c.name, p.Begin, fmt.Sprintf("sum of bytes %d to %d", p.Begin, p.End))
}

// end checks what must be true of the whole segment.
func (c *check) end(valid int64) error {
	t := c.t
	switch {
	case valid < c.s.Size:
		return t.bad(c.name, valid, "length")
	case c.next != c.s.End && !c.s.Gaps:
		return t.bad(c.name, valid, fmt.Sprintf("ends before offset %d, not %d", c.next, c.s.End))
	case len(c.offsets) > 0:
		return t.bad(c.file(".index"), 0, "entries behind the log's end")
	case len(c.times) > 0:
		return t.bad(c.file(".timeindex"), 0, "entries behind the log's end")
	case c.summed && c.piece < c.table.Len()+len(c.s.Pieces):
		return t.bad(c.file(".sums"), 0, "sums behind the log's end")
	case c.summed && !c.s.Sealed && c.s.Open != c.run:
		return t.bad(c.name, c.run.Begin, "sum of the open piece")
	}
	return nil
}
