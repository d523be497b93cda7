package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
	"millrace/protocol/batch"
)

// simProducer is an idempotent producer as clients have them: up to five requests in
// flight, and after a lost connection everything unanswered is sent again in order.
type simProducer struct {
	b      *brokerRun
	number int
	link   *link
	pid    int64
	epoch  int16
	seqs   map[*dataPart]int32
	queue  []*sending // not acknowledged, in order
	flying int        // of queue, from its front
	asking int        // requests without an answer
	serial int
	sent   map[*dataPart][]*sending // all, in order
}

// sending is one batch on its way.
type sending struct {
	part   *dataPart
	seq    int32
	raw    []byte
	values []string
	base   int64 // −1: not acknowledged
	again  bool
}

func newProducer(b *brokerRun, number int) *simProducer {
	p := &simProducer{b: b, number: number, pid: -1, seqs: map[*dataPart]int32{},
		sent: map[*dataPart][]*sending{}}
	p.link = newLink(b, p.up, p.down)
	return p
}

func (p *simProducer) up() {
	if p.pid >= 0 {
		p.push()
		p.tick()
		return
	}
	req := kmsg.NewPtrInitProducerIDRequest()
	req.SetVersion(int16(p.b.rng.IntN(5)))
	req.ProducerID, req.ProducerEpoch = -1, -1
	p.link.ask(req, func(r kmsg.Response) {
		resp := r.(*kmsg.InitProducerIDResponse)
		p.b.check(resp.ErrorCode == 0, "InitProducerId: error %d", resp.ErrorCode)
		p.pid, p.epoch = resp.ProducerID, resp.ProducerEpoch
		for _, q := range p.b.producers {
			p.b.check(q == p || q.pid != p.pid, "producer id %d given twice", p.pid)
		}
		p.tick()
	})
}

// forget is a power loss that may have taken what was acknowledged: a client that notices
// begins anew, with an id of its own and nothing to send again.
func (p *simProducer) forget() {
	p.pid, p.queue, p.flying, p.asking = -1, nil, 0, 0
	clear(p.seqs)
	for _, t := range p.b.topics {
		for _, part := range t.parts {
			p.sent[part] = slices.DeleteFunc(p.sent[part], func(s *sending) bool {
				return s.base < 0 || s.base >= part.end
			})
		}
	}
}

func (p *simProducer) down() {
	for _, s := range p.queue[:p.flying] {
		s.again = true
		p.b.w.Tally[Resent]++
	}
	p.flying, p.asking = 0, 0
}

// tick makes new batches now and then while the connection stands.
func (p *simProducer) tick() {
	p.link.soon(2*time.Millisecond, func() {
		switch {
		case p.b.ending:
			return
		case p.b.w.Chance(0.003):
			p.link.drop()
			return
		case p.b.w.Chance(0.003):
			p.link.vanish()
			return
		case len(p.queue) < 20:
			p.make()
			p.push()
		}
		p.tick()
	})
}

func (p *simProducer) make() {
	b := p.b
	t := b.topics[b.rng.IntN(len(b.topics))]
	part := t.parts[b.rng.IntN(len(t.parts))]
	s := &sending{part: part, seq: p.seqs[part], base: -1}
	var bb batch.Builder
	o := batch.Options{Idempotent: true, ProducerID: p.pid, ProducerEpoch: p.epoch, BaseSequence: s.seq}
	if b.rng.IntN(4) == 0 {
		o.Codec = batch.Codec(2 + b.rng.IntN(2)) // zstd is not for old versions
		if b.rng.IntN(8) == 0 {
			o.Codec = batch.Gzip // takes long
		}
	}
	bb.Reset(o)
	for range 1 + b.rng.IntN(5) {
		p.serial++
		value := fmt.Sprintf("%d/%d/%s", p.number, p.serial, padding[:b.rng.IntN(len(padding))])
		if b.rng.IntN(50) == 0 {
			value += string(make([]byte, b.rng.IntN(50_000)))
		}
		s.values = append(s.values, value)
		bb.Add(b.w.now.Wall, nil, []byte(value), nil)
	}
	v, err := bb.Finish()
	if err != nil {
		b.fail("building a batch: %v", err)
	}
	s.raw = append([]byte(nil), v...)
	p.seqs[part] = batch.AddSequence(s.seq, int32(len(s.values)))
	p.queue = append(p.queue, s)
	p.sent[part] = append(p.sent[part], s)
}

const padding = "................................................................................"

