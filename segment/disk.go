package segment

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"

	"millrace/internal/mutant"
	"millrace/internal/vfs"
	"millrace/protocol"
)

// What is on disk against what the image and the checkpoints say (Open only).

// dirEntry is one directory under log/.
type dirEntry struct {
	root      string // data directory
	name      string
	topic     string
	partition int32
	id        protocol.TopicID
	hasID     bool
}

// checkDirs moves away what is not in the image, and checks that what should be
// there is.
func (op *opening) checkDirs() error {
	var all []dirEntry
	for _, root := range op.o.roots() {
		names, err := op.o.FS.List(logRoot(root))
		if err != nil {
			return fmt.Errorf("segment: list %s: %w", logRoot(root), err)
		}
		for _, name := range names {
			all = append(all, dirEntry{root: root, name: name})
		}
	}
	byName := make(map[string]*KnownTopic, len(op.known.Topics))
	for i := range op.known.Topics {
		byName[op.known.Topics[i].Name] = &op.known.Topics[i]
	}
	err := parallel(len(all), op.o.workers(8), func(i int) error {
		e := &all[i]
		if e.topic, e.partition, _ = parseDirName(e.name); e.topic == "" || op.isKnown(e, byName) {
			return nil
		}
		var err error
		e.id, e.hasID, err = readMetadata(op.o.FS, e.path())
		return err
	})
	if err != nil {
		return err
	}
	op.dirs = make(map[string]string, len(all))
	kept := make(map[string]*dirEntry, len(all))
	count := make(map[string]int, len(all))
	for i := range all {
		count[all[i].name]++
	}
	for i := range all {
		e := &all[i]
		stays, err := op.checkDir(e, byName, count[e.name] == 1)
		if err != nil {
			return err
		}
		if !stays {
			continue
		}
		if have := kept[e.name]; have != nil {
			if have.hasID == e.hasID && (e.hasID || op.relies(e, byName[e.topic])) {
				return &CorruptError{e.path(), 0, "a partition of that name is in " + have.root + ", too"}
			}
			if have.hasID || !e.hasID { // the other was torn before anything relied on it
				have, e = e, have
			}
			if err := op.removeDir(have.path(), have.name); err != nil {
				return err
			}
		}
		kept[e.name], op.dirs[e.name] = e, e.root
	}
	op.settle()
	return nil
}

func (e *dirEntry) path() string { return filepath.Join(logRoot(e.root), e.name) }

// isKnown says that a checkpoint relies on a file in the directory: then it was this topic's,
// and no other of the image can have taken it over. The metadata need not be read, unless
// a deleted topic's may have come back in another data directory.
func (op *opening) isKnown(e *dirEntry, byName map[string]*KnownTopic) bool {
	t := byName[e.topic]
	if t == nil || len(op.o.Also) > 0 || !op.relies(e, t) {
		return false
	}
	e.id, e.hasID = t.ID, true
	return true
}

// relies says whether a checkpoint relies on files in the directory.
func (op *opening) relies(e *dirEntry, t *KnownTopic) bool {
	if e.partition >= t.Partitions {
		return false
	}
	r := op.records[protocol.TopicPartition{Topic: t.ID, Partition: e.partition}]
	return r != nil && slices.ContainsFunc(r.segs, func(g segRecord) bool { return g.onDisk })
}

// checkDir says whether a directory stays as a partition's of the image. alone: no other has
// its name.
func (op *opening) checkDir(e *dirEntry, byName map[string]*KnownTopic, alone bool) (bool, error) {
	path := e.path()
	if strings.HasSuffix(e.name, deletedDir) {
		return false, op.removeDir(path, e.name)
	}
	t := byName[e.topic]
	in := t != nil && e.partition < t.Partitions
	switch {
	case in && e.hasID && (e.id == t.ID || mutant.ByName):
		return true, nil
	case in && !e.hasID && e.topic != "":
		return true, nil // torn before anything relied on it: written anew with the next segment
	case e.hasID && op.known.Deleted[e.id]:
		gone := path + "." + e.id.String() + deletedDir
		_ = op.o.FS.RemoveAll(gone)
		if err := op.o.FS.Rename(path, gone); err != nil {
			return false, fmt.Errorf("segment: move %s: %w", path, err)
		}
		return false, op.removeDir(gone, e.name)
	case in && alone && op.relies(e, t):
		return true, nil // its metadata is damaged
	}
	return false, op.quarantine(path, e)
}

// removeDir leaves the work to a helper after the start.
func (op *opening) removeDir(path, name string) error {
	op.shards[0].removeLater(path)
	op.rep.Removed = append(op.rep.Removed, name)
	return nil
}

func (op *opening) quarantine(path string, e *dirEntry) error {
	dir := filepath.Join(e.root, "quarantine")
	if err := op.o.FS.MkdirAll(dir); err != nil {
		return fmt.Errorf("segment: make %s: %w", dir, err)
	}
	to := filepath.Join(dir, fmt.Sprintf("%s.%d", e.name, op.rep.Boot))
	if err := op.o.FS.Rename(path, to); err != nil {
		return fmt.Errorf("segment: move %s: %w", path, err)
	}
	if err := op.o.FS.SyncDir(dir); err != nil {
		return fmt.Errorf("segment: sync %s: %w", dir, err)
	}
	if err := op.o.FS.SyncDir(logRoot(e.root)); err != nil {
		return fmt.Errorf("segment: sync %s: %w", logRoot(e.root), err)
	}
	op.rep.Quarantined = append(op.rep.Quarantined, to)
	return nil
}

