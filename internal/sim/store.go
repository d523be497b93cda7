package sim

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"millrace/internal/arena"
	"millrace/internal/vfs"
	"millrace/protocol"
	"millrace/segment"
)

// Storage is one seeded run of segment's shards over the simulated disk: several
// lives that end in a crash, a kill, a failure or cleanly, and after each what was
// acknowledged has to be there.
type Storage struct {
	Seed  uint64
	Lives int // 0: a few

	// Mutants, which a run must catch.
	AckEarly     bool // acknowledges what is staged and not durable
	LieAboutSync bool // the disk says durable and is not
}

// RunStorage runs one seed. An error names the rule that was broken.
func RunStorage(o Storage) (res Result, err error) {
	s := newStore(o)
	defer func() {
		res = Result{s.w.Trace(), s.w.Tally}
		s.dropPools()
		if r := recover(); r != nil {
			if b, ok := r.(broken); ok {
				err = fmt.Errorf("seed %d, life %d (%v): %s", o.Seed, s.life, s.durability, string(b))
				return
			}
			err = fmt.Errorf("seed %d, life %d (%v): panic: %v\n%s", o.Seed, s.life, s.durability, r,
				debug.Stack())
		}
	}()
	lives := o.Lives
	if lives == 0 {
		lives = 3 + s.rng.IntN(4)
	}
	for s.life = 1; s.life <= lives; s.life++ {
		s.open()
		s.verify()
		s.live()
		if s.rng.IntN(3) == 0 {
			s.flip()
		}
	}
	s.open()
	s.verify()
	s.stop()
	if s.clean {
		s.checkFiles()
	}
	if s.rng.IntN(6) == 0 {
		s.end(false)
		s.lie()
	}
	return res, nil
}

// dropPools gives the memory of a life back.
func (s *store) dropPools() {
	for _, p := range s.pools {
		p.Abandon()
	}
	s.pools = nil
}

// broken is how a check ends a run.
type broken string

func (s *store) fail(format string, args ...any) { panic(broken(fmt.Sprintf(format, args...))) }

func (s *store) check(ok bool, format string, args ...any) {
	if !ok {
		s.fail(format, args...)
	}
}

// store is the world of a storage run: the model of what was appended, and the
// shards of the present life.
type store struct {
	o          Storage
	w          *World
	rng        *rand.Rand
	fs         *vfs.Faults
	durability segment.Durability
	journal    int64
	memory     int64
	direct     bool
	also       []string // further directories for partitions
	apart      string   // directory of the journals, "": in dataDir
	life       int

	topics  []*topic
	deleted map[protocol.TopicID]bool
	names   int
	pids    int64
	bytes   int // appended in this life
	most    int // to be appended in it

	cores   []*shardCore
	shards  []*segment.Shard
	pools   []*arena.Pool
	quiet   bool      // no new work
	clean   bool      // the last life ended cleanly
	tight   bool      // the disk is nearly full, or was ten seconds ago
	hungry  bool      // a request was refused for want of space, and none has been taken since
	trying  bool      // on a copy, which may have lost anything
	trouble *disorder // ordered in this life
	aging   aging
	moves   *rand.Rand // chance of moves between shards; nil: there are none
	onWay   int        // logs between two shards
}

const dataDir = "/data"

