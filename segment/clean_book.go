package segment

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"millrace/internal/vfs"
	"millrace/protocol"
)

// What the cleaner knows of every log, in one file: the commit point of every swap.

// cleaners is what the shards' cleaners have in common.
type cleaners struct {
	running atomic.Int32  // rounds, of all cores
	waiting atomic.Uint64 // cores that asked in vain, by bit
	last    atomic.Int32  // core that began the last round
	gen     atomic.Uint64 // of the last new segment

	mu   sync.Mutex // held by jobs
	book cleanBook
}

// cleanBook is the content of checkpoint/cleaner.
type cleanBook map[protocol.TopicPartition]cleanEntry

// cleanEntry is one log in it.
type cleanEntry struct {
	dirty int64 // first dirty offset
	plain bool  // no batch of a transaction lies below it
	swaps []swapRecord
}

// swapRecord says that a new segment took the place of all that lie within it, and is
// not yet known to be in a durable checkpoint.
type swapRecord struct {
	gen uint64
	seg segRecord
}

// Header (48 bytes): magic "MCLN" 0, version u16 4, size of a segment's record u16 6,
// directory id 8, length u64 24, logs u32 32, reserved, crc of all u32 44 (counted as 0).
// Then per log 40 bytes: topic id 0, partition i32 16, swaps u32 20, first dirty i64 24,
// flags u64 32 (1 plain); and per swap generation u64 and the segment's record.
const (
	cleanMagic   = 0x4e4c434d // "MCLN"
	cleanVersion = 1
	cleanHeader  = 48
	cleanFixed   = 40
)

func cleanerName(dir string) string { return filepath.Join(checkpointDir(dir), "cleaner") }

// encode is the file; equal books give equal bytes.
func (book cleanBook) encode(id [16]byte) []byte {
	order := make([]protocol.TopicPartition, 0, len(book))
	for tp := range book {
		order = append(order, tp)
	}
	slices.SortFunc(order, compareLogs)
	b := make([]byte, cleanHeader)
	for _, tp := range order {
		e := book[tp]
		b = append(b, tp.Topic[:]...)
		b = le.AppendUint32(b, uint32(tp.Partition))
		b = le.AppendUint32(b, uint32(len(e.swaps)))
		b = le.AppendUint64(b, uint64(e.dirty))
		flags := uint64(0)
		if e.plain {
			flags = 1
		}
		b = le.AppendUint64(b, flags)
		for i := range e.swaps {
			b = le.AppendUint64(b, e.swaps[i].gen)
			b = appendSegRecord(b, &e.swaps[i].seg)
		}
	}
	le.PutUint32(b, cleanMagic)
	le.PutUint16(b[4:], cleanVersion)
	le.PutUint16(b[6:], segRecordSize)
	copy(b[8:], id[:])
	le.PutUint64(b[24:], uint64(len(b)))
	le.PutUint32(b[32:], uint32(len(order)))
	le.PutUint32(b[44:], crc32.Checksum(b, castagnoli))
	return b
}

func compareLogs(a, b protocol.TopicPartition) int {
	return cmp.Or(slices.Compare(a.Topic[:], b.Topic[:]), cmp.Compare(a.Partition, b.Partition))
}

// parseCleanBook reads it; rule says what is broken.
func parseCleanBook(b []byte, id [16]byte) (book cleanBook, rule string) {
	if len(b) < cleanHeader {
		return nil, "length"
	}
	sum := crc32.Update(crc32.Checksum(b[:44], castagnoli), castagnoli, make([]byte, 4))
	sum = crc32.Update(sum, castagnoli, b[cleanHeader:])
	switch {
	case le.Uint32(b) != cleanMagic:
		return nil, "magic"
	case le.Uint32(b[44:]) != sum:
		return nil, "crc"
	case le.Uint16(b[4:]) != cleanVersion || le.Uint16(b[6:]) != segRecordSize:
		return nil, "version"
	case le.Uint64(b[24:]) != uint64(len(b)):
		return nil, "length"
	case [16]byte(b[8:24]) != id:
		return nil, "directory id"
	}
	book = cleanBook{}
	n := le.Uint32(b[32:])
	for b = b[cleanHeader:]; n > 0; n-- {
		if len(b) < cleanFixed {
			return nil, "record"
		}
		tp := protocol.TopicPartition{Topic: protocol.TopicID(b[:16]), Partition: int32(le.Uint32(b[16:]))}
		swaps := uint64(le.Uint32(b[20:]))
		e := cleanEntry{dirty: int64(le.Uint64(b[24:])), plain: le.Uint64(b[32:])&1 != 0}
		b = b[cleanFixed:]
		if swaps > uint64(len(b))/(8+segRecordSize) || e.dirty < 0 {
			return nil, "record"
		}
		for range swaps {
			e.swaps = append(e.swaps, swapRecord{le.Uint64(b), parseSegRecord(b[8 : 8+segRecordSize])})
			b = b[8+segRecordSize:]
		}
		book[tp] = e
	}
	if len(b) != 0 {
		return nil, "records"
	}
	return book, ""
}

