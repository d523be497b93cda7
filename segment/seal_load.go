package segment

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"millrace/internal/vfs"
	"millrace/protocol/batch"
	"millrace/segment/index"
	"millrace/segment/seal"
)

// loadWant is what a job has to know of a segment to read the files beside its log.
type loadWant struct {
	dir                  string
	id                   seal.ID
	offsets, times, sums int64 // entries in the files, −1: unknown
	offsetSum, timeSum   uint32
	size                 int64 // bytes of batches that are in the file
	log                  int64 // and in all
	end                  int64 // offset
	interval             int64
	whole                bool // nothing is written to the files any more
	mend                 bool // something of them is known to be damaged
}

func (g *seg) loadWant() loadWant {
	x, u := &g.index, &g.sums
	w := loadWant{
		dir: g.log.dir(), id: g.sealID(), offsets: x.offsets, times: x.times, sums: u.filed,
		offsetSum: x.offsetSum, timeSum: x.timeSum, size: g.written, log: g.size, end: g.end,
		interval: g.log.cfg.IndexInterval,
		whole: g.finished && len(x.fresh)+len(x.freshT)+len(u.fresh) == 0 &&
			(u.closed || u.unknown),
	}
	if u.unknown {
		w.sums = -1
	}
	w.mend = x.damaged && w.whole
	return w
}

// loadedResult is what the index job answers.
type loadedResult struct {
	offsets []byte
	sums    seal.Table
	broken  []CorruptError // what was built anew, and where the log ended that
	mended  *mended        // the files were written anew
	err     error
}

// mended is a finished segment's files as they are now.
type mended struct {
	offsets, times, sums int64 // entries
	offsetSum, timeSum   uint32
}

func (w *loadWant) path(ending string) string { return segmentPath(w.dir, w.id.Base, ending) }

// run reads .index and .sums. What is damaged or lost is built anew from the log, in
// memory, and in the files too when nobody else writes to them.
func (w *loadWant) run(sh *shared, files vfs.FS) (res loadedResult) {
	var rule string
	if res.offsets, rule, res.err = w.readIndex(files); rule != "" {
		res.broken = append(res.broken, CorruptError{w.path(endIndex), 0, rule})
	}
	if res.err == nil {
		if res.sums, rule, res.err = w.readSums(files); rule != "" {
			res.broken = append(res.broken, CorruptError{w.path(endSums), 0, rule})
		}
	}
	if res.err != nil || len(res.broken) == 0 && !w.mend && (w.sums >= 0 || !w.whole) {
		return res
	}
	res.err = w.rebuild(sh, files, &res)
	return res
}

// read is a file's part that is known; rule says why there is none.
func (w *loadWant) read(files vfs.FS, ending string, want int64) (b []byte, rule string, err error) {
	if want == 0 {
		return nil, "", nil
	}
	b, err = files.ReadFile(w.path(ending))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, "missing", nil
	case err != nil:
		return nil, "", fmt.Errorf("segment: %w", err)
	case int64(len(b)) < want:
		return nil, "length", nil
	}
	return b[:want], "", nil
}

func (w *loadWant) readIndex(files vfs.FS) (b []byte, rule string, err error) {
	b, rule, err = w.read(files, endIndex, w.offsets*offsetEntrySize)
	if rule != "" || err != nil {
		return nil, rule, err
	}
	if w.sums >= 0 && seal.Sum(0, b) != w.offsetSum {
		return nil, "crc", nil
	}
	x, err := index.ParseOffsets(w.id.Base, b, w.log)
	if err != nil {
		return nil, "order", nil
	}
	return x.Bytes(), "", nil
}

func (w *loadWant) readSums(files vfs.FS) (t seal.Table, rule string, err error) {
	if w.sums <= 0 {
		return t, "", nil
	}
	b, rule, err := w.read(files, endSums, seal.HeaderSize+w.sums*seal.EntrySize)
	if rule == "" && err == nil {
		t, rule = seal.Parse(w.id, b, w.sums)
	}
	return t, rule, err
}

