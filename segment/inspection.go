package segment

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"

	"millrace/internal/vfs"
	"millrace/protocol"
	"millrace/segment/epoch"
	"millrace/segment/producer"
	"millrace/segment/seal"
)

// What tools see of the formats of this package (segment/inspect). Nothing here is
// used by a broker that runs.

// CheckpointInfo is one checkpoint file.
type CheckpointInfo struct {
	Version     int
	Directory   [16]byte
	Boot        uint64
	Core, Cores int
	Clean       bool
	Journal     uint64
	Replay      uint64 // first commit of the journal that is still needed
	Moves       uint64 // generation of the book of moves that it relies on
	Logs        []LogInfo
}

// LogInfo is one log in a checkpoint.
type LogInfo struct {
	TP               protocol.TopicPartition
	Topic            string
	Journal          uint64
	Entry            uint64 // of that journal, the last that is covered
	Moves            uint32 // how often it went to another core
	Start, High, End int64
	Segments         []SegmentInfo
	Tail             []byte // of the active segment: what follows its last whole block
	Producers        producer.State
	Epochs           epoch.Cache
}

// SegmentInfo is one segment in a checkpoint.
type SegmentInfo struct {
	ID                 seal.ID
	End, Size          int64 // offset, bytes
	Created            int64
	MaxTime, MaxAt     int64
	Sealed, Gaps       bool
	OnDisk             bool
	Offsets, Times     int64  // entries of .index and .timeindex
	Sums               int64  // of .sums; −1: unknown
	OffsetSum, TimeSum uint32 // CRCs of the indexes
	Open               seal.Running
	Pieces             []seal.Piece // closed, and not yet in .sums
	Generation         uint64       // of the compaction that made it, when a book names it
}

// DirectoryID is the one that a journal, a checkpoint or journal/boot names.
func DirectoryID(b []byte) (id [16]byte) {
	if len(b) >= 24 {
		copy(id[:], b[8:24])
	}
	return id
}

// ReadCheckpoint reads a checkpoint file of a directory. Rule says what is broken and
// where, "" for nothing.
func ReadCheckpoint(b []byte, dir [16]byte) (c CheckpointInfo, pos int64, rule string) {
	h, records, rule := parseCheckpoint(b, dir)
	if rule != "" {
		return c, 0, rule
	}
	c = CheckpointInfo{
		Version: int(h.version), Directory: dir, Boot: h.boot, Core: int(h.core),
		Cores: int(h.cores), Clean: h.clean, Journal: uint64(h.journal), Replay: h.replay,
		Moves: h.moves,
	}
	for range h.logs {
		at := int64(len(b) - checkpointTrailer - len(records))
		r, rest, ok := nextLogRecord(records, h.version)
		if !ok {
			return c, at, "record"
		}
		l, rule := r.info()
		if rule != "" {
			return c, at, rule
		}
		c.Logs = append(c.Logs, l)
		records = rest
	}
	if len(records) != 0 {
		return c, int64(len(b) - len(records)), "records"
	}
	return c, 0, ""
}

func (r *logRecord) info() (l LogInfo, rule string) {
	l = LogInfo{
		TP: r.tp, Topic: string(r.topic), Journal: uint64(r.journal), Entry: uint64(r.seq),
		Moves: r.moves,
		Start: r.start, High: r.high, End: r.end, Tail: r.tail,
	}
	if r.start > r.end || r.high > r.end {
		return l, "marks"
	}
	for i := range r.segs {
		s := &r.segs[i]
		if i > 0 && r.segs[i-1].end != s.base || s.size < 0 || s.end < s.base {
			return l, "segments"
		}
		l.Segments = append(l.Segments, s.info(r.tp))
	}
	if n := len(l.Segments); len(r.pending) > 0 {
		g := &seg{}
		if n > 0 {
			last := &r.segs[n-1]
			g.base, g.end, g.size, g.sealed = last.base, last.end, last.size, last.sealed
			g.sums.run.Begin = last.sumBegin
		}
		if n == 0 || !g.restorePending(r.pending) {
			return l, "pending index entries"
		}
		l.Segments[n-1].Pieces = g.sums.fresh
	}
	if err := l.Producers.Decode(r.producers); err != nil {
		return l, "producers"
	}
	if err := l.Epochs.Decode(r.epochs); err != nil {
		return l, "epochs"
	}
	return l, ""
}

func (s *segRecord) info(tp protocol.TopicPartition) SegmentInfo {
	return SegmentInfo{
		ID:  seal.ID{Topic: tp.Topic, Partition: tp.Partition, Base: s.base},
		End: s.end, Size: s.size, Created: s.created, MaxTime: s.maxTime, MaxAt: s.maxAt,
		Sealed: s.sealed, Gaps: s.gaps, OnDisk: s.onDisk, Offsets: s.offsets,
		Times: s.times, Sums: s.sums, OffsetSum: s.offsetSum, TimeSum: s.timeSum,
		Open: seal.Running{Begin: s.sumBegin, Sum: s.sum},
	}
}

