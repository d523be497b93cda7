package raw

import (
	"math/rand/v2"
	"testing"

	"millrace/loadgen/workload"
	"millrace/protocol"
	"millrace/protocol/batch"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// behind is what follows a request's header.
func behind(frame []byte, flexible bool) []byte {
	n := frameHead + 8 + 2 + len(clientID)
	if flexible {
		n++
	}
	return frame[n:]
}

var spoken = []versions{{produceNew, fetchNew}, {produceOld, fetchOld}}

func TestProduceRequestIsWhatItSays(t *testing.T) {
	for _, v := range spoken {
		records := []byte("a batch of some bytes")
		f := v.produceHead(nil, "topic", 5, -1, len(records))
		f = append(append(f, records...), make([]byte, v.produceTail())...)
		if int(be.Uint32(f)) != len(f)-frameHead {
			t.Errorf("version %d: the frame says %d of %d bytes", v.produce, be.Uint32(f), len(f)-frameHead)
		}
		var r kmsg.ProduceRequest
		r.SetVersion(v.produce)
		if err := r.ReadFrom(behind(f, v.produce >= 9)); err != nil {
			t.Fatalf("version %d: %v", v.produce, err)
		}
		p := r.Topics[0].Partitions[0]
		if r.Topics[0].Topic != "topic" || r.Acks != -1 || p.Partition != 5 ||
			string(p.Records) != string(records) {
			t.Errorf("version %d: request %+v", v.produce, r)
		}
	}
}

func TestProduceErrorIsWhereItIsLookedFor(t *testing.T) {
	for _, v := range spoken {
		resp := kmsg.NewPtrProduceResponse()
		resp.SetVersion(v.produce)
		topic := kmsg.NewProduceResponseTopic()
		topic.Topic = "topic"
		p := kmsg.NewProduceResponseTopicPartition()
		p.Partition, p.ErrorCode, p.BaseOffset = 3, 19, 1<<40
		topic.Partitions = append(topic.Partitions, p)
		resp.Topics = append(resp.Topics, topic)
		var body []byte
		if v.produce >= 9 {
			body = append(body, 0)
		}
		body = resp.AppendTo(body)
		at := v.produceErrorAt("topic")
		if be.Uint16(body[at:]) != 19 || be.Uint64(body[at+2:]) != 1<<40 {
			t.Errorf("version %d: not at %d of %x", v.produce, at, body)
		}
	}
}

func TestFetchRequestIsWhatItSays(t *testing.T) {
	shape := fetchShape{waitMillis: 500, minBytes: 1, maxBytes: 1 << 20, committed: true}
	list := []wanted{{"a", 1, 10}, {"a", 2, 20}, {"b", 0, 1 << 40}}
	for _, v := range spoken {
		f := v.fetchRequest(nil, shape, list)
		if int(be.Uint32(f)) != len(f)-frameHead {
			t.Errorf("version %d: the frame says %d of %d bytes", v.fetch, be.Uint32(f), len(f)-frameHead)
		}
		var r kmsg.FetchRequest
		r.SetVersion(v.fetch)
		if err := r.ReadFrom(behind(f, v.fetch >= 12)); err != nil {
			t.Fatalf("version %d: %v", v.fetch, err)
		}
		if len(r.Topics) != 2 || len(r.Topics[0].Partitions) != 2 || r.IsolationLevel != 1 ||
			r.MaxWaitMillis != 500 || r.MaxBytes != 1<<20 || r.SessionEpoch != -1 ||
			r.Topics[0].Partitions[1].FetchOffset != 20 || r.Topics[1].Topic != "b" ||
			r.Topics[1].Partitions[0].FetchOffset != 1<<40 {
			t.Errorf("version %d: request %+v", v.fetch, r)
		}
	}
}

func fetchAnswerOf(v versions) []byte {
	resp := kmsg.NewPtrFetchResponse()
	resp.SetVersion(v.fetch)
	topic := kmsg.NewFetchResponseTopic()
	topic.Topic = "t"
	for i := range int32(2) {
		p := kmsg.NewFetchResponseTopicPartition()
		p.Partition, p.HighWatermark, p.LogStartOffset = i, 9, 4
		p.RecordBatches = []byte("records")
		p.AbortedTransactions = make([]kmsg.FetchResponseTopicPartitionAbortedTransaction, 2)
		p.DivergingEpoch.EndOffset = 7 // a tag
		topic.Partitions = append(topic.Partitions, p)
	}
	resp.Topics = append(resp.Topics, topic)
	if v.fetch >= 12 {
		return resp.AppendTo([]byte{0})
	}
	return resp.AppendTo(nil)
}

func FuzzFetchAnswer(f *testing.F) {
	for i, v := range spoken {
		whole := fetchAnswerOf(v)
		f.Add(i == 0, whole)
		f.Add(i == 0, whole[:len(whole)-9])
		n := 0
		code, err := v.fetchAnswer(whole, func(p fetched) error {
			if string(p.topic) != "t" || p.partition != int32(n) || p.high != 9 || p.start != 4 ||
				string(p.records) != "records" {
				f.Errorf("version %d: read %+v", v.fetch, p)
			}
			n++
			return nil
		})
		if err != nil || code != protocol.None || n != 2 {
			f.Errorf("version %d: %d partitions, %v, %v", v.fetch, n, code, err)
		}
		for cut := range whole {
			if _, err := v.fetchAnswer(whole[:cut], func(fetched) error { return nil }); err == nil && cut > 16 {
				f.Errorf("version %d: %d of %d bytes were taken for whole", v.fetch, cut, len(whole))
			}
		}
	}
	f.Add(true, []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, flexible bool, body []byte) {
		v, sum := spoken[1], 0
		if flexible {
			v = spoken[0]
		}
		_, _ = v.fetchAnswer(body, func(p fetched) error {
			if sum += len(p.records) + len(p.topic); len(p.records) > len(body) {
				t.Errorf("%d bytes of records in %d", len(p.records), len(body))
			}
			return nil
		})
	})
}

