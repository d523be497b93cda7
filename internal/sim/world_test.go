package sim

import (
	"bytes"
	"fmt"
	"testing"
	"time"
	"unsafe"

	"millrace/internal/arena"
	"millrace/internal/clock"
	"millrace/internal/vfs"
	"millrace/netio"
)

// echo is a core that sends back what it receives and writes it to a file first.
type echo struct {
	t      *testing.T
	file   vfs.File
	pool   *arena.Pool
	bufs   map[int32]*arena.Buf
	lfd    int32
	began  bool
	off    int64
	writes int
}

const (
	tagAccept = 1 + iota
	tagRecv
	tagSend
	tagWrite
	tagClose
)

func (e *echo) turn(_ clock.Now, done []netio.Completion) (ops []netio.Op, jobs []Job, next clock.Instant) {
	if !e.began {
		e.began = true
		ops = append(ops, netio.Op{Kind: netio.OpAccept, Fd: e.lfd, Tag: netio.MakeTag(tagAccept, 0, 0)})
	}
	recv := func(fd int32) netio.Op {
		return netio.Op{Kind: netio.OpRecv, Fd: fd, Mem: e.bufs[fd].Mem, Tag: netio.MakeTag(tagRecv, 0, uint32(fd))}
	}
	send := func(fd, res int32) netio.Op {
		mem := e.bufs[fd].Mem
		return netio.Op{Kind: netio.OpSend, Fd: fd, Flags: netio.WaitAll, Vec: []netio.Vec{
			{Base: unsafe.SliceData(mem), Len: uint64(res / 2)},
			{Base: unsafe.SliceData(mem[res/2:]), Len: uint64(res - res/2)},
		}, Tag: netio.MakeTag(tagSend, 0, uint32(fd))}
	}
	for _, d := range done {
		fd := int32(d.Tag.Slot())
		switch d.Tag.Kind() {
		case tagAccept:
			e.bufs[d.Res] = e.pool.Get(4096)
			ops = append(ops, recv(d.Res))
		case tagRecv:
			if d.Res <= 0 {
				ops = append(ops, netio.Op{Kind: netio.OpClose, Fd: fd, Tag: netio.MakeTag(tagClose, 0, uint32(fd))})
				continue
			}
			e.writes++
			ops = append(ops, send(fd, d.Res), netio.Op{Kind: netio.OpWrite, Fd: e.file.Fd(), Off: e.off,
				Mem: e.pool.Get(4096).Mem, Flags: netio.Dsync, Tag: netio.MakeTag(tagWrite, 0, 0)})
			e.off += 4096
		case tagSend:
			if d.Res > 0 {
				ops = append(ops, recv(fd))
			}
		case tagClose:
			e.pool.Release(e.bufs[fd])
		}
	}
	return ops, jobs, clock.Never
}

// runEcho lets three clients talk to an echo core and returns the trace.
func runEcho(t *testing.T, seed uint64) uint64 {
	w := New(seed)
	f, err := w.Disk.Open("/f", vfs.Create, true)
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{t: t, file: f, pool: arena.New(64 << 20), bufs: map[int32]*arena.Buf{}, lfd: w.Net.Listen()}
	w.AddCore(e.turn)
	closed := 0
	for i := range 3 {
		want := bytes.Repeat([]byte(fmt.Sprintf("client %d;", i)), 3000+i)
		var got []byte
		c := w.Net.Dial(e.lfd)
		c.OnData = func(b []byte) {
			got = append(got, b...)
			if len(got) == len(want) {
				c.Close()
			}
		}
		c.OnClose = func() {
			closed++
			if !bytes.Equal(got, want) {
				t.Errorf("seed %d: client %d got %d bytes of %d", seed, i, len(got), len(want))
			}
		}
		if i == 1 {
			c.Stall()
			w.After(50*time.Millisecond, c.Resume)
		}
		c.Write(want[:100])
		w.After(time.Millisecond, func() { c.Write(want[100:]) })
	}
	if !w.RunUntil(1_000_000, func() bool { return closed == 3 }) {
		t.Fatalf("seed %d: %d of 3 clients ended", seed, closed)
	}
	if w.Net.Open() != 1 {
		t.Fatalf("seed %d: %d sockets open besides the listener", seed, w.Net.Open()-1)
	}
	if e.writes == 0 {
		t.Fatal("nothing was written")
	}
	return w.Trace()
}

func TestSameSeedSameTrace(t *testing.T) {
	seen := map[uint64]bool{}
	for seed := range uint64(20) {
		a, b := runEcho(t, seed), runEcho(t, seed)
		if a != b {
			t.Fatalf("seed %d: two runs differ: %x %x", seed, a, b)
		}
		seen[a] = true
	}
	if len(seen) != 20 {
		t.Fatalf("20 seeds made %d runs", len(seen))
	}
}

