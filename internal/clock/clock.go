// Package clock names the two kinds of time, so that they cannot be mixed up.
//
// Not its job: timers. A core gets the time as an argument of Step; nothing
// inside a core reads a clock.
package clock

import (
	"time"

	"golang.org/x/sys/unix"
)

// Instant is monotonic time in nanoseconds (CLOCK_MONOTONIC). It never jumps
// and means nothing outside this boot of the machine.
type Instant int64

// Never is later than every instant.
const Never Instant = 1<<63 - 1

// Add returns the instant d later.
func (i Instant) Add(d time.Duration) Instant {
	if i > Never-Instant(d) && d > 0 {
		return Never
	}
	return i + Instant(d)
}

// Sub returns i - j.
func (i Instant) Sub(j Instant) time.Duration { return time.Duration(i - j) }

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

// Now reads CLOCK_MONOTONIC and CLOCK_REALTIME.
func (System) Now() Now {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return Now{Mono: Instant(ts.Nano()), Wall: time.Now().UnixMilli()}
}
