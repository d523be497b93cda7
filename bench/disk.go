package bench

import (
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	disksRest     = time.Second
	disksPatience = time.Minute
	// calmRequests in disksRest are no load: a broker's timers, the kernel's journal.
	calmRequests = 50
)

// awaitDisks waits until all disks together got no more than a few writes, no discard and
// have nothing in flight for as long as rest, or patience is over. Large discards take long
// and are few: counting requests alone would not see them.
func awaitDisks(rest, patience time.Duration) {
	last := readDisks()
	for until := time.Now().Add(patience); time.Now().Before(until); {
		time.Sleep(rest)
		now := readDisks()
		if now.writes-last.writes <= calmRequests && now.discards == last.discards &&
			now.inFlight == 0 && last.inFlight == 0 {
			return
		}
		last = now
	}
}

type disks struct{ writes, discards, inFlight int64 }

// readDisks sums up what all disks have completed and what they are at (/proc/diskstats,
// fields 8, 15 and 12 of a line; Documentation/admin-guide/iostats.rst).
func readDisks() (d disks) {
	b, _ := os.ReadFile("/proc/diskstats")
	for _, line := range strings.Split(string(b), "\n") {
		f := strings.Fields(line)
		if len(f) < 15 {
			continue
		}
		for i, to := range map[int]*int64{7: &d.writes, 14: &d.discards, 11: &d.inFlight} {
			n, _ := strconv.ParseInt(f[i], 10, 64)
			*to += n
		}
	}
	return d
}
