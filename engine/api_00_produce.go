package engine

import (
	"millrace/protocol"
	"millrace/protocol/batch"
	"millrace/protocol/hot"
	"millrace/segment"
	"millrace/segment/producer"
)

// produce serves Produce v3–13. Versions 0–2 are advertised, since librdkafka turns
// compression off otherwise, and refused (KAFKA-18659).
//
//hot:noalloc
func (c *Core) produce(cn *conn, seq uint32, h *hot.Header, body []byte) {
	rq := &c.scratch.produce
	if err := rq.Parse(h.Version, body); err != nil {
		c.badFrame(cn, "malformed Produce")
		return
	}
	cn.producer = true
	t := c.produces.take(len(c.peers), c.id)
	t.to, t.version, t.acks, t.correlation = cn.to(seq), h.Version, rq.Acks, h.Correlation
	refuse := protocol.None
	switch {
	case rq.Acks < -1 || rq.Acks > 1:
		refuse = protocol.InvalidRequiredAcks
	case rq.TransactionalID != nil:
		refuse = protocol.InvalidTxnState // transactions are not served: InitProducerId says so first
	}
	internal := string(h.ClientID) == "__admin_client"
	remote := false
	for rq.NextTopic() {
		remote = c.planTopic(t, rq, refuse, internal) || remote
	}
	if remote || t.waits {
		cn.rx.Hold()
		t.rx = cn.rx
	}
	if t.waits {
		c.holdProduce(cn, t)
		return
	}
	c.start(t)
}

// planTopic looks up the partitions of the request's topic and sorts them into shares.
// It says whether another core is involved.
func (c *Core) planTopic(t *produceTask, rq *hot.ProduceRequest, refuse protocol.Code, internal bool) bool {
	from := len(t.names)
	t.names = append(t.names, rq.Topic.Name...)
	top := c.topics.resolve(rq.Topic.Name, rq.Topic.ID)
	t.topics = append(t.topics, produceTopic{
		name: [2]int{from, len(t.names)}, id: rq.Topic.ID, parts: rq.Topic.Partitions,
	})
	remote := false
	for rq.NextPartition() {
		p := producePart{core: -1, base: -1, millis: -1, logStart: -1, records: rq.Partition.Records}
		p.tp.Partition = rq.Partition.Index
		switch {
		case refuse != protocol.None:
			p.code = refuse
		case top == nil && len(rq.Topic.Name) == 0:
			p.code = protocol.UnknownTopicId
		case top == nil || p.tp.Partition < 0 || int(p.tp.Partition) >= len(top.parts):
			p.code = protocol.UnknownTopicOrPartition
		case top.meta.Internal && !internal:
			p.code = protocol.InvalidTopicException
		default:
			p.tp.Topic = top.meta.ID
			pl := &top.parts[p.tp.Partition]
			p.core = int32(pl.core)
			t.shares[pl.core].used = true
			t.waits = t.waits || pl.closed
			remote = remote || pl.core != c.id
		}
		t.parts = append(t.parts, p)
	}
	return remote
}

// start hands the shares to their cores.
func (c *Core) start(t *produceTask) {
	t.age = c.produces.age
	c.produces.flying[t.age]++
	for i := range t.shares {
		if t.shares[i].used {
			t.pending++
		}
	}
	if t.pending == 0 {
		c.finishProduce(t)
		return
	}
	for i := range t.shares {
		s := &t.shares[i]
		if s.used && i != c.id {
			c.post(i, letter{kind: letterProduce, prod: s})
		}
	}
	if s := &t.shares[c.id]; s.used {
		c.admitShare(s)
	}
}

// admitShare appends the share now, or holds what storage has no room for yet (I1: in
// order). Local bytes must not be overwritten meanwhile, so the request is held with it.
func (c *Core) admitShare(s *produceShare) {
	s.open = 1
	if !c.produces.held() && c.appendShare(s) {
		return
	}
	if t := s.task; s.home == c.id && t.rx == nil {
		if cn := c.conns.get(t.to.slot, t.to.gen); cn != nil {
			cn.rx.Hold()
			t.rx = cn.rx
		}
	}
	c.produces.hold = append(c.produces.hold, s)
}

// appendShare appends the parts of a share that this core owns, from where the last
// call ended. False: storage wants the rest to wait. A request may so be larger than
// what storage has room for at one time.
func (c *Core) appendShare(s *produceShare) bool {
	for ; s.at < len(s.task.parts); s.at++ {
		p := &s.task.parts[s.at]
		if int(p.core) != c.id {
			continue
		}
		if c.appendPart(s, p) == segment.Wait {
			return false
		}
	}
	c.acks.push(ack{seq: max(s.last, c.acks.newest()), share: s})
	c.acks.settle(c)
	return true
}

// newest is the sequence that a new entry of the queue must not be below, so that the
// queue stays ordered.
func (q *ackQueue) newest() segment.Seq {
	if q.head == q.tail {
		return 0
	}
	return q.items[(q.tail-1)&uint32(len(q.items)-1)].seq
}

// appendPart checks one partition's batch and stages it, or says Wait.
func (c *Core) appendPart(s *produceShare, p *producePart) segment.Admission {
	part := c.topics.find(p.tp)
	if part == nil {
		p.code = protocol.UnknownTopicOrPartition
		return segment.Admitted
	}
	code, wait := c.mayStore(len(p.records))
	if wait || part.mayCook() && c.kitchen.full(c) {
		return segment.Wait
	}
	var v batch.View
	if code == protocol.None {
		v, code = c.oneBatch(part, p.records, s.task.version)
	}
	switch {
	case code != protocol.None:
		p.code = code
		c.stats.FailedProduce++
	case part.needsCooking(v):
		c.cook(part, s, p, v)
	default:
		s.last = max(s.last, c.stage(part, p, v))
	}
	return segment.Admitted
}

