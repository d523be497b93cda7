package inspect

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"millrace/internal/vfs"
	"millrace/protocol"
	"millrace/segment"
	"millrace/segment/producer"
	"millrace/segment/seal"
)

// survey is what is known of a data directory while it is looked at.
type survey struct {
	t     *Tool
	dir   string
	id    [16]byte
	head  *Directory
	logs  map[protocol.TopicPartition]*segment.LogInfo // the newest of each
	from  map[protocol.TopicPartition]string           // the checkpoint that has it
	files []segment.JournalInfo
	moves uint64 // generation of the book of moves that checkpoints rely on

	replay map[uint64]uint64
}

// directory looks at a whole data directory.
func (t *Tool) directory(dir string) error {
	s := &survey{t: t, dir: dir, head: &Directory{Type: "directory", Path: dir},
		logs: map[protocol.TopicPartition]*segment.LogInfo{}, replay: map[uint64]uint64{},
		from: map[protocol.TopicPartition]string{}}
	for _, step := range []func() error{
		s.properties, s.boot, s.checkpoints, s.moved, s.cleaner, s.names, s.summary, s.journals,
		s.partitions, s.digests,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (s *survey) properties() error {
	name := filepath.Join(s.dir, "meta.properties")
	b, err := s.t.read(name)
	if err != nil || b == nil {
		return err
	}
	have := map[string]string{}
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(k, "#") {
			have[k] = v
		}
	}
	s.head.Cluster, s.head.Node, s.head.Directory = have["cluster.id"], have["node.id"], have["directory.id"]
	id, err := protocol.ParseTopicID(have["directory.id"])
	if err != nil {
		return s.t.bad(name, 0, "directory.id")
	}
	s.id = id
	return nil
}

func (s *survey) boot() error {
	name := segment.BootName(s.dir)
	if s.id == ([16]byte{}) { // what is left is checked against itself
		if b, err := s.t.files.ReadFile(name); err == nil {
			s.id = segment.DirectoryID(b)
		}
	}
	head, err := s.t.boot(name, &s.id)
	if head != nil {
		s.head.Boot, s.head.Complete = head.Boot, head.Complete
	}
	return err
}

// boot reads journal/boot; id nil believes the file.
func (t *Tool) boot(name string, id *[16]byte) (*Directory, error) {
	b, err := t.read(name)
	if err != nil || b == nil {
		return nil, err
	}
	own := segment.DirectoryID(b)
	if id == nil {
		id = &own
	}
	boot, complete, rule := segment.ReadBoot(b, *id)
	if rule != "" {
		return nil, t.bad(name, 0, rule)
	}
	d := &Directory{Type: "directory", Path: name, Boot: boot, Complete: complete, Base: complete,
		Directory: protocol.TopicID(*id).String()}
	if id == &own {
		return d, t.show(d)
	}
	return d, nil
}

func (s *survey) checkpoints() error {
	dir := segment.CheckpointDir(s.dir)
	names, err := s.t.files.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return s.t.bad(dir, 0, "missing")
	}
	if err != nil {
		return fmt.Errorf("inspect: %w", err)
	}
	found, clean := map[uint64]int{}, map[uint64]bool{}
	for _, name := range names {
		boot, core, ok := segment.CheckpointName(name)
		if !ok || boot < s.head.Complete {
			continue
		}
		path := filepath.Join(dir, name)
		c, err := s.t.checkpoint(path, &s.id)
		if err != nil {
			return err
		}
		if c == nil {
			continue
		}
		if c.Boot != boot || c.Core != core {
			if err := s.t.bad(path, 0, "name"); err != nil {
				return err
			}
		}
		if found[boot]++; found[boot] == 1 {
			clean[boot] = true
		}
		clean[boot] = clean[boot] && c.Clean
		if found[boot] == c.Cores && boot >= s.head.Base {
			s.head.Base, s.head.Clean = boot, clean[boot]
		}
		s.replay[c.Journal], s.moves = c.Replay, max(s.moves, c.Moves)
		for i := range c.Logs {
			l := &c.Logs[i]
			if have := s.logs[l.TP]; have == nil || have.Older(l) {
				s.logs[l.TP], s.from[l.TP] = l, path
			}
		}
	}
	s.head.Clean = s.head.Clean && s.head.Base == s.head.Boot
	if s.head.Base < s.head.Complete {
		return s.t.bad(dir, 0, fmt.Sprintf("checkpoints of opening %d are missing", s.head.Complete))
	}
	return nil
}

