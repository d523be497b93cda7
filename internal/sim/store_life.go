package sim

import (
	"fmt"
	"time"

	"millrace/segment"
)

// end ends a life without grace.
func (s *store) end(power bool) {
	s.settleDisk()
	s.cleanings()
	s.w.Crash(power)
	s.dropPools()
	s.shards, s.cores = nil, nil
	s.w.Disk.SetCapacity(0)
	s.tight, s.hungry = false, false
	if power && s.durability == segment.Write && !s.clean {
		s.forgetAcks()
	}
}

// run lets events happen until stop says so. False: the power failed, or limit events
// were not enough.
func (s *store) run(limit int, stop func() bool) bool {
	return s.w.RunUntil(limit, func() bool { return s.w.Disk.Off() || stop() }) && !s.w.Disk.Off()
}

// live works for a while and then ends in one of many ways.
func (s *store) live() {
	s.begins()
	events := 200 + s.rng.IntN(3000)
	how := s.rng.IntN(9)
	if s.rng.IntN(4) == 0 {
		s.squeeze()
	}
	if s.rng.IntN(5) == 0 {
		s.soon(func() { s.w.Hiccup(2 * time.Second) })
	}
	if s.rng.IntN(4) == 0 {
		by := []int64{time.Hour.Milliseconds(), 10 * 365 * 24 * time.Hour.Milliseconds()}[s.rng.IntN(2)]
		if s.rng.IntN(2) == 0 {
			by = -by
		}
		s.soon(func() { s.shiftWall(by) })
	}
	switch how {
	case 0, 1: // a power loss at any event
		s.run(events, func() bool { return false })
		s.end(true)
	case 2: // a kill at any event
		s.run(events, func() bool { return false })
		s.end(false)
	case 3, 4: // a power loss at any call of the file system
		s.w.Disk.PowerOffAfter(int64(s.rng.IntN(1500)))
		s.run(20_000, func() bool { return false })
		s.end(true)
	case 5, 6: // the disk fails
		s.breakDisk(events)
	default:
		s.run(events, func() bool { return false })
		s.relax()
		s.stop()
		s.end(s.rng.IntN(2) == 0)
	}
}

// begins lets work be done again.
func (s *store) begins() {
	s.quiet, s.bytes, s.most = false, 0, 256<<10<<s.rng.IntN(5)
	for _, c := range s.cores {
		c.core.wake()
	}
}

// soon lets do happen somewhere in this life.
func (s *store) soon(do func()) {
	s.w.After(time.Duration(s.rng.IntN(50))*time.Millisecond, do)
}

func (s *store) shiftWall(by int64) {
	s.aging.step(s.w.now)
	s.w.ShiftWall(by)
	s.aging.shift(by, s.w.now)
}

// breakDisk orders an error at one place and watches that nothing is acknowledged after
// the shard has seen it.
func (s *store) breakDisk(events int) {
	s.trouble = s.w.disorder(s.fs, places)
	s.run(events, func() bool { return false })
	s.end(s.trouble.powerAfter(s.direct) || s.rng.IntN(2) == 0)
}

// squeeze leaves little room on the disk for a while.
func (s *store) squeeze() {
	s.tight = true
	s.w.Disk.SetCapacity(s.w.Disk.Used() + int64(s.rng.IntN(2<<20)))
	s.w.After(time.Duration(s.rng.IntN(100))*time.Millisecond, s.relax)
}

// relax takes the limit away. Storage has ten seconds to notice.
func (s *store) relax() {
	s.w.Disk.SetCapacity(0)
	s.w.After(10*time.Second, func() { s.tight = false })
}

// stop ends a life cleanly: everything appended is acknowledged, then drained.
func (s *store) stop() {
	s.quiet = true
	settled := func() bool {
		for _, c := range s.cores {
			if len(c.waits) > 0 || len(c.reads) > 0 || len(c.pins) > 0 || c.traveling() {
				return false
			}
		}
		return true
	}
	s.check(s.run(300_000, settled), "a stop waits for ever: %s", s.waiting())
	for _, c := range s.cores {
		c.shard.Drain()
		c.core.wake()
	}
	drained := func() bool {
		for _, c := range s.cores {
			if !c.shard.Drained() {
				return false
			}
		}
		return true
	}
	s.check(s.run(300_000, drained), "a drain takes for ever: %s", s.waiting())
	if err := segment.Close(s.shards); err != nil {
		s.fail("close: %v", err)
	}
	s.w.Tally[CleanStops]++
	s.clean = true
	for _, shard := range s.shards {
		s.clean = s.clean && !shard.Partly()
	}
	for _, t := range s.topics {
		for _, p := range t.parts {
			if s.clean {
				p.floor = floor{p.acked, p.start}
			}
		}
	}
}

// waiting says what a stop waits for.
func (s *store) waiting() string {
	out := ""
	for i, c := range s.cores {
		st := c.shard.Stats()
		out += fmt.Sprintf("core %d: %d acks, %d reads, %d pins, %d ops in flight, next turn in %v, "+
			"drained %v, err %v, %d bytes dirty, %d of %d bytes of journal used, %d sweeps; ", i,
			len(c.waits), len(c.reads), len(c.pins), len(c.core.ring.flying),
			c.shard.Next().Sub(s.w.now.Mono), c.shard.Drained(), c.shard.Err(), st.DirtyBytes,
			st.JournalUsed, st.JournalTotal, st.Sweeps)
	}
	return out
}
