package segment

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"millrace/protocol"
)

// Partitions are spread over the data directories, stay where they are, and are missed
// when their directory is.
func TestSeveralDataDirectories(t *testing.T) {
	r := newRig(t, 1)
	r.o.Also = []string{"/more", "/third"}
	r.cores = 2
	r.topic(1, 9, DefaultConfig())
	r.open()
	want := make([][]byte, 9)
	fill := func() {
		for p := range want {
			tp := protocol.TopicPartition{Topic: topicID(1), Partition: int32(p)}
			v := makeBatch(t, 3, 2000, r.now.Wall, uint64(p))
			r.shardOf(tp).Append(r.log(tp), v, 0, r.now.Wall)
			want[p] = append(want[p], v...)
		}
		r.settle()
	}
	check := func(when string) map[string]int {
		t.Helper()
		spread := make(map[string]int)
		for p := range want {
			l := r.log(protocol.TopicPartition{Topic: topicID(1), Partition: int32(p)})
			spread[l.Root()]++
			if got := r.readAll(l, 0, l.Marks().End, 1<<20); !bytes.Equal(got, want[p]) {
				t.Fatalf("%s: partition %d: %d bytes, want %d", when, p, len(got), len(want[p]))
			}
		}
		return spread
	}
	fill()
	if spread := check("fresh"); len(spread) != 3 || spread["/data"] != 3 || spread["/third"] != 3 {
		t.Fatalf("spread as %v", spread)
	}
	r.stop()
	if n, _ := r.fs.List("/more/log"); len(n) != 3 {
		t.Fatalf("/more/log has %v", n)
	}
	r.o.Also = []string{"/third", "/more", "/fourth"}
	r.topic(2, 3, DefaultConfig())
	r.open()
	if spread := check("after a stop"); spread["/data"] != 3 || spread["/third"] != 3 {
		t.Fatalf("spread as %v after a stop", spread)
	}
	if l := r.log(protocol.TopicPartition{Topic: topicID(2)}); l.Root() != "/fourth" {
		t.Fatalf("a new partition in %s, though /fourth is empty", l.Root())
	}
	fill()
	r.crash(true)
	r.open()
	check("after a crash")
	r.stop()

	r.o.Also = []string{"/third"}
	var damage *CorruptError
	if err := r.openErr(); !errors.As(err, &damage) || !strings.HasPrefix(damage.File, "/more/log/") {
		if err == nil || !strings.Contains(err.Error(), "missing") {
			t.Fatalf("without /more: %v", err)
		}
	}
}

// The same partition in two data directories is somebody's copy: no start.
func TestPartitionInTwoDirectories(t *testing.T) {
	r := newRig(t, 1)
	r.o.Also = []string{"/more"}
	r.topic(1, 1, DefaultConfig())
	r.open()
	tp := protocol.TopicPartition{Topic: topicID(1)}
	r.shardOf(tp).Append(r.log(tp), makeBatch(t, 1, 100, r.now.Wall, 1), 0, r.now.Wall)
	r.settle()
	r.stop()
	name := "/" + r.log(tp).dirName()
	text, err := r.fs.ReadFile("/data/log" + name + "/partition.metadata")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.fs.MkdirAll("/more/log" + name); err != nil {
		t.Fatal(err)
	}
	if err := r.fs.WriteFile("/more/log"+name+"/partition.metadata", text); err != nil {
		t.Fatal(err)
	}
	if err := r.openErr(); err == nil || !strings.Contains(err.Error(), "is in /data, too") {
		t.Fatalf("opened: %v", err)
	}
}
