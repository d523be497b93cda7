package kafkadir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"millrace/internal/vfs"
	"millrace/protocol"
	"millrace/protocol/batch"
	"millrace/segment"
	"millrace/segment/index"
	"millrace/segment/producer"
	"millrace/segment/seal"
)

// Copy is one run.
type Copy struct {
	To      string // data directory, empty
	Recover bool   // a last segment that is not whole is taken as far as it is
	Now     int64  // wall clock, ms
	Files   vfs.FS

	Logs     []segment.LogInfo
	Epoch    int32 // the greatest leader epoch of any batch
	NextPID  int64 // behind the greatest producer id
	Bytes    int64
	Batches  int64
	Aborted  int64    // transactions
	Cut      []string // what Recover left behind
	interval int64
}

// abortedSize is an entry of .txnindex.
const abortedSize = 34

// Run copies all partitions of a source.
func (c *Copy) Run(s *Source) error {
	c.interval = segment.DefaultConfig().IndexInterval
	for i := range s.Topics {
		t := &s.Topics[i]
		for n := range t.Partitions {
			if err := c.partition(t, int32(n)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Copy) partition(t *Topic, n int32) error {
	p := &t.Partitions[n]
	names, err := segmentsOf(p.Dir)
	if err != nil {
		return err
	}
	l := segment.LogInfo{TP: protocol.TopicPartition{Topic: t.ID, Partition: n}, Topic: t.Name}
	to := segment.PartitionDir(c.To, t.Name, n)
	if err := c.Files.MkdirAll(to); err != nil {
		return fmt.Errorf("kafkadir: %w", err)
	}
	text := fmt.Sprintf("version: 0\ntopic_id: %s", t.ID)
	if err := c.Files.WriteFile(filepath.Join(to, "partition.metadata"), []byte(text)); err != nil {
		return fmt.Errorf("kafkadir: %w", err)
	}
	for i, base := range names {
		g, err := c.segment(&l, p.Dir, to, base, i == len(names)-1)
		if err != nil {
			return err
		}
		if k := len(l.Segments); k > 0 { // it ends where this one begins, whatever was compacted away
			l.Segments[k-1].End = base
		}
		if g.Size > 0 || i < len(names)-1 { // an empty last one is made anew by the first append
			l.Segments = append(l.Segments, g)
		}
	}
	l.Start = max(p.Start, 0)
	if len(names) > 0 {
		l.Start = max(l.Start, names[0])
	}
	l.Start = min(l.Start, l.End)
	l.High = l.End
	if l.End > 0 {
		c.Logs = append(c.Logs, l)
	}
	return c.Files.SyncDir(to)
}

// segmentsOf are the base offsets of a directory's segments, in order.
func segmentsOf(dir string) ([]int64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("kafkadir: %w", err)
	}
	var bases []int64
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), ".log")
		if !ok {
			if strings.HasSuffix(e.Name(), ".swap") {
				return nil, fmt.Errorf("kafkadir: %s/%s: Kafka was stopped in the middle of cleaning: "+
					"start and stop it once more", dir, e.Name())
			}
			continue
		}
		base, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || base < 0 || len(digits) != 20 {
			return nil, fmt.Errorf("kafkadir: %s/%s is no segment", dir, e.Name())
		}
		bases = append(bases, base)
	}
	slices.Sort(bases)
	return bases, nil
}

// building is what is made of a segment while it is read.
type building struct {
	c    *Copy
	l    *segment.LogInfo
	x    *index.Builder
	sums *seal.Builder
	next int64
}

