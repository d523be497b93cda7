package engine

import (
	"encoding/binary"
	"log/slog"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/internal/arena"
	"millrace/internal/clock"
	"millrace/internal/vfs"
	"millrace/netio"
	"millrace/protocol"
	"millrace/protocol/batch"
	"millrace/raftmeta"
	"millrace/segment"
)

// rig drives cores without threads, clock or kernel: the test is the driver.
type rig struct {
	t      testing.TB
	fs     *vfs.Mem
	cores  []*Core
	quorum *raftmeta.Local
	now    clock.Now
	ins    []Input
	outs   []Output
	done   [][]netio.Completion
	ends   map[int32]*end
	nextFd int32
	held   bool // journal writes do not complete
	unread bool // nor do reads
	parked [][]netio.Op

	measure bool
	mallocs uint64
}

// end is the test's side of one connection.
type end struct {
	core int
	recv *netio.Op // the receive that waits
	in   []byte    // written, not yet received
	got  []byte    // sent by the core
	shut bool
}

// newRig has as many journals as cores, or as is said.
func newRig(t testing.TB, cores int, journals ...int) *rig {
	r := &rig{t: t, fs: vfs.NewMem(1), ends: make(map[int32]*end), nextFd: 1000}
	r.now = clock.Now{Mono: 1_000_000, Wall: 1_700_000_000_000}
	cfg := Defaults()
	cfg.Journals = append(journals, cores)[0]
	cfg.Cores, cfg.FS, cfg.DataDir, cfg.Log = cores, r.fs, "/data", slog.New(slog.DiscardHandler)
	cfg.MemoryBytes, cfg.CacheBytes = int64(cores)*256<<20, int64(cores)*32<<20
	cfg.JournalFile, cfg.JournalMaxBytes, cfg.Seed = 8<<20, int64(cores)*32<<20, 7
	r.quorum = raftmeta.NewLocal(raftmeta.Empty(), func(img *raftmeta.Image) {
		for _, c := range r.cores {
			c.inbox.Post(func(c *Core) { c.install(img) })
		}
	})
	var pools []*arena.Pool
	for range cores {
		pools = append(pools, arena.New(256<<20))
	}
	shards, _, err := segment.Open(segment.Options{
		FS: r.fs, Dir: "/data", Pools: pools[:cfg.Journals], JournalFile: cfg.JournalFile, CacheBytes: 32 << 20,
		JournalMax: 32 << 20, Log: cfg.Log, Now: func() clock.Now { return r.now },
	}, cfg.Journals, segment.Known{})
	if err != nil {
		t.Fatal(err)
	}
	r.quorum.Propose(raftmeta.RegisterBroker{ID: cfg.NodeID, Endpoints: []raftmeta.Endpoint{
		{Listener: "PLAINTEXT", Host: "broker", Port: 9092},
	}}, func(_ raftmeta.Outcome, err error) {
		if err != nil {
			t.Fatal(err)
		}
	})
	bound := []Listener{{Name: "PLAINTEXT", Host: "broker", Port: 9092}}
	for i := range cores {
		p := parts{id: i, cfg: &cfg, pool: pools[i], quorum: r.quorum,
			bound: bound, addrs: func(int32) (string, string) { return "127.0.0.1", "127.0.0.1" }}
		if i < len(shards) {
			p.shard = shards[i]
		}
		c := newCore(p)
		c.onFatal = func(err error) { t.Fatal(err) }
		r.cores = append(r.cores, c)
	}
	link(r.cores)
	r.ins, r.outs = make([]Input, cores), make([]Output, cores)
	r.done, r.parked = make([][]netio.Completion, cores), make([][]netio.Op, cores)
	return r
}

// connect makes a connection on a core.
func (r *rig) connect(core int) int32 {
	r.nextFd++
	fd := r.nextFd
	r.ends[fd] = &end{core: core}
	r.cores[core].inbox.Post(func(c *Core) { c.open.Add(1); c.adopt(fd, 0, "127.0.0.1") })
	r.run()
	return fd
}

// run turns every core until nothing happens any more.
func (r *rig) run() {
	for quiet := 0; quiet < 3; {
		quiet++
		for i := range r.cores {
			if r.turn(i) {
				quiet = 0
			}
		}
	}
}

func (r *rig) turn(i int) (busy bool) {
	c, in, out := r.cores[i], &r.ins[i], &r.outs[i]
	in.Now = r.now
	in.Done = append(in.Done[:0], r.done[i]...)
	r.done[i] = r.done[i][:0]
	c.Gather(in)
	busy = len(in.Done) > 0 || len(in.Events) > 0
	r.counted(func() { c.Step(in, out) })
	for j := range out.Ops {
		r.do(i, &out.Ops[j])
	}
	for _, job := range out.Jobs {
		v := job.Run()
		c.inbox.Post(func(c *Core) { job.Then(c, v) })
	}
	return busy || len(out.Ops) > 0 || len(out.Jobs) > 0
}

func (r *rig) complete(core int, tag netio.Tag, res int) {
	r.done[core] = append(r.done[core], netio.Completion{Tag: tag, Res: int32(res)})
}

