package segment

import (
	"testing"

	"millrace/internal/clock"
)

// Segments that began together roll at times of their own, none later than segment.ms.
func TestRollJitter(t *testing.T) {
	const partitions = 40
	r := newRig(t, 3)
	cfg := DefaultConfig()
	cfg.SegmentMillis, cfg.SegmentJitter = 100_000, 60_000
	r.topic(1, partitions, cfg)
	r.open()
	for _, l := range r.shards[0].list {
		v := makeBatch(t, 1, 200, r.now.Wall, 1)
		l.shard.Append(l, v, 1, r.now.Wall)
	}
	r.settle()
	rolled := func() (n int) {
		for _, l := range r.shards[0].list {
			if l.active().sealed {
				n++
			}
		}
		return n
	}
	for _, step := range []struct{ at, least, most int }{
		{39_000, 0, 0}, {70_000, partitions / 4, partitions * 3 / 4}, {101_000, partitions, partitions},
	} {
		for r.now.Wall < 1_700_000_000_000+int64(step.at) {
			r.now.Mono += clock.Instant(11e9)
			r.now.Wall += 1000
			r.turn()
			r.perform(len(r.waiting))
		}
		r.settle()
		if n := rolled(); n < step.least || n > step.most {
			t.Errorf("after %d ms %d of %d have rolled", step.at, n, partitions)
		}
	}
	r.stop()
}
