package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"millrace/bench/kafka"
)

// jars are Apache Kafka's where they were resolved before (make bench-produce, make compat);
// nil elsewhere.
func jars(t *testing.T) *kafka.Jars {
	cache := filepath.Join("..", "..", ".cache")
	if _, err := os.Stat(filepath.Join(cache, "kafka-"+kafka.Version, "complete")); err != nil {
		t.Log("no Apache Kafka here: nothing is held against it")
		return nil
	}
	j, err := kafka.Fetch(t.Context(), cache)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// cluster is what both brokers are asked.
type cluster struct {
	t  *testing.T
	cl *kgo.Client
}

func newCluster(t *testing.T, addr string, opts ...kgo.Opt) *cluster {
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(addr), kgo.RetryTimeout(time.Minute),
		kgo.MaxVersions(kversion.V3_7_0())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return &cluster{t, cl}
}

func request[T kmsg.Response](c *cluster, req kmsg.Request) T {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	resp, err := c.cl.Request(ctx, req)
	if err != nil {
		c.t.Fatalf("%s: %v", kmsg.NameForKey(req.Key()), err)
	}
	return resp.(T)
}

func (c *cluster) create(name string, partitions int32, configs ...string) {
	req := kmsg.NewPtrCreateTopicsRequest()
	x := kmsg.NewCreateTopicsRequestTopic()
	x.Topic, x.NumPartitions, x.ReplicationFactor = name, partitions, 1
	for i := 0; i < len(configs); i += 2 {
		conf := kmsg.NewCreateTopicsRequestTopicConfig()
		conf.Name, conf.Value = configs[i], &configs[i+1]
		x.Configs = append(x.Configs, conf)
	}
	req.Topics, req.TimeoutMillis = append(req.Topics, x), 30_000
	resp := request[*kmsg.CreateTopicsResponse](c, req)
	if err := kerr.ErrorForCode(resp.Topics[0].ErrorCode); err != nil {
		c.t.Fatalf("create %s: %v", name, err)
	}
}

// commit commits an offset of every partition of plain.
func (c *cluster) commit(group string, at int64) {
	words := "of " + group
	for late := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		req := kmsg.NewPtrOffsetCommitRequest()
		req.Group, req.Generation = group, -1
		x := kmsg.NewOffsetCommitRequestTopic()
		x.Topic = "plain"
		for p := range int32(3) {
			part := kmsg.NewOffsetCommitRequestTopicPartition()
			part.Partition, part.Offset, part.LeaderEpoch, part.Metadata = p, at+int64(p), 0, &words
			x.Partitions = append(x.Partitions, part)
		}
		req.Topics = append(req.Topics, x)
		resp := request[*kmsg.OffsetCommitResponse](c, req)
		err := kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
		if err == nil {
			return
		}
		if time.Now().After(late) {
			c.t.Fatalf("commit: %v", err)
		}
	}
}

func (c *cluster) committed(group string) (out []string) {
	for late := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		req := kmsg.NewPtrOffsetFetchRequest()
		req.Group = group
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group = group
		req.Groups = append(req.Groups, g)
		resp := request[*kmsg.OffsetFetchResponse](c, req)
		topics := resp.Groups[0].Topics
		if err := kerr.ErrorForCode(resp.Groups[0].ErrorCode); err != nil {
			if time.Now().After(late) {
				c.t.Fatalf("committed: %v", err)
			}
			continue
		}
		for _, t := range topics {
			for _, p := range t.Partitions {
				out = append(out, fmt.Sprintf("%s-%d %d %d %s", t.Topic, p.Partition, p.Offset, p.LeaderEpoch, *p.Metadata))
			}
		}
		slices.Sort(out)
		return out
	}
}

// bounds are starts and ends of the topics' partitions.
func (c *cluster) bounds(topics map[string]int32) map[string][2]int64 {
	out := map[string][2]int64{}
	for i, at := range []int64{-2, -1} {
		req := kmsg.NewPtrListOffsetsRequest()
		req.ReplicaID = -1
		for name, n := range topics {
			x := kmsg.NewListOffsetsRequestTopic()
			x.Topic = name
			for p := range n {
				part := kmsg.NewListOffsetsRequestTopicPartition()
				part.Partition, part.Timestamp = p, at
				x.Partitions = append(x.Partitions, part)
			}
			req.Topics = append(req.Topics, x)
		}
		for _, x := range request[*kmsg.ListOffsetsResponse](c, req).Topics {
			for _, p := range x.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					c.t.Fatalf("%s-%d: %v", x.Topic, p.Partition, err)
				}
				b := out[fmt.Sprint(x.Topic, "-", p.Partition)]
				b[i] = p.Offset
				out[fmt.Sprint(x.Topic, "-", p.Partition)] = b
			}
		}
	}
	return out
}

