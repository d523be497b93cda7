package compat

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"millrace/test/broker"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestMain(m *testing.M) {
	code := m.Run()
	broker.Remove()
	os.Exit(code)
}

// world is one broker with one client that stays while the broker comes and goes.
type world struct {
	t    *testing.T
	ctx  context.Context
	args []string
	p    *broker.Process
	cl   *kgo.Client
	addr atomic.Pointer[string] // changes with a restart: clients dial through it
}

// TestMatrix is metamorphic: what a client sees depends neither on the engine nor on the
// durability nor on the number of cores.
func TestMatrix(t *testing.T) {
	for _, engine := range []string{"uring", "epoll"} {
		for _, durability := range []string{"fsync", "write"} {
			for _, cores := range []string{"1", "2"} {
				name := engine + " " + durability + " " + cores
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					w := newWorld(t, "--io", engine, "--durability", durability, "--cores", cores,
						"--set", "group.initial.rebalance.delay.ms=0")
					w.story()
					w.cl.Close() // while there is a broker to say good-bye to
				})
			}
		}
	}
}

func newWorld(t *testing.T, args ...string) *world {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	t.Cleanup(cancel)
	w := &world{t: t, ctx: ctx, args: args, p: broker.Start(t, t.TempDir(), args...)}
	w.addr.Store(&w.p.Addr)
	w.cl = w.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	return w
}

func (w *world) client(opts ...kgo.Opt) *kgo.Client {
	w.t.Helper()
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, *w.addr.Load())
	}
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(w.p.Addr), kgo.Dialer(dial),
		kgo.FetchMaxWait(100 * time.Millisecond), kgo.AllowAutoTopicCreation(),
		kgo.MetadataMinAge(100 * time.Millisecond)}, opts...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(cl.Close)
	return cl
}

func (w *world) must(err error, what string) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%s: %v\n%s", what, err, w.p.Log())
	}
}

// restart ends the broker, cleanly or not, and starts it on the same data.
func (w *world) restart(kill bool) {
	w.t.Helper()
	if kill {
		w.p.Kill()
	} else if code := w.p.Stop(w.t); code != 0 {
		w.t.Fatalf("exit code %d", code)
	}
	w.p = broker.Start(w.t, w.p.Dir, w.args...)
	w.addr.Store(&w.p.Addr)
}

func (w *world) story() {
	written := map[string][]*kgo.Record{}
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		written[codec] = w.codec(codec)
	}
	w.idempotent(0, 300)
	w.topicRules()
	w.group("first", 0, 60)
	w.deleteRecords()

	w.restart(false)
	for codec, rs := range written {
		w.compare(codec, rs, w.read(codec, 3, len(rs)))
	}
	w.idempotent(300, 600) // the same producer goes on with its sequence numbers
	w.group("after a clean stop", 60, 80)

	w.restart(true)
	for codec, rs := range written {
		w.compare(codec, rs, w.read(codec, 3, len(rs)))
	}
	w.idempotent(600, 900)
	w.group("after kill -9", 80, 100)
	if got := w.offset("cut", 0, -2); got != 7 {
		w.t.Errorf("start of a cut partition after two restarts is %d, want 7", got)
	}
}

func (w *world) create(topic string, partitions int32, config map[string]string) {
	w.t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = topic, partitions, 1
	for k, v := range config {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = k, &v
		rt.Configs = append(rt.Configs, c)
	}
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(w.ctx, w.cl)
	w.must(err, "create "+topic)
	w.must(kerr.ErrorForCode(resp.Topics[0].ErrorCode), "create "+topic)
}

func (w *world) write(cl *kgo.Client, rs ...*kgo.Record) {
	w.t.Helper()
	w.must(cl.ProduceSync(w.ctx, rs...).FirstErr(), "produce to "+rs[0].Topic)
}

