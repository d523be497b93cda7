package engine

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol/batch"
)

// coldBatch is the size of the values that the cold topic has, one in a batch.
const coldBatch = 900_000

// coldRig has a topic whose first batches are only on the disk, on every core.
func coldRig(t *testing.T, cores int) (r *rig, fd, parts int32) {
	r = newRig(t, cores)
	parts = int32(4 * cores)
	r.create("t", parts)
	fd = r.connect(0)
	for i := range 16 {
		for p := range parts {
			v := records(1, strings.Repeat(fmt.Sprint(i, " ", p, " "), coldBatch)[:coldBatch])
			if got := produced(t, r.ask(fd, produceRequest("t", p, v))); got.ErrorCode != 0 {
				t.Fatalf("produce: %+v", got)
			}
		}
	}
	r.now.Mono += 1_000_000_000 // nobody writes
	return r, fd, parts
}

func coldFetch(parts int32, offset int64, most, each int32) *kmsg.FetchRequest {
	f := fetchRequest("t", 0, offset, 0)
	f.MaxBytes = most
	rt := &f.Topics[0]
	for p := int32(1); p < parts; p++ {
		rp := rt.Partitions[0]
		rp.Partition = p
		rt.Partitions = append(rt.Partitions, rp)
	}
	for i := range rt.Partitions {
		rt.Partitions[i].PartitionMaxBytes = each
	}
	return f
}

// sizes are the bytes of every partition of an answer, whose batches must be whole and those
// asked for.
func sizes(t *testing.T, resp kmsg.Response, offset int64) (all []int, sum int) {
	t.Helper()
	for _, p := range resp.(*kmsg.FetchResponse).Topics[0].Partitions {
		if p.ErrorCode != 0 {
			t.Fatalf("partition %d: code %d", p.Partition, p.ErrorCode)
		}
		next := offset
		for b := p.RecordBatches; len(b) > 0; {
			v, rest, err := batch.Next(b)
			start := []byte(fmt.Sprint(next, " ", p.Partition, " "))
			if err != nil || v.BaseOffset() != next || !v.CheckCRC() || !bytes.Contains(v[:100], start) {
				t.Fatalf("partition %d at %d: %v", p.Partition, next, err)
			}
			next, b = v.NextOffset(), rest
		}
		all, sum = append(all, len(p.RecordBatches)), sum+len(p.RecordBatches)
	}
	return all, sum
}

// Cold partitions of one request are read at the same time, and the limits of the request
// and of each partition hold for them as for hot ones: the first batch goes whole.
func TestColdFetchLimits(t *testing.T) {
	for cores := 1; cores <= 2; cores++ {
		r, fd, parts := coldRig(t, cores)
		r.unread = true
		f := coldFetch(parts, 0, 50<<20, 2<<20)
		r.write(fd, formatter.AppendRequest(nil, f, 42))
		for i, ops := range r.parked {
			if len(ops) < 2 {
				t.Errorf("core %d of %d: %d reads at the same time", i, cores, len(ops))
			}
		}
		r.release()
		all, _ := sizes(t, r.answer(fd, f), 0)
		for p, n := range all {
			if n < coldBatch || n > 2<<20 {
				t.Errorf("%d cores: partition %d has %d bytes", cores, p, n)
			}
		}
		for _, x := range []struct {
			most, each int32
			least, top int
		}{
			{2 << 20, 1 << 20, coldBatch, 2 << 20}, // the request's limit
			{50 << 20, 100, coldBatch, coldBatch + 200},
			{100, 1 << 20, coldBatch, coldBatch + 200},
		} {
			_, sum := sizes(t, r.ask(fd, coldFetch(parts, 1, x.most, x.each)), 1)
			if sum < x.least || sum > x.top {
				t.Errorf("%d cores: %d bytes for limits of %d and %d", cores, sum, x.most, x.each)
			}
		}
		cold := uint64(0)
		for _, c := range r.cores {
			cold += c.stats.ColdReads
		}
		if cold < uint64(2*parts) {
			t.Errorf("only %d cold reads", cold)
		}
	}
}

// A client that goes while its reads are in flight leaves nothing behind, and its connection
// ends before they do.
func TestColdFetchOfOneWhoIsGone(t *testing.T) {
	for cores := 1; cores <= 2; cores++ {
		r, fd, parts := coldRig(t, cores)
		r.ask(fd, coldFetch(parts, 0, 50<<20, 1<<20)) // so that what is cached is there
		before := make([]int64, cores)
		for i, c := range r.cores {
			before[i] = c.pool.Held()
		}
		for offset := range int64(8) {
			b := r.connect(0)
			r.unread = true
			r.write(b, formatter.AppendRequest(nil, coldFetch(parts, offset, 50<<20, 1<<20), 42))
			r.cores[0].inbox.Post(func(c *Core) {
				for _, cn := range c.conns.slots {
					if cn.used && cn.fd == b {
						c.hangUp(cn)
					}
				}
			})
			r.run()
			r.release()
		}
		for i, c := range r.cores {
			b := &c.fetches
			if b.pinned != 0 || b.parked != 0 || len(b.cold) != 0 {
				t.Errorf("core %d of %d: pinned %d parked %d cold %d", i, cores, b.pinned, b.parked, len(b.cold))
			}
			if held := c.pool.Held(); held > before[i]+c.pool.Budget()/16 {
				t.Errorf("core %d of %d: %d bytes are held, before %d", i, cores, held, before[i])
			}
		}
		if got, _ := sizes(t, r.ask(fd, coldFetch(parts, 3, 50<<20, 1<<20)), 3); len(got) != int(parts) {
			t.Errorf("%d partitions answered afterwards", len(got))
		}
	}
}
