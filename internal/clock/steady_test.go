package clock

import (
	"testing"
	"time"
)

func TestSteady(t *testing.T) {
	const year = 365 * 24 * 3600 * 1000
	var c Steady
	now := Now{Mono: 5_000_000_000, Wall: 50 * year}
	step := func(d time.Duration, jump int64) int64 {
		now.Mono = now.Mono.Add(d)
		now.Wall += d.Milliseconds() + jump
		return c.Wall(now)
	}
	if got := step(0, 0); got != 50*year {
		t.Fatalf("at first %d", got)
	}
	if got := step(time.Second, 30_000); got != now.Wall {
		t.Fatalf("a small step: %d, the clock says %d", got, now.Wall)
	}
	before := now.Wall
	if got := step(time.Minute, 10*year); got != before+60_000 {
		t.Fatalf("after a jump: %d, want %d", got, before+60_000)
	}
	if got := step(30*time.Minute, -10*year); got != now.Wall {
		t.Fatalf("set right again: %d, the clock says %d", got, now.Wall)
	}
	before = now.Wall
	step(time.Minute, year)
	if got := step(59*time.Minute, 0); got != before+3_600_000 {
		t.Fatalf("59 minutes after a jump: %d, want %d", got, before+3_600_000)
	}
	if got := step(time.Minute, 0); got != now.Wall {
		t.Fatalf("an hour after a jump: %d, the clock says %d", got, now.Wall)
	}
	if got := step(time.Millisecond, -year); got != now.Wall {
		t.Fatalf("set back: %d, the clock says %d", got, now.Wall)
	}
}
