package clock

import "time"

// Steady is a wall clock for what is deleted because it is old: it does not follow a jump
// forward before that has stood for an hour of monotonic time, so that a clock which was
// set wrong can be set right again. Back it goes at once: to delete late is safe.
type Steady struct {
	wall  int64
	mono  Instant
	since Instant // when the jump was noticed; 0: there is none
	began bool
}

const (
	steadyJump   = 60_000 // ms that are no jump
	steadySettle = time.Hour
)

// Wall is the time in milliseconds since the epoch. The first call believes the clock.
func (c *Steady) Wall(n Now) int64 {
	passed := int64(n.Mono-c.mono) / int64(time.Millisecond)
	c.mono += Instant(passed) * Instant(time.Millisecond)
	c.wall += passed
	switch {
	case !c.began:
		c.began, c.mono, c.wall = true, n.Mono, n.Wall
	case n.Wall <= c.wall+steadyJump:
		c.wall, c.since = n.Wall, 0
	case c.since == 0:
		c.since = n.Mono
	case n.Mono.Sub(c.since) >= steadySettle:
		c.wall, c.since = n.Wall, 0
	}
	return c.wall
}
