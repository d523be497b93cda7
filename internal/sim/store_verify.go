package sim

import (
	"bytes"
	"errors"
	"io/fs"
	"path"
	"sort"
	"strconv"
	"strings"

	"millrace/internal/vfs"
	"millrace/protocol"
	"millrace/segment"
	"millrace/segment/index"
)

// cursor reads a whole log after a recovery.
type cursor struct {
	at, end int64
	busy    bool
	finds   int // questions by time still to ask
	asked   int
	told    int
}

// verify reads everything that the new life has from front to back and holds it
// against the model.
func (s *store) verify() {
	s.quiet = true
	for _, t := range s.topics {
		for _, p := range t.parts {
			m := p.log.Marks()
			p.verify = &cursor{at: m.Start, end: m.High, finds: s.rng.IntN(4)}
			if p.topic.cfg.Compact {
				p.verify.finds = 0
			}
			p.core.core.wake()
		}
	}
	left := func() *part {
		for _, t := range s.topics {
			for _, p := range t.parts {
				if v := p.verify; v.at < v.end || v.finds > 0 || v.told < v.asked {
					return p
				}
			}
		}
		return nil
	}
	if !s.run(400_000, func() bool { return left() == nil }) && left() != nil {
		p := left()
		s.fail("%v: reading stops at %+v, marks %+v, %+v, compacted: %v: %s", p, *p.verify, p.log.Marks(),
			p.log.Config(), p.topic.cfg.Compact, s.waiting())
	}
	for _, t := range s.topics {
		for _, p := range t.parts {
			p.verify = nil
			s.w.Tally[Checked]++
		}
	}
}

// follow reads on.
func (c *shardCore) follow(p *part, v *cursor) {
	for n := 0; v.at < v.end && !v.busy && n < 4; n++ {
		c.fetch(p, v.at, 1+c.s.rng.IntN(200_000), v)
	}
	if v.at >= v.end && v.finds > 0 {
		v.finds--
		v.asked++
		q := &read{p: p, kind: findMax, cursor: v, limit: p.log.Marks().High, from: p.log.Marks().Start}
		if c.s.rng.IntN(3) > 0 {
			q.kind = findTime
			q.time = c.s.someTime(p)
			q.id = c.shard.FindTime(p.log, q.time)
		} else {
			q.id = c.shard.FindMaxTime(p.log)
		}
		c.reads = append(c.reads, q)
	}
	if v.at < v.end && !v.busy || v.at >= v.end && v.finds > 0 {
		c.core.wake()
	}
}

func (s *store) someTime(p *part) int64 {
	if len(p.batches) == 0 {
		return s.w.Now().Wall
	}
	b := p.batches[s.rng.IntN(len(p.batches))]
	return b.times[s.rng.IntN(len(b.times))] + int64(s.rng.IntN(3)) - 1
}

// found holds an answer by time against the model.
func (s *store) found(q *read, r segment.Result) {
	q.cursor.told++
	s.w.Tally[Finds]++
	p := q.p
	s.check(r.Code == protocol.None, "%v: find answers %v", p, r.Code)
	start := p.log.Marks().Start
	if start != q.from {
		return // retention came between
	}
	wantOffset, wantTime := int64(-1), int64(-1)
	deleted := int64(-1) // greatest time below the start
	for _, b := range p.batches {
		for i, ts := range b.times {
			offset := b.base + int64(i)
			switch {
			case offset < start:
				deleted = max(deleted, ts)
			case offset >= q.limit:
			case q.kind == findTime && ts >= q.time && wantOffset < 0,
				q.kind == findMax && ts > wantTime:
				wantOffset, wantTime = offset, ts
			}
		}
	}
	if q.kind == findMax && deleted >= wantTime {
		return // Kafka answers with the deleted record, or nothing is as good
	}
	s.check(r.Offset == wantOffset && r.Time == wantTime,
		"%v: find (kind %d, time %d) from %d answers offset %d time %d, want %d %d",
		p, q.kind, q.time, start, r.Offset, r.Time, wantOffset, wantTime)
}

// checkFiles reads the files of a clean stop as Kafka's tools would: whole batches to
// the end of the file, offsets without a gap, and indexes that a rebuild gives too.
func (s *store) checkFiles() {
	seen := map[string]string{}
	for _, root := range append([]string{dataDir}, s.also...) {
		root = path.Join(root, "log")
		dirs, err := s.w.Disk.List(root)
		s.check(err == nil || len(s.topics) == 0, "%v", err)
		for _, dir := range dirs {
			s.check(seen[dir] == "", "%s is in %s and in %s", dir, seen[dir], root)
			seen[dir] = path.Join(root, dir)
		}
	}
	for _, t := range s.topics {
		for _, p := range t.parts {
			dir := seen[p.String()]
			s.check(dir != "" || len(p.batches) == 0 || p.low == p.acked, "%v has no directory", p)
			if dir != "" {
				s.checkDir(p, dir)
			}
		}
	}
}

