package sim

import (
	"fmt"
	"time"

	"millrace/segment"
)

// live works for a while and ends in one of several ways.
func (b *brokerRun) live() {
	events := 500 + b.rng.IntN(6000)
	if b.rng.IntN(5) == 0 {
		b.squeeze()
	}
	if b.rng.IntN(5) == 0 {
		b.soon(func() { b.w.Hiccup(2 * time.Second) })
	}
	if b.rng.IntN(3) == 0 {
		b.soon(b.setClock)
	}
	b.moveAbout()
	switch b.rng.IntN(7) {
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
	case 4, 5:
		b.trouble = b.w.disorder(b.fs, places)
		b.run(events, never)
		b.crash(b.trouble.powerAfter(b.direct) || b.rng.IntN(2) == 0)
	default:
		b.run(events, never)
		b.relax()
		b.stop()
		b.crash(b.rng.IntN(2) == 0)
	}
}

// soon lets do happen somewhere in this life.
func (b *brokerRun) soon(do func()) {
	b.w.After(time.Duration(b.rng.IntN(50))*time.Millisecond, do)
}

// setClock moves the wall clock by up to an hour, and by less than a day in all: what is
// kept for a day must not be gone.
func (b *brokerRun) setClock() {
	by := b.rng.Int64N(7_200_000) - 3_600_000
	if b.drift+by > 40_000_000 || b.drift+by < -40_000_000 {
		by = -by
	}
	b.drift += by
	b.w.ShiftWall(by)
}

// settleDisk ends what was ordered to go wrong.
func (b *brokerRun) settleDisk() {
	b.trouble.over(b.w)
	b.trouble = nil
	b.fs.Clear()
}

// squeeze leaves little room on the disk for a while.
func (b *brokerRun) squeeze() {
	b.tight = true
	b.w.Disk.SetCapacity(b.w.Disk.Used() + int64(b.rng.IntN(2<<20)))
	b.w.After(time.Duration(b.rng.IntN(200))*time.Millisecond, b.relax)
}

// relax takes the limit away. The broker has ten seconds to notice.
func (b *brokerRun) relax() {
	b.w.Disk.SetCapacity(0)
	b.w.After(10*time.Second, func() { b.tight = false })
}

// crash ends a life. What was agreed stays; what was only proposed is not agreed.
func (b *brokerRun) crash(power bool) {
	b.settleDisk()
	b.cleanings()
	b.cores = nil
	b.w.Crash(power)
	b.dropPools()
	b.weak = b.weak || power && b.durability == segment.Write && !b.clean
	b.broker, b.tight, b.hungry, b.stopped, b.clean = nil, false, false, 0, false
	b.w.Disk.SetCapacity(0)
	for _, l := range b.links {
		l.reset()
	}
}

// dropPools gives the memory of a life back.
func (b *brokerRun) dropPools() {
	if b.broker == nil {
		return
	}
	for _, p := range b.broker.Pools() {
		p.Abandon()
	}
}

// stop is SIGTERM: requests in flight are answered, everything is flushed.
func (b *brokerRun) stop() {
	b.stopped = b.w.now.Mono
	if b.rng.IntN(3) == 0 {
		b.w.Hiccup(200 * time.Millisecond)
	}
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
	b.w.Tally[CleanStops]++
	b.run(2000, never) // letters between the cores arrive: a process would just end
	b.run(100_000, b.broker.Settled)
	err := b.broker.Close()
	b.check(err == nil, "close: %v", err)
	for i, p := range b.broker.Pools() {
		b.check(p.Held() == 0, "core %d holds %d bytes after a clean stop", i, p.Held())
	}
	b.check(b.w.Net.Open() == 0, "%d sockets are open after a clean stop", b.w.Net.Open())
	b.clean = true
	for _, s := range b.broker.Shards() {
		b.clean = b.clean && !s.Partly()
	}
}

// cleanings counts what the cleaners of this life have done.
func (b *brokerRun) cleanings() {
	if b.broker == nil {
		return
	}
	for _, s := range b.broker.Shards() {
		b.w.Tally[Cleanings] += int(s.Stats().Cleaner.Runs)
	}
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
	keyed := newKeyed(b, b.keyed, true)
	b.check(b.run(2_000_000, keyed.over), "a reader of the compacted topic does not come to the end: %v",
		keyed.at)
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
