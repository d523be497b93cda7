package compact

import (
	"errors"
	"fmt"
	"io"

	"millrace/internal/invariant"
	"millrace/protocol/batch"
)

// File is an open .log of a source.
type File interface {
	io.ReaderAt
	io.Closer
}

// DamageError says where a source is not what it should be.
type DamageError struct {
	Base int64 // of the source
	Pos  int64
	Rule string
}

// Error is part of error.
func (e *DamageError) Error() string {
	return fmt.Sprintf("compact: segment %d at %d: %s", e.Base, e.Pos, e.Rule)
}

// walker reads one source's batches in order.
type walker struct {
	src  Source
	f    File
	pos  int64 // of the next batch
	last int64 // offset behind the last batch
	buf  []byte
	from int64 // what is in buf[:n]
	n    int
	read int64 // bytes taken from the file since the last look
}

func (w *walker) begin(src Source, f File) {
	w.src, w.f, w.pos, w.from, w.n, w.last = src, f, 0, 0, 0, src.Base
}

func (w *walker) end() error {
	if w.f == nil {
		return nil
	}
	f := w.f
	w.f = nil
	return f.Close()
}

// next is the next batch, nil at the end. It is valid until the next call.
func (w *walker) next() (batch.View, error) {
	if w.pos >= w.src.Size {
		return nil, nil
	}
	v, _, err := batch.Next(w.window())
	if errors.Is(err, batch.ErrShort) {
		if err := w.fill(); err != nil {
			return nil, err
		}
		v, _, err = batch.Next(w.window())
	}
	switch {
	case err != nil:
		return nil, w.damage(err.Error())
	case v.BaseOffset() < w.last || v.LastOffsetDelta() < 0 || v.NextOffset() > w.src.End:
		return nil, w.damage("offset")
	case v.Count() < 0 || int64(v.Count()) > int64(v.LastOffsetDelta())+1:
		return nil, w.damage("count")
	case !v.CheckCRC():
		return nil, w.damage("crc")
	}
	w.pos += int64(len(v))
	w.last = v.NextOffset()
	return v, nil
}

func (w *walker) damage(rule string) error { return &DamageError{w.src.Base, w.pos, rule} }

func (w *walker) window() []byte {
	if w.pos < w.from || w.pos >= w.from+int64(w.n) {
		return nil
	}
	return w.buf[w.pos-w.from : w.n]
}

// fill reads from pos on as much as the buffer holds, and at least one batch (I4).
func (w *walker) fill() error {
	left := w.src.Size - w.pos
	if left < batch.HeaderSize {
		return w.damage("length")
	}
	if err := w.readAt(min(left, int64(len(w.buf)))); err != nil {
		return err
	}
	size := int64(batch.View(w.buf[:batch.HeaderSize]).Length()) + batch.LogOverhead
	if size < batch.HeaderSize || size > left {
		return w.damage("length")
	}
	if size > int64(w.n) {
		w.buf = make([]byte, size)
		return w.readAt(size)
	}
	return nil
}

func (w *walker) readAt(n int64) error {
	invariant.Check(n >= batch.HeaderSize && n <= int64(len(w.buf)))
	k, err := w.f.ReadAt(w.buf[:n], w.pos)
	if err != nil && !(errors.Is(err, io.EOF) && int64(k) == n) {
		if errors.Is(err, io.EOF) {
			return w.damage("length")
		}
		return fmt.Errorf("compact: read segment %d: %w", w.src.Base, err)
	}
	w.from, w.n = w.pos, k
	w.read += int64(k)
	return nil
}
