package broker

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// dumped runs millrace dump and returns what it says and its exit code.
func dumped(t *testing.T, args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(Binary(t), append([]string{"dump"}, args...)...)
	out, _ := cmd.CombinedOutput()
	return string(out), cmd.ProcessState.ExitCode()
}

// someData fills a data directory with batches of all codecs, and stops cleanly.
func someData(t *testing.T) (dir string) {
	p := Start(t, "", "--cores", "2", "--set", "num.partitions=2")
	for i, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(),
		kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		cl, err := kgo.NewClient(kgo.SeedBrokers(p.Addr), kgo.AllowAutoTopicCreation(),
			kgo.ProducerBatchCompression(codec), kgo.ProducerBatchMaxBytes(20_000))
		if err != nil {
			t.Fatal(err)
		}
		for n := range 300 {
			cl.Produce(context.Background(), &kgo.Record{
				Topic: fmt.Sprintf("t%d", i%2), Key: fmt.Append(nil, n%7), Value: bytes.Repeat([]byte{'a' + byte(n%26)}, 40*(n%9)),
				Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("v")}, {Key: "null"}},
			}, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Error(err)
				}
			})
		}
		if err := cl.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		cl.Close()
	}
	if out, code := dumped(t, p.Dir); code == 0 || !strings.Contains(out, "in use by a broker") {
		t.Fatalf("a running broker's directory: exit code %d, %s", code, out)
	}
	if code := p.Stop(t); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	return p.Dir
}

func TestDump(t *testing.T) {
	dir := someData(t)
	if out, code := dumped(t, "--verify", dir); code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	deep, code := dumped(t, "--values", dir)
	if code != 0 || strings.Count(deep, "\n| offset: ") != 1500 || !strings.Contains(deep, "headerKeys: [h,null] key: 3") {
		t.Fatalf("exit code %d, %d records: %.2000s", code, strings.Count(deep, "\n| offset: "), deep)
	}
	asJSON, code := dumped(t, "--json", "--deep", dir)
	if code != 0 || strings.Count(asJSON, `"type":"record"`) != 1500 {
		t.Fatalf("exit code %d: %.2000s", code, asJSON)
	}
	logs, err := filepath.Glob(filepath.Join(dir, "log", "*", "*.log"))
	if err != nil || len(logs) < 4 {
		t.Fatal(logs, err)
	}
	for _, name := range logs {
		likeKafka(t, name)
	}
	damages(t, dir, logs[0])
}

// damages: every file that a start relies on is checked, and named when it is damaged.
func damages(t *testing.T, dir, log string) {
	boot, _ := filepath.Glob(filepath.Join(dir, "journal", "boot"))
	checkpoints, _ := filepath.Glob(filepath.Join(dir, "checkpoint", "*-*"))
	metadata := filepath.Join(filepath.Dir(log), "partition.metadata")
	for _, name := range slices.Concat(boot, checkpoints, []string{log, metadata}) {
		was, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range []int{0, len(was) / 2, len(was) - 1} {
			if name == metadata && at == 0 {
				continue // its version says nothing
			}
			bad := bytes.Clone(was)
			bad[at] ^= 0x80
			if err := os.WriteFile(name, bad, 0o644); err != nil {
				t.Fatal(err)
			}
			if out, code := dumped(t, "--verify", dir); code != 1 || !strings.Contains(out, filepath.Base(name)) {
				if name == metadata && strings.Contains(out, "belongs to") {
					continue
				}
				t.Errorf("%s, byte %d: exit code %d: %s", name, at, code, out)
			}
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		if out, code := dumped(t, "--verify", dir); code != 1 {
			t.Errorf("%s is lost: exit code %d: %s", name, code, out)
		}
		if err := os.WriteFile(name, was, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

var kafkaLine = regexp.MustCompile(`(?m)^(baseOffset|\| offset): .*$`)

// likeKafka holds our lines against those of Kafka's own tool, where that is at hand.
func likeKafka(t *testing.T, name string) {
	j := jars(t)
	if j == nil {
		return
	}
	theirs, err := j.Tool(t.Context(), "org.apache.kafka.tools.DumpLogSegments", "--deep-iteration", "--print-data-log",
		"--files", name).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, theirs)
	}
	ours, code := dumped(t, "--values", name)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, ours)
	}
	want, got := kafkaLine.FindAllString(string(theirs), -1), kafkaLine.FindAllString(ours, -1)
	if len(want) == 0 || len(want) != len(got) {
		t.Fatalf("%s: %d lines, Kafka has %d:\n%.1000s\n%.1000s", name, len(got), len(want), ours, theirs)
	}
	for i := range want {
		if strings.TrimSpace(want[i]) != strings.TrimSpace(got[i]) {
			t.Fatalf("%s: line %d is\n%s\nKafka has\n%s", name, i, got[i], want[i])
		}
	}
}