func (r *rig) do(core int, op *netio.Op) {
	switch op.Kind {
	case netio.OpRecv, netio.OpPoll:
		e := r.ends[op.Fd]
		cp := *op
		e.recv = &cp
		r.feed(op.Fd)
	case netio.OpSend:
		n := 0
		e := r.ends[op.Fd]
		for _, v := range op.Vec {
			e.got = append(e.got, unsafeBytes(v)...)
			n += int(v.Len)
		}
		r.complete(core, op.Tag, n)
	case netio.OpWrite, netio.OpRead, netio.OpSync:
		if r.held && op.Kind == netio.OpWrite || r.unread && op.Kind == netio.OpRead {
			r.parked[core] = append(r.parked[core], *op)
			return
		}
		r.file(core, op)
	case netio.OpShutdown:
		e := r.ends[op.Fd]
		e.shut = true
		r.feed(op.Fd)
	case netio.OpCancel:
		for _, e := range r.ends {
			if e.core == core && e.recv != nil && e.recv.Tag == op.Target {
				e.recv = nil
				r.complete(core, op.Target, -int(syscall.ECANCELED))
			}
		}
	}
}

func (r *rig) file(core int, op *netio.Op) {
	var n int
	var err error
	switch op.Kind {
	case netio.OpWrite:
		mem := op.Mem
		for _, v := range op.Vec {
			mem = append(mem[:len(mem):len(mem)], unsafeBytes(v)...)
		}
		n, err = r.fs.WriteFd(op.Fd, mem, op.Off, op.Flags&netio.Dsync != 0)
	case netio.OpRead:
		n, err = r.fs.ReadFd(op.Fd, op.Mem, op.Off)
		if n > 0 || err != nil && err.Error() == "EOF" {
			err = nil
		}
	case netio.OpSync:
		err = r.fs.SyncFd(op.Fd)
	}
	if err != nil {
		r.t.Fatalf("file op: %v", err)
	}
	r.complete(core, op.Tag, n)
}

// release lets parked journal writes, and reads, complete.
func (r *rig) release() {
	r.held, r.unread = false, false
	for i := range r.parked {
		for j := range r.parked[i] {
			r.file(i, &r.parked[i][j])
		}
		r.parked[i] = r.parked[i][:0]
	}
	r.run()
}

func (r *rig) feed(fd int32) {
	e := r.ends[fd]
	if e.recv == nil {
		return
	}
	op := e.recv
	switch {
	case e.shut:
		e.recv = nil
		r.complete(e.core, op.Tag, 0)
	case len(e.in) == 0:
	case op.Kind == netio.OpPoll:
		e.recv = nil
		r.complete(e.core, op.Tag, 1)
	case op.Flags&netio.WaitAll != 0 && len(e.in) < len(op.Mem):
	default:
		n := copy(op.Mem, e.in)
		e.in = e.in[:copy(e.in, e.in[n:])]
		e.recv = nil
		r.complete(e.core, op.Tag, n)
	}
}

// write sends bytes as a client.
func (r *rig) write(fd int32, b []byte) {
	e := r.ends[fd]
	e.in = append(e.in, b...)
	r.feed(fd)
	r.run()
}

var formatter = kmsg.NewRequestFormatter(kmsg.FormatterClientID("rig"))

// ask sends a request and decodes the answer, which must have come.
func (r *rig) ask(fd int32, req kmsg.Request) kmsg.Response {
	r.t.Helper()
	r.write(fd, formatter.AppendRequest(nil, req, 42))
	return r.answer(fd, req)
}

func (r *rig) answer(fd int32, req kmsg.Request) kmsg.Response {
	r.t.Helper()
	e := r.ends[fd]
	if len(e.got) < 8 {
		r.t.Fatalf("no answer to %s v%d", protocol.Key(req.Key()), req.GetVersion())
	}
	size := int(binary.BigEndian.Uint32(e.got))
	body := append([]byte(nil), e.got[8:4+size]...)
	e.got = e.got[:copy(e.got, e.got[4+size:])]
	resp := req.ResponseKind()
	if protocol.Key(req.Key()).ResponseHeader(req.GetVersion()) >= 1 {
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		r.t.Fatalf("answer to %s v%d: %v", protocol.Key(req.Key()), req.GetVersion(), err)
	}
	return resp
}

// create makes a topic.
func (r *rig) create(name string, parts int32) protocol.TopicID {
	r.t.Helper()
	topic := newTopic(r.cores[0], name, parts, nil)
	r.quorum.Propose(raftmeta.CreateTopics{Topics: []raftmeta.NewTopic{topic}},
		func(o raftmeta.Outcome, err error) {
			if err != nil || o.Code() != protocol.None {
				r.t.Fatal(err, o)
			}
		})
	r.run()
	return topic.ID
}

// records is one batch of n records.
func records(n int, value string) []byte {
	var b batch.Builder
	b.Reset(batch.Options{})
	for range n {
		b.Add(1_700_000_000_000, []byte("key"), []byte(value), nil)
	}
	v, err := b.Finish()
	if err != nil {
		panic(err)
	}
	return append([]byte(nil), v...)
}

func produceRequest(topic string, part int32, recs []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 9, -1, 30000
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Partition, rp.Records = part, recs
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

func fetchRequest(topic string, part int32, offset int64, wait int32) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 12, wait, 1, 1<<20
	req.SessionEpoch = -1
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes, rp.CurrentLeaderEpoch = part, offset, 1<<20, -1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

// produced is the answer's only partition.
func produced(t testing.TB, resp kmsg.Response) kmsg.ProduceResponseTopicPartition {
	t.Helper()
	p := resp.(*kmsg.ProduceResponse)
	if len(p.Topics) != 1 || len(p.Topics[0].Partitions) != 1 {
		t.Fatalf("want one partition: %+v", p)
	}
	return p.Topics[0].Partitions[0]
}
