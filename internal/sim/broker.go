package sim

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"syscall"
	"time"

	"millrace/engine"
	"millrace/internal/clock"
	"millrace/internal/vfs"
	"millrace/netio"
	"millrace/protocol"
	"millrace/raftmeta"
)

// Broker is one seeded run of a whole broker: clients produce, fetch, commit and
// create over the simulated network in real protocol bytes, while it crashes, is
// killed and stops.
type Broker struct {
	Seed uint64

	// LieAboutSync is a mutant: the disk says durable and is not.
	LieAboutSync bool
}

// BrokerStats says what a run did.
type BrokerStats struct {
	Trace                                      uint64
	Produced, Acked, Resent, Consumed, Commits int
	Topics, Connections, Garbage, Assigned     int
	Crashes, Kills, Stops, Cuts, Faults, Full  int
}

// RunBroker runs one seed. An error names the rule that was broken.
func RunBroker(o Broker) (stats BrokerStats, err error) {
	b := newBrokerRun(o)
	defer func() {
		stats = b.stats
		stats.Trace = b.w.Trace()
		if r := recover(); r != nil {
			if text, ok := r.(broken); ok {
				err = fmt.Errorf("seed %d, life %d: %s", o.Seed, b.life, string(text))
				return
			}
			err = fmt.Errorf("seed %d, life %d: panic: %v\n%s", o.Seed, b.life, r, debug.Stack())
		}
	}()
	lives := 2 + b.rng.IntN(3)
	for b.life = 1; b.life <= lives; b.life++ {
		b.open()
		b.live()
	}
	b.open()
	b.finish()
	return stats, nil
}

// brokerRun is the world of a broker run.
type brokerRun struct {
	o     Broker
	w     *World
	rng   *rand.Rand
	life  int
	stats BrokerStats

	image  *raftmeta.Image // what was agreed, over all lives
	ids    uint64          // topic ids given
	broker *engine.Stepped
	quorum *quorum
	cores  []*Core
	cfg    engine.Config
	lfd    int32
	links  []*link
	ending bool // clients begin nothing new
	tight  bool // the disk was nearly full in this life
	fs     *vfs.Faults
	fault  *vfs.Rule // ordered in this life

	topics    []*dataTopic
	producers []*simProducer
	consumers []*simConsumer
	others    []*simOther
	churns    []*simChurn
	members   []*simMember
}

// dataTopic is a topic whose records are followed. It is never deleted.
type dataTopic struct {
	name  string
	id    protocol.TopicID
	parts []*dataPart
}

// dataPart is what clients know of one partition.
type dataPart struct {
	topic   *dataTopic
	index   int32
	records map[int64]string // by offset, once acknowledged or consumed
	place   map[string]int64 // where each was seen
	end     int64            // one behind the largest offset known
}

func (b *brokerRun) fail(format string, args ...any) { panic(broken(fmt.Sprintf(format, args...))) }

func (b *brokerRun) check(ok bool, format string, args ...any) {
	if !ok {
		b.fail(format, args...)
	}
}

func newBrokerRun(o Broker) *brokerRun {
	w := New(o.Seed)
	b := &brokerRun{o: o, w: w, rng: w.Rand(), fs: vfs.Faulty(w.Disk)}
	b.fs.Sleep = func(time.Duration) {}
	if err := w.Disk.MkdirAll(dataDir); err != nil {
		panic(err)
	}
	if err := w.Disk.SyncDir("/"); err != nil {
		panic(err)
	}
	b.found()
	for i := range 1 + b.rng.IntN(3) {
		b.producers = append(b.producers, newProducer(b, i))
	}
	for i := range 1 + b.rng.IntN(3) {
		b.consumers = append(b.consumers, newConsumer(b, i))
	}
	for range b.rng.IntN(3) {
		b.others = append(b.others, newOther(b))
	}
	for i := range b.rng.IntN(3) {
		b.churns = append(b.churns, newChurn(b, i))
	}
	g := newGroup(b)
	for range b.rng.IntN(4) {
		b.members = append(b.members, newMember(b, g))
	}
	return b
}