// read returns every record of the topics as a line.
func read(t *testing.T, addr string, topics map[string]int32, bounds map[string][2]int64) []string {
	t.Helper()
	from, left := map[string]map[int32]kgo.Offset{}, map[string]int64{}
	for name, n := range topics {
		from[name] = map[int32]kgo.Offset{}
		for p := range n {
			from[name][p] = kgo.NewOffset().AtStart()
			if b := bounds[fmt.Sprint(name, "-", p)]; b[0] < b[1] {
				left[fmt.Sprint(name, "-", p)] = b[1]
			}
		}
	}
	c := newCluster(t, addr, kgo.ConsumePartitions(from), kgo.KeepControlRecords())
	var lines []string
	for len(left) > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		fetches := c.cl.PollFetches(ctx)
		cancel()
		if err := fetches.Err(); err != nil {
			t.Fatalf("still to be read: %v: %v", left, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			at := fmt.Sprint(r.Topic, "-", r.Partition)
			lines = append(lines, fmt.Sprintf("%s %d %d %q %x %v %d/%d %v", at, r.Offset, r.Timestamp.UnixMilli(), r.Key,
				r.Value, r.Headers, r.ProducerID, r.ProducerEpoch, r.Attrs.IsControl()))
			if r.Offset+1 >= left[at] {
				delete(left, at)
			}
		})
	}
	slices.Sort(lines)
	return lines
}

func (c *cluster) produce(topic string, partition int32, n, size int) {
	c.t.Helper()
	var list []*kgo.Record
	for i := range n {
		list = append(list, &kgo.Record{Topic: topic, Partition: partition, Key: fmt.Append(nil, "k", i%17),
			Value:   bytes.Repeat([]byte{byte('a' + i%26)}, i%size),
			Headers: []kgo.RecordHeader{{Key: "i", Value: fmt.Append(nil, i)}}})
	}
	if err := c.cl.ProduceSync(context.Background(), list...).FirstErr(); err != nil {
		c.t.Fatal(err)
	}
}

// fill is the first life of the Kafka.
func fill(t *testing.T, addr string) {
	c := newCluster(t, addr)
	c.create("plain", 3, "segment.bytes", "1048576", "retention.ms", "-1")
	c.create("txn", 1)
	c.create("empty", 2, "max.message.bytes", "123456", "retention.ms", "1000000")
	for i, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(),
		kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		p := newCluster(t, addr, kgo.ProducerBatchCompression(codec), kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.ProducerBatchMaxBytes(50_000))
		for part := range int32(3) {
			p.produce("plain", part, 400*(5-i), 1500)
		}
	}
	for i, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit} {
		tx := newCluster(t, addr, kgo.TransactionalID("tx"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err := tx.cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		tx.produce("txn", 0, 20+i, 100)
		if err := tx.cl.EndTransaction(context.Background(), end); err != nil {
			t.Fatal(err)
		}
	}
	c.commit("one", 10)
	c.commit("two", 20)
	c.commit("one", 100)
	req := kmsg.NewPtrDeleteRecordsRequest()
	x := kmsg.NewDeleteRecordsRequestTopic()
	x.Topic = "plain"
	part := kmsg.NewDeleteRecordsRequestTopicPartition()
	part.Partition, part.Offset = 1, 777
	x.Partitions = append(x.Partitions, part)
	req.Topics, req.TimeoutMillis = append(req.Topics, x), 30_000
	resp := request[*kmsg.DeleteRecordsResponse](c, req)
	if err := kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode); err != nil {
		t.Fatal(err)
	}
}

// tree is every file of a directory with its size and time.
func tree(t *testing.T, dir string) string {
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			fmt.Fprintln(&b, path, info.Size(), info.ModTime())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func imported(t *testing.T, args ...string) (string, int) {
	cmd := exec.Command(Binary(t), append([]string{"import"}, args...)...)
	out, _ := cmd.CombinedOutput()
	return string(out), cmd.ProcessState.ExitCode()
}

// TestImport takes over what a real Apache Kafka left after two lives.
func TestImport(t *testing.T) {
	j := jars(t)
	if j == nil {
		return
	}
	o := kafka.Options{Dir: t.TempDir(), Heap: "512m"}
	source := filepath.Join(o.Dir, "data")
	k, err := j.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Kill() })
	fill(t, k.Addr)
	if out, code := imported(t, source, "--data", filepath.Join(t.TempDir(), "x")); code != 1 || !strings.Contains(out, "stop Kafka first") {
		t.Fatalf("a running Kafka: exit code %d: %s", code, out)
	}
	if err := k.Stop(); err != nil {
		t.Fatal(err)
	}
	k2, err := j.Start(t.Context(), o) // its leader epochs are others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k2.Kill() })
	topics := map[string]int32{"plain": 3, "txn": 1, "empty": 2}
	c := newCluster(t, k2.Addr, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	c.produce("plain", 0, 50, 300)
	bounds, groups := c.bounds(topics), append(c.committed("one"), c.committed("two")...)
	want := read(t, k2.Addr, topics, bounds)
	if err := k2.Stop(); err != nil {
		t.Fatal(err)
	}
	if len(want) < 10_000 || bounds["plain-1"][0] != 777 || len(groups) != 6 {
		t.Fatalf("Kafka has %d records, %v, %v", len(want), bounds, groups)
	}
	refusals(t, source)
	before, dir := tree(t, source), filepath.Join(t.TempDir(), "data")
	out, code := imported(t, source, "--data", dir)
	if code != 0 || !strings.Contains(out, "1 aborted transactions") {
		t.Fatalf("exit code %d: %s", code, out)
	}
	t.Log(out)
	if after := tree(t, source); after != before {
		t.Fatal("the source is not what it was")
	}
	if out, code := imported(t, source, "--data", dir); code != 1 || !strings.Contains(out, "not empty") {
		t.Fatalf("again: exit code %d: %s", code, out)
	}
	takenOver(t, dir, topics, bounds, groups, want)
}

