package compact

import (
	"fmt"
	"math"
	"slices"

	"millrace/internal/invariant"
	"millrace/protocol/batch"
	"millrace/segment/index"
)

// Round is one cleaning of one log.
type Round struct {
	o      Options
	phase  phase
	at     int // source
	walk   walker
	survey Survey
	txn    transactions
	keys   *OffsetMap
	filter Filter

	mapping bool  // the first pass maps too: nothing of a transaction was seen
	mapFrom int64 // where the second pass begins
	full    bool  // the map is
	bound   int64 // behind which the map does not go

	groups [][2]int
	group  int
	open   bool // a group is being written
	cur    Group
	index  *index.Builder
	result Result
}

// Options of a Round.
type Options struct {
	Sources    []Source // from the log's first segment on, all that may be cleaned
	FirstDirty int64
	Bound      int64 // where the last source ends
	Plain      bool  // no batch of a transaction lies below FirstDirty

	Now             int64 // wall clock, ms
	DeleteRetention int64
	SegmentBytes    int64
	IndexBytes      int64
	IndexInterval   int64
	InflateMost     int
	Producers       map[int64]Last

	Keys   *OffsetMap
	Buffer int // bytes of one read
	Open   func(Source) (File, error)
	Out    Output
}

// Output takes the new segments, one after another.
type Output interface {
	Begin(base int64) error
	Batch(v batch.View, pos int64) error // v is valid during the call
	// End makes the segment durable, together with its indexes in file form.
	End(g *Group, offsets, times []byte) error
	// Abort forgets the one that was begun.
	Abort()
}

// Group is a new segment, in place of the sources [From, To).
type Group struct {
	From, To  int
	Base, End int64
	Size      int64
	Same      bool  // byte for byte the only source: there is nothing to replace
	First     int64 // greatest time of the first batch, −1: none
	MaxTime   int64 // −1: none
	MaxAt     int64 // last offset of the batch that has it, −1
	Offsets   int64 // entries of .index
	Times     int64 // entries of .timeindex
	LastTime  int64 // of the last entry there, −1: none
}

// Result is what a whole round came to.
type Result struct {
	End     int64 // what lies below is clean now
	Plain   bool  // no batch of a transaction lies below End
	Full    bool  // the map was too small for all that is dirty
	Records uint64
	Kept    uint64
}

// Progress is what one step did.
type Progress struct {
	Read, Written int64
	Group         *Group // finished in this step
	Done          bool
}

type phase uint8

const (
	surveying phase = iota
	mapping
	rewriting
	over
)

// NewRound begins.
func NewRound(o Options) *Round {
	invariant.Check(len(o.Sources) > 0 && o.Bound == o.Sources[len(o.Sources)-1].End)
	r := &Round{o: o, keys: o.Keys, mapping: o.Plain, mapFrom: o.FirstDirty, bound: o.Bound}
	r.walk.buf = make([]byte, max(o.Buffer, 4096))
	r.keys.Reached(o.FirstDirty - 1)
	if o.Plain { // nothing to be found in what is clean
		r.skipTo(o.FirstDirty)
	}
	return r
}

// skipTo goes to the first source that reaches beyond offset.
func (r *Round) skipTo(offset int64) {
	r.at = 0
	for r.at < len(r.o.Sources) && r.o.Sources[r.at].End <= offset {
		r.at++
	}
}

// Step works until about budget bytes were read and written, or a group is finished.
func (r *Round) Step(budget int64) (p Progress, err error) {
	for p.Read+p.Written < budget && p.Group == nil && r.phase != over {
		if err := r.one(&p); err != nil {
			r.Close()
			return p, err
		}
		p.Read += r.walk.read
		r.walk.read = 0
	}
	p.Done = r.phase == over
	return p, nil
}

// Result is valid when the round is done.
func (r *Round) Result() Result { return r.result }

// Close gives the round up, or ends it.
func (r *Round) Close() {
	_ = r.walk.end()
	if r.open {
		r.open = false
		r.o.Out.Abort()
	}
	r.phase = over
}

// one looks at one batch, or changes to the next source or phase.
func (r *Round) one(p *Progress) error {
	if r.at == len(r.o.Sources) || r.phase == mapping && r.full {
		return r.next()
	}
	if r.phase == rewriting && !r.open {
		if err := r.beginGroup(); err != nil {
			return err
		}
	}
	src := r.o.Sources[r.at]
	if r.walk.f == nil {
		f, err := r.o.Open(src)
		if err != nil {
			return fmt.Errorf("compact: open segment %d: %w", src.Base, err)
		}
		r.walk.begin(src, f)
	}
	v, err := r.walk.next()
	if err != nil {
		return err
	}
	if v == nil {
		return r.sourceDone(p, src)
	}
	switch r.phase {
	case surveying:
		return r.look(v)
	case mapping:
		if r.txn.discards(v) {
			r.reach(v.LastOffset())
			return nil
		}
		return r.note(v)
	}
	return r.copy(p, v)
}

// look is the first pass: it notes transactions, and keys as long as there are none.
func (r *Round) look(v batch.View) error {
	before := r.survey.Any()
	r.survey.Batch(v)
	if r.mapping && !before && r.survey.Any() {
		r.mapping, r.mapFrom = false, max(v.BaseOffset(), r.o.FirstDirty)
	}
	if !r.mapping {
		return nil
	}
	err := r.note(v)
	if r.full { // the rest is for another round
		return r.next()
	}
	return err
}

