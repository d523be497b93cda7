package compact

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"millrace/protocol/batch"
)

// memSegment is a segment in memory.
type memSegment struct {
	base, end int64
	log       []byte
	offsets   []byte
	times     []byte
}

func (m *memSegment) source() Source {
	return Source{Base: m.base, End: m.end, Size: int64(len(m.log)),
		IndexBytes: int64(len(m.offsets)), TimeBytes: int64(len(m.times))}
}

// memLog is a log of such, and an Output that collects new ones.
type memLog struct {
	t      testing.TB
	segs   []*memSegment
	fresh  *memSegment
	groups []Group
	news   []*memSegment
	opened int
}

type memFile struct {
	*bytes.Reader
	l *memLog
}

func (f memFile) Close() error {
	f.l.opened--
	return nil
}

func (l *memLog) open(src Source) (File, error) {
	for _, m := range l.segs {
		if m.base == src.Base {
			l.opened++
			return memFile{bytes.NewReader(m.log), l}, nil
		}
	}
	return nil, fmt.Errorf("no segment %d", src.Base)
}

func (l *memLog) Begin(base int64) error {
	l.fresh = &memSegment{base: base}
	return nil
}

func (l *memLog) Batch(v batch.View, pos int64) error {
	if pos != int64(len(l.fresh.log)) {
		l.t.Fatalf("batch at %d of %d", pos, len(l.fresh.log))
	}
	l.fresh.log = append(l.fresh.log, v...)
	return nil
}

func (l *memLog) End(g *Group, offsets, times []byte) error {
	l.fresh.end, l.fresh.offsets, l.fresh.times = g.End, bytes.Clone(offsets), bytes.Clone(times)
	if g.Size != int64(len(l.fresh.log)) || g.Base != l.fresh.base {
		l.t.Fatalf("group %+v of %d bytes", g, len(l.fresh.log))
	}
	l.groups, l.news = append(l.groups, *g), append(l.news, l.fresh)
	l.fresh = nil
	return nil
}

func (l *memLog) Abort() { l.fresh = nil }

// clean runs one round and puts its groups in place.
func (l *memLog) clean(o Options, step int64) (Result, error) {
	sources := make([]Source, 0, len(l.segs))
	for _, m := range l.segs {
		sources = append(sources, m.source())
	}
	o.Sources, o.Bound = sources, l.segs[len(l.segs)-1].end
	o.Open, o.Out = l.open, l
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 1 << 30
	}
	o.IndexBytes, o.IndexInterval, o.InflateMost = 10<<20, 512, 16<<20
	if o.Keys == nil {
		o.Keys = NewOffsetMap(make([]byte, 1<<16), 0.9)
	}
	l.groups, l.news = nil, nil
	r := NewRound(o)
	for n := 0; ; n++ {
		p, err := r.Step(step)
		if err != nil {
			return Result{}, err
		}
		if p.Done {
			break
		}
		if n > 1_000_000 {
			l.t.Fatal("the round never ends")
		}
	}
	if l.opened != 0 {
		l.t.Fatalf("%d files are still open", l.opened)
	}
	for i := len(l.groups) - 1; i >= 0; i-- {
		g := l.groups[i]
		l.segs = slices.Concat(l.segs[:g.From], []*memSegment{l.news[i]}, l.segs[g.To:])
	}
	return r.Result(), nil
}

// batches are all of the log.
func (l *memLog) batches() (all []batch.View) {
	last := int64(-1)
	for _, m := range l.segs {
		for b := m.log; len(b) > 0; {
			v, rest, err := batch.Next(b)
			if err != nil || !v.CheckCRC() || v.BaseOffset() <= last || v.NextOffset() > m.end ||
				v.BaseOffset() < m.base {
				l.t.Fatalf("segment %d: bad batch at %d: %v", m.base, v.BaseOffset(), err)
			}
			all, b, last = append(all, v), rest, v.LastOffset()
		}
	}
	return all
}

// rec is one record, in a form to compare.
type rec struct {
	offset, ts int64
	key, value string
	keyed      bool
	tombstone  bool
	headers    int
	pid        int64
	control    batch.Marker // NoMarker of data
	txn        bool
	last       int64 // offset of its batch
}

func (l *memLog) records() (all []rec) {
	for _, v := range l.batches() {
		all = append(all, recordsOf(l.t, v)...)
	}
	return all
}

func recordsOf(t testing.TB, v batch.View) (all []rec) {
	plain, err := v.Inflate(nil, 16<<20)
	if err != nil {
		t.Fatal(err)
	}
	it := v.Records(plain)
	for it.Next() {
		r := &it.Record
		x := rec{offset: r.Offset, ts: r.Timestamp, key: string(r.Key), value: string(r.Value),
			keyed: r.Key != nil, tombstone: r.Value == nil, headers: r.HeaderCount(),
			pid: v.ProducerID(), control: batch.NoMarker, txn: v.IsTransactional(), last: v.LastOffset()}
		if v.IsControl() {
			x.control = batch.MarkerOf(v)
		}
		all = append(all, x)
	}
	if it.Err() != nil {
		t.Fatalf("batch at %d: %v", v.BaseOffset(), it.Err())
	}
	return all
}

