package segment

import (
	"errors"
	"fmt"
	"io/fs"
)

// readBoot reads how often the directory was opened. If the mark is lost or damaged it is made
// anew, where that is safe: a whole set of checkpoints must be there to begin from, and all
// journals are read, as after a kill. They tell the number of the last opening that left
// anything behind. What the mark alone knows, that an even newer set was complete, is needed
// only if that set is lost, too.
func (op *opening) readBoot() error {
	name := bootName(op.o.Dir)
	b, err := op.o.FS.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return op.neverOpened()
	}
	if err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	var rule string
	op.bootSeen, op.complete, rule = parseBoot(b, op.o.Directory)
	switch rule {
	case "":
	case "length", "magic", "crc":
		op.lose(rule)
	default:
		return &CorruptError{name, 0, rule}
	}
	return nil
}

// neverOpened looks whether a directory without the mark was opened before all the same: it
// is made before any other file.
func (op *opening) neverOpened() error {
	for _, dir := range []string{journalDir(op.o.Dir), op.o.journalDir(),
		checkpointDir(op.o.Dir)} {
		names, err := op.o.FS.List(dir)
		if err != nil {
			return fmt.Errorf("segment: list %s: %w", dir, err)
		}
		for _, name := range names {
			if _, _, ok := parseCheckpointName(name); ok || IsJournal(name) {
				op.lose("missing")
				return nil
			}
		}
	}
	return nil
}

func (op *opening) lose(rule string) {
	op.lost = &CorruptError{bootName(op.o.Dir), 0, rule}
	op.rep.Notes = append(op.rep.Notes, fmt.Sprintf(
		"%v: it is made anew from the checkpoints and the journals", op.lost))
}
