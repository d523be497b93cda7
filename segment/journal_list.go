package segment

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
)

// journalList is checkpoint/journals: the numbers of the journal files that there are. A
// journal whose only file is lost leaves no commit behind that would miss it.
//
//	magic "MJLS" u32 | version u16 | 0 u16 | directory id 16 | count u32 | 0 u32 |
//	numbers u64 … | CRC u32
//
// A file is listed before it is used, and taken off the list before it is removed: one that
// is not listed may be there, one that is listed must be.
type journalList struct {
	mu      sync.Mutex // held by jobs
	numbers []uint64   // in order
}

const (
	listMagic   = 0x534c4a4d
	listVersion = 1
	listHeader  = 32
)

func listName(dir string) string { return filepath.Join(checkpointDir(dir), "journals") }

func (l *journalList) bytes(id [16]byte) []byte {
	b := make([]byte, listHeader, listHeader+8*len(l.numbers)+4)
	le.PutUint32(b, listMagic)
	le.PutUint16(b[4:], listVersion)
	copy(b[8:], id[:])
	le.PutUint32(b[24:], uint32(len(l.numbers)))
	for _, n := range l.numbers {
		b = le.AppendUint64(b, n)
	}
	return le.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// parseJournalList says which rule is broken, "" for none.
func parseJournalList(b []byte, id [16]byte) (numbers []uint64, rule string) {
	switch n := len(b) - 4; {
	case n < listHeader || (n-listHeader)%8 != 0:
		return nil, "length"
	case le.Uint32(b[n:]) != crc32.Checksum(b[:n], castagnoli):
		return nil, "crc"
	case le.Uint32(b) != listMagic || le.Uint16(b[4:]) > listVersion:
		return nil, "version"
	case [16]byte(b[8:24]) != id:
		return nil, "directory id"
	case uint64(le.Uint32(b[24:])) != uint64(n-listHeader)/8:
		return nil, "length"
	}
	for b = b[listHeader : len(b)-4]; len(b) > 0; b = b[8:] {
		numbers = append(numbers, le.Uint64(b))
	}
	return numbers, ""
}

// write makes numbers the list, durably.
func (l *journalList) write(o *Options, numbers []uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.put(o, numbers)
}

func (l *journalList) put(o *Options, numbers []uint64) error {
	was := l.numbers
	slices.Sort(numbers)
	l.numbers = numbers
	if err := o.FS.WriteFile(listName(o.Dir), l.bytes(o.Directory)); err != nil {
		l.numbers = was
		return fmt.Errorf("segment: write %s: %w", listName(o.Dir), err)
	}
	return nil
}

// add lists a file that is about to be used.
func (l *journalList) add(o *Options, number uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.put(o, append(slices.Clone(l.numbers), number))
}

// drop takes a file off that is about to be removed.
func (l *journalList) drop(o *Options, number uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.put(o, slices.DeleteFunc(slices.Clone(l.numbers), func(n uint64) bool { return n == number }))
}

// checkList refuses to start without a journal file that is listed: what only it had would
// be lost without a word. After a clean stop nothing in it is needed.
func (op *opening) checkList() error {
	name := listName(op.o.Dir)
	b, err := op.o.FS.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // made before there was a list
	}
	if err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	numbers, rule := parseJournalList(b, op.o.Directory)
	if rule != "" {
		op.rep.Notes = append(op.rep.Notes, (&CorruptError{name, 0, rule}).Error()+": it is made anew")
		return nil
	}
	for _, n := range numbers {
		bad := &CorruptError{journalName(op.o.journalDir(), n), 0, "missing"}
		if i := slices.IndexFunc(op.files, func(f *scanned) bool { return f.number == n }); i >= 0 {
			f := op.files[i]
			if f.size >= f.made {
				continue
			}
			bad.Pos, bad.Rule = f.size, "length"
		}
		if !op.rep.Clean {
			return bad
		}
		op.rep.Notes = append(op.rep.Notes, bad.Error()+": nothing of it is needed after a clean stop")
	}
	return nil
}

func journalName(dir string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016x.journal", number))
}

// listNeeded lists only the files that a start needs: others may be removed then.
func (op *opening) listNeeded(needed map[*scanned]bool) error {
	var numbers []uint64
	for _, f := range op.files {
		if needed[f] {
			numbers = append(numbers, f.number)
		}
	}
	return op.shards[0].shared.list.write(op.o, numbers)
}

// listAll lists all files that the shards have.
func (op *opening) listAll() error {
	var numbers []uint64
	for _, s := range op.shards {
		for _, f := range slices.Concat(s.j.free, s.j.old) {
			numbers = append(numbers, f.number)
		}
	}
	return op.shards[0].shared.list.write(op.o, numbers)
}
