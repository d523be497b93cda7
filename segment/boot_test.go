package segment

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// A lost or damaged mark of openings is made anew where that is safe, after a clean stop and
// after a kill; what was acknowledged is there, and the next opening has another number.
func TestLostBootMark(t *testing.T) {
	for _, c := range []struct {
		damage string
		kill   bool
	}{{"remove", false}, {"flip", false}, {"remove", true}, {"flip", true}, {"cut", true}} {
		r := newRig(t, 9)
		r.topic(1, 1, DefaultConfig())
		r.open()
		want := r.fill(40, 9000) // more than the journal: a sweep made a checkpoint
		r.settle()
		boot := r.rep.Boot
		if c.kill {
			r.stop()
			r.open()
			boot = r.rep.Boot
			want = append(want, r.fill(3, 500)...)
			r.settle()
			r.crash(false)
		} else {
			r.stop()
		}
		switch c.damage {
		case "remove":
			if err := r.fs.Remove(bootName("/data")); err != nil {
				t.Fatal(err)
			}
		case "flip":
			r.flip(bootName("/data"), 25)
		case "cut":
			if err := r.fs.WriteFile(bootName("/data"), []byte("MRBT")); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.openErr(); err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		if r.rep.Boot <= boot || r.rep.Clean || !strings.Contains(strings.Join(r.rep.Notes, ""), "made anew") {
			t.Fatalf("%+v: after opening %d: %+v", c, boot, r.rep)
		}
		l := r.shards[0].list[0]
		if got := r.readAll(l, 0, l.Marks().End, 1<<20); !bytes.Equal(got, want) {
			t.Fatalf("%+v: %d bytes of %d", c, len(got), len(want))
		}
		r.stop()
	}
}

// Without a whole set of checkpoints, or without journals, nothing can be proved.
func TestLostBootMarkRefuses(t *testing.T) {
	for _, also := range []string{"/data/checkpoint", "/data/journal"} {
		r := newRig(t, 9)
		r.topic(1, 1, DefaultConfig())
		r.open()
		r.fill(5, 3000)
		r.settle()
		r.stop()
		for _, name := range []string{bootName("/data"), also} {
			if err := r.fs.RemoveAll(name); err != nil {
				t.Fatal(err)
			}
		}
		var bad *CorruptError
		if err := r.openErr(); !errors.As(err, &bad) {
			t.Fatalf("without the mark and %s: %v", also, err)
		}
	}
}

// The journal may be elsewhere; a start that does not find it is refused, one that finds it
// in yet another place is not.
func TestJournalDir(t *testing.T) {
	r := newRig(t, 9)
	r.topic(1, 1, DefaultConfig())
	r.o.JournalDir = "/fast/journal"
	r.open()
	want := r.fill(5, 3000)
	r.settle()
	r.crash(false)
	for _, wrong := range []string{"", "/other"} {
		r.o.JournalDir = wrong
		if err := r.openErr(); err == nil || !strings.Contains(err.Error(), "/fast/journal") {
			t.Fatalf("with journal.dir %q: %v", wrong, err)
		}
	}
	for _, name := range r.list("/fast/journal") {
		from := filepath.Join("/fast/journal", name)
		if err := r.fs.Rename(from, filepath.Join("/data/journal", name)); err != nil {
			t.Fatal(err)
		}
	}
	r.o.JournalDir = ""
	for range 2 {
		r.open()
		l := r.shards[0].list[0]
		if got := r.readAll(l, 0, l.Marks().End, 1<<20); !bytes.Equal(got, want) {
			t.Fatalf("%d bytes of %d", len(got), len(want))
		}
		r.stop()
	}
}
