package clock

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func kernelMono(t *testing.T) Instant {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		t.Fatal(err)
	}
	return Instant(ts.Nano())
}

func TestMonoIsTheKernels(t *testing.T) {
	// The kernel's reading, ours, the kernel's again: ours lies between, but for
	// the moment that passed between the two readings at start.
	const slack = Instant(time.Millisecond)
	before := kernelMono(t)
	m, n := Mono(), System{}.Now()
	after := kernelMono(t)
	for _, got := range []Instant{m, n.Mono} {
		if got < before-slack || got > after+slack {
			t.Fatalf("Mono = %d, kernel %d … %d", got, before, after)
		}
	}
	if n.Mono < m {
		t.Fatalf("Now().Mono %d is before an earlier Mono() %d", n.Mono, m)
	}
	if d := time.Since(time.UnixMilli(n.Wall)); d < -time.Second || d > time.Second {
		t.Fatalf("Wall is %v away", d)
	}
}

func TestMonoNeverGoesBack(t *testing.T) {
	last := Mono()
	for range 100_000 {
		now := System{}.Now().Mono
		if now < last {
			t.Fatalf("%d after %d", now, last)
		}
		last = Mono()
		if last < now {
			t.Fatalf("%d after %d", last, now)
		}
	}
}

func TestAddSaturates(t *testing.T) {
	if got := Never.Add(time.Second); got != Never {
		t.Fatalf("Never + 1s = %d", got)
	}
	if got := (Never - 5).Add(10); got != Never {
		t.Fatalf("Never-5 + 10 = %d", got)
	}
	if got := Instant(7).Add(-3); got != 4 {
		t.Fatalf("7 - 3 = %d", got)
	}
	if got := Never.Add(-time.Second); got != Never-Instant(time.Second) {
		t.Fatalf("Never - 1s = %d", got)
	}
	if !Instant(2).After(1) || Instant(1).After(1) || Instant(5).Sub(2) != 3 {
		t.Fatal("comparison")
	}
}

func BenchmarkNow(b *testing.B) {
	for b.Loop() {
		_ = System{}.Now()
	}
}

func BenchmarkMono(b *testing.B) {
	for b.Loop() {
		_ = Mono()
	}
}
