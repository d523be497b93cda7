package ledger

import (
	"errors"
	"fmt"
	"sync"

	"millrace/loadgen/result"
	"millrace/loadgen/workload"
)

// ErrWrong says that what was read is not what was written: the verdict has the details.
var ErrWrong = errors.New("loadgen: what was read is not what was written")

// Place is a partition of the load, numbered from 0 over all topics: topic × partitions +
// partition.
type Place = int

// Book is what producers wrote. Its methods may be called from any goroutine.
type Book struct {
	run     uint32
	names   func(Place) string
	written []written // by stream × places + place
	places  int
	streams int
}

// written is what one producer wrote to one partition.
type written struct {
	mu      sync.Mutex
	next    uint64
	acked   spans
	aborted spans
}

// New is an empty book of a run with so many producers and partitions; name tells a partition's
// name for the examples.
func New(run uint32, streams, places int, name func(Place) string) *Book {
	return &Book{run: run, names: name, places: places, streams: streams,
		written: make([]written, streams*places)}
}

func (b *Book) at(stream uint32, p Place) *written {
	return &b.written[int(stream)*b.places+p]
}

// Run is the number that the stamps of this run carry.
func (b *Book) Run() uint32 { return b.run }

// Take gives out the numbers of the next n messages of a producer to a partition: the first one.
func (b *Book) Take(stream uint32, p Place, n int) (first uint64) {
	w := b.at(stream, p)
	w.mu.Lock()
	defer w.mu.Unlock()
	first = w.next
	w.next += uint64(n)
	return first
}

// Acked notes that n messages from first on were acknowledged, or their transaction committed.
func (b *Book) Acked(stream uint32, p Place, first uint64, n int) {
	w := b.at(stream, p)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acked.add(first, first+uint64(n))
}

// Aborted notes that n messages from first on must not be seen by who reads committed ones.
func (b *Book) Aborted(stream uint32, p Place, first uint64, n int) {
	w := b.at(stream, p)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.aborted.add(first, first+uint64(n))
}

// Reading is what one consumer group received. Its methods may be called from any goroutine.
type Reading struct {
	book  *Book // nil: every run on the topic is judged by what it left
	whole bool  // without a book: the topic was read from its first message on
	names func(Place) string
	parts []part
}

// part is what was received of one partition.
type part struct {
	mu      sync.Mutex
	offsets spans
	pages   map[uint64]*page
	last    *page // of the message before: mostly that of the next one, too
	lastKey uint64

	duplicates, disordered, damaged, unknown, foreign int64
	examples                                          []string
}

// page is what was received of one producer.
type page struct {
	seen spans
	high uint64 // greatest number so far, and one
}

// maxExamples of each partition, and of a verdict.
const maxExamples = 8

// Reading is a new group's record of what this book's producers wrote.
func (b *Book) Reading() *Reading {
	return &Reading{book: b, names: b.names, parts: make([]part, b.places)}
}

// NewReading is a record of a topic of which no book is at hand: gaps, duplicates, order and
// content are judged by the stamps alone, so that a loss at the end cannot be seen. Whole says that
// it is read from its first message on: then every producer's first number is 0.
func NewReading(places int, whole bool, name func(Place) string) *Reading {
	return &Reading{whole: whole, names: name, parts: make([]part, places)}
}

// Take notes a message that was received, and returns its stamp where it is one of this run (of
// any run, without a book) and has not been read at this offset before.
func (r *Reading) Take(p Place, offset int64, value []byte) (workload.Stamp, bool) {
	t := &r.parts[p]
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.offsets.add(uint64(offset), uint64(offset)+1) == 0 {
		return workload.Stamp{}, false // B2
	}
	s, ok := workload.Stamped(value)
	if !ok {
		t.unknown++
		t.example("%s: the message at offset %d has no stamp", r.names(p), offset)
		return s, false
	}
	if r.book != nil && s.Run != r.book.run {
		t.foreign++
		return s, false
	}
	if !s.Intact(value) {
		t.damaged++
		t.example("%s: the message at offset %d (number %d of producer %d) is not what was written",
			r.names(p), offset, s.Number, s.Stream)
		return s, false
	}
	if r.book != nil && int64(s.Stream) >= int64(r.book.streams) {
		t.unknown++
		t.example("%s: offset %d names producer %d, which there is not", r.names(p), offset, s.Stream)
		return s, false
	}
	g := t.page(s)
	switch {
	case g.seen.add(s.Number, s.Number+1) == 0:
		t.duplicates++
		t.example("%s: number %d of producer %d a second time, at offset %d", r.names(p), s.Number,
			s.Stream, offset)
		return s, false
	case s.Number < g.high:
		t.disordered++
		t.example("%s: number %d of producer %d at offset %d, behind number %d", r.names(p), s.Number,
			s.Stream, offset, g.high-1)
	}
	g.high = max(g.high, s.Number+1)
	return s, true
}

