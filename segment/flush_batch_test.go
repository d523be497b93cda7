package segment

import (
	"bytes"
	"testing"

	"millrace/protocol"
)

// TestBatches: thousands of small pieces, here of forty logs, go to their files in few jobs
// (the last ones may go singly), and what was acknowledged survives a loss of power between any of them.
func TestBatches(t *testing.T) {
	const logs = 40
	for seed := range uint64(12) {
		r := newRig(t, seed)
		r.topic(1, logs, DefaultConfig())
		r.open()
		want := make([][]byte, logs)
		ends := make([]int64, logs)
		fill := uint64(0)
		for life := range 3 {
			batches, ring := 0, 0
			for range 30 {
				for p := range int32(logs) {
					tp := protocol.TopicPartition{Topic: topicID(1), Partition: p}
					s, l := r.shardOf(tp), r.log(tp)
					if s.Admit(900) != Admitted {
						continue
					}
					fill++
					v := makeBatch(t, 4, 200, r.now.Wall, fill)
					s.Append(l, v, 1, r.now.Wall)
					want[p], ends[p] = append(want[p], v...), l.Marks().End
				}
				r.turn()
				for _, e := range r.waiting {
					switch {
					case e.io != nil && r.shards[e.core].ops[e.io.ID-1].kind == opFlush:
						ring++
					case e.job != nil && r.shards[e.core].jobs[e.job.ID-1].kind == jobFlush:
						batches += len(r.shards[e.core].jobs[e.job.ID-1].arg.(*flushBatch).work)
					}
				}
				r.perform(r.rng.IntN(4))
			}
			if life == 2 {
				break
			}
			// Everything is durable, and a sweep is somewhere in its work.
			for r.shards[0].Durable() < r.shards[0].st.seq {
				r.turn()
				r.perform(len(r.waiting))
			}
			r.turn()
			r.perform(r.rng.IntN(3))
			if batches == 0 || ring > batches {
				t.Fatalf("seed %d: %d logs in batches, %d single pieces", seed, batches, ring)
			}
			r.crash(true)
			r.open()
			r.compare(want, ends)
		}
		r.stop()
		r.open()
		r.compare(want, ends)
		r.close()
	}
}

func (r *rig) compare(want [][]byte, ends []int64) {
	r.t.Helper()
	for p := range want {
		l := r.log(protocol.TopicPartition{Topic: topicID(1), Partition: int32(p)})
		if l.Marks().End != ends[p] {
			r.t.Fatalf("partition %d ends at %d, not %d", p, l.Marks().End, ends[p])
		}
		if !bytes.Equal(r.readAll(l, 0, ends[p], 1<<20), want[p]) {
			r.t.Fatalf("partition %d: bytes differ", p)
		}
	}
}
