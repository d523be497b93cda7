package broker

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// compactArgs make the cleaner look often, and checkpoints come soon.
var compactArgs = []string{"--set", "log.cleaner.backoff.ms=100"}

var compactConfigs = map[string]string{
	"cleanup.policy": "compact", "internal.segment.bytes": "30000",
	"min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": "0",
	"message.timestamp.type": "CreateTime",
}

// compacted is a client's view of a compacted topic: what was acknowledged, by key, and
// what came after it and may be there or not.
type compacted struct {
	t     *testing.T
	topic string
	rng   *rand.Rand
	acked map[string]string          // "" is deleted
	maybe map[string]map[string]bool // values that were sent and not acknowledged
	codec []kgo.CompressionCodec
	n     int
}

func newCompacted(t *testing.T, topic string) *compacted {
	return &compacted{t: t, topic: topic, rng: rand.New(rand.NewPCG(1, 2)),
		acked: map[string]string{}, maybe: map[string]map[string]bool{},
		codec: []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(),
			kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()}}
}

// produce sends records one batch after another until ctx ends or n are acknowledged.
func (c *compacted) produce(ctx context.Context, p *Process, n int) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(p.Addr), kgo.DefaultProduceTopic(c.topic),
		kgo.ProducerBatchCompression(c.codec[c.n%len(c.codec)]), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		c.t.Fatal(err)
	}
	defer context.AfterFunc(ctx, cl.Close)() // else what was sent would be waited for
	defer cl.Close()
	c.n++
	for n > 0 && ctx.Err() == nil {
		var recs []*kgo.Record
		for range 1 + c.rng.IntN(40) {
			r := &kgo.Record{Key: fmt.Appendf(nil, "key-%d", c.rng.IntN(200))}
			if c.rng.IntN(10) > 0 {
				r.Value = []byte(strings.Repeat(fmt.Sprint(c.rng.Uint32(), " "), 1+c.rng.IntN(20)))
			}
			recs = append(recs, r)
			key := string(r.Key)
			if c.maybe[key] == nil {
				c.maybe[key] = map[string]bool{}
			}
			c.maybe[key][string(r.Value)] = true
		}
		if cl.ProduceSync(ctx, recs...).FirstErr() != nil {
			return // some of it may be there
		}
		for _, r := range recs {
			c.acked[string(r.Key)] = string(r.Value)
			delete(c.maybe, string(r.Key))
		}
		n -= len(recs)
	}
}

// read is the whole topic as a new consumer sees it, and how many records that took.
func (c *compacted) read(p *Process) (table map[string]string, records int) {
	c.t.Helper()
	cl := client(c.t, p, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
		c.topic: {0: kgo.NewOffset().AtStart()}}), kgo.DefaultProduceTopic(c.topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer cl.Close()
	ctx := within(c.t, 60*time.Second)
	end := &kgo.Record{Key: []byte("end"), Value: fmt.Append(nil, c.rng.Uint64())}
	if err := cl.ProduceSync(ctx, end).FirstErr(); err != nil {
		c.t.Fatal(err)
	}
	c.acked["end"] = string(end.Value)
	table = map[string]string{}
	last := int64(-1)
	for last < end.Offset {
		f := cl.PollFetches(ctx)
		if err := f.Err0(); err != nil {
			c.t.Fatal(err)
		}
		for _, e := range f.Errors() {
			c.t.Fatalf("fetch: %v", e.Err)
		}
		f.EachRecord(func(r *kgo.Record) {
			if r.Offset <= last {
				c.t.Fatalf("offset %d after %d", r.Offset, last)
			}
			last = r.Offset
			records++
			if r.Value == nil {
				delete(table, string(r.Key))
			} else {
				table[string(r.Key)] = string(r.Value)
			}
		})
	}
	return table, records
}

// check holds the topic against what was acknowledged.
func (c *compacted) check(p *Process) int {
	c.t.Helper()
	table, records := c.read(p)
	for key := range c.maybe { // what is there now counts
		v := table[key]
		if v != c.acked[key] && !c.maybe[key][v] {
			c.t.Fatalf("%s has a value that was never sent", key)
		}
		c.acked[key] = v
	}
	clear(c.maybe)
	want := maps.Clone(c.acked)
	maps.DeleteFunc(want, func(_, v string) bool { return v == "" })
	if !maps.Equal(table, want) {
		for k, v := range want {
			if table[k] != v {
				c.t.Errorf("%s is %.20q, want %.20q", k, table[k], v)
			}
		}
		c.t.Fatalf("a reader ends with %d keys, want %d", len(table), len(want))
	}
	return records
}

// metric is the sum of one over all cores.
func (p *Process) metric(t *testing.T, name string) (sum float64) {
	t.Helper()
	resp, err := http.Get("http://" + p.Admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^`+name+`\{[^}]*\} (\S+)$`).FindAllStringSubmatch(string(b), -1) {
		v, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += v
	}
	return sum
}

// await waits until cond holds.
func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	ctx := within(t, 60*time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: never", what)
		}
	}
}

// segments are the .log files of the topic's only partition, and their bytes.
func segments(t *testing.T, p *Process, topic string) (names []string, bytes int64) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(p.Dir, "log", topic+"-0", "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if info, err := os.Stat(n); err == nil {
			bytes += info.Size()
		}
	}
	return names, bytes
}

// A compacted topic shrinks to its last values on both engines, and stays readable, also
// after restarts.
func TestCompaction(t *testing.T) {
	for _, io := range engines {
		t.Run(io, func(t *testing.T) {
			args := append([]string{"--io", io}, compactArgs...)
			p := Start(t, "", args...)
			createTopic(t, client(t, p), "c", 1, compactConfigs)
			c := newCompacted(t, "c")
			for range 5 {
				c.produce(within(t, time.Minute), p, 4000)
			}
			await(t, "compaction", func() bool {
				_, bytes := segments(t, p, "c")
				return p.metric(t, "millrace_cleaner_runs_total") > 0 && bytes < 400_000
			})
			records := c.check(p)
			if records > 6000 {
				t.Errorf("%d records are left of 20 000 of 200 keys", records)
			}
			in, out := p.metric(t, "millrace_cleaner_records_in_total"),
				p.metric(t, "millrace_cleaner_records_out_total")
			if in <= out || p.metric(t, "millrace_cleaner_swaps_total") == 0 {
				t.Errorf("%v records looked at, %v kept", in, out)
			}
			p.Kill()
			p = Start(t, p.Dir, args...)
			c.check(p)
			if code := p.Stop(t); code != 0 {
				t.Fatalf("exit code %d", code)
			}
			p = Start(t, p.Dir, args...)
			c.check(p)
			c.produce(within(t, time.Minute), p, 1000)
			c.check(p)
		})
	}
}

// The process is killed again and again while it compacts.
func TestCompactionKilled(t *testing.T) {
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	p := Start(t, "", compactArgs...)
	createTopic(t, client(t, p), "c", 1, compactConfigs)
	c := newCompacted(t, "c")
	busy := 0
	for range rounds {
		swaps := p.metric(t, "millrace_cleaner_swaps_total")
		ctx, cancel := context.WithCancel(within(t, time.Minute))
		done := make(chan struct{})
		go func() {
			defer close(done)
			c.produce(ctx, p, 1<<30)
		}()
		more := swaps + float64(1+c.n%7)
		await(t, "swaps", func() bool { return p.metric(t, "millrace_cleaner_swaps_total") >= more })
		busy++
		p.Kill()
		cancel()
		<-done
		p = Start(t, p.Dir, compactArgs...)
		c.check(p)
	}
	t.Logf("%d kills while it compacted", busy)
}
