package sim

import (
	"syscall"
	"time"

	"millrace/internal/vfs"
)

// disorder is an I/O error that was ordered at one kind of place.
type disorder struct {
	rule  *vfs.Rule
	fs    *vfs.Faults
	what  Counter
	reads bool // reads may fail: whoever asked is told
	syncs bool
}

// place is where a disk may fail.
type place struct {
	calls vfs.Call
	name  string // part of the file's name
	what  Counter
	skip  int // at most so many calls pass first
}

var places = []place{
	{vfs.CallWrite, ".journal", JournalErrors, 30},
	{vfs.CallSync, ".journal", JournalErrors, 30},
	{vfs.CallWrite, ".log", SegmentErrors, 10},
	{vfs.CallSync, ".log", SegmentErrors, 10},
	{vfs.CallOpen | vfs.CallTruncate, ".log", SegmentErrors, 6},
	{vfs.CallWrite | vfs.CallSync | vfs.CallOpen, "index", IndexErrors, 6},
	{vfs.CallWrite | vfs.CallSync | vfs.CallRename, "/checkpoint/", CheckpointErrors, 3},
	{vfs.CallWrite | vfs.CallSync | vfs.CallRename, "/boot", CheckpointErrors, 2},
	{vfs.CallWrite | vfs.CallSync | vfs.CallOpen, "partition.metadata", DirectoryErrors, 8},
	{vfs.CallSyncDir | vfs.CallSyncFS | vfs.CallMkdir, "", DirectoryErrors, 8},
	{vfs.CallRead, ".log", ReadErrors, 10},
	{vfs.CallRead, "index", ReadErrors, 3},
}

// recoveryPlaces are where it may fail while a start reads and writes.
var recoveryPlaces = append([]place{
	{vfs.CallRead, ".journal", ReadErrors, 6},
	{vfs.CallRead, "/checkpoint/", ReadErrors, 2},
	{vfs.CallRead, "/boot", ReadErrors, 0},
	{vfs.CallOpen, ".journal", JournalErrors, 6},
}, places...)

// disorder orders an error at one of some places: once, a few times or for good, with or
// without a part of a write being done.
func (w *World) disorder(fs *vfs.Faults, at []place) *disorder {
	p := at[w.rng.IntN(len(at))]
	d := &disorder{fs: fs, what: p.what, reads: p.what == ReadErrors, syncs: p.calls&vfs.CallSync != 0}
	d.rule = &vfs.Rule{
		Calls: p.calls, Name: p.name, Err: syscall.EIO, Skip: w.rng.IntN(p.skip + 1),
		Count: []int{0, 1, 1, 3}[w.rng.IntN(4)], Short: w.rng.IntN(3) == 0,
	}
	fs.Add(d.rule)
	return d
}

// hit says whether the error has come about.
func (d *disorder) hit() bool { return d != nil && d.fs.Hits(d.rule) > 0 }

// over counts it, at the end of the life that it was ordered for.
func (d *disorder) over(w *World) {
	if d.hit() {
		w.Tally[d.what]++
	}
}

// powerAfter says whether the life that met the error must end with a power loss. After
// a failed sync without O_DIRECT the page cache shows what is not on the disk and never
// will be: a process that starts again on it cannot know (docs/ASSUMPTIONS.md, D4).
func (d *disorder) powerAfter(direct bool) bool { return d.hit() && d.syncs && !direct }

// Hiccup makes the disk very slow for a while, as a full device cache or a noisy
// neighbour does: an op then takes up to twice worst, typically.
func (w *World) Hiccup(worst time.Duration) {
	if w.usual != nil {
		return // there is one
	}
	w.Tally[Hiccups]++
	usual := w.Pace.Disk
	w.Pace.Disk = worst/20 + time.Duration(w.rng.Int64N(int64(worst)))
	w.usual = func() { w.Pace.Disk, w.usual = usual, nil }
	w.After(w.around(worst), func() {
		if w.usual != nil {
			w.usual()
		}
	})
}

// ShiftWall moves the wall clock and leaves the other alone, as an operator or NTP
// does.
func (w *World) ShiftWall(millis int64) {
	w.Tally[Jumps]++
	w.now.Wall += millis
}
