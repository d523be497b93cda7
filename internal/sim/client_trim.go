package sim

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
	"millrace/protocol/batch"
)

// simTrimmer fills a topic of its own, reads it, deletes records at its front and adds
// partitions. Its rules: what it deleted never comes back, what it did not delete stays,
// and partitions stay too.
type simTrimmer struct {
	b      *brokerRun
	topic  *dataTopic
	link   *link
	serial int
	at     map[*dataPart]int64
	low    map[*dataPart]int64 // the start that was acknowledged
	floor  map[*dataPart]int64 // and when the broker started
	asked  map[*dataPart]int64 // the largest start asked for
	adding bool                // a partition was asked for and not acknowledged
}

func newTrimmer(b *brokerRun, number int) *simTrimmer {
	t := &simTrimmer{b: b, topic: b.trims[number], at: map[*dataPart]int64{},
		low: map[*dataPart]int64{}, floor: map[*dataPart]int64{}, asked: map[*dataPart]int64{}}
	t.link = newLink(b, t.next, nil)
	return t
}

// safe: a start has made durable what was acknowledged.
func (t *simTrimmer) safe() {
	for _, p := range t.topic.parts {
		t.floor[p] = t.low[p]
	}
}

// forget is a power loss that may have taken what was acknowledged since.
func (t *simTrimmer) forget() {
	for _, p := range t.topic.parts {
		t.low[p], t.at[p] = t.floor[p], min(t.at[p], p.end)
	}
}

func (t *simTrimmer) done() { t.link.soon(3*time.Millisecond, t.next) }

func (t *simTrimmer) next() {
	if t.link.conn == nil || t.b.ending {
		return
	}
	p := t.topic.parts[t.b.rng.IntN(len(t.topic.parts))]
	switch n := t.b.rng.IntN(40); {
	case n == 0 && len(t.topic.parts) < 6:
		t.grow()
	case n < 4:
		t.trim(p)
	case n < 8:
		t.earliest(p)
	case n < 24:
		t.produce(p)
	default:
		t.read(p)
	}
}

// failed says whether the answer is an error that is excused; others end the run.
func (t *simTrimmer) failed(p *dataPart, what string, code protocol.Code) bool {
	if code == protocol.None {
		return false
	}
	t.b.check(t.b.refused(code) || t.b.excused(code), "%v: %s: %v", p, what, code)
	t.done()
	return true
}

func (t *simTrimmer) produce(p *dataPart) {
	b := t.b
	var bb batch.Builder
	bb.Reset(batch.Options{})
	var values []string
	for range 1 + b.rng.IntN(4) {
		t.serial++
		v := fmt.Sprintf("%s/%d/%s", t.topic.name, t.serial, padding[:b.rng.IntN(len(padding))])
		values = append(values, v)
		bb.Add(b.w.now.Wall, nil, []byte(v), nil)
	}
	view, err := bb.Finish()
	b.check(err == nil, "building a batch: %v", err)
	req := produceTo(t.topic.id, p.index, view)
	b.w.Tally[Produced]++
	t.link.ask(req, func(r kmsg.Response) {
		got := r.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
		if t.failed(p, "produce", protocol.Code(got.ErrorCode)) {
			return
		}
		b.w.Tally[Acked]++
		for i, v := range values {
			p.learn(b, got.BaseOffset+int64(i), v, "the answer to produce")
		}
		t.done()
	})
}

func (t *simTrimmer) read(p *dataPart) {
	b := t.b
	req := fetchFrom(t.topic.id, p.index, t.at[p], 1<<20)
	t.link.ask(req, func(r kmsg.Response) {
		got := &r.(*kmsg.FetchResponse).Topics[0].Partitions[0]
		code := protocol.Code(got.ErrorCode)
		if code == protocol.OffsetOutOfRange && t.at[p] < t.asked[p] {
			t.earliest(p)
			return
		}
		if t.failed(p, "fetch", code) {
			return
		}
		b.check(got.LogStartOffset >= t.low[p], "%v: fetch says it begins at %d, deleted was up to %d",
			p, got.LogStartOffset, t.low[p])
		t.at[p] = b.records(p, t.at[p], got)
		if t.at[p] >= got.HighWatermark && b.rng.IntN(4) == 0 {
			t.at[p] = t.low[p] // once more
		}
		t.done()
	})
}

// earliest asks where the partition begins, and goes on there.
func (t *simTrimmer) earliest(p *dataPart) {
	b := t.b
	req := kmsg.NewPtrListOffsetsRequest()
	req.SetVersion(7)
	req.ReplicaID = -1
	req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: t.topic.name,
		Partitions: []kmsg.ListOffsetsRequestTopicPartition{
			{Partition: p.index, CurrentLeaderEpoch: -1, Timestamp: -2}}}}
	t.link.ask(req, func(r kmsg.Response) {
		got := r.(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
		if t.failed(p, "ListOffsets", protocol.Code(got.ErrorCode)) {
			return
		}
		b.check(got.Offset >= t.low[p] && got.Offset <= t.asked[p],
			"%v: begins at %d; deleted was up to %d, asked was for %d", p, got.Offset, t.low[p], t.asked[p])
		t.at[p] = max(t.at[p], got.Offset)
		t.done()
	})
}

// trim deletes records at the front.
func (t *simTrimmer) trim(p *dataPart) {
	b := t.b
	if p.end <= t.low[p] {
		t.done()
		return
	}
	to := t.low[p] + b.rng.Int64N(p.end-t.low[p]+1)
	t.asked[p] = max(t.asked[p], to)
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.SetVersion(int16(b.rng.IntN(3)))
	req.TimeoutMillis = 1000
	req.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: t.topic.name,
		Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: p.index, Offset: to}}}}
	t.link.ask(req, func(r kmsg.Response) {
		got := r.(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0]
		if t.failed(p, "DeleteRecords", protocol.Code(got.ErrorCode)) {
			return
		}
		b.check(got.LowWatermark >= to && got.LowWatermark <= t.asked[p],
			"%v: DeleteRecords up to %d answers %d", p, to, got.LowWatermark)
		t.low[p] = max(t.low[p], got.LowWatermark)
		b.w.Tally[Trims]++
		t.done()
	})
}

// grow adds a partition. One whose answer was lost may be there already.
func (t *simTrimmer) grow() {
	b := t.b
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.SetVersion(int16(b.rng.IntN(4)))
	req.TimeoutMillis = 1000
	rt := kmsg.NewCreatePartitionsRequestTopic()
	rt.Topic, rt.Count = t.topic.name, int32(len(t.topic.parts)+1)
	req.Topics = append(req.Topics, rt)
	again := t.adding
	t.adding = true
	t.link.ask(req, func(r kmsg.Response) {
		code := protocol.Code(r.(*kmsg.CreatePartitionsResponse).Topics[0].ErrorCode)
		b.check(code == protocol.None || again && code == protocol.InvalidPartitions,
			"%s: CreatePartitions to %d: %v", t.topic.name, rt.Count, code)
		t.adding = false
		t.topic.add()
		b.w.Tally[Grown]++
		t.done()
	})
}