// checkpoint reads and shows one; nil after a finding. id nil believes the file.
func (t *Tool) checkpoint(path string, id *[16]byte) (*segment.CheckpointInfo, error) {
	b, err := t.read(path)
	if err != nil || b == nil {
		return nil, err
	}
	own := segment.DirectoryID(b)
	alone := id == nil
	if alone {
		id = &own
	}
	c, pos, rule := segment.ReadCheckpoint(b, *id)
	if rule != "" {
		return nil, t.bad(path, pos, rule)
	}
	err = t.show(&Checkpoint{
		Type: "checkpoint", File: path, Version: c.Version, Boot: c.Boot, Core: c.Core, Cores: c.Cores,
		Clean: c.Clean, Journal: c.Journal, Replay: c.Replay, Logs: len(c.Logs),
	})
	for i := range c.Logs {
		if err == nil && alone {
			err = t.show(newLog(path, &c.Logs[i]))
		}
	}
	return &c, err
}

func newLog(file string, l *segment.LogInfo) *Log {
	out := &Log{
		Type: "log", File: file, Topic: l.Topic, Partition: l.TP.Partition, TopicID: l.TP.Topic.String(),
		Start: l.Start, High: l.High, End: l.End, Journal: l.Journal, Entry: l.Entry, Moves: l.Moves,
		Tail:     len(l.Tail),
		Segments: []Segment{}, Producers: []Producer{}, Epochs: []Epoch{},
	}
	for i := range l.Segments {
		g := &l.Segments[i]
		out.Segments = append(out.Segments, Segment{
			Base: g.ID.Base, End: g.End, Size: g.Size, Created: g.Created, MaxTime: g.MaxTime,
			MaxAt: g.MaxAt, Sealed: g.Sealed, Gaps: g.Gaps, OnDisk: g.OnDisk, Offsets: g.Offsets,
			Times: g.Times, Sums: g.Sums, OffsetsCRC: g.OffsetSum, TimesCRC: g.TimeSum,
		})
	}
	l.Producers.Each(func(p producer.Info) {
		out.Producers = append(out.Producers, Producer{p.PID, p.Epoch, p.LastSeq, p.LastTimestamp, p.TxnStartOffset})
	})
	for _, e := range l.Epochs.Entries() {
		out.Epochs = append(out.Epochs, Epoch{e.Epoch, e.Start})
	}
	return out
}

// cleaner brings the logs up to what compaction has done since their checkpoint.
func (s *survey) cleaner() error {
	name := segment.CleanerName(s.dir)
	b, err := s.t.files.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("inspect: %w", err)
	}
	swaps, rule := segment.ReadCleaner(b, s.id)
	if rule != "" {
		return s.t.bad(name, 0, rule)
	}
	for tp, list := range swaps {
		if l := s.logs[tp]; l != nil {
			for _, g := range list {
				l.Swap(g)
			}
		}
	}
	return nil
}

// names learns the topics' names, for entries of journals.
func (s *survey) names() error {
	for tp, l := range s.logs {
		s.t.names[tp.Topic] = l.Topic
	}
	for _, root := range s.roots() {
		names, err := s.t.files.List(segment.LogDir(root))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("inspect: %w", err)
		}
		for _, n := range names {
			topic, _, ok := segment.ParsePartitionDir(n)
			if !ok {
				continue
			}
			id, ok, err := segment.Metadata(s.t.files, filepath.Join(segment.LogDir(root), n))
			if err != nil {
				return err
			}
			if ok && s.t.names[id] == "" {
				s.t.names[id] = topic
			}
		}
	}
	return nil
}

func (s *survey) roots() []string { return append([]string{s.dir}, s.t.o.Also...) }

func (s *survey) summary() error {
	if s.t.o.Verify {
		return s.t.put(s.head)
	}
	return s.t.show(s.head)
}

