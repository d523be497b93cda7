package engine

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"

	"millrace/internal/arena"
	"millrace/internal/clock"
	"millrace/internal/vfs"
	"millrace/netio"
	"millrace/raftmeta"
	"millrace/segment"
)

// kernel is a broker's cores over a simulated kernel that does everything at the worst
// time: bytes come one by one or all at once, sends are short, file writes take long,
// connections break at any moment, descriptors are used again at once, cores and helpers
// run in any order. Memory is poisoned when it is freed.
type kernel struct {
	rng    *rand.Rand
	sizes  stormSizes
	cfg    Config
	fs     *vfs.Mem
	quorum *raftmeta.Local
	pools  []*arena.Pool
	shards []*segment.Shard
	cores  []*Core
	ins    []Input
	outs   []Output
	now    clock.Now
	done   [][]netio.Completion // by core
	ops    [][]netio.Op         // in flight, by core
	jobs   []job
	socks  map[int32]*sock
	free   []int32 // descriptors to use again
	nextFd int32
	calm   bool // no more faults
	slow   bool // file writes take long
	frozen int  // a core that gets no turns; −1: none
}

type job struct {
	core int
	job  Job
}

// sock is both ends of one connection.
type sock struct {
	fd     int32
	client *stormClient
	in     []byte // written by the client, not received yet
	got    []byte // sent by the broker
	eof    bool   // the client has gone
	shut   bool   // shut down by the broker
	closed bool   // by the broker
	host   string
}

type stormSizes struct {
	cores           int
	memory, journal int64
}