// records of a topic: nulls, empty values, text outside ASCII, headers, a large value.
func records(topic string) []*kgo.Record {
	base := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	var out []*kgo.Record
	for p := range int32(3) {
		for i := range 40 {
			r := &kgo.Record{Topic: topic, Partition: p, Key: fmt.Appendf(nil, "key %d", i),
				Value:     []byte(strings.Repeat(fmt.Sprintf("значение %d ", i), i)),
				Timestamp: base.Add(time.Duration(i) * time.Second),
				Headers:   []kgo.RecordHeader{{Key: "n", Value: []byte{byte(i)}}, {Key: "null"}}}
			switch i {
			case 3:
				r.Key = nil
			case 5:
				r.Value = nil
			case 7:
				r.Key, r.Value, r.Headers = []byte{}, []byte{}, nil
			case 11:
				r.Value = bytes.Repeat([]byte("large "), 150_000)
			}
			out = append(out, r)
		}
	}
	return out
}

func (w *world) codec(name string) []*kgo.Record {
	w.t.Helper()
	compression := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(),
		"gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}[name]
	w.create(name, 3, nil)
	cl := w.client(kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(compression))
	rs := records(name)
	w.write(cl, rs...)
	w.compare(name, rs, w.read(name, 3, len(rs)))
	return rs
}

// read takes n records of a topic from its start, by partition and offset.
func (w *world) read(topic string, partitions int32, n int) []*kgo.Record {
	w.t.Helper()
	from := map[int32]kgo.Offset{}
	for p := range partitions {
		from[p] = kgo.NewOffset().AtStart()
	}
	cl := w.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
	defer cl.Close()
	var out []*kgo.Record
	for len(out) < n {
		fetches := cl.PollFetches(w.ctx)
		w.must(fetches.Err(), fmt.Sprintf("fetch %s after %d of %d", topic, len(out), n))
		out = append(out, fetches.Records()...)
	}
	slices.SortStableFunc(out, func(a, b *kgo.Record) int { return int(a.Partition - b.Partition) })
	return out
}

func (w *world) compare(what string, want, got []*kgo.Record) {
	w.t.Helper()
	if len(want) != len(got) {
		w.t.Fatalf("%s: %d records, want %d", what, len(got), len(want))
	}
	same := func(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }
	for i, a := range want {
		b := got[i]
		ok := a.Partition == b.Partition && same(a.Key, b.Key) && same(a.Value, b.Value) &&
			a.Timestamp.Equal(b.Timestamp) && len(a.Headers) == len(b.Headers)
		for h := 0; ok && h < len(a.Headers); h++ {
			ok = a.Headers[h].Key == b.Headers[h].Key && same(a.Headers[h].Value, b.Headers[h].Value)
		}
		if !ok {
			w.t.Fatalf("%s record %d: wrote %.80q=%.80q, read %.80q=%.80q", what, i, a.Key, a.Value,
				b.Key, b.Value)
		}
	}
}

// idempotent goes on with the world's own client, so with one producer id and its sequences.
func (w *world) idempotent(from, to int) {
	w.t.Helper()
	if from == 0 {
		w.create("idempotent", 3, nil)
	}
	for i := from; i < to; i++ {
		w.cl.Produce(w.ctx, &kgo.Record{Topic: "idempotent", Partition: int32(i % 3),
			Value: fmt.Append(nil, i)}, func(_ *kgo.Record, err error) {
			if err != nil {
				w.t.Errorf("idempotent record %d: %v", i, err)
			}
		})
	}
	w.must(w.cl.Flush(w.ctx), "flush")
	for i, r := range w.read("idempotent", 3, to) {
		p, n := i/(to/3), i%(to/3)
		if want := fmt.Sprint(3*n + p); int(r.Partition) != p || string(r.Value) != want {
			w.t.Fatalf("idempotent record %d of partition %d is %q, want %s", n, r.Partition,
				r.Value, want)
		}
	}
}

