package segment

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"syscall"
	"testing"

	"millrace/internal/arena"
	"millrace/internal/clock"
	"millrace/internal/vfs"
	"millrace/protocol"
	"millrace/protocol/batch"
	"millrace/segment/producer"
)

// rig drives shards over the file system in memory: what they want done waits in a
// list and is done in an order that the seed chooses.
type rig struct {
	t       testing.TB
	rng     *rand.Rand
	fs      *vfs.Mem
	use     vfs.FS
	o       Options
	cores   int
	budget  int64
	known   Known
	pools   []*arena.Pool
	shards  []*Shard
	rep     Report
	waiting []effect
	now     clock.Now
	results map[int]map[uint32]Result
	short   bool // writes may be short
	failIO  func(io IO) int32
}

type effect struct {
	core int
	io   *IO
	job  *Job
}

func newRig(t testing.TB, seed uint64) *rig {
	fs := vfs.NewMem(seed)
	return &rig{
		t: t, rng: rand.New(rand.NewPCG(seed, 7)), fs: fs, use: fs, cores: 1,
		budget: 64 << 20,
		now:    clock.Now{Mono: 1e9, Wall: 1_700_000_000_000},
		o: Options{Dir: "/data", JournalFile: 128 << 10, JournalMax: 1 << 20,
			CacheBytes: 1 << 20, Directory: [16]byte{1, 2, 3},
			PlaceMin: []int{0, 5000, 900}[seed%3],
			Also:     [][]string{nil, {"/more"}, {"/more", "/third"}}[seed/3%3]},
	}
}

// openErr opens the directory with what the rig's options say.
func (r *rig) openErr() error {
	o := r.o
	o.FS = r.use
	o.Now = func() clock.Now { return r.now }
	o.Log = slog.New(slog.NewTextHandler(r.t.Output(), nil))
	r.pools = nil
	for range r.cores {
		p := arena.New(r.budget)
		p.Poison = true
		r.pools = append(r.pools, p)
	}
	o.Pools = r.pools
	r.waiting = nil
	r.results = map[int]map[uint32]Result{}
	var err error
	r.shards, r.rep, err = Open(o, r.cores, r.known)
	return err
}

func (r *rig) open() {
	r.t.Helper()
	if err := r.openErr(); err != nil {
		r.t.Fatalf("open: %v", err)
	}
}

// turn runs every shard once.
func (r *rig) turn() {
	r.now.Mono += 1000_000
	r.now.Wall++
	for i, s := range r.shards {
		var out Effects
		s.Turn(r.now, &out)
		for k := range out.IO {
			r.waiting = append(r.waiting, effect{core: i, io: &out.IO[k]})
		}
		for k := range out.Jobs {
			r.waiting = append(r.waiting, effect{core: i, job: &out.Jobs[k]})
		}
		for _, res := range s.Results() {
			if r.results[i] == nil {
				r.results[i] = map[uint32]Result{}
			}
			res.Extents = append([]Extent(nil), res.Extents...)
			r.results[i][res.ID] = res
		}
		s.Advanced()
	}
}

// perform does up to n of the waiting effects, in random order.
func (r *rig) perform(n int) {
	for ; n > 0 && len(r.waiting) > 0; n-- {
		k := r.rng.IntN(len(r.waiting))
		e := r.waiting[k]
		r.waiting = append(r.waiting[:k], r.waiting[k+1:]...)
		s := r.shards[e.core]
		if e.job != nil {
			s.JobDone(e.job.ID, e.job.Run())
			continue
		}
		s.IODone(e.io.ID, r.do(e.io))
	}
}

func (r *rig) do(io *IO) int32 {
	if r.failIO != nil {
		if res := r.failIO(*io); res != 0 {
			return res
		}
	}
	var n int
	var err error
	mem := whole(io)
	switch io.Kind {
	case IORead:
		n, err = r.fs.ReadFd(io.Fd, mem, io.Off)
	case IOWrite:
		if r.short && len(mem) > 4096 && r.rng.IntN(4) == 0 {
			mem = mem[:4096*(1+r.rng.IntN(len(mem)/4096))]
		}
		n, err = r.fs.WriteFd(io.Fd, mem, io.Off, io.Dsync)
	case IOSync:
		err = r.fs.SyncFd(io.Fd)
	}
	if err != nil {
		if no, ok := err.(syscall.Errno); ok {
			return -int32(no)
		}
		return -int32(syscall.EIO)
	}
	return int32(n)
}

