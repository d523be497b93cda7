package hraft

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	walfs "github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// sealedTail makes a directory as a kill leaves it after the append that filled a segment:
// entries 1..first in one batch, then last in the batch that sealed.
func sealedTail(t *testing.T, first, last int) (dir, file string) {
	t.Helper()
	dir = t.TempDir()
	var meta metadb.BoltMetaDB
	if _, err := meta.Load(dir); err != nil {
		t.Fatal(err)
	}
	info := types.SegmentInfo{ID: 0, BaseIndex: 1, MinIndex: 1, SizeLimit: 1024,
		Codec: wal.CodecBinaryV1, CreateTime: time.Now()}
	err := meta.CommitState(types.PersistentState{NextSegmentID: 1,
		Segments: []types.SegmentInfo{info}})
	if err != nil {
		t.Fatal(err)
	}
	w, err := segment.NewFiler(dir, walfs.New()).Create(info)
	if err != nil {
		t.Fatal(err)
	}
	if first > 0 {
		if err := w.Append(logEntries(t, 1, first, 10)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Append(logEntries(t, first+1, last, 1000)); err != nil {
		t.Fatal(err)
	}
	if sealed, _, err := w.Sealed(); !sealed || err != nil {
		t.Fatal("not sealed", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := meta.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.wal"))
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	return dir, names[0]
}

func logEntries(t *testing.T, from, to, size int) (list []types.LogEntry) {
	t.Helper()
	for i := from; i <= to; i++ {
		var buf bytes.Buffer
		l := &raft.Log{Index: uint64(i), Term: 1, Data: bytes.Repeat([]byte{byte(i)}, size)}
		if err := new(wal.BinaryCodec).Encode(l, &buf); err != nil {
			t.Fatal(err)
		}
		list = append(list, types.LogEntry{Index: uint64(i), Data: buf.Bytes()})
	}
	return list
}

// check opens the log and wants entries 1..want, then room for more, twice.
func checkStore(t *testing.T, dir string, want uint64) {
	t.Helper()
	words := &logger{to: slog.New(slog.NewTextHandler(io.Discard, nil)), name: "test"}
	for range 2 {
		s, err := openStore(dir, 1024, words)
		if err != nil {
			t.Fatal(err)
		}
		last, err := s.LastIndex()
		if err != nil || last != want {
			t.Fatalf("last index %d %v, want %d", last, err, want)
		}
		for i := uint64(1); i <= last; i++ {
			var l raft.Log
			if err := s.GetLog(i, &l); err != nil || l.Index != i || l.Data[0] != byte(i) {
				t.Fatalf("entry %d: %v %v", i, l.Index, err)
			}
		}
		want++
		if err := s.StoreLog(&raft.Log{Index: want, Term: 1, Data: []byte{byte(want)}}); err != nil {
			t.Fatalf("append %d: %v", want, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.wal"))
	if err != nil || len(files) != 1 {
		t.Errorf("files %v %v", files, err)
	}
}

func TestKilledBetweenSealAndRotation(t *testing.T) {
	dir, _ := sealedTail(t, 3, 5)
	checkStore(t, dir, 5)
}

func TestMendDiedHalfWay(t *testing.T) {
	dir, file := sealedTail(t, 3, 5)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	other := segment.FileName(types.SegmentInfo{ID: 1, BaseIndex: 1})
	if err := os.WriteFile(filepath.Join(dir, other), b[:100], 0o644); err != nil {
		t.Fatal(err)
	}
	checkStore(t, dir, 5)
}

// TestTornSeal damages the batch that sealed: it was never acknowledged and goes.
func TestTornSeal(t *testing.T) {
	for _, first := range []int{3, 0} {
		dir, file := sealedTail(t, first, 5)
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		at := bytes.LastIndex(b, []byte{5, 5, 5, 5, 5})
		b[at] ^= 1
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
		checkStore(t, dir, uint64(first))
	}
}
