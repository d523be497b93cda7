package broker

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A message of 20 MiB and a request of 90 MiB over 80 partitions pass on both engines,
// byte for byte, also from the disk after a restart.
func TestLargeMessages(t *testing.T) {
	for _, io := range engines {
		t.Run(io, func(t *testing.T) {
			args := []string{"--io", io, "--set", "message.max.bytes=33554432"}
			p := Start(t, "", args...)
			c := client(t, p, kgo.ProducerBatchMaxBytes(30<<20), kgo.BrokerMaxWriteBytes(100<<20),
				kgo.ProducerBatchCompression(kgo.NoCompression()))
			createTopic(t, c, "large", 1, nil)
			value := randomBytes(20 << 20)
			ctx := within(t, 5*time.Minute)
			rec := &kgo.Record{Topic: "large", Value: value}
			if err := c.ProduceSync(ctx, rec).FirstErr(); err != nil {
				t.Fatal(err)
			}
			want := produceWide(t, p)
			p.Kill()
			p = Start(t, p.Dir, args...)
			checkLarge(t, ctx, p, value)
			checkWide(t, ctx, p, want)
		})
	}
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(1, uint64(n)))
	for i := 0; i+8 <= n; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], r.Uint64())
	}
	return b
}

func checkLarge(t *testing.T, ctx context.Context, p *Process, value []byte) {
	t.Helper()
	c := client(t, p, kgo.ConsumeTopics("large"), kgo.FetchMaxBytes(64<<20),
		kgo.FetchMaxPartitionBytes(64<<20), kgo.BrokerMaxReadBytes(200<<20),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	f := c.PollFetches(ctx)
	if recs := f.Records(); len(recs) != 1 || !bytes.Equal(recs[0].Value, value) {
		t.Fatalf("large message: %d records, %v", len(recs), f.Errors())
	}
}

const wideParts = 80

// produceWide sends one Produce request of 90 MiB over 80 partitions.
func produceWide(t *testing.T, p *Process) []byte {
	t.Helper()
	c := client(t, p)
	createTopic(t, c, "wide", wideParts, map[string]string{"max.message.bytes": "2097152"})
	value := randomBytes(90 << 20 / wideParts)
	batch := oneBatch(value)
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 9, -1, 60000
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = "wide"
	for i := range wideParts {
		rp := kmsg.NewProduceRequestTopicPartition()
		rp.Partition, rp.Records = int32(i), batch
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	resp := exchange(t, p.Dial(t), req).(*kmsg.ProduceResponse)
	if n := len(resp.Topics[0].Partitions); n != wideParts {
		t.Fatalf("%d partitions answered", n)
	}
	for _, rp := range resp.Topics[0].Partitions {
		if rp.ErrorCode != 0 || rp.BaseOffset != 0 {
			t.Fatalf("partition %d: code %d, offset %d", rp.Partition, rp.ErrorCode, rp.BaseOffset)
		}
	}
	return value
}

func checkWide(t *testing.T, ctx context.Context, p *Process, want []byte) {
	t.Helper()
	c := client(t, p, kgo.ConsumeTopics("wide"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	seen := make(map[int32]bool)
	for len(seen) < wideParts {
		f := c.PollFetches(ctx)
		if err := f.Err(); err != nil {
			t.Fatal(err)
		}
		f.EachRecord(func(r *kgo.Record) {
			if !bytes.Equal(r.Value, want) {
				t.Fatalf("partition %d: other bytes", r.Partition)
			}
			seen[r.Partition] = true
		})
	}
}

// Consumers that ask and never read leave produce latency and memory where they were.
func TestStalledConsumers(t *testing.T) {
	p := Start(t, "", "--set", "max.connections=10000")
	c := client(t, p, kgo.DefaultProduceTopic("t"), kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(kgo.NoCompression()))
	createTopic(t, c, "t", 1, nil)
	ctx := within(t, 3*time.Minute)
	for range 64 {
		c.Produce(ctx, kgo.SliceRecord(randomBytes(900<<10)), nil)
	}
	if err := c.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	before, quiet := p.Resident(t), latency(t, ctx, c)
	stall(t, p, 2000)
	after, loud := p.Resident(t), latency(t, ctx, c)
	t.Logf("resident %d → %d MB, produce p99 %v → %v", before>>20, after>>20, quiet, loud)
	if after > before+256<<20 {
		t.Errorf("resident memory grew from %d to %d MB", before>>20, after>>20)
	}
}

// stall opens connections with a tiny receive buffer that fetch 1 MB and never read.
func stall(t *testing.T, p *Process, n int) {
	t.Helper()
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 12, 0, 1, 1<<20, -1
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic = "t"
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.PartitionMaxBytes, rp.CurrentLeaderEpoch = 1<<20, -1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	var wg sync.WaitGroup
	for i := range n {
		conn := p.Dial(t)
		_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		rt.Partitions[0].FetchOffset = int64(i % 64)
		frame := kmsg.NewRequestFormatter().AppendRequest(nil, req, 1)
		wg.Go(func() {
			if _, err := conn.Write(frame); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// latency is the p99 of 300 single produces.
func latency(t *testing.T, ctx context.Context, c *kgo.Client) time.Duration {
	t.Helper()
	var worst []time.Duration
	for range 300 {
		began := time.Now()
		if err := c.ProduceSync(ctx, kgo.StringRecord("x")).FirstErr(); err != nil {
			t.Fatal(err)
		}
		worst = append(worst, time.Since(began))
	}
	return quantile(worst, 0.99)
}

// Garbage, lying lengths and unknown keys close their connection, cost no memory, and
// do no harm to others.
func TestHostileFrames(t *testing.T) {
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) {
			p := Start(t, "", "--io", engine)
			c := client(t, p)
			createTopic(t, c, "t", 1, nil)
			before := p.Resident(t)
			for i, frame := range hostile() {
				conn := p.Dial(t)
				_, _ = conn.Write(frame)
				_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
				if n, err := io.Copy(io.Discard, conn); err != nil && n == 0 && isTimeout(err) {
					t.Errorf("frame %d: % x…: the connection stays open", i, frame[:min(16, len(frame))])
				}
				_ = conn.Close()
			}
			if err := c.Ping(within(t, 10*time.Second)); err != nil {
				t.Fatal(err)
			}
			if after := p.Resident(t); after > before+64<<20 {
				t.Errorf("resident memory grew from %d to %d MB", before>>20, after>>20)
			}
		})
	}
}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}