func (t *part) page(s workload.Stamp) *page {
	key := uint64(s.Run)<<32 | uint64(s.Stream)
	if t.last != nil && t.lastKey == key {
		return t.last
	}
	g := t.pages[key]
	if g == nil {
		if t.pages == nil {
			t.pages = make(map[uint64]*page)
		}
		g = &page{}
		t.pages[key] = g
	}
	t.last, t.lastKey = g, key
	return g
}

func (t *part) example(format string, args ...any) {
	if len(t.examples) < maxExamples {
		t.examples = append(t.examples, fmt.Sprintf(format, args...))
	}
}

// Outstanding is how many acknowledged messages this group has not received.
func (r *Reading) Outstanding() int64 {
	left := int64(0)
	r.each(func(_ Place, _ uint32, w *written, g *page) {
		w.acked.without(&g.seen, func(s span) { left += int64(s.To - s.From) })
	})
	return left
}

// Foreign is how many messages of other runs were received.
func (r *Reading) Foreign() int64 {
	n := int64(0)
	for i := range r.parts {
		r.parts[i].mu.Lock()
		n += r.parts[i].foreign
		r.parts[i].mu.Unlock()
	}
	return n
}

// each goes through what was written with what was received of it, both locked.
func (r *Reading) each(f func(p Place, stream uint32, w *written, g *page)) {
	none := &page{}
	for p := range r.parts {
		t := &r.parts[p]
		t.mu.Lock()
		for stream := range uint32(r.book.streams) {
			w := r.book.at(stream, p)
			w.mu.Lock()
			g := t.pages[uint64(r.book.run)<<32|uint64(stream)]
			if g == nil {
				g = none
			}
			f(p, stream, w, g)
			w.mu.Unlock()
		}
		t.mu.Unlock()
	}
}

// Verdict says what is right and wrong so far. Committed says that the group reads committed
// messages only, so that what was aborted must not have been among them.
func (r *Reading) Verdict(committed bool) *result.Verified {
	v := &result.Verified{}
	var examples []string
	if r.book == nil {
		examples = r.alone(v)
	} else {
		r.each(func(p Place, stream uint32, w *written, g *page) {
			examples = append(examples, r.compare(v, p, stream, w, g, committed)...)
		})
	}
	for i := range r.parts {
		t := &r.parts[i]
		t.mu.Lock()
		v.Duplicates += t.duplicates
		v.Disordered += t.disordered
		v.Damaged += t.damaged
		v.Unknown += t.unknown
		examples = append(examples, t.examples...)
		t.mu.Unlock()
	}
	v.Examples = examples[:min(len(examples), maxExamples)]
	return v
}

// compare adds one producer's messages in one partition to the verdict.
func (r *Reading) compare(v *result.Verified, p Place, stream uint32, w *written, g *page,
	committed bool) (examples []string) {
	missing := int64(0)
	w.acked.without(&g.seen, func(s span) {
		missing += int64(s.To - s.From)
		examples = append(examples, fmt.Sprintf(
			"%s: numbers %d to %d of producer %d were acknowledged and never received",
			r.names(p), s.From, s.To-1, stream))
	})
	v.Expected += int64(w.acked.count)
	v.Missing += missing
	v.Received += int64(w.acked.count) - missing
	g.seen.without(&spans{list: []span{{0, w.next}}}, func(s span) {
		v.Unknown += int64(s.To - s.From)
		examples = append(examples, fmt.Sprintf("%s: numbers %d to %d of producer %d were never sent",
			r.names(p), s.From, s.To-1, stream))
	})
	if committed {
		g.seen.common(&w.aborted, func(s span) {
			v.Unknown += int64(s.To - s.From)
			examples = append(examples, fmt.Sprintf(
				"%s: numbers %d to %d of producer %d were aborted, and received as committed",
				r.names(p), s.From, s.To-1, stream))
		})
	}
	return examples[:min(len(examples), maxExamples)]
}

// alone judges what was received by itself: the numbers of every producer have no gap.
func (r *Reading) alone(v *result.Verified) (examples []string) {
	for p := range r.parts {
		t := &r.parts[p]
		t.mu.Lock()
		for key, g := range t.pages { // none is empty
			begin := uint64(0)
			if !r.whole {
				begin = g.seen.list[0].From
			}
			all := spans{list: []span{{begin, g.seen.end()}}}
			all.without(&g.seen, func(s span) {
				v.Missing += int64(s.To - s.From)
				examples = append(examples, fmt.Sprintf(
					"%s: numbers %d to %d of producer %d are not there", r.names(p), s.From, s.To-1,
					uint32(key)))
			})
			v.Expected += int64(g.seen.end() - begin)
			v.Received += int64(g.seen.count)
		}
		t.mu.Unlock()
	}
	return examples[:min(len(examples), maxExamples)]
}
