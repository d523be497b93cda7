package segment

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"millrace/internal/vfs"
)

const (
	probeRounds = 16
	probeLimit  = 40 * time.Millisecond
)

// probeSync says whether a write followed by fdatasync is clearly faster on this
// disk than one with RWF_DSYNC, or the only way. A sync costs the ring a worker thread,
// so it must take less than half the time. The least of each counts: a busy disk makes
// some slow. It writes into the second block of a free journal file, which nothing needs.
func probeSync(f vfs.File) bool {
	if vfs.IsFd(f.Fd()) {
		return !vfs.HasDsync(f) // a file in memory has no pwritev2
	}
	mem, done := aligned(block)
	defer done()
	clear(mem)
	var dsync, both []time.Duration
	begin := time.Now()
	for range probeRounds {
		t := time.Now()
		if _, err := unix.Pwritev2(int(f.Fd()), [][]byte{mem}, block, unix.RWF_DSYNC); err != nil {
			return true
		}
		dsync = append(dsync, time.Since(t))
		t = time.Now()
		if _, err := f.WriteAt(mem, block); err != nil || f.Sync() != nil {
			return false
		}
		both = append(both, time.Since(t))
		if time.Since(begin) > probeLimit {
			break
		}
	}
	return slices.Min(both) < slices.Min(dsync)/2
}
