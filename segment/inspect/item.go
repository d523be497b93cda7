package inspect

import (
	"fmt"
	"strings"

	"millrace/protocol/batch"
)

// Item is something that was found, to be shown.
type Item interface{ Text() string }

// Finding is damage.
type Finding struct {
	Type string `json:"type"` // "damage"
	File string `json:"file"`
	Pos  int64  `json:"position"`
	Rule string `json:"rule"`
}

// Text names the place.
func (f *Finding) Text() string {
	return fmt.Sprintf("DAMAGED %s at %d: %s", f.File, f.Pos, f.Rule)
}

// Note is something that is no damage, but that one should know.
type Note struct {
	Type string `json:"type"` // "note"
	File string `json:"file"`
	Note string `json:"note"`
}

// Text is one line.
func (n *Note) Text() string { return fmt.Sprintf("note: %s: %s", n.File, n.Note) }

// Directory is a data directory.
type Directory struct {
	Type      string `json:"type"` // "directory"
	Path      string `json:"path"`
	Cluster   string `json:"clusterId"`
	Node      string `json:"nodeId"`
	Directory string `json:"directoryId"`
	Boot      uint64 `json:"boot"`
	Complete  uint64 `json:"complete"`
	Base      uint64 `json:"base"` // the boot whose checkpoints a start begins with
	Clean     bool   `json:"clean"`
}

// Text is one line.
func (d *Directory) Text() string {
	return fmt.Sprintf("directory %s: cluster %s, node %s, directory %s, opened %d times, "+
		"checkpoints of opening %d, clean stop: %t", d.Path, d.Cluster, d.Node, d.Directory, d.Boot,
		d.Base, d.Clean)
}

// Checkpoint is one file of checkpoint/.
type Checkpoint struct {
	Type    string `json:"type"` // "checkpoint"
	File    string `json:"file"`
	Version int    `json:"version"`
	Boot    uint64 `json:"boot"`
	Core    int    `json:"core"`
	Cores   int    `json:"cores"`
	Clean   bool   `json:"clean"`
	Journal uint64 `json:"journal"`
	Replay  uint64 `json:"replay"`
	Logs    int    `json:"logs"`
}

// Text is one line.
func (c *Checkpoint) Text() string {
	return fmt.Sprintf("checkpoint %s: version %d, opening %d, core %d of %d, clean stop: %t, %d logs, "+
		"journal %#x is needed from commit %d on", c.File, c.Version, c.Boot, c.Core, c.Cores, c.Clean,
		c.Logs, c.Journal, c.Replay)
}

// Log is one partition in a checkpoint.
type Log struct {
	Type      string     `json:"type"` // "log"
	File      string     `json:"file"` // the checkpoint
	Topic     string     `json:"topic"`
	Partition int32      `json:"partition"`
	TopicID   string     `json:"topicId"`
	Start     int64      `json:"startOffset"`
	High      int64      `json:"highWatermark"`
	End       int64      `json:"endOffset"`
	Journal   uint64     `json:"journal"`
	Entry     uint64     `json:"entry"`
	Moves     uint32     `json:"moves"` // how often it went to another core
	Tail      int        `json:"tailBytes"`
	Segments  []Segment  `json:"segments"`
	Producers []Producer `json:"producers"`
	Epochs    []Epoch    `json:"epochs"`
}

// Segment is one segment of a Log.
type Segment struct {
	Base       int64  `json:"baseOffset"`
	End        int64  `json:"endOffset"`
	Size       int64  `json:"bytes"`
	Created    int64  `json:"created"`
	MaxTime    int64  `json:"maxTimestamp"`
	MaxAt      int64  `json:"offsetOfMaxTimestamp"`
	Sealed     bool   `json:"sealed"`
	Gaps       bool   `json:"gaps"`
	OnDisk     bool   `json:"onDisk"`
	Offsets    int64  `json:"indexEntries"`
	Times      int64  `json:"timeIndexEntries"`
	Sums       int64  `json:"sums"`
	OffsetsCRC uint32 `json:"indexCrc"`
	TimesCRC   uint32 `json:"timeIndexCrc"`
}

