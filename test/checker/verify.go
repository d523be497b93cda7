package checker

import (
	"cmp"
	"fmt"
	"slices"
)

// Anomalies gives what was found so far while recording: what needs no end of the run.
func (h *History) Anomalies() []Anomaly {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.found)
}

// Check judges the whole history. Every place that holds anything must be closed.
func (h *History) Check() []Anomaly {
	h.mu.Lock()
	defer h.mu.Unlock()
	recorded, dropped := h.found, h.dropped
	for _, p := range h.places() {
		h.checkLog(p, h.logs[p])
	}
	out := slices.Clone(h.found)
	if h.dropped > 0 {
		out = append(out, Anomaly{Kind: h.found[len(h.found)-1].Kind,
			Words: fmt.Sprintf("and %d more findings", h.dropped)})
	}
	h.found, h.dropped = recorded, dropped // so that Check may be called again
	return out
}

func (h *History) places() []Place {
	out := make([]Place, 0, len(h.logs))
	for p := range h.logs {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b Place) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Incarnation, b.Incarnation),
			cmp.Compare(a.Partition, b.Partition))
	})
	return out
}

func (h *History) checkLog(p Place, l *logOf) {
	if !l.closed {
		if len(l.streams) > 0 || len(l.offsets) > 0 {
			h.report(Unread, p, "the log was not read to its end")
		}
		return
	}
	for offset := l.start; offset < l.end; offset++ {
		if offset >= int64(len(l.offsets)) || !l.offsets[offset].present {
			h.report(Gap, p, "offset %d of %d..%d has no record", offset, l.start, l.end)
		}
	}
	for offset := max(l.end, 0); offset < int64(len(l.offsets)); offset++ {
		if l.offsets[offset].present {
			h.report(Vanished, p, "offset %d was read, the log ends at %d", offset, l.end)
		}
	}
	h.checkOrder(p, l)
	h.checkAcked(p, l)
}

// checkOrder walks the log once and marks what it holds of every stream.
func (h *History) checkOrder(p Place, l *logOf) {
	for _, s := range l.streams {
		for i := range s.sent {
			s.sent[i].found = false
		}
	}
	newest := map[uint32]uint64{} // producer → seq after its newest first copy
	for offset := l.start; offset < min(l.end, int64(len(l.offsets))); offset++ {
		at := l.offsets[offset]
		if !at.present {
			continue
		}
		s := l.streams[at.producer]
		if s.sent[at.seq].found {
			if s.promise&OnlyOnce != 0 {
				h.report(Duplicate, p, "offset %d: record %d of producer %d again", offset, at.seq,
					at.producer)
			}
			continue
		}
		s.sent[at.seq].found = true
		if s.promise&Ordered != 0 && at.seq < newest[at.producer] {
			h.report(Reordered, p, "offset %d: record %d of producer %d after its %d", offset, at.seq,
				at.producer, newest[at.producer]-1)
		}
		newest[at.producer] = max(newest[at.producer], at.seq+1)
	}
}

func (h *History) checkAcked(p Place, l *logOf) {
	producers := make([]uint32, 0, len(l.streams))
	for producer := range l.streams {
		producers = append(producers, producer)
	}
	slices.Sort(producers)
	for _, producer := range producers {
		for seq, r := range l.streams[producer].sent {
			switch {
			case !r.acked:
			case !r.found:
				h.report(Lost, p, "record %d of producer %d was acknowledged at offset %d; the log is %d..%d",
					seq, producer, r.offset, l.start, l.end)
			case r.offset == unknown:
			case r.offset >= int64(len(l.offsets)) ||
				l.offsets[r.offset] != held{producer: producer, seq: uint64(seq), present: true}:
				h.report(Misplaced, p, "record %d of producer %d was acknowledged at offset %d and is not there",
					seq, producer, r.offset)
			}
		}
	}
}
