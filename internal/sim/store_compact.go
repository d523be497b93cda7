package sim

import (
	"bytes"
	"fmt"
	"path"

	"millrace/protocol/batch"
	"millrace/segment"
)

// Topics that are compacted: a record may be missing when a later one has its key, and
// when it is a tombstone. What is there must be what was written at that offset.

// rec is one record of such a topic.
type rec struct {
	key   string
	value []byte // nil: a tombstone
}

// compacted makes a topic's logs be compacted, eagerly.
func (s *store) compacted(t *topic) {
	t.cfg.Compact, t.cfg.Delete = true, s.rng.IntN(3) == 0
	t.cfg.DirtyRatio = []float64{0, 0.1, 0.5}[s.rng.IntN(3)]
	t.cfg.DeleteRetentionMillis = int64(s.rng.IntN(2)) * int64(s.rng.IntN(500))
	t.cfg.SegmentBytes = int64(8<<10) << s.rng.IntN(4)
	t.cfg.MinLagMillis = int64(s.rng.IntN(2)) * int64(s.rng.IntN(200))
}

// cleaner is how the cleaners of this life are set.
func (s *store) cleaner() segment.CleanerConfig {
	cfg := segment.DefaultCleaner()
	cfg.Threads = 1 + s.rng.IntN(2)
	cfg.BackoffMillis = 1
	cfg.BufferBytes = 4096 << s.rng.IntN(5)
	cfg.DedupeBytes = int64(1024) << s.rng.IntN(10)
	return cfg
}

// newRec is a record for a compacted topic: few keys, now and then a tombstone.
func (s *store) newRec(value []byte) rec {
	r := rec{key: fmt.Sprintf("key-%d", s.rng.IntN(12)), value: value}
	if s.rng.IntN(8) == 0 {
		r.value = nil
	}
	return r
}

// note enters a batch's keys.
func (p *part) note(a *appended) {
	for i, r := range a.recs {
		p.latest[r.key] = a.base + int64(i)
	}
}

// renote does it for all batches, after some were lost.
func (p *part) renote() {
	p.latest = map[string]int64{}
	for _, a := range p.batches {
		p.note(a)
	}
}

// compareCompact holds bytes read from offset on against the model, and returns the
// offset behind them.
func (s *store) compareCompact(p *part, got []byte, from, limit int64) int64 {
	at := from
	for len(got) > 0 {
		v, rest, err := batch.Next(got)
		s.check(err == nil, "%v: read from %d: %v", p, from, err)
		got = rest
		s.check(v.CheckCRC(), "%v: read from %d: batch %d with a wrong CRC", p, from, v.BaseOffset())
		s.check(v.NextOffset() > at && v.NextOffset() <= limit,
			"%v: read from %d: batch %d…%d at %d, the limit is %d", p, from, v.BaseOffset(),
			v.NextOffset(), at, limit)
		plain := v.RecordBytes()
		if v.Codec() != batch.None {
			plain, err = v.Inflate(nil, 1<<22)
			s.check(err == nil, "%v: batch %d: %v", p, v.BaseOffset(), err)
		}
		it := v.Records(plain)
		for it.Next() {
			o := it.Record.Offset
			b := p.find(o)
			s.check(b < len(p.batches) && p.batches[b].base <= o, "%v: a record at %d that nobody wrote", p, o)
			want, ts := p.batches[b].recs[o-p.batches[b].base], p.batches[b].times[o-p.batches[b].base]
			s.check(string(it.Record.Key) == want.key && bytes.Equal(it.Record.Value, want.value) &&
				(it.Record.Value == nil) == (want.value == nil) && it.Record.Timestamp == ts,
				"%v: another record at %d: key %q, want %q", p, o, it.Record.Key, want.key)
			if o >= at {
				s.missing(p, at, o)
				at = o + 1
			}
		}
		s.check(it.Err() == nil, "%v: batch %d: %v", p, v.BaseOffset(), it.Err())
		s.missing(p, at, v.NextOffset())
		at = v.NextOffset()
	}
	return at
}

// mayMiss says whether compaction may have taken the k-th record of a batch.
func (p *part) mayMiss(b *appended, k int) bool {
	if !p.topic.cfg.Compact {
		return false
	}
	r := &b.recs[k]
	return r.value == nil || p.latest[r.key] > b.base+int64(k)
}

// missing: the records of [from, to) may be gone.
func (s *store) missing(p *part, from, to int64) {
	if s.trying {
		return
	}
	for o := from; o < to; o++ {
		i := p.find(o)
		s.check(i < len(p.batches) && p.batches[i].base <= o, "%v: nothing was ever at %d", p, o)
		b := p.batches[i]
		s.check(p.mayMiss(b, int(o-b.base)), "%v: the record at %d is gone, it is the last one of %q",
			p, o, b.recs[o-b.base].key)
		s.w.Tally[Compacted]++
	}
}

// checkCompacted reads the files of a clean stop.
func (s *store) checkCompacted(p *part, dir string, logs []string) {
	at := p.low
	for _, base := range logs {
		data, err := s.w.Disk.ReadFile(path.Join(dir, base+".log"))
		s.check(err == nil, "%v", err)
		for len(data) > 0 { // what was deleted at the front of its segment
			v, rest, err := batch.Next(data)
			s.check(err == nil, "%v: %s.log: %v", p, base, err)
			if v.NextOffset() > at {
				break
			}
			data = rest
		}
		at = max(at, s.compareCompact(p, data, at, p.acked))
	}
	s.missing(p, at, p.acked)
}

// cleanings counts what the cleaners of this life have done.
func (s *store) cleanings() {
	for _, shard := range s.shards {
		s.w.Tally[Cleanings] += int(shard.Stats().Cleaner.Runs)
	}
}