func (s *store) checkDir(p *part, dir string) {
	names, err := s.w.Disk.List(dir)
	s.check(err == nil, "%v", err)
	var logs []string
	for _, name := range names {
		if strings.HasSuffix(name, ".log") {
			logs = append(logs, strings.TrimSuffix(name, ".log"))
		}
	}
	sort.Strings(logs)
	if p.topic.cfg.Compact {
		s.checkCompacted(p, dir, logs)
		return
	}
	end := int64(-1)
	logs = s.kept(p, logs)
	for i, base := range logs {
		data, err := s.w.Disk.ReadFile(path.Join(dir, base+".log"))
		s.check(err == nil, "%v", err)
		first, ok := index.ParseHeader(data)
		if !ok {
			s.check(len(data) == 0, "%v: %s.log does not begin with a batch", p, base)
			continue
		}
		s.check(end < 0 || first.BaseOffset == end, "%v: %s.log begins at %d, the one before ends at %d",
			p, base, first.BaseOffset, end)
		b, valid, next := index.Rebuild(first.BaseOffset, p.topic.cfg.IndexInterval, data, true)
		s.check(valid == int64(len(data)), "%v: %s.log: %d of %d bytes are valid", p, base, valid, len(data))
		s.compare(p, data, first.BaseOffset, next, len(data))
		s.checkIndex(p, dir, base, data, b, i == len(logs)-1)
		end = next
	}
	s.check(end < 0 || end == p.acked, "%v: the files end at %d, the log at %d", p, end, p.acked)
}

// kept leaves out files of segments that were deleted and came back with a power loss
// after a clean stop: no start looks for them before one that follows a crash.
func (s *store) kept(p *part, logs []string) []string {
	for i := len(logs) - 1; i > 0; i-- {
		if base, _ := strconv.ParseInt(logs[i], 10, 64); base <= p.low {
			s.w.Tally[Leftovers] += i
			return logs[i:]
		}
	}
	if len(logs) == 1 && p.low == p.acked {
		if base, _ := strconv.ParseInt(logs[0], 10, 64); base < p.low {
			return nil
		}
	}
	return logs
}

// checkIndex holds index files against the log: every entry must be one that a
// rebuild could give. A file may have fewer than a rebuild, but not many: the distance
// between entries begins anew after a restart, and a segment's first block has none
// when it was recovered from a checkpoint.
func (s *store) checkIndex(p *part, dir, base string, data []byte, b *index.Builder, last bool) {
	from := b.Offsets.Base()
	offsetBytes, timeBytes := s.indexFile(dir, base+".index"), s.indexFile(dir, base+".timeindex")
	offsets, err := index.ParseOffsets(from, offsetBytes, int64(len(data)))
	s.check(err == nil && len(offsets.Bytes()) == len(offsetBytes), "%v: %s.index: %v", p, base, err)
	times, err := index.ParseTimes(from, timeBytes, from+1<<31)
	s.check(err == nil && len(times.Bytes()) == len(timeBytes), "%v: %s.timeindex: %v", p, base, err)
	spared := 3 + int(vfs.BlockSize/p.topic.cfg.IndexInterval)
	s.check(3*offsets.Entries()+spared >= b.Offsets.Entries(),
		"%v: %s.index has %d entries, a rebuild %d", p, base, offsets.Entries(), b.Offsets.Entries())

	every := index.NewBuilder(from, -1) // an entry for every batch
	for pos := int64(0); pos < int64(len(data)); {
		h, _ := index.ParseHeader(data[pos:])
		every.Batch(h.LastOffset, h.MaxTimestamp, pos, h.Size)
		pos += h.Size
	}
	s.check(subset(offsets.Bytes(), every.Offsets.Bytes(), index.OffsetEntrySize),
		"%v: %s.index has an entry that is none: %x", p, base, offsets.Bytes())
	s.check(subset(times.Bytes(), every.Times.Bytes(), index.TimeEntrySize),
		"%v: %s.timeindex has an entry that is none: %x", p, base, times.Bytes())
	if ts, _ := every.MaxTime(); !last {
		got, _ := times.Last()
		s.check(got == ts, "%v: %s.timeindex ends at time %d, its segment at %d", p, base, got, ts)
	}
}

func (s *store) indexFile(dir, name string) []byte {
	b, err := s.w.Disk.ReadFile(path.Join(dir, name))
	s.check(err == nil || errors.Is(err, fs.ErrNotExist), "%v", err)
	return b
}

// subset says whether all entries of part are among those of all, in order.
func subset(part, all []byte, size int) bool {
	for len(part) > 0 && len(all) > 0 {
		if bytes.Equal(part[:size], all[:size]) {
			part = part[size:]
		}
		all = all[size:]
	}
	return len(part) == 0
}
