package segment

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"millrace/internal/mutant"
	"millrace/internal/vfs"
)

// CorruptError names bytes that are not what we wrote: where, and which rule they
// break. It never carries the bytes, so that logs hold no user data.
type CorruptError struct {
	File string
	Pos  int64
	Rule string // "crc", "length", "base offset", "missing", …
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("segment: %s: corrupt at %d: %s", e.File, e.Pos, e.Rule)
}

// maxCommit bounds the length of a commit: the largest group buffer.
const maxCommit = 4 << 20

// commitRef is one whole commit found in a journal file.
type commitRef struct {
	h    commitHeader
	file *scanned
	off  int64
}

// scanned is one journal file after its scan.
type scanned struct {
	name     string
	size     int64
	number   uint64
	commits  []commitRef
	made     int64 // size when it was made, by its header
	unusable bool  // without a header: its making was cut short
}

// scanJournal finds every whole commit in a file: the ones of its present use, and
// what is left of earlier uses. headOnly looks at the file header alone.
func scanJournal(fs vfs.FS, name string, id [16]byte, headOnly bool) (*scanned, error) {
	f, err := fs.Open(name, vfs.ReadOnly, false)
	if err != nil {
		return nil, fmt.Errorf("segment: open %s: %w", name, err)
	}
	defer f.Close()
	if !headOnly && !mutant.ReplayUnsynced {
		// A write of a killed process may be readable and yet not durable: what is
		// replayed must not go with the next power loss.
		if err := f.Sync(); err != nil {
			return nil, fmt.Errorf("segment: sync %s: %w", name, err)
		}
	}
	size, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("segment: size of %s: %w", name, err)
	}
	sc := &scanned{name: name, size: floor(size)}
	buf := min(sc.size, maxCommit+1<<20)
	if headOnly {
		buf = fileHeaderSize
	}
	w := window{f: f, size: sc.size, buf: make([]byte, buf)}
	if sc.size < fileHeaderSize+minRoom {
		sc.unusable = true
		return sc, nil
	}
	head, err := w.at(0, block)
	if err != nil {
		return nil, fmt.Errorf("segment: read %s: %w", name, err)
	}
	switch rule := checkFileHeader(head, id); rule {
	case "":
		sc.made = floor(int64(le.Uint64(head[32:])))
	case "magic", "crc":
		sc.unusable = true // prewriting was cut short: nothing was ever committed to it
	default:
		return nil, &CorruptError{name, 0, rule}
	}
	for off := int64(fileHeaderSize); off < sc.size && !headOnly; {
		n, err := sc.commitAt(&w, off, id)
		if err != nil {
			return nil, err
		}
		off += n
	}
	if sc.unusable && len(sc.commits) > 0 {
		return nil, &CorruptError{name, 0, "file header"}
	}
	return sc, nil
}

// commitAt notes a whole commit at off and returns how far to go on.
func (sc *scanned) commitAt(w *window, off int64, id [16]byte) (int64, error) {
	b, err := w.at(off, block)
	if err != nil {
		return 0, fmt.Errorf("segment: read %s: %w", sc.name, err)
	}
	h, ok := parseCommitHeader(b, id)
	if !ok {
		return block, nil
	}
	if h.version != formatVersion {
		return 0, &CorruptError{sc.name, off, "version"}
	}
	if h.size() > min(maxCommit, sc.size-off) {
		return block, nil
	}
	if b, err = w.at(off, h.size()); err != nil {
		return 0, fmt.Errorf("segment: read %s: %w", sc.name, err)
	}
	if !checkBody(&h, b) && !mutant.TrustTail {
		return block, nil
	}
	sc.commits = append(sc.commits, commitRef{h: h, file: sc, off: off})
	return h.size(), nil
}

// window reads a file forward in large pieces.
type window struct {
	f    vfs.File
	size int64
	buf  []byte
	from int64
	n    int64
}

// at returns [off, off+n) of the file; n is at most the buffer.
func (w *window) at(off, n int64) ([]byte, error) {
	if off < w.from || off+n > w.from+w.n {
		want := min(int64(len(w.buf)), w.size-off)
		k, err := w.f.ReadAt(w.buf[:want], off)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		w.from, w.n = off, int64(k)
		if off+n > w.from+w.n {
			return nil, io.ErrUnexpectedEOF
		}
	}
	return w.buf[off-w.from : off-w.from+n], nil
}

// chain is the part of one journal that has to be replayed, in order.
type chain struct {
	journal journalID
	commits []commitRef
}

// chains orders the commits that are still needed. replay says from which sequence
// on, by journal; journals of boots before base are not needed at all. notes are
// for the report.
func chains(files []*scanned, base uint64, replay map[journalID]uint64) (
	all []chain, last map[journalID]uint64, notes []string, err error) {
	var refs []commitRef
	for _, f := range files {
		for _, c := range f.commits {
			if c.h.journal.boot() >= base &&
				(c.h.sequence >= replay[c.h.journal] || mutant.StaleLap) {
				refs = append(refs, c)
			}
		}
	}
	slices.SortStableFunc(refs, func(a, b commitRef) int {
		if a.h.journal != b.h.journal {
			return cmp64(uint64(a.h.journal), uint64(b.h.journal))
		}
		return cmp64(a.h.sequence, b.h.sequence)
	})
	last = map[journalID]uint64{}
	for len(refs) > 0 {
		j := refs[0].h.journal
		n := 0
		for n < len(refs) && refs[n].h.journal == j {
			n++
		}
		next := max(replay[j], 1)
		if mutant.StaleLap {
			next = refs[0].h.sequence
		}
		c, note, err := oneChain(j, refs[:n], next)
		if err != nil {
			return nil, nil, nil, err
		}
		if note != "" {
			notes = append(notes, note)
		}
		last[j] = refs[n-1].h.sequence
		all = append(all, c)
		refs = refs[n:]
	}
	return all, last, notes, nil
}

func cmp64(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// oneChain checks that no commit is missing before another. Under fsync one write
// is in flight per journal, so a later one proves that the missing one was durable:
// damage. Under write, after a power loss, it may be a legal hole: cut there.
func oneChain(j journalID, refs []commitRef, next uint64) (c chain, note string, err error) {
	c.journal = j
	for i, r := range refs {
		if r.h.sequence == next {
			c.commits = append(c.commits, r)
			next++
			continue
		}
		if r.h.sequence < next {
			continue // a copy of one that we have
		}
		file, pos := r.file.name, int64(fileHeaderSize)
		if i > 0 {
			prev := refs[i-1]
			if prev.file == r.file || prev.off+prev.h.size() < prev.file.size-minRoom {
				file, pos = prev.file.name, prev.off+prev.h.size()
			}
		}
		if mutant.PastHole {
			c.commits = append(c.commits, r)
			next = r.h.sequence + 1
			continue
		}
		if r.h.mode == Fsync {
			return c, "", &CorruptError{file, pos,
				fmt.Sprintf("commit %d is missing, %d is there", next, r.h.sequence)}
		}
		return c, fmt.Sprintf("%s: cut at %d: commit %d is missing, %d later ones are dropped",
			file, pos, next, len(refs)-i), nil
	}
	return c, "", nil
}
