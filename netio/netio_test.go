package netio

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"millrace/internal/clock"
)

// engines are run through one suite: they must not differ in meaning.
var engines = []struct {
	name string
	make func(Options) (Ring, error)
}{{"uring", NewUring}, {"uring-plain", newPlainUring}, {"epoll", NewEpoll}}

// newPlainUring is the ring of an old kernel: completions come without an enter.
func newPlainUring(o Options) (Ring, error) { return newUring(o, setups[len(setups)-1:]) }

var uringWorks, uringWhy = Probe()

// onEngines runs a story on both engines, each on a locked thread of its own.
func onEngines(t *testing.T, o Options, story func(t *testing.T, h *harness)) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			if e.name != "epoll" && !uringWorks {
				t.Skip(uringWhy)
			}
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			ring, err := e.make(o)
			if err != nil {
				t.Fatal(err)
			}
			h := &harness{t: t, ring: ring, engine: e.name, make: e.make}
			defer func() {
				for i := len(h.cleanup) - 1; i >= 0; i-- {
					h.cleanup[i]()
				}
				if err := ring.Close(); err != nil {
					t.Error(err)
				}
			}()
			story(t, h)
		})
	}
}

// harness is a ring and what its completions were.
type harness struct {
	t       testing.TB
	ring    Ring
	engine  string
	make    func(Options) (Ring, error)
	got     map[Tag][]Completion
	buf     [256]Completion
	slot    uint32
	cleanup []func()
}

const patience = 10 * time.Second

func (h *harness) tag() Tag {
	h.slot++
	return MakeTag(7, h.slot>>8, h.slot)
}

// submit gives all ops to the ring, reaping where it is full.
func (h *harness) submit(ops ...Op) {
	h.t.Helper()
	end := clock.Mono().Add(patience)
	for len(ops) > 0 {
		n := h.ring.Submit(ops)
		if ops = ops[n:]; len(ops) > 0 {
			h.reap(0)
			if !end.After(clock.Mono()) {
				h.t.Fatalf("%d ops were never taken", len(ops))
			}
		}
	}
}

// reap takes what there is until then.
func (h *harness) reap(until clock.Instant) int {
	n := h.ring.Reap(h.buf[:], until)
	if h.got == nil {
		h.got = map[Tag][]Completion{}
	}
	for _, c := range h.buf[:n] {
		h.got[c.Tag] = append(h.got[c.Tag], c)
	}
	return n
}

// wait returns the next completion of a tag.
func (h *harness) wait(tag Tag) Completion {
	h.t.Helper()
	end := clock.Mono().Add(patience)
	for len(h.got[tag]) == 0 {
		if h.reap(end) == 0 && !end.After(clock.Mono()) {
			h.t.Fatalf("no completion of %x", tag)
		}
	}
	c := h.got[tag][0]
	h.got[tag] = h.got[tag][1:]
	return c
}

func (h *harness) want(tag Tag, res int32) {
	h.t.Helper()
	if c := h.wait(tag); c.Res != res || c.More {
		h.t.Fatalf("completion %d (%v) more=%v, want %d", c.Res, errName(c.Res), c.More, res)
	}
}

// nothing asserts that a tag has not completed, after a whole turn of the ring.
func (h *harness) nothing(tag Tag) {
	h.t.Helper()
	nop := h.tag()
	h.submit(Op{Kind: OpNop, Tag: nop})
	h.want(nop, 0)
	h.reap(clock.Mono().Add(2 * time.Millisecond))
	if len(h.got[tag]) != 0 {
		h.t.Fatalf("completed early: %+v", h.got[tag])
	}
}

// do runs one op to its end.
func (h *harness) do(op Op) Completion {
	h.t.Helper()
	if op.Tag == 0 {
		op.Tag = h.tag()
	}
	h.submit(op)
	return h.wait(op.Tag)
}

func errName(res int32) string {
	if res < 0 {
		return unix.ErrnoName(unix.Errno(-res))
	}
	return "ok"
}

// mem is off-heap memory until the test ends.
func (h *harness) mem(n int) []byte {
	h.t.Helper()
	r, err := mapRegion(n)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(r.unmap)
	return r
}

// tcp is a connected pair over loopback; both ends are closed with the test unless
// the story closes them (then it says so by -1).
func (h *harness) tcp() (a, b *int32) {
	h.t.Helper()
	lfd, addr, err := Listen("127.0.0.1:0", 16)
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = unix.Close(int(lfd)) }()
	c := h.dial(addr)
	fd := -1
	for fd < 0 {
		if fd, _, err = unix.Accept4(int(lfd), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC); err != nil &&
			err != unix.EAGAIN {
			h.t.Fatal(err)
		}
	}
	s := int32(fd)
	h.owns(&s)
	return c, &s
}

func (h *harness) owns(fd *int32) {
	h.cleanup = append(h.cleanup, func() {
		if *fd >= 0 {
			h.do(Op{Kind: OpClose, Fd: *fd})
		}
	})
}

// dial connects by plain system calls.
func (h *harness) dial(addr string) *int32 {
	h.t.Helper()
	fd := dialPlain(h.t, addr)
	h.owns(&fd)
	return &fd
}
