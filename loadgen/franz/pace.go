package franz

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// steady takes a thread for this goroutine alone and lets it wake when it shall: the runtime's
// timers may be a millisecond late, and the kernel adds 50 µs unless it is told not to.
func steady() (release func()) {
	runtime.LockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	return func() {
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) // 0 is the default again
		runtime.UnlockOSThread()
	}
}

// longestSleep lets a pacer see soon that the load is over.
const longestSleep = 20 * time.Millisecond

// sleep waits for so many nanoseconds, or for longestSleep.
func sleep(nanos int64) {
	ts := unix.NsecToTimespec(min(nanos, int64(longestSleep)))
	_ = unix.Nanosleep(&ts, nil) // a signal may end it early: the caller looks at the clock
}
