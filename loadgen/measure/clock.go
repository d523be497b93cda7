package measure

import (
	"time"

	"golang.org/x/sys/unix"
)

// Clock reads CLOCK_MONOTONIC as nanoseconds: the same for all processes of a machine, so that a
// send time within a record can be compared by whoever reads it.
type Clock struct {
	base   time.Time
	offset int64
}

// NewClock ties Go's monotonic time to the kernel's.
func NewClock() Clock {
	var ts unix.Timespec
	base := time.Now()
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return Clock{base: base}
	}
	return Clock{base: base, offset: ts.Nano()}
}

// Now is the time in nanoseconds.
func (c Clock) Now() int64 { return c.offset + int64(time.Since(c.base)) }

// Wall is the calendar's time of a moment of this clock.
func (c Clock) Wall(at int64) time.Time { return c.base.Add(time.Duration(at - c.offset)) }