// journals reads all files, and checks that what a start would replay is there.
func (s *survey) journals() error {
	dir := segment.JournalDir(s.t.files, s.dir)
	names, err := s.t.files.List(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("inspect: %w", err)
	}
	for _, name := range names {
		if !segment.IsJournal(name) {
			continue
		}
		j, err := s.t.scan(filepath.Join(dir, name), s.id)
		if err != nil {
			return err
		}
		if j != nil {
			s.files = append(s.files, *j)
		}
	}
	if len(s.files) == 0 && len(s.logs) > 0 && !s.head.Clean { // an import makes none
		if err := s.t.bad(dir, 0, "no journal files"); err != nil {
			return err
		}
	}
	if err := s.listed(dir, names); err != nil {
		return err
	}
	if s.head.Clean {
		return s.showJournals(nil) // nothing of them is needed
	}
	needed, notes, err := segment.NeededCommits(s.files, s.head.Base, s.replay)
	for _, n := range notes {
		if err := s.t.note(dir, "%s", n); err != nil {
			return err
		}
	}
	if err != nil {
		if err := s.t.badErr(err); err != nil {
			return err
		}
	}
	return s.showJournals(needed)
}

func (s *survey) showJournals(needed []segment.CommitInfo) error {
	count := map[string]int{}
	for _, c := range needed {
		count[c.File]++
	}
	for i := range s.files {
		if err := s.t.journal(s.files[i].Name, &s.files[i], count); err != nil {
			return err
		}
	}
	return nil
}

// scan reads a journal; nil after a finding.
func (t *Tool) scan(path string, id [16]byte) (*segment.JournalInfo, error) {
	j, err := segment.ReadJournal(t.files, path, id, nil)
	if err != nil {
		return nil, t.badErr(err)
	}
	return &j, nil
}

// journal shows a journal file; j nil reads it, by the directory id that it names itself.
func (t *Tool) journal(path string, j *segment.JournalInfo, needed map[string]int) error {
	b, err := t.files.Open(path, vfs.ReadOnly, false)
	if err != nil {
		return fmt.Errorf("inspect: %w", err)
	}
	head := make([]byte, 24)
	_, err = b.ReadAt(head, 0)
	_ = b.Close()
	if err != nil {
		return t.bad(path, 0, "length")
	}
	id := segment.DirectoryID(head)
	if j == nil {
		if j, err = t.scan(path, id); j == nil || err != nil {
			return err
		}
	}
	if err := t.show(&Journal{
		Type: "journal", File: path, Number: j.Number, Size: j.Size, Boot: j.Boot, Unused: j.Unused,
		Commits: len(j.Commits), Needed: needed[path],
	}); err != nil || !t.o.Deep || t.o.Verify {
		return err
	}
	_, err = segment.ReadJournal(t.files, path, id, t.commit)
	return err
}

func (t *Tool) commit(c *segment.CommitInfo) error {
	if err := t.show(&Commit{
		Type: "commit", File: c.File, Pos: c.Pos, Size: c.Size, Boot: c.Boot, Core: c.Core,
		Sequence: c.Sequence, Durability: c.Durability.String(), Entries: len(c.Entries),
	}); err != nil {
		return err
	}
	for i := range c.Entries {
		e := &c.Entries[i]
		if err := t.show(&Entry{
			Type: "entry", Kind: e.Kind, Number: e.Number, TopicID: e.TP.Topic.String(),
			Topic: t.names[e.TP.Topic], Partition: e.TP.Partition, Epoch: e.Epoch, Offset: e.Offset,
			Segment: e.Segment, Pos: e.Pos, Bytes: e.Total, Fragment: !e.First || e.More, Placed: e.Placed,
		}); err != nil {
			return err
		}
	}
	return nil
}

// partitions shows and checks every log of the checkpoints.
func (s *survey) partitions() error {
	all := make([]*segment.LogInfo, 0, len(s.logs))
	for _, l := range s.logs {
		if s.t.o.Topic == "" || l.Topic == s.t.o.Topic {
			all = append(all, l)
		}
	}
	slices.SortFunc(all, func(a, b *segment.LogInfo) int {
		if c := strings.Compare(a.Topic, b.Topic); c != 0 {
			return c
		}
		return int(a.TP.Partition) - int(b.TP.Partition)
	})
	for _, l := range all {
		if err := s.t.show(newLog(s.from[l.TP], l)); err != nil {
			return err
		}
		if err := s.partition(l); err != nil {
			return err
		}
	}
	return nil
}