func newStore(o Storage) *store {
	w := New(o.Seed)
	s := &store{o: o, w: w, rng: w.Rand(), deleted: map[protocol.TopicID]bool{}, moves: newMoves(o.Seed)}
	s.fs = vfs.Faulty(w.Disk)
	s.fs.Sleep = func(time.Duration) {}
	if s.rng.IntN(4) == 0 {
		s.durability = segment.Write
	}
	s.direct = s.rng.IntN(8) > 0
	w.Disk.SetDirect(s.direct)
	w.Disk.SetDsync(s.rng.IntN(3) > 0)
	w.Disk.SetLying(o.LieAboutSync)
	s.journal = int64(64<<10) << s.rng.IntN(4)
	s.memory = int64(8<<20) << s.rng.IntN(3)
	if s.rng.IntN(4) == 0 {
		s.also = []string{"/also", "/more"}[:1+s.rng.IntN(2)]
	}
	if s.rng.IntN(6) == 0 {
		s.apart = "/fast"
	}
	for _, dir := range s.directories() {
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
	for range 1 + s.rng.IntN(4) {
		s.newTopic()
	}
	return s
}

// directories are all that the storage writes to.
func (s *store) directories() []string {
	all := append([]string{dataDir}, s.also...)
	if s.apart != "" {
		all = append(all, s.apart)
	}
	return all
}

// open starts a life: recovery, perhaps with the power failing in it a few times.
func (s *store) open() {
	cuts := 0
	if s.rng.IntN(3) == 0 {
		cuts = s.rng.IntN(3)
	}
	n := 1 + s.rng.IntN(3)
	for {
		for range n {
			p := arena.New(s.memory)
			p.Poison = true
			s.pools = append(s.pools, p)
		}
		if cuts > 0 {
			s.w.Disk.PowerOffAfter(int64(s.rng.IntN(60)))
		} else if s.rng.IntN(8) == 0 {
			s.trouble = s.w.disorder(s.fs, recoveryPlaces)
		}
		shards, report, err := segment.Open(s.options(), n, s.known())
		if err == nil && !s.w.Disk.Off() {
			s.w.Disk.PowerOffAfter(1 << 40)
			s.settleDisk()
			s.begin(shards, report)
			return
		}
		s.check(s.w.Disk.Off() || s.trouble.hit(), "open fails: %v", err)
		s.clean = false
		if s.w.Disk.Off() {
			cuts--
			s.w.Tally[RecoveryCuts]++
			s.end(true)
			continue
		}
		s.w.Tally[RecoveryErrors]++
		s.end(s.trouble.powerAfter(s.direct) || s.rng.IntN(2) == 0)
	}
}

// settleDisk ends what was ordered to go wrong.
func (s *store) settleDisk() {
	s.trouble.over(s.w)
	s.trouble = nil
	s.fs.Clear()
}

func (s *store) options() segment.Options {
	return segment.Options{
		FS: s.fs, Dir: dataDir, Also: s.also, Directory: [16]byte{1, 2, 3}, Pools: s.pools,
		Durability: s.durability, JournalDir: s.apart, JournalFile: s.journal, JournalMax: 8 * s.journal,
		CacheBytes: s.memory / 4, OpenFiles: 4 + s.rng.IntN(60), PlaceMin: 1 << (12 + s.rng.IntN(6)),
		Log: slog.New(slog.DiscardHandler), Now: s.w.Now, Serial: true,
	}
}

// known is the agreed image.
func (s *store) known() segment.Known {
	k := segment.Known{Deleted: s.deleted}
	for _, t := range s.topics {
		k.Topics = append(k.Topics, segment.KnownTopic{
			ID: t.id, Name: t.name, Partitions: int32(len(t.parts)), Config: t.cfg,
		})
	}
	return k
}

// begin joins the model with the shards of a new life.
func (s *store) begin(shards []*segment.Shard, report segment.Report) {
	s.shards, s.cores, s.onWay = shards, nil, 0
	s.w.Tally[Lives]++
	if s.aging.begin(s.w.now) { // the clock was set: producers may have been forgotten
		s.renewClients()
	}
	for i, shard := range shards {
		shard.ConfigureCleaner(s.cleaner())
		c := &shardCore{s: s, number: i, shard: shard, pool: s.pools[i]}
		c.core = s.w.AddCore(c.turn)
		c.core.ring.Files = s.fs
		s.cores = append(s.cores, c)
	}
	for _, dir := range report.Quarantined { // only what a crash left without a name
		text, err := s.w.Disk.ReadFile(dir + "/partition.metadata")
		s.check(err != nil || !bytes.Contains(text, []byte("topic_id: ")), "quarantined: %s: %s", dir, text)
	}
	s.check(!s.clean || report.Clean && report.Replayed == 0, "after a clean stop: %+v", report)
	s.clean = false
	for _, t := range s.topics {
		for _, p := range t.parts {
			s.attach(p)
			s.recovered(p)
		}
	}
}

// attach finds or makes a partition's log.
func (s *store) attach(p *part) {
	p.core, p.log, p.frozen = nil, nil, false
	s.place(p)
	if p.log == nil {
		p.core = s.cores[segment.CoreOf(p.tp, len(s.cores))]
		p.log = p.core.shard.Create(p.tp, p.topic.name, p.topic.cfg)
	}
	p.core.parts = append(p.core.parts, p)
}