// whole is what a write would leave, in one piece.
func whole(io *IO) []byte {
	if len(io.Vec) == 0 {
		return io.Mem
	}
	return bytes.Join(io.Vec, nil)
}

// settle turns until nothing is in flight and nothing is wanted.
func (r *rig) settle() {
	r.t.Helper()
	for range 100_000 {
		r.turn()
		if len(r.waiting) == 0 && !r.anyBusy() {
			return
		}
		r.perform(len(r.waiting))
	}
	r.dump()
	r.t.Fatal("the shards never come to rest")
}

func (r *rig) anyBusy() bool {
	for _, s := range r.shards {
		if s.Next() <= r.now.Mono || len(s.rd.queue)+len(s.rm.queue) > 0 {
			return true
		}
	}
	return false
}

// dump logs what the shards wait for.
func (r *rig) dump() {
	for _, s := range r.shards {
		for _, l := range s.list {
			if l == nil || !l.swept {
				continue
			}
			r.t.Logf("%s-%d waits for %d: flushed %d goal %d end %d in queue %v", l.Topic,
				l.TP.Partition, l.sweepGoal, l.flushedAbs, l.goalAbs, l.tail.end, l.inFlush)
			for _, c := range l.tail.live() {
				r.t.Logf("chunk of %d at %d: %d of %d flushed %d flying %d; sealed %v gone %v preparing %v",
					c.seg.base, c.abs, c.n, len(c.mem), c.flushed, c.flying, c.seg.sealed,
					c.seg.gone, c.seg.preparing)
			}
		}
		r.t.Logf("sweep %+v err %v waiting %d next %d now %d commits %d", s.sw.state, s.err, len(r.waiting), s.Next(), r.now.Mono, s.st.commits)
		r.t.Logf("waiting %d, used %d free %d making %v, cur %v, flush queue %d flying %d full %v",
			s.sw.waiting, len(s.j.used), len(s.j.free), s.j.mk.on, s.j.cur != nil,
			len(s.fl.queue)-s.fl.head, s.fl.flying, s.full)
		r.t.Logf("flying %v entries %d queue %d keep %v reads %d", s.st.flying != nil,
			s.st.gather.entries, len(s.st.queue)-s.st.qhead, s.keep.running, len(s.rd.queue))
	}
}

// stop is a clean stop.
func (r *rig) stop() {
	r.t.Helper()
	r.settle()
	for _, s := range r.shards {
		s.Drain()
	}
	for range 100_000 {
		r.turn()
		r.perform(len(r.waiting))
		done := true
		for _, s := range r.shards {
			if s.Err() != nil {
				r.t.Fatalf("drain: %v", s.Err())
			}
			done = done && s.Drained()
		}
		if done {
			r.close()
			return
		}
	}
	r.dump()
	r.t.Fatal("drain never ends")
}

func (r *rig) close() {
	r.t.Helper()
	for _, m := range r.results {
		for _, res := range m {
			if len(res.Extents) > 0 {
				r.t.Fatal("a result was not taken")
			}
		}
	}
	if err := Close(r.shards); err != nil {
		r.t.Fatalf("close: %v", err)
	}
	for i, p := range r.pools {
		if p.Held() != 0 {
			r.t.Fatalf("core %d: %d bytes are still held", i, p.Held())
		}
	}
}

// crash is a power loss: of the writes in flight some sectors may be there. kill is
// the death of the process only.
func (r *rig) crash(power bool) {
	for _, e := range r.waiting {
		if e.io == nil {
			if e.job != nil && r.rng.IntN(2) == 0 {
				e.job.Run() // it had begun: the file system decides what is left of it
			}
			continue
		}
		if e.io.Kind != IOWrite {
			continue
		}
		mem := whole(e.io)
		switch r.rng.IntN(3) {
		case 0:
			continue
		case 1:
			if !power {
				mem = mem[:4096*r.rng.IntN(len(mem)/4096+1)]
			}
		}
		if len(mem) > 0 {
			_, _ = r.fs.WriteFd(e.io.Fd, mem, e.io.Off, false)
		}
	}
	r.waiting = nil
	if power {
		r.fs.Crash()
	} else {
		r.fs.Kill()
	}
}