func TestCancelAndShutdown(t *testing.T) {
	w := New(3)
	lfd := w.Net.Listen()
	results := map[uint8]int32{}
	var fd int32
	mem := make([]byte, 100)
	step := 0
	c := w.AddCore(func(_ clock.Now, done []netio.Completion) (ops []netio.Op, _ []Job, _ clock.Instant) {
		for _, d := range done {
			results[d.Tag.Kind()] = d.Res
		}
		switch {
		case step == 0:
			ops = append(ops, netio.Op{Kind: netio.OpAccept, Fd: lfd, Tag: netio.MakeTag(1, 0, 0)})
			step = 1
		case step == 1 && results[1] != 0:
			fd = results[1]
			ops = append(ops, netio.Op{Kind: netio.OpRecv, Fd: fd, Mem: mem, Tag: netio.MakeTag(2, 0, 0)},
				netio.Op{Kind: netio.OpCancel, Target: netio.MakeTag(2, 0, 0), Tag: netio.MakeTag(3, 0, 0)},
				netio.Op{Kind: netio.OpCancel, Target: netio.MakeTag(99, 0, 0), Tag: netio.MakeTag(4, 0, 0)})
			step = 2
		case step == 2 && len(results) == 4:
			ops = append(ops, netio.Op{Kind: netio.OpRecv, Fd: fd, Mem: mem, Tag: netio.MakeTag(5, 0, 0)},
				netio.Op{Kind: netio.OpShutdown, Fd: fd})
			step = 3
		case step == 3 && len(results) == 5:
			ops = append(ops, netio.Op{Kind: netio.OpClose, Fd: fd, Tag: netio.MakeTag(6, 0, 0)},
				netio.Op{Kind: netio.OpClose, Fd: lfd, Tag: netio.MakeTag(7, 0, 0)})
			step = 4
		}
		return ops, nil, clock.Never
	})
	client := w.Net.Dial(lfd)
	if !w.RunUntil(10_000, func() bool { return len(results) == 7 }) {
		t.Fatalf("results %v", results)
	}
	w.RunUntil(1000, func() bool { return client.Over() })
	want := map[uint8]int32{1: 0, 2: -125, 3: 0, 4: -2, 5: 0, 6: 0, 7: -125}
	for kind, res := range want {
		if kind == 1 || kind == 7 { // 1: was the socket, then the cancelled accept
			continue
		}
		if results[kind] != res {
			t.Errorf("tag %d: %d, want %d", kind, results[kind], res)
		}
	}
	if results[1] != -125 || results[7] != 0 {
		t.Errorf("accept ended with %d, close with %d", results[1], results[7])
	}
	if !client.Over() || w.Net.Open() != 0 {
		t.Errorf("client over %v, %d sockets open", client.Over(), w.Net.Open())
	}
	if err := c.Ring().Close(); err != nil {
		t.Fatal(err)
	}
}

// TestPowerLoss: a write with dsync that has completed is there, one in flight may be.
func TestPowerLoss(t *testing.T) {
	var full, none, part int
	for seed := range uint64(100) {
		w := New(seed)
		w.Pace.Short, w.Pace.Again = 0, 0
		f, err := w.Disk.Open("/f", vfs.Create, true)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Preallocate(0, 64<<10); err != nil {
			t.Fatal(err)
		}
		if err := w.Disk.SyncFS("/"); err != nil {
			t.Fatal(err)
		}
		p := arena.New(1 << 20)
		mem := p.Get(32 << 10).Mem
		for i := range mem {
			mem[i] = 7
		}
		turns, acked := 0, 0
		w.AddCore(func(_ clock.Now, done []netio.Completion) (ops []netio.Op, _ []Job, _ clock.Instant) {
			turns++
			acked += len(done)
			if turns == 1 || len(done) > 0 {
				ops = append(ops, netio.Op{Kind: netio.OpWrite, Fd: f.Fd(), Flags: netio.Dsync,
					Off: int64(acked) * 32 << 10, Mem: mem, Tag: netio.MakeTag(1, 0, 0)})
			}
			if acked == 2 {
				return nil, nil, clock.Never
			}
			return ops, nil, clock.Never
		})
		w.RunUntil(1000, func() bool { return acked == 1 && turns >= 2 })
		w.Crash(true)
		data, err := w.Disk.ReadFile("/f")
		if err != nil || len(data) != 64<<10 {
			t.Fatal(len(data), err)
		}
		if bytes.Count(data[:32<<10], []byte{7}) != 32<<10 {
			t.Fatalf("seed %d: a durable write is gone", seed)
		}
		switch bytes.Count(data[32<<10:], []byte{7}) {
		case 0:
			none++
		case 32 << 10:
			full++
		default:
			part++
		}
		if w.Step() {
			t.Fatal("something happened after the crash")
		}
	}
	if none == 0 || part == 0 {
		t.Fatalf("of the write in flight: all %d, part %d, none %d", full, part, none)
	}
}