// partition checks one log's files, and shows them when deep.
func (s *survey) partition(l *segment.LogInfo) error {
	dir := s.place(l)
	id, ok, err := segment.Metadata(s.t.files, dir)
	onDisk := slices.ContainsFunc(l.Segments, func(g segment.SegmentInfo) bool { return g.OnDisk })
	switch {
	case err != nil:
		return err
	case !onDisk:
	case !ok:
		err = s.t.bad(filepath.Join(dir, "partition.metadata"), 0, "missing or unreadable")
	case id != l.TP.Topic:
		return s.t.note(dir, "belongs to topic id %s: %s is deleted", id, l.TP.Topic)
	}
	for i := range l.Segments {
		if err != nil {
			return err
		}
		err = s.segment(l, i, dir)
	}
	return err
}

// place is where a log's directory is.
func (s *survey) place(l *segment.LogInfo) string {
	for _, root := range s.roots() {
		dir := segment.PartitionDir(root, l.Topic, l.TP.Partition)
		if _, err := s.t.files.Stat(dir); err == nil {
			return dir
		}
	}
	return segment.PartitionDir(s.dir, l.Topic, l.TP.Partition)
}

func (s *survey) segment(l *segment.LogInfo, i int, dir string) error {
	g := &l.Segments[i]
	if g.Generation > 0 {
		first := segment.CleanedFile(dir, g.ID.Base, ".log", g.Generation)
		if _, err := s.t.files.Stat(first); err == nil {
			return s.t.note(first, "is put in its place by the next start")
		}
	}
	if s.t.o.Deep && !s.t.o.Verify && g.OnDisk {
		if err := s.t.log(segment.SegmentFile(dir, g.ID.Base, ".log"), g.ID.Base); err != nil {
			return err
		}
	}
	if !g.OnDisk && g.Size == 0 {
		return nil
	}
	var tail []byte
	if i == len(l.Segments)-1 && !g.Sealed {
		tail = l.Tail
	}
	if s.head.Clean && len(tail) > 0 {
		if err := s.sameTail(segment.SegmentFile(dir, g.ID.Base, ".log"), g.Size, tail); err != nil {
			return err
		}
	}
	if g.Open == (seal.Running{}) && g.Sums >= 0 {
		g.Open = seal.Begin(g.ID, 0)
	}
	return s.t.checkSegment(dir, g, tail)
}

// sameTail checks the end of an active segment's file, which a clean stop wrote as the
// checkpoint has it: for Kafka's tools; a start goes by the checkpoint.
func (s *survey) sameTail(name string, size int64, tail []byte) error {
	f, err := s.t.files.Open(name, vfs.ReadOnly, false)
	if err != nil {
		return nil // what is missing is told by the check of the segment
	}
	defer f.Close()
	at := size - int64(len(tail))
	have := make([]byte, len(tail))
	if n, err := f.ReadAt(have, at); n < len(have) {
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("inspect: %w", err)
		}
		return s.t.bad(name, at+int64(n), "length")
	}
	if !bytes.Equal(have, tail) {
		return s.t.bad(name, at, "differs from the checkpoint")
	}
	return nil
}

// listed checks that the journal files are there of which the list says so.
func (s *survey) listed(dir string, have []string) error {
	name := segment.JournalListName(s.dir)
	b, err := s.t.files.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // made before there was a list
	}
	if err != nil {
		return fmt.Errorf("inspect: %w", err)
	}
	names, rule := segment.ReadJournalList(b, s.id)
	if rule != "" {
		return s.t.bad(name, 0, rule)
	}
	for _, n := range names {
		path := filepath.Join(dir, n)
		i := slices.IndexFunc(s.files, func(j segment.JournalInfo) bool { return j.Name == path })
		if i >= 0 && s.files[i].Size < s.files[i].Made {
			if err := s.t.bad(path, s.files[i].Size, "length"); err != nil {
				return err
			}
		}
		if slices.Contains(have, n) {
			continue
		}
		if err := s.t.bad(filepath.Join(dir, n), 0, "missing"); err != nil {
			return err
		}
	}
	return nil
}
