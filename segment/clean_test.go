package segment

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"millrace/internal/clock"
	"millrace/protocol"
	"millrace/protocol/batch"
)

// cleanWorld is a world of compacted logs.
type cleanWorld struct {
	*rig
	keys    []protocol.TopicPartition
	logs    map[protocol.TopicPartition]*cleanModel
	fill    int
	swaps   uint64
	rounds  uint64
	torn    int // swaps that an opening found half done
	deletes bool
	armed   bool // the power will fail at some call
	retains bool // retention moves starts, too
}

// cleanModel is every record that was ever appended to a log.
type cleanModel struct {
	recs  []cleanRecord
	start int64 // the last that was asked for
	seq   int32
}

type cleanRecord struct {
	offset     int64
	key, value string
	batch      int64 // base of its batch
	core       int
	seq        Seq
}

func (m *cleanModel) end() int64 { return int64(len(m.recs)) }

func cleanConfig(segmentBytes int64) LogConfig {
	cfg := DefaultConfig()
	cfg.Delete, cfg.Compact, cfg.DirtyRatio = false, true, 0.1
	cfg.SegmentBytes, cfg.IndexInterval, cfg.DeleteRetentionMillis = segmentBytes, 200, 50
	return cfg
}

func newCleanWorld(t testing.TB, seed uint64) *cleanWorld {
	w := &cleanWorld{rig: newRig(t, seed), logs: map[protocol.TopicPartition]*cleanModel{}}
	w.cores = 1 + w.rng.IntN(2)
	w.short = w.rng.IntN(2) == 0
	w.fs.SetDirect(w.rng.IntN(3) != 0)
	w.deletes = w.rng.IntN(2) == 0
	parts := int32(1 + w.rng.IntN(3))
	cfg := cleanConfig(int64(3_000 + w.rng.IntN(20_000)))
	if w.rng.IntN(4) == 0 { // compact,delete
		cfg.Delete, cfg.RetentionBytes, w.retains = true, int64(10_000+w.rng.IntN(60_000)), true
	}
	w.topic(1, parts, cfg)
	for p := range parts {
		tp := protocol.TopicPartition{Topic: topicID(1), Partition: p}
		w.keys, w.logs[tp] = append(w.keys, tp), &cleanModel{}
	}
	w.budget, w.o.JournalMax = 8<<20, 768<<10
	w.o.CacheBytes = int64(w.rng.IntN(64 << 10))
	return w
}

// eager makes the cleaner look often.
func (w *cleanWorld) eager() {
	for _, s := range w.shards {
		cfg := DefaultCleaner()
		cfg.BackoffMillis, cfg.BufferBytes = 100, 8192
		cfg.Threads = 2
		s.ConfigureCleaner(cfg)
	}
}

// act appends to a log, or moves its start.
func (w *cleanWorld) act() {
	tp := w.keys[w.rng.IntN(len(w.keys))]
	m, l := w.logs[tp], w.log(tp)
	s := l.shard
	if w.deletes && w.rng.IntN(80) == 0 {
		if high := l.Marks().High; high > m.start {
			m.start += 1 + w.rng.Int64N(high-m.start)
			s.SetStart(l, m.start)
		}
		return
	}
	if s.Admit(8000) != Admitted {
		return
	}
	count := 1 + w.rng.IntN(8)
	var b batch.Builder
	codecs := []batch.Codec{batch.None, batch.LZ4, batch.Snappy}
	b.Reset(batch.Options{Codec: codecs[w.rng.IntN(3)], Idempotent: true, ProducerID: 7,
		BaseSequence: m.seq})
	base := m.end()
	var recs []cleanRecord
	for i := range count {
		w.fill++
		r := cleanRecord{offset: base + int64(i), key: fmt.Sprint("k", w.rng.IntN(30)), core: s.core,
			value: strings.Repeat(fmt.Sprint("v", w.fill, "-"), 1+w.rng.IntN(40)), batch: base}
		value := []byte(r.value)
		if w.rng.IntN(6) == 0 {
			r.value, value = "", nil
		}
		recs = append(recs, r)
		b.Add(w.now.Wall, []byte(r.key), value, nil)
	}
	v, err := b.Finish()
	if err != nil {
		w.t.Fatal(err)
	}
	got, seq := s.Append(l, bytes.Clone(v), 3, w.now.Wall)
	if got != base {
		w.t.Fatalf("base %d, want %d", got, base)
	}
	for i := range recs {
		recs[i].seq = seq
	}
	m.recs = append(m.recs, recs...)
	m.seq += int32(count)
}

