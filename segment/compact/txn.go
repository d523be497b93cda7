package compact

import (
	"cmp"
	"slices"

	"millrace/protocol/batch"
)

// Aborted is one transaction that was aborted: its producer, the base offset of its
// first batch and the offset of its marker.
type Aborted struct{ PID, First, Last int64 }

// Survey finds the transactions of a log, whose batches it is shown in order.
type Survey struct {
	open    map[int64]int64 // producer → base offset of its first batch
	aborted []Aborted
	any     bool
}

// Batch notes one batch. Of one that is not a control batch the header is enough.
func (s *Survey) Batch(v batch.View) {
	if !v.IsTransactional() && !v.IsControl() {
		return
	}
	s.any = true
	if s.open == nil {
		s.open = map[int64]int64{}
	}
	pid := v.ProducerID()
	if !v.IsControl() {
		if _, ok := s.open[pid]; !ok {
			s.open[pid] = v.BaseOffset()
		}
		return
	}
	switch batch.MarkerOf(v) {
	case batch.Abort:
		if first, ok := s.open[pid]; ok {
			s.aborted = append(s.aborted, Aborted{pid, first, v.LastOffset()})
		}
		delete(s.open, pid)
	case batch.Commit:
		delete(s.open, pid)
	}
}

// Any says whether there was any batch of a transaction.
func (s *Survey) Any() bool { return s.any }

// Bound is the least offset, at most bound, of a transaction that nothing decided yet.
// What follows it cannot be judged.
func (s *Survey) Bound(bound int64) int64 {
	for _, first := range s.open {
		bound = min(bound, first)
	}
	return bound
}

// Aborted are the transactions in the order in which they began.
func (s *Survey) Aborted() []Aborted {
	slices.SortFunc(s.aborted, func(a, b Aborted) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.PID, b.PID))
	})
	return s.aborted
}

// transactions follows them along one pass over the log.
type transactions struct {
	coming    []Aborted      // by First; not yet begun
	aborted   map[int64]bool // producers in one → a batch of it was seen
	committed map[int64]bool // producers of which a batch was seen that is not aborted
}

func newTransactions(aborted []Aborted) transactions {
	return transactions{coming: aborted, aborted: map[int64]bool{}, committed: map[int64]bool{}}
}

// upTo begins the transactions that began at or before offset.
func (t *transactions) upTo(offset int64) {
	for len(t.coming) > 0 && t.coming[0].First <= offset {
		if _, ok := t.aborted[t.coming[0].PID]; !ok {
			t.aborted[t.coming[0].PID] = false
		}
		t.coming = t.coming[1:]
	}
}

// discards says whether the batch belongs to an aborted transaction, or is the marker of
// one of which nothing is left.
func (t *transactions) discards(v batch.View) bool {
	if !v.IsTransactional() && !v.IsControl() {
		return false
	}
	t.upTo(v.LastOffset())
	pid := v.ProducerID()
	if !v.IsControl() {
		if _, ok := t.aborted[pid]; ok {
			t.aborted[pid] = true
			return true
		}
		t.committed[pid] = true
		return false
	}
	if v.Count() == 0 {
		return true
	}
	switch batch.MarkerOf(v) {
	case batch.Abort: // also if nobody knew of it when its batches came
		seen := t.aborted[pid] || t.committed[pid]
		delete(t.aborted, pid)
		delete(t.committed, pid)
		return !seen
	case batch.Commit:
		seen := t.committed[pid]
		delete(t.committed, pid)
		return !seen
	}
	return false
}
