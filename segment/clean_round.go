package segment

import (
	"errors"
	"io/fs"
	"slices"
	"time"

	"millrace/internal/clock"
	"millrace/segment/compact"
	"millrace/segment/producer"
)

const (
	// cleanStep is how much a job reads and writes before the core looks up again; leastStep
	// when log.cleaner.io.max.bytes.per.second is small.
	cleanStep = 4 << 20
	leastStep = 64 << 10
	// inflateClean bounds what one batch may become, as when it is produced.
	inflateClean = 256 << 20
	// cleanMemory is the share of all cores' memory budget that the keys may take: they
	// lie beside it.
	cleanMemory = 8
	leastKeys   = 1 << 20 // bytes
	// cleanPatience is how soon it is looked again whether old files are still read by
	// name.
	cleanPatience = 2 * time.Millisecond
)

// cleaning is one round on one log.
type cleaning struct {
	log   *Log
	place logPlace
	segs  []*seg // the sources; those of finished groups are replaced
	next  int    // the first that is not
	o     compact.Options
	last  []lastOf
	round *compact.Round
	out   *cleanOutput
	free  func() // gives the memory for keys back
	bytes int64  // of it
	load  float64
	state cleaningState
	at    clock.Instant // when the next step may be
	stop  bool          // nothing more is wanted of it

	swap *swapRecord // of the group that is being swapped
	seg  *seg        // the new segment, installed
	old  []*seg      // what it replaces
	gone []string    // files of theirs that may be removed
}

// lastOf is the last batch of an active producer.
type lastOf struct {
	pid  int64
	last compact.Last
}

type cleaningState uint8

const (
	cleanReady      cleaningState = iota // the next step may be started
	cleanStepping                        // these are jobs
	cleanCommitting                      //
	cleanPutting                         //
	cleanWaiting                         // for jobs that read the old files by name
)

// startRound takes down what a round has to know.
func (s *Shard) startRound(l *Log, st compact.State) {
	t := &cleaning{log: l, place: s.placeOf(l)}
	cfg := &s.clean.cfg
	records := int64(0)
	for _, g := range l.segs {
		if g.end > st.Bound {
			break
		}
		t.segs = append(t.segs, g)
		t.o.Sources = append(t.o.Sources, compact.Source{
			Base: g.base, End: g.end, Size: g.size,
			IndexBytes: g.index.offsets * offsetEntrySize, TimeBytes: g.index.times * timeEntrySize,
		})
		if g.end > l.clean.dirty {
			records += g.end - max(g.base, l.clean.dirty)
		}
	}
	t.out = &cleanOutput{logPlace: t.place, log: l.TP}
	t.o.FirstDirty, t.o.Bound, t.o.Plain = l.clean.dirty, st.Bound, l.clean.plain
	t.o.Now, t.o.DeleteRetention = s.keep.wall, l.cfg.DeleteRetentionMillis
	t.o.SegmentBytes, t.o.IndexBytes = l.segmentBytes(), l.cfg.IndexBytes
	t.o.IndexInterval, t.o.InflateMost = l.cfg.IndexInterval, inflateClean
	t.o.Buffer, t.o.Out, t.o.Open = min(max(cfg.BufferBytes/2, 4096), 8<<20), t.out, t.place.open
	t.load = min(max(cfg.LoadFactor, 0.1), 0.95)
	most := min(cfg.DedupeBytes/int64(max(cfg.Threads, 1)),
		s.pool.Budget()*int64(s.cores)/cleanMemory)
	want := (int64(float64(records)/t.load) + 64) * compact.SlotSize
	t.bytes = min(want, max(most, leastKeys))
	l.producers.Each(func(i producer.Info) {
		t.last = append(t.last, lastOf{i.PID, compact.Last{Offset: i.LastOffset, Epoch: i.Epoch}})
	})
	s.clean.now = t
	s.clean.stats.Running = true
	s.stepRound(t)
}

// cleaned is what a job of a round answers.
type cleaned struct {
	p    compact.Progress
	gone []string
	err  error
}

// step runs on a helper.
func (t *cleaning) step(budget int64) cleaned {
	if t.round == nil {
		mem, free := aligned(int(t.bytes))
		t.free = free
		t.o.Keys = compact.NewOffsetMap(mem, t.load)
		t.o.Producers = make(map[int64]compact.Last, len(t.last))
		for _, p := range t.last {
			t.o.Producers[p.pid] = p.last
		}
		t.round = compact.NewRound(t.o)
	}
	p, err := t.round.Step(budget)
	return cleaned{p: p, err: err}
}

