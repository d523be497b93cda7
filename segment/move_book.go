package segment

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"millrace/internal/mutant"
	"millrace/internal/vfs"
	"millrace/protocol"
)

// The book of moves, checkpoint/moves: records of logs that went to another core, until a
// checkpoint of that core has them. It has the form of a checkpoint and a magic of its own;
// its header's journal field is 0, its moves field the generation: how often it was written.

const moveMagic = 0x564f4d4d // "MMOV"

func movesName(dir string) string { return filepath.Join(checkpointDir(dir), "moves") }

// moveBook is what the shards have in common of it.
type moveBook struct {
	generation atomic.Uint64   // durable
	swept      []atomic.Uint64 // by core: the last sweep whose checkpoint is durable

	writing sync.Mutex // held by jobs
	mu      sync.Mutex // of moved, never held for long
	moved   map[protocol.TopicPartition]*movedLog
}

// movedLog is one log in the book.
type movedLog struct {
	rec    logRecord
	core   int
	number uint64 // sweep of that core during which, or after which, it arrived
}

// covered says that a checkpoint of its core has the log.
func (m *moveBook) covered(e *movedLog) bool { return m.swept[e.core].Load() > e.number }

// arrived notes that the log is its new core's.
func (m *moveBook) arrived(tp protocol.TopicPartition, core int, number uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.moved[tp]; e != nil && e.core == core {
		e.number = number
	}
}

// put makes a record durable in the book. void says of an error that the book does not have
// it for certain.
func (m *moveBook) put(files vfs.FS, dir string, id [16]byte, sh *shared, rec *logRecord) (
	void bool, err error) {
	m.writing.Lock()
	defer m.writing.Unlock()
	next := map[protocol.TopicPartition]*movedLog{}
	m.mu.Lock()
	for tp, e := range m.moved {
		if !m.covered(e) && !sh.isDropped(tp.Topic) {
			next[tp] = e
		}
	}
	m.mu.Unlock()
	next[rec.tp] = &movedLog{rec: *rec, core: rec.journal.core(), number: math.MaxUint64}
	generation := m.generation.Load() + 1
	if !mutant.MoveEarly {
		err = files.WriteFile(movesName(dir), encodeMoves(id, generation, next))
	}
	if err != nil {
		_, have, rule, again := readMoves(files, dir, id)
		return again == nil && rule == "" && have < generation,
			fmt.Errorf("segment: write %s: %w", movesName(dir), err)
	}
	m.mu.Lock()
	m.moved = next
	m.mu.Unlock()
	m.generation.Store(generation)
	return false, nil
}

// encodeMoves is the file; equal books give equal bytes.
func encodeMoves(id [16]byte, generation uint64, moved map[protocol.TopicPartition]*movedLog) []byte {
	list := make([]*movedLog, 0, len(moved))
	for _, e := range moved {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b *movedLog) int { return compareLogs(a.rec.tp, b.rec.tp) })
	b := make([]byte, checkpointHeader)
	for _, e := range list {
		b = appendLogRecord(b, &e.rec)
	}
	putHead(b, moveMagic, id, len(b), &checkpointHead{logs: uint32(len(list)), moves: generation})
	return le.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// readMoves reads the file; rule says what is broken. There is none before the first move.
func readMoves(files vfs.FS, dir string, id [16]byte) (list []logRecord, generation uint64, rule string,
	err error) {
	b, err := files.ReadFile(movesName(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, "", nil
	}
	if err != nil {
		return nil, 0, "", fmt.Errorf("segment: %w", err)
	}
	list, generation, rule = parseMoves(b, id)
	return list, generation, rule, nil
}

func parseMoves(b []byte, id [16]byte) (list []logRecord, generation uint64, rule string) {
	h, records, rule := parseRecords(b, moveMagic, id)
	if rule != "" {
		return nil, 0, rule
	}
	for range h.logs {
		r, rest, ok := nextLogRecord(records, h.version)
		if !ok || r.moves == 0 || r.cores == 0 || r.journal.core() >= int(r.cores) {
			return nil, 0, "record"
		}
		list, records = append(list, r), rest
	}
	if len(records) != 0 {
		return nil, 0, "records"
	}
	return list, h.moves, ""
}

// older says that another record of the same log is newer.
func (r *logRecord) older(than *logRecord) bool {
	switch a, b := r.journal.boot(), than.journal.boot(); {
	case a != b:
		return a < b
	case r.moves != than.moves:
		return r.moves < than.moves
	}
	return r.seq < than.seq
}

// readMoves takes the book over: a record in it may be newer than what checkpoints have. A
// checkpoint that was begun later than a book was written relies on it.
func (op *opening) readMoves() error {
	name := movesName(op.o.Dir)
	list, generation, rule, err := readMoves(op.o.FS, op.o.Dir, op.o.Directory)
	switch {
	case err != nil:
		return err
	case rule != "":
		return &CorruptError{name, 0, rule}
	case generation == 0 && op.moves > 0:
		return &CorruptError{name, 0, "missing"}
	case generation < op.moves:
		return &CorruptError{name, 0, fmt.Sprintf("generation %d, a checkpoint relies on %d", generation,
			op.moves)}
	}
	book := &op.shards[0].shared.moves
	book.generation.Store(generation)
	book.moved = map[protocol.TopicPartition]*movedLog{}
	for i := range list {
		r := &list[i]
		if have := op.records[r.tp]; have != nil && !have.older(r) {
			continue // a checkpoint has it
		}
		op.records[r.tp] = r
		book.moved[r.tp] = &movedLog{rec: *r}
	}
	op.rep.Moved = map[protocol.TopicPartition]int{}
	op.ids = make(map[protocol.TopicID]bool, len(op.known.Topics))
	for _, t := range op.known.Topics {
		op.ids[t.ID] = true
		for p := range t.Partitions {
			tp := protocol.TopicPartition{Topic: t.ID, Partition: p}
			r := op.records[tp]
			if r == nil || r.moves == 0 {
				continue
			}
			if core := r.journal.core(); int(r.cores) == op.cores && core != CoreOf(tp, op.cores) {
				op.rep.Moved[tp] = core
			}
		}
	}
	for tp, e := range book.moved {
		if !op.ids[tp.Topic] {
			delete(book.moved, tp)
			continue
		}
		e.core, e.number = op.coreOf(tp), 1 // the first sweep of this boot has it
	}
	return nil
}

// stray says that a journal entry belongs to a move of which nothing else is known: the book
// was lost.
func (op *opening) stray(h *entryHeader) bool {
	if h.moves == 0 || !op.ids[h.tp.Topic] {
		return false
	}
	known := uint32(0)
	if r := op.records[h.tp]; r != nil {
		known = r.moves
	}
	return int16(h.moves-uint16(known)) > 0
}

// coreOf is the core of a log in this boot: where it was moved to, as long as there are as
// many cores as then.
func (op *opening) coreOf(tp protocol.TopicPartition) int {
	if core, ok := op.rep.Moved[tp]; ok {
		return core
	}
	return CoreOf(tp, op.cores)
}
