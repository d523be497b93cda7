package broker

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// descriptors is how many files the process has open.
func (p *Process) descriptors(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// eventually waits for a condition; what it waits for is another process.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("%s: not after 30 s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// A broker with fifty idle connections and a parked group uses no processor time to
// speak of.
func TestIdle(t *testing.T) {
	for _, io := range engines {
		t.Run(io, func(t *testing.T) {
			p := Start(t, "", "--io", io, "--cores", "2", "--set", "group.initial.rebalance.delay.ms=0")
			for range 50 {
				exchange(t, p.Dial(t), kmsg.NewPtrApiVersionsRequest())
			}
			c := client(t, p, kgo.ConsumeTopics("t"), kgo.ConsumerGroup("g"), kgo.DefaultProduceTopic("t"),
				kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
			ctx := within(t, time.Minute)
			if err := c.ProduceSync(ctx, kgo.StringRecord("x")).FirstErr(); err != nil {
				t.Fatal(err)
			}
			if f := c.PollFetches(ctx); f.NumRecords() != 1 {
				t.Fatal(f.Errors())
			}
			polling, stop := context.WithCancel(ctx)
			defer stop()
			go c.PollFetches(polling)
			time.Sleep(3 * time.Second) // buffers of quiet connections go in the first second
			const span = 5 * time.Second
			before := p.CPU(t)
			time.Sleep(span)
			used := p.CPU(t) - before
			t.Logf("%v of processor time in %v", used, span)
			if used > span/100 {
				t.Errorf("%v of processor time in %v idle", used, span)
			}
		})
	}
}

// Connections that come and go leave neither descriptors nor memory behind.
func TestConnectionsComeAndGo(t *testing.T) {
	for _, io := range engines {
		t.Run(io, func(t *testing.T) {
			p := Start(t, "", "--io", io, "--cores", "2")
			createTopic(t, client(t, p), "t", 2, nil)
			wave := func() {
				var wg sync.WaitGroup
				for i := range 300 {
					wg.Go(func() { comeAndGo(t, p, i) })
				}
				wg.Wait()
			}
			wave()
			before := p.descriptors(t)
			eventually(t, "connections close", func() bool { n := p.descriptors(t); ok := n == before; before = n; return ok })
			memory := p.Resident(t)
			for range 5 {
				wave()
			}
			eventually(t, "descriptors are given back", func() bool { return p.descriptors(t) <= before })
			if after := p.Resident(t); after > memory+32<<20 {
				t.Errorf("resident memory grew from %d to %d MB", memory>>20, after>>20)
			}
		})
	}
}

// comeAndGo makes a connection and leaves it in one of many ways.
func comeAndGo(t testing.TB, p *Process, i int) {
	conn, err := net.Dial("tcp", p.Addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	frame := kmsg.NewRequestFormatter().AppendRequest(nil, waitingFetch("t", int32(i%2)), 1)
	switch i % 5 {
	case 0: // at once
	case 1: // with half a request
		_, _ = conn.Write(frame[:len(frame)/2])
	case 2: // with a long poll under way
		_, _ = conn.Write(frame)
		time.Sleep(5 * time.Millisecond)
	case 3: // with a reset
		_, _ = conn.Write(frame)
		_ = conn.(*net.TCPConn).SetLinger(0)
	case 4: // with large unread answers
		req := kmsg.NewPtrMetadataRequest()
		frame = kmsg.NewRequestFormatter().AppendRequest(nil, req, 1)
		for range 50 {
			_, _ = conn.Write(frame)
		}
	}
}

func waitingFetch(topic string, part int32) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 12, 60_000, 1, 1<<20, -1
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.Partition, rp.PartitionMaxBytes, rp.CurrentLeaderEpoch = part, 1<<20, -1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

// SIGTERM under full load ends the broker soon and cleanly, and what was acknowledged is
// there afterwards.
func TestStopUnderLoad(t *testing.T) {
	for _, io := range engines {
		t.Run(io, func(t *testing.T) {
			p := Start(t, "", "--io", io, "--cores", "2")
			createTopic(t, client(t, p), "t", 6, nil)
			acked, stopped := load(t, p)
			began := time.Now()
			if code := p.Stop(t); code != 0 {
				t.Fatalf("exit code %d", code)
			}
			took := time.Since(began)
			stopped()
			t.Logf("%d acknowledged, stopped in %v", len(acked), took)
			if took > 5*time.Second {
				t.Errorf("the stop took %v", took)
			}
			p = Start(t, p.Dir, "--io", io, "--cores", "2")
			c := client(t, p, kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
			for ctx := within(t, time.Minute); len(acked) > 0; {
				f := c.PollFetches(ctx)
				if f.Err() != nil {
					t.Fatalf("%d acknowledged records are gone: %v", len(acked), f.Err())
				}
				f.EachRecord(func(r *kgo.Record) {
					if acked[string(r.Value)] == (place{r.Partition, r.Offset}) {
						delete(acked, string(r.Value))
					}
				})
			}
		})
	}
}

type place struct {
	part   int32
	offset int64
}

// load runs producers and consumers for a while. They go on until stopped is called;
// what was acknowledged is complete then.
func load(t testing.TB, p *Process) (acked map[string]place, stopped func()) {
	acked = make(map[string]place)
	var mu sync.Mutex
	var wg sync.WaitGroup
	ctx, stop := context.WithCancel(context.Background())
	for i := range 4 {
		c := client(t, p, kgo.DefaultProduceTopic("t"), kgo.RecordRetries(0), kgo.MaxBufferedRecords(500))
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				c.Produce(ctx, kgo.StringRecord(fmt.Sprintf("%d-%d", i, n)), func(r *kgo.Record, err error) {
					if err == nil {
						mu.Lock()
						acked[string(r.Value)] = place{r.Partition, r.Offset}
						mu.Unlock()
					}
				})
			}
			c.CloseAllowingRebalance()
		})
		reader := client(t, p, kgo.ConsumeTopics("t"), kgo.ConsumerGroup("g"))
		wg.Go(func() {
			for ctx.Err() == nil {
				reader.PollFetches(ctx)
			}
			reader.CloseAllowingRebalance()
		})
	}
	eventually(t, "load", func() bool { mu.Lock(); defer mu.Unlock(); return len(acked) > 20_000 })
	return acked, func() { stop(); wg.Wait() }
}

// A client that sends byte by byte is served like any other.
func TestSlowClient(t *testing.T) {
	for _, io := range engines {
		t.Run(io, func(t *testing.T) {
			p := Start(t, "", "--io", io)
			createTopic(t, client(t, p), "t", 1, nil)
			conn := p.Dial(t)
			_ = conn.(*net.TCPConn).SetNoDelay(true)
			req := kmsg.NewPtrProduceRequest()
			req.Version, req.Acks, req.TimeoutMillis = 9, -1, 10_000
			rt := kmsg.NewProduceRequestTopic()
			rt.Topic = "t"
			rp := kmsg.NewProduceRequestTopicPartition()
			rp.Records = oneBatch([]byte("slowly"))
			rt.Partitions = append(rt.Partitions, rp)
			req.Topics = append(req.Topics, rt)
			resp := exchange(t, &slowConn{conn}, req).(*kmsg.ProduceResponse)
			if code := resp.Topics[0].Partitions[0].ErrorCode; code != 0 {
				t.Fatalf("code %d", code)
			}
		})
	}
}

// slowConn writes and reads a byte at a time.
type slowConn struct{ net.Conn }

func (c *slowConn) Write(b []byte) (int, error) {
	for i := range b {
		if _, err := c.Conn.Write(b[i : i+1]); err != nil {
			return i, err
		}
		time.Sleep(200 * time.Microsecond)
	}
	return len(b), nil
}

func (c *slowConn) Read(b []byte) (int, error) { return c.Conn.Read(b[:min(1, len(b))]) }

// Two thousand idle connections cost little memory.
func TestManyIdleConnections(t *testing.T) {
	for _, io := range engines {
		t.Run(io, func(t *testing.T) {
			p := Start(t, "", "--io", io, "--set", "max.connections=10000")
			before := p.Resident(t)
			for range 2000 {
				exchange(t, p.Dial(t), kmsg.NewPtrApiVersionsRequest())
			}
			grown := p.Resident(t) - before
			t.Logf("2000 connections: %d KB each", grown>>10/2000)
			if grown > 48<<20 {
				t.Errorf("2000 idle connections take %d MB", grown>>20)
			}
		})
	}
}
