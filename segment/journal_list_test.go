package segment

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// TestLostJournalFile: a journal file that had acknowledged batches and is lost, or cut,
// is noticed; after a clean stop it does no harm.
func TestLostJournalFile(t *testing.T) {
	for i, clean := range []bool{false, true, false} {
		r := newRig(t, uint64(i))
		r.topic(1, 1, DefaultConfig())
		r.open()
		for range 20 {
			add(r, 2, 3000)
		}
		r.settle()
		if clean {
			r.stop()
		} else {
			r.crash(false)
		}
		names, err := r.fs.List(journalDir("/data"))
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			name := filepath.Join(journalDir("/data"), n)
			if !IsJournal(n) {
				continue
			}
			if i < 2 {
				err = r.fs.Remove(name)
			} else {
				err = r.fs.WriteFile(name, make([]byte, 0))
			}
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		err = r.openErr()
		var bad *CorruptError
		switch {
		case !clean && (!errors.As(err, &bad) || !strings.HasSuffix(bad.File, ".journal")):
			t.Fatalf("run %d: %v", i, err)
		case clean && (err != nil || len(r.rep.Notes) != 1):
			t.Fatalf("run %d: %v, %q", i, err, r.rep.Notes)
		}
	}
}

func FuzzJournalList(f *testing.F) {
	f.Add((&journalList{numbers: []uint64{1, 5}}).bytes(fuzzDir))
	f.Fuzz(func(t *testing.T, b []byte) {
		numbers, rule := parseJournalList(b, fuzzDir)
		if rule == "" && string((&journalList{numbers: numbers}).bytes(fuzzDir)) != string(b) {
			return // bytes that mean nothing differ
		}
	})
}
