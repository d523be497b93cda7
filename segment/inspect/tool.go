package inspect

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"millrace/internal/vfs"
	"millrace/protocol"
	"millrace/segment"
)

// Options say what is shown.
type Options struct {
	Verify bool  // only findings, notes and what a directory is
	Deep   bool  // records, and entries of journals
	Values bool  // keys and values too
	From   int64 // offset: earlier batches and records are not shown
	Limit  int   // batches of a segment that are shown, 0: all
	Topic  string
	Also   []string // further data directories, with partitions only
}

// Tool looks at paths, one after the other.
type Tool struct {
	files    vfs.FS
	o        Options
	put      func(Item) error
	findings int
	names    map[protocol.TopicID]string
}

// New makes a tool that gives what it finds to put.
func New(files vfs.FS, o Options, put func(Item) error) *Tool {
	return &Tool{files: files, o: o, put: put, names: map[protocol.TopicID]string{}}
}

// Findings is how much damage was found so far.
func (t *Tool) Findings() int { return t.findings }

// bad gives a finding.
func (t *Tool) bad(file string, pos int64, rule string) error {
	t.findings++
	return t.put(&Finding{Type: "damage", File: file, Pos: pos, Rule: rule})
}

// badErr gives err as a finding when it is damage, and returns it when it is not.
func (t *Tool) badErr(err error) error {
	var c *segment.CorruptError
	if errors.As(err, &c) {
		return t.bad(c.File, c.Pos, c.Rule)
	}
	return err
}

func (t *Tool) note(file, format string, args ...any) error {
	return t.put(&Note{Type: "note", File: file, Note: fmt.Sprintf(format, args...)})
}

// show gives an item unless only damage is asked for.
func (t *Tool) show(i Item) error {
	if t.o.Verify {
		return nil
	}
	return t.put(i)
}

// ErrUnknown says that a path is nothing that the tool knows.
var ErrUnknown = errors.New("neither a data directory, nor a partition's directory, nor a file of one")

// Path looks at a data directory, a partition's directory or a file.
func (t *Tool) Path(path string) error {
	info, err := t.files.Stat(path)
	if err != nil {
		return fmt.Errorf("inspect: %w", err)
	}
	if !info.IsDir() {
		return t.file(path)
	}
	for _, name := range []string{"meta.properties", "journal", "checkpoint"} {
		if _, err := t.files.Stat(filepath.Join(path, name)); err == nil {
			return t.directory(path)
		}
	}
	names, err := t.files.List(path)
	if err != nil {
		return fmt.Errorf("inspect: %w", err)
	}
	for _, n := range names {
		if strings.HasSuffix(n, ".log") {
			return t.partition(path, names)
		}
	}
	return fmt.Errorf("inspect: %s: %w", path, ErrUnknown)
}

func (t *Tool) file(path string) error {
	name := filepath.Base(path)
	if err := t.show(&Head{Type: "file", File: path}); err != nil {
		return err
	}
	_, _, isCheckpoint := segment.CheckpointName(name)
	base, isSegment := baseOf(name)
	switch ending := filepath.Ext(name); {
	case name == "boot":
		_, err := t.boot(path, nil)
		return err
	case isCheckpoint:
		_, err := t.checkpoint(path, nil)
		return err
	case segment.IsJournal(name):
		return t.journal(path, nil, nil)
	case isSegment && ending == ".log":
		return t.log(path, base)
	case isSegment && ending == ".index":
		_, err := t.index(path, base)
		return err
	case isSegment && ending == ".timeindex":
		_, err := t.timeIndex(path, base)
		return err
	case isSegment && ending == ".sums":
		_, err := t.sums(path)
		return err
	}
	return fmt.Errorf("inspect: %s: %w", path, ErrUnknown)
}

// baseOf is the base offset in a segment file's name.
func baseOf(name string) (int64, bool) {
	digits, _, _ := strings.Cut(name, ".")
	if len(digits) != 20 {
		return 0, false
	}
	base, err := strconv.ParseInt(digits, 10, 64)
	return base, err == nil && base >= 0
}

// read is a whole file; one that is missing is a finding, and nil.
func (t *Tool) read(path string) ([]byte, error) {
	b, err := t.files.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, t.bad(path, 0, "missing")
	}
	if err != nil {
		return nil, fmt.Errorf("inspect: %w", err)
	}
	if b == nil {
		b = []byte{}
	}
	return b, nil
}