// writer makes a log that looks like one of many producers.
type writer struct {
	t     testing.TB
	rng   *rand.Rand
	l     *memLog
	next  int64
	now   int64
	keys  int
	seq   map[int64]int32
	open  map[int64]bool // producers in a transaction
	last  map[int64]Last
	codec []batch.Codec
	txns  bool
}

func newWriter(t testing.TB, seed uint64) *writer {
	w := &writer{t: t, rng: rand.New(rand.NewPCG(seed, 3)), l: &memLog{t: t}, now: 1_700_000_000_000,
		keys: 40, seq: map[int64]int32{}, open: map[int64]bool{}, last: map[int64]Last{},
		codec: []batch.Codec{batch.None, batch.Gzip, batch.Snappy, batch.LZ4, batch.Zstd}}
	w.roll()
	return w
}

func (w *writer) roll() {
	if n := len(w.l.segs); n > 0 && len(w.l.segs[n-1].log) == 0 && w.l.segs[n-1].base == w.next {
		return
	}
	w.l.segs = append(w.l.segs, &memSegment{base: w.next, end: w.next})
}

func (w *writer) put(v batch.View) {
	v.Stamp(w.next, 3)
	m := w.l.segs[len(w.l.segs)-1]
	m.log = append(m.log, v...)
	w.next = v.NextOffset()
	m.end = w.next
}

// data appends one batch of random records.
func (w *writer) data() {
	var b batch.Builder
	o := batch.Options{Codec: w.codec[w.rng.IntN(len(w.codec))], LogAppendTime: w.rng.IntN(8) == 0}
	pid := int64(-1)
	if w.rng.IntN(3) > 0 {
		pid = int64(1 + w.rng.IntN(4))
		o.Idempotent, o.ProducerID, o.BaseSequence = true, pid, w.seq[pid]
		if w.txns && pid > 2 {
			o.Transactional = true
			w.open[pid] = true
		}
	}
	b.Reset(o)
	n := 1 + w.rng.IntN(6)
	for range n {
		w.now += int64(w.rng.IntN(20)) - 5
		key := fmt.Appendf(nil, "key-%d", w.rng.IntN(w.keys))
		value := make([]byte, w.rng.IntN(60))
		for i := range value {
			value[i] = byte('a' + w.rng.IntN(26))
		}
		switch w.rng.IntN(12) {
		case 0, 1:
			value = nil
		case 2:
			key = nil
		case 3:
			key = []byte{}
		}
		var headers []batch.Header
		if w.rng.IntN(4) == 0 {
			headers = []batch.Header{{Key: []byte("h"), Value: value}, {Key: []byte("n")}}
		}
		b.Add(w.now, key, value, headers)
	}
	v, err := b.Finish()
	if err != nil {
		w.t.Fatal(err)
	}
	if o.LogAppendTime {
		v.StampLogAppendTime(w.now)
	}
	w.put(v)
	if pid >= 0 {
		w.seq[pid] += int32(n)
		w.last[pid] = Last{Offset: w.next - 1}
	}
}

// marker ends a producer's transaction.
func (w *writer) marker(pid int64, kind batch.Marker) {
	var b batch.Builder
	b.Reset(batch.Options{Transactional: true, Control: true, Idempotent: true, ProducerID: pid,
		BaseSequence: -1})
	key := binary.BigEndian.AppendUint16([]byte{0, 0}, uint16(kind))
	b.Add(w.now, key, []byte{0, 0, 0, 0, 0, 0}, nil)
	v, err := b.Finish()
	if err != nil {
		w.t.Fatal(err)
	}
	w.put(v)
	delete(w.open, pid)
}

// some appends a random amount.
func (w *writer) some(n int) {
	for range n {
		pids := make([]int64, 0, 4)
		for pid := range w.open {
			pids = append(pids, pid)
		}
		slices.Sort(pids)
		if len(pids) > 0 && w.rng.IntN(4) == 0 {
			w.marker(pids[w.rng.IntN(len(pids))], batch.Marker(w.rng.IntN(2)))
		} else {
			w.data()
		}
		if w.rng.IntN(8) == 0 {
			w.roll()
		}
	}
}

// settle ends all transactions.
func (w *writer) settle() {
	for pid := int64(1); pid <= 4; pid++ {
		if w.open[pid] {
			w.marker(pid, batch.Marker(w.rng.IntN(2)))
		}
	}
}
