package segment

import (
	"testing"
	"time"

	"millrace/internal/vfs"
)

// A disk that answers no sync does not hold a start up, and nothing is left on it.
func TestProbeCommits(t *testing.T) {
	dir := t.TempDir()
	if got := ProbeCommits(vfs.OS(), dir, "", 2); got <= 0 {
		t.Errorf("a disk that works takes %v commits in a second", got)
	}
	hold := make(chan struct{})
	defer close(hold)
	files := vfs.Faulty(vfs.OS())
	files.Sleep = func(time.Duration) { <-hold }
	files.Add(&vfs.Rule{Calls: vfs.CallSync, Name: "probe-", Delay: time.Nanosecond})
	if got := ProbeCommits(files, dir, "", 2); got != 0 {
		t.Errorf("a disk that answers no sync takes %v commits in a second", got)
	}
	names, err := vfs.OS().List(journalDir(dir))
	if err != nil || len(names) != 0 {
		t.Errorf("left behind: %v %v", names, err)
	}
	if got := ProbeCommits(vfs.NewMem(1), "/", "", 2); got != 0 {
		t.Errorf("a disk in memory takes %v commits in a second", got)
	}
}