// partShare of a core's memory is the most that one batch may take: a larger one could
// wait for room for ever.
const partShare = 4

// mayStore says whether so many bytes can be stored, or later.
func (c *Core) mayStore(bytes int) (code protocol.Code, wait bool) {
	switch {
	case c.draining:
		return protocol.NotLeaderOrFollower, false // retriable: the broker is about to end
	case int64(bytes) > c.pool.Budget()/partShare:
		return protocol.MessageTooLarge, false
	}
	switch c.shard.Admit(bytes) {
	case segment.Admitted:
		return protocol.None, false
	case segment.Wait:
		return protocol.None, true
	}
	return protocol.KafkaStorageError, false
}

// oneBatch checks the bytes of one partition of a request: exactly one valid batch.
func (c *Core) oneBatch(part *partition, records []byte, version int16) (batch.View, protocol.Code) {
	cfg := part.topic.cfg
	l := &c.scratch.limits
	l.MaxBytes, l.Version, l.Now = int(cfg.MaxMessageBytes), version, c.now.Wall
	l.BeforeMax, l.AfterMax = cfg.TimestampBeforeMs, cfg.TimestampAfterMs
	l.LogAppendTime = cfg.LogAppendTime
	v, code := batch.One(records, l)
	if code != protocol.None {
		return nil, code
	}
	return v, batch.Validate(v, l)
}

// stage gives a valid batch its offset and hands it to storage.
func (c *Core) stage(part *partition, p *producePart, v batch.View) segment.Seq {
	marks := part.log.Marks()
	p.logStart = marks.Start
	if pid := v.ProducerID(); pid >= 0 {
		d := part.log.Producers().Check(pid, v.ProducerEpoch(), v.BaseSequence(), v.Count(), c.now.Wall)
		switch d.Code {
		case producer.Accept:
		case producer.Duplicate:
			p.base = d.BaseOffset
			if part.topic.cfg.LogAppendTime {
				p.millis = d.Timestamp
			}
			if d.LastOffset >= marks.High {
				return c.produces.last
			}
			return 0
		default:
			p.code = verdictCode(d.Code)
			c.stats.FailedProduce++
			return 0
		}
	}
	if part.topic.cfg.LogAppendTime {
		v.StampLogAppendTime(c.now.Wall)
		p.millis = c.now.Wall
	}
	base, seq := c.shard.Append(part.log, v, part.epoch, c.now.Wall)
	p.base = base
	c.produces.last = seq
	n := uint64(v.Count())
	part.messagesIn += n
	part.bytesIn += uint64(len(v))
	c.stats.MessagesIn += n
	c.stats.BytesIn += uint64(len(v))
	return seq
}

func verdictCode(v producer.Code) protocol.Code {
	switch v {
	case producer.StaleEpoch:
		return protocol.InvalidProducerEpoch
	case producer.OutOfOrder:
		return protocol.OutOfOrderSequenceNumber
	}
	return protocol.DuplicateSequenceNumber
}

// shareSettled counts a durable append; the last one sends the share home.
func (c *Core) shareSettled(s *produceShare) {
	s.open--
	if s.open > 0 {
		return
	}
	if s.home == c.id {
		c.produced(s)
		return
	}
	c.post(s.home, letter{kind: letterProduced, prod: s})
}

// produced counts the shares that are done; the last one answers.
func (c *Core) produced(s *produceShare) {
	t := s.task
	t.pending--
	if t.pending == 0 {
		c.finishProduce(t)
	}
}

// finishProduce encodes the answer.
func (c *Core) finishProduce(t *produceTask) {
	if t.rx != nil {
		c.releaseRx(t.rx)
		t.rx = nil
	}
	defer c.produces.put(c, t)
	cn, a := c.pendingAnswer(t.to)
	if cn == nil {
		return
	}
	for i := range t.parts {
		a.failed = a.failed || t.parts[i].code != protocol.None
	}
	if t.acks == 0 {
		if a.failed {
			c.hangUp(cn) // the only way to tell; Kafka does the same
			return
		}
		c.silent(cn, a)
		return
	}
	b := c.memory(t.answerMax())
	if b == nil {
		c.noMemory(cn)
		return
	}
	a.buf = b
	a.mem = c.encodeProduce(t, b.Mem[:0])
	a.size = len(a.mem)
	c.answerReady(cn, a, answerReady)
}

func (c *Core) encodeProduce(t *produceTask, dst []byte) []byte {
	w := &c.scratch.produceAnswer
	w.Begin(dst, t.version, t.correlation, len(t.topics))
	at := 0
	for i := range t.topics {
		top := &t.topics[i]
		w.Topic(t.names[top.name[0]:top.name[1]], top.id, top.parts)
		for range top.parts {
			p := &t.parts[at]
			at++
			w.Partition(&hot.ProduceResult{
				Index: p.tp.Partition, Code: p.code, BaseOffset: p.base,
				AppendMillis: p.millis, LogStart: p.logStart,
				RecordErrors: p.faults, Message: p.message,
			})
		}
	}
	return w.End(0, nil)
}
