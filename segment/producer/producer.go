package producer

import (
	"math"

	"millrace/internal/invariant"
)

const (
	// Window is how many batches of a producer are remembered: as many as a client
	// may have in flight (max.in.flight.requests.per.connection ≤ 5).
	Window = 5

	// MaxProducers of one partition: 3 MB of state.
	MaxProducers = 16 << 10
)

// Code is the verdict on a batch.
type Code uint8

const (
	Accept     Code = iota
	Duplicate       // answer as for the original, once LastOffset is durable
	StaleEpoch      // INVALID_PRODUCER_EPOCH
	OutOfOrder      // OUT_OF_ORDER_SEQUENCE_NUMBER
)

// Verdict of Check. The offsets and the time are the original's, for Duplicate.
type Verdict struct {
	Code       Code
	BaseOffset int64
	LastOffset int64
	Timestamp  int64
}

// Batch is what Note remembers.
type Batch struct {
	PID        int64
	Epoch      int16
	BaseSeq    int32
	Count      int32 // last offset - base offset + 1
	BaseOffset int64
	Timestamp  int64 // the batch's max timestamp
}

// State is one partition's producers. The zero value is empty and ready.
type State struct {
	end     int64 // one behind the last offset noted (I2)
	byID    map[int64]int32
	entries []entry
	spare   int32 // list of unused entries, as index + 1; 0 = none
	first   int32 // longest unseen, as index + 1
	last    int32 // seen last, as index + 1
}

type entry struct {
	pid           int64
	seen          int64 // when a batch or a retry of it came last, broker's wall time
	lastTimestamp int64 // of the last batch
	txnStart      int64 // -1: no transaction open
	coordinator   int32 // epoch of the transaction coordinator, -1
	prev, next    int32 // list by seen, as index + 1
	epoch         int16
	count         uint8
	head          uint8 // the oldest of batches
	batches       [Window]batch
}

type batch struct {
	lastSeq    int32
	delta      int32 // number of records - 1
	lastOffset int64
	timestamp  int64
}

// step moves a sequence number; behind 2^31-1 comes 0.
func step(seq, by int32) int32 { return int32(uint32(seq+by) & math.MaxInt32) }

func (e *entry) at(i uint8) *batch { return &e.batches[(e.head+i)%Window] }

// Check judges a batch with a producer id. now is the broker's wall time: a retry
// is a sign of life.
//
//hot:noalloc
func (s *State) Check(pid int64, epoch int16, baseSeq, count int32, now int64) Verdict {
	invariant.Check(count > 0)
	i, known := s.byID[pid]
	if !known {
		return Verdict{}
	}
	e := &s.entries[i]
	switch {
	case epoch < e.epoch:
		return Verdict{Code: StaleEpoch}
	case epoch > e.epoch:
		if baseSeq != 0 {
			return Verdict{Code: OutOfOrder}
		}
		return Verdict{}
	}
	lastSeq := step(baseSeq, count-1)
	for k := range e.count {
		b := e.at(k)
		if b.lastSeq == lastSeq && b.delta == count-1 {
			s.touch(i, now)
			return Verdict{Code: Duplicate, BaseOffset: b.lastOffset - int64(b.delta),
				LastOffset: b.lastOffset, Timestamp: b.timestamp}
		}
	}
	next := int32(0) // an epoch without batches begins at 0
	if e.count > 0 {
		next = step(e.at(e.count-1).lastSeq, 1)
	}
	if baseSeq != next {
		return Verdict{Code: OutOfOrder}
	}
	return Verdict{}
}

// Note remembers an appended batch. It believes what it is told: Check came before,
// now or in an earlier life. What ends at or below an offset noted before is skipped.
func (s *State) Note(b Batch, now int64) {
	invariant.Check(b.PID >= 0 && b.Count > 0)
	lastOffset := b.BaseOffset + int64(b.Count) - 1
	if lastOffset < s.end {
		return // I2
	}
	s.end = lastOffset + 1
	i, known := s.byID[b.PID]
	if !known {
		i = s.add(b.PID)
		s.entries[i].epoch = b.Epoch
		s.append(i, now)
	} else {
		s.touch(i, now)
	}
	e := &s.entries[i]
	if e.epoch != b.Epoch {
		e.epoch, e.count = b.Epoch, 0
	}
	if e.count == Window {
		e.head = (e.head + 1) % Window
		e.count--
	}
	e.lastTimestamp = b.Timestamp
	*e.at(e.count) = batch{lastSeq: step(b.BaseSeq, b.Count-1), delta: b.Count - 1,
		lastOffset: lastOffset, timestamp: b.Timestamp}
	e.count++
}

// touch moves an entry to the end of the list by seen.
func (s *State) touch(i int32, now int64) {
	if s.last == i+1 {
		s.entries[i].seen = now
		return
	}
	s.unlink(i)
	s.append(i, now)
}

func (s *State) append(i int32, now int64) {
	e := &s.entries[i]
	e.seen, e.prev, e.next = now, s.last, 0
	if s.last == 0 {
		s.first = i + 1
	} else {
		s.entries[s.last-1].next = i + 1
	}
	s.last = i + 1
}

func (s *State) unlink(i int32) {
	e := &s.entries[i]
	if e.prev == 0 {
		s.first = e.next
	} else {
		s.entries[e.prev-1].next = e.next
	}
	if e.next == 0 {
		s.last = e.prev
	} else {
		s.entries[e.next-1].prev = e.prev
	}
}

// add makes an entry that is not yet in the list, if need be in place of the one
// that was not seen for the longest time (I3).
func (s *State) add(pid int64) int32 {
	if s.byID == nil {
		s.byID = make(map[int64]int32)
	}
	if len(s.byID) >= MaxProducers {
		s.forget(s.first - 1)
	}
	i := s.spare - 1
	if i < 0 {
		i = int32(len(s.entries))
		s.entries = append(s.entries, entry{})
	} else {
		s.spare = s.entries[i].next
	}
	s.entries[i] = entry{pid: pid, txnStart: -1, coordinator: -1}
	s.byID[pid] = i
	return i
}

func (s *State) forget(i int32) {
	s.unlink(i)
	delete(s.byID, s.entries[i].pid)
	s.entries[i].next = s.spare
	s.spare = i + 1
}
