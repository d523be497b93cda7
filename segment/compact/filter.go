package compact

import (
	"fmt"

	"millrace/protocol/batch"
)

// Last is what is known of an active producer's last data batch.
type Last struct {
	Offset int64 // of its last record; −1: its last batch is a marker
	Epoch  int16
}

// Filter decides about every batch of a round, in order.
type Filter struct {
	Keys            *OffsetMap
	Now             int64 // wall clock, ms
	DeleteRetention int64 // delete.retention.ms
	Bound           int64 // of the round: the batch that ends there stays, even empty
	Producers       map[int64]Last
	InflateMost     int // what a batch may inflate to

	Records uint64 // seen
	Kept    uint64

	txn     transactions
	rewrite batch.Rewriter
	plain   []byte
	keep    []bool
}

// verdict is what becomes of a batch.
type verdict uint8

const (
	dropBatch verdict = iota // it goes, with its records
	dropEmpty                // it goes if no record stays
	keepEmpty                // it stays even then
)

// Batch is what is left of v: v itself, a new batch that is valid until the next call,
// or nil. An error says that v is damaged.
func (f *Filter) Batch(v batch.View) (batch.View, error) {
	discard := f.txn.discards(v)
	emptyTxn := discard && v.IsControl()
	if v.IsControl() && discard { // and only when its time is over
		horizon, set := v.DeleteHorizon()
		discard = set && horizon <= f.Now
	}
	f.Records += uint64(max(v.Count(), 0))
	what := f.judge(v, discard)
	if what == dropBatch {
		return nil, nil
	}
	out, err := f.records(v, discard, emptyTxn)
	if out != nil || err != nil {
		return out, err
	}
	if what == keepEmpty {
		return f.rewrite.Empty(v), nil
	}
	return nil, nil
}

func (f *Filter) judge(v batch.View, discard bool) verdict {
	if v.ProducerID() >= 0 && f.isLast(v) {
		return keepEmpty
	}
	switch {
	case v.NextOffset() == f.Bound:
		return keepEmpty
	case discard:
		return dropBatch
	}
	return dropEmpty
}

// isLast says whether the batch carries the state of an active producer.
func (f *Filter) isLast(v batch.View) bool {
	last, ok := f.Producers[v.ProducerID()]
	switch {
	case !ok:
		return false
	case last.Offset >= 0:
		return v.LastOffset() == last.Offset
	}
	return v.IsControl() && v.ProducerEpoch() == last.Epoch
}

// records is the batch with the records that stay, nil when none does.
func (f *Filter) records(v batch.View, discard, emptyTxn bool) (batch.View, error) {
	if v.Count() == 0 || discard {
		return nil, nil
	}
	plain, err := f.inflateOf(v, f.InflateMost)
	if err != nil {
		return nil, err
	}
	horizon, set := v.DeleteHorizon()
	f.keep = f.keep[:0]
	all, tombstones, kept := true, false, 0
	it := v.Records(plain)
	for it.Next() {
		stays := v.IsControl() || f.retains(&it.Record, set, horizon)
		f.keep = append(f.keep, stays)
		if !stays {
			all = false
			continue
		}
		kept++
		tombstones = tombstones || it.Record.Value == nil
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("compact: batch at %d: %w", v.BaseOffset(), err)
	}
	f.Kept += uint64(kept)
	fresh := (tombstones || emptyTxn) && !set
	switch {
	case kept == 0:
		return nil, nil
	case all && !fresh:
		return v, nil
	case fresh:
		horizon = max(f.Now+f.DeleteRetention, 0)
	case !set:
		horizon = batch.NoHorizon
	}
	return f.rewrite.Keep(v, plain, f.keep, horizon)
}

// inflateOf is the batch's records without compression, in memory of the filter.
func (f *Filter) inflateOf(v batch.View, most int) ([]byte, error) {
	plain, err := v.Inflate(f.plain, most)
	if err != nil {
		return nil, fmt.Errorf("compact: batch at %d: %w", v.BaseOffset(), err)
	}
	if v.Codec() != batch.None {
		f.plain = plain
	}
	return plain, nil
}

// retains says whether a record stays (I2).
func (f *Filter) retains(r *batch.Record, set bool, horizon int64) bool {
	if r.Offset > f.Keys.Latest() {
		return true
	}
	if r.Key == nil || r.Offset < f.Keys.Get(r.Key) {
		return false
	}
	return r.Value != nil || !set || f.Now < horizon
}
