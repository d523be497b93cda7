package segment

import (
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
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

const (
	commitProbe = 20 * time.Millisecond
	probeFile   = 64 << 10
)

// ProbeCommits measures how many durable writes of a block a disk takes in a second from
// so many writers together. 0: it cannot be told.
func ProbeCommits(fs vfs.FS, dir string, writers int) float64 {
	var files []vfs.File
	defer func() {
		for i, f := range files {
			_ = f.Close()
			_ = fs.Remove(probeName(dir, i))
		}
	}()
	if fs.MkdirAll(journalDir(dir)) != nil {
		return 0
	}
	mem, done := aligned(probeFile)
	defer done()
	clear(mem)
	for i := range writers {
		f, err := fs.Open(probeName(dir, i), vfs.Create, true)
		if err != nil {
			return 0
		}
		files = append(files, f)
		if vfs.IsFd(f.Fd()) { // a file in memory
			return 0
		}
		if _, err := f.WriteAt(mem, 0); err != nil || f.Sync() != nil {
			return 0
		}
	}
	var all sync.WaitGroup
	var commits atomic.Int64
	begin := time.Now()
	for _, f := range files {
		all.Go(func() {
			for time.Since(begin) < commitProbe {
				if _, err := unix.Pwritev2(int(f.Fd()), [][]byte{mem[:block]}, 0, unix.RWF_DSYNC); err != nil {
					return
				}
				commits.Add(1)
			}
		})
	}
	all.Wait()
	return float64(commits.Load()) / time.Since(begin).Seconds()
}

func probeName(dir string, i int) string {
	return filepath.Join(journalDir(dir), "probe-"+strconv.Itoa(i))
}