// life is one run between two opens; it returns what was acknowledged.
func (w *cleanWorld) life(steps int) map[protocol.TopicPartition]int64 {
	if w.rng.IntN(6) == 0 { // the disk is full for a while
		w.fs.SetCapacity(w.fs.Used() + w.rng.Int64N(300_000))
		defer w.fs.SetCapacity(0)
	}
	for range steps {
		for range w.rng.IntN(4) {
			w.act()
		}
		w.now.Mono += clock.Instant(w.rng.Int64N(80e6))
		w.now.Wall += w.rng.Int64N(20)
		w.turn()
		w.perform(w.rng.IntN(6))
		for _, s := range w.shards {
			if s.Err() != nil && !w.fs.Off() {
				w.t.Fatal(s.Err())
			}
		}
		if w.fs.Off() {
			break
		}
		if w.rng.IntN(200) == 0 && !w.armed {
			w.check(nil) // readers see the same all the time
		}
	}
	acked := map[protocol.TopicPartition]int64{}
	for _, tp := range w.keys {
		for _, r := range w.logs[tp].recs {
			if w.shards[r.core].Durable() >= r.seq {
				acked[tp] = r.offset + 1
			}
		}
	}
	for _, s := range w.shards {
		w.swaps += s.Stats().Cleaner.Swaps
		w.rounds += s.Stats().Cleaner.Runs
		if n := s.Stats().Cleaner.Uncleanable; n > 0 && !w.fs.Off() {
			w.t.Fatalf("%d logs cannot be cleaned", n)
		}
	}
	return acked
}

// check reads every log: what is there is what was appended, in order, and a reader of
// all ends with the same table.
func (w *cleanWorld) check(acked map[protocol.TopicPartition]int64) {
	w.t.Helper()
	for _, tp := range w.keys {
		m, l := w.logs[tp], w.log(tp)
		if cfg := l.Config(); cfg.Delete { // or the start moves away from the reader
			l.shard.Configure(l, cleanConfig(cfg.SegmentBytes))
			defer l.shard.Configure(l, cfg)
		}
		marks := l.Marks()
		high := marks.High
		if acked != nil {
			if marks.End < acked[tp] {
				w.t.Fatalf("%v: end %d, %d was acknowledged", tp, marks.End, acked[tp])
			}
			if marks.Start > m.start && !w.retains {
				w.t.Fatalf("%v: start %d, only %d was asked for", tp, marks.Start, m.start)
			}
			m.start, m.recs = marks.Start, m.recs[:marks.End]
			m.seq = int32(len(m.recs))
		}
		if marks.Start >= high {
			continue
		}
		got, want := map[string]string{}, map[string]string{}
		last := int64(-1)
		for b := w.readAll(l, marks.Start, high, 1+w.rng.IntN(20_000)); len(b) > 0; {
			v, rest, err := batch.Next(b)
			if err != nil || v.BaseOffset() <= last {
				w.t.Fatalf("%v: batch at %d after %d: %v", tp, v.BaseOffset(), last, err)
			}
			last, b = v.LastOffset(), rest
			w.batch(tp, m, v, marks.Start, got)
		}
		if last != high-1 {
			w.t.Fatalf("%v: reading ends at %d of %d", tp, last, high)
		}
		for _, r := range m.recs[:high] {
			if r.offset >= marks.Start {
				apply(want, r.key, r.value)
			}
		}
		if !maps.Equal(got, want) {
			w.t.Fatalf("%v: a reader ends with %d keys, want %d", tp, len(got), len(want))
		}
	}
}

func apply(table map[string]string, key, value string) {
	if value == "" {
		delete(table, key)
	} else {
		table[key] = value
	}
}

func (w *cleanWorld) batch(tp protocol.TopicPartition, m *cleanModel, v batch.View, start int64,
	got map[string]string) {
	plain, err := v.Inflate(nil, 1<<20)
	if err != nil {
		w.t.Fatal(err)
	}
	it := v.Records(plain)
	for it.Next() {
		r := m.recs[it.Record.Offset]
		if r.key != string(it.Record.Key) || r.value != string(it.Record.Value) ||
			r.batch != v.BaseOffset() || v.BaseSequence() != int32(r.batch) {
			w.t.Fatalf("%v: record %d is not what was appended", tp, r.offset)
		}
		if r.offset >= start {
			apply(got, r.key, r.value)
		}
	}
	if it.Err() != nil {
		w.t.Fatal(it.Err())
	}
}

// files checks that nothing but the logs' own files is left.
func (w *cleanWorld) files() {
	for _, tp := range w.keys {
		l := w.log(tp)
		names, err := w.fs.List(l.dir())
		if err != nil {
			return
		}
		for _, n := range names {
			if strings.HasSuffix(n, endCleaned) || strings.HasSuffix(n, endDeleted) {
				w.t.Fatalf("%s is left in %s", n, l.dir())
			}
			if b, ok := strings.CutSuffix(n, endLog); ok {
				base, _ := strconv.ParseInt(b, 10, 64)
				if l.segmentAt(base) == nil {
					w.t.Fatalf("%s is no segment's", n)
				}
			}
		}
	}
}

