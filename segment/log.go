package segment

import (
	"millrace/internal/invariant"
	"millrace/protocol"
	"millrace/protocol/batch"
	"millrace/segment/epoch"
	"millrace/segment/producer"
)

// Log is one partition.
type Log struct {
	TP    protocol.TopicPartition
	Topic string
	User  uint32 // the engine's handle; storage does not look at it

	shard *Shard
	cfg   LogConfig
	marks Marks
	segs  []*seg // by base; the last one is active. Empty before the first append
	tail  tail
	bytes int64 // of all segments

	producers producer.State
	epochs    epoch.Cache

	highAbs    int64 // of High in the tail
	stagedAbs  int64 // bytes below are in a journal group
	flushedAbs int64 // bytes below are in segment files
	goalAbs    int64 // bytes below are wanted there
	touchGroup uint64
	touchAt    int32
	queued     int32  // entries waiting in the stager
	touched    uint64 // sweep in which it was last appended to

	advanced  bool
	root      string // data directory of its files
	dropped   bool
	startSeq  Seq  // entry of a new start that is not yet durable, 0: none
	inFlush   bool // in the shard's flush queue
	swept     bool // the running sweep waits for it
	sweepGoal int64
	slot      int // in shard.list

	known knownState // of the checkpoint it was restored from
	clean logClean
	moves uint32 // how often it went to another core
}

// knownState says which journal entries a checkpoint covers.
type knownState struct {
	journal journalID
	seq     Seq
}

// seg is one segment: a .log file and its indexes.
type seg struct {
	log      *Log
	base     int64
	end      int64 // offset after its last record
	size     int64 // bytes of batches
	created  int64 // wall clock of the first append, ms
	firstMax int64 // max timestamp of its first batch: rolling by time counts from it
	maxTime  int64 // −1: none
	maxAt    int64 // last offset of the batch with maxTime
	index    indexing
	sums     sealing
	sealed   bool
	gaps     bool  // offsets may be missing: it was compacted
	finished bool  // sealed, written, trimmed to size and indexed durably
	gone     bool  // deleted; readers may still hold the file
	removed  bool  // the job that deletes its files was started
	dirty    bool  // written since the last sync
	trimming bool  // a running job cuts the file to size
	written  int64 // bytes that are in the file

	fd        filePin
	alloc     int64  // file size
	preparing bool   // a job opens or extends it
	loading   bool   // a job reads its index
	onDisk    bool   // the file was made
	absent    bool   // and is not there any more (replay only)
	noted     uint64 // sweep that first took it down as sealed, 0: none
	gen       uint64 // of the swap that made it, as long as the book has that; 0: none

	cache *loadedIndex
	cold  []*stretch // of the file, in memory, by position
}

// Marks are the log's positions now.
func (l *Log) Marks() Marks { return l.marks }

// Producers is the state of idempotent producers: Check before Append.
func (l *Log) Producers() *producer.State { return &l.producers }

// Epochs is the leader epoch cache.
func (l *Log) Epochs() *epoch.Cache { return &l.epochs }

// Bytes is the size of all segments.
func (l *Log) Bytes() int64 { return l.bytes }

// Config is the configuration in force.
func (l *Log) Config() LogConfig { return l.cfg }

func (l *Log) active() *seg {
	if len(l.segs) == 0 {
		return nil
	}
	return l.segs[len(l.segs)-1]
}

// Append stages one validated batch and returns its base offset and the number to
// wait for. It cannot fail: Admit made room, and disk errors come back through Err.
// v is stamped in place; its bytes are copied. now is the wall clock in ms.
//
//hot:noalloc
func (s *Shard) Append(l *Log, v batch.View, epoch int32, now int64) (base int64, seq Seq) {
	invariant.Check(l.shard == s && !l.dropped && !s.frozen(l))
	base = l.marks.End
	v.Stamp(base, epoch) // outside the CRC range: nothing to rehash
	g := l.roomFor(v, now)
	h := entryHeader{
		kind: kindAppend, tp: l.TP, epoch: epoch, offset: base,
		segment: g.base, pos: uint32(g.size), moves: uint16(l.moves),
	}
	abs := l.tail.end
	l.take(g, v, now)
	seq = s.stage(l, &h, v, abs, l.marks.End)
	if l.flushable() {
		s.queueFlush(l)
	}
	return base, seq
}

// take puts a stamped batch behind the log's end: the same for live appends and
// for the replay of a journal.
func (l *Log) take(g *seg, v batch.View, now int64) {
	base, next := v.BaseOffset(), v.NextOffset()
	invariant.Check(base == l.marks.End && next > base) // I2
	l.put(base, v)
	size := int64(len(v))
	maxTime := v.MaxTimestamp()
	if g.size == 0 {
		g.created, g.firstMax = now, maxTime
	}
	g.index.batch(g, next-1, maxTime, g.size, size, l.cfg.IndexInterval)
	g.size += size
	g.end = next
	g.sums.batch(g, v)
	l.bytes += size
	l.marks.End = next
	l.touched = l.shard.sw.number
	if e := v.LeaderEpoch(); e > l.epochs.Latest() {
		l.epochs.Assign(e, base)
	}
	if pid := v.ProducerID(); pid >= 0 && !v.IsControl() {
		l.producers.Note(producer.Batch{
			PID: pid, Epoch: v.ProducerEpoch(), BaseSeq: v.BaseSequence(),
			Count: v.LastOffsetDelta() + 1, BaseOffset: base, Timestamp: maxTime,
		}, now)
	}
}

