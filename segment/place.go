package segment

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// Where the journal files are is noted beside the data: opened without them, or with others,
// a data directory would look as if what they hold had never been acknowledged.

// placeName has the directory of the journal files, once there are some: its path, or a dot
// when it is the data directory's own, which may be moved as a whole.
func placeName(dir string) string { return filepath.Join(journalDir(dir), "place") }

func (o *Options) place() string {
	if filepath.Clean(o.journalDir()) == filepath.Clean(journalDir(o.Dir)) {
		return "."
	}
	return filepath.Clean(o.journalDir())
}

// checkPlace refuses to start without the journal files.
func (op *opening) checkPlace() error {
	b, err := op.o.FS.ReadFile(placeName(op.o.Dir))
	if errors.Is(err, fs.ErrNotExist) && op.lost != nil && !op.anyJournal() {
		return op.lost // with the journals
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // never opened, or by a version that always had them beside the data
	}
	if err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	if op.anyJournal() {
		return nil
	}
	was := strings.TrimSpace(string(b))
	if was == "." {
		was = journalDir(op.o.Dir)
	}
	return fmt.Errorf("segment: %s has no journal file of %s; they were in %s (journal.dir)",
		op.o.journalDir(), op.o.Dir, was)
}

// anyJournal says whether there is a journal file of this data directory, as its header says.
func (op *opening) anyJournal() bool {
	return slices.ContainsFunc(op.files, func(f *scanned) bool { return !f.unusable })
}

// markPlace notes where the journal files are now.
func (op *opening) markPlace() error {
	place := op.o.place() + "\n"
	b, err := op.o.FS.ReadFile(placeName(op.o.Dir))
	if err == nil && string(b) == place {
		return nil
	}
	if err := op.o.FS.WriteFile(placeName(op.o.Dir), []byte(place)); err != nil {
		return fmt.Errorf("segment: write %s: %w", placeName(op.o.Dir), err)
	}
	return nil
}
