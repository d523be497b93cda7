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
	// probePatience bounds the wait for a disk that is very slow just now.
	probePatience = 300 * time.Millisecond
)

// commitsProbe measures durable writes of several writers. Its files have no names any
// more when it begins: nothing is left of them, whatever happens.
type commitsProbe struct {
	files   []vfs.File
	began   atomic.Int64 // when all writers were ready, ns of the wall clock; 0: not yet
	took    atomic.Int64 // ns, 0: they are not at their end
	commits atomic.Int64
	over    chan struct{}
}

// ProbeCommits measures how many durable writes of a block the disk of the journals takes
// in a second from so many writers together. 0: it cannot be told.
func ProbeCommits(fs vfs.FS, dir, journals string, writers int) float64 {
	p := &commitsProbe{over: make(chan struct{})}
	o := Options{Dir: dir, JournalDir: journals}
	if !p.open(fs, o.journalDir(), writers) {
		p.close()
		return 0
	}
	go p.run()
	late := time.NewTimer(probePatience)
	defer late.Stop()
	select {
	case <-p.over:
	case <-late.C: // it ends when the disk lets it
	}
	took := time.Duration(p.took.Load())
	if began := p.began.Load(); took == 0 && began > 0 {
		took = time.Since(time.Unix(0, began))
	}
	if took <= 0 {
		return 0
	}
	return float64(max(p.commits.Load(), 1)) / took.Seconds()
}

// open makes the files; false: it cannot, or they are in memory.
func (p *commitsProbe) open(fs vfs.FS, dir string, writers int) bool {
	if fs.MkdirAll(dir) != nil {
		return false
	}
	for i := range writers {
		name := filepath.Join(dir, "probe-"+strconv.Itoa(i))
		f, err := fs.Open(name, vfs.Create, true)
		if err != nil {
			return false
		}
		p.files = append(p.files, f)
		if fs.Remove(name) != nil || vfs.IsFd(f.Fd()) {
			return false
		}
	}
	return true
}

func (p *commitsProbe) close() {
	for _, f := range p.files {
		_ = f.Close()
	}
}

// run measures.
func (p *commitsProbe) run() {
	defer p.close()
	defer close(p.over)
	mem, done := aligned(probeFile)
	defer done()
	clear(mem)
	for _, f := range p.files {
		if _, err := f.WriteAt(mem, 0); err != nil || f.Sync() != nil {
			return
		}
	}
	var all sync.WaitGroup
	begin := time.Now()
	p.began.Store(begin.UnixNano())
	for _, f := range p.files {
		all.Go(func() {
			for time.Since(begin) < commitProbe {
				if _, err := unix.Pwritev2(int(f.Fd()), [][]byte{mem[:block]}, 0, unix.RWF_DSYNC); err != nil {
					return
				}
				p.commits.Add(1)
			}
		})
	}
	all.Wait()
	p.took.Store(int64(time.Since(begin)))
}
