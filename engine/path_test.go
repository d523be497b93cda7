package engine

import (
	"bytes"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/internal/clock"
	"millrace/protocol"
)

func onePart(t *testing.T, resp kmsg.Response) kmsg.FetchResponseTopicPartition {
	t.Helper()
	f := resp.(*kmsg.FetchResponse)
	if len(f.Topics) != 1 || len(f.Topics[0].Partitions) != 1 {
		t.Fatalf("want one partition: %+v", f)
	}
	return f.Topics[0].Partitions[0]
}

// What is produced on one core is fetched from another, byte for byte but for offset
// and epoch.
func TestProduceThenFetch(t *testing.T) {
	for _, shape := range [][2]int{{1, 1}, {2, 2}, {3, 3}, {2, 1}, {4, 2}} {
		cores := shape[0]
		r := newRig(t, cores, shape[1])
		r.create("t", 5)
		fd := r.connect(cores - 1)
		for part := int32(0); part < 5; part++ {
			for i := range 3 {
				resp := r.ask(fd, produceRequest("t", part, records(4, "v"))).(*kmsg.ProduceResponse)
				p := resp.Topics[0].Partitions[0]
				if p.ErrorCode != 0 || p.BaseOffset != int64(4*i) {
					t.Fatalf("cores %d: produce %d: %+v", cores, i, p)
				}
			}
			p := onePart(t, r.ask(fd, fetchRequest("t", part, 4, 0)))
			want := records(4, "v")
			if p.HighWatermark != 12 || len(p.RecordBatches) != 2*len(want) {
				t.Fatalf("cores %d: fetch: high %d, %d bytes", cores, p.HighWatermark, len(p.RecordBatches))
			}
			if !bytes.Equal(p.RecordBatches[17:len(want)], want[17:]) {
				t.Fatal("records differ")
			}
		}
		for i, c := range r.cores {
			if c.fetches.pinned != 0 || c.fetches.parked != 0 {
				t.Fatalf("core %d of %d: %d pinned, %d parked", i, cores, c.fetches.pinned, c.fetches.parked)
			}
		}
	}
}

// No answer and no record before the journal write is durable (I3).
func TestNothingBeforeDurable(t *testing.T) {
	r := newRig(t, 1)
	r.create("t", 1)
	a, b := r.connect(0), r.connect(0)
	r.held = true
	req := produceRequest("t", 0, records(1, "v"))
	r.write(a, formatter.AppendRequest(nil, req, 42))
	if len(r.ends[a].got) > 0 {
		t.Fatal("answered before the write was durable")
	}
	f := fetchRequest("t", 0, 0, 0)
	if p := onePart(t, r.ask(b, f)); p.HighWatermark != 0 || len(p.RecordBatches) > 0 {
		t.Fatalf("record visible before it was durable: %+v", p)
	}
	r.release()
	r.answer(a, req)
	if p := onePart(t, r.ask(b, f)); p.HighWatermark != 1 || len(p.RecordBatches) == 0 {
		t.Fatalf("record not visible: %+v", p)
	}
}

// A long poll is answered by the append, or by its deadline.
func TestLongPoll(t *testing.T) {
	for cores := 1; cores <= 2; cores++ {
		r := newRig(t, cores)
		r.create("t", 2)
		a, b := r.connect(0), r.connect(cores-1)
		for part := int32(0); part < 2; part++ {
			f := fetchRequest("t", part, 0, 500)
			r.write(b, formatter.AppendRequest(nil, f, 42))
			if len(r.ends[b].got) > 0 {
				t.Fatal("answered without records")
			}
			r.ask(a, produceRequest("t", part, records(1, "v")))
			if p := onePart(t, r.answer(b, f)); len(p.RecordBatches) == 0 {
				t.Fatal("woken without records")
			}
			f.Topics[0].Partitions[0].FetchOffset = 1
			r.write(b, formatter.AppendRequest(nil, f, 42))
			r.now.Mono += clock.Instant(501 * time.Millisecond)
			r.run()
			if p := onePart(t, r.answer(b, f)); p.ErrorCode != 0 || len(p.RecordBatches) != 0 {
				t.Fatalf("at the deadline: %+v", p)
			}
		}
	}
}

// Pipelined requests are answered in order, whatever becomes ready first (I1).
func TestAnswersInOrder(t *testing.T) {
	r := newRig(t, 2)
	r.create("t", 4)
	fd := r.connect(0)
	var b []byte
	for i := range 40 {
		b = append(b, formatter.AppendRequest(nil, produceRequest("t", int32(i%4), records(1, "v")), int32(i))...)
	}
	r.write(fd, b)
	got := r.ends[fd].got
	for i := range 40 {
		if int(got[7]) != i {
			t.Fatalf("answer %d has correlation id %d", i, got[7])
		}
		size := int(got[3]) | int(got[2])<<8
		got = got[4+size:]
	}
	if len(got) != 0 {
		t.Fatalf("%d bytes too many", len(got))
	}
}

// Garbage closes its connection and leaves others alone.
func TestGarbageCloses(t *testing.T) {
	r := newRig(t, 1)
	r.create("t", 1)
	good := r.connect(0)
	for _, bad := range [][]byte{
		[]byte("GET / HTTP/1.1\r\n\r\n"),
		{0xff, 0xff, 0xff, 0xff},
		{0, 0, 0, 3, 1, 2, 3},
		{0, 0, 0, 10, 0x7f, 0xff, 0, 0, 0, 0, 0, 1, 0xff, 0xff},
		{0, 0, 0, 10, 0, 0, 0, 99, 0, 0, 0, 1, 0xff, 0xff},
		{0, 0, 0, 20, 0, 0, 0, 9, 0, 0, 0, 1, 0xff, 0xff, 0, 9, 9, 9, 9, 9, 9, 9, 9, 9},
	} {
		fd := r.connect(0)
		r.write(fd, bad)
		if !r.ends[fd].shut && r.cores[0].conns.live != 1 {
			t.Fatalf("% x: still open", bad)
		}
	}
	r.ask(good, produceRequest("t", 0, records(1, "v")))
}

// Refusals carry Kafka's codes.
func TestProduceRefusals(t *testing.T) {
	r := newRig(t, 1)
	r.create("t", 1)
	fd := r.connect(0)
	code := func(req *kmsg.ProduceRequest) protocol.Code {
		resp := r.ask(fd, req).(*kmsg.ProduceResponse)
		return protocol.Code(resp.Topics[0].Partitions[0].ErrorCode)
	}
	bad := records(1, "v")
	bad[len(bad)-1] ^= 1
	acks := produceRequest("t", 0, records(1, "v"))
	acks.Acks = 7
	for _, c := range []struct {
		req  *kmsg.ProduceRequest
		want protocol.Code
	}{
		{produceRequest("nope", 0, records(1, "v")), protocol.UnknownTopicOrPartition},
		{produceRequest("t", 9, records(1, "v")), protocol.UnknownTopicOrPartition},
		{produceRequest("t", 0, bad), protocol.CorruptMessage},
		{produceRequest("t", 0, append(records(1, "v"), records(1, "v")...)), protocol.InvalidRecord},
		{produceRequest("t", 0, nil), protocol.InvalidRecord},
		{acks, protocol.InvalidRequiredAcks},
	} {
		if got := code(c.req); got != c.want {
			t.Errorf("got %v, want %v", got, c.want)
		}
	}
}
