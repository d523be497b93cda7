package segment

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"millrace/internal/arena"
	"millrace/internal/clock"
	"millrace/internal/invariant"
	"millrace/internal/mutant"
	"millrace/protocol"
	"millrace/segment/producer"
)

// Defaults of Options.
const (
	defaultJournalFile = 32 << 20
	defaultJournalMax  = 512 << 20
	defaultCache       = 64 << 20
	defaultOpenFiles   = 4096
	defaultPlaceMin    = 64 << 10 // below it a copy is cheaper than two more blocks

	minJournalFile = 128 << 10
)

func (o *Options) defaults() {
	if o.JournalFile == 0 {
		o.JournalFile = defaultJournalFile
	}
	if o.JournalMax == 0 {
		o.JournalMax = defaultJournalMax
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = defaultCache
	}
	if o.OpenFiles == 0 {
		o.OpenFiles = defaultOpenFiles
	}
	if o.PlaceMin == 0 {
		o.PlaceMin = defaultPlaceMin
	}
	o.JournalFile = max(floor(o.JournalFile), minJournalFile)
	o.JournalMax = max(floor(o.JournalMax), 3*o.JournalFile)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = clock.System{}.Now
	}
}

// groupBytes is the size of a group buffer: the largest commit.
func (o *Options) groupBytes() int {
	return int(min(max(ceil(o.JournalFile/4), 64<<10), maxCommit))
}

