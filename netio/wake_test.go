package netio

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"millrace/internal/clock"
)

func TestWakeBeforeReap(t *testing.T) {
	onEngines(t, Options{}, func(t *testing.T, h *harness) {
		h.ring.Wake()
		h.ring.Wake() // one wake-up
		start := clock.Mono()
		if n := h.reap(start.Add(patience)); n != 0 {
			t.Fatalf("%d completions", n)
		}
		if d := clock.Mono().Sub(start); d > patience/2 {
			t.Fatalf("slept %v", d)
		}
		start = clock.Mono()
		h.reap(start.Add(20 * time.Millisecond))
		if d := clock.Mono().Sub(start); d < 20*time.Millisecond {
			t.Fatalf("woken twice, after %v", d)
		}
	})
}

func TestWakeSelfByOp(t *testing.T) {
	onEngines(t, Options{}, func(t *testing.T, h *harness) {
		for range 3 {
			h.submit(Op{Kind: OpWake}) // silent
			start := clock.Mono()
			if n := h.reap(start.Add(patience)); n != 0 || clock.Mono().Sub(start) > patience/2 {
				t.Fatalf("%d completions after %v", n, clock.Mono().Sub(start))
			}
		}
	})
}

// Every wake-up given after the ring last looked makes it look again: a counter
// that is raised before Wake is never left unseen.
func TestWakeStorm(t *testing.T) {
	onEngines(t, Options{}, func(t *testing.T, h *harness) {
		const threads, each = 4, 5000
		var inbox atomic.Int64
		var wg sync.WaitGroup
		for range threads {
			wg.Go(func() {
				for i := range each {
					inbox.Add(1)
					h.ring.Wake()
					if i%64 == 0 {
						runtime.Gosched()
					}
				}
			})
		}
		end := clock.Mono().Add(patience)
		for inbox.Load() < threads*each {
			h.reap(end)
			if !end.After(clock.Mono()) {
				t.Fatalf("a wake-up was lost at %d", inbox.Load())
			}
		}
		wg.Wait()
		h.reap(0)
		// One at a time, to a ring that sleeps.
		var seen atomic.Int64
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			for i := int64(1); i <= 300; i++ {
				inbox.Store(-i)
				h.ring.Wake()
				for seen.Load() != i {
					select {
					case <-stop:
						return
					default:
						runtime.Gosched()
					}
				}
			}
		}()
		for seen.Load() < 300 {
			h.reap(end)
			if v := -inbox.Load(); v > 0 {
				seen.Store(v)
			}
			if !end.After(clock.Mono()) {
				t.Fatalf("a wake-up was lost at %d", seen.Load())
			}
		}
	})
}

// Two rings pass a token by OpWake; kinds of rings mix.
func TestWakePeer(t *testing.T) {
	onEngines(t, Options{}, func(t *testing.T, h *harness) {
		for _, other := range engines {
			t.Run("with "+other.name, func(t *testing.T) {
				if other.name != "epoll" && !uringWorks {
					t.Skip(uringWhy)
				}
				passToken(t, h, other.make)
			})
		}
	})
}

func passToken(t *testing.T, h *harness, makeOther func(Options) (Ring, error)) {
	runtime.LockOSThread() // a subtest runs on a goroutine of its own
	defer runtime.UnlockOSThread()
	const rounds = 500
	var rings [2]Ring
	var token atomic.Int64
	peers := func(i int32) Ring { return rings[i] }
	var err error
	if rings[0], err = h.make(Options{Peers: peers}); err != nil {
		t.Fatal(err)
	}
	if rings[1], err = makeOther(Options{Peers: peers}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rings[0].Close() }()
	var late atomic.Bool
	run := func(me int, closing bool) {
		var buf [8]Completion
		end := clock.Mono().Add(patience)
		for token.Load() < rounds && !late.Load() {
			if int(token.Load()%2) == me {
				token.Add(1)
				tag := MakeTag(1, 0, uint32(token.Load()))
				rings[me].Submit([]Op{{Kind: OpWake, Peer: int32(1 - me), Tag: tag}})
				if n := rings[me].Reap(buf[:], end); n != 1 || buf[0].Tag != tag || buf[0].Res != 0 {
					if n != 0 { // a wake-up of our own may come first
						t.Errorf("%d completions: %+v", n, buf[:n])
						late.Store(true)
					}
				}
				continue
			}
			rings[me].Reap(buf[:], end)
			if !end.After(clock.Mono()) {
				t.Errorf("ring %d: the wake-up at %d was lost", me, token.Load())
				late.Store(true)
			}
		}
		if closing {
			if err := rings[me].Close(); err != nil {
				t.Error(err)
			}
		}
	}
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		run(1, true)
		close(done)
	}()
	run(0, false)
	rings[0].Submit([]Op{{Kind: OpWake, Peer: 1}}) // the last one waits for nobody
	rings[0].Reap(make([]Completion, 8), 0)
	<-done
	// To a closed ring: without harm.
	rings[0].Submit([]Op{{Kind: OpWake, Peer: 1, Tag: 5}})
	var buf [8]Completion
	if n := rings[0].Reap(buf[:], clock.Mono().Add(patience)); n != 1 || buf[0].Tag != 5 {
		t.Fatalf("%d completions: %+v", n, buf[:n])
	}
}