// readCleaner is the part of Open that takes the book over.
func (op *opening) readCleaner() error {
	name := cleanerName(op.o.Dir)
	b, err := op.o.FS.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	book, rule := parseCleanBook(b, op.o.Directory)
	if rule != "" {
		return &CorruptError{name, 0, rule}
	}
	c := &op.shards[0].shared.cleaners
	c.book = cleanBook{}
	for _, t := range op.known.Topics { // the others are deleted, or in quarantine
		for p := range t.Partitions {
			tp := protocol.TopicPartition{Topic: t.ID, Partition: p}
			if e, ok := book[tp]; ok {
				c.book[tp] = e
			}
		}
	}
	for _, e := range c.book {
		for i := range e.swaps {
			c.gen.Store(max(c.gen.Load(), e.swaps[i].gen))
		}
	}
	return nil
}

// note writes the book with a change of one log, or leaves it as it was.
func (c *cleaners) note(files vfs.FS, dir string, id [16]byte, sh *shared, tp protocol.TopicPartition,
	change func(*cleanEntry)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	book := cleanBook{}
	for k, e := range c.book {
		if !sh.isDropped(k.Topic) {
			book[k] = e
		}
	}
	e := book[tp]
	e.swaps = slices.Clone(e.swaps)
	change(&e)
	book[tp] = e
	if err := files.WriteFile(cleanerName(dir), book.encode(id)); err != nil {
		return fmt.Errorf("segment: write %s: %w", cleanerName(dir), err)
	}
	c.book = book
	return nil
}

// bookHas says whether the book on disk knows a swap, or cannot be asked.
func bookHas(files vfs.FS, dir string, id [16]byte, tp protocol.TopicPartition, gen uint64) bool {
	b, err := files.ReadFile(cleanerName(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	book, rule := parseCleanBook(b, id)
	return err != nil || rule != "" || slices.ContainsFunc(book[tp].swaps,
		func(r swapRecord) bool { return r.gen == gen })
}

// restored brings a log's segments, as the checkpoint has them, up to what the book says
// (e is empty when it says nothing). It may say more than one thing of the same offsets: the last counts, and what the
// checkpoint knows already is said once more.
func (l *Log) restored(e cleanEntry) {
	c := &l.clean
	c.dirty, c.plain = e.dirty, e.plain
	for _, g := range l.segs {
		if g.sealed {
			g.noted = l.shard.sw.number
		}
	}
	for i := range e.swaps {
		r := &e.swaps[i].seg
		c.swaps = append(c.swaps, swapMark{gen: e.swaps[i].gen, sweep: l.shard.sw.number, done: true})
		from := 0
		for from < len(l.segs) && l.segs[from].base < r.base {
			from++
		}
		to := from
		for to < len(l.segs) && l.segs[to].end <= r.end {
			to++
		}
		if to == from || l.segs[to-1].end != r.end || !l.segs[to-1].finished {
			continue // deleted since then, or cleaned together with more
		}
		g := l.segFrom(r)
		g.gen, g.noted = e.swaps[i].gen, l.shard.sw.number
		l.replace(from, to, g)
		// One of the old ones may have been on its way out: the file of its name is not.
		keep := &l.shard.keep
		keep.removed = slices.DeleteFunc(keep.removed, func(x *seg) bool {
			return x.log == l && x.base == g.base
		})
	}
}

// finishSwaps puts the files of swaps in place that a crash left under their first name,
// and removes those of swaps that never were. It returns the names that are there then.
func (op *opening) finishSwaps(l *Log, names []string) ([]string, error) {
	kept := names[:0:0]
	moved := false
	for _, n := range names {
		base, ending, gen, ok := parseCleanedName(n)
		if !ok {
			kept = append(kept, n)
			continue
		}
		from := filepath.Join(l.dir(), n)
		if g := l.segmentAt(base); g == nil || g.gen != gen {
			if err := op.o.FS.Remove(from); err != nil {
				return nil, fmt.Errorf("segment: remove %s: %w", from, err)
			}
			continue
		}
		to := segmentPath(l.dir(), base, ending)
		if err := op.o.FS.Rename(from, to); err != nil {
			return nil, fmt.Errorf("segment: rename %s: %w", from, err)
		}
		moved = true
		kept = append(kept, filepath.Base(to))
	}
	if moved {
		if err := op.o.FS.SyncDir(l.dir()); err != nil {
			return nil, fmt.Errorf("segment: sync %s: %w", l.dir(), err)
		}
	}
	return kept, nil
}

func (l *Log) segmentAt(base int64) *seg {
	for _, g := range l.segs {
		if g.base == base {
			return g
		}
	}
	return nil
}