// roomFor is the active segment, after a roll if the batch asks for one.
func (l *Log) roomFor(v batch.View, now int64) *seg {
	g := l.active()
	if g != nil && !g.sealed && !l.shouldRoll(g, v, now) {
		return g
	}
	return l.roll()
}

// shouldRoll is Kafka's rule: size, time between the first batch and this one, a
// full index, or an offset that does not fit an index entry.
func (l *Log) shouldRoll(g *seg, v batch.View, now int64) bool {
	if g.size == 0 {
		return false
	}
	if g.size+int64(len(v)) > l.segmentBytes() {
		return true
	}
	if v.NextOffset()-1-g.base > 1<<31-1 {
		return true
	}
	if l.cfg.IndexBytes > 0 && g.index.bytes() >= l.cfg.IndexBytes {
		return true
	}
	return l.aged(g, v.MaxTimestamp(), now)
}

// segmentBytes is segment.bytes within what a position in an index can say.
func (l *Log) segmentBytes() int64 {
	return min(max(l.cfg.SegmentBytes, 1), 1<<31-1)
}

// aged says whether segment.ms is over, by the records' time or by the clock.
func (l *Log) aged(g *seg, maxTime, now int64) bool {
	ms := l.cfg.SegmentMillis
	if ms <= 0 || g.size == 0 {
		return false
	}
	ms -= l.jitter(g)
	if maxTime >= 0 && g.firstMax >= 0 && maxTime-g.firstMax > ms {
		return true
	}
	return now-g.created > ms
}

// jitter is how much sooner a segment rolls by time, so that not all of them do at once. It
// is the segment's own: a start does not change it.
func (l *Log) jitter(g *seg) int64 {
	most := min(l.cfg.SegmentJitter, l.cfg.SegmentMillis)
	if most <= 0 {
		return 0
	}
	h := uint64(14695981039346656037) // FNV-1a
	for _, b := range l.TP.Topic {
		h = (h ^ uint64(b)) * 1099511628211
	}
	for _, v := range [...]uint64{uint64(uint32(l.TP.Partition)), uint64(g.base)} {
		h = (h ^ v) * 1099511628211
	}
	return int64((h ^ h>>32) % uint64(most))
}

// roll seals the active segment and begins one at End.
func (l *Log) roll() *seg {
	l.seal()
	g := &seg{log: l, base: l.marks.End, end: l.marks.End, maxTime: -1, maxAt: -1}
	g.index.init()
	g.sums.init(g.sealID())
	l.segs = append(l.segs, g)
	l.shard.stats.Segments++
	return g
}

// seal ends the active segment: what it holds may be written whole.
func (l *Log) seal() {
	g := l.active()
	if g == nil || g.sealed {
		return
	}
	g.sealed = true
	g.index.seal(g)
	g.sums.seal(g)
	l.shard.soil(g)
	if c := l.tail.last(); c != nil && c.seg == g {
		if from := max(c.n, c.once); from < int(ceil(int64(c.n))) {
			clear(c.mem[from:ceil(int64(c.n))]) // the last block is written whole
		}
	}
	l.shard.queueFlush(l)
}

// indexing is what is known of a segment's index files, and what is not yet in
// them. The rule of Kafka: an entry for the first batch that comes after more than
// index.interval.bytes since the last one.
type indexing struct {
	since    int64 // bytes since the last entry
	offsets  int64 // entries in .index
	times    int64 // entries in .timeindex
	lastTime int64 // of the last time entry, pending ones included; −1: none
	damaged  bool  // .timeindex is
	// CRCs of what is in the files.
	offsetSum, timeSum uint32
	fresh              []offsetEntry
	freshT             []timeEntry
}

type offsetEntry struct {
	offset int64
	pos    int32
}

type timeEntry struct {
	time   int64
	offset int64
}

func (x *indexing) init() { x.lastTime = -1 }

// bytes is what .index takes.
func (x *indexing) bytes() int64 { return (x.offsets + int64(len(x.fresh))) * offsetEntrySize }

func (x *indexing) batch(g *seg, last, maxTime, pos, size, interval int64) {
	if maxTime > g.maxTime {
		g.maxTime, g.maxAt = maxTime, last
	}
	if x.since > interval {
		x.fresh = append(x.fresh, offsetEntry{last, int32(pos)})
		x.time(g)
		x.since = 0
	}
	x.since += size
}

func (x *indexing) time(g *seg) {
	if g.maxTime > x.lastTime {
		x.freshT = append(x.freshT, timeEntry{g.maxTime, g.maxAt})
		x.lastTime = g.maxTime
	}
}

// seal adds the last time entry, as Kafka does when a segment becomes inactive.
func (x *indexing) seal(g *seg) { x.time(g) }
