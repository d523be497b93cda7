package producer

import (
	"encoding/binary"
	"errors"
	"sort"

	"millrace/internal/invariant"
)

// Len is the number of producers known.
func (s *State) Len() int { return len(s.byID) }

// End is one behind the last offset noted.
func (s *State) End() int64 { return s.end }

// Expire forgets producers not seen for longer than expirationMillis
// (producer.id.expiration.ms). Kafka goes by the newest record's timestamp, which
// forgets a producer of old records at once; this goes by when the batch came.
func (s *State) Expire(now, expirationMillis int64) {
	for s.first != 0 && now-s.entries[s.first-1].seen > expirationMillis {
		s.forget(s.first - 1)
	}
	if len(s.byID) == 0 && s.entries != nil { // an idle partition costs nothing
		*s = State{end: s.end}
	}
}

// TruncateTo forgets batches that reach beyond end. A producer that has none left is
// unknown again.
func (s *State) TruncateTo(end int64) {
	for i := s.first - 1; i >= 0; {
		e := &s.entries[i]
		next := e.next - 1
		for e.count > 0 && e.at(e.count-1).lastOffset >= end {
			e.count--
		}
		if e.count == 0 {
			s.forget(i)
		} else {
			e.lastTimestamp = e.at(e.count - 1).timestamp
		}
		i = next
	}
	s.end = min(s.end, end)
}

// Info is one producer, as DescribeProducers shows it.
type Info struct {
	PID              int64
	Epoch            int16
	CoordinatorEpoch int32 // -1: none
	LastSeq          int32
	LastOffset       int64 // of its last batch, −1: none
	LastTimestamp    int64
	TxnStartOffset   int64 // -1: none
}

// Each calls f for every producer, in order of id.
func (s *State) Each(f func(Info)) {
	order := make([]int32, 0, len(s.byID))
	for i := s.first; i != 0; i = s.entries[i-1].next {
		order = append(order, i-1)
	}
	sort.Slice(order, func(a, b int) bool {
		return s.entries[order[a]].pid < s.entries[order[b]].pid
	})
	for _, i := range order {
		e := &s.entries[i]
		lastSeq, lastOffset := int32(-1), int64(-1)
		if e.count > 0 {
			lastSeq, lastOffset = e.at(e.count-1).lastSeq, e.at(e.count-1).lastOffset
		}
		f(Info{PID: e.pid, Epoch: e.epoch, CoordinatorEpoch: e.coordinator, LastSeq: lastSeq,
			LastOffset: lastOffset, LastTimestamp: e.lastTimestamp, TxnStartOffset: e.txnStart})
	}
}

const (
	version    = 1
	headerSize = 1 + 8 + 4
	entrySize  = 8 + 2 + 4 + 8 + 8 + 8 + 1
	batchSize  = 4 + 4 + 8 + 8
)

// ErrDamaged says that bytes are not what Encode wrote.
var ErrDamaged = errors.New("producer: decode: damaged state")

// EncodedSize is how many bytes Encode appends.
func (s *State) EncodedSize() int {
	n := headerSize
	for i := s.first; i != 0; i = s.entries[i-1].next {
		n += entrySize + int(s.entries[i-1].count)*batchSize
	}
	return n
}

// Encode appends the state to dst; equal histories give equal bytes.
func (s *State) Encode(dst []byte) []byte {
	start := len(dst)
	order := binary.BigEndian
	dst = append(dst, version)
	dst = order.AppendUint64(dst, uint64(s.end))
	dst = order.AppendUint32(dst, uint32(len(s.byID)))
	for i := s.first; i != 0; i = s.entries[i-1].next {
		e := &s.entries[i-1]
		dst = order.AppendUint64(dst, uint64(e.pid))
		dst = order.AppendUint16(dst, uint16(e.epoch))
		dst = order.AppendUint32(dst, uint32(e.coordinator))
		dst = order.AppendUint64(dst, uint64(e.lastTimestamp))
		dst = order.AppendUint64(dst, uint64(e.seen))
		dst = order.AppendUint64(dst, uint64(e.txnStart))
		dst = append(dst, e.count)
		for k := range e.count {
			b := e.at(k)
			dst = order.AppendUint32(dst, uint32(b.lastSeq))
			dst = order.AppendUint32(dst, uint32(b.delta))
			dst = order.AppendUint64(dst, uint64(b.lastOffset))
			dst = order.AppendUint64(dst, uint64(b.timestamp))
		}
	}
	invariant.Check(len(dst)-start == s.EncodedSize())
	return dst
}

// Decode replaces the state by what Encode wrote. b must be used up exactly; after
// an error the state is empty.
func (s *State) Decode(b []byte) error {
	*s = State{}
	fresh := State{}
	if len(b) < headerSize || b[0] != version {
		return ErrDamaged
	}
	order := binary.BigEndian
	fresh.end = int64(order.Uint64(b[1:]))
	count := int64(order.Uint32(b[9:]))
	b = b[headerSize:]
	if fresh.end < 0 || count > MaxProducers || count*entrySize > int64(len(b)) {
		return ErrDamaged
	}
	for range count {
		rest, err := fresh.decodeEntry(b)
		if err != nil {
			return err
		}
		b = rest
	}
	if len(b) != 0 {
		return ErrDamaged
	}
	*s = fresh
	return nil
}

func (s *State) decodeEntry(b []byte) (rest []byte, err error) {
	if len(b) < entrySize {
		return nil, ErrDamaged
	}
	order := binary.BigEndian
	pid, n := int64(order.Uint64(b)), b[entrySize-1]
	_, twice := s.byID[pid]
	if pid < 0 || twice || n > Window || len(b) < entrySize+int(n)*batchSize {
		return nil, ErrDamaged
	}
	i := s.add(pid)
	s.append(i, int64(order.Uint64(b[22:])))
	e := &s.entries[i]
	e.epoch = int16(order.Uint16(b[8:]))
	e.coordinator = int32(order.Uint32(b[10:]))
	e.lastTimestamp = int64(order.Uint64(b[14:]))
	e.txnStart = int64(order.Uint64(b[30:]))
	b = b[entrySize:]
	for range n {
		m := batch{
			lastSeq: int32(order.Uint32(b)), delta: int32(order.Uint32(b[4:])),
			lastOffset: int64(order.Uint64(b[8:])), timestamp: int64(order.Uint64(b[16:])),
		}
		ordered := e.count == 0 || m.lastOffset-int64(m.delta) > e.at(e.count-1).lastOffset
		if m.lastSeq < 0 || m.delta < 0 || m.lastOffset < int64(m.delta) ||
			m.lastOffset >= s.end || !ordered { // I1
			return nil, ErrDamaged
		}
		*e.at(e.count) = m
		e.count++
		b = b[batchSize:]
	}
	return b, nil
}
