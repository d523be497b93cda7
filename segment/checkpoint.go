package segment

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"strings"

	"millrace/internal/mutant"
	"millrace/internal/vfs"
	"millrace/protocol"
)

// restWrite is the end of an active segment that does not fill a block: a clean
// stop writes it, so that the file is whole for Kafka's tools.
type restWrite struct {
	log  *Log
	dir  string
	base int64
	pos  int64
	data []byte
	bare bool // has no .index yet: Kafka's tools want one, even if it is empty
}

func (w *sweep) noteRest(l *Log, g *seg, part []byte) {
	w.rest = append(w.rest, restWrite{
		log: l, dir: l.dir(), base: g.base, pos: floor(g.size),
		data: append([]byte(nil), part...),
		bare: g.index.offsets == 0 && len(g.index.fresh) == 0,
	})
}

// syncItem is a segment file to make durable, after trimming it when truncate ≥ 0.
type syncItem struct {
	dir      string
	id       protocol.TopicID
	base     int64
	truncate int64
}

// manySyncs is from how many files on one syncfs is cheaper than syncing each.
const manySyncs = 64

// checkpointTask is the blocking end of a sweep.
type checkpointTask struct {
	sh    *shared
	fs    vfs.FS
	dir   string
	place string   // directory of the journals, perhaps on another disk
	roots []string // data directories with partitions
	boot  uint64
	core  int
	weak  bool // journal writes are not durable by themselves
	many  bool // one syncfs, instead of syncing each file

	workers int // that may write at the same time
	sync    []syncItem
	dirs    []string // of new files
	index   []indexWrite
	rest    []restWrite
	data    [][]byte // of the checkpoint, in pieces, without its CRC
	segs    []*seg   // for the shard: not touched here
	fresh   []*seg
}

// run makes segments, then indexes, then the checkpoint durable, in this order.
func (t *checkpointTask) run() checkpointDone {
	err := t.all()
	return checkpointDone{task: t, err: err}
}

func (t *checkpointTask) all() error {
	t.many = len(t.sync)+len(t.dirs)+len(t.index)+len(t.rest) > manySyncs
	t.noteDirs()
	if t.weak { // the entry that sealed a segment is durable before the segment is cut
		if err := t.fs.SyncFS(t.place); err != nil {
			return fmt.Errorf("segment: syncfs: %w", err)
		}
	}
	steps := []func() error{
		func() error {
			return parallel(len(t.rest), t.workers, func(i int) error { return t.writeRest(&t.rest[i]) })
		},
		func() error {
			return parallel(len(t.sync), t.workers, func(i int) error { return t.syncOne(&t.sync[i]) })
		},
		func() error {
			return parallel(len(t.index), t.workers, func(i int) error { return t.writeIndex(&t.index[i]) })
		},
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	if err := t.syncAll(); err != nil || len(t.data) == 0 {
		return err
	}
	body := bytes.Join(t.data, nil)
	sum := crc32.Checksum(body, castagnoli)
	name := checkpointName(t.dir, t.boot, t.core)
	if err := t.fs.WriteFile(name, le.AppendUint32(body, sum)); err != nil {
		return fmt.Errorf("segment: write %s: %w", name, err)
	}
	return nil
}

// syncAll makes everything that was written durable, with the names of new files.
func (t *checkpointTask) syncAll() error {
	if !t.many || mutant.CheckpointFirst {
		return t.syncDirs()
	}
	for _, root := range t.roots {
		if err := t.fs.SyncFS(logRoot(root)); err != nil {
			return fmt.Errorf("segment: syncfs: %w", err)
		}
	}
	return nil
}

// noteDirs adds the directories of files that this task makes.
func (t *checkpointTask) noteDirs() {
	for i := range t.rest {
		t.dirs = append(t.dirs, t.rest[i].dir)
	}
	for i := range t.index {
		if w := &t.index[i]; w.offsetAt == 0 || w.timeAt == 0 || len(w.sums) > 0 && w.sumsAt == 0 {
			t.dirs = append(t.dirs, w.dir)
		}
	}
}

func (t *checkpointTask) syncDirs() error {
	last := ""
	for _, dir := range t.dirs {
		if dir == last {
			continue
		}
		last = dir
		if err := t.syncDir(dir); err != nil {
			return err
		}
	}
	if len(t.dirs) == 0 {
		return nil
	}
	for _, root := range t.roots {
		if err := t.fs.SyncDir(logRoot(root)); err != nil {
			return fmt.Errorf("segment: sync %s: %w", logRoot(root), err)
		}
	}
	return nil
}

// syncDir makes a partition's directory durable, whosever it is by now.
func (t *checkpointTask) syncDir(dir string) error {
	lock := t.sh.dir(dir)
	lock.Lock()
	defer lock.Unlock()
	f, err := t.fs.Open(filepath.Join(dir, metadataName), vfs.ReadWrite, false)
	if err != nil {
		return fmt.Errorf("segment: open %s: %w", filepath.Join(dir, metadataName), err)
	}
	err = f.Sync()
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("segment: sync %s: %w", filepath.Join(dir, metadataName), err)
	}
	if err := t.fs.SyncDir(dir); err != nil {
		return fmt.Errorf("segment: sync %s: %w", dir, err)
	}
	return nil
}

