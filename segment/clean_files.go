package segment

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"millrace/internal/mutant"
	"millrace/internal/vfs"
	"millrace/protocol"
	"millrace/protocol/batch"
	"millrace/segment/compact"
	"millrace/segment/seal"
)

// endCleaned is the ending of a new segment's files until they take their place:
// BASE.log.GENERATION.cleaned.
const endCleaned = ".cleaned"

func cleanedName(base int64, ending string, gen uint64) string {
	return fmt.Sprintf("%020d%s.%d%s", base, ending, gen, endCleaned)
}

// parseCleanedName splits such a name.
func parseCleanedName(name string) (base int64, ending string, gen uint64, ok bool) {
	rest, found := strings.CutSuffix(name, endCleaned)
	if !found {
		return 0, "", 0, false
	}
	dot := strings.LastIndexByte(rest, '.')
	if dot < 0 {
		return 0, "", 0, true // nothing that a swap waits for
	}
	gen, err := strconv.ParseUint(rest[dot+1:], 10, 64)
	if err != nil {
		return 0, "", 0, true
	}
	rest = rest[:dot]
	if dot = strings.LastIndexByte(rest, '.'); dot < 0 {
		return 0, "", 0, true
	}
	base, err = strconv.ParseInt(rest[:dot], 10, 64)
	if err != nil {
		return 0, "", 0, true
	}
	return base, rest[dot:], gen, true
}

// errOutput marks errors of what a round writes: the medium is not to be trusted.
var errOutput = errors.New("cleaned segment")

// place is where a log's files are: what a job needs to name them.
type logPlace struct {
	sh    *shared
	files vfs.FS
	dir   string
	id    protocol.TopicID
}

func (s *Shard) placeOf(l *Log) logPlace {
	return logPlace{sh: s.shared, files: s.o.FS, dir: l.dir(), id: l.TP.Topic}
}

// in runs f while nobody moves the directory.
func (p *logPlace) in(f func() error) error { return p.sh.inDir(p.files, p.dir, p.id, false, f) }

// open opens a source for reading.
func (p *logPlace) open(src compact.Source) (compact.File, error) {
	var file vfs.File
	err := p.in(func() (err error) {
		file, err = p.files.Open(segmentPath(p.dir, src.Base, endLog), vfs.ReadOnly, false)
		return err
	})
	if err != nil {
		return nil, err
	}
	return file, nil
}

// cleanOutput writes the new segments of a round (compact.Output).
type cleanOutput struct {
	logPlace
	log  protocol.TopicPartition
	gen  uint64
	base int64
	sums cleanSums
	f    vfs.File
	buf  []byte
	at   int64 // of the file's end
}

// cleanBuffer is how much of a new segment is written at once.
const cleanBuffer = 512 << 10

// Begin is part of compact.Output.
func (o *cleanOutput) Begin(base int64) error {
	o.gen, o.base, o.at = o.sh.cleaners.gen.Add(1), base, 0
	o.buf = o.buf[:0]
	o.sums = cleanSums{b: seal.NewBuilder(seal.ID{Topic: o.log.Topic, Partition: o.log.Partition, Base: base})}
	f, err := o.create(endLog)
	if err != nil {
		return err
	}
	o.f = f
	return nil
}

func (o *cleanOutput) create(ending string) (f vfs.File, err error) {
	name := filepath.Join(o.dir, cleanedName(o.base, ending, o.gen))
	err = o.in(func() (err error) {
		f, err = o.files.Open(name, vfs.Create, false)
		return err
	})
	if err == nil {
		err = f.Truncate(0)
	}
	if err != nil {
		return nil, fmt.Errorf("%w %s: %w", errOutput, name, err)
	}
	return f, nil
}

// Batch is part of compact.Output.
func (o *cleanOutput) Batch(v batch.View, _ int64) error {
	o.buf = append(o.buf, v...)
	o.sums.b.Batch(v, v.NextOffset())
	if len(o.buf) < cleanBuffer {
		return nil
	}
	return o.flush()
}

func (o *cleanOutput) flush() error {
	if len(o.buf) > 0 {
		if _, err := o.f.WriteAt(o.buf, o.at); err != nil {
			return fmt.Errorf("%w %s: %w", errOutput, o.f.Name(), err)
		}
	}
	o.at += int64(len(o.buf))
	o.buf = o.buf[:0]
	return nil
}