// note puts the keys of a batch into the map.
func (r *Round) note(v batch.View) error {
	switch {
	case v.BaseOffset() >= r.bound:
		r.full = true // not the map: nothing behind it is decided
		return nil
	case v.LastOffset() < r.mapFrom:
		return nil
	case v.IsControl():
		r.reach(v.LastOffset())
		return nil
	}
	plain, err := r.filter.inflateOf(v, r.o.InflateMost)
	if err != nil {
		return err
	}
	it := v.Records(plain)
	for it.Next() {
		if it.Record.Key == nil || it.Record.Offset < r.mapFrom {
			continue
		}
		if !r.keys.Put(it.Record.Key, it.Record.Offset) {
			r.full, r.result.Full = true, true
			return nil
		}
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("compact: batch at %d: %w", v.BaseOffset(), err)
	}
	r.reach(v.LastOffset())
	return nil
}

func (r *Round) reach(offset int64) { r.keys.Reached(min(offset, r.bound-1)) }

// sourceDone goes to the next source, and ends the group that it was the last of.
func (r *Round) sourceDone(p *Progress, src Source) error {
	if err := r.walk.end(); err != nil {
		return fmt.Errorf("compact: close segment %d: %w", src.Base, err)
	}
	r.at++
	switch r.phase {
	case surveying:
		if r.mapping {
			r.reach(src.End - 1)
		}
	case mapping:
		r.reach(src.End - 1) // also over a gap at its end
	case rewriting:
		if r.at == r.groups[r.group][1] {
			return r.endGroup(p)
		}
	}
	return nil
}

// next is the next phase.
func (r *Round) next() error {
	if err := r.walk.end(); err != nil {
		return fmt.Errorf("compact: close: %w", err)
	}
	if r.phase == surveying && !r.mapping { // transactions: now it is known which count
		r.phase = mapping
		r.bound = r.survey.Bound(r.o.Bound)
		if r.mapFrom > r.o.FirstDirty {
			r.reach(r.mapFrom - 1)
		}
		if r.mapFrom >= r.bound {
			return r.beginRewriting()
		}
		r.skipTo(r.mapFrom)
		r.txn = newTransactions(slices.DeleteFunc(slices.Clone(r.survey.Aborted()),
			func(a Aborted) bool { return a.Last < r.o.Sources[r.at].Base }))
		return nil
	}
	if r.phase != rewriting {
		return r.beginRewriting()
	}
	r.phase = over
	r.result.Records, r.result.Kept = r.filter.Records, r.filter.Kept
	return nil
}

func (r *Round) beginRewriting() error {
	end := r.keys.Latest() + 1
	r.result.End, r.result.Plain = max(end, r.o.FirstDirty), !r.survey.Any() && r.o.Plain
	if end <= r.o.FirstDirty {
		if r.result.Full {
			return fmt.Errorf("compact: %d slots are too few for one batch", r.keys.slots)
		}
		r.phase = over
		return nil
	}
	n := 0
	for n < len(r.o.Sources) && r.o.Sources[n].Base < end {
		n++
	}
	r.o.Sources = r.o.Sources[:n]
	r.groups = Groups(r.o.Sources, r.o.SegmentBytes, r.o.IndexBytes)
	r.filter = Filter{
		Keys: r.keys, Now: r.o.Now, DeleteRetention: r.o.DeleteRetention, Bound: r.o.Bound,
		Producers: r.o.Producers, InflateMost: r.o.InflateMost,
		txn: newTransactions(r.survey.Aborted()), plain: r.filter.plain,
	}
	r.phase, r.at = rewriting, 0
	return nil
}

func (r *Round) beginGroup() error {
	g := r.groups[r.group]
	r.cur = Group{
		From: g[0], To: g[1], Base: r.o.Sources[g[0]].Base, End: r.o.Sources[g[1]-1].End,
		Same: g[1]-g[0] == 1, First: -1, MaxTime: -1, MaxAt: -1, LastTime: -1,
	}
	r.index = index.NewBuilder(r.cur.Base, r.o.IndexInterval)
	r.open = true
	return r.o.Out.Begin(r.cur.Base)
}

// copy writes what the filter leaves of a batch.
func (r *Round) copy(p *Progress, v batch.View) error {
	out, err := r.filter.Batch(v)
	if err != nil || out == nil {
		r.cur.Same = false
		return err
	}
	g := &r.cur
	if &out[0] != &v[0] {
		g.Same = false
	}
	if g.Size+int64(len(out)) > math.MaxInt32 {
		return fmt.Errorf("compact: segment %d: delete horizons make it too large", g.Base)
	}
	if err := r.o.Out.Batch(out, g.Size); err != nil {
		return err
	}
	if g.Size == 0 {
		g.First = out.MaxTimestamp()
	}
	if t := out.MaxTimestamp(); t > g.MaxTime {
		g.MaxTime, g.MaxAt = t, out.LastOffset()
	}
	r.index.Batch(out.LastOffset(), out.MaxTimestamp(), g.Size, int64(len(out)))
	g.Size += int64(len(out))
	p.Written += int64(len(out))
	return nil
}

func (r *Round) endGroup(p *Progress) error {
	r.index.Seal()
	g := r.cur
	g.Offsets, g.Times = int64(r.index.Offsets.Entries()), int64(r.index.Times.Entries())
	if g.Times > 0 {
		g.LastTime, _ = r.index.Times.Last()
	}
	r.open = false
	r.group++
	p.Group = &g
	if g.Same {
		r.o.Out.Abort()
		return nil
	}
	if err := r.o.Out.End(&g, r.index.Offsets.Bytes(), r.index.Times.Bytes()); err != nil {
		r.o.Out.Abort()
		return err
	}
	return nil
}