// Producer is the state of one idempotent producer.
type Producer struct {
	ID            int64 `json:"producerId"`
	Epoch         int16 `json:"producerEpoch"`
	LastSequence  int32 `json:"lastSequence"`
	LastTimestamp int64 `json:"lastTimestamp"`
	TxnStart      int64 `json:"currentTransactionStartOffset"`
}

// Epoch is one entry of the leader epoch cache.
type Epoch struct {
	Epoch int32 `json:"epoch"`
	Start int64 `json:"startOffset"`
}

// Text is one line, and one for each of its parts.
func (l *Log) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "log %s-%d: id %s, offsets %d to %d, high watermark %d, %d segments, "+
		"%d bytes of tail, covers journal %#x to entry %d", l.Topic, l.Partition, l.TopicID, l.Start, l.End,
		l.High, len(l.Segments), l.Tail, l.Journal, l.Entry)
	for _, s := range l.Segments {
		state := "active"
		if s.Sealed {
			state = "sealed"
		}
		if s.Gaps {
			state += ", compacted"
		}
		if !s.OnDisk {
			state += ", no file yet"
		}
		fmt.Fprintf(&b, "\n  segment %020d to %d: %d bytes, %s, max timestamp %d at %d, "+
			"%d index entries, %d time index entries, %d sums", s.Base, s.End, s.Size, state, s.MaxTime,
			s.MaxAt, s.Offsets, s.Times, s.Sums)
	}
	for _, p := range l.Producers {
		fmt.Fprintf(&b, "\n  producerId: %d producerEpoch: %d lastSequence: %d lastTimestamp: %d "+
			"currentTransactionStartOffset: %d", p.ID, p.Epoch, p.LastSequence, p.LastTimestamp, p.TxnStart)
	}
	for _, e := range l.Epochs {
		fmt.Fprintf(&b, "\n  leader epoch %d from %d", e.Epoch, e.Start)
	}
	return b.String()
}

// Journal is one journal file.
type Journal struct {
	Type    string `json:"type"` // "journal"
	File    string `json:"file"`
	Number  uint64 `json:"number"`
	Size    int64  `json:"bytes"`
	Boot    uint64 `json:"boot"`
	Unused  bool   `json:"unused"`
	Commits int    `json:"commits"`
	Needed  int    `json:"neededCommits"` // of them a start would replay
}

// Text is one line.
func (j *Journal) Text() string {
	return fmt.Sprintf("journal %s: number %d, %d bytes, made by opening %d, %d whole commits, %d are needed",
		j.File, j.Number, j.Size, j.Boot, j.Commits, j.Needed)
}

// Commit is one write of a journal.
type Commit struct {
	Type       string `json:"type"` // "commit"
	File       string `json:"file"`
	Pos        int64  `json:"position"`
	Size       int64  `json:"bytes"`
	Boot       uint64 `json:"boot"`
	Core       int    `json:"core"`
	Sequence   uint64 `json:"sequence"`
	Durability string `json:"durability"`
	Entries    int    `json:"entries"`
}

// Text is one line.
func (c *Commit) Text() string {
	return fmt.Sprintf("commit at %d: opening %d, core %d, sequence %d, %d bytes, %s, %d entries",
		c.Pos, c.Boot, c.Core, c.Sequence, c.Size, c.Durability, c.Entries)
}

// Entry is one of a commit.
type Entry struct {
	Type      string `json:"type"` // "entry"
	Kind      string `json:"kind"`
	Number    uint64 `json:"number"`
	TopicID   string `json:"topicId"`
	Topic     string `json:"topic,omitempty"` // when the directory knows it
	Partition int32  `json:"partition"`
	Epoch     int32  `json:"leaderEpoch"`
	Offset    int64  `json:"offset"`
	Segment   int64  `json:"segment"`
	Pos       uint32 `json:"positionInSegment"`
	Bytes     uint32 `json:"bytes"`
	Fragment  bool   `json:"fragment"`
	Placed    bool   `json:"placed"`
}