// readTimes looks ts up in .timeindex: where to begin looking for a record with at
// least that time. A damaged one only costs a longer search.
func (w *loadWant) readTimes(files vfs.FS, ts int64) (from int64, rule string, err error) {
	b, rule, err := w.read(files, endTime, w.times*timeEntrySize)
	if rule != "" || err != nil {
		return w.id.Base, rule, err
	}
	if w.sums >= 0 && seal.Sum(0, b) != w.timeSum {
		return w.id.Base, "crc", nil
	}
	x, err := index.ParseTimes(w.id.Base, b, w.end)
	if err != nil {
		return w.id.Base, "order", nil
	}
	_, from = x.Lookup(ts - 1) // the last one below: an equal one may have equals before it
	return from, "", nil
}

// rebuild walks the log, whose batches are believed if their CRC is right and their
// offsets grow, and makes anew what stands beside it.
func (w *loadWant) rebuild(sh *shared, files vfs.FS, res *loadedResult) error {
	x, sums := index.NewBuilder(w.id.Base, w.interval), seal.NewBuilder(w.id)
	valid, err := walkFile(files, w.path(endLog), w.id.Base, w.size,
		func(v batch.View, pos int64) {
			x.Batch(v.NextOffset()-1, v.MaxTimestamp(), pos, int64(len(v)))
			sums.Batch(v, v.NextOffset())
		})
	var bad *CorruptError
	if errors.As(err, &bad) {
		res.broken = append(res.broken, *bad)
	} else if err != nil {
		return err
	} else if w.whole && valid < w.size {
		res.broken = append(res.broken, CorruptError{w.path(endLog), valid, "length"})
	}
	if !w.whole || valid < w.size {
		res.offsets, res.sums = x.Offsets.Bytes(), sums.Table()
		return nil
	}
	x.Seal()
	offsets, times := x.Offsets.Bytes(), x.Times.Bytes()
	file := sums.File(offsets, times, w.end)
	err = sh.inDir(files, w.dir, w.id.Topic, false, func() error {
		for _, f := range []struct {
			ending string
			b      []byte
		}{{endIndex, offsets}, {endTime, times}, {endSums, file}} {
			if err := files.WriteFile(w.path(f.ending), f.b); err != nil {
				return err
			}
		}
		return nil
	})
	res.offsets, res.sums = offsets, sums.Table()
	if err != nil {
		return nil // in memory it is right; the next one who loads it tries again
	}
	res.mended = &mended{
		offsets: int64(x.Offsets.Entries()), times: int64(x.Times.Entries()),
		sums: int64(res.sums.Len()), offsetSum: seal.Sum(0, offsets), timeSum: seal.Sum(0, times),
	}
	return nil
}

// loaded takes the index job's answer over.
func (s *Shard) loaded(g *seg, res *loadedResult) {
	for i := range res.broken {
		s.o.Log.Warn("a file is damaged or lost: what stands beside the log is built anew from it",
			"err", &res.broken[i], "log", filepath.Base(g.path(endLog)))
	}
	m := res.mended
	if m == nil || g.gone || g.log.dropped {
		return
	}
	x := &g.index
	x.damaged = false
	x.offsets, x.times, x.offsetSum, x.timeSum = m.offsets, m.times, m.offsetSum, m.timeSum
	g.sums = sealing{filed: m.sums, closed: true, run: seal.Running{Begin: g.size}}
}

// mendTimes has a damaged .timeindex built anew.
func (s *Shard) mendTimes(g *seg, rule string) {
	if g.gone || g.log.dropped || g.index.damaged {
		return
	}
	s.o.Log.Warn("a file is damaged or lost: it is built anew from the log once it is sealed",
		"err", &CorruptError{g.path(endTime), 0, rule})
	g.index.damaged = true
	if w := g.loadWant(); w.whole && !g.loading {
		s.rd.dropIndex(g)
		s.loadIndex(g)
	}
}
