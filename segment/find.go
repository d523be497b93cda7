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
	f := &finding{id: s.rd.lastID, log: l, ts: ts, end: l.marks.End}
	for _, g := range l.segs {
		if g.maxTime >= ts && g.end > l.marks.Start {
			s.findIn(f, g)
			return f.id
		}
	}
	s.findAnswer(f, findResult{})
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
	f.ts, f.from = best.maxTime, best.maxAt
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

// findFrom looks at the batches from f.from on: in memory at once, else by reading.
func (s *Shard) findFrom(f *finding) {
	l := f.log
	for {
		if l.dropped || f.from >= f.end || f.from >= l.marks.End {
			s.findAnswer(f, findResult{})
			return
		}
		f.from = max(f.from, l.marks.Start)
		exts, where := l.Locate(f.from, l.marks.End, maxChunk/4, true, nil)
		if where == Cold {
			r := s.newReading(l, f.from, l.marks.End, maxChunk)
			r.find = f
			return
		}
		if where != InMemory || len(exts) == 0 {
			s.findAnswer(f, findResult{})
			return
		}
		var b []byte
		for _, e := range exts {
			b = append(b, e.Mem...)
			s.pool.Release(e.Buf)
		}
		if s.findAmong(f, b) {
			return
		}
	}
}

// findAmong looks for the batch; true: a job looks into it.
func (s *Shard) findAmong(f *finding, b []byte) bool {
	for len(b) > 0 {
		v, rest, err := batch.Next(b)
		if err != nil {
			s.findAnswer(f, findResult{code: protocol.CorruptMessage})
			return true
		}
		f.from = v.NextOffset()
		if v.MaxTimestamp() >= f.ts {
			own := batch.View(append([]byte(nil), v...))
			ts, start := f.ts, f.log.marks.Start
			s.job(jobFind, f, func() any { return findRecord(own, ts, start) })
			return true
		}
		b = rest
	}
	return false
}

// findNext goes on with what a cold read brought.
func (s *Shard) findNext(r *reading, b []byte) {
	f := r.find
	more := !s.findAmong(f, b)
	s.freeReading(r)
	if more {
		s.findFrom(f)
	}
}

func (s *Shard) findFailed(r *reading, code protocol.Code) {
	f := r.find
	s.freeReading(r)
	s.findAnswer(f, findResult{code: code})
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