func (r *rig) shardOf(tp protocol.TopicPartition) *Shard { return r.shards[CoreOf(tp, r.cores)] }

func (r *rig) log(tp protocol.TopicPartition) *Log {
	r.t.Helper()
	for _, s := range r.shards {
		if l := s.Find(tp); l != nil {
			return l
		}
	}
	r.t.Fatalf("no log %v", tp)
	return nil
}

func topicID(n byte) protocol.TopicID { return protocol.TopicID{15: n, 0: 9} }

func (r *rig) topic(n byte, partitions int32, cfg LogConfig) {
	r.known.Topics = append(r.known.Topics, KnownTopic{
		ID: topicID(n), Name: fmt.Sprintf("t%d", n), Partitions: partitions, Config: cfg,
	})
}

// makeBatch builds a batch of records with values of size bytes.
func makeBatch(t testing.TB, count, size int, ts int64, fill uint64) batch.View {
	t.Helper()
	return makeProducerBatch(t, count, size, ts, fill, -1, 0, 0)
}

func makeProducerBatch(t testing.TB, count, size int, ts int64, fill uint64, pid int64,
	epoch int16, seq int32) batch.View {
	t.Helper()
	var b batch.Builder
	b.Reset(batch.Options{Idempotent: pid >= 0, ProducerID: pid, ProducerEpoch: epoch,
		BaseSequence: seq})
	value := make([]byte, size)
	rng := rand.New(rand.NewPCG(fill, 1))
	for i := range count {
		for k := 0; k+8 <= len(value); k += 8 {
			binary.LittleEndian.PutUint64(value[k:], rng.Uint64())
		}
		b.Add(ts+int64(i), nil, value, nil)
	}
	v, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(v)
}

// readAll reads [from, to) through Locate and Read, as the engine would.
func (r *rig) readAll(l *Log, from, to int64, max int) []byte {
	r.t.Helper()
	s := l.shard
	var all []byte
	for from < to {
		exts, where := l.Locate(from, to, max, true, nil)
		var got []byte
		switch where {
		case InMemory:
			for _, e := range exts {
				got = append(got, e.Mem...)
				s.pool.Release(e.Buf)
			}
		case Cold:
			res := r.await(s, s.Read(l, from, to, max))
			if res.Code != protocol.None {
				r.t.Fatalf("cold read of %d: %v", from, res.Code)
			}
			got = append(got, r.take(s, res)...)
		default:
			r.t.Fatalf("locate %d in [%d, %d): %d", from, l.marks.Start, l.marks.End, where)
		}
		if len(got) == 0 {
			r.t.Fatalf("nothing at %d of [%d, %d), %d", from, l.marks.Start, to, where)
		}
		for b := got; len(b) > 0; {
			v, rest, err := batch.Next(b)
			if err != nil || !v.CheckCRC() {
				r.t.Fatalf("at %d: %v", from, err)
			}
			from, b = v.NextOffset(), rest
		}
		all = append(all, got...)
	}
	return all
}

// take copies what a cold read brought and gives its memory back.
func (r *rig) take(s *Shard, res Result) (got []byte) {
	for _, e := range res.Extents {
		got = append(got, e.Mem...)
		s.pool.Release(e.Buf)
	}
	return got
}

// await turns until the answer is there.
func (r *rig) await(s *Shard, id uint32) Result {
	r.t.Helper()
	for range 10_000 {
		r.turn()
		if res, ok := r.results[s.core][id]; ok {
			delete(r.results[s.core], id)
			return res
		}
		r.perform(len(r.waiting))
	}
	r.t.Fatal("no answer")
	return Result{}
}

// producersOf is the state in a form that can be compared.
func producersOf(l *Log) string {
	out := ""
	l.producers.Each(func(i producer.Info) { out += fmt.Sprintf("%d/%d/%d ", i.PID, i.Epoch, i.LastSeq) })
	return out
}