// CleanerName is the file that has the swaps of compaction.
func CleanerName(dir string) string { return cleanerName(dir) }

// ReadCleaner reads that file: the segments that compaction made, which stand for those
// that an older checkpoint has of the same offsets.
func ReadCleaner(b []byte, dir [16]byte) (swaps map[protocol.TopicPartition][]SegmentInfo, rule string) {
	book, rule := parseCleanBook(b, dir)
	if rule != "" {
		return nil, rule
	}
	swaps = map[protocol.TopicPartition][]SegmentInfo{}
	for tp, e := range book {
		for i := range e.swaps {
			s := e.swaps[i].seg.info(tp)
			s.Generation = e.swaps[i].gen
			swaps[tp] = append(swaps[tp], s)
		}
	}
	return swaps, ""
}

// MovesName is the file that has the logs that went to another core.
func MovesName(dir string) string { return movesName(dir) }

// ReadMoves reads that file.
func ReadMoves(b []byte, dir [16]byte) (logs []LogInfo, generation uint64, rule string) {
	list, generation, rule := parseMoves(b, dir)
	for i := range list {
		l, broken := list[i].info()
		if broken != "" {
			return nil, 0, broken
		}
		logs = append(logs, l)
	}
	return logs, generation, rule
}

// Older says whether another record of the same log is newer.
func (l *LogInfo) Older(than *LogInfo) bool {
	a := logRecord{journal: journalID(l.Journal), moves: l.Moves, seq: Seq(l.Entry)}
	b := logRecord{journal: journalID(than.Journal), moves: than.Moves, seq: Seq(than.Entry)}
	return a.older(&b)
}

// Swap puts a segment that compaction made in the place of those that it stands for.
func (l *LogInfo) Swap(s SegmentInfo) {
	from := 0
	for from < len(l.Segments) && l.Segments[from].ID.Base < s.ID.Base {
		from++
	}
	to := from
	for to < len(l.Segments) && l.Segments[to].End <= s.End {
		to++
	}
	if to == from || l.Segments[to-1].End != s.End || !l.Segments[to-1].Sealed {
		return
	}
	l.Segments = slices.Replace(l.Segments, from, to, s)
}

// CleanedFile is the first name of a compacted segment's file.
func CleanedFile(dir string, base int64, ending string, gen uint64) string {
	return filepath.Join(dir, cleanedName(base, ending, gen))
}

// ReadBoot reads journal/boot.
func ReadBoot(b []byte, dir [16]byte) (boot, complete uint64, rule string) {
	return parseBoot(b, dir)
}

// Names of what is in a data directory.

// CheckpointDir is the directory of the checkpoints.
func CheckpointDir(dir string) string { return checkpointDir(dir) }

// JournalDir is that of the journals: beside the data, or where journal/place says.
func JournalDir(files vfs.FS, dir string) string {
	b, err := files.ReadFile(placeName(dir))
	if was := strings.TrimSpace(string(b)); err == nil && filepath.IsAbs(was) {
		return was
	}
	return journalDir(dir)
}

// JournalListName is the file that lists the journal files.
func JournalListName(dir string) string { return listName(dir) }

// ReadJournalList reads it: the names of the files that must be there.
func ReadJournalList(b []byte, dir [16]byte) (names []string, rule string) {
	numbers, rule := parseJournalList(b, dir)
	for _, n := range numbers {
		names = append(names, journalName("", n))
	}
	return names, rule
}

// LogDir is that of the partitions.
func LogDir(dir string) string { return logRoot(dir) }

// BootName is the file that counts openings.
func BootName(dir string) string { return bootName(dir) }

// CheckpointName splits the name of a checkpoint.
func CheckpointName(name string) (boot uint64, core int, ok bool) {
	return parseCheckpointName(name)
}

// PartitionDir is where a partition's files are.
func PartitionDir(dir, topic string, partition int32) string {
	return partitionDir(dir, topic, partition)
}

// ParsePartitionDir splits TOPIC-PARTITION.
func ParsePartitionDir(name string) (topic string, partition int32, ok bool) {
	return parseDirName(name)
}

// SegmentFile is a file of a segment: .log, .index, .timeindex or .sums.
func SegmentFile(dir string, base int64, ending string) string {
	return segmentPath(dir, base, ending)
}

// Metadata reads a partition.metadata. False when there is none, or it is torn.
func Metadata(files vfs.FS, dir string) (id protocol.TopicID, ok bool, err error) {
	return readMetadata(files, dir)
}

// IsJournal says whether a name is that of a journal file.
func IsJournal(name string) bool { return strings.HasSuffix(filepath.Base(name), ".journal") }

