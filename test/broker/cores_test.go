package broker

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The number of cores changes from start to start, after kills and after clean stops: records
// and committed offsets are where they were, and go on from there.
func TestCoresChange(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	dir := t.TempDir()
	const partitions, each = 7, 40
	written, seen := 0, 0
	for life, cores := range []int{1, 3, 2, 1, 4, 1} {
		p := Start(t, dir, "--cores", fmt.Sprint(cores), "--set", "journal.count="+fmt.Sprint(cores),
			"--set", "num.partitions="+fmt.Sprint(partitions), "--set",
			"group.initial.rebalance.delay.ms=0")
		if life > 0 {
			readOn(ctx, t, p, written-seen)
			seen = written
		}
		cl := client(t, p, kgo.DefaultProduceTopic("t"), kgo.AllowAutoTopicCreation(),
			kgo.RecordPartitioner(kgo.ManualPartitioner()))
		for range each {
			for part := range int32(partitions) {
				r := &kgo.Record{Partition: part, Value: fmt.Appendf(nil, "%d", written)}
				cl.Produce(ctx, r, func(_ *kgo.Record, err error) {
					if err != nil {
						t.Error(err)
					}
				})
				written++
			}
		}
		if err := cl.Flush(ctx); err != nil || t.Failed() {
			t.Fatal(err)
		}
		cl.Close()
		if life == 0 {
			readOn(ctx, t, p, written)
			seen = written
		}
		if life%2 == 0 {
			p.Kill()
		} else if code := p.Stop(t); code != 0 {
			t.Fatalf("exit code %d", code)
		}
	}
}

// readOn reads as a group to the end and commits: it must be want records, each once, which
// nobody in the group has read in an earlier life.
func readOn(ctx context.Context, t *testing.T, p *Process, want int) {
	t.Helper()
	cl := client(t, p, kgo.ConsumeTopics("t"), kgo.ConsumerGroup("g"), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer cl.Close()
	seen := map[string]bool{}
	for len(seen) < want {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("%d of %d read: %v", len(seen), want, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if seen[string(r.Value)] {
				t.Errorf("%s is read twice", r.Value)
			}
			seen[string(r.Value)] = true
		})
	}
	if err := cl.CommitUncommittedOffsets(ctx); err != nil {
		t.Fatal(err)
	}
}