// end gives back what the round holds, on a helper or when all is over.
func (t *cleaning) end() {
	if t.round != nil {
		t.round.Close()
	}
	if t.free != nil {
		t.free()
		t.free = nil
	}
}

func (s *Shard) stepRound(t *cleaning) {
	t.state = cleanStepping
	budget := int64(min(max(s.clean.cfg.rate()/4, leastStep), cleanStep))
	s.job(jobClean, t, func() any { return t.step(budget) })
}

// rate is what one round may read and write in a second.
func (c *CleanerConfig) rate() float64 {
	return max(c.BytesPerSecond/float64(max(c.Threads, 1)), 1)
}

// tendRound moves the running round on.
func (s *Shard) tendRound() {
	t := s.clean.now
	switch {
	case t == nil:
	case t.state == cleanWaiting:
		s.putFiles(t)
	case t.state != cleanReady:
	case t.log.dropped || s.draining || t.stop || s.clean.cfg.Disabled:
		s.endRound()
	case s.now.Mono >= t.at:
		s.stepRound(t)
	}
}

// roundWake is when tendRound has something to do, if nothing else happens.
func (s *Shard) roundWake() clock.Instant {
	t := s.clean.now
	switch {
	case t != nil && t.state == cleanWaiting:
		return max(s.now.Mono.Add(cleanPatience), s.fullUntil)
	case t != nil && t.state == cleanReady:
		return max(t.at, s.now.Mono)
	}
	return clock.Never
}

// roundAnswer takes the answer of a round's job.
func (s *Shard) roundAnswer(t *cleaning, res cleaned) {
	switch t.state {
	case cleanStepping:
		s.stepped(t, res)
	case cleanCommitting:
		s.bookWritten(t, res.err)
	case cleanPutting:
		s.filesPut(t, res)
	}
}

// stepped takes a step's answer.
func (s *Shard) stepped(t *cleaning, res cleaned) {
	st := &s.clean.stats
	st.ReadBytes += uint64(res.p.Read)
	st.WrittenBytes += uint64(res.p.Written)
	if res.err != nil {
		s.roundFailed(t, res.err)
		return
	}
	t.state = cleanReady
	t.at = s.now.Mono
	pause := float64(res.p.Read+res.p.Written) / s.clean.cfg.rate() * float64(time.Second)
	t.at = t.at.Add(time.Duration(min(pause, float64(time.Hour))))
	switch {
	case res.p.Group != nil && !res.p.Group.Same:
		s.beginSwap(t, res.p.Group)
	case res.p.Done:
		s.noteRound(t)
	}
}

// roundFailed sorts an error: what is written is not to be trusted after a failure of
// the medium, a damaged log is left alone, everything else is tried again.
func (s *Shard) roundFailed(t *cleaning, err error) {
	l := t.log
	missing := errors.Is(err, fs.ErrNotExist)
	gone := slices.ContainsFunc(t.segs[t.next:], func(g *seg) bool { return g.gone })
	s.clean.stats.Failed++
	switch {
	case l.dropped || missing || gone && !errors.Is(err, errOutput):
	case noSpace(err):
		s.clean.full = s.now.Mono.Add(max(cleanFull, s.clean.backoff()))
		s.o.Log.Warn("cleaning waits for space", "topic", l.Topic, "partition", l.TP.Partition,
			"err", err)
	case errors.Is(err, errOutput):
		s.fail("cleaning", err)
	default:
		l.clean.bad = true
		s.clean.stats.Uncleanable++
		s.o.Log.Error("a log cannot be cleaned: it is left as it is", "topic", l.Topic,
			"partition", l.TP.Partition, "err", err)
	}
	s.endRound()
}

// noteRound writes the first dirty offset down at the end of a round.
func (s *Shard) noteRound(t *cleaning) {
	res := t.round.Result()
	s.writeBook(t, res.End, res.Plain, nil)
}

// roundDone ends a round that went well.
func (s *Shard) roundDone(t *cleaning) {
	res, st := t.round.Result(), &s.clean.stats
	t.log.clean.dirty, t.log.clean.plain = res.End, res.Plain
	st.Runs++
	st.RecordsIn += res.Records
	st.RecordsOut += res.Kept
	st.LastMillis = s.now.Wall
	s.o.Log.Info("cleaned", "topic", t.log.Topic, "partition", t.log.TP.Partition,
		"to", res.End, "records", res.Records, "kept", res.Kept)
	s.endRound()
	s.keep.soon = true // another may wait
}

// endRound lets another begin.
func (s *Shard) endRound() {
	t := s.clean.now
	s.clean.now = nil
	s.clean.stats.Running = false
	s.shared.cleaners.running.Add(-1)
	s.job(jobClose, nil, func() any {
		t.end()
		return nil
	})
}