// found agrees on the cluster and its topics, and writes the identity of the data
// directory: all that would else be drawn from the system's chance.
func (b *brokerRun) found() {
	q := raftmeta.NewLocal(raftmeta.Empty(), nil)
	propose := func(cmd raftmeta.Command) {
		q.Propose(cmd, func(out raftmeta.Outcome, err error) {
			b.check(err == nil && out.Code() == protocol.None, "founding: %v %v", out, err)
		})
	}
	propose(raftmeta.InitCluster{ClusterID: "simulated-cluster-id-1"})
	propose(raftmeta.RegisterBroker{ID: 1, Endpoints: []raftmeta.Endpoint{
		{Listener: "PLAINTEXT", Host: "broker", Port: 9092}}})
	create := func(name string, parts int) protocol.TopicID {
		t := raftmeta.NewTopic{ID: b.newID(), Name: name}
		for range parts {
			t.Replicas = append(t.Replicas, []protocol.NodeID{1})
		}
		propose(raftmeta.CreateTopics{Topics: []raftmeta.NewTopic{t}})
		return t.ID
	}
	for i := range 1 + b.rng.IntN(2) {
		t := &dataTopic{name: fmt.Sprintf("data-%d", i)}
		n := 1 + b.rng.IntN(4)
		t.id = create(t.name, n)
		for p := range n {
			t.parts = append(t.parts, &dataPart{topic: t, index: int32(p),
				records: map[int64]string{}, place: map[string]int64{}})
		}
		b.topics = append(b.topics, t)
	}
	create("__consumer_offsets", 4)
	b.image = q.Image()
	var dir protocol.TopicID
	dir[0] = 7
	text := "version=1\ncluster.id=simulated-cluster-id-1\nnode.id=1\ndirectory.id=" + dir.String() + "\n"
	if err := b.w.Disk.WriteFile(dataDir+"/meta.properties", []byte(text)); err != nil {
		panic(err)
	}
}

func (b *brokerRun) newID() (id protocol.TopicID) {
	b.ids++
	binary.BigEndian.PutUint64(id[:], b.ids)
	binary.BigEndian.PutUint64(id[8:], b.rng.Uint64())
	return id
}

func (b *brokerRun) config() engine.Config {
	cfg := engine.Defaults()
	cfg.Cores = 1 + b.rng.IntN(3)
	cfg.DataDir, cfg.FS, cfg.Clock = dataDir, b.fs, b.w
	cfg.Log = slog.New(slog.DiscardHandler)
	cfg.Seed = b.rng.Uint64() | 1
	cfg.MemoryBytes = int64(cfg.Cores) * (48 << 20)
	cfg.CacheBytes = int64(cfg.Cores) * (1 << 20)
	cfg.JournalFile = int64(64<<10) << b.rng.IntN(4)
	cfg.JournalMaxBytes = int64(cfg.Cores) * cfg.JournalFile * 8
	cfg.OffsetsPartitions = 4
	cfg.Groups.InitialRebalanceDelayMs = 0
	return cfg
}

// open starts a life, perhaps with the power failing in it.
func (b *brokerRun) open() {
	cut := b.rng.IntN(4) == 0
	for {
		b.cfg = b.config()
		b.lfd = b.w.Net.Listen()
		b.quorum = &quorum{b: b, now: true}
		if cut {
			b.w.Disk.PowerOffAfter(int64(b.rng.IntN(80)))
		}
		bound := []engine.Listener{{Name: "PLAINTEXT", Bind: "broker:9092", Host: "broker", Port: 9092}}
		broker, err := engine.Assemble(b.cfg, b.quorum.open, engine.Seams{
			Bound: bound, Fds: []int32{b.lfd},
			Wake: func(core int) {
				if core < len(b.cores) {
					b.cores[core].wake()
				}
			},
			Addrs: func(int32) (string, string) { return "127.0.0.1", "127.0.0.1" },
		})
		if err == nil && !b.w.Disk.Off() {
			b.w.Disk.PowerOffAfter(1 << 40)
			b.broker = broker
			break
		}
		b.check(b.w.Disk.Off(), "start fails: %v", err)
		b.stats.Cuts++
		b.crash(true)
		cut = false
	}
	for i, p := range b.broker.Pools() {
		p.Poison = true
		b.addCore(b.broker.Cores()[i])
	}
	b.quorum.now = false
}

