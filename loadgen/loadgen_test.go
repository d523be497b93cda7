package loadgen

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"millrace/protocol/batch"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// broker is a stand-in that keeps what is produced in memory and serves it, by kmsg.
type broker struct {
	t    *testing.T
	l    net.Listener
	mu   sync.Mutex
	logs map[int32][]byte
	ends map[int32]int64
	grew *sync.Cond
	code int16 // answered to every produce request
}

func startBroker(t *testing.T) *broker {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &broker{t: t, l: l, logs: map[int32][]byte{}, ends: map[int32]int64{}}
	b.grew = sync.NewCond(&b.mu)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go b.serve(c)
		}
	}()
	return b
}

func (b *broker) addr() string { return b.l.Addr().String() }

func (b *broker) serve(c net.Conn) {
	defer c.Close()
	for {
		var size [4]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		frame := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(c, frame); err != nil {
			return
		}
		key, version := binary.BigEndian.Uint16(frame), binary.BigEndian.Uint16(frame[2:])
		body := frame[8+2+len(clientID)+1:]
		resp, err := b.answer(int16(key), int16(version), body)
		if err != nil {
			b.t.Errorf("broker: %v", err)
			return
		}
		out := append([]byte{0, 0, 0, 0}, frame[4:8]...)
		out = resp.AppendTo(append(out, 0))
		binary.BigEndian.PutUint32(out, uint32(len(out)-4))
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}

func (b *broker) answer(key, version int16, body []byte) (kmsg.Response, error) {
	req := kmsg.RequestForKey(key)
	req.SetVersion(version)
	if err := req.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("request of key %d: %w", key, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	resp := req.ResponseKind()
	switch r := req.(type) {
	case *kmsg.ProduceRequest:
		return resp, b.produce(r, resp.(*kmsg.ProduceResponse))
	case *kmsg.FetchRequest:
		b.fetch(r, resp.(*kmsg.FetchResponse))
		return resp, nil
	}
	return nil, fmt.Errorf("unexpected key %d", key)
}

func (b *broker) produce(r *kmsg.ProduceRequest, resp *kmsg.ProduceResponse) error {
	p := r.Topics[0].Partitions[0]
	v, rest, err := batch.Next(p.Records)
	if err != nil || len(rest) > 0 || !v.CheckCRC() {
		return fmt.Errorf("batch: %w, %d bytes behind it, crc %v", err, len(rest), v.CheckCRC())
	}
	v.Stamp(b.ends[p.Partition], 0)
	b.logs[p.Partition] = append(b.logs[p.Partition], v...)
	b.ends[p.Partition] += int64(v.Count())
	b.grew.Broadcast()
	t := kmsg.NewProduceResponseTopic()
	t.Topic = r.Topics[0].Topic
	q := kmsg.NewProduceResponseTopicPartition()
	q.Partition, q.ErrorCode = p.Partition, b.code
	t.Partitions = append(t.Partitions, q)
	resp.Topics = append(resp.Topics, t)
	return nil
}

func (b *broker) fetch(r *kmsg.FetchRequest, resp *kmsg.FetchResponse) {
	p := r.Topics[0].Partitions[0]
	stop := time.AfterFunc(50*time.Millisecond, b.grew.Broadcast)
	if b.ends[p.Partition] <= p.FetchOffset {
		b.grew.Wait()
	}
	stop.Stop()
	rest := b.logs[p.Partition]
	for len(rest) > 0 {
		v, after, err := batch.Next(rest)
		if err != nil || v.NextOffset() > p.FetchOffset {
			break
		}
		rest = after
	}
	t := kmsg.NewFetchResponseTopic()
	t.Topic = r.Topics[0].Topic
	q := kmsg.NewFetchResponseTopicPartition()
	q.Partition, q.HighWatermark = p.Partition, b.ends[p.Partition]
	q.RecordBatches = rest[:min(len(rest), int(p.PartitionMaxBytes))]
	t.Partitions = append(t.Partitions, q)
	resp.Topics = append(resp.Topics, t)
}

func TestProduceIsCountedAndFetchedAgain(t *testing.T) {
	b := startBroker(t)
	r, err := Produce(context.Background(), ProduceOptions{Addr: b.addr(), Topic: "t", Partitions: 4,
		Conns: 2, InFlight: 4, Records: 8, Size: 50, Acks: 1, Duration: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	least, total := int64(1<<62), int64(0)
	for p := range int32(4) {
		least, total = min(least, b.ends[p]), total+b.ends[p]
	}
	// What came in after the measurement's end is in the log and not in the figures.
	if r.Messages == 0 || r.Messages > total || r.Messages != 8*r.Requests || total-r.Messages > 8*8*2 {
		t.Errorf("%d messages reported, %d in the log", r.Messages, total)
	}
	if r.Latency.N != r.Requests || r.Latency.P50 <= 0 || r.Seconds < 0.1 {
		t.Errorf("report %+v", r)
	}
	f, err := Fetch(context.Background(), FetchOptions{Addr: b.addr(), Topic: "t", Partitions: 4,
		Conns: 2, MaxBytes: 4000, To: least, Duration: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if f.Messages < 4*least || f.Messages > total {
		t.Errorf("%d messages fetched; every partition holds %d or more, all %d", f.Messages, least,
			total)
	}
}

func TestPacedLatencyCountsFromTheIntendedSend(t *testing.T) {
	b := startBroker(t)
	r, err := Produce(context.Background(), ProduceOptions{Addr: b.addr(), Topic: "t", Partitions: 1,
		Conns: 1, InFlight: 16, Records: 1, Size: 10, Acks: 1, Rate: 500,
		Duration: 400 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if r.Requests < 150 || r.Requests > 210 || r.Delay == nil || r.Delay.N < 150 {
		t.Errorf("500/s for 0.4 s gave %d requests: %+v", r.Requests, r)
	}
}

func TestEndToEnd(t *testing.T) {
	b := startBroker(t)
	r, err := EndToEnd(context.Background(), EndToEndOptions{Addr: b.addr(), Topic: "t",
		Partitions: 2, Size: 100, Acks: 1, Rate: 1000, Duration: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if r.Messages < 200 || r.Latency.P50 <= 0 || r.Latency.P99 > 5e6 {
		t.Errorf("report %+v", r)
	}
}

func TestErrorCodeEndsTheRun(t *testing.T) {
	b := startBroker(t)
	b.code = 7
	_, err := Produce(context.Background(), ProduceOptions{Addr: b.addr(), Topic: "t", Partitions: 1,
		Conns: 1, InFlight: 1, Records: 1, Size: 1, Acks: 1, Duration: time.Second})
	if err == nil {
		t.Error("an error code went unnoticed")
	}
}

func TestFetchRequestAims(t *testing.T) {
	q := newFetchRequest("topic", time.Second, 1, 1000)
	q.aim(5, 1<<40)
	var r kmsg.FetchRequest
	r.SetVersion(fetchVersion)
	if err := r.ReadFrom(q.frame[4+8+2+len(clientID)+1:]); err != nil {
		t.Fatal(err)
	}
	p := r.Topics[0].Partitions[0]
	if r.Topics[0].Topic != "topic" || p.Partition != 5 || p.FetchOffset != 1<<40 ||
		p.PartitionMaxBytes != 1000 || r.MaxWaitMillis != 1000 || r.MaxBytes != 1000 {
		t.Errorf("request %+v", r)
	}
}

func FuzzReadFetch(f *testing.F) {
	resp := kmsg.NewPtrFetchResponse()
	resp.SetVersion(fetchVersion)
	t := kmsg.NewFetchResponseTopic()
	t.Topic = "t"
	p := kmsg.NewFetchResponseTopicPartition()
	p.HighWatermark, p.RecordBatches = 9, []byte("records")
	t.Partitions = append(t.Partitions, p)
	resp.Topics = append(resp.Topics, t)
	whole := resp.AppendTo([]byte{0})
	f.Add(whole)
	f.Add(whole[:20])
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff, 0xff})
	if got, err := readFetch(whole); err != nil || got.high != 9 || string(got.records) != "records" {
		f.Fatalf("read %+v: %v", got, err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := readFetch(body)
		if err == nil && len(got.records) > len(body) {
			t.Errorf("%d bytes of records in %d", len(got.records), len(body))
		}
	})
}