// push sends what may be in flight: a few batches of different partitions in one
// request, five requests at most.
func (p *simProducer) push() {
	for p.link.conn != nil && p.asking < 5 && p.flying < len(p.queue) {
		n := 1
		for n < 4 && p.flying+n < len(p.queue) && p.b.rng.IntN(3) > 0 &&
			!among(p.queue[p.flying:p.flying+n], p.queue[p.flying+n].part) {
			n++
		}
		batches := append([]*sending(nil), p.queue[p.flying:p.flying+n]...)
		p.flying += n
		p.asking++
		p.link.ask(p.request(batches), func(r kmsg.Response) {
			p.answered(batches, r.(*kmsg.ProduceResponse))
		})
	}
}

func among(batches []*sending, part *dataPart) bool {
	for _, s := range batches {
		if s.part == part {
			return true
		}
	}
	return false
}

func (p *simProducer) request(batches []*sending) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.SetVersion(int16(3 + p.b.rng.IntN(11)))
	req.Acks, req.TimeoutMillis = -1, 30_000
	for _, t := range p.b.topics {
		rt := kmsg.ProduceRequestTopic{Topic: t.name, TopicID: t.id}
		for _, s := range batches {
			if s.part.topic == t {
				rt.Partitions = append(rt.Partitions,
					kmsg.ProduceRequestTopicPartition{Partition: s.part.index, Records: s.raw})
				p.b.w.Tally[Produced]++
			}
		}
		if len(rt.Partitions) > 0 {
			req.Topics = append(req.Topics, rt)
		}
	}
	return req
}

func (p *simProducer) answered(batches []*sending, r *kmsg.ProduceResponse) {
	b := p.b
	n := 0
	for i := range r.Topics {
		n += len(r.Topics[i].Partitions)
	}
	b.check(n == len(batches), "%d answers for %d batches: %+v", n, len(batches), r)
	for _, s := range batches {
		got := find(s.part, r)
		b.check(got != nil, "%v: no answer for it: %+v", s.part, r)
		if b.refused(protocol.Code(got.ErrorCode)) {
			p.link.pause = 100 * time.Millisecond
			p.link.drop() // and send everything again, in order
			return
		}
		b.check(protocol.Code(got.ErrorCode) == protocol.None,
			"%v: produce of batch %d of producer %d: %v%s", s.part, s.seq, p.pid,
			protocol.Code(got.ErrorCode), map[bool]string{true: " (sent again)"}[s.again])
		b.check(p.queue[0] == s, "answers out of order")
		p.queue = p.queue[1:]
		p.flying--
		s.base = got.BaseOffset
		b.w.Tally[Acked]++
		if b.hungry && b.w.Disk.Capacity() == 0 {
			b.hungry = false
			b.w.Tally[Healed]++
		}
		for i, value := range s.values {
			s.part.learn(b, s.base+int64(i), value, "the answer to produce")
		}
	}
	p.asking--
	p.push()
}

func find(part *dataPart, r *kmsg.ProduceResponse) *kmsg.ProduceResponseTopicPartition {
	for i := range r.Topics {
		t := &r.Topics[i]
		if r.Version < 13 && t.Topic != part.topic.name ||
			r.Version >= 13 && protocol.TopicID(t.TopicID) != part.topic.id {
			continue
		}
		for k := range t.Partitions {
			if t.Partitions[k].Partition == part.index {
				return &t.Partitions[k]
			}
		}
	}
	return nil
}

// checkAll: every batch is there once, and in the order in which it was sent.
func (p *simProducer) checkAll() {
	for _, t := range p.b.topics {
		for _, part := range t.parts {
			last := int64(-1)
			for _, s := range p.sent[part] {
				p.b.check(s.base > last, "%v: batch %d of producer %d is at %d, the one before at %d",
					part, s.seq, p.pid, s.base, last)
				last = s.base
			}
		}
	}
}

// stopGrace is how long a request has that was there when a stop began.
const stopGrace = 3 * time.Second

// refused says whether an answer is what a full or failing disk excuses: the error
// itself, or what follows from it for batches sent behind the one that it hit.
func (b *brokerRun) refused(code protocol.Code) bool {
	if code == protocol.NotLeaderOrFollower && b.stopped > 0 &&
		b.w.now.Mono.Sub(b.stopped) > stopGrace {
		return true
	}
	if code != protocol.KafkaStorageError && code != protocol.OutOfOrderSequenceNumber ||
		!b.tight && b.trouble == nil {
		return false
	}
	b.w.Tally[Full]++
	b.hungry = true
	return true
}

// excused says whether an answer to a reader is what a failing disk excuses.
func (b *brokerRun) excused(code protocol.Code) bool {
	return b.trouble.hit() && (code == protocol.KafkaStorageError || code == protocol.CorruptMessage)
}
