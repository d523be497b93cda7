package engine

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/internal/clock"
	"millrace/protocol"
	"millrace/protocol/batch"
)

// stormClient sends requests of every kind without waiting, in pieces, and checks that
// the answers come in order and hold whole batches.
type stormClient struct {
	st      *storm
	sock    *sock
	asked   []asked
	next    int32
	garbage bool   // has sent some: the broker must hang up
	deaf    bool   // does not read
	out     []byte // not yet written
	session int32  // of its fetches
	epoch   int32
}

type asked struct {
	corr int32
	req  kmsg.Request
	ids  []uint64 // of the batches of a Produce
	old  bool     // sent before its topic was made anew
}

// stormBatch is a batch that was acknowledged.
type stormBatch struct {
	id   uint64
	base int64
}

func (cl *stormClient) rng() *rand.Rand { return cl.st.k.rng }

// act does one thing that a client does.
func (cl *stormClient) act() {
	r := cl.rng()
	s := cl.sock
	switch {
	case s == nil || s.closed:
		cl.check(s)
		cl.asked, cl.out, cl.garbage, cl.session, cl.epoch = nil, nil, false, 0, 0
		cl.deaf, cl.sock = false, cl.st.k.connect(cl)
	case r.IntN(150) == 0:
		s.eof = true
	case s.eof:
	case cl.deaf && r.IntN(20) == 0 || r.IntN(150) == 0:
		cl.deaf = !cl.deaf
	case len(cl.out) > 0:
		n := 1 + r.IntN(len(cl.out))
		s.in = append(s.in, cl.out[:n]...)
		cl.out = cl.out[n:]
	case len(cl.asked) < 300:
		for range 1 + r.IntN(4) {
			cl.request()
		}
	}
}

// check says whether the broker had a reason to hang up.
func (cl *stormClient) check(s *sock) {
	if s != nil && !s.eof && !cl.garbage && !cl.st.mayClose {
		cl.st.fail("a connection was closed without a reason: %d answers owed", len(cl.asked))
	}
}

func (cl *stormClient) send(req kmsg.Request, ids ...uint64) {
	cl.next++
	cl.out = append(cl.out, formatter.AppendRequest(nil, req, cl.next)...)
	if p, ok := req.(*kmsg.ProduceRequest); ok && p.Acks == 0 {
		cl.garbage = true // may fail, which closes the connection
		return
	}
	cl.asked = append(cl.asked, asked{corr: cl.next, req: req, ids: ids})
}

func (cl *stormClient) request() {
	r := cl.rng()
	top := cl.st.topics[r.IntN(len(cl.st.topics))]
	switch n := r.IntN(40); {
	case n < 16:
		cl.produce(top)
	case n < 28:
		cl.fetch(top)
	case n < 30:
		req := kmsg.NewPtrMetadataRequest()
		req.Version = 9
		cl.send(req)
	case n < 32:
		cl.listOffsets(top)
	case n < 37:
		cl.group(top)
	case n == 37:
		cl.st.recreate(r.IntN(len(cl.st.topics)))
	case n == 38 && r.IntN(8) == 0:
		cl.garbage = true
		cl.out = append(cl.out, [][]byte{[]byte("GET / HTTP/1.1\r\n\r\n"), {0xff, 0xff, 0xff, 0xff},
			{0, 0, 0, 12, 0, 0, 0, 9, 0, 0, 0, 1, 0xff, 0xff, 9, 9}}[r.IntN(3)]...)
	case n == 39:
		req := kmsg.NewPtrDeleteRecordsRequest()
		req.Version = 1
		rt := kmsg.NewDeleteRecordsRequestTopic()
		rt.Topic = top.name
		rt.Partitions = []kmsg.DeleteRecordsRequestTopicPartition{{Partition: r.Int32N(stormParts), Offset: r.Int64N(50)}}
		req.Topics = append(req.Topics, rt)
		cl.send(req)
	}
}