func newKernel(rng *rand.Rand, z stormSizes) *kernel {
	k := &kernel{rng: rng, sizes: z, fs: vfs.NewMem(rng.Uint64()), nextFd: 1 << 20}
	k.now = clock.Now{Mono: 1_000_000, Wall: 1_700_000_000_000}
	cfg := Defaults()
	cfg.Cores, cfg.FS, cfg.DataDir, cfg.Log = z.cores, k.fs, "/data", slog.New(slog.DiscardHandler)
	cfg.Journals = z.cores
	cfg.MemoryBytes, cfg.CacheBytes = int64(z.cores)*z.memory, int64(z.cores)*z.memory*2/3
	cfg.JournalFile, cfg.JournalMaxBytes = z.journal/8, int64(z.cores)*z.journal
	cfg.Seed, cfg.OffsetsPartitions, cfg.SessionSlots = rng.Uint64()|1, 5, 4
	if *stormSeed >= 0 {
		cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	k.cfg = cfg
	k.quorum = raftmeta.NewLocal(raftmeta.Empty(), func(img *raftmeta.Image) {
		for _, c := range k.cores {
			c.inbox.Post(func(c *Core) { c.install(img) })
		}
	})
	k.quorum.Propose(raftmeta.RegisterBroker{ID: cfg.NodeID, Endpoints: []raftmeta.Endpoint{
		{Listener: "PLAINTEXT", Host: "broker", Port: 9092}}}, func(raftmeta.Outcome, error) {})
	return k
}

// open starts the broker's cores on what is on the disk.
func (k *kernel) open() error {
	z, n := k.sizes, k.sizes.cores
	k.pools, k.cores, k.socks, k.frozen = nil, nil, make(map[int32]*sock), -1
	for range n {
		p := arena.New(z.memory)
		p.Poison = true
		k.pools = append(k.pools, p)
	}
	var err error
	known := (&Broker{cfg: k.cfg, quorum: k.quorum}).known()
	k.shards, _, err = segment.Open(segment.Options{
		FS: k.fs, Dir: "/data", Pools: k.pools, JournalFile: k.cfg.JournalFile, JournalMax: z.journal,
		CacheBytes: z.memory * 2 / 3, Log: k.cfg.Log, Now: func() clock.Now { return k.now },
	}, n, known)
	if err != nil {
		return err
	}
	bound := []Listener{{Name: "PLAINTEXT", Host: "broker", Port: 9092}}
	for i := range n {
		c := newCore(parts{id: i, cfg: &k.cfg, pool: k.pools[i], shard: k.shards[i], quorum: k.quorum,
			bound: bound, addrs: k.addrs})
		c.onFatal = func(err error) { panic(fmt.Sprint("latched: ", err)) }
		k.cores = append(k.cores, c)
	}
	link(k.cores)
	k.cores[0].limits.listeners = []int32{7}
	k.ins, k.outs = make([]Input, n), make([]Output, n)
	k.done, k.ops = make([][]netio.Completion, n), make([][]netio.Op, n)
	return nil
}

func (k *kernel) addrs(fd int32) (local, remote string) {
	s := k.socks[fd]
	if s.eof && k.rng.IntN(2) == 0 {
		return "127.0.0.1", ""
	}
	return "127.0.0.1", s.host
}

// connect lets core 0 accept a client.
func (k *kernel) connect(cl *stormClient) *sock {
	fd := k.nextFd
	if n := len(k.free); n > 0 {
		fd, k.free = k.free[n-1], k.free[:n-1]
	} else {
		k.nextFd++
	}
	s := &sock{fd: fd, client: cl, host: fmt.Sprintf("10.0.0.%d", k.rng.IntN(3))}
	k.socks[fd] = s
	k.done[0] = append(k.done[0], netio.Completion{
		Tag: netio.MakeTag(tagAccept, 0, 0), Res: fd, More: true,
	})
	return s
}

// step does one thing: a core's turn, an op, a job, or time goes on.
func (k *kernel) step() {
	switch k.rng.IntN(8) {
	case 0, 1, 2:
		if i := k.rng.IntN(len(k.cores)); i != k.frozen {
			k.turn(i)
		}
	case 3, 4, 5:
		core := k.rng.IntN(len(k.cores))
		if n := len(k.ops[core]); n > 0 {
			k.progress(core, k.rng.IntN(n))
		}
	case 6:
		if n := len(k.jobs); n > 0 {
			k.runJob(k.rng.IntN(n))
		}
	case 7:
		k.pass(clock.Instant(k.rng.IntN(3_000_000)))
	}
}

func (k *kernel) pass(d clock.Instant) {
	k.now.Mono += d
	k.now.Wall += int64(d / 1_000_000)
}

// settle runs everything until nothing happens any more, or says what does not end.
func (k *kernel) settle() error {
	for round, quiet := 0, 0; quiet < 4; round++ {
		busy := false
		for i := range k.cores {
			busy = k.turn(i) || busy
			for j := 0; j < len(k.ops[i]); {
				if k.progress(i, j) {
					busy = true
					continue
				}
				j++
			}
		}
		for len(k.jobs) > 0 {
			busy = true
			k.runJob(0)
		}
		k.pass(1_000_000)
		if quiet++; busy {
			quiet = 0
		}
		if round > 20_000 {
			return fmt.Errorf("the cores do not come to rest")
		}
	}
	return nil
}

// turn steps one core with some of its completions, in order.
func (k *kernel) turn(i int) (busy bool) {
	c, in, out := k.cores[i], &k.ins[i], &k.outs[i]
	n := len(k.done[i])
	if !k.calm && n > 0 {
		n = k.rng.IntN(n + 1)
	}
	in.Done = append(in.Done[:0], k.done[i][:n]...)
	k.done[i] = slices.Delete(k.done[i], 0, n)
	c.Gather(in)
	in.Now = k.now
	busy = n > 0 || len(in.Events) > 0
	if !k.calm && k.rng.IntN(8) == 0 { // as if taken while submitting
		c.keep(in.Done)
		in.Done = in.Done[:0]
	}
	c.Step(in, out)
	for j := range out.Ops {
		k.submit(i, &out.Ops[j])
	}
	for _, j := range out.Jobs {
		k.jobs = append(k.jobs, job{i, j})
	}
	return busy || len(out.Ops) > 0 || len(out.Jobs) > 0
}

func (k *kernel) runJob(i int) {
	j := k.jobs[i]
	k.jobs = slices.Delete(k.jobs, i, i+1)
	v := j.job.Run()
	k.cores[j.core].inbox.Post(func(c *Core) { j.job.Then(c, v) })
}

func (k *kernel) complete(core int, tag netio.Tag, res int) {
	k.done[core] = append(k.done[core], netio.Completion{Tag: tag, Res: int32(res)})
}

// submit starts an op. What the engine must not do panics here.
func (k *kernel) submit(core int, op *netio.Op) {
	switch op.Kind {
	case netio.OpWake:
	case netio.OpShutdown:
		k.sock(op.Fd).shut = true
	case netio.OpCancel:
		for j := range k.ops[core] {
			if o := k.ops[core][j]; o.Tag == op.Target {
				k.ops[core] = slices.Delete(k.ops[core], j, j+1)
				k.complete(core, o.Tag, -int(syscall.ECANCELED))
				return
			}
		}
	case netio.OpClose:
		if op.Fd == 7 {
			return
		}
		s := k.sock(op.Fd)
		for i := range k.ops {
			for _, o := range k.ops[i] {
				if o.Fd == op.Fd && !ofFile(o.Kind) {
					panic(fmt.Sprintf("closed with an op in flight: kind %d", o.Kind))
				}
			}
		}
		s.closed = true
		delete(k.socks, op.Fd)
		k.free = append(k.free, op.Fd)
	default:
		cp := *op
		cp.Vec = slices.Clone(op.Vec) // Submit copies it, too
		if op.Kind == netio.OpRecv || op.Kind == netio.OpSend || op.Kind == netio.OpPoll {
			k.sock(op.Fd)
		}
		for _, o := range k.ops[core] {
			if o.Tag == op.Tag {
				panic("two ops in flight with one tag")
			}
		}
		k.ops[core] = append(k.ops[core], cp)
	}
}

func (k *kernel) sock(fd int32) *sock {
	s := k.socks[fd]
	if s == nil {
		panic(fmt.Sprintf("op on descriptor %d, which is closed", fd))
	}
	return s
}

// progress tries to go on with an op in flight; true when it completed.
func (k *kernel) progress(core, j int) bool {
	op := &k.ops[core][j]
	res, ok := 0, true
	switch op.Kind {
	case netio.OpRecv, netio.OpPoll:
		res, ok = k.recv(op)
	case netio.OpSend:
		res, ok = k.send(op)
	default:
		if k.slow && !k.calm && k.rng.IntN(20) > 0 {
			return false
		}
		res = k.file(op)
	}
	if !ok {
		return false
	}
	tag := op.Tag
	k.ops[core] = slices.Delete(k.ops[core], j, j+1)
	k.complete(core, tag, res)
	return true
}

func (k *kernel) recv(op *netio.Op) (res int, ok bool) {
	s := k.sock(op.Fd)
	switch {
	case s.shut:
		return 0, true
	case len(s.in) == 0 && s.eof:
		if k.rng.IntN(2) == 0 {
			return -int(syscall.ECONNRESET), true
		}
		return 0, true
	case len(s.in) == 0:
		return 0, false
	case op.Kind == netio.OpPoll:
		return 1, true
	case op.Flags&netio.WaitAll != 0 && len(s.in) < len(op.Mem) && !s.eof:
		return 0, false
	}
	n := min(len(s.in), len(op.Mem))
	if op.Flags&netio.WaitAll == 0 && !k.calm {
		switch k.rng.IntN(10) {
		case 0:
			n = 1
		case 1, 2, 3:
			n = 1 + k.rng.IntN(n)
		}
	}
	copy(op.Mem, s.in[:n])
	s.in = s.in[n:]
	return n, true
}

func (k *kernel) send(op *netio.Op) (res int, ok bool) {
	s := k.sock(op.Fd)
	if s.shut || s.eof {
		return -int(syscall.EPIPE), true
	}
	if !k.calm && s.client.deaf {
		return 0, false
	}
	total := 0
	for _, v := range op.Vec {
		total += int(v.Len)
	}
	if total == 0 {
		panic("empty send")
	}
	n := total
	if !k.calm && k.rng.IntN(4) == 0 {
		n = 1 + k.rng.IntN(total)
	}
	left := n
	for _, v := range op.Vec {
		m := min(left, int(v.Len))
		s.got = append(s.got, unsafeBytes(netio.Vec{Base: v.Base, Len: uint64(m)})...)
		left -= m
	}
	s.client.take()
	return n, true
}

func (k *kernel) file(op *netio.Op) int {
	var n int
	var err error
	switch op.Kind {
	case netio.OpWrite:
		mem := op.Mem
		for _, v := range op.Vec {
			mem = append(mem[:len(mem):len(mem)], unsafeBytes(v)...)
		}
		n, err = k.fs.WriteFd(op.Fd, mem, op.Off, op.Flags&netio.Dsync != 0)
	case netio.OpRead:
		n, err = k.fs.ReadFd(op.Fd, op.Mem, op.Off)
		if n > 0 || err != nil && strings.Contains(err.Error(), "EOF") {
			err = nil
		}
	case netio.OpSync:
		err = k.fs.SyncFd(op.Fd)
	default:
		panic(fmt.Sprintf("op kind %d", op.Kind))
	}
	if err != nil {
		panic(fmt.Sprint("file op: ", err))
	}
	return n
}

// ofFile: the op's Fd is a file's number, which a socket may have too.
func ofFile(k netio.Kind) bool {
	return k == netio.OpRead || k == netio.OpWrite || k == netio.OpSync
}
