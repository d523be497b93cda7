package franz

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"millrace/loadgen/raw"
	"millrace/loadgen/result"
	"millrace/loadgen/workload"
	"millrace/test/broker"
)

func TestMain(m *testing.M) {
	code := m.Run()
	broker.Remove()
	os.Exit(code)
}

// TestOnABroker runs the modes against the real thing, groups included.
func TestOnABroker(t *testing.T) {
	p := broker.Start(t, "")
	t.Run("end to end", func(t *testing.T) {
		w := short(workload.EndToEnd, p.Addr)
		w.Topic, w.Groups, w.Consumers, w.BrokerPid = "e2e", 2, 2, p.Pid()
		w.Arrival, w.Keys = workload.Poisson, workload.Keys{Kind: workload.KeysRandom, N: 50}
		r := run(t, context.Background(), w)
		whole(t, r)
		if got, want := r.Latencies[result.EndToEnd].Count, 2*r.Latencies[result.Response].Count; got != want || want < 1000 {
			t.Errorf("%d end to end, want %d", got, want)
		}
		if r.Broker == nil || r.Broker.CPUSeconds <= 0 || len(r.Readers) != 2 || r.Readers[1].Consumers != 2 {
			t.Errorf("broker %+v, readers %+v", r.Broker, r.Readers)
		}
	})
	t.Run("verify", func(t *testing.T) {
		w := short(workload.Verify, p.Addr)
		w.Topic, w.Topics, w.Rate, w.Codec = "verified", 2, workload.Rate{}, "lz4"
		w.Idempotence, w.InFlight, w.Size = true, 5, workload.Sizes{Kind: workload.SizeUniform, From: 40, To: 400}
		r := run(t, context.Background(), w)
		whole(t, r)
		if r.Verified == nil || !r.Verified.Right() || r.Verified.Received < 100 {
			t.Errorf("%+v", r.Verified)
		}
	})
	t.Run("what raw wrote", func(t *testing.T) {
		w := short(workload.Produce, p.Addr)
		w.Topic, w.Stamp, w.Client, w.Messages, w.Rate = "raw", true, workload.Raw, 5000, workload.Rate{}
		if _, err := Prepare(context.Background(), w); err != nil {
			t.Fatal(err)
		}
		written, err := raw.Run(context.Background(), w)
		if err != nil {
			t.Fatal(err)
		}
		v := short(workload.Verify, p.Addr)
		v.Topic, v.Create, v.ReadOnly, v.Duration, v.Warmup = "raw", false, true, time.Minute, 0
		began := time.Now()
		r := run(t, context.Background(), v)
		whole(t, r)
		if r.Verified == nil || !r.Verified.Right() || r.Verified.Received < written.Acked || time.Since(began) > 30*time.Second {
			t.Errorf("raw wrote %d, franz read %+v in %v", written.Acked, r.Verified, time.Since(began))
		}
		c := short(workload.Consume, p.Addr)
		c.Topic, c.Create, c.To, c.Duration, c.Warmup = "raw", false, 300, time.Minute, 0
		r = run(t, context.Background(), c)
		whole(t, r)
		if r.Received != 4*300 || r.Seconds > 30 {
			t.Errorf("read %d messages to offset 300 of 4 partitions in %.1f s", r.Received, r.Seconds)
		}
		c.To, c.Again, c.Duration, c.Warmup = 0, true, time.Second, 0
		r = run(t, context.Background(), c)
		whole(t, r)
		if r.Received < 2*written.Acked {
			t.Errorf("%d messages read again and again of %d", r.Received, written.Acked)
		}
	})
	t.Run("transactions", func(t *testing.T) {
		w := short(workload.Txn, p.Addr)
		w.Topic = "txn"
		if _, err := Prepare(context.Background(), w); err != nil {
			t.Fatal(err)
		}
		r, err := Run(context.Background(), w)
		switch {
		case err == nil:
			whole(t, r)
			if r.Transactions == 0 || r.Verified == nil || !r.Verified.Right() {
				t.Errorf("%d transactions, %+v", r.Transactions, r.Verified)
			}
		case !strings.Contains(err.Error(), "has no transactions"):
			t.Error(err)
		}
	})
}

func TestABrokerThatDies(t *testing.T) {
	t.Parallel()
	p := broker.Start(t, "")
	w := short(workload.Produce, p.Addr)
	w.Rate, w.Duration = workload.Rate{PerSecond: 500}, time.Minute
	time.AfterFunc(1500*time.Millisecond, p.Kill)
	began := time.Now()
	r := run(t, context.Background(), w)
	if !strings.Contains(r.Partial, "cannot be reached") || r.Acked < 100 || time.Since(began) > 40*time.Second {
		t.Errorf("partial %q with %d messages after %v", r.Partial, r.Acked, time.Since(began))
	}
}
