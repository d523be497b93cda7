// Package clock names the two kinds of time, so that they cannot be mixed up.
//
// Not its job: timers. A core gets the time as an argument of Step; nothing
// inside a core reads a clock.
package clock

import (
	"time"

	"golang.org/x/sys/unix"
)

// Instant is monotonic time in nanoseconds (CLOCK_MONOTONIC, as read when the
// process started, plus what has passed since). It never jumps and means nothing
// outside this boot of the machine.
type Instant int64

// Never is later than every instant.
const Never Instant = 1<<63 - 1

// Add returns the instant d later.
func (i Instant) Add(d time.Duration) Instant {
	if d > 0 && i > Never-Instant(d) {
		return Never
	}
	return i + Instant(d)
}

// Sub returns i - j.
func (i Instant) Sub(j Instant) time.Duration { return time.Duration(i - j) }

// After tells whether i is later than j.
func (i Instant) After(j Instant) bool { return i > j }

// Now is both times, read together: Mono for timeouts, Wall for what users see
// (record timestamps, retention).
type Now struct {
	Mono Instant
	Wall int64 // milliseconds since the epoch, Kafka's unit of timestamps
}

// Clock is the seam that the simulator replaces.
type Clock interface{ Now() Now }

// System reads the kernel's clocks.
type System struct{}

// Now reads both clocks, without entering the kernel.
func (System) Now() Now {
	t := time.Now()
	return Now{Mono: bootStart + Instant(t.Sub(start)), Wall: t.UnixMilli()}
}

// Mono reads the monotonic clock alone, for those who wait for an Instant.
func Mono() Instant { return bootStart + Instant(time.Since(start)) }

// Go's own clock reads go through the vDSO but tell monotonic time only relative
// to something: these two name the same moment on both scales.
var start, bootStart = anchor()

func anchor() (time.Time, Instant) {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		panic("clock: no CLOCK_MONOTONIC")
	}
	return time.Now(), Instant(ts.Nano())
}
