package sim

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
	"millrace/protocol/batch"
	"millrace/raftmeta"
)

// keyedTopic is a topic that is compacted, and what clients know of it. It is never
// deleted.
type keyedTopic struct {
	name   string
	id     protocol.TopicID
	parts  []*keyedPart
	serial int64 // of the last record made
}

// keyedPart is one partition of it.
type keyedPart struct {
	topic  *keyedTopic
	index  int32
	sent   map[int64]keyed  // by serial
	serial map[int64]int64  // by offset, once acknowledged or read
	place  map[int64]int64  // the other way round
	latest map[string]int64 // the largest offset known of a key
	unsure map[string]int   // records of a key that were sent and never answered
	end    int64            // one behind the largest offset known
	floor  int64
}

// keyed is one record. Its timestamp is its serial: that stays with it whatever compaction
// does.
type keyed struct{ key, value string }

// tombstone is the value of a record that has none.
const tombstone = ""

func newKeyedTopic(b *brokerRun, create func(string, int, ...raftmeta.Config) *dataTopic) *keyedTopic {
	configs := append(b.configs(),
		raftmeta.Config{Name: "cleanup.policy", Value: "compact"},
		raftmeta.Config{Name: "min.cleanable.dirty.ratio", Value: []string{"0", "0.1", "0.5"}[b.rng.IntN(3)]},
		raftmeta.Config{Name: "delete.retention.ms", Value: fmt.Sprint(b.rng.IntN(2) * b.rng.IntN(500))})
	d := create("keyed", 1+b.rng.IntN(2), configs...)
	t := &keyedTopic{name: d.name, id: d.id}
	for i := range d.parts {
		t.parts = append(t.parts, &keyedPart{topic: t, index: int32(i), sent: map[int64]keyed{},
			serial: map[int64]int64{}, place: map[int64]int64{}, latest: map[string]int64{},
			unsure: map[string]int{}})
	}
	return t
}

func (p *keyedPart) String() string { return fmt.Sprintf("%s-%d", p.topic.name, p.index) }

// learn notes where a record is, and holds it against what was known.
func (p *keyedPart) learn(b *brokerRun, offset, serial int64, how string) {
	have, known := p.serial[offset]
	b.check(!known || have == serial, "%v: offset %d has record %d, now %s says %d", p, offset, have, how, serial)
	at, placed := p.place[serial]
	b.check(!placed || at == offset, "%v: record %d is at %d and, says %s, at %d", p, serial, at, how, offset)
	p.serial[offset], p.place[serial] = serial, offset
	key := p.sent[serial].key
	p.latest[key] = max(p.latest[key], offset)
	p.end = max(p.end, offset+1)
}

// missing: the records of [from, to) may be gone. One that was never answered for may be the
// later one of its key.
func (p *keyedPart) missing(b *brokerRun, from, to int64) {
	for o := from; o < to; o++ {
		serial, known := p.serial[o]
		if !known {
			continue // nobody was told what was there
		}
		r := p.sent[serial]
		b.check(r.value == tombstone || p.latest[r.key] > o || p.unsure[r.key] > 0,
			"%v: record %d at %d is gone, it is the last one of %q", p, serial, o, r.key)
		b.w.Tally[Compacted]++
	}
}

// read takes the batches of an answer to a fetch at an offset, and returns where the next
// one begins.
func (p *keyedPart) read(b *brokerRun, at int64, rest []byte, high int64) int64 {
	for len(rest) > 0 {
		v, more, err := batch.Next(rest)
		b.check(err == nil && v.CheckCRC(), "%v: fetch at %d: %v", p, at, err)
		rest = more
		b.check(v.NextOffset() > at && v.NextOffset() <= high,
			"%v: fetch at %d answers with %d…%d, the high watermark is %d", p, at, v.BaseOffset(),
			v.NextOffset(), high)
		plain := v.RecordBytes()
		if v.Codec() != batch.None {
			plain, err = v.Inflate(nil, 1<<20)
			b.check(err == nil, "%v: batch %d: %v", p, v.BaseOffset(), err)
		}
		it := v.Records(plain)
		for it.Next() {
			r := &it.Record
			want, ok := p.sent[r.Timestamp]
			b.check(ok && want.key == string(r.Key) && want.value == string(r.Value) &&
				(want.value == tombstone) == (r.Value == nil),
				"%v: offset %d has another record than was sent: %d, key %q", p, r.Offset, r.Timestamp, r.Key)
			p.learn(b, r.Offset, r.Timestamp, "fetch")
			if r.Offset >= at {
				p.missing(b, at, r.Offset)
				at = r.Offset + 1
			}
			b.w.Tally[Consumed]++
		}
		b.check(it.Err() == nil, "%v: batch %d: %v", p, v.BaseOffset(), it.Err())
		p.missing(b, at, v.NextOffset())
		at = v.NextOffset()
	}
	return at
}