// fileEdit is one change of a file: bytes at a place, then a cut to size.
type fileEdit struct {
	ending string
	data   []byte
	at     int64
	cut    int64 // size afterwards, −1: as it is
}

// edit changes files of one segment, made with their directory when create, and makes that
// durable when sync. In a directory that another topic has taken over there is nothing left
// to change.
func (t *checkpointTask) edit(id protocol.TopicID, dir string, base int64, create, sync bool,
	edits ...fileEdit) error {
	files := make([]vfs.File, 0, 3)
	open := func() error {
		for i := range edits {
			mode := vfs.Create
			if edits[i].ending == endLog && !create {
				mode = vfs.ReadWrite
			}
			name := segmentPath(dir, base, edits[i].ending)
			f, err := t.fs.Open(name, mode, false)
			if err != nil {
				return fmt.Errorf("segment: open %s: %w", name, err)
			}
			files = append(files, f)
		}
		return nil
	}
	err := t.sh.inDir(t.fs, dir, id, create, open)
	if errors.Is(err, errReplaced) && !create {
		return nil
	}
	for i, f := range files {
		if err == nil {
			err = edits[i].do(f, sync)
		}
		if e := f.Close(); err == nil {
			err = e
		}
	}
	return err
}

func (e *fileEdit) do(f vfs.File, sync bool) error {
	if len(e.data) > 0 {
		if _, err := f.WriteAt(e.data, e.at); err != nil {
			return fmt.Errorf("segment: write %s: %w", f.Name(), err)
		}
	}
	if e.cut >= 0 {
		if size, err := f.Size(); err == nil && size == e.cut {
			// Nothing to cut, which is worth its own look: a cut is a transaction of the file system.
		} else if err := f.Truncate(e.cut); err != nil {
			return fmt.Errorf("segment: cut %s: %w", f.Name(), err)
		}
	}
	if sync && !mutant.CheckpointFirst {
		if err := f.Sync(); err != nil {
			return fmt.Errorf("segment: sync %s: %w", f.Name(), err)
		}
	}
	return nil
}

func (t *checkpointTask) syncOne(item *syncItem) error {
	if t.many && item.truncate < 0 {
		return nil
	}
	return t.edit(item.id, item.dir, item.base, false, !t.many,
		fileEdit{ending: endLog, cut: item.truncate})
}

func (t *checkpointTask) writeRest(r *restWrite) error {
	size := r.pos + int64(len(r.data))
	edits := []fileEdit{{ending: endLog, data: r.data, at: r.pos, cut: size}, {ending: endIndex}}
	if !r.bare {
		edits = edits[:1]
	}
	return t.edit(r.log.TP.Topic, r.dir, r.base, true, !t.many, edits...)
}

