package limits

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// spent is the time and the CPU of one thread's work.
type spent struct {
	wall float64 // seconds
	cpu  float64
}

// onCPU runs f on a thread of its own, bound to a CPU. The thread ends with it: it is not
// unlocked, so the binding cannot leak to other work.
func onCPU(cpu int, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		var set unix.CPUSet
		set.Set(cpu)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			done <- fmt.Errorf("affinity: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}

// together runs several on their CPUs at the same time and gives all their errors.
func together(cpus []int, f func(i int) error) error {
	done := make(chan error, len(cpus))
	for i, cpu := range cpus {
		go func() { done <- onCPU(cpu, func() error { return f(i) }) }()
	}
	var errs []error
	for range cpus {
		errs = append(errs, <-done)
	}
	return errors.Join(errs...)
}

// meter measures the thread that it is read on.
type meter struct {
	at  time.Time
	cpu float64
}

func startMeter() meter { return meter{at: time.Now(), cpu: threadCPU()} }

func (m meter) stop() spent {
	return spent{wall: time.Since(m.at).Seconds(), cpu: threadCPU() - m.cpu}
}

func threadCPU() float64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts) != nil {
		return 0 // there since Linux 2.6.12
	}
	return float64(ts.Nano()) / 1e9
}

// again calls f, which only computes, until d has passed and gives how often per second of the
// thread's CPU: a neighbour that takes the CPU away makes a round shorter, not slower. f should take
// microseconds.
func again(d time.Duration, f func() error) (float64, error) {
	m := startMeter()
	for n := 1; ; n++ {
		if err := f(); err != nil {
			return 0, err
		}
		if time.Since(m.at) >= d {
			return float64(n) / m.stop().cpu, nil
		}
	}
}

// use is what the machine has used of its CPUs, in seconds.
type use struct{ foreign, steal float64 }

const ticks = 100 // USER_HZ, the unit of /proc: the same on every Linux

func readUse() (use, error) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return use{}, fmt.Errorf("limits: %w", err)
	}
	line, _, _ := strings.Cut(string(data), "\n")
	words := strings.Fields(line)
	if len(words) < 9 {
		return use{}, fmt.Errorf("limits: /proc/stat begins with %.60q", line)
	}
	var v [8]float64
	for i := range v {
		if v[i], err = strconv.ParseFloat(words[i+1], 64); err != nil {
			return use{}, fmt.Errorf("limits: /proc/stat: %w", err)
		}
	}
	var own unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &own); err != nil {
		return use{}, fmt.Errorf("limits: %w", err)
	}
	// User time only: what the kernel does for us in interrupts is nobody's.
	user := (v[0] + v[1]) / ticks
	return use{foreign: user - float64(own.Utime.Nano())/1e9, steal: v[7] / ticks}, nil
}