func (cl *stormClient) produce(top *stormTopic) {
	r := cl.rng()
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 9, []int16{-1, -1, 1, 0}[r.IntN(4)], 1000
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = top.name
	var ids []uint64
	from := r.Int32N(stormParts)
	for p := from; p < min(stormParts, from+1+r.Int32N(3)); p++ {
		id := r.Uint64()
		ids = append(ids, id)
		rp := kmsg.NewProduceRequestTopicPartition()
		rp.Partition, rp.Records = p, cl.st.records(id)
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	cl.send(req, ids...)
}

func (st *storm) records(id uint64) []byte {
	r := st.k.rng
	size := r.IntN(300)
	if r.IntN(12) == 0 || st.heavy && r.IntN(2) == 0 {
		size = r.IntN(min(150_000, int(st.k.pools[0].Budget()/32)))
	}
	value := make([]byte, 8+size)
	binary.BigEndian.PutUint64(value, id)
	for i := 8; i < len(value); i += 61 {
		value[i] = byte(r.Uint32())
	}
	var b batch.Builder
	b.Reset(batch.Options{Codec: []batch.Codec{batch.None, batch.None, batch.Zstd}[r.IntN(3)]})
	var key []byte
	if r.IntN(4) > 0 {
		key = []byte("key")
	}
	for range 1 + r.IntN(3) {
		b.Add(1_700_000_000_000, key, value, nil)
	}
	v, err := b.Finish()
	if err != nil {
		panic(err)
	}
	return append([]byte(nil), v...)
}

func (cl *stormClient) fetch(top *stormTopic) {
	r := cl.rng()
	for _, a := range cl.asked {
		if _, ok := a.req.(*kmsg.FetchRequest); ok && cl.session != 0 {
			return // the epoch of a session is known when the answer is here
		}
	}
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxWaitMillis, req.MinBytes = 12, r.Int32N(400), r.Int32N(3)*r.Int32N(2000)
	req.MaxBytes = 1 + r.Int32N(400_000)
	req.SessionID, req.SessionEpoch = cl.session, cl.epoch
	if cl.session == 0 {
		req.SessionEpoch = r.Int32N(2) - 1
	}
	if cl.session == 0 || r.IntN(2) == 0 {
		rt := kmsg.NewFetchRequestTopic()
		rt.Topic = top.name
		for p := r.Int32N(stormParts); p < stormParts; p += 1 + r.Int32N(3) {
			rp := kmsg.NewFetchRequestTopicPartition()
			rp.Partition, rp.FetchOffset, rp.CurrentLeaderEpoch = p, top.high[p], -1
			if r.IntN(2) == 0 {
				rp.FetchOffset = r.Int64N(top.high[p] + 2)
			}
			rp.PartitionMaxBytes = 1 + r.Int32N(200_000)
			rt.Partitions = append(rt.Partitions, rp)
		}
		req.Topics = append(req.Topics, rt)
	}
	cl.send(req)
}

func (cl *stormClient) listOffsets(top *stormTopic) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version, req.ReplicaID = 7, -1
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = top.name
	for p := range int32(stormParts) {
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.CurrentLeaderEpoch = p, -1
		rp.Timestamp = []int64{-1, -2, -3, 1_600_000_000_000, 1_800_000_000_000}[cl.rng().IntN(5)]
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	cl.send(req)
}

func (cl *stormClient) group(top *stormTopic) {
	name := fmt.Sprintf("group-%d", cl.rng().IntN(4))
	switch cl.rng().IntN(4) {
	case 0:
		req := kmsg.NewPtrJoinGroupRequest()
		req.Version, req.Group, req.SessionTimeoutMillis = 3, name, 6000
		req.RebalanceTimeoutMillis, req.ProtocolType = 6000, "consumer"
		req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte{0, 0, 0, 0, 0, 0}}}
		cl.send(req)
	case 1:
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.Version, req.CoordinatorKey = 2, name
		cl.send(req)
	case 2:
		req := kmsg.NewPtrOffsetCommitRequest()
		req.Version, req.Group, req.Generation = 5, name, -1
		rt := kmsg.NewOffsetCommitRequestTopic()
		rt.Topic = top.name
		rp := kmsg.NewOffsetCommitRequestTopicPartition()
		rp.Offset = cl.rng().Int64N(100)
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		cl.send(req)
	case 3:
		req := kmsg.NewPtrOffsetFetchRequest()
		req.Version, req.Group = 1, name
		req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: top.name, Partitions: []int32{0, 1}}}
		cl.send(req)
	}
}

