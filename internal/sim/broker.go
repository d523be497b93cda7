package sim

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"millrace/engine"
	"millrace/internal/clock"
	"millrace/internal/vfs"
	"millrace/netio"
	"millrace/protocol"
	"millrace/raftmeta"
	"millrace/segment"
)

// Broker is one seeded run of a whole broker: clients produce, fetch, commit and
// create over the simulated network in real protocol bytes, while it crashes, is
// killed and stops.
type Broker struct {
	Seed uint64

	// LieAboutSync is a mutant: the disk says durable and is not.
	LieAboutSync bool
}

// RunBroker runs one seed. An error names the rule that was broken.
func RunBroker(o Broker) (res Result, err error) {
	b := newBrokerRun(o)
	defer func() {
		res = Result{b.w.Trace(), b.w.Tally}
		b.dropPools()
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
	return res, nil
}

// brokerRun is the world of a broker run.
type brokerRun struct {
	o    Broker
	w    *World
	rng  *rand.Rand
	life int

	durability segment.Durability
	direct     bool
	also       []string // further directories for partitions
	apart      string   // directory of the journals, "": in dataDir
	weak       bool     // what was acknowledged may be gone: durability write, and a power loss
	clean      bool     // the last life ended cleanly
	drift      int64    // of the wall clock, by jumps

	image   *raftmeta.Image // what was agreed, over all lives
	ids     uint64          // topic ids given
	broker  *engine.Stepped
	quorum  *quorum
	cores   []*Core
	cfg     engine.Config
	lfd     int32
	links   []*link
	ending  bool          // clients begin nothing new
	stopped clock.Instant // when a clean stop began; 0: none has

	tight  bool // the disk is nearly full, or was ten seconds ago
	hungry bool // a request was refused for want of space, and none has been taken since

	fs      *vfs.Faults
	trouble *disorder // ordered in this life

	topics    []*dataTopic
	trims     []*dataTopic // of the trimmers
	keyed     *keyedTopic
	keyeds    []*simKeyed
	producers []*simProducer
	consumers []*simConsumer
	others    []*simOther
	churns    []*simChurn
	members   []*simMember
	trimmers  []*simTrimmer
	moves     *rand.Rand // chance of moves between cores; nil: there are none
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
	floor   int64            // what the last start found: it cannot be lost any more
}

func (t *dataTopic) add() {
	t.parts = append(t.parts, &dataPart{topic: t, index: int32(len(t.parts)),
		records: map[int64]string{}, place: map[string]int64{}})
}

func (b *brokerRun) fail(format string, args ...any) { panic(broken(fmt.Sprintf(format, args...))) }

func (b *brokerRun) check(ok bool, format string, args ...any) {
	if !ok {
		b.fail(format, args...)
	}
}

func newBrokerRun(o Broker) *brokerRun {
	w := New(o.Seed)
	b := &brokerRun{o: o, w: w, rng: w.Rand(), fs: vfs.Faulty(w.Disk), moves: newMoves(o.Seed)}
	b.fs.Sleep = func(time.Duration) {}
	if b.rng.IntN(5) == 0 {
		b.durability = segment.Write
	}
	b.direct = b.rng.IntN(8) > 0
	w.Disk.SetDirect(b.direct)
	w.Disk.SetDsync(b.rng.IntN(3) > 0)
	w.Disk.SetLying(o.LieAboutSync)
	if b.rng.IntN(4) == 0 {
		b.also = []string{"/also", "/more"}[:1+b.rng.IntN(2)]
	}
	dirs := append([]string{dataDir}, b.also...)
	if b.rng.IntN(6) == 0 {
		b.apart = "/fast"
		dirs = append(dirs, b.apart)
	}
	for _, dir := range dirs {
		if err := w.Disk.MkdirAll(dir); err != nil {
			panic(err)
		}
		if err := w.Disk.Mount(dir); err != nil {
			panic(err)
		}
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
	for i := range b.rng.IntN(3) {
		b.trimmers = append(b.trimmers, newTrimmer(b, i))
	}
	for range 1 + b.rng.IntN(2) {
		b.keyeds = append(b.keyeds, newKeyed(b, b.keyed, false))
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
	create := func(name string, parts int, configs ...raftmeta.Config) *dataTopic {
		t := raftmeta.NewTopic{ID: b.newID(), Name: name, Configs: configs}
		d := &dataTopic{name: name, id: t.ID}
		for range parts {
			t.Replicas = append(t.Replicas, []protocol.NodeID{1})
			d.add()
		}
		propose(raftmeta.CreateTopics{Topics: []raftmeta.NewTopic{t}})
		return d
	}
	for i := range 1 + b.rng.IntN(2) {
		b.topics = append(b.topics, create(fmt.Sprintf("data-%d", i), 1+b.rng.IntN(4), b.configs()...))
	}
	for i := range 2 {
		b.trims = append(b.trims, create(fmt.Sprintf("trim-%d", i), 1+b.rng.IntN(2), b.configs()...))
	}
	b.keyed = newKeyedTopic(b, create)
	create("__consumer_offsets", 4, raftmeta.Config{Name: "cleanup.policy", Value: "compact"},
		raftmeta.Config{Name: "segment.bytes", Value: fmt.Sprint(4 << (10 + b.rng.IntN(8)))})
	b.image = q.Image()
	var dir protocol.TopicID
	dir[0] = 7
	text := "version=1\ncluster.id=simulated-cluster-id-1\nnode.id=1\ndirectory.id=" + dir.String() + "\n"
	if err := b.w.Disk.WriteFile(dataDir+"/meta.properties", []byte(text)); err != nil {
		panic(err)
	}
}

// configs of a topic whose records are followed: any time is right for them, small
// segments that roll by size and by age.
func (b *brokerRun) configs() []raftmeta.Config {
	return []raftmeta.Config{
		{Name: "message.timestamp.after.max.ms", Value: fmt.Sprint(int64(math.MaxInt64))},
		{Name: "segment.bytes", Value: fmt.Sprint(16 << (10 + b.rng.IntN(6)))},
		{Name: "segment.ms", Value: fmt.Sprint(50 << b.rng.IntN(8))},
		{Name: "file.delete.delay.ms", Value: fmt.Sprint(b.rng.IntN(100))},
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
	cfg.Durability = b.durability
	cfg.AlsoDirs, cfg.Journals = b.also, 1+b.rng.IntN(cfg.Cores)
	cfg.JournalDir = b.apart
	cfg.Static = map[string]string{"log.cleaner.backoff.ms": "100",
		"log.cleaner.threads": fmt.Sprint(1 + b.rng.IntN(2))}
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
		} else if b.rng.IntN(8) == 0 {
			b.trouble = b.w.disorder(b.fs, recoveryPlaces)
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
		b.check(b.w.Disk.Off() || b.trouble.hit(), "start fails: %v", err)
		if b.w.Disk.Off() {
			b.w.Tally[RecoveryCuts]++
			b.crash(true)
			cut = false
			continue
		}
		b.w.Tally[RecoveryErrors]++
		b.crash(b.trouble.powerAfter(b.direct) || b.rng.IntN(2) == 0)
	}
	b.settleDisk()
	b.w.Tally[Lives]++
	for i, p := range b.broker.Pools() {
		p.Poison = true
		b.addCore(b.broker.Cores()[i])
	}
	b.quorum.now = false
	b.recovered()
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
	core.ring.Files = b.fs
	b.cores = append(b.cores, core)
}

// run lets events happen until stop says so; false: the power failed or limit events
// were not enough.
func (b *brokerRun) run(limit int, stop func() bool) bool {
	over := func() bool { return b.w.Disk.Off() || b.broker.Err() != nil }
	ok := b.w.RunUntil(limit, func() bool { return over() || stop() })
	if err := b.broker.Err(); err != nil && !b.w.Disk.Off() {
		b.check(b.trouble.hit(), "the broker leaves: %v", err)
	}
	return ok && !over()
}

func never() bool { return false }

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
