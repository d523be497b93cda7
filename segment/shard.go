package segment

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"syscall"

	"millrace/internal/admin/status"
	"millrace/internal/arena"
	"millrace/internal/clock"
	"millrace/internal/invariant"
	"millrace/internal/mutant"
	"millrace/protocol"
)

// Shard is the storage of one core. Its methods are called from that core's thread.
type Shard struct {
	o      Options
	core   int
	cores  int
	boot   uint64
	id     journalID
	pool   *arena.Pool
	shared *shared

	now   clock.Now
	logs  map[protocol.TopicPartition]*Log
	list  []*Log // in order of creation; nil where one was dropped
	holes int    // nil entries of list

	st      stager
	j       journal
	cache   cache
	fl      flusher
	files   fileCache
	sw      sweep
	rd      reader
	cold    coldSet
	keep    keeper
	rm      remover
	verify  verifier
	reserve reserve
	clean   cleaner
	move    moving

	ops     []op // by id−1
	opFree  uint32
	jobs    []jobSlot
	jobFree uint32
	newJobs []Job // since the last turn

	advanced, told []*Log
	err            error
	full           bool          // no space: tried again at fullUntil
	fullUntil      clock.Instant //
	why            error         // of full
	steps          stepping      // of commits
	missing        int           // times that a file was missing, since the last sweep
	recovering     bool
	draining       bool
	drained        bool
	partly         bool          // drained on a full disk: not all is in segments
	drainBy        clock.Instant // on a full disk a clean stop ends then
	stats          Stats
}

// shared is what the shards of one Open have in common.
type shared struct {
	unswept  atomic.Int32  // cores that have not swept in this boot
	released atomic.Bool   // journal files of earlier boots may be reused
	crowded  atomic.Bool   // until then nothing more is taken: they hold more than all may
	wrote    atomic.Int64  // when some core last wrote to its journal, monotonic
	written  atomic.Uint64 // bytes, by all of them
	failed   atomic.Bool   // some core's storage latched
	serving  atomic.Bool   // recovery is done
	list     journalList
	// Held, by its name, by jobs that rely on a partition's directory, or move it.
	dirs [64]sync.Mutex

	cleaners cleaners
	moves    moveBook

	mu      sync.Mutex
	known   map[protocol.TopicID]bool // topics of which some core has, or had, a log
	dropped map[protocol.TopicID]bool // and those of which one has dropped it
	roots   roots
}

// dir is the lock of a partition's directory: others of the same lock only wait a little.
func (sh *shared) dir(name string) *sync.Mutex {
	h := uint32(2166136261) // FNV-1a
	for i := range len(name) {
		h = (h ^ uint32(name[i])) * 16777619
	}
	return &sh.dirs[h%uint32(len(sh.dirs))]
}

func (sh *shared) know(id protocol.TopicID) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.known == nil {
		sh.known = map[protocol.TopicID]bool{}
	}
	sh.known[id] = true
}

// mayOwn says whether the directory of a topic's partition may be another one's: of a topic
// that there is, or was. Any other id in it is damage.
func (sh *shared) mayOwn(id, other protocol.TopicID) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.dropped[id] || sh.known[other]
}

func (sh *shared) drop(id protocol.TopicID) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.dropped == nil {
		sh.dropped = map[protocol.TopicID]bool{}
	}
	sh.dropped[id] = true
}

func (sh *shared) isDropped(id protocol.TopicID) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.dropped[id]
}

// Stats are figures for the metrics, read on the core's thread.
type Stats struct {
	Commits      uint64           // journal writes
	TwoSteps     uint64           // of them: made durable by fdatasync afterwards
	CommitBytes  uint64           // of all, padding included
	CommitSize   status.Histogram // bytes of one journal write
	CommitTime   status.Histogram // µs until it was durable
	JournalUsed  int64            // bytes of journal files that wait for a sweep
	JournalTotal int64
	CacheBytes   int64 // memory of chunks that are written
	DirtyBytes   int64 // bytes that are not yet in segments
	Flushed      uint64
	ColdReads    uint64
	ColdBytes    uint64
	ColdChecked  uint64 // bytes whose CRC was verified
	Sweeps       uint64
	Logs         int
	Segments     int
	OpenFiles    int
	Cleaner      CleanerStats
}

// opKind says whose completion an IO is.
type opKind uint8

const (
	opNone opKind = iota
	opCommit
	opCommitSync
	opFlush
	opRead
)

// op is an IO in flight.
type op struct {
	kind    opKind
	n       int32
	next    uint32
	chunk   *chunk
	stretch *stretch
}

// jobKind says whose completion a job is.
type jobKind uint8

const (
	jobNone jobKind = iota
	jobJournal
	jobPrepare
	jobFlush
	jobClose
	jobCheckpoint
	jobComplete
	jobIndex
	jobFind
	jobRemove
	jobStep
	jobVerify
	jobReserve
	jobClean
	jobMove
)