// A ring that nobody has used yet can be woken by its peers.
func TestWakeUnboundPeer(t *testing.T) {
	onEngines(t, Options{}, func(t *testing.T, h *harness) {
		var rings [2]Ring
		var err error
		for i := range rings {
			if rings[i], err = h.make(Options{Peers: func(i int32) Ring { return rings[i] }}); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = rings[i].Close() }()
		}
		rings[0].Submit([]Op{{Kind: OpWake, Peer: 1}})
		var buf [8]Completion
		rings[0].Reap(buf[:], 0)
		done := make(chan time.Duration)
		go func() {
			runtime.LockOSThread() // the thread ends with its ring
			start := clock.Mono()
			var buf [8]Completion
			rings[1].Reap(buf[:], start.Add(patience))
			done <- clock.Mono().Sub(start)
		}()
		if d := <-done; d > patience/2 {
			t.Fatalf("slept %v", d)
		}
	})
}

// Nothing is allocated for an op or a completion once tables have their size.
func TestNoAllocation(t *testing.T) {
	onEngines(t, Options{}, func(t *testing.T, h *harness) {
		a, b := h.tcp()
		fd := openFile(t, h, t.TempDir(), false)
		m := h.mem(64 << 10)
		vec := vecOf(m[:100], m[200:300], m[400:500])
		ops := make([]Op, 0, 16)
		var buf [16]Completion
		turn := func() {
			ops = append(ops[:0],
				Op{Kind: OpRecv, Fd: *b, Tag: 1, Mem: m[8192:16384]},
				Op{Kind: OpWake, Tag: 2},
				Op{Kind: OpWrite, Fd: *fd, Flags: Dsync, Tag: 3, Mem: m[:512]},
				Op{Kind: OpWrite, Fd: *fd, Tag: 4, Vec: vec},
				Op{Kind: OpRead, Fd: *fd, Tag: 5, Mem: m[1024:2048]},
				Op{Kind: OpSync, Fd: *fd, Tag: 6},
				Op{Kind: OpNop, Tag: 7},
				Op{Kind: OpPoll, Fd: *a, Tag: 8},
				Op{Kind: OpCancel, Target: 8, Tag: 9})
			left := len(ops)
			if h.ring.Submit(ops) != len(ops) {
				t.Fatal("not taken")
			}
			ops = append(ops[:0], Op{Kind: OpSend, Fd: *a, Tag: 10, Vec: vec})
			for sent := false; left > 0; {
				n := h.ring.Reap(buf[:], clock.Never)
				left -= n
				if !sent {
					sent = true
					left += h.ring.Submit(ops)
				}
			}
		}
		for range 50 {
			turn()
		}
		if n := testing.AllocsPerRun(200, turn); n != 0 {
			t.Fatalf("%v allocations a turn", n)
		}
	})
}

// A ring with nothing to do uses no processor time.
func TestIdleSleeps(t *testing.T) {
	onEngines(t, Options{Spin: 20 * time.Microsecond}, func(t *testing.T, h *harness) {
		h.do(Op{Kind: OpNop})
		before := threadTime(t)
		h.reap(clock.Mono().Add(100 * time.Millisecond))
		if used := threadTime(t) - before; used > 5*time.Millisecond {
			t.Fatalf("used %v while idle", used)
		}
	})
}

func threadTime(t *testing.T) time.Duration {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ts.Nano())
}
