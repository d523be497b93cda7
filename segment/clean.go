package segment

import (
	"time"

	"millrace/internal/clock"
	"millrace/segment/compact"
)

// CleanerConfig is the part of the broker's configuration that the cleaner obeys. The
// names are those of Kafka's server properties.
type CleanerConfig struct {
	Disabled       bool    // log.cleaner.enable is false
	Threads        int     // log.cleaner.threads: rounds at one time, of all cores
	DedupeBytes    int64   // log.cleaner.dedupe.buffer.size: memory for keys, of all rounds
	LoadFactor     float64 // log.cleaner.io.buffer.load.factor
	BufferBytes    int     // log.cleaner.io.buffer.size
	BytesPerSecond float64 // log.cleaner.io.max.bytes.per.second, read and written
	BackoffMillis  int64   // log.cleaner.backoff.ms
}

// DefaultCleaner is Kafka's.
func DefaultCleaner() CleanerConfig {
	return CleanerConfig{
		Threads: 1, DedupeBytes: 128 << 20, LoadFactor: 0.9, BufferBytes: 512 << 10,
		BytesPerSecond: 1e308, BackoffMillis: 15_000,
	}
}

// cleanFull is how long cleaning waits for space. A change of the metadata has all logs looked
// at, however often that comes.
const cleanFull = 5 * time.Second

// cleanQueue is how soon a core asks again that found all cleaners at work for others.
const cleanQueue = time.Second

// cleaner is the compaction of one core's logs.
type cleaner struct {
	cfg     CleanerConfig
	now     *cleaning     // the running round
	removal []replaced    // files of replaced segments
	best    *Log          // dirtiest log that was seen in this walk
	state   compact.State // of best
	ratio   float64       // of the dirtiest, due or not, in this walk
	logs    int           // compacted ones seen in this walk
	seen    int           // and in the last one
	queued  bool          // all cleaners were at work for other cores
	full    clock.Instant // no round before: there was no space for what it writes
	unswept bool          // some log would be due if a sweep had written its segments
	swept   clock.Instant // when one was asked for
	segs    []compact.Segment
	stats   CleanerStats
}

// CleanerStats are figures for the metrics.
type CleanerStats struct {
	Runs         uint64 // rounds that ended well
	Failed       uint64
	ReadBytes    uint64
	WrittenBytes uint64
	RecordsIn    uint64
	RecordsOut   uint64
	Swaps        uint64
	MaxRatio     float64 // dirty bytes of all bytes that may be cleaned, the dirtiest log's
	LastMillis   int64   // wall clock of the last round's end, 0: none
	Uncleanable  int     // logs that are left alone because they are damaged
	Running      bool
}

// logClean is what a log knows of its cleaning.
type logClean struct {
	dirty    int64 // first offset that was never cleaned
	plain    bool  // no batch of a transaction lies below it
	swapping bool  // from the commit of a swap until its files have their names
	bad      bool  // it cannot be cleaned: damaged
	swaps    []swapMark
}

// swapMark is a swap in the book.
type swapMark struct {
	gen   uint64
	sweep uint64 // the sweep that ran, or was the last, when it was installed
	done  bool   // the files have their names
}

// ConfigureCleaner changes what the cleaner obeys, from its next step on.
func (s *Shard) ConfigureCleaner(cfg CleanerConfig) {
	if s.clean.cfg == cfg {
		return
	}
	s.clean.cfg = cfg
	s.keep.soon = true
}

// holds says that a durable checkpoint has the segment as it is in its file.
func (w *sweep) holds(g *seg) bool {
	return g.finished && g.noted > 0 &&
		(w.number > g.noted || w.number == g.noted && w.state == sweepIdle)
}

// judge says how dirty the log is. With all, segments count that are sealed but not yet
// whole in their files.
func (s *Shard) judge(l *Log, all bool) compact.State {
	c := &s.clean
	bound := min(l.marks.High, l.marks.Stable)
	c.segs = c.segs[:0]
	for _, g := range l.segs {
		if !g.sealed || g.end > bound || !all && !s.sw.holds(g) {
			break
		}
		c.segs = append(c.segs, compact.Segment{
			Base: g.base, End: g.end, Size: g.size, First: g.firstMax, MaxTime: g.maxTime})
	}
	if len(c.segs) == 0 {
		return compact.State{}
	}
	if l.clean.dirty <= l.segs[0].base || l.clean.dirty > l.marks.End {
		l.clean.dirty, l.clean.plain = l.segs[0].base, true // deleted, or not this log's
	}
	return compact.Judge(c.segs, l.clean.dirty, s.keep.wall, compact.Policy{
		DirtyRatio: l.cfg.DirtyRatio, MinLag: l.cfg.MinLagMillis, MaxLag: l.cfg.MaxLagMillis})
}

// consider is the cleaner's part of a walk over all logs.
func (s *Shard) consider(l *Log) {
	c := &s.clean
	if !l.cfg.Compact || l.clean.bad || c.cfg.Disabled || s.move.log == l {
		return
	}
	c.logs++
	if c.now != nil && c.now.log == l {
		return
	}
	st := s.judge(l, false)
	c.ratio = max(c.ratio, st.Ratio)
	if !st.Due {
		c.unswept = c.unswept || s.judge(l, true).Due
		return
	}
	if c.best == nil || st.Late && !c.state.Late ||
		st.Late == c.state.Late && st.Ratio > c.state.Ratio {
		c.best, c.state = l, st
	}
}

// choose begins with the dirtiest log after a walk.
func (s *Shard) choose() {
	c := &s.clean
	best, state, unswept := c.best, c.state, c.unswept
	c.seen, c.stats.MaxRatio = c.logs, c.ratio
	c.best, c.ratio, c.logs, c.unswept = nil, 0, 0, false
	if unswept && !s.sw.first && s.now.Mono >= c.swept {
		s.sw.first = true // nothing else may ask for a sweep for a long time
		c.swept = s.now.Mono.Add(max(c.backoff(), time.Second))
	}
	if best != nil && !best.dropped && best != s.move.log && c.now == nil && !c.cfg.Disabled &&
		!s.draining && s.now.Mono >= c.full {
		c.queued = !s.shared.cleaners.take(s.core, c.cfg.Threads)
		if !c.queued {
			s.startRound(best, state)
		}
	}
}

// take asks for one of the broker's cleaners. Whoever had one last gives way to a core
// that asked in vain.
func (c *cleaners) take(core, most int) bool {
	bit := uint64(1) << (core % 64)
	if c.waiting.Load()&^bit != 0 && c.last.Load() == int32(core) ||
		c.running.Add(1) > int32(max(most, 1)) && c.giveBack() {
		c.waiting.Or(bit)
		return false
	}
	c.waiting.And(^bit)
	c.last.Store(int32(core))
	return true
}

// giveBack is true.
func (c *cleaners) giveBack() bool {
	c.running.Add(-1)
	return true
}

func (c *cleaner) backoff() time.Duration {
	return time.Duration(max(c.cfg.BackoffMillis, 100)) * time.Millisecond
}

// every is how long a walk over all logs may wait.
func (c *cleaner) every() time.Duration {
	switch {
	case c.seen == 0 || c.cfg.Disabled:
		return keepEvery
	case c.queued:
		return min(keepEvery, c.backoff(), cleanQueue)
	}
	return min(keepEvery, c.backoff())
}