// TestCleaningCrashes compacts logs while they are written and read, and takes the power
// or the process away at any moment.
func TestCleaningCrashes(t *testing.T) {
	first, seeds := uint64(0), uint64(150)
	if testing.Short() {
		seeds = 30
	}
	if n, err := strconv.ParseUint(os.Getenv("SEGMENT_SEED"), 10, 64); err == nil {
		first, seeds = n, 1000
	}
	swaps, torn := uint64(0), 0
	all := []uint64{1495} // a source that was on its way out when its swap was torn
	for seed := first; seed < first+seeds; seed++ {
		all = append(all, seed)
	}
	for _, seed := range all {
		ok := t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newCleanWorld(t, seed)
			w.run()
			swaps += w.swaps
			torn += w.torn
		})
		if !ok {
			return
		}
	}
	t.Logf("%d swaps, %d found half done", swaps, torn)
	if swaps < seeds || torn == 0 {
		t.Errorf("%d swaps in %d runs, %d of them half done", swaps, seeds, torn)
	}
}

func (w *cleanWorld) run() {
	w.open()
	w.eager()
	for range 2 + w.rng.IntN(3) {
		how := w.rng.IntN(7)
		if w.armed = how > 3; w.armed {
			w.fs.PowerOffAfter(w.rng.Int64N(1500))
		}
		acked := w.life(100 + w.rng.IntN(400))
		switch how {
		case 0:
			w.now.Mono += 2e9
			w.check(acked)
			w.stop()
			for _, tp := range w.keys {
				acked[tp] = w.logs[tp].end()
			}
		case 1, 2:
			w.crash(false)
		default:
			w.crash(true)
		}
		w.lookForTorn()
		if w.rng.IntN(3) == 0 {
			w.cores = 1 + w.rng.IntN(2)
		}
		for w.rng.IntN(3) == 0 { // and once more while it recovers
			w.fs.PowerOffAfter(w.rng.Int64N(200))
			if err := w.openErr(); err == nil {
				w.eager()
				for range w.rng.IntN(50) {
					w.now.Mono += 20e6
					w.turn()
					w.perform(w.rng.IntN(6))
				}
			} else if !w.fs.Off() {
				w.t.Fatalf("open failed with the power on: %v", err)
			}
			w.crash(w.rng.IntN(2) == 0)
		}
		w.open()
		w.eager()
		w.check(acked)
		for _, m := range w.logs {
			for i := range m.recs {
				m.recs[i].core, m.recs[i].seq = 0, 0
			}
		}
	}
	w.rest()
	w.check(nil)
	w.files()
	w.times()
	w.stop()
}

// rest lets everything be cleaned that can be.
func (w *cleanWorld) rest() {
	for range 40 {
		w.now.Mono += 200e6
		w.settle()
	}
}

// times searches by time in logs with gaps.
func (w *cleanWorld) times() {
	type stamped struct{ offset, ts int64 }
	for _, tp := range w.keys {
		l := w.log(tp)
		var all []stamped
		m := l.Marks()
		for b := w.readAll(l, m.Start, m.High, 10_000); len(b) > 0; {
			v, rest, err := batch.Next(b)
			if err != nil {
				w.t.Fatal(err)
			}
			plain, err := v.Inflate(nil, 1<<20)
			if err != nil {
				w.t.Fatal(err)
			}
			for it := v.Records(plain); it.Next(); {
				if it.Record.Offset >= m.Start {
					all = append(all, stamped{it.Record.Offset, it.Record.Timestamp})
				}
			}
			b = rest
		}
		if len(all) == 0 {
			continue
		}
		for range 6 {
			ts := all[w.rng.IntN(len(all))].ts + int64(w.rng.IntN(3)) - 1
			want := int64(-1)
			if i := slices.IndexFunc(all, func(r stamped) bool { return r.ts >= ts }); i >= 0 {
				want = all[i].offset
			}
			if res := w.await(l.shard, l.shard.FindTime(l, ts)); res.Offset != want {
				w.t.Fatalf("%v: first at %d is %d (code %v), want %d", tp, ts, res.Offset, res.Code, want)
			}
		}
	}
}

// lookForTorn counts new segments that a crash left under their first names.
func (w *cleanWorld) lookForTorn() {
	book, err := w.fs.ReadFile(cleanerName(w.o.Dir))
	if err != nil {
		return
	}
	b, rule := parseCleanBook(book, w.o.Directory)
	if rule != "" {
		w.t.Fatalf("the book is damaged: %s", rule)
	}
	for _, tp := range w.keys {
		names, _ := w.fs.List(partitionDir(w.o.Dir, "t1", tp.Partition))
		for _, n := range names {
			_, _, gen, ok := parseCleanedName(n)
			if ok && slices.ContainsFunc(b[tp].swaps, func(r swapRecord) bool { return r.gen == gen }) {
				w.torn++
			}
		}
	}
}