// Text is one line.
func (e *Entry) Text() string {
	name := e.Topic
	if name == "" {
		name = e.TopicID
	}
	line := fmt.Sprintf("  entry %d: %s %s-%d offset %d", e.Number, e.Kind, name, e.Partition, e.Offset)
	if e.Kind == "append" {
		line += fmt.Sprintf(" epoch %d segment %d position %d bytes %d", e.Epoch, e.Segment, e.Pos, e.Bytes)
	}
	if e.Fragment {
		line += " fragment"
	}
	if e.Placed {
		line += " placed"
	}
	return line
}

// Batch is a record batch, in the words of Kafka's dump tool.
type Batch struct {
	Type          string `json:"type"` // "batch"
	BaseOffset    int64  `json:"baseOffset"`
	LastOffset    int64  `json:"lastOffset"`
	Count         int32  `json:"count"`
	BaseSequence  int32  `json:"baseSequence"`
	LastSequence  int32  `json:"lastSequence"`
	ProducerID    int64  `json:"producerId"`
	ProducerEpoch int16  `json:"producerEpoch"`
	LeaderEpoch   int32  `json:"partitionLeaderEpoch"`
	Transactional bool   `json:"isTransactional"`
	Control       bool   `json:"isControl"`
	DeleteHorizon *int64 `json:"deleteHorizonMs,omitempty"`
	Pos           int64  `json:"position"`
	TimeType      string `json:"timestampType"`
	Time          int64  `json:"timestamp"` // the greatest
	Size          int    `json:"size"`
	Magic         int8   `json:"magic"`
	Codec         string `json:"compresscodec"`
	CRC           uint32 `json:"crc"`
	Valid         bool   `json:"isvalid"`
}

func newBatch(v batch.View, pos int64) *Batch {
	b := &Batch{
		Type: "batch", BaseOffset: v.BaseOffset(), LastOffset: v.LastOffset(), Count: v.Count(),
		BaseSequence: v.BaseSequence(), LastSequence: v.LastSequence(), ProducerID: v.ProducerID(),
		ProducerEpoch: v.ProducerEpoch(), LeaderEpoch: v.LeaderEpoch(),
		Transactional: v.IsTransactional(), Control: v.IsControl(), Pos: pos, TimeType: "CreateTime",
		Time: v.MaxTimestamp(), Size: v.Size(), Magic: v.Magic(), Codec: v.Codec().String(),
		CRC: v.CRC(), Valid: v.CheckCRC(),
	}
	if v.IsLogAppendTime() {
		b.TimeType = "LogAppendTime"
	}
	if v.Attributes()&deleteHorizon != 0 {
		at := v.BaseTimestamp()
		b.DeleteHorizon = &at
	}
	return b
}

// deleteHorizon is the attribute that says that the base timestamp is one (KIP-534).
const deleteHorizon = 1 << 6

// Text is Kafka's line.
func (b *Batch) Text() string {
	horizon := "OptionalLong.empty"
	if b.DeleteHorizon != nil {
		horizon = fmt.Sprintf("OptionalLong[%d]", *b.DeleteHorizon)
	}
	return fmt.Sprintf("baseOffset: %d lastOffset: %d count: %d baseSequence: %d lastSequence: %d "+
		"producerId: %d producerEpoch: %d partitionLeaderEpoch: %d isTransactional: %t isControl: %t "+
		"deleteHorizonMs: %s position: %d %s: %d size: %d magic: %d compresscodec: %s crc: %d isvalid: %t",
		b.BaseOffset, b.LastOffset, b.Count, b.BaseSequence, b.LastSequence, b.ProducerID,
		b.ProducerEpoch, b.LeaderEpoch, b.Transactional, b.Control, horizon, b.Pos, b.TimeType, b.Time,
		b.Size, b.Magic, b.Codec, b.CRC, b.Valid)
}

