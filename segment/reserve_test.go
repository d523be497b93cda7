package segment

import (
	"bytes"
	"path/filepath"
	"testing"
)

// fillDisk fills a log on a disk that has just become full, until storage refuses.
func (r *rig) fillDisk(want []byte) []byte {
	r.t.Helper()
	s, l := r.shards[0], r.log(firstTP)
	r.fs.SetCapacity(r.fs.Used())
	for i := range 20_000 {
		v := makeBatch(r.t, 1, 4000, r.now.Wall, uint64(i))
		switch s.Admit(len(v)) {
		case Admitted:
			s.Append(l, v, 1, r.now.Wall)
			want = append(want, v...)
		case Full:
			return want
		case Dead:
			r.t.Fatal(s.Err())
		}
		r.turn()
		r.perform(len(r.waiting))
	}
	r.t.Fatal("never refused")
	return nil
}

// A clean stop on a full disk ends by itself, and the journal has what segments lack. So
// does the next start, there too; with space there is a reserve for another one.
func TestStopAndStartOnFullDisk(t *testing.T) {
	r := newRig(t, 10)
	r.topic(1, 1, DefaultConfig())
	r.open()
	reserve := filepath.Base(reserveName(journalDir(r.o.Dir)))
	r.settle()
	has := func() bool {
		for _, n := range r.list(journalDir(r.o.Dir)) {
			if n == reserve {
				return true
			}
		}
		return false
	}
	if !has() {
		t.Fatal("no reserve")
	}
	want := r.fillDisk(r.fill(30, 4000))
	for _, s := range r.shards {
		s.Drain()
	}
	began, s := r.now.Mono, r.shards[0]
	for !s.Drained() {
		if r.turn(); s.Err() != nil || r.now.Mono.Sub(began) > 2*drainPatience {
			t.Fatalf("drain: not drained after %s, err %v", r.now.Mono.Sub(began), s.Err())
		}
		r.perform(len(r.waiting))
	}
	if !s.Partly() {
		t.Fatal("all was written to a full disk")
	}
	r.close()

	r.fs.SetCapacity(r.fs.Used())
	r.open()
	if has() {
		t.Fatal("the reserve was not needed")
	}
	for range 100 {
		r.turn()
		r.perform(len(r.waiting))
	}
	l := r.log(firstTP)
	if got := r.readAll(l, 0, l.Marks().High, 50_000); !bytes.Equal(got, want) {
		t.Fatal("bytes differ after a start on the full disk")
	}
	r.fs.SetCapacity(0)
	for i := 0; r.shards[0].Admit(5000) != Admitted || !has(); i++ {
		if i > 20_000 {
			t.Fatalf("it does not heal; reserve %v", has())
		}
		r.turn()
		r.perform(len(r.waiting))
	}
	want = append(want, r.fill(10, 4000)...)
	r.stop()
	r.open()
	l = r.log(firstTP)
	if got := r.readAll(l, 0, l.Marks().End, 50_000); !bytes.Equal(got, want) {
		t.Fatal("bytes differ after healing")
	}
	r.stop()
}

// A start on a full disk with more cores than the reserve was made for: each begins with a
// smaller file.
func TestMoreCoresOnFullDisk(t *testing.T) {
	r := newRig(t, 9)
	r.o.JournalFile, r.o.JournalMax = 1<<20, 8<<20
	r.topic(1, 6, DefaultConfig())
	r.open()
	r.settle()
	want := r.fillDisk(r.fill(30, 4000))
	r.crash(false)
	r.cores = 3
	r.fs.SetCapacity(r.fs.Used())
	r.open()
	l := r.log(firstTP)
	if got := r.readAll(l, 0, l.Marks().High, 50_000); !bytes.Equal(got, want[:len(got)]) || len(got) == 0 {
		t.Fatal("bytes differ after a start on the full disk")
	}
	r.fs.SetCapacity(0)
	r.settle()
	r.stop()
}