// takenOver compares what a broker serves from dir with what Kafka served.
func takenOver(t *testing.T, dir string, topics map[string]int32, bounds map[string][2]int64, groups, want []string) {
	if out, code := dumped(t, "--verify", dir); code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	p := Start(t, dir, "--cores", "2")
	c := newCluster(t, p.Addr, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for at, b := range c.bounds(topics) {
		if b != bounds[at] {
			t.Errorf("%s is %v, was %v", at, b, bounds[at])
		}
	}
	if got := append(c.committed("one"), c.committed("two")...); !slices.Equal(got, groups) {
		t.Errorf("groups have committed %v, was %v", got, groups)
	}
	got := read(t, p.Addr, topics, bounds)
	if !slices.Equal(got, want) {
		t.Fatalf("%d records, Kafka had %d", len(got), len(want))
	}
	req := kmsg.NewPtrDescribeConfigsRequest()
	x := kmsg.NewDescribeConfigsRequestResource()
	x.ResourceType, x.ResourceName, x.ConfigNames = kmsg.ConfigResourceTypeTopic, "empty", []string{"max.message.bytes", "retention.ms"}
	req.Resources = append(req.Resources, x)
	for _, conf := range request[*kmsg.DescribeConfigsResponse](c, req).Resources[0].Configs {
		if *conf.Value != "123456" && *conf.Value != "1000000" {
			t.Errorf("%s is %s", conf.Name, *conf.Value)
		}
	}
	c.produce("plain", 0, 10, 100)
	c.commit("one", 200)
	now := c.bounds(topics)
	if now["plain-0"][1] != bounds["plain-0"][1]+10 {
		t.Errorf("10 records more, and the log ends at %v, was %v", now["plain-0"], bounds["plain-0"])
	}
	if code := p.Stop(t); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	if out, code := dumped(t, "--verify", dir); code != 0 {
		t.Fatalf("after a life here: exit code %d: %s", code, out)
	}
	p = Start(t, dir, "--cores", "1")
	c = newCluster(t, p.Addr)
	if again := c.bounds(topics); again["plain-0"] != now["plain-0"] || len(c.committed("one")) != 3 {
		t.Errorf("after a life here: %v %v", again, c.committed("one"))
	}
	if all := read(t, p.Addr, topics, now); len(all) != len(want)+10 {
		t.Errorf("after a life here: %d records, %d before", len(all), len(want))
	}
}

// refusals: what cannot be taken over is refused by name, and nothing is made.
func refusals(t *testing.T, source string) {
	copyOf := func() string {
		dir := filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	for _, x := range []struct {
		words string
		harm  func(dir string) error
	}{
		{"not stopped cleanly", func(dir string) error { return os.Remove(filepath.Join(dir, ".kafka_cleanshutdown")) }},
		{"message format v1", func(dir string) error { return patch(filepath.Join(dir, "txn-0"), 16, 1) }},
		{"corrupt at 0: crc", func(dir string) error { return patch(filepath.Join(dir, "txn-0"), 60, 0xff) }},
		{"partition 1 is not here", func(dir string) error { return os.RemoveAll(filepath.Join(dir, "plain-1")) }},
		{"no log directory", func(dir string) error { return os.Remove(filepath.Join(dir, "meta.properties")) }},
	} {
		dir, to := copyOf(), filepath.Join(t.TempDir(), "to")
		if err := x.harm(dir); err != nil {
			t.Fatal(err)
		}
		if out, code := imported(t, dir, "--data", to); code != 1 || !strings.Contains(out, x.words) {
			t.Errorf("%s: exit code %d: %s", x.words, code, out)
		}
		if _, err := os.Stat(filepath.Join(to, "meta.properties")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: a data directory was made", x.words)
		}
	}
}

func patch(dir string, at int64, b byte) error {
	f, err := os.OpenFile(filepath.Join(dir, "00000000000000000000.log"), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt([]byte{b}, at)
	return err
}