// End is part of compact.Output.
func (o *cleanOutput) End(g *compact.Group, offsets, times []byte) error {
	err := o.flush()
	if err == nil {
		err = o.finish(o.f, nil)
	}
	o.f = nil
	if err != nil {
		return err
	}
	for _, part := range []struct {
		ending string
		data   []byte
	}{{endIndex, offsets}, {endTime, times}, {endSums, o.sums.file(offsets, times, g.End)}} {
		f, err := o.create(part.ending)
		if err != nil {
			return err
		}
		if err := o.finish(f, part.data); err != nil {
			return err
		}
	}
	return nil
}

// cleanSums are the sums of a new segment.
type cleanSums struct {
	b                  *seal.Builder
	offsetSum, timeSum uint32
}

func (x *cleanSums) file(offsets, times []byte, next int64) []byte {
	x.offsetSum, x.timeSum = seal.Sum(0, offsets), seal.Sum(0, times)
	return x.b.File(offsets, times, next)
}

// describe puts them into the segment's record.
func (x *cleanSums) describe(r *segRecord) {
	pieces, run := x.b.Pieces()
	r.sums, r.sumBegin, r.sum = int64(len(pieces)), run.Begin, run.Sum
	r.offsetSum, r.timeSum = x.offsetSum, x.timeSum
}

// finish writes a file's content, makes it durable and closes it.
func (o *cleanOutput) finish(f vfs.File, data []byte) error {
	var err error
	if len(data) > 0 {
		_, err = f.WriteAt(data, 0)
	}
	if err == nil && !mutant.CleanUnsynced {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("%w %s: %w", errOutput, f.Name(), err)
	}
	return nil
}

// Abort is part of compact.Output. What it cannot remove the next Open does.
func (o *cleanOutput) Abort() {
	if o.f != nil {
		_ = o.f.Close()
		o.f = nil
	}
	_ = o.in(func() error { return removeCleaned(o.files, o.dir, o.base, o.gen) })
}

func removeCleaned(files vfs.FS, dir string, base int64, gen uint64) error {
	for _, ending := range endings {
		err := files.Remove(filepath.Join(dir, cleanedName(base, ending, gen)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// commit makes the names of a group's files durable, and then says in the book that they
// are the log's (the commit point of the swap). If there was no room to say so, the files
// go.
func (p *logPlace) commit(dir string, id [16]byte, tp protocol.TopicPartition, swap *swapRecord,
	change func(*cleanEntry)) error {
	if err := p.in(func() error { return p.files.SyncDir(p.dir) }); err != nil {
		return fmt.Errorf("%w %s: %w", errOutput, p.dir, err)
	}
	err := p.sh.cleaners.note(p.files, dir, id, p.sh, tp, change)
	if err == nil {
		return nil
	}
	if swap != nil && noSpace(err) && !bookHas(p.files, dir, id, tp, swap.gen) {
		_ = p.in(func() error { return removeCleaned(p.files, p.dir, swap.seg.base, swap.gen) })
	}
	return fmt.Errorf("%w: %w", errOutput, err)
}

// put gives the new segment's files their names, and takes those of the old ones away.
// It returns the files that may be removed now. Run again after a failure it goes on.
func (p *logPlace) put(base int64, gen uint64, old []int64) (gone []string, err error) {
	err = p.in(func() error {
		for _, ending := range endings {
			from := filepath.Join(p.dir, cleanedName(base, ending, gen))
			to := segmentPath(p.dir, base, ending)
			if _, err := p.files.Stat(from); errors.Is(err, fs.ErrNotExist) {
				continue // it has its name already
			}
			aside := fmt.Sprintf("%s.%d%s", to, gen, endDeleted)
			err := p.files.Rename(to, aside)
			if err == nil {
				gone = append(gone, aside)
			} else if !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if err := p.files.Rename(from, to); err != nil {
				return err
			}
		}
		if err := p.files.SyncDir(p.dir); err != nil {
			return err
		}
		for _, b := range old {
			for _, ending := range endings {
				name := segmentPath(p.dir, b, ending)
				if err := p.files.Rename(name, name+endDeleted); err == nil {
					gone = append(gone, name+endDeleted)
				}
			}
		}
		if len(old) == 0 {
			return nil
		}
		return p.files.SyncDir(p.dir) // a start after a clean stop looks for none of them
	})
	return gone, err
}