// take reads the answers that are complete.
func (cl *stormClient) take() {
	s := cl.sock
	for len(s.got) >= 4 {
		size := int(binary.BigEndian.Uint32(s.got))
		if size < 4 || size > 64<<20 {
			cl.st.fail("an answer of %d bytes", size)
		}
		if len(s.got) < 4+size {
			return
		}
		cl.answer(s.got[4 : 4+size])
		s.got = s.got[4+size:]
	}
}

func (cl *stormClient) answer(b []byte) {
	if len(cl.asked) == 0 {
		cl.st.fail("an answer to nothing")
	}
	a := cl.asked[0]
	cl.asked = cl.asked[1:]
	if corr := int32(binary.BigEndian.Uint32(b)); corr != a.corr {
		cl.st.fail("answer %d where %d was due (%T v%d)", corr, a.corr, a.req, a.req.GetVersion())
	}
	body := b[4:]
	if protocol.Key(a.req.Key()).ResponseHeader(a.req.GetVersion()) >= 1 {
		body = body[1:]
	}
	resp := a.req.ResponseKind()
	if err := resp.ReadFrom(body); err != nil {
		cl.st.fail("answer to %T: %v", a.req, err)
	}
	cl.st.answers++
	switch resp := resp.(type) {
	case *kmsg.ProduceResponse:
		cl.st.produced(&a, resp)
	case *kmsg.FetchResponse:
		cl.session, cl.epoch = resp.SessionID, 1
		if was := a.req.(*kmsg.FetchRequest); was.SessionID != 0 && resp.ErrorCode == 0 {
			cl.epoch = was.SessionEpoch + 1
		}
		if resp.ErrorCode != 0 {
			cl.session, cl.epoch = 0, 0
		}
		cl.st.fetched(resp)
	}
}

// fetched checks every byte of the records: memory that was given back too early is
// poisoned.
func (st *storm) fetched(resp *kmsg.FetchResponse) {
	for i := range resp.Topics {
		top := st.byName[resp.Topics[i].Topic]
		for j := range resp.Topics[i].Partitions {
			p := &resp.Topics[i].Partitions[j]
			for rest := p.RecordBatches; len(rest) > 0; {
				v, more, err := batch.Next(rest)
				if err != nil {
					st.fail("fetched bytes are no batches: %v", err)
				}
				top.high[p.Partition] = p.HighWatermark
				if !v.CheckCRC() {
					st.fail("a fetched batch at %d is damaged", v.BaseOffset())
				}
				if v.NextOffset() > p.HighWatermark {
					st.fail("records above the high watermark")
				}
				rest = more
				st.batches++
			}
		}
	}
}

func (st *storm) produced(a *asked, resp *kmsg.ProduceResponse) {
	req := a.req.(*kmsg.ProduceRequest)
	top := st.byName[req.Topics[0].Topic]
	at := 0
	for _, p := range resp.Topics[0].Partitions {
		id := a.ids[at]
		at++
		switch code := protocol.Code(p.ErrorCode); code {
		case protocol.None:
			st.acked++
			if a.old {
				continue
			}
			top.high[p.Partition] = max(top.high[p.Partition], p.BaseOffset+1)
			top.acked[p.Partition] = append(top.acked[p.Partition], stormBatch{id, p.BaseOffset})
		case protocol.UnknownTopicOrPartition, protocol.KafkaStorageError, protocol.NotLeaderOrFollower:
		case protocol.InvalidRecord:
			if len(p.ErrorRecords) == 0 || p.ErrorMessage == nil {
				st.fail("a refusal that names no records")
			}
		default:
			st.fail("produce to %s-%d: %v", req.Topics[0].Topic, p.Partition, code)
		}
	}
}

// idle lets so much time go by, in pieces.
func (k *kernel) idle(d clock.Instant) error {
	for i := range clock.Instant(21) {
		k.pass(d / 20 * min(i, 1)) // what can go on without time does so first
		if err := k.settle(); err != nil {
			return err
		}
	}
	return nil
}
