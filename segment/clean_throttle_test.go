package segment

import (
	"testing"

	"millrace/protocol"
)

// cleanOne makes a world of one log with several megabytes to compact.
func cleanOne(t *testing.T, cfg CleanerConfig) *cleanWorld {
	w := &cleanWorld{rig: newRig(t, 3), logs: map[protocol.TopicPartition]*cleanModel{}}
	w.topic(1, 1, cleanConfig(200_000))
	tp := protocol.TopicPartition{Topic: topicID(1)}
	w.keys, w.logs[tp] = append(w.keys, tp), &cleanModel{}
	w.o.JournalMax = 8 << 20
	w.open()
	off := cfg
	off.Disabled = true
	w.shards[0].ConfigureCleaner(off)
	for w.logs[tp].end() < 6000 {
		w.act()
		w.turn()
		w.perform(len(w.waiting))
	}
	w.settle()
	return w
}

// TestCleanerIsThrottled: what a round reads and writes stays within
// log.cleaner.io.max.bytes.per.second.
func TestCleanerIsThrottled(t *testing.T) {
	cfg := DefaultCleaner()
	cfg.BackoffMillis, cfg.BytesPerSecond = 100, 200_000
	w := cleanOne(t, cfg)
	s := w.shards[0]
	s.ConfigureCleaner(cfg)
	var moved, seconds float64
	for seconds = 0; s.Stats().Cleaner.Runs == 0; seconds += 0.05 {
		if seconds > 600 {
			t.Fatal("it never ends")
		}
		w.now.Mono += 49e6
		w.turn()
		w.perform(len(w.waiting))
		st := s.Stats().Cleaner
		moved = float64(st.ReadBytes + st.WrittenBytes)
		if moved > cfg.BytesPerSecond*seconds+4*leastStep {
			t.Fatalf("%.0f bytes in %.2f s", moved, seconds)
		}
	}
	if moved < 300_000 || moved < cfg.BytesPerSecond*seconds/3 {
		t.Errorf("only %.0f bytes in %.1f s", moved, seconds)
	}
	w.check(nil)
	w.stop()
}

// TestCleanerWaitsForSpace: on a full disk no round begins for some seconds after one that
// had no space, though every change of the metadata has all logs looked at.
func TestCleanerWaitsForSpace(t *testing.T) {
	cfg := DefaultCleaner()
	cfg.BackoffMillis = 100
	w := cleanOne(t, cfg)
	s := w.shards[0]
	w.fs.SetCapacity(w.fs.Used())
	s.ConfigureCleaner(cfg)
	for range 12_000 / 50 {
		for l := range w.logs {
			s.Configure(w.log(l), w.log(l).Config())
		}
		w.now.Mono += 49e6
		w.turn()
		w.perform(len(w.waiting))
	}
	if n := s.Stats().Cleaner.Failed; n == 0 || n > 3 {
		t.Errorf("%d rounds in 12 s", n)
	}
	w.fs.SetCapacity(0)
	for range 12_000 / 50 {
		w.now.Mono += 49e6
		w.turn()
		w.perform(len(w.waiting))
	}
	if s.Stats().Cleaner.Runs == 0 {
		t.Error("nothing is cleaned when there is space again")
	}
	w.check(nil)
	w.stop()
}

// TestCleanerGivesWay: a clean stop does not wait for a round, and what is left of it is
// cleared away.
func TestCleanerGivesWay(t *testing.T) {
	cfg := DefaultCleaner()
	cfg.BackoffMillis, cfg.BytesPerSecond = 100, 10_000
	w := cleanOne(t, cfg)
	s := w.shards[0]
	s.ConfigureCleaner(cfg)
	for !s.Stats().Cleaner.Running {
		w.now.Mono += 49e6
		w.turn()
		w.perform(len(w.waiting))
	}
	w.stop()
	w.open()
	w.check(nil)
	w.eager()
	w.rest()
	if st := w.shards[0].Stats().Cleaner; st.Runs == 0 || st.RecordsOut >= st.RecordsIn {
		t.Errorf("after the next start: %+v", st)
	}
	w.check(nil)
	w.files()
	w.stop()
}

// TestCleanerOff: log.cleaner.enable=false leaves everything as it is.
func TestCleanerOff(t *testing.T) {
	cfg := DefaultCleaner()
	cfg.Disabled = true
	w := cleanOne(t, cfg)
	w.rest()
	if st := w.shards[0].Stats().Cleaner; st.Runs+st.Swaps+st.ReadBytes > 0 {
		t.Errorf("it cleaned: %+v", st)
	}
	w.check(nil)
	w.stop()
}

// TestCleanersTakeTurns: with one cleaner for all, the core that had it last gives way to
// one that asked in vain.
func TestCleanersTakeTurns(t *testing.T) {
	var c cleaners
	if !c.take(0, 1) || c.take(1, 1) || c.take(0, 1) {
		t.Fatal("more than one at a time")
	}
	c.running.Add(-1)
	if c.take(0, 1) {
		t.Fatal("the same again, though another waits")
	}
	if !c.take(1, 1) {
		t.Fatal("not the one that waited")
	}
	c.running.Add(-1)
	if !c.take(0, 1) {
		t.Fatal("and back")
	}
	if !c.take(1, 2) || c.take(2, 2) {
		t.Fatal("two of two")
	}
}
