package admin

import (
	"sync"
	"time"

	"millrace/internal/admin/status"
)

// fresh is how long a snapshot serves further askers: far below every scrape
// interval, long enough that many scrapers cost the cores one visit.
const fresh = 200 * time.Millisecond

// shared takes one snapshot at a time (I3).
type shared struct {
	src status.Source

	mu   sync.Mutex
	last *status.Snapshot
	at   time.Time
}

func (s *shared) get() (*status.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last != nil && time.Since(s.at) < fresh {
		return s.last, nil
	}
	snap, err := s.src.Snapshot()
	if err != nil {
		return nil, err
	}
	s.last, s.at = snap, time.Now()
	return snap, nil
}

// apiTotals adds up one API's figures over all cores.
func apiTotals(cores []status.Core) map[int]*status.API {
	out := make(map[int]*status.API)
	for i := range cores {
		for key := range cores[i].APIs {
			a := &cores[i].APIs[key]
			if a.Requests == 0 {
				continue
			}
			t := out[key]
			if t == nil {
				t = new(status.API)
				out[key] = t
			}
			t.Requests += a.Requests
			t.Errors += a.Errors
			t.BytesIn += a.BytesIn
			t.BytesOut += a.BytesOut
			t.Latency.Add(&a.Latency)
		}
	}
	return out
}

// topic is one topic's partitions added up.
type topic struct {
	name                          string
	partitions, underReplicated   int
	start, high, bytes            int64
	messagesIn, bytesIn, bytesOut uint64
}

func topicTotals(parts []status.Partition) []topic {
	var out []topic
	index := make(map[string]int)
	for i := range parts {
		p := &parts[i]
		at, ok := index[p.Topic]
		if !ok {
			at = len(out)
			index[p.Topic] = at
			out = append(out, topic{name: p.Topic})
		}
		t := &out[at]
		t.partitions++
		if p.InSync < p.Replicas {
			t.underReplicated++
		}
		t.start += p.Start
		t.high += p.High
		t.bytes += p.Bytes
		t.messagesIn += p.MessagesIn
		t.bytesIn += p.BytesIn
		t.bytesOut += p.BytesOut
	}
	return out
}