// CommitInfo is one commit of a journal file.
type CommitInfo struct {
	File       string
	Pos, Size  int64
	Journal    uint64
	Boot       uint64
	Core       int
	Sequence   uint64
	Durability Durability
	Entries    []EntryInfo
}

// EntryInfo is one entry or fragment.
type EntryInfo struct {
	Kind    string // append, truncate, start-offset, drop
	First   bool   // fragment
	More    bool   // fragments follow
	Placed  bool   // the payload lies behind the entries
	TP      protocol.TopicPartition
	Epoch   int32
	Offset  int64
	Segment int64
	Pos     uint32
	Total   uint32
	Number  uint64
	Moves   uint16 // of the log, the lowest bits
	Payload []byte
}

var kindNames = map[uint8]string{
	kindAppend: "append", kindTruncate: "truncate", kindStart: "start-offset", kindDrop: "drop",
}

// JournalInfo is one journal file.
type JournalInfo struct {
	Name    string
	Size    int64
	Made    int64 // size when it was made
	Number  uint64
	Boot    uint64 // that made it
	Unused  bool   // its making was cut short
	Commits []CommitInfo
}

// ReadJournal reads all whole commits of a journal file; with entries when each is
// set, which is called for every commit and keeps nothing of it.
func ReadJournal(files vfs.FS, name string, dir [16]byte, each func(*CommitInfo) error) (JournalInfo, error) {
	j := JournalInfo{Name: name}
	sc, err := scanJournal(files, name, dir, false)
	if err != nil {
		return j, err
	}
	j.Size, j.Made, j.Unused = sc.size, sc.made, sc.unusable
	f, err := files.Open(name, vfs.ReadOnly, false)
	if err != nil {
		return j, err
	}
	defer f.Close()
	if !j.Unused {
		head := make([]byte, block)
		if _, err := f.ReadAt(head, 0); err != nil {
			return j, err
		}
		j.Number, j.Boot = le.Uint64(head[24:]), le.Uint64(head[40:])
	}
	for i := range sc.commits {
		ref := &sc.commits[i]
		c := CommitInfo{
			File: name, Pos: ref.off, Size: ref.h.size(), Journal: uint64(ref.h.journal),
			Boot: ref.h.journal.boot(), Core: ref.h.journal.core(), Sequence: ref.h.sequence,
			Durability: ref.h.mode,
		}
		if each != nil {
			b := make([]byte, c.Size)
			if _, err := f.ReadAt(b, ref.off); err != nil {
				return j, err
			}
			if c.Entries, err = entriesOf(ref, b); err != nil {
				return j, err
			}
			if err := each(&c); err != nil {
				return j, err
			}
			c.Entries = nil
		}
		j.Commits = append(j.Commits, c)
	}
	return j, nil
}

func entriesOf(ref *commitRef, b []byte) (list []EntryInfo, err error) {
	b, placed := ref.h.parts(b)
	for n := uint32(0); n < ref.h.entries; n++ {
		h, payload, rest, behind, rule := nextEntry(b, placed)
		if rule != "" {
			return list, &CorruptError{ref.file.name, ref.off + int64(int(ref.h.length)-len(b)), rule}
		}
		list = append(list, EntryInfo{
			Kind: kindNames[h.kind], First: h.flags&flagFirst != 0, More: h.flags&flagMore != 0,
			Placed: h.flags&flagPlaced != 0, TP: h.tp, Epoch: h.epoch, Offset: h.offset,
			Segment: h.segment, Pos: h.pos, Total: h.total, Number: uint64(h.seq), Moves: h.moves,
			Payload: bytes.Clone(payload),
		})
		b, placed = rest, behind
	}
	return list, nil
}

// NeededCommits are those that a start would replay, in order, as ReadJournal found
// them; notes are what an operator should know. It refuses what a start refuses.
func NeededCommits(journals []JournalInfo, base uint64, replay map[uint64]uint64) (
	needed []CommitInfo, notes []string, err error) {
	var files []*scanned
	at := map[*scanned]map[int64]CommitInfo{}
	for i := range journals {
		j := &journals[i]
		sc := &scanned{name: j.Name, size: j.Size}
		at[sc] = map[int64]CommitInfo{}
		for _, c := range j.Commits {
			at[sc][c.Pos] = c
			sc.commits = append(sc.commits, commitRef{file: sc, off: c.Pos, h: commitHeader{
				journal: journalID(c.Journal), sequence: c.Sequence, mode: c.Durability,
				length: uint32(c.Size),
			}})
		}
		files = append(files, sc)
	}
	from := map[journalID]uint64{}
	for j, seq := range replay {
		from[journalID(j)] = seq
	}
	all, _, notes, err := chains(files, base, from)
	for _, c := range all {
		for _, r := range c.commits {
			needed = append(needed, at[r.file][r.off])
		}
	}
	return needed, notes, err
}