// segment verifies one, copies it, and makes its side files but for the sums.
func (c *Copy) segment(l *segment.LogInfo, from, to string, base int64, last bool) (g segment.SegmentInfo, err error) {
	name := segment.SegmentFile(from, base, ".log")
	f, err := os.Open(name)
	if err != nil {
		return g, fmt.Errorf("kafkadir: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return g, fmt.Errorf("kafkadir: %w", err)
	}
	id := seal.ID{Topic: l.TP.Topic, Partition: l.TP.Partition, Base: base}
	b := &building{c: c, l: l, x: index.NewBuilder(base, c.interval), sums: seal.NewBuilder(id), next: base}
	if base < l.End {
		return g, fmt.Errorf("kafkadir: %s: the segment before it ends at %d", name, l.End)
	}
	valid, err := segment.Walk(f, name, base, info.Size(), b.batch)
	if err == nil && valid < info.Size() {
		err = &segment.CorruptError{File: name, Pos: valid, Rule: "length"}
	}
	if err != nil {
		if old := oldFormat(f, valid); old != "" {
			return g, fmt.Errorf("kafkadir: %s at %d: records in message format %s are not read: "+
				"have Kafka rewrite them (copy the topic) first", name, valid, old)
		}
		var bad *segment.CorruptError
		if !c.Recover || !last || !errors.As(err, &bad) {
			return g, fmt.Errorf("kafkadir: %w", err)
		}
		c.Cut = append(c.Cut, err.Error())
	}
	b.x.Seal()
	maxTime, maxAt := b.x.MaxTime()
	if maxTime < 0 {
		maxAt = -1
	}
	g = segment.SegmentInfo{
		ID: id, End: b.next, Size: valid, Created: info.ModTime().UnixMilli(), MaxTime: maxTime,
		MaxAt: maxAt, Sealed: true, Gaps: true, OnDisk: true,
	}
	l.End = b.next
	if valid == 0 && last {
		return g, nil
	}
	c.Bytes += valid
	return g, c.files(b, &g, f, to, from)
}

func (b *building) batch(v batch.View, pos int64) error {
	b.x.Batch(v.NextOffset()-1, v.MaxTimestamp(), pos, int64(len(v)))
	b.sums.Batch(v, v.NextOffset())
	b.next = v.NextOffset()
	b.c.Batches++
	b.c.Epoch = max(b.c.Epoch, v.LeaderEpoch())
	b.c.NextPID = max(b.c.NextPID, v.ProducerID()+1)
	if e := v.LeaderEpoch(); e > b.l.Epochs.Latest() {
		b.l.Epochs.Assign(e, v.BaseOffset())
	}
	if v.ProducerID() >= 0 && !v.IsControl() && v.BaseSequence() >= 0 {
		b.l.Producers.Note(producer.Batch{
			PID: v.ProducerID(), Epoch: v.ProducerEpoch(), BaseSeq: v.BaseSequence(),
			Count: v.LastOffsetDelta() + 1, BaseOffset: v.BaseOffset(), Timestamp: v.MaxTimestamp(),
		}, b.c.Now)
	}
	return nil
}

// oldFormat names the message format of what begins at pos, when it is one before v2.
func oldFormat(f io.ReaderAt, pos int64) string {
	var b [17]byte
	if _, err := f.ReadAt(b[:], pos); err != nil {
		return ""
	}
	switch b[16] {
	case 0:
		if string(b[:]) == string(make([]byte, len(b))) {
			return "" // zeros
		}
		return "v0"
	case 1:
		return "v1"
	}
	return ""
}

// files copies a segment's log and aborted transactions, and makes its indexes.
func (c *Copy) files(b *building, g *segment.SegmentInfo, f *os.File, to, from string) error {
	base := g.ID.Base
	if err := copyFile(segment.SegmentFile(to, base, ".log"), f, g.Size); err != nil {
		return err
	}
	offsets, times := b.x.Offsets.Bytes(), b.x.Times.Bytes()
	for _, x := range []struct {
		ending string
		b      []byte
	}{{".index", offsets}, {".timeindex", times}} {
		if err := c.Files.WriteFile(segment.SegmentFile(to, base, x.ending), x.b); err != nil {
			return fmt.Errorf("kafkadir: %w", err)
		}
	}
	g.Offsets, g.Times = int64(b.x.Offsets.Entries()), int64(b.x.Times.Entries())
	g.OffsetSum, g.TimeSum = seal.Sum(0, offsets), seal.Sum(0, times)
	sums := b.sums.File(offsets, times, g.End)
	pieces, _ := b.sums.Pieces()
	g.Sums = int64(len(pieces))
	if err := c.Files.WriteFile(segment.SegmentFile(to, base, ".sums"), sums); err != nil {
		return fmt.Errorf("kafkadir: %w", err)
	}
	aborted, err := os.ReadFile(segment.SegmentFile(from, base, ".txnindex"))
	if err != nil || len(aborted) == 0 {
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("kafkadir: %w", err)
	}
	c.Aborted += int64(len(aborted) / abortedSize)
	return c.Files.WriteFile(segment.SegmentFile(to, base, ".txnindex"), aborted)
}

// copyFile copies size bytes, durably. The kernel shares the blocks where the file system
// can; the files themselves are two.
func copyFile(name string, from *os.File, size int64) error {
	to, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("kafkadir: %w", err)
	}
	defer to.Close()
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("kafkadir: %w", err)
	}
	if n, err := io.Copy(to, io.LimitReader(from, size)); err != nil || n != size {
		return fmt.Errorf("kafkadir: copy %s: %d of %d bytes: %w", name, n, size, err)
	}
	if err := to.Sync(); err != nil {
		return fmt.Errorf("kafkadir: %w", err)
	}
	return nil
}