// Record is one record of a batch.
type Record struct {
	Type     string   `json:"type"` // "record"
	Offset   int64    `json:"offset"`
	TimeType string   `json:"timestampType"`
	Time     int64    `json:"timestamp"`
	Sequence int32    `json:"sequence"`
	Key      []byte   `json:"key"`   // base64, null
	Value    []byte   `json:"value"` // base64, null
	Headers  []Header `json:"headers,omitempty"`

	bare bool // without key and value
}

// Header is one of a record.
type Header struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

// Text is Kafka's line.
func (r *Record) Text() string {
	size := func(b []byte) int {
		if b == nil {
			return -1
		}
		return len(b)
	}
	keys := make([]string, len(r.Headers))
	for i, h := range r.Headers {
		keys[i] = printable(h.Key)
	}
	line := fmt.Sprintf("| offset: %d %s: %d keySize: %d valueSize: %d sequence: %d headerKeys: [%s]",
		r.Offset, r.TimeType, r.Time, size(r.Key), size(r.Value), r.Sequence, strings.Join(keys, ","))
	if r.bare {
		return line
	}
	if r.Key != nil {
		line += " key: " + printable(string(r.Key))
	}
	if r.Value != nil {
		line += " payload: " + printable(string(r.Value))
	}
	return line
}

// IndexEntry is one of .index.
type IndexEntry struct {
	Type   string `json:"type"` // "index"
	Offset int64  `json:"offset"`
	Pos    int32  `json:"position"`
}

// Text is Kafka's line.
func (e *IndexEntry) Text() string { return fmt.Sprintf("offset: %d position: %d", e.Offset, e.Pos) }

// TimeEntry is one of .timeindex.
type TimeEntry struct {
	Type   string `json:"type"` // "timeindex"
	Time   int64  `json:"timestamp"`
	Offset int64  `json:"offset"`
}

// Text is Kafka's line.
func (e *TimeEntry) Text() string { return fmt.Sprintf("timestamp: %d offset: %d", e.Time, e.Offset) }

// Sum is one entry of .sums.
type Sum struct {
	Type  string `json:"type"` // "sum"
	Begin int64  `json:"begin"`
	End   int64  `json:"end"`
	Next  int64  `json:"endOffset"`
	Sum   uint32 `json:"sum"`
}

// Text is one line.
func (s *Sum) Text() string {
	return fmt.Sprintf("bytes %d to %d, to offset %d: sum %#08x", s.Begin, s.End, s.Next, s.Sum)
}

// Trailer is the end of a .sums file.
type Trailer struct {
	Type       string `json:"type"` // "trailer"
	Size       int64  `json:"bytes"`
	Next       int64  `json:"endOffset"`
	Sums       int64  `json:"sums"`
	Offsets    int64  `json:"indexBytes"`
	OffsetsCRC uint32 `json:"indexCrc"`
	Times      int64  `json:"timeIndexBytes"`
	TimesCRC   uint32 `json:"timeIndexCrc"`
}

// Text is one line.
func (t *Trailer) Text() string {
	return fmt.Sprintf("sealed: %d bytes, to offset %d, %d sums, .index %d bytes crc %#08x, "+
		".timeindex %d bytes crc %#08x", t.Size, t.Next, t.Sums, t.Offsets, t.OffsetsCRC, t.Times, t.TimesCRC)
}

// Head says which file the following items are of.
type Head struct {
	Type string `json:"type"` // "file"
	File string `json:"file"`
}

// Text is Kafka's line.
func (h *Head) Text() string { return "Dumping " + h.File }

// printable keeps a client's bytes from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0xfffd {
			return '?'
		}
		return r
	}, s)
}