// addCore drives one of the engine's cores as its driver would.
func (b *brokerRun) addCore(c *engine.Core) {
	var in engine.Input
	var out engine.Output
	var jobs []Job
	core := b.w.AddCore(func(now clock.Now, done []netio.Completion) ([]netio.Op, []Job, clock.Instant) {
		c.Gather(&in)
		in.Now, in.Done = now, done
		c.Step(&in, &out)
		jobs = jobs[:0]
		for _, j := range out.Jobs {
			jobs = append(jobs, Job{Run: j.Run, Done: func(v any) { c.JobDone(j, v) }})
		}
		return out.Ops, jobs, out.Next
	})
	core.ring.LieAboutSync = b.o.LieAboutSync
	core.ring.Files = b.fs
	b.cores = append(b.cores, core)
}

// run lets events happen until stop says so; false: the power failed or limit events
// were not enough.
func (b *brokerRun) run(limit int, stop func() bool) bool {
	over := func() bool { return b.w.Disk.Off() || b.broker.Err() != nil }
	ok := b.w.RunUntil(limit, func() bool { return over() || stop() })
	if err := b.broker.Err(); err != nil && !b.w.Disk.Off() {
		b.check(b.fault != nil && b.fs.Hits(b.fault) > 0, "the broker leaves: %v", err)
	}
	return ok && !over()
}

func never() bool { return false }

// live works for a while and ends in one of several ways.
func (b *brokerRun) live() {
	events := 500 + b.rng.IntN(6000)
	if b.rng.IntN(5) == 0 {
		b.squeeze()
	}
	switch b.rng.IntN(6) {
	case 0:
		b.run(events, never)
		b.crash(true)
	case 1:
		b.run(events, never)
		b.crash(false)
	case 2, 3:
		b.w.Disk.PowerOffAfter(int64(b.rng.IntN(2500)))
		b.run(4*events, never)
		b.crash(true)
	case 4:
		b.breakDisk()
		b.run(events, never)
		b.stats.Faults += min(1, b.fs.Hits(b.fault))
		b.crash(b.rng.IntN(2) == 0)
	default:
		b.run(events, never)
		b.w.Disk.SetCapacity(0)
		b.stop()
		b.crash(b.rng.IntN(2) == 0)
	}
}

// breakDisk orders an I/O error at one place. The broker leaves when it meets it.
func (b *brokerRun) breakDisk() {
	rules := []vfs.Rule{
		{Calls: vfs.CallWrite, Name: "journal"},
		{Calls: vfs.CallSync, Name: "journal"},
		{Calls: vfs.CallWrite, Name: ".log"},
		{Calls: vfs.CallSync | vfs.CallSyncFS},
		{Calls: vfs.CallRename | vfs.CallSyncDir},
	}
	r := rules[b.rng.IntN(len(rules))]
	r.Err, r.Skip = syscall.EIO, b.rng.IntN(60)
	b.fault = &r
	b.fs.Add(b.fault)
}

// squeeze leaves little room on the disk for a while.
func (b *brokerRun) squeeze() {
	b.tight = true
	b.w.Disk.SetCapacity(b.w.Disk.Used() + int64(b.rng.IntN(2<<20)))
	b.w.After(time.Duration(b.rng.IntN(200))*time.Millisecond, func() { b.w.Disk.SetCapacity(0) })
}

// crash ends a life. What was agreed stays; what was only proposed is not agreed.
func (b *brokerRun) crash(power bool) {
	if power {
		b.stats.Crashes++
	} else {
		b.stats.Kills++
	}
	b.cores = nil
	b.w.Crash(power)
	if b.broker != nil {
		for _, p := range b.broker.Pools() {
			p.Abandon()
		}
	}
	b.broker, b.fault, b.tight = nil, nil, false
	b.fs.Clear()
	b.w.Disk.SetCapacity(0)
	for _, l := range b.links {
		l.reset()
	}
}