// topicRules: the topic's compression and its clock count, not the producer's.
func (w *world) topicRules() {
	w.t.Helper()
	w.create("rules", 1, map[string]string{"compression.type": "zstd",
		"message.timestamp.type": "LogAppendTime"})
	old := time.Now().Add(-24 * time.Hour)
	w.write(w.cl, &kgo.Record{Topic: "rules", Value: bytes.Repeat([]byte("x"), 10_000),
		Timestamp: old})
	r := w.read("rules", 1, 1)[0]
	if len(r.Value) != 10_000 || r.Attrs.CompressionType() != 4 || r.Attrs.TimestampType() != 1 ||
		time.Since(r.Timestamp) > time.Minute {
		w.t.Errorf("read %d bytes, codec %d, timestamp type %d, %v old", len(r.Value),
			r.Attrs.CompressionType(), r.Attrs.TimestampType(), time.Since(r.Timestamp))
	}
}

// group writes records and reads them with a group that was committed at from before.
func (w *world) group(what string, from, to int) {
	w.t.Helper()
	for i := from; i < to; i++ { // to a topic that does not exist the first time
		w.write(w.cl, &kgo.Record{Topic: "grouped", Partition: 0, Value: fmt.Append(nil, i)})
	}
	cl := w.client(kgo.ConsumerGroup("readers"), kgo.ConsumeTopics("grouped"),
		kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer cl.Close()
	next := from
	var last *kgo.Record
	for next < to {
		fetches := cl.PollRecords(w.ctx, to-next)
		w.must(fetches.Err(), what)
		for _, r := range fetches.Records() {
			if string(r.Value) != fmt.Sprint(next) {
				w.t.Fatalf("%s: the group read %q, want %d", what, r.Value, next)
			}
			next, last = next+1, r
		}
	}
	w.must(cl.CommitRecords(w.ctx, last), "commit")
}

func (w *world) offset(topic string, p int32, at int64) int64 {
	w.t.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewListOffsetsRequestTopicPartition()
	rp.Partition, rp.Timestamp, rp.CurrentLeaderEpoch = p, at, -1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(w.ctx, w.cl)
	w.must(err, "list offsets")
	got := resp.Topics[0].Partitions[0]
	w.must(kerr.ErrorForCode(got.ErrorCode), "list offsets")
	return got.Offset
}

func (w *world) deleteRecords() {
	w.t.Helper()
	w.create("cut", 1, nil)
	base := time.Now().Add(-time.Minute).Truncate(time.Millisecond)
	for i := range 20 {
		w.write(w.cl, &kgo.Record{Topic: "cut", Value: fmt.Append(nil, i),
			Timestamp: base.Add(time.Duration(i) * time.Second)})
	}
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = 10_000
	rt := kmsg.NewDeleteRecordsRequestTopic()
	rt.Topic = "cut"
	rp := kmsg.NewDeleteRecordsRequestTopicPartition()
	rp.Partition, rp.Offset = 0, 7
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(w.ctx, w.cl)
	w.must(err, "delete records")
	got := resp.Topics[0].Partitions[0]
	if got.ErrorCode != 0 || got.LowWatermark != 7 {
		w.t.Errorf("delete records: code %d, low watermark %d", got.ErrorCode, got.LowWatermark)
	}
	for at, want := range map[int64]int64{-1: 20, -2: 7, base.Add(9500 * time.Millisecond).UnixMilli(): 10,
		base.UnixMilli(): 7} {
		if got := w.offset("cut", 0, at); got != want {
			w.t.Errorf("offset at %d is %d, want %d", at, got, want)
		}
	}
	below := w.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
		"cut": {0: kgo.NewOffset().At(2)}}), kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	defer below.Close()
	if err := below.PollFetches(w.ctx).Err(); !errors.Is(err, kerr.OffsetOutOfRange) {
		w.t.Errorf("a fetch below the start: %v", err)
	}
}
