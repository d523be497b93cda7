package segment

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"millrace/internal/vfs"
	"millrace/protocol"
)

// steps watches how much one call takes off the disk.
type steps struct {
	vfs.FS
	t       *testing.T
	largest int64
}

func (f *steps) Remove(name string) error {
	if info, err := f.FS.Stat(name); err == nil {
		f.largest = max(f.largest, info.Size())
	}
	return f.FS.Remove(name)
}

func (f *steps) RemoveAll(name string) error {
	names, _ := f.FS.List(name)
	for _, n := range names {
		f.t.Errorf("%s is removed with %s in it", name, n)
	}
	return f.FS.RemoveAll(name)
}

func writeSized(t *testing.T, files vfs.FS, name string, size int64) {
	t.Helper()
	f, err := files.Open(name, vfs.Create, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRemoveInSteps: whatever the sizes, no step frees more than it may, each makes
// progress, and in the end everything is gone.
func TestRemoveInSteps(t *testing.T) {
	mem := vfs.NewMem(1)
	files := &steps{FS: mem, t: t}
	if err := mem.MkdirAll("/d/t-0.x-delete"); err != nil {
		t.Fatal(err)
	}
	paths := []string{"/d/a.deleted", "/d/never.deleted", "/d/t-0.x-delete", "/d/b.deleted"}
	writeSized(t, mem, "/d/a.deleted", 3*removeBytes+5)
	writeSized(t, mem, "/d/b.deleted", 7)
	for i := range 2 * removeFiles {
		writeSized(t, mem, fmt.Sprintf("/d/t-0.x-delete/%020d.log", i), int64(i)*removeBytes/99)
	}
	used := mem.Used()
	n := 0
	for left := paths; len(left) > 0; n++ {
		var err error
		if left, err = removeSome(files, left, removeBudget{removeBytes, removeFiles}); err != nil {
			t.Fatal(err)
		}
		if n > 5000 {
			t.Fatal("no end")
		}
	}
	if names, err := mem.List("/d"); err != nil || len(names) > 0 {
		t.Fatalf("left: %v, %v", names, err)
	}
	if files.largest > removeBytes || n < 8 {
		t.Fatalf("%d bytes at once, %d steps for %d", files.largest, n, used)
	}
}

// TestDropInSteps: a large partition's directory goes in steps, and a crash in the
// middle of that leaves nothing behind and touches nothing else.
func TestDropInSteps(t *testing.T) {
	for seed := range uint64(20) {
		r := newRig(t, seed)
		r.topic(1, 1, DefaultConfig())
		r.topic(2, 1, DefaultConfig())
		r.open()
		other := protocol.TopicPartition{Topic: topicID(2)}
		r.fill(20, 4000)
		l := r.log(other)
		v := makeBatch(t, 3, 5000, r.now.Wall, seed)
		l.shard.Append(l, v, 1, r.now.Wall)
		r.settle()
		r.stop()
		r.open()
		l = r.log(firstTP)
		writeSized(t, r.fs, l.active().path(endLog), 5*removeBytes) // as if it had that much
		l.shard.Drop(l)
		for range seed % 7 {
			r.turn()
			r.perform(1 + r.rng.IntN(3))
			r.now.Mono += 12e6
		}
		if seed%3 > 0 {
			r.crash(seed%3 == 1)
			r.known.Topics = r.known.Topics[1:]
			r.known.Deleted = map[protocol.TopicID]bool{firstTP.Topic: true}
			r.open()
		}
		r.settle()
		var names []string
		for _, root := range r.o.roots() {
			names = append(names, r.list(logRoot(root))...)
		}
		if len(names) != 1 || names[0] != "t2-0" {
			t.Fatalf("seed %d: there are %v", seed, names)
		}
		if got := r.readAll(r.log(other), 0, 3, 1<<20); !bytes.Equal(got, v) {
			t.Fatalf("seed %d: bytes differ", seed)
		}
		r.stop()
	}
}

// TestRetentionInSteps: the same for the segments of a log that lives on.
func TestRetentionInSteps(t *testing.T) {
	for seed := range uint64(20) {
		r := newRig(t, seed)
		cfg := DefaultConfig()
		cfg.SegmentBytes = 50_000
		r.topic(1, 1, cfg)
		r.open()
		want := r.fill(30, 9000)
		r.stop()
		r.open()
		l := r.log(firstTP)
		for _, g := range l.segs[:3] {
			writeSized(t, r.fs, g.path(endLog), 3*removeBytes)
		}
		start := l.segs[3].base
		l.shard.SetStart(l, start)
		for range seed % 9 {
			r.turn()
			r.perform(1 + r.rng.IntN(3))
			r.now.Mono += 12e6
		}
		if seed%3 > 0 {
			r.crash(seed%3 == 1)
			r.open()
		}
		l = r.log(firstTP)
		if now := l.marks.Start; now < start { // the new start was not durable yet
			l.shard.SetStart(l, start)
		}
		r.settle()
		for _, name := range r.list(l.dir()) {
			if strings.HasSuffix(name, endDeleted) || strings.Compare(name, fmt.Sprintf("%020d", start)) < 0 {
				t.Fatalf("seed %d: %s is left", seed, name)
			}
		}
		if got := r.readAll(l, start, 30, 1<<20); !bytes.HasSuffix(want, got) || len(got) == 0 {
			t.Fatalf("seed %d: bytes differ", seed)
		}
		r.stop()
	}
}
