package checker

import (
	"fmt"
	"sync"
)

// Kind is one thing that a log must never do.
type Kind string

const (
	Lost       Kind = "lost"       // acknowledged, not in the log
	Duplicate  Kind = "duplicate"  // an idempotent producer's record twice
	Reordered  Kind = "reordered"  // a producer's records out of its order
	Misplaced  Kind = "misplaced"  // not at the offset that its acknowledgement named
	Gap        Kind = "gap"        // an offset without a record, or skipped by a reader
	Changed    Kind = "changed"    // an offset that held another record before
	Vanished   Kind = "vanished"   // read once, beyond the end of the log later
	Phantom    Kind = "phantom"    // read, never sent
	Foreign    Kind = "foreign"    // of another topic, partition or incarnation
	Corrupt    Kind = "corrupt"    // bytes that nobody sent
	Unread     Kind = "unread"     // the log was never read to its end: nothing is proven
	CommitBack Kind = "commitBack" // a group's offset below one acknowledged or seen
	CommitMade Kind = "commitMade" // a group's offset that nobody committed
)

// Anomaly is one finding.
type Anomaly struct {
	Kind  Kind
	Place Place
	Words string
}

func (a Anomaly) String() string {
	return fmt.Sprintf("%s: %s/%d#%d: %s", a.Kind, a.Place.Topic, a.Place.Partition,
		a.Place.Incarnation, a.Words)
}

// Promise is what a producer may count on.
type Promise uint8

const (
	Ordered  Promise = 1 << iota // its first copies stand in order
	OnlyOnce                     // no second copies

	AtLeast   = Ordered
	ExactOnce = Ordered | OnlyOnce
)

const unknown = -1

// sent is one record's fate, as its producer knows it.
type sent struct {
	acked  bool
	offset int64 // that the acknowledgement named, or unknown
	found  bool  // used by Check only
}

type stream struct {
	promise Promise
	sent    []sent
}

// held is what stands at an offset.
type held struct {
	producer uint32
	seq      uint64
	present  bool
}

type logOf struct {
	streams map[uint32]*stream
	offsets []held           // by offset, from 0
	next    map[string]int64 // reader → offset that must come next
	closed  bool
	start   int64
	end     int64
}

// History is a run so far. All methods may be called from any goroutine.
type History struct {
	mu      sync.Mutex
	logs    map[Place]*logOf
	commits map[commitKey]*commits
	found   []Anomaly
	dropped int // anomalies beyond maxAnomalies
	sent    int
	acked   int
	reads   int
}

// A broken log is broken many thousand times; the first few tell enough.
const maxAnomalies = 1000

// New gives an empty history.
func New() *History {
	return &History{logs: map[Place]*logOf{}, commits: map[commitKey]*commits{}}
}

func (h *History) log(p Place) *logOf {
	l := h.logs[p]
	if l == nil {
		l = &logOf{streams: map[uint32]*stream{}, next: map[string]int64{}}
		h.logs[p] = l
	}
	return l
}

// report notes an anomaly. The caller holds h.mu.
func (h *History) report(k Kind, p Place, format string, args ...any) {
	if len(h.found) >= maxAnomalies {
		h.dropped++
		return
	}
	h.found = append(h.found, Anomaly{Kind: k, Place: p, Words: fmt.Sprintf(format, args...)})
}

// Intend notes that a producer is about to send its next record to a place, and gives
// the record's origin. A producer sends to one place in the order of its Intends.
func (h *History) Intend(p Place, producer uint32, promise Promise) Origin {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.log(p)
	s := l.streams[producer]
	if s == nil {
		s = &stream{promise: promise}
		l.streams[producer] = s
	}
	s.sent = append(s.sent, sent{offset: unknown})
	h.sent++
	return Origin{Place: p, Producer: producer, Seq: uint64(len(s.sent) - 1)}
}

// Ack notes that the broker acknowledged a record, at an offset or at -1 if it did not
// say where. A record that is never acknowledged may be in the log or not.
func (h *History) Ack(o Origin, offset int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.acked++
	l := h.logs[o.Place]
	if l == nil || l.streams[o.Producer] == nil {
		return // forgotten
	}
	s := l.streams[o.Producer]
	s.sent[o.Seq].acked = true
	s.sent[o.Seq].offset = max(offset, unknown)
}

// Read notes that reader was given value at an offset of a place. A reader reads a
// place in order, without holes, from where it began.
func (h *History) Read(reader string, p Place, offset int64, value []byte) {
	o, err := ParsePayload(value)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reads++
	l := h.log(p)
	if want, began := l.next[reader]; began && want != offset {
		h.report(Gap, p, "%s was given offset %d after %d", reader, offset, want-1)
	}
	l.next[reader] = offset + 1
	h.hold(l, p, offset, o, err)
}

// Glimpse is Read for a reader that may jump and read again, as a group's member does.
func (h *History) Glimpse(p Place, offset int64, value []byte) {
	o, err := ParsePayload(value)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reads++
	h.hold(h.log(p), p, offset, o, err)
}

// maxOffset bounds what a mad broker can make us allocate.
const maxOffset = 1 << 28

func (h *History) hold(l *logOf, p Place, offset int64, o Origin, err error) {
	switch {
	case err != nil:
		h.report(Corrupt, p, "offset %d: bytes that nobody sent", offset)
		return
	case o.Place != p:
		h.report(Foreign, p, "offset %d holds record %d of producer %d of %s/%d#%d", offset,
			o.Seq, o.Producer, o.Topic, o.Partition, o.Incarnation)
		return
	case offset < 0 || offset >= maxOffset:
		h.report(Gap, p, "offset %d is out of any reason", offset)
		return
	}
	if s := l.streams[o.Producer]; s == nil || o.Seq >= uint64(len(s.sent)) {
		h.report(Phantom, p, "offset %d: record %d of producer %d was never sent", offset, o.Seq,
			o.Producer)
		return
	}
	for int64(len(l.offsets)) <= offset {
		l.offsets = append(l.offsets, held{})
	}
	was := &l.offsets[offset]
	now := held{producer: o.Producer, seq: o.Seq, present: true}
	if was.present && *was != now {
		h.report(Changed, p, "offset %d was record %d of producer %d, is record %d of producer %d",
			offset, was.seq, was.producer, o.Seq, o.Producer)
	}
	*was = now
}

// Close notes that a place was read from start to end, its last offset plus one, after
// all sending was over.
func (h *History) Close(p Place, start, end int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.log(p)
	l.closed, l.start, l.end = true, start, end
}

// Forget drops a place whose log is gone, such as a deleted topic's: what was
// acknowledged there is no longer owed.
func (h *History) Forget(p Place) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.logs, p)
}

// Counts gives how many records were sent, acknowledged and read so far.
func (h *History) Counts() (sent, acked, reads int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sent, h.acked, h.reads
}
