package segment

import (
	"millrace/protocol"
	"millrace/protocol/batch"
)

// finding is one search by time.
type finding struct {
	id   uint32
	log  *Log
	ts   int64 // the first record with at least this time is wanted
	from int64 // batches below need not be looked at
	end  int64 // of the log when it began
	base int64 // of the segment whose time index was asked, −1: none
}

// findResult is what the find job answers.
type findResult struct {
	found        bool
	offset, time int64
	epoch        int32
	code         protocol.Code
	damaged      *seg // whose time index is, if rule says so
	rule         string
}

// FindTime searches the first record with a timestamp of at least ts. The answer
// comes with Results: Offset −1 when there is none.
func (s *Shard) FindTime(l *Log, ts int64) (id uint32) {
	s.rd.lastID++
	f := &finding{id: s.rd.lastID, log: l, ts: ts, end: l.marks.End, base: -1}
	s.findFrom(f)
	return f.id
}

// FindMaxTime searches the first record that has the log's greatest timestamp.
func (s *Shard) FindMaxTime(l *Log) (id uint32) {
	s.rd.lastID++
	f := &finding{id: s.rd.lastID, log: l, end: l.marks.End}
	var best *seg
	for _, g := range l.segs {
		if g.maxTime >= 0 && g.maxAt >= l.marks.Start && (best == nil || g.maxTime > best.maxTime) {
			best = g
		}
	}
	if best == nil {
		s.findAnswer(f, findResult{})
		return f.id
	}
	f.ts, f.from, f.base = best.maxTime, best.maxAt, best.base
	s.findFrom(f)
	return f.id
}

// findIn begins in the segment that has such a record: by the time index where it
// is in memory, else by the file.
func (s *Shard) findIn(f *finding, g *seg) {
	x := &g.index
	f.from = max(g.base, f.log.marks.Start)
	if n := len(x.freshT); n > 0 && x.freshT[0].time < f.ts || x.times == 0 {
		for i := n - 1; i >= 0; i-- {
			if x.freshT[i].time < f.ts {
				f.from = max(f.from, x.freshT[i].offset)
				break
			}
		}
		s.findFrom(f)
		return
	}
	files, want, ts := s.o.FS, g.loadWant(), f.ts
	s.job(jobFind, f, func() any {
		off, rule, err := want.readTimes(files, ts)
		if err != nil {
			return findResult{code: protocol.KafkaStorageError}
		}
		return findResult{offset: off, damaged: g, rule: rule}
	})
}

// findFrom looks at the batches from f.from on.
func (s *Shard) findFrom(f *finding) {
	s.newReading(f.log, f.from, f.end, 0).find = f
}

// findPlace says where a search goes on: in the first segment from f.from on that has
// such a record, by its time index. False: it is over, or a job looks that up.
func (s *Shard) findPlace(r *reading) bool {
	f, l := r.find, r.log
	f.from = max(f.from, l.marks.Start)
	if r.seg != nil && !r.seg.gone && r.pos >= 0 {
		r.from = f.from
		return true // in the midst of one
	}
	if f.from >= min(f.end, l.marks.End) {
		s.answer(r, protocol.None)
		return false
	}
	g := l.segmentOf(f.from)
	for g != nil && (g.maxTime < f.ts || g.end <= f.from) {
		g = l.after(g)
	}
	if g == nil {
		s.answer(r, protocol.None)
		return false
	}
	f.from = max(f.from, g.base)
	if f.base != g.base {
		f.base = g.base
		s.freeReading(r)
		s.findIn(f, g)
		return false
	}
	r.from, r.limit, r.seg, r.pos = f.from, f.end, nil, -1
	return true
}

// looksInto leaves the batch that may have the record to a job. False: it has none.
func (s *Shard) looksInto(r *reading, h *walkHead) bool {
	f := r.find
	f.from = h.after
	if h.newest < f.ts {
		return false
	}
	own := batch.View(s.rd.walk.copy(nil, h.pos, h.pos+h.size))
	ts, start := f.ts, f.log.marks.Start
	s.freeReading(r)
	s.job(jobFind, f, func() any { return findRecord(own, ts, start) })
	return true
}

// maxInflated bounds what a batch may grow to when a search looks into it.
const maxInflated = 1 << 30

// findRecord looks into one batch.
func findRecord(v batch.View, ts, start int64) findResult {
	plain := v.RecordBytes()
	if v.Codec() != batch.None {
		var err error
		if plain, err = v.Inflate(nil, maxInflated); err != nil {
			return findResult{code: protocol.CorruptMessage}
		}
	}
	it := v.Records(plain)
	for it.Next() {
		r := &it.Record
		if r.Timestamp >= ts && r.Offset >= start {
			return findResult{found: true, offset: r.Offset, time: r.Timestamp,
				epoch: v.LeaderEpoch()}
		}
	}
	if it.Err() != nil {
		return findResult{code: protocol.CorruptMessage}
	}
	return findResult{offset: v.NextOffset()}
}

// found takes a find job's answer: the record, or where to go on.
func (s *Shard) found(f *finding, res findResult) {
	if res.rule != "" {
		s.mendTimes(res.damaged, res.rule)
	}
	if res.found || res.code != protocol.None {
		s.findAnswer(f, res)
		return
	}
	f.from = max(f.from, res.offset)
	s.findFrom(f)
}

func (s *Shard) findAnswer(f *finding, res findResult) {
	r := Result{ID: f.id, Code: res.code, Offset: -1, Time: -1, Epoch: -1}
	if res.found {
		r.Offset, r.Time, r.Epoch = res.offset, res.time, res.epoch
	}
	s.rd.results = append(s.rd.results, r)
}
