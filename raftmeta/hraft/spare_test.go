package hraft

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"millrace/protocol"
	"millrace/raftmeta"
)

// A full disk gives no new segments: the spare ones are used, then commands are refused
// before one would fail, and with space all is well again. Nothing is ever poisoned.
func TestFullDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "raft")
	o := options(t, dir)
	o.SegmentBytes = 16 << 10
	q := mustOpen(t, o)
	if n := q.spare.left.Load(); n != spareFiles {
		t.Fatalf("%d spare files", n)
	}
	must(t, q, raftmeta.RegisterBroker{ID: 1})
	must(t, q, topicNamed(1))
	var full atomic.Bool
	q.free = func() (int64, error) {
		if full.Load() {
			return 0, nil
		}
		return MinFree, nil
	}
	q.spare.allocate = func(f *os.File, size int64) error {
		if full.Load() {
			return syscall.ENOSPC
		}
		return allocate(f, size)
	}
	for round := range 2 {
		full.Store(true)
		if _, err := ask(q, topicNamed(2)); !errors.Is(err, raftmeta.ErrNoSpace) {
			t.Fatalf("round %d: a topic on a full disk: %v", round, err)
		}
		took := 0 // commands of 4 KB, four for a file
		for ; took < 1000; took++ {
			_, err := ask(q, raftmeta.DeleteTopics{IDs: make([]protocol.TopicID, 250)})
			if errors.Is(err, raftmeta.ErrNoSpace) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if took == 0 || took == 1000 || q.spare.left.Load() != 1 {
			t.Fatalf("round %d: %d commands, %d spare files left", round, took, q.spare.left.Load())
		}
		full.Store(false)
		must(t, q, raftmeta.AllocateProducerIDs{Count: 1})
		if n := q.spare.left.Load(); n != spareFiles {
			t.Fatalf("round %d: %d spare files after space came back", round, n)
		}
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	again := mustOpen(t, o)
	if again.Image().TopicCount() != 1 {
		t.Fatalf("%d topics", again.Image().TopicCount())
	}
	names, err := filepath.Glob(filepath.Join(dir, "spare-*"))
	if err != nil || len(names) != spareFiles {
		t.Fatalf("%v, %v", names, err)
	}
	if st, err := os.Stat(names[0]); err != nil || st.Size() != again.spare.size {
		t.Fatalf("%v, %v", st, err)
	}
}
