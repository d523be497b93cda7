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

// awaitDisks waits until all disks together got no more than a few requests for as long as
// rest, or patience is over.
func awaitDisks(rest, patience time.Duration) {
	last := diskRequests()
	for until := time.Now().Add(patience); time.Now().Before(until); {
		time.Sleep(rest)
		now := diskRequests()
		if now-last <= calmRequests {
			return
		}
		last = now
	}
}

// diskRequests counts writes and discards that all disks have completed (/proc/diskstats,
// fields 8 and 15 of a line; Documentation/admin-guide/iostats.rst).
func diskRequests() (n int64) {
	b, _ := os.ReadFile("/proc/diskstats")
	for _, line := range strings.Split(string(b), "\n") {
		f := strings.Fields(line)
		for _, i := range []int{7, 14} {
			if len(f) > i {
				k, _ := strconv.ParseInt(f[i], 10, 64)
				n += k
			}
		}
	}
	return n
}