// stop is SIGTERM: requests in flight are answered, everything is flushed.
func (b *brokerRun) stop() {
	b.broker.Stop()
	ended := func() bool {
		for _, c := range b.broker.Cores() {
			if !c.Ended() {
				return false
			}
		}
		return true
	}
	b.check(b.run(500_000, ended), "a stop takes for ever")
	b.stats.Stops++
	b.run(2000, never) // letters between the cores arrive: a process would just end
	err := b.broker.Close()
	b.check(err == nil, "close: %v", err)
	for i, p := range b.broker.Pools() {
		b.check(p.Held() == 0, "core %d holds %d bytes after a clean stop", i, p.Held())
	}
	b.check(b.w.Net.Open() == 0, "%d sockets are open after a clean stop", b.w.Net.Open())
}

// finish lets every client come to its end, reads everything once more and compares.
func (b *brokerRun) finish() {
	b.ending = true
	settled := func() bool {
		for _, p := range b.producers {
			if len(p.queue) > 0 {
				return false
			}
		}
		return true
	}
	b.check(b.run(2_000_000, settled), "producers wait for ever: %s", b.waiting())
	reader := newConsumer(b, -1)
	read := func() bool { return reader.caughtUp() }
	b.check(b.run(2_000_000, read), "a reader of everything does not come to the end: %s", reader)
	for _, p := range b.producers {
		p.checkAll()
	}
	b.stop()
}

func (b *brokerRun) waiting() string {
	out := ""
	for _, p := range b.producers {
		out += fmt.Sprintf("producer %d: %d queued, pid %d, connected %v; ", p.number, len(p.queue), p.pid,
			p.link.conn != nil)
	}
	return out
}

// learn notes what a client was told of a record, and holds it against what was known.
func (p *dataPart) learn(b *brokerRun, offset int64, value, how string) {
	if have, ok := p.records[offset]; ok {
		b.check(have == value, "%v: offset %d was %q, now %s says %q", p, offset, have, how, value)
		return
	}
	if at, ok := p.place[value]; ok {
		b.fail("%v: %q is at %d and, says %s, at %d", p, value, at, how, offset)
	}
	p.records[offset] = value
	p.place[value] = offset
	p.end = max(p.end, offset+1)
}

func (p *dataPart) String() string { return fmt.Sprintf("%s-%d", p.topic.name, p.index) }

// quorum is the agreed image: a list instead of raft. Proposals take time, and a
// crash may come before or after they are agreed on.
type quorum struct {
	b       *brokerRun
	onImage func(*raftmeta.Image)
	now     bool // answer before Propose returns: while the broker starts
	closed  bool
}

func (q *quorum) open(_ string, onImage func(*raftmeta.Image), _ func(error)) (raftmeta.Quorum, error) {
	q.onImage = onImage
	return q, nil
}

// Propose agrees on cmd after a while.
func (q *quorum) Propose(cmd raftmeta.Command, done func(raftmeta.Outcome, error)) {
	if c, ok := cmd.(raftmeta.CreateTopics); ok {
		for i := range c.Topics { // ids come from the system's chance
			c.Topics[i].ID = q.b.newID()
		}
	}
	if q.now {
		done(q.apply(cmd))
		return
	}
	w := q.b.w
	w.After(w.around(time.Millisecond), func() {
		out, err := q.apply(cmd)
		w.After(w.around(time.Millisecond), func() { done(out, err) })
	})
}

func (q *quorum) apply(cmd raftmeta.Command) (raftmeta.Outcome, error) {
	if q.closed {
		return raftmeta.Outcome{}, raftmeta.ErrClosed
	}
	raw, err := raftmeta.Encode(cmd)
	if err != nil {
		return raftmeta.Outcome{}, err
	}
	next, out, err := raftmeta.Apply(q.b.image, q.b.image.Index()+1, raw)
	if err != nil {
		return raftmeta.Outcome{}, err
	}
	q.b.image = next
	q.onImage(next)
	return out, nil
}

func (q *quorum) Image() *raftmeta.Image { return q.b.image }

func (q *quorum) Close() error {
	q.closed = true
	return nil
}

var _ raftmeta.Quorum = (*quorum)(nil)
