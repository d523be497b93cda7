package netio

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

const page = 4096

// openFile opens a file of the test's own, with O_DIRECT where dir's file system
// has it.
func openFile(t *testing.T, h *harness, dir string, direct bool) *int32 {
	t.Helper()
	name := filepath.Join(dir, "file")
	flags := unix.O_RDWR | unix.O_CREAT | unix.O_CLOEXEC
	extra := 0
	if direct {
		extra = unix.O_DIRECT
	}
	fd, err := unix.Open(name, flags|extra, 0o600)
	if errors.Is(err, unix.EINVAL) && direct { // tmpfs before 6.6
		fd, err = unix.Open(name, flags, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	f := int32(fd)
	h.owns(&f)
	return &f
}

func TestFileWriteReadSync(t *testing.T) {
	dirs := map[string]string{"disk": t.TempDir()}
	if shm, err := os.MkdirTemp("/dev/shm", "netio-test-"); err == nil {
		defer func() { _ = os.RemoveAll(shm) }()
		dirs["tmpfs"] = shm
	}
	for name, base := range dirs {
		t.Run(name, func(t *testing.T) {
			onEngines(t, Options{}, func(t *testing.T, h *harness) {
				dir, err := os.MkdirTemp(base, "")
				if err != nil {
					t.Fatal(err)
				}
				writeReadSync(t, h, openFile(t, h, dir, true))
			})
		})
	}
}

func writeReadSync(t *testing.T, h *harness, fd *int32) {
	out, in := h.mem(16*page), h.mem(16*page)
	for i := range out {
		out[i] = byte(i / 7)
	}
	if c := h.do(Op{Kind: OpWrite, Flags: Dsync, Fd: *fd, Mem: out}); c.Res != 16*page {
		t.Fatalf("write: %d %v", c.Res, errName(c.Res))
	}
	if c := h.do(Op{Kind: OpRead, Fd: *fd, Mem: in}); c.Res != 16*page || !bytes.Equal(in, out) {
		t.Fatalf("read: %d", c.Res)
	}
	// Gathered, at an offset, in another order than they lie in memory.
	vec := vecOf(out[8*page:9*page], out[:2*page], out[12*page:13*page])
	if c := h.do(Op{Kind: OpWrite, Fd: *fd, Off: 20 * page, Vec: vec}); c.Res != 4*page {
		t.Fatalf("gathered write: %d %v", c.Res, errName(c.Res))
	}
	if c := h.do(Op{Kind: OpSync, Fd: *fd}); c.Res != 0 {
		t.Fatalf("sync: %v", errName(c.Res))
	}
	want := bytes.Join([][]byte{out[8*page : 9*page], out[:2*page], out[12*page : 13*page]}, nil)
	if c := h.do(Op{Kind: OpRead, Fd: *fd, Off: 20 * page, Mem: in[:8*page]}); c.Res != 4*page ||
		!bytes.Equal(in[:4*page], want) { // short: the file ends there
		t.Fatalf("read of the gathered: %d", c.Res)
	}
	if c := h.do(Op{Kind: OpRead, Fd: *fd, Off: 1 << 30, Mem: in[:page]}); c.Res != 0 {
		t.Fatalf("read behind the end: %d", c.Res)
	}
}

// Every slot is used by every kind of op after every other kind: nothing of a
// slot's last user may leak into the next (a sync's flag in a write is EOPNOTSUPP,
// a wait-all in a receive hangs).
func TestSlotReuse(t *testing.T) {
	onEngines(t, Options{Entries: 4}, func(t *testing.T, h *harness) {
		fd := openFile(t, h, t.TempDir(), false)
		a, b := h.tcp()
		m := h.mem(4 * page)
		kinds := []func() (Op, int32){
			func() (Op, int32) { return Op{Kind: OpNop}, 0 },
			func() (Op, int32) { return Op{Kind: OpSync, Fd: *fd}, 0 },
			func() (Op, int32) { return Op{Kind: OpWrite, Flags: Dsync, Fd: *fd, Mem: m[:page]}, page },
			func() (Op, int32) { return Op{Kind: OpWrite, Fd: *fd, Off: page, Mem: m[:100]}, 100 },
			func() (Op, int32) { return Op{Kind: OpWrite, Fd: *fd, Vec: vecOf(m[:9], m[:9])}, 18 },
			func() (Op, int32) { return Op{Kind: OpRead, Fd: *fd, Off: page, Mem: m[page:][:100]}, 100 },
			func() (Op, int32) { return Op{Kind: OpSend, Fd: *a, Mem: m[:7]}, 7 },
			func() (Op, int32) {
				return Op{Kind: OpRecv, Flags: WaitAll, Fd: *b, Mem: m[page:][:7]}, 7
			},
			func() (Op, int32) { return Op{Kind: OpSend, Fd: *a, Vec: vecOf(m[:3], m[:6])}, 9 },
			func() (Op, int32) { return Op{Kind: OpPoll, Fd: *b}, unix.POLLIN },
			func() (Op, int32) { return Op{Kind: OpRecv, Fd: *b, Mem: m[page:][:page]}, 9 },
			func() (Op, int32) {
				return Op{Kind: OpCancel, Target: MakeTag(9, 9, 9)}, -int32(unix.ENOENT)
			},
			func() (Op, int32) { return Op{Kind: OpWake}, 0 },
		}
		for step := 1; step <= 5; step++ { // other neighbours each time
			for i := range kinds {
				op, want := kinds[i]()
				if c := h.do(op); c.Res != want {
					t.Fatalf("step %d, op %d: %d (%v), want %d", step, op.Kind, c.Res,
						errName(c.Res), want)
				}
				for range step {
					h.do(Op{Kind: OpSync, Fd: *fd})
				}
			}
		}
	})
}

// File ops run in parallel and a close waits for them.
func TestManyFileOps(t *testing.T) {
	onEngines(t, Options{Entries: 8}, func(t *testing.T, h *harness) {
		fd := openFile(t, h, t.TempDir(), false)
		const n = 300
		m := h.mem(n * 512)
		var tags [n]Tag
		var ops []Op
		for i := range n {
			for j := range 512 {
				m[i*512+j] = byte(i)
			}
			tags[i] = h.tag()
			ops = append(ops, Op{Kind: OpWrite, Fd: *fd, Tag: tags[i], Off: int64(i) * 512,
				Mem: m[i*512:][:512]})
		}
		h.submit(ops...)
		for _, tag := range tags {
			h.want(tag, 512)
		}
		in := h.mem(n * 512)
		if c := h.do(Op{Kind: OpRead, Fd: *fd, Mem: in}); c.Res != n*512 || !bytes.Equal(in, m) {
			t.Fatalf("read: %d", c.Res)
		}
	})
}

func TestCloseWithFileOpsInFlight(t *testing.T) {
	onEngines(t, Options{FileWorkers: 1}, func(t *testing.T, h *harness) {
		fd := openFile(t, h, t.TempDir(), false)
		m := h.mem(1 << 20)
		var tags []Tag
		var ops []Op
		for i := range 20 {
			tags = append(tags, h.tag())
			ops = append(ops, Op{Kind: OpWrite, Flags: Dsync, Fd: *fd, Tag: tags[i],
				Off: int64(i) << 20, Mem: m})
		}
		closing := h.tag()
		h.submit(append(ops, Op{Kind: OpClose, Fd: *fd, Tag: closing})...)
		h.want(closing, 0)
		*fd = -1
		for _, tag := range tags { // each completes, done or cancelled, never on another file
			if c := h.wait(tag); c.Res != 1<<20 && c.Res != -int32(unix.ECANCELED) &&
				c.Res != -int32(unix.EINTR) {
				t.Fatalf("write: %v", errName(c.Res))
			}
		}
	})
}