func (t *checkpointTask) writeIndex(w *indexWrite) error {
	edits := make([]fileEdit, 0, 3)
	if n := int64(len(w.offsets)); n > 0 {
		edits = append(edits, fileEdit{endIndex, w.offsets, w.offsetAt, w.offsetAt + n})
	}
	if n := int64(len(w.times)); n > 0 {
		edits = append(edits, fileEdit{endTime, w.times, w.timeAt, w.timeAt + n})
	}
	if n := int64(len(w.sums)); n > 0 {
		edits = append(edits, fileEdit{endSums, w.sums, w.sumsAt, w.sumsAt + n})
	}
	return t.edit(w.id, w.dir, w.base, false, !t.many, edits...)
}

func checkpointDir(dir string) string { return filepath.Join(dir, "checkpoint") }

func checkpointName(dir string, boot uint64, core int) string {
	return filepath.Join(checkpointDir(dir), fmt.Sprintf("%016x-%04x", boot, core))
}

// bootMark is the content of journal/boot: how often the directory was opened, and
// the last boot whose cores have all written a checkpoint.
//
//	0 magic "MRBT", 4 version u16, 8 directory id, 24 boot u64, 32 complete u64, 40 crc u32
const bootMagic = 0x5442524d

func bootName(dir string) string { return filepath.Join(journalDir(dir), "boot") }

func bootBytes(id [16]byte, boot, complete uint64) []byte {
	b := make([]byte, 44)
	le.PutUint32(b, bootMagic)
	le.PutUint16(b[4:], formatVersion)
	copy(b[8:], id[:])
	le.PutUint64(b[24:], boot)
	le.PutUint64(b[32:], complete)
	le.PutUint32(b[40:], crc32.Checksum(b[:40], castagnoli))
	return b
}

// parseBoot reads journal/boot; rule says what is broken.
func parseBoot(b []byte, id [16]byte) (boot, complete uint64, rule string) {
	switch {
	case len(b) != 44:
		return 0, 0, "length"
	case le.Uint32(b) != bootMagic:
		return 0, 0, "magic"
	case le.Uint16(b[4:]) > formatVersion:
		return 0, 0, "version"
	case le.Uint32(b[40:]) != crc32.Checksum(b[:40], castagnoli):
		return 0, 0, "crc"
	case [16]byte(b[8:24]) != id:
		return 0, 0, "directory id"
	}
	return le.Uint64(b[24:]), le.Uint64(b[32:]), ""
}

// completeBoot notes that all cores of boot have written a checkpoint, and removes
// the checkpoints of earlier ones.
func completeBoot(fs vfs.FS, dir string, id [16]byte, boot uint64) error {
	if err := fs.WriteFile(bootName(dir), bootBytes(id, boot, boot)); err != nil {
		return fmt.Errorf("segment: write %s: %w", bootName(dir), err)
	}
	return removeCheckpoints(fs, dir, boot)
}

// removeCheckpoints removes the checkpoints of boots before boot.
func removeCheckpoints(fs vfs.FS, dir string, boot uint64) error {
	names, err := fs.List(checkpointDir(dir))
	if err != nil {
		return fmt.Errorf("segment: list checkpoints: %w", err)
	}
	for _, name := range names {
		b, _, ok := parseCheckpointName(name)
		if !ok || b >= boot {
			continue
		}
		if err := fs.Remove(filepath.Join(checkpointDir(dir), name)); err != nil {
			return fmt.Errorf("segment: remove checkpoint: %w", err)
		}
	}
	return nil
}

func parseCheckpointName(name string) (boot uint64, core int, ok bool) {
	a, b, found := strings.Cut(name, "-")
	if !found || len(a) != 16 || len(b) != 4 {
		return 0, 0, false
	}
	_, err1 := fmt.Sscanf(a, "%x", &boot)
	_, err2 := fmt.Sscanf(b, "%x", &core)
	return boot, core, err1 == nil && err2 == nil
}