// recipeFor is a lane's recipe without a run.
func recipeFor(t *testing.T, w *workload.Workload) *recipe {
	t.Helper()
	r := &run{w: w, topics: w.TopicNames(), lanes: 1, codec: codecs[w.Codec], id: 7,
		cluster: &cluster{versions: spoken[0]}}
	c, err := newRecipe(r, 0)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Every form of a batch that leaves is one that brokers take.
func TestSlotsAreValidBatches(t *testing.T) {
	s := workload.New(workload.Produce)
	s.Size = workload.Sizes{Kind: workload.SizeUniform, From: 40, To: 400}
	s.Payload.Random, s.Batch = 0.5, workload.Batch{Records: 9}
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		for _, stamped := range []bool{false, true} {
			for _, cut := range []bool{false, true} {
				w := s.Clone()
				w.Codec, w.Stamp = codec, stamped
				if cut {
					w.Linger = 1
				}
				c := recipeFor(t, &w)
				slots, err := c.slots([]int{0, 3}, 4)
				if err != nil {
					t.Fatal(err)
				}
				for i := range 12 {
					one := &slots[i%len(slots)]
					one.n = one.records
					if cut {
						one.n = 1 + i%one.records
					}
					if err := c.encode(one, int64(1000*(i+1))); err != nil {
						t.Fatal(err)
					}
					checkSlot(t, c, one)
				}
			}
		}
	}
}

func checkSlot(t *testing.T, c *recipe, s *slot) {
	t.Helper()
	var r kmsg.ProduceRequest
	r.SetVersion(c.v.produce)
	if err := r.ReadFrom(behind(s.frame, c.v.produce >= 9)); err != nil {
		t.Fatal(err)
	}
	p := r.Topics[0].Partitions[0]
	v, rest, err := batch.Next(p.Records)
	if err != nil || len(rest) > 0 || int(p.Partition) != s.place {
		t.Fatalf("batch: %v, %d bytes behind it; partition %d", err, len(rest), p.Partition)
	}
	limits := &batch.Limits{MaxBytes: 1 << 20, Version: 12, Now: s.millis, BeforeMax: 1, AfterMax: 1}
	code := batch.Validate(v, limits)
	if code == protocol.None {
		code, _ = batch.Inspect(v, limits, 1<<20)
	}
	if code != protocol.None {
		t.Errorf("%s, stamped %v, %d of %d messages: %v, crc %v", c.codec, c.stamped, s.n, s.records, code,
			v.CheckCRC())
	}
	if int(v.Count()) != s.n || v.BaseTimestamp() != s.millis || v.Codec() != c.codec {
		t.Errorf("%d messages at %d with %v; want %d at %d with %v", v.Count(), v.BaseTimestamp(),
			v.Codec(), s.n, s.millis, c.codec)
	}
}

