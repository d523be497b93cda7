package segment

import (
	"bytes"
	"path/filepath"
	"slices"
	"testing"
)

// A partition.metadata that names a topic which never was is damaged: whoever relies on the
// directory's files knows whose they are, goes on, and writes it anew.
func TestDamagedMetadataIsMended(t *testing.T) {
	for i, also := range [][]string{nil, {"/more"}, nil, {"/more"}} {
		r := newRig(t, uint64(i))
		r.o.Also = also
		cfg := DefaultConfig()
		cfg.SegmentBytes = 32 << 10
		r.topic(1, 1, cfg)
		r.open()
		fill := func() {
			for range 20 {
				add(r, 2, 3000)
				r.settle()
			}
		}
		fill()
		r.stop()
		if i >= 2 {
			r.open()
			fill()
			r.crash(false)
		}
		r.open()
		name := filepath.Join(r.log(firstTP).dir(), metadataName)
		r.crash(false)
		if err := r.fs.WriteFile(name, metadataBytes(topicID(200))); err != nil {
			t.Fatal(err)
		}
		r.open()
		l := r.log(firstTP)
		if len(r.rep.Quarantined) > 0 || filepath.Join(l.dir(), metadataName) != name {
			t.Fatalf("run %d: quarantined %v, now in %s", i, r.rep.Quarantined, l.dir())
		}
		fill()
		r.readAll(l, 0, l.Marks().End, 1<<20)
		if err := l.shard.Err(); err != nil {
			t.Fatalf("run %d: %v", i, err)
		}
		r.stop()
		if id, ok, err := readMetadata(r.fs, filepath.Dir(name)); id != topicID(1) || !ok || err != nil {
			t.Fatalf("run %d: it names %v, %v %v", i, id, ok, err)
		}
	}
}

// A journal file that a power loss in a start left half made is not used: the start after
// the next one would miss what its header promises.
func TestHalfMadeJournalFile(t *testing.T) {
	r := newRig(t, 0)
	r.topic(1, 1, DefaultConfig())
	r.open()
	add(r, 2, 3000)
	r.settle()
	r.crash(false)
	half := make([]byte, 10*block)
	putFileHeader(half, r.o.Directory, 0x77, 128<<10, 1)
	name := journalName(journalDir("/data"), 0x77)
	if err := r.fs.WriteFile(name, half); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		r.open()
		add(r, 2, 3000)
		r.settle()
		r.crash(false)
	}
	names, err := r.fs.List(journalDir("/data"))
	if err != nil || slices.Contains(names, filepath.Base(name)) {
		t.Fatalf("%v %v", names, err)
	}
	r.open()
	l := r.log(firstTP)
	r.readAll(l, 0, l.Marks().End, 1<<20)
	if l.Marks().End != 8 {
		t.Fatalf("the log ends at %d", l.Marks().End)
	}
	r.stop()
}

// A process that ends again and again before it has written out what it replayed does not
// gather more and more in its journals.
func TestManyShortLives(t *testing.T) {
	r := newRig(t, 0)
	r.o.JournalFile, r.o.JournalMax = 256<<10, 1<<20
	r.topic(1, 1, DefaultConfig())
	var want []byte
	for life := range 8 {
		r.open()
		s, l := r.shards[0], r.log(firstTP)
		want = want[:l.Bytes()]
		var held []effect // checkpoints that take longer than the life
		for range 600 {
			v := makeBatch(t, 1, 4000, r.now.Wall, uint64(l.Marks().End))
			if s.Admit(len(v)) == Admitted {
				s.Append(l, v, 1, r.now.Wall)
				want = append(want, v...)
			}
			r.turn()
			kept := r.waiting[:0]
			for _, e := range r.waiting {
				if e.job != nil && s.jobs[e.job.ID-1].kind == jobCheckpoint {
					held = append(held, e)
				} else {
					kept = append(kept, e)
				}
			}
			r.waiting = kept
			r.perform(len(r.waiting))
		}
		if life == 7 {
			r.waiting = append(r.waiting, held...)
			r.settle()
			if s.Admit(5000) != Admitted {
				t.Fatal("nothing is taken when the checkpoint is there")
			}
			break
		}
		r.crash(false)
		size := int64(0)
		for _, n := range r.list(journalDir("/data")) {
			info, err := r.fs.Stat(filepath.Join(journalDir("/data"), n))
			if err != nil {
				t.Fatal(err)
			}
			size += info.Size()
		}
		if size > 4*r.o.JournalMax {
			t.Fatalf("life %d leaves %d bytes of journals", life, size)
		}
	}
	l := r.log(firstTP)
	if got := r.readAll(l, 0, l.Marks().High, 50_000); !bytes.Equal(got, want[:len(got)]) {
		t.Fatal("bytes differ")
	}
	r.stop()
}
