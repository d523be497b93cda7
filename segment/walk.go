package segment

import (
	"errors"
	"fmt"
	"io"

	"millrace/internal/vfs"
	"millrace/protocol/batch"
)

// walkWindow is how much of a log is in memory while it is walked, at least.
const walkWindow = 1 << 20

// walkFile is Walk over a segment file.
func walkFile(files vfs.FS, name string, base, size int64, each func(v batch.View, pos int64),
) (valid int64, err error) {
	f, err := files.Open(name, vfs.ReadOnly, false)
	if err != nil {
		return 0, fmt.Errorf("segment: open %s: %w", name, err)
	}
	defer f.Close()
	return Walk(f, name, base, size, func(v batch.View, pos int64) error {
		each(v, pos)
		return nil
	})
}

// Walk reads the batches of a log of size bytes whose first offset is base, checks the
// CRC of each and that offsets grow, and returns where they end: at size, before a batch
// that is not whole there, at damage (CorruptError), or where each returns an error.
func Walk(f io.ReaderAt, name string, base, size int64, each func(v batch.View, pos int64) error,
) (valid int64, err error) {
	w := walking{f: f, name: name, size: size, buf: make([]byte, min(size, walkWindow))}
	next := base
	for w.at < size {
		v, err := w.next()
		if v == nil || err != nil {
			return w.at, err
		}
		switch {
		case v.BaseOffset() < next || v.LastOffsetDelta() < 0 || v.NextOffset() <= v.BaseOffset():
			return w.at, &CorruptError{name, w.at, "base offset"}
		case !v.CheckCRC():
			return w.at, &CorruptError{name, w.at, "crc"}
		}
		if err := each(v, w.at); err != nil {
			return w.at, err
		}
		w.at += int64(len(v))
		next = v.NextOffset()
	}
	return w.at, nil
}

// walking reads a log forward in large pieces.
type walking struct {
	f       io.ReaderAt
	name    string
	size    int64
	at      int64 // of the next batch
	buf     []byte
	from, n int64 // of the log, what of it is in buf
}

// next is the batch at w.at, nil when it is not whole before the end.
func (w *walking) next() (batch.View, error) {
	for {
		rest := w.buf[w.at-w.from : w.n]
		v, _, err := batch.Next(rest)
		if err == nil {
			return v, nil
		}
		if !errors.Is(err, batch.ErrShort) {
			return nil, &CorruptError{w.name, w.at, err.Error()}
		}
		need := int64(walkWindow)
		if len(rest) >= batch.LogOverhead {
			whole := int64(batch.View(rest).Length()) + batch.LogOverhead
			if whole > w.size-w.at {
				return nil, nil
			}
			need = max(need, whole)
		}
		need = min(need, w.size-w.at)
		if need <= int64(len(rest)) {
			return nil, nil
		}
		if need > int64(len(w.buf)) {
			w.buf = make([]byte, need)
		}
		k, err := w.f.ReadAt(w.buf[:need], w.at)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("segment: read %s: %w", w.name, err)
		}
		w.from, w.n = w.at, int64(k)
		if int64(k) < need {
			return nil, &CorruptError{w.name, w.at + int64(k), "length"}
		}
	}
}
