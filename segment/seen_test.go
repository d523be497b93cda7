package segment

import (
	"syscall"
	"testing"

	"millrace/internal/vfs"
)

// TestSeenIsMadeDurable: a checkpoint whose rename is seen by the next start, though its
// directory was never synced, is relied on only when it is durable.
func TestSeenIsMadeDurable(t *testing.T) {
	for seed := range uint64(20) {
		r := newRig(t, 3*seed) // one directory
		r.o.Also = nil
		faults := vfs.Faulty(r.fs)
		r.use = faults
		r.topic(1, 1, DefaultConfig())
		r.open()
		r.fill(10, 4000)
		faults.Add(&vfs.Rule{Calls: vfs.CallSyncDir, Name: "/checkpoint", Err: syscall.EIO})
		s, l := r.shards[0], r.log(firstTP)
		for i := 0; i < 3000 && s.Err() == nil; i++ {
			if s.Admit(4000) == Admitted {
				s.Append(l, makeBatch(t, 1, 4000, r.now.Wall, uint64(i)), 1, r.now.Wall)
			}
			r.turn()
			r.perform(len(r.waiting))
		}
		if s.Err() == nil {
			t.Fatal("no checkpoint was tried")
		}
		high := l.Marks().High
		r.crash(false)
		faults.Clear()
		r.open()
		r.crash(true)
		if err := r.openErr(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if end := r.log(firstTP).Marks().End; end < high {
			t.Fatalf("seed %d: End is %d, readers saw up to %d", seed, end, high)
		}
		r.crash(true)
	}
}