// Keyed messages are where Kafka's own clients put them.
func TestKeysGoToTheirPartitions(t *testing.T) {
	w := workload.New(workload.Produce)
	w.Keys, w.Partitions = workload.Keys{Kind: workload.KeysRandom, N: 500}, 4
	c := recipeFor(t, &w)
	slots, err := c.slots([]int{0, 1, 2, 3}, 8)
	if err != nil {
		t.Fatal(err)
	}
	seen, messages := map[int]bool{}, 0
	for i := range slots {
		s := &slots[i]
		seen[s.place] = true
		v := batch.View(s.buf[s.batchAt : s.batchAt+s.size])
		for it := v.Records(v.RecordBytes()); it.Next(); messages++ {
			if p := workload.PartitionOf(it.Record.Key, 4); p != s.place {
				t.Fatalf("key %s of partition %d is in a batch for %d", it.Record.Key, p, s.place)
			}
		}
	}
	if len(seen) != 4 || messages < enoughMessages {
		t.Errorf("%d partitions, %d messages", len(seen), messages)
	}
}

func TestDealSpreadsPartitions(t *testing.T) {
	for _, c := range []struct{ brokers, lanes, places, inFlight int }{
		{1, 4, 8, 8}, {1, 4, 8, 1}, {1, 3, 100, 4}, {3, 4, 8, 8}, {3, 7, 1000, 2}, {2, 2, 1, 5},
	} {
		w := workload.New(workload.Produce)
		w.InFlight = c.inFlight
		r := &run{w: &w, lanes: c.lanes}
		to := &routing{brokers: make([]broker, c.brokers), leaders: make([]int32, c.places)}
		for p := range to.leaders {
			to.leaders[p] = int32(p % c.brokers)
		}
		for i := range to.brokers {
			to.brokers[i].id = int32(i)
		}
		r.deal(to)
		seen, weight := map[int]bool{}, 0.0
		for _, s := range to.shares {
			weight += s.weight
			if s.least < c.inFlight || len(s.places) == 0 {
				t.Errorf("%+v: share %+v", c, s)
			}
			for _, p := range s.places {
				seen[p] = true
				if to.leaders[p] != s.broker.id {
					t.Errorf("%+v: partition %d at broker %d", c, p, s.broker.id)
				}
			}
		}
		if len(seen) != c.places || weight < float64(c.lanes)*0.999 || weight > float64(c.lanes)*1.001 {
			t.Errorf("%+v: %d partitions have a connection, the weights are %v", c, len(seen), weight)
		}
	}
}

func TestTimers(t *testing.T) {
	var h timers
	when := map[int32]int64{}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		h.grow()
	}
	for range 5000 {
		who := int32(rnd.IntN(50))
		if rnd.IntN(3) == 0 && h.next() != never {
			first := h.heap[0]
			for _, at := range when {
				if at < first.when {
					t.Fatalf("%d is woken before %d", first.when, at)
				}
			}
			if h.take() != first.who || when[first.who] != first.when {
				t.Fatalf("%+v was set to %d", first, when[first.who])
			}
			delete(when, first.who)
			continue
		}
		at := rnd.Int64N(1000)
		if rnd.IntN(10) == 0 {
			at = never
			delete(when, who)
		} else {
			when[who] = at
		}
		h.set(who, at)
		if len(h.heap) != len(when) {
			t.Fatalf("%d of %d are there", len(h.heap), len(when))
		}
	}
}