// parseDirName splits TOPIC-PARTITION.
func parseDirName(name string) (topic string, partition int32, ok bool) {
	i := strings.LastIndexByte(name, '-')
	if i <= 0 {
		return "", 0, false
	}
	n, err := strconv.ParseInt(name[i+1:], 10, 32)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != name[i+1:] {
		return "", 0, false
	}
	return name[:i], int32(n), true
}

// finishLogs sets the marks of every log, checks that its files are there and
// clears away what a crash left beside them.
func (op *opening) finishLogs() error {
	behind := op.manyFiles()
	logs := 0
	for _, s := range op.shards {
		logs += len(s.list)
	}
	op.progress.of(int64(logs))
	for _, s := range op.shards {
		s.recovering = false
		s.verify.on = behind
		err := parallel(len(s.list), op.o.workers(8), func(i int) error {
			defer op.progress.add(1)
			return op.finishLog(s.list[i])
		})
		if err != nil {
			return err
		}
		for _, l := range s.list {
			if l.marks.End > 0 {
				op.rep.Logs++
			}
			for _, g := range l.segs {
				if g.sealed && !g.finished {
					s.soil(g) // to be trimmed by the first sweep
				}
			}
			if l.flushable() {
				s.flushTo(l, l.goalAbs)
			}
		}
	}
	sort.Strings(op.late)
	op.shards[0].removeLater(op.late...)
	return nil
}

// manyFiles says that, after a clean stop, there are too many files to look at each before
// clients are served: they are verified behind it. Without any journal file, something else
// is wrong than a missing segment.
func (op *opening) manyFiles() bool {
	n := 0
	for _, s := range op.shards {
		n += s.stats.Segments
	}
	return op.rep.Clean && len(op.files) > 0 && n > verifyAtOnce
}

func (op *opening) finishLog(l *Log) error {
	m := &l.marks
	l.atEnd()
	if l.shard.verify.on || op.neverWritten(l) {
		l.shard.dropSegments(l)
		return nil
	}
	files := op.o.FS
	names, err := files.List(l.dir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("segment: list %s: %w", l.dir(), err)
	}
	if names, err = op.finishSwaps(l, names); err != nil {
		return err
	}
	have := make(map[string]bool, len(names))
	for _, n := range names {
		have[n] = true
		if len(op.files) == 0 && !op.rep.Clean && strings.HasSuffix(n, endLog) {
			// A segment is never older than the first journal file.
			return &CorruptError{op.o.journalDir(), 0, "missing"}
		}
	}
	l.shard.dropSegments(l) // what a replayed start left behind, sealed by a later entry
	if g := l.active(); g != nil && g.onDisk && g.end <= m.Start && !have[filepath.Base(g.path(endLog))] {
		g.sealed = true // it was, by its age, when it was removed; no entry says so
		l.shard.dropSegments(l)
	}
	wanted := make(map[string]bool, len(endings)*len(l.segs))
	for _, g := range l.segs {
		if !g.onDisk {
			continue // a file of that name is of no use: nothing durable names it
		}
		for _, ending := range endings {
			wanted[filepath.Base(g.path(ending))] = true
		}
		if !have[filepath.Base(g.path(endLog))] {
			return &CorruptError{g.path(endLog), 0, "missing"}
		}
		if err := checkSize(files, g); err != nil {
			return err
		}
	}
	return op.clearStale(l, names, wanted)
}

// neverWritten says that a log has no directory.
func (op *opening) neverWritten(l *Log) bool {
	return len(l.segs) == 0 && op.dirs[l.dirName()] == ""
}

// checkSize refuses a file that is shorter than what the checkpoint relies on.
func checkSize(files vfs.FS, g *seg) error {
	return checkFile(files, g.path(endLog), g.written)
}

func checkFile(files vfs.FS, name string, least int64) error {
	info, err := files.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &CorruptError{name, 0, "missing"}
	case err != nil:
		return fmt.Errorf("segment: %w", err)
	case info.Size() < least:
		return &CorruptError{name, info.Size(), "length"}
	}
	return nil
}

// clearStale removes segment files that no record lists: they were deleted, or made
// by a turn of which nothing became durable.
func (op *opening) clearStale(l *Log, names []string, wanted map[string]bool) error {
	for _, n := range names {
		known := slices.ContainsFunc(endings[:], func(e string) bool {
			return strings.HasSuffix(n, e)
		})
		if wanted[n] || !known && !strings.HasSuffix(n, endDeleted) {
			continue
		}
		if err := op.removeStale(filepath.Join(l.dir(), n)); err != nil {
			return fmt.Errorf("segment: remove stale %s: %w", n, err)
		}
	}
	return nil
}

// removeStale removes a file; a large one goes in steps after the start.
func (op *opening) removeStale(path string) error {
	info, err := op.o.FS.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() <= removeBytes {
		return op.o.FS.Remove(path)
	}
	if !strings.HasSuffix(path, endDeleted) {
		if err := op.o.FS.Rename(path, path+endDeleted); err != nil {
			return err
		}
		path += endDeleted
	}
	op.later(path)
	return nil
}