type jobSlot struct {
	kind jobKind
	next uint32
	arg  any
}

func (s *Shard) newOp(o op) uint32 {
	if s.opFree == 0 {
		s.ops = append(s.ops, o)
		return uint32(len(s.ops))
	}
	id := s.opFree
	s.opFree = s.ops[id-1].next
	s.ops[id-1] = o
	return id
}

// job queues blocking work for the next turn.
func (s *Shard) job(kind jobKind, arg any, run func() any) {
	id := s.jobFree
	if id == 0 {
		s.jobs = append(s.jobs, jobSlot{})
		id = uint32(len(s.jobs))
	} else {
		s.jobFree = s.jobs[id-1].next
	}
	s.jobs[id-1] = jobSlot{kind: kind, arg: arg}
	s.newJobs = append(s.newJobs, Job{ID: id, Run: run})
}

// Turn ends a turn: at most one group commit goes out, and what of flushing, cold
// reads, checkpoints and retention is due.
func (s *Shard) Turn(now clock.Now, out *Effects) {
	s.now = now
	if s.st.ended {
		s.st.ended = false
		took := now.Mono.Sub(s.st.issued)
		s.stats.CommitTime.Observe(took.Microseconds())
		s.steps.took(took.Nanoseconds())
	}
	if s.err == nil {
		s.commit(out)
		s.takeReleased()
		s.growJournal()
		s.freeSooner()
		s.tend()
		s.moveTurn()
		s.flush(out)
		s.sweepTurn()
		s.verifyTurn()
		s.drainTurn()
	}
	s.readTurn(out)
	out.Jobs = append(out.Jobs, s.newJobs...)
	clear(s.newJobs)
	s.newJobs = s.newJobs[:0]
}

// IODone is the completion of an Effects.IO: bytes, or −errno.
func (s *Shard) IODone(id uint32, res int32) {
	o := s.ops[id-1]
	invariant.Check(o.kind != opNone)
	s.ops[id-1] = op{next: s.opFree}
	s.opFree = id
	switch o.kind {
	case opCommit:
		if s.mayPromise() {
			s.commitWritten(o.n, res)
		}
	case opCommitSync:
		if s.mayPromise() {
			s.commitSynced(res)
		}
	case opFlush:
		s.flushDone(o.chunk, res)
	case opRead:
		s.readDone(o.stretch, res)
	}
}

// JobDone is the completion of an Effects.Job.
func (s *Shard) JobDone(id uint32, v any) {
	slot := s.jobs[id-1]
	invariant.Check(slot.kind != jobNone)
	s.jobs[id-1] = jobSlot{next: s.jobFree}
	s.jobFree = id
	switch slot.kind {
	case jobJournal:
		s.journalMade(v.(madeStep))
	case jobPrepare:
		s.prepared(slot.arg.(*seg), v.(preparedFile))
	case jobFlush:
		s.batchDone(slot.arg.(*flushBatch))
	case jobClose:
	case jobCheckpoint:
		s.checkpointed(v.(checkpointDone))
	case jobComplete:
		s.setCompleted(v)
	case jobIndex:
		s.indexLoaded(slot.arg.(*seg), v.(loadedResult))
	case jobFind:
		s.found(slot.arg.(*finding), v.(findResult))
	case jobRemove:
		s.removed(v.(removal))
	case jobStep:
		s.removeStepped(v.(removal))
	case jobVerify:
		s.verified(v.([]missingFile))
	case jobReserve:
		s.reserve.have, s.reserve.busy = v.(bool), false
	case jobClean:
		s.roundAnswer(slot.arg.(*cleaning), v.(cleaned))
	case jobMove:
		s.moveWritten(v.(moveResult))
	}
}

// Durable is the last entry that may be acknowledged.
func (s *Shard) Durable() Seq { return s.st.durable }

// Advanced are the logs whose High moved since the last call; valid until the next.
func (s *Shard) Advanced() []*Log {
	clear(s.told)
	s.told, s.advanced = s.advanced, s.told[:0]
	for _, l := range s.told {
		l.advanced = false
	}
	return s.told
}

// Err is the latched failure: the process must leave (I7).
func (s *Shard) Err() error { return s.err }

// Find returns the log, or nil.
func (s *Shard) Find(tp protocol.TopicPartition) *Log { return s.logs[tp] }

// Logs are all logs of the shard, in order of creation; not to be kept.
func (s *Shard) Logs() []*Log {
	all := make([]*Log, 0, len(s.logs))
	for _, l := range s.list {
		if l != nil {
			all = append(all, l)
		}
	}
	return all
}

