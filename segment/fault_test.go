package segment

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"millrace/internal/vfs"
	"millrace/protocol"
)

var firstTP = protocol.TopicPartition{Topic: topicID(1)}

// fill appends n batches to the first partition and lets them become durable.
func (r *rig) fill(n, size int) (want []byte) {
	r.t.Helper()
	l := r.log(firstTP)
	for range n {
		v := makeBatch(r.t, 1, size, r.now.Wall, uint64(l.Marks().End))
		for i := 0; l.shard.Admit(len(v)) != Admitted; i++ {
			if i > 1000 {
				r.t.Fatal("never admitted")
			}
			r.turn()
			r.perform(len(r.waiting))
		}
		l.shard.Append(l, v, 1, r.now.Wall)
		want = append(want, v...)
		r.turn()
		r.perform(len(r.waiting))
	}
	return want
}

// flip changes one byte of a file.
func (r *rig) flip(name string, at int64) {
	r.t.Helper()
	f, err := r.fs.Open(name, vfs.ReadWrite, false)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		r.t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b[:], at); err != nil {
		r.t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) list(dir string) []string {
	r.t.Helper()
	names, err := r.fs.List(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.t.Fatal(err)
	}
	return names
}

// TestDamagedJournal: under fsync a bad commit before a good one is damage; under
// write it may be a hole that a power loss left; the last one may be torn under
// both.
func TestDamagedJournal(t *testing.T) {
	for _, mode := range []Durability{Fsync, Write} {
		r := newRig(t, 5)
		r.o.Durability, r.o.PlaceMin = mode, 0
		r.topic(1, 1, DefaultConfig())
		r.open()
		r.settle()
		want := r.fill(4, 1000)
		name := r.shards[0].j.cur.name
		pos := r.shards[0].j.cur.pos
		r.crash(false)
		r.flip(name, pos-4096+100) // the last commit: torn, as far as anyone can tell
		r.open()
		if end := r.log(firstTP).Marks().End; end != 3 {
			t.Fatalf("%v: end %d after a torn last commit", mode, end)
		}
		r.crash(false)
		r.flip(name, pos-3*4096+100)
		err := r.openErr()
		var bad *CorruptError
		if mode == Fsync {
			if !errors.As(err, &bad) || bad.File != name || bad.Pos != pos-3*4096 {
				t.Fatalf("damage at %d of %s was reported as: %v", pos-3*4096, name, err)
			}
			for i, p := range r.pools {
				if p.Held() != 0 {
					t.Fatalf("core %d: a failed open holds %d bytes", i, p.Held())
				}
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		l := r.log(firstTP)
		if end := l.Marks().End; end != 1 || len(r.rep.Notes) == 0 {
			t.Fatalf("end %d, report %+v", end, r.rep)
		}
		if got := r.readAll(l, 0, 1, 1000); !bytes.HasPrefix(want, got) {
			t.Fatal("bytes differ")
		}
		r.settle()
		r.stop()
	}
}

// TestDamagedPlaced: the same for a batch that was not copied into its commit. What
// lies beside it in its blocks is not looked at.
func TestDamagedPlaced(t *testing.T) {
	r := newRig(t, 4)
	r.o.PlaceMin = 5000
	r.topic(1, 1, DefaultConfig())
	r.open()
	r.settle()
	var want []byte
	at := []int64{fileHeaderSize} // where the commits begin
	for range 3 {
		want = append(want, r.fill(1, 10_000)...)
		at = append(at, r.shards[0].j.cur.pos)
	}
	name, end := r.shards[0].j.cur.name, r.shards[0].j.cur.pos
	size := int64(len(want)) / 3
	if end-at[2] != 4096+ceil(2*size%4096+size) {
		t.Fatalf("the last commit takes %d bytes for a batch of %d", end-at[2], size)
	}
	r.crash(false)
	r.flip(name, at[2]+4096+2) // of the batch before
	r.flip(name, end-1)        // nothing
	r.open()
	if got := r.readAll(r.log(firstTP), 0, r.log(firstTP).Marks().End, 1<<20); !bytes.Equal(got, want) {
		t.Fatalf("%d bytes of %d", len(got), len(want))
	}
	r.crash(false)
	for _, pos := range []int64{2*size%4096 + 3, 2*size%4096 + 30, 2*size%4096 + size - 1} {
		r.flip(name, at[2]+4096+pos)
		r.open()
		if end := r.log(firstTP).Marks().End; end != 2 {
			t.Fatalf("end %d after byte %d of the last commit was lost", end, pos)
		}
		r.crash(false)
		r.flip(name, at[2]+4096+pos)
	}
	r.flip(name, at[1]+4096+size%4096+3000)
	var bad *CorruptError
	if err := r.openErr(); !errors.As(err, &bad) || bad.File != name || bad.Pos != at[1] {
		t.Fatalf("damage at %d: %v", at[1], err)
	}
}

func TestNewerFormatRefuses(t *testing.T) {
	r := newRig(t, 6)
	r.topic(1, 1, DefaultConfig())
	r.open()
	r.fill(1, 100)
	f := r.shards[0].j.cur
	name, b := f.name, make([]byte, 8192)
	r.crash(false)
	file, err := r.fs.Open(name, vfs.ReadWrite, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.ReadAt(b, 4096); err != nil {
		t.Fatal(err)
	}
	n := le.Uint32(b[40:])
	for _, change := range []struct {
		rule string
		do   func(c []byte)
	}{
		{"version", func(c []byte) { c[4] = 99 }},
		{"unknown kind", func(c []byte) {
			c[commitHeaderSize] = 77
			le.PutUint32(c[commitHeaderSize+4:], entryCRC(c[commitHeaderSize:], nil))
		}},
	} {
		c := bytes.Clone(b[:n])
		change.do(c)
		le.PutUint32(c[60:], headCRC(c))
		if _, err := file.WriteAt(c, 4096); err != nil {
			t.Fatal(err)
		}
		err := r.openErr()
		var bad *CorruptError
		if !errors.As(err, &bad) || bad.Rule != change.rule {
			t.Fatalf("%s: %v", change.rule, err)
		}
	}
}

func TestLostFilesRefuse(t *testing.T) {
	for _, what := range []string{"segment", "checkpoint", "journals"} {
		r := newRig(t, 7)
		r.topic(1, 1, DefaultConfig())
		r.open()
		r.fill(20, 3000)
		r.settle()
		r.stop()
		switch what {
		case "segment":
			if err := r.fs.Remove(segmentPath(partitionDir("/data", "t1", 0), 0, endLog)); err != nil {
				t.Fatal(err)
			}
		case "journals":
			for _, dir := range []string{"/data/journal", "/data/checkpoint"} {
				if err := r.fs.RemoveAll(dir); err != nil {
					t.Fatal(err)
				}
			}
		case "checkpoint":
			if err := r.fs.RemoveAll("/data/checkpoint"); err != nil {
				t.Fatal(err)
			}
		}
		var bad *CorruptError
		if err := r.openErr(); !errors.As(err, &bad) {
			t.Fatalf("without its %s: %v", what, err)
		}
	}
}

// TestWriteErrorLatches: nothing is acknowledged after the first error, even if
// later calls would succeed.
func TestWriteErrorLatches(t *testing.T) {
	for _, kind := range []string{"journal", "segment"} {
		r := newRig(t, 9)
		r.topic(1, 1, DefaultConfig())
		r.open()
		r.fill(3, 100)
		s, l := r.shards[0], r.log(firstTP)
		durable, high := s.Durable(), l.Marks().High
		once := true
		r.failIO = func(io IO) int32 {
			journal := io.Dsync
			if once && io.Kind == IOWrite && journal == (kind == "journal") {
				once = false
				return -int32(syscall.EIO)
			}
			return 0
		}
		for i := range 300 {
			if s.Admit(5000) != Admitted {
				break
			}
			s.Append(l, makeBatch(t, 1, 5000, r.now.Wall, uint64(i)), 1, r.now.Wall)
			r.turn()
			r.perform(len(r.waiting))
			if !once && s.Err() == nil {
				t.Fatalf("%s: no error is latched", kind)
			}
			if kind == "journal" && s.Err() != nil &&
				(s.Durable() != durable || l.Marks().High != high) {
				t.Fatal("acknowledged after the error")
			}
		}
		if s.Err() == nil || s.Admit(1) != Dead || !errors.Is(s.Err(), syscall.EIO) {
			t.Fatalf("%s: err %v", kind, s.Err())
		}
		durable = s.Durable()
		for range 10 {
			r.turn()
			r.perform(len(r.waiting))
		}
		if s.Durable() != durable {
			t.Fatal("acknowledged after the error")
		}
	}
}

// TestNoSpace: produce is refused, what is there stays readable, and it heals.
func TestNoSpace(t *testing.T) {
	r := newRig(t, 10)
	r.topic(1, 1, DefaultConfig())
	r.open()
	want := r.fill(30, 4000)
	s, l := r.shards[0], r.log(firstTP)
	r.fs.SetCapacity(r.fs.Used() + 100_000)
	refused := false
	for i := 0; i < 5000 && !refused; i++ {
		v := makeBatch(t, 1, 4000, r.now.Wall, uint64(i))
		switch s.Admit(len(v)) {
		case Admitted:
			s.Append(l, v, 1, r.now.Wall)
			want = append(want, v...)
		case Full:
			refused = true
		case Dead:
			t.Fatal(s.Err())
		}
		r.turn()
		r.perform(len(r.waiting))
	}
	if !refused || s.Err() != nil {
		t.Fatalf("refused %v, err %v", refused, s.Err())
	}
	for range 20 {
		r.turn()
		r.perform(len(r.waiting))
	}
	high := l.Marks().High
	if got := r.readAll(l, 0, high, 50_000); !bytes.Equal(got, want) {
		t.Fatal("not readable while the disk is full")
	}
	r.fs.SetCapacity(0)
	for i := 0; s.Admit(5000) != Admitted; i++ {
		if i > 20_000 {
			t.Fatal("it does not heal")
		}
		r.turn()
		r.perform(len(r.waiting))
	}
	want = append(want, r.fill(10, 4000)...)
	r.settle()
	r.stop()
	r.open()
	l = r.log(firstTP)
	if got := r.readAll(l, 0, l.Marks().End, 50_000); !bytes.Equal(got, want) {
		t.Fatal("bytes differ after healing")
	}
	r.stop()
}

// TestDamagedSegment: bytes that come back from disk are checked before they leave.
func TestDamagedSegment(t *testing.T) {
	r := newRig(t, 11)
	r.o.CacheBytes = 1
	r.topic(1, 1, DefaultConfig())
	r.open()
	want := r.fill(100, 9000)
	r.settle()
	l := r.log(firstTP)
	if _, where := l.Locate(0, 100, 1, true, nil); where != Cold {
		t.Fatalf("offset 0 is not cold: %d", where)
	}
	name := segmentPath(l.dir(), 0, endLog)
	size := len(want) / 100
	for _, at := range []int{0, 7, 8, 16, 20, 61, 500} {
		r.flip(name, int64(3*size+at))
		l.shard.forget(l.active()) // good bytes in memory
		res := r.await(l.shard, l.shard.Read(l, 3, 100, 1000))
		r.take(l.shard, res)
		if res.Code == protocol.None {
			t.Fatalf("a flipped bit at %d of a batch was served", at)
		}
		r.flip(name, int64(3*size+at))
	}
	if got := r.readAll(l, 0, 100, 1000); !bytes.Equal(got, want) {
		t.Fatal("bytes differ")
	}
	r.settle()
	r.stop()
}

// TestLostIndex: an index is a hint; it is built anew from the log.
func TestLostIndex(t *testing.T) {
	r := newRig(t, 12)
	r.o.CacheBytes = 1
	r.topic(1, 1, DefaultConfig())
	r.open()
	want := r.fill(100, 9000)
	r.settle()
	r.stop()
	dir := partitionDir("/data", "t1", 0)
	r.flip(segmentPath(dir, 0, endIndex), 8*5+1)
	if err := r.fs.Remove(segmentPath(dir, 0, endTime)); err != nil {
		t.Fatal(err)
	}
	r.open()
	l := r.log(firstTP)
	for _, from := range []int64{99, 50, 7} {
		if got := r.readAll(l, from, 100, 1000); !bytes.HasSuffix(want, got) {
			t.Fatal("bytes differ")
		}
	}
	if res := r.await(l.shard, l.shard.FindTime(l, r.now.Wall+1)); res.Offset != -1 {
		t.Fatalf("found %+v", res)
	}
	r.settle()
	r.stop()
}

// TestRealFiles runs on the disk, so that O_DIRECT's rules are kept, and leaves
// what Kafka's tools can read.
func TestRealFiles(t *testing.T) {
	dir := os.Getenv("SEGMENT_DIR")
	if dir == "" {
		dir = t.TempDir()
	}
	r := newRig(t, 13)
	r.use = vfs.OS()
	r.o.Dir = filepath.Join(dir, "data")
	cfg := DefaultConfig()
	cfg.SegmentBytes = 300_000
	r.topic(1, 1, cfg)
	r.failIO = realIO
	r.open()
	want := r.fill(200, 3000)
	r.settle()
	r.stop()
	for range 2 {
		r.open()
		l := r.log(firstTP)
		if got := r.readAll(l, 0, l.Marks().End, 70_000); !bytes.Equal(got, want) {
			t.Fatal("bytes differ")
		}
		want = append(want, r.fill(37, 2000)...)
		r.settle()
		r.stop()
	}
	var sum int64
	for _, e := range r.listReal(partitionDir(r.o.Dir, "t1", 0)) {
		if strings.HasSuffix(e.Name(), endLog) {
			info, _ := e.Info()
			sum += info.Size()
		}
	}
	if sum != int64(len(want)) {
		t.Fatalf("%d bytes on disk, %d written", sum, len(want))
	}
}

func (r *rig) listReal(dir string) []os.DirEntry {
	all, err := os.ReadDir(dir)
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

func realIO(io IO) int32 {
	var n int
	var err error
	switch io.Kind {
	case IORead:
		n, err = syscall.Pread(int(io.Fd), io.Mem, io.Off)
	case IOWrite:
		n, err = syscall.Pwrite(int(io.Fd), io.Mem, io.Off)
	case IOSync:
		err = syscall.Fdatasync(int(io.Fd))
		n = 1
	}
	if err != nil {
		return -int32(err.(syscall.Errno))
	}
	return int32(n)
}
