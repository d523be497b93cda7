package netio

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"millrace/internal/clock"
)

// Probe says whether the io_uring engine works here, and why (or why not): it
// makes a ring and sends bytes through it. A kernel that has io_uring may still
// forbid it, and one that allows it may lack what we use.
func Probe() (uring bool, why string) {
	type answer struct {
		flags uint32
		err   error
	}
	c := make(chan answer)
	go func() { // a thread of its own: the ring binds to it
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		flags, err := tryUring(setups[:])
		c <- answer{flags, err}
	}()
	a := <-c
	kernel := kernelRelease()
	if a.err != nil {
		return false, fmt.Sprintf("io_uring does not work on kernel %s: %v%s", kernel, a.err,
			likelyCause(a.err))
	}
	mode := "deferred task work"
	if a.flags != setups[0] {
		mode = "without deferred task work (kernel 6.1 has it)"
	}
	return true, fmt.Sprintf("io_uring works on kernel %s, %s", kernel, mode)
}

func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	release, _, _ := bytes.Cut(u.Release[:], []byte{0})
	return string(release)
}

// likelyCause adds what an operator can do about it.
func likelyCause(err error) string {
	disabled, _ := os.ReadFile("/proc/sys/kernel/io_uring_disabled")
	sysctl := strings.TrimSpace(string(disabled))
	switch {
	case errors.Is(err, unix.EPERM) && sysctl != "" && sysctl != "0":
		return "; kernel.io_uring_disabled is " + sysctl
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return "; a seccomp profile forbids it (the default one of Docker and Kubernetes does)"
	case errors.Is(err, unix.ENOSYS):
		return "; the kernel has none, or a seccomp profile hides it"
	case errors.Is(err, unix.ENOMEM):
		return "; the limit of locked memory is too small (ulimit -l)"
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		return "; the limit of open files is too small (ulimit -n)"
	}
	return ""
}

// probeTimeout is long: a busy host must not look like one without io_uring.
const probeTimeout = 5 * time.Second

// tryUring runs what the engine lives on: an op, a receive that has to wait for its
// bytes, a send, a multishot accept and a wake-up.
func tryUring(choice []uint32) (flags uint32, err error) {
	ring, err := newUring(Options{Entries: 8}, choice)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, ring.Close()) }()
	flags = ring.k.flags &^ (setupAlways)
	if err = ring.k.enable(); err != nil {
		return 0, err
	}
	ring.tid = unix.Gettid()
	ring.arm()

	mem, err := mapRegion(os.Getpagesize())
	if err != nil {
		return 0, err
	}
	defer mem.unmap()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("socketpair: %w", err)
	}
	defer func() { _, _ = unix.Close(pair[0]), unix.Close(pair[1]) }()

	return flags, ring.roundTrip(mem, int32(pair[0]), int32(pair[1]))
}

func (u *uring) roundTrip(mem region, from, to int32) error {
	const nop, recv, send, accept = 1, 2, 3, 4
	lfd, _, err := Listen("127.0.0.1:0", 1)
	if err != nil { // no loopback: the accept is tried on a socket that refuses it
		lfd = from
	} else {
		defer func() { _ = unix.Close(int(lfd)) }()
	}
	copy(mem[64:], "ping")
	ops := []Op{
		{Kind: OpNop, Tag: MakeTag(nop, 0, 0)},
		{Kind: OpRecv, Tag: MakeTag(recv, 0, 0), Fd: to, Mem: mem[:4]},
		{Kind: OpSend, Tag: MakeTag(send, 0, 0), Fd: from, Mem: mem[64:68]},
		{Kind: OpAccept, Tag: MakeTag(accept, 0, 0), Fd: lfd},
		{Kind: OpCancel, Target: MakeTag(accept, 0, 0)},
	}
	if n := u.Submit(ops); n != len(ops) {
		return fmt.Errorf("%d of %d ops taken", n, len(ops))
	}
	want := map[uint8]int32{nop: 0, recv: 4, send: 4, accept: -int32(unix.ECANCELED)}
	if lfd == from {
		want[accept] = -int32(unix.EINVAL)
	}
	names := map[uint8]string{nop: "nop", recv: "receive", send: "send", accept: "multishot accept"}
	var done [8]Completion
	end := clock.Mono().Add(probeTimeout)
	for len(want) > 0 {
		n := u.Reap(done[:], end)
		for _, c := range done[:n] {
			kind := c.Tag.Kind()
			if res := want[kind]; c.Res != res {
				if c.Res < 0 {
					return fmt.Errorf("%s: %w", names[kind], unix.Errno(-c.Res))
				}
				return fmt.Errorf("%s: %d instead of %d", names[kind], c.Res, res)
			}
			delete(want, kind)
		}
		if n == 0 && !end.After(clock.Mono()) {
			return fmt.Errorf("%d ops did not complete", len(want))
		}
	}
	if string(mem[:4]) != "ping" {
		return fmt.Errorf("received other bytes than were sent")
	}
	return nil
}
