package segment

import (
	"time"

	"millrace/internal/clock"
)

// Drain begins a clean stop: everything is written to segment files, trimmed to
// size, indexed, and noted in a last checkpoint. Nothing may be appended any more.
func (s *Shard) Drain() { s.draining = true }

// Drained says that the clean stop is done and nothing is in flight.
func (s *Shard) Drained() bool { return s.drained }

// Partly says that a clean stop found no space for what the journal holds: the segments
// are not whole, and the next start replays.
func (s *Shard) Partly() bool { return s.partly }

// quiet says that all that was appended is durable in the journal.
func (s *Shard) quiet() bool {
	st := &s.st
	return st.flying == nil && st.qhead == len(st.queue) && st.gather.entries == 0
}

// drainPatience is how long a clean stop waits for space on a full disk. The journal
// holds what the segments lack: the next start replays it.
const drainPatience = 2 * time.Second

// drainTurn notices the end of a clean stop.
func (s *Shard) drainTurn() {
	if !s.draining || s.drained {
		return
	}
	if s.drainBy == 0 {
		s.drainBy = s.now.Mono.Add(drainPatience)
	}
	if s.fl.flying > 0 || len(s.newJobs) > 0 || s.jobsRunning() {
		return
	}
	switch {
	case s.sw.final && s.sw.state == sweepIdle && s.clean.now == nil:
		// Files on their way out go first: a start after a clean stop looks for none.
		s.drained = s.allRemoved()
	case s.full && s.quiet() && s.now.Mono >= s.drainBy:
		s.o.Log.Warn("stopped without writing all segments: the next start recovers from the journal",
			"err", s.why)
		s.drained, s.partly = true, true
	}
}

func (s *Shard) jobsRunning() bool {
	for i := range s.jobs {
		if s.jobs[i].kind != jobNone {
			return true
		}
	}
	return false
}

// Next is when Turn wants to be called again without another cause.
func (s *Shard) Next() clock.Instant {
	if s.readNow() {
		return s.now.Mono
	}
	if s.err != nil {
		return clock.Never
	}
	if s.move.news || s.busyNow() {
		return s.now.Mono
	}
	at := s.keep.next
	if s.draining {
		at = s.roundWake() // there are no more rounds of retention
	}
	at = min(at, s.nextRemoval(), s.nextMake(), s.cold.nextFill(s.now.Mono))
	if s.full {
		at = min(at, s.fullUntil)
	}
	if s.j.retryAt > s.now.Mono {
		at = min(at, s.j.retryAt)
	}
	if len(s.rd.queue) > 0 || s.crowded() {
		at = min(at, s.now.Mono.Add(retryMemory))
	}
	return at
}

// busyNow says that a turn would do something at once, without waiting for a
// completion.
func (s *Shard) busyNow() bool {
	st := &s.st
	switch {
	case s.now.Mono < s.fullUntil:
		return false
	case st.flying == nil && (st.gather.entries > 0 || st.qhead < len(st.queue) && s.room() > 0):
		return true
	case s.j.resume, len(s.newJobs) > 0:
		return true
	case s.sw.state == sweepWalking, s.sw.state == sweepWaiting && s.sw.waiting == 0:
		return true
	case s.sw.state == sweepIdle && s.sweepDue():
		return true
	case s.fl.ready():
		return true
	case s.keep.running, s.verify.on && !s.verify.running && !s.draining:
		return true
	}
	return len(s.j.old) > 0 && s.shared.released.Load()
}