// cut takes what a power loss took: all from end on.
func (p *keyedPart) cut(b *brokerRun, end int64) {
	b.check(end >= p.floor, "%v: End is %d, %d was safe", p, end, p.floor)
	for o := end; o < p.end; o++ {
		if serial, ok := p.serial[o]; ok {
			delete(p.serial, o)
			delete(p.place, serial)
			b.w.Tally[Weak]++
		}
	}
	p.end = min(p.end, end)
	clear(p.latest)
	for o := range p.end {
		if serial, ok := p.serial[o]; ok {
			p.latest[p.sent[serial].key] = o
		}
	}
}

// simKeyed writes to the compacted topic and reads it, from its beginning again and again.
type simKeyed struct {
	b     *brokerRun
	topic *keyedTopic
	link  *link
	at    []int64
	idle  int // answers without records, one after the other, while reading the last time
	last  bool
}

func newKeyed(b *brokerRun, t *keyedTopic, last bool) *simKeyed {
	k := &simKeyed{b: b, topic: t, at: make([]int64, len(t.parts)), last: last}
	k.link = newLink(b, k.next, nil)
	return k
}

func (k *simKeyed) done() { k.link.soon(2*time.Millisecond, k.next) }

func (k *simKeyed) next() {
	if k.link.conn == nil || k.b.ending && !k.last {
		return
	}
	p := k.topic.parts[k.b.rng.IntN(len(k.topic.parts))]
	switch {
	case k.last:
		for _, q := range k.topic.parts {
			if k.at[q.index] < q.end {
				p = q
			}
		}
		k.read(p)
	case k.b.w.Chance(0.005):
		k.link.vanish()
	case k.b.rng.IntN(3) > 0:
		k.produce(p)
	default:
		k.read(p)
	}
}

// over says whether everything that is known has been read.
func (k *simKeyed) over() bool {
	for _, p := range k.topic.parts {
		if k.at[p.index] < p.end {
			return false
		}
	}
	return true
}

func (k *simKeyed) produce(p *keyedPart) {
	b := k.b
	var bb batch.Builder
	bb.Reset(batch.Options{Codec: batch.Codec(b.rng.IntN(4) / 3 * 2)})
	var serials []int64
	for range 1 + b.rng.IntN(6) {
		k.topic.serial++
		n := k.topic.serial
		r := keyed{key: fmt.Sprintf("key-%d", b.rng.IntN(8)),
			value: fmt.Sprintf("%d/%s", n, padding[:b.rng.IntN(len(padding))])}
		if b.rng.IntN(30) == 0 {
			r.value += string(make([]byte, b.rng.IntN(20_000)))
		}
		value := []byte(r.value)
		if b.rng.IntN(10) == 0 {
			r.value, value = tombstone, nil
		}
		p.sent[n] = r
		p.unsure[r.key]++
		serials = append(serials, n)
		bb.Add(n, []byte(r.key), value, nil)
	}
	view, err := bb.Finish()
	b.check(err == nil, "building a batch: %v", err)
	req := produceTo(k.topic.id, p.index, view)
	b.w.Tally[Produced]++
	k.link.ask(req, func(r kmsg.Response) {
		got := r.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
		code := protocol.Code(got.ErrorCode)
		if b.refused(code) { // it may be there nevertheless
			k.done()
			return
		}
		b.check(code == protocol.None, "%v: produce: %v", p, code)
		b.w.Tally[Acked]++
		for i, n := range serials {
			p.unsure[p.sent[n].key]--
			p.learn(b, got.BaseOffset+int64(i), n, "the answer to produce")
		}
		k.done()
	})
}

func (k *simKeyed) read(p *keyedPart) {
	b := k.b
	req := fetchFrom(k.topic.id, p.index, k.at[p.index], int32(1+b.rng.IntN(50_000)))
	req.MaxWaitMillis, req.MinBytes = 5, 1
	k.link.ask(req, func(r kmsg.Response) {
		got := &r.(*kmsg.FetchResponse).Topics[0].Partitions[0]
		code := protocol.Code(got.ErrorCode)
		if b.excused(code) {
			k.done()
			return
		}
		at := k.at[p.index]
		b.check(code == protocol.None, "%v: fetch at %d: %v (high watermark %d)", p, at, code, got.HighWatermark)
		b.check(got.LogStartOffset == 0, "%v: fetch says it begins at %d", p, got.LogStartOffset)
		next := p.read(b, at, got.RecordBatches, got.HighWatermark)
		switch {
		case next > at:
			k.idle = 0
		case k.last && at < got.HighWatermark:
			if k.idle++; k.idle > 20 { // compaction has left nothing there
				p.missing(b, at, got.HighWatermark)
				next = got.HighWatermark
			}
		case at >= got.HighWatermark && !k.last && b.rng.IntN(3) == 0:
			next = 0 // once more
		}
		k.at[p.index] = next
		k.done()
	})
}