// CoreOf says which core owns a partition that was not moved. Partitions of one topic are spread.
func CoreOf(tp protocol.TopicPartition, cores int) int {
	h := uint64(14695981039346656037) // FNV-1a over the topic id
	for _, b := range tp.Topic {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return int((h>>16 + uint64(uint32(tp.Partition))) % uint64(cores))
}

// opening is the work of Open.
type opening struct {
	o      *Options
	cores  int
	known  Known
	rep    Report
	shards []*Shard

	bootSeen, complete uint64
	base               uint64 // boot of the newest whole set of checkpoints
	replay             map[journalID]uint64
	records            map[protocol.TopicPartition]*logRecord
	files              []*scanned
	chains             []chain
	progress           progress
	lost               *CorruptError             // of the boot mark, which is made anew
	dirs               map[string]string         // names under log/, and the data directory of each
	moves              uint64                    // generation of the book of moves that must be there
	ids                map[protocol.TopicID]bool // topics of the image

	lateMu sync.Mutex
	late   []string // files to be removed after the start
}

// later leaves the removal of a large file for after the start.
func (op *opening) later(path string) {
	op.lateMu.Lock()
	defer op.lateMu.Unlock()
	op.late = append(op.late, path)
}

// Open reads checkpoints and journals, and returns shards that are ready to serve:
// what was not yet in segment files is in memory again and will be written behind.
// It refuses (CorruptError) where it cannot prove that nothing acknowledged is
// missing. A crash at any point of it changes nothing. The caller has locked the
// directory.
func Open(o Options, cores int, k Known) ([]*Shard, Report, error) {
	invariant.Check(cores > 0 && len(o.Pools) == cores)
	o.defaults()
	if err := makeDirs(&o); err != nil {
		return nil, Report{}, err
	}
	op := &opening{o: &o, cores: cores, known: k}
	if err := op.run(); err != nil {
		op.abandon()
		return nil, op.rep, err
	}
	op.shards[0].shared.serving.Store(true)
	return op.shards, op.rep, nil
}

func makeDirs(o *Options) error {
	dirs := []string{journalDir(o.Dir), o.journalDir(), checkpointDir(o.Dir)}
	for _, root := range o.roots() {
		dirs = append(dirs, logRoot(root))
	}
	for _, d := range dirs {
		if err := o.FS.MkdirAll(d); err != nil {
			return fmt.Errorf("segment: make %s: %w", d, err)
		}
	}
	for _, root := range append(o.roots(), o.journalDir()) {
		for _, d := range []string{filepath.Dir(filepath.Clean(root)), root} {
			if err := o.FS.SyncDir(d); err != nil { // else a power loss takes it all
				return fmt.Errorf("segment: sync %s: %w", d, err)
			}
		}
	}
	// A name that a killed process renamed and did not sync is seen, and not durable: this
	// start is going to rely on it.
	for _, d := range []string{journalDir(o.Dir), checkpointDir(o.Dir)} {
		if err := o.FS.SyncDir(d); err != nil {
			return fmt.Errorf("segment: sync %s: %w", d, err)
		}
	}
	return nil
}

func (op *opening) run() error {
	steps := []step{
		{"boot mark", op.readBoot}, {"checkpoints", op.readCheckpoints}, {"moves", op.readMoves},
		{"cleaner", op.readCleaner},
		{"journals", op.readJournals}, {"their place", op.checkPlace}, {"their list", op.checkList},
		{"logs", op.makeShards}, {"directories", op.checkDirs}, {"replay", op.replayAll},
		{"files", op.finishLogs}, {"reserve", op.yieldReserve},
		{"opening", op.markBoot}, {"journal files", op.journalFiles}, {"place", op.markPlace},
	}
	sh := &shared{roots: roots{dirs: op.o.roots(), count: make([]int, len(op.o.roots()))}}
	sh.unswept.Store(int32(op.cores))
	sh.moves.swept = make([]atomic.Uint64, op.cores)
	op.shards = make([]*Shard, op.cores)
	for i := range op.shards {
		op.shards[i] = &Shard{shared: sh}
	}
	op.progress.log, op.progress.now = op.o.Log, op.o.Now
	for _, step := range steps {
		op.progress.begin(step.what)
		if err := step.do(); err != nil {
			return err
		}
		op.progress.end()
	}
	return nil
}

// abandon releases what a failed Open took.
func (op *opening) abandon() {
	for _, s := range op.shards {
		if s != nil && s.pool != nil {
			s.release()
		}
	}
}

// checkpoint is one file, read.
type checkpoint struct {
	name    string
	boot    uint64
	core    int
	head    checkpointHead
	records []logRecord
}

// readCheckpoints keeps the newest record of every log.
func (op *opening) readCheckpoints() error {
	op.replay = map[journalID]uint64{}
	op.records = map[protocol.TopicPartition]*logRecord{}
	names, err := op.o.FS.List(checkpointDir(op.o.Dir))
	if err != nil {
		return fmt.Errorf("segment: list checkpoints: %w", err)
	}
	var all []checkpoint
	for _, name := range names {
		boot, core, ok := parseCheckpointName(name)
		if !ok || boot < op.complete {
			continue // a temporary name, or one whose removal was cut short
		}
		all = append(all, checkpoint{name: name, boot: boot, core: core})
	}
	err = parallel(len(all), op.o.workers(8), func(i int) error { return op.readCheckpoint(&all[i]) })
	if err != nil {
		return err
	}
	found := map[uint64]int{}
	clean := map[uint64]bool{}
	for i := range all {
		c := &all[i]
		if found[c.boot] == 0 {
			clean[c.boot] = true
		}
		found[c.boot]++
		clean[c.boot] = clean[c.boot] && c.head.clean
		op.bootSeen = max(op.bootSeen, c.boot)
		if found[c.boot] == int(c.head.cores) {
			op.base = max(op.base, c.boot)
		}
		op.replay[c.head.journal] = c.head.replay
		for k := range c.records {
			r := &c.records[k]
			if have := op.records[r.tp]; have == nil || have.older(r) {
				op.records[r.tp] = r
			}
		}
		op.moves = max(op.moves, c.head.moves)
	}
	if op.base < op.complete {
		return &CorruptError{checkpointDir(op.o.Dir), 0,
			fmt.Sprintf("checkpoints of opening %d are missing", op.complete)}
	}
	op.rep.Clean = op.base > 0 && clean[op.base] && op.base == op.bootSeen && op.lost == nil
	if op.lost != nil && op.base == 0 {
		return op.lost // and no whole set of checkpoints to begin from
	}
	return nil
}

func (op *opening) readCheckpoint(c *checkpoint) error {
	name := filepath.Join(checkpointDir(op.o.Dir), c.name)
	b, err := op.o.FS.ReadFile(name)
	if err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	h, records, rule := parseCheckpoint(b, op.o.Directory)
	switch {
	case rule != "":
		return &CorruptError{name, 0, rule}
	case h.boot != c.boot || int(h.core) != c.core:
		return &CorruptError{name, 0, "name"}
	case uint64(h.logs)*recordFixed3 > uint64(len(records)):
		return &CorruptError{name, int64(len(b) - len(records)), "records"}
	}
	c.head, c.records = h, make([]logRecord, 0, h.logs)
	for range h.logs {
		r, rest, ok := nextLogRecord(records, h.version)
		if !ok {
			return &CorruptError{name, int64(len(b) - len(records)), "record"}
		}
		c.records, records = append(c.records, r), rest
	}
	if len(records) != 0 {
		return &CorruptError{name, int64(len(b) - len(records)), "records"}
	}
	return nil
}

// readJournals scans all journal files, a few at a time. After a clean stop nothing
// in them is needed.
func (op *opening) readJournals() error {
	dir := op.o.journalDir()
	names, err := op.o.FS.List(dir)
	if err != nil {
		return fmt.Errorf("segment: list %s: %w", dir, err)
	}
	for _, name := range names {
		if number, ok := strings.CutSuffix(name, ".journal"); ok {
			n, err := strconv.ParseUint(number, 16, 64)
			if err == nil {
				op.files = append(op.files, &scanned{name: filepath.Join(dir, name), number: n})
			}
		}
	}
	op.progress.of(int64(len(op.files)))
	err = parallel(len(op.files), op.o.workers(4), func(i int) error {
		defer op.progress.add(1)
		f, err := scanJournal(op.o.FS, op.files[i].name, op.o.Directory, op.rep.Clean)
		if err != nil {
			return err
		}
		f.number = op.files[i].number
		op.files[i] = f
		return nil
	})
	if err != nil {
		return err
	}
	for _, f := range op.files {
		for _, c := range f.commits {
			op.bootSeen = max(op.bootSeen, c.h.journal.boot())
		}
	}
	var notes []string
	op.chains, _, notes, err = chains(op.files, op.base, op.replay)
	op.rep.Notes = append(op.rep.Notes, notes...)
	if len(op.chains) > 0 {
		op.rep.Clean = false
	}
	return err
}

// workers is on how many goroutines something is done for which most suit.
func (o *Options) workers(most int) int {
	if o.Serial {
		return 1
	}
	return most
}

// parallel runs f(0) … f(n−1) on a few goroutines, on the caller's if it is one, and
// returns the first error by index.
func parallel(n, workers int, f func(i int) error) error {
	errs := make([]error, n)
	if workers == 1 {
		for i := range n {
			errs[i] = f(i)
		}
		return firstOf(errs)
	}
	var wg sync.WaitGroup
	next := make(chan int, n)
	for i := range n {
		next <- i
	}
	close(next)
	for range min(workers, n) {
		wg.Go(func() {
			for i := range next {
				errs[i] = f(i)
			}
		})
	}
	wg.Wait()
	return firstOf(errs)
}

func firstOf(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// makeShards makes every log of the image, with the state of its checkpoint.
func (op *opening) makeShards() error {
	now := op.o.Now()
	boot := op.bootSeen + 1
	for i, s := range op.shards {
		if err := s.init(op.o, i, op.cores, boot, op.o.Pools[i]); err != nil {
			return err
		}
		s.now = now
	}
	op.rep.Boot = boot
	return parallel(op.cores, op.o.workers(op.cores), func(i int) error {
		return op.makeLogs(op.shards[i])
	})
}

// makeLogs makes the logs of one core.
func (op *opening) makeLogs(s *Shard) error {
	for _, t := range op.known.Topics {
		for p := range t.Partitions {
			tp := protocol.TopicPartition{Topic: t.ID, Partition: p}
			if op.coreOf(tp) != s.core {
				continue
			}
			l := s.Create(tp, t.Name, t.Config)
			if r := op.records[l.TP]; r != nil {
				if rule := l.restore(r); rule != "" {
					return &CorruptError{checkpointDir(op.o.Dir), 0,
						fmt.Sprintf("%s-%d: %s", t.Name, p, rule)}
				}
			}
			l.restored(s.shared.cleaners.book[tp])
		}
	}
	return nil
}

func (s *Shard) init(o *Options, core, cores int, boot uint64, pool *arena.Pool) error {
	s.o, s.core, s.cores, s.boot, s.pool = *o, core, cores, boot, pool
	s.id = makeJournalID(boot, core)
	s.logs = map[protocol.TopicPartition]*Log{}
	s.files.most = max(o.OpenFiles/cores, 8)
	s.sw.number = 1
	s.recovering = true
	for _, g := range []**group{&s.st.gather, &s.st.spare} {
		buf := pool.Get(o.groupBytes())
		if buf == nil {
			return fmt.Errorf("segment: %d bytes of memory are too few for the journal's buffers",
				pool.Budget())
		}
		*g = &group{buf: buf, mem: buf.Mem[:o.groupBytes()], pieces: make([]piece, 0, maxPieces)}
	}
	s.st.vec = make([][]byte, 0, maxPieces)
	return nil
}

// restore takes over a checkpoint's record; it says which rule is broken.
func (l *Log) restore(r *logRecord) string {
	l.known, l.moves = knownState{journal: r.journal, seq: r.seq}, r.moves
	if r.start > r.end || r.high > r.end {
		return "marks"
	}
	l.marks = Marks{Start: r.start, End: r.end}
	for i := range r.segs {
		g := l.segFrom(&r.segs[i])
		if i > 0 && l.segs[i-1].end != g.base || g.size < 0 || g.end < g.base {
			return "segments"
		}
		l.segs = append(l.segs, g)
		l.bytes += g.size
		l.shard.stats.Segments++
	}
	g := l.active()
	if g == nil {
		if len(r.tail) != 0 {
			return "tail"
		}
	} else if g.end != r.end {
		return "end"
	} else if !g.sealed {
		if int64(len(r.tail)) != g.size-floor(g.size) {
			return "tail"
		}
		g.written = floor(g.size)
		l.restoreTail(g, r.tail)
	}
	if len(r.pending) > 0 && (g == nil || !g.restorePending(r.pending)) {
		return "pending index entries"
	}
	if err := l.producers.Decode(r.producers); err != nil {
		return "producers"
	}
	if mutant.ForgetProducers {
		l.producers = producer.State{}
	}
	if err := l.epochs.Decode(r.epochs); err != nil {
		return "epochs"
	}
	l.shard.dropSegments(l) // they were on their way out when the record was taken
	return ""
}

// restoreTail puts the bytes behind the last whole block into the tail. No batch
// is known to begin there, so reads of them go to the file and end here.
func (l *Log) restoreTail(g *seg, part []byte) {
	if len(part) == 0 {
		return
	}
	whole := g.size
	g.size = floor(g.size) // where the chunk begins
	c := l.shard.newChunk(l, minChunk, l.marks.End)
	g.size = whole
	c.n = copy(c.mem, part)
	l.tail.end = int64(c.n)
	l.stagedAbs = l.tail.end
}

// markBoot makes the number of this opening durable before anything is written
// under it.
func (op *opening) markBoot() error {
	b := bootBytes(op.o.Directory, op.rep.Boot, max(op.complete, op.base))
	if err := op.o.FS.WriteFile(bootName(op.o.Dir), b); err != nil {
		return fmt.Errorf("segment: write %s: %w", bootName(op.o.Dir), err)
	}
	return nil
}

// replayAll applies the journals, every core its own logs.
func (op *opening) replayAll() error {
	rs := make([]*replayer, op.cores)
	total := int64(0)
	for _, c := range op.chains {
		for i := range c.commits {
			total += c.commits[i].h.size()
		}
	}
	op.progress.of(total)
	err := parallel(op.cores, op.o.workers(op.cores), func(i int) error {
		s := op.shards[i]
		rs[i] = &replayer{s: s, fs: op.o.FS, now: s.now.Wall, progress: &op.progress, op: op}
		return rs[i].run(op.chains)
	})
	for _, r := range rs {
		op.rep.Replayed += r.bytes
		op.rep.Dropped += r.dropped
		if r.unknown > 0 {
			op.rep.Notes = append(op.rep.Notes, fmt.Sprintf(
				"%d journal entries of topics that are gone", r.unknown))
		}
	}
	return err
}

// journalFiles sorts the files into those that are still needed and those that may
// be used at once, and sees that every core has one.
func (op *opening) journalFiles() error {
	needed := map[*scanned]bool{}
	for _, c := range op.chains {
		for _, r := range c.commits {
			needed[r.file] = true
		}
	}
	if err := op.listNeeded(needed); err != nil {
		return err
	}
	var spare, old []*scanned
	for _, f := range op.files {
		switch {
		case f.unusable, !needed[f] && f.size < f.made: // its making, or more, was cut short
			if err := op.o.FS.Remove(f.name); err != nil {
				return fmt.Errorf("segment: remove %s: %w", f.name, err)
			}
		case needed[f]:
			old = append(old, f)
		default:
			spare = append(spare, f)
		}
	}
	left := int64(0)
	for _, f := range old {
		left += f.size
	}
	if left > int64(op.cores)*op.o.JournalMax {
		op.shards[0].shared.crowded.Store(true)
		op.rep.Notes = append(op.rep.Notes, fmt.Sprintf("journals of earlier openings hold %d MB: "+
			"producers wait until that is written out", left>>20))
	}
	size := op.firstSize()
	err := parallel(op.cores, op.o.workers(op.cores), func(i int) error {
		s := op.shards[i]
		for k := i; k < len(old); k += op.cores {
			if err := s.adopt(old[k], true); err != nil {
				return err
			}
		}
		for k := i; k < len(spare); k += op.cores {
			if err := s.adopt(spare[k], false); err != nil {
				return err
			}
		}
		return s.firstFile(size)
	})
	if err == nil {
		err = op.listAll()
	}
	if err != nil {
		return err
	}
	if len(op.chains) > 0 {
		for _, s := range op.shards {
			s.sw.first = true // to get the old files back
		}
	}
	first := op.shards[0].j.free[0].f
	op.rep.Direct = first.Direct()
	if op.o.Durability == Fsync {
		op.rep.SyncAfter = probeSync(first)
		for _, s := range op.shards {
			s.steps.always = op.rep.SyncAfter
		}
	}
	return nil
}