// Create makes an empty log. Nothing is written before its first flush.
func (s *Shard) Create(tp protocol.TopicPartition, topic string, cfg LogConfig) *Log {
	invariant.Checkf(s.logs[tp] == nil, "segment: %s-%d exists", topic, tp.Partition)
	l := &Log{TP: tp, Topic: topic, shard: s, cfg: cfg, slot: len(s.list)}
	if !s.recovering {
		l.root = s.shared.takeRoot()
	}
	s.shared.know(tp.Topic)
	s.logs[tp] = l
	if mutant.ByName {
		l.TP.Topic = protocol.TopicID{}
		copy(l.TP.Topic[:], topic)
		s.logs[l.TP] = l
	}
	s.list = append(s.list, l)
	s.stats.Logs++
	return l
}

// Configure changes what storage obeys, from the next append on.
func (s *Shard) Configure(l *Log, cfg LogConfig) {
	l.cfg = cfg
	s.keep.soon = true
}

// Admit says whether a request of so many bytes may be appended now.
func (s *Shard) Admit(bytes int) Admission { return s.admit(int64(bytes), s.j.total/8) }

// AdmitInternal is Admit for internal topics: they may use what is kept back from
// others.
func (s *Shard) AdmitInternal(bytes int) Admission { return s.admit(int64(bytes), 0) }

func (s *Shard) admit(bytes, reserve int64) Admission {
	if s.err != nil {
		return Dead
	}
	if s.crowded() {
		if s.full {
			return Full
		}
		return Wait
	}
	need := bytes + bytes/64 + int64(2*block) + reserve
	if bytes >= int64(s.o.PlaceMin) {
		need += 2 * block * (bytes / int64(s.o.PlaceMin)) // placed batches begin and end within blocks
	}
	if s.room() < need {
		s.j.want = max(s.j.want, need)
		if s.full || s.j.retryAt > s.now.Mono {
			return Full
		}
		return Wait
	}
	if s.st.backlog > 0 && s.st.backlog+bytes > 2*int64(len(s.st.gather.mem)) {
		return Wait
	}
	if !s.memoryFor(bytes, reserve > 0) {
		if s.full {
			return Full
		}
		return Wait
	}
	if need >= s.j.want {
		s.j.want = 0
	}
	return Admitted
}

// crowded says that earlier boots left more in journals than all files may hold: they ended
// one after the other, and none had the time to write it out. Each would leave more to replay.
func (s *Shard) crowded() bool {
	return s.shared.crowded.Load() && !s.shared.released.Load()
}

// again says whether a completion is no verdict: the same op may be sent again.
func again(res int32) bool {
	return res == -int32(syscall.EAGAIN) || res == -int32(syscall.EINTR)
}

// latch ends acknowledgement for good (I7).
func (s *Shard) latch(what, name string, res int32) {
	var err error = syscall.Errno(-res)
	if res >= 0 {
		err = errors.New("nothing was written")
	}
	s.fail(what+" "+name, err)
}

func (s *Shard) fail(what string, err error) {
	if s.err != nil {
		return
	}
	s.err = fmt.Errorf("segment: %s: %w", what, err)
	s.shared.failed.Store(true)
	s.o.Log.Error("storage failed: nothing is acknowledged any more", "err", s.err)
}

// mayPromise says whether a commit that is done may be acknowledged. A failed write or
// sync of one core ends it for all: a disk that failed to flush may have lost what others
// wrote, and tells them nothing (I7).
func (s *Shard) mayPromise() bool { return s.err == nil && !s.shared.failed.Load() }

// passing are errors that go away when somebody deletes or closes something.
var passing = []error{
	syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM,
}

// noSpace says whether an error is one of them: nothing is broken, and it is tried
// again.
func noSpace(err error) bool {
	for _, p := range passing {
		if errors.Is(err, p) {
			return true
		}
	}
	return false
}

// missingTries is how often a file may be missing before it is taken for damage.
const missingTries = 10

// trouble sorts an error of a flush or a checkpoint: no space is waited out, the
// rest is final. A file that is missing may be that of a topic whose deletion this
// core has yet to hear of.
func (s *Shard) trouble(what string, err error) {
	missing := errors.Is(err, fs.ErrNotExist) && s.missing < missingTries
	if !noSpace(err) && !missing && !mutant.RetryCheckpoint {
		s.fail(what, err)
		return
	}
	if missing {
		s.missing++
	}
	if !s.full {
		s.o.Log.Warn("storage waits: produce requests are refused", "during", what, "err", err)
	}
	s.full, s.why = true, err
	s.fullUntil = s.now.Mono.Add(retrySpace)
}

// Stats are the shard's figures.
func (s *Shard) Stats() Stats {
	st := s.stats
	st.JournalUsed, st.JournalTotal = s.j.usedSize, s.j.total
	st.CacheBytes = s.cache.bytes
	st.OpenFiles = s.files.open
	st.Cleaner = s.clean.stats
	for _, l := range s.list {
		if l != nil {
			st.DirtyBytes += l.tail.end - l.flushedAbs
		}
	}
	return st
}
