package franz

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"hash/crc32"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"millrace/loadgen/ledger"
	"millrace/loadgen/result"
	"millrace/loadgen/stub"
	"millrace/loadgen/workload"
	"millrace/protocol"
	"millrace/protocol/batch"

	"github.com/twmb/franz-go/pkg/kerr"
)

func startStub(t testing.TB, o stub.Options) *stub.Stub {
	t.Helper()
	s, err := stub.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// short is a one of a mode, with topics of its own.
func short(m workload.Mode, brokers ...string) *workload.Workload {
	w := workload.New(m)
	w.Client, w.Brokers, w.Partitions, w.Create = workload.Franz, brokers, 4, true
	w.Warmup, w.Duration = 100*time.Millisecond, 600*time.Millisecond
	w.Interval = 100 * time.Millisecond
	return &w
}

// onStub is a load for the stub, which has no groups.
func onStub(m workload.Mode, s *stub.Stub) *workload.Workload {
	w := short(m, s.Addrs()...)
	w.Assign, w.FetchWait = workload.AssignDirect, 50*time.Millisecond
	return w
}

func run(t testing.TB, ctx context.Context, w *workload.Workload) *result.Run {
	t.Helper()
	if err := w.Check(); err != nil {
		t.Fatal(err)
	}
	if _, err := Prepare(ctx, w); err != nil {
		t.Fatal(err)
	}
	r, err := Run(ctx, w)
	if err != nil && !errors.Is(err, ledger.ErrWrong) {
		t.Fatal(err)
	}
	if err := r.Check(); err != nil {
		t.Fatal(err)
	}
	if r.Verified != nil && r.Partial == "" && (err == nil) != r.Verified.Right() {
		t.Errorf("error %v, verified %+v", err, r.Verified)
	}
	return r
}

func whole(t testing.TB, r *result.Run) {
	t.Helper()
	if r.Partial != "" || len(r.Errors) > 0 {
		t.Errorf("partial %q, errors %+v", r.Partial, r.Errors)
	}
}

func TestProduce(t *testing.T) {
	s := startStub(t, stub.Options{Keep: 1 << 30})
	for _, codec := range workload.Codecs {
		w := onStub(workload.Produce, s)
		w.Topic, w.Codec, w.Rate, w.Payload.Random = "of-"+codec, codec, workload.Rate{PerSecond: 2000}, 0.2
		r := run(t, context.Background(), w)
		whole(t, r)
		stored := int64(0)
		for p := range int32(4) {
			stored += s.End(w.Topic, p)
		}
		if stored < 1390 || stored > 1410 || r.Acked > stored || r.Acked < 1000 {
			t.Errorf("%s: 0.7 s at 2000/s stored %d, acknowledged %d", codec, stored, r.Acked)
		}
		if n := r.Latencies[result.Response].Count; n < 1195 || n > 1205 {
			t.Errorf("%s: %d latencies of 1200 messages", codec, n)
		}
		plain := float64(r.AckedBytes)/float64(r.Acked) > 100
		if plain != (codec == "none") {
			t.Errorf("%s: %d bytes in %d messages of 100", codec, r.AckedBytes, r.Acked)
		}
	}
}

func TestEndToEndAndMixedOnTheStub(t *testing.T) {
	s := startStub(t, stub.Options{Keep: 1 << 30})
	w := onStub(workload.EndToEnd, s)
	r := run(t, context.Background(), w)
	whole(t, r)
	if n := r.Latencies[result.EndToEnd].Count; n != r.Latencies[result.Response].Count || n < 1195 {
		t.Errorf("%d end to end, %d responses", n, r.Latencies[result.Response].Count)
	}
	w = onStub(workload.Mixed, s)
	w.Topic, w.Groups, w.Consumers, w.CatchUp = "mixed", 3, 2, 1
	w.Rate = workload.Rate{PerSecond: 1000}
	r = run(t, context.Background(), w)
	whole(t, r)
	if n := r.Latencies[result.EndToEnd].Count; n != 3*r.Latencies[result.Response].Count {
		t.Errorf("%d end to end of 3 groups, %d responses", n, r.Latencies[result.Response].Count)
	}
	if len(r.Readers) != 4 || r.CatchUp == 0 || !r.Readers[3].CatchUp || r.Readers[0].EndToEnd == nil {
		t.Errorf("caught up on %d: %+v", r.CatchUp, r.Readers)
	}
}

func TestSeveralBrokers(t *testing.T) {
	s := startStub(t, stub.Options{Keep: 1 << 30, Listen: []string{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"}})
	w := onStub(workload.Verify, s)
	w.Brokers, w.Partitions, w.Rate = s.Addrs()[:1], 6, workload.Rate{PerSecond: 2000}
	r := run(t, context.Background(), w)
	whole(t, r)
	if r.Verified == nil || !r.Verified.Right() || r.Verified.Expected < 1000 {
		t.Errorf("%+v", r.Verified)
	}
}

func TestBacklogIsBuiltFirst(t *testing.T) {
	s := startStub(t, stub.Options{Keep: 1 << 30})
	w := onStub(workload.EndToEnd, s)
	w.Rate, w.Backlog, w.Warmup = workload.Rate{PerSecond: 10_000}, 500_000, 0
	r := run(t, context.Background(), w)
	whole(t, r)
	if r.Received == 0 || r.Readers[0].Behind == 0 || r.Latencies[result.EndToEnd].Max < 200e3 {
		t.Errorf("received %d, %+v, longest way %.0f µs", r.Received, r.Readers, r.Latencies[result.EndToEnd].Max)
	}
}

// TestVerifyFindsWhatABrokerDoesWrong: a stub that loses, doubles and turns around.
func TestVerifyFindsWhatABrokerDoesWrong(t *testing.T) {
	var nth atomic.Int64
	for name, c := range map[string]struct {
		store func(v batch.View) []batch.View
		wrong func(v *result.Verified) int64
	}{
		"nothing": {nil, func(v *result.Verified) int64 { return v.Expected - v.Received + 1 }},
		"lost": {func(batch.View) []batch.View { return nil },
			func(v *result.Verified) int64 { return v.Missing }},
		"doubled": {func(v batch.View) []batch.View { return []batch.View{v, slices.Clone(v)} },
			func(v *result.Verified) int64 { return v.Duplicates }},
		"damaged": {func(v batch.View) []batch.View {
			v = slices.Clone(v)
			v[len(v)-3] ^= 1
			binary.BigEndian.PutUint32(v[17:], crc32.Checksum(v[21:], crc32.MakeTable(crc32.Castagnoli)))
			return []batch.View{v}
		}, func(v *result.Verified) int64 { return v.Damaged }},
	} {
		s := startStub(t, stub.Options{Keep: 1 << 30, Store: func(_ string, _ int32, v batch.View) []batch.View {
			if n := nth.Add(1); c.store != nil && n%20 == 7 {
				return c.store(v)
			}
			return []batch.View{v}
		}})
		w := onStub(workload.Verify, s)
		w.Rate = workload.Rate{PerSecond: 2000}
		r := run(t, context.Background(), w)
		whole(t, r)
		if r.Verified == nil || c.wrong(r.Verified) == 0 || r.Verified.Right() != (name == "nothing") || r.Verified.Expected < 1000 {
			t.Errorf("%s: %+v", name, r.Verified)
		}
	}
}

func TestOrderIsVerified(t *testing.T) {
	var held batch.View
	s := startStub(t, stub.Options{Keep: 1 << 30, Store: func(_ string, p int32, v batch.View) []batch.View {
		switch { // the stub calls this with one batch of a partition at a time
		case p == 0 && held == nil && v.Count() > 0:
			held = slices.Clone(v)
			return nil
		case p == 0 && len(held) > 0:
			first := held
			held = batch.View{}
			return []batch.View{v, first}
		}
		return []batch.View{v}
	}})
	w := onStub(workload.Verify, s)
	w.Rate, w.Connections = workload.Rate{PerSecond: 2000}, 1
	r := run(t, context.Background(), w)
	if r.Verified == nil || r.Verified.Disordered == 0 || r.Verified.Missing != 0 || len(r.Verified.Examples) == 0 {
		t.Errorf("%+v", r.Verified)
	}
}

// TestAStallIsTheBrokers: latency has it, and the generator is not blamed for it.
func TestAStallIsTheBrokers(t *testing.T) {
	s := startStub(t, stub.Options{})
	w := onStub(workload.Produce, s)
	w.Rate, w.Batch = workload.Rate{PerSecond: 500}, workload.Batch{Records: 1}
	time.AfterFunc(500*time.Millisecond, func() { s.Hold(time.Second) })
	r := run(t, context.Background(), w)
	whole(t, r)
	if most := r.Latencies[result.Response].Max; most < 800e3 {
		t.Errorf("the longest response took %.0f µs: a stall of 1 s is not in it", most)
	}
	if n := r.Latencies[result.Response].Count; n < 295 || n > 305 {
		t.Errorf("%d latencies of 300 messages: what was due in the stall is left out", n)
	}
	// On a machine that is busy with other things the generator may be late by itself.
	if r.Void != "" && r.Machine.Foreign+r.Machine.Steal < 0.2*r.Seconds {
		t.Error(r.Void)
	}
}

func TestWhatEndsALoad(t *testing.T) {
	for name, c := range map[string]struct {
		harm func(s *stub.Stub, cancel func())
		text string
	}{
		"topic deleted":  {func(s *stub.Stub, _ func()) { s.Delete("load") }, "UNKNOWN_TOPIC_OR_PARTITION"},
		"not authorised": {func(s *stub.Stub, _ func()) { s.Refuse(protocol.Produce, protocol.TopicAuthorizationFailed) }, "TOPIC_AUTHORIZATION_FAILED"},
		"stopped":        {func(_ *stub.Stub, cancel func()) { cancel() }, "stopped: enough"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startStub(t, stub.Options{Keep: 1 << 30})
			w := onStub(workload.EndToEnd, s)
			w.Duration = time.Minute
			ctx, cancel := context.WithCancelCause(context.Background())
			defer cancel(nil)
			time.AfterFunc(700*time.Millisecond, func() { c.harm(s, func() { cancel(errors.New("enough")) }) })
			began := time.Now()
			r := run(t, ctx, w)
			if !strings.Contains(r.Partial, c.text) || r.Acked < 50 || time.Since(began) > 30*time.Second {
				t.Errorf("partial %q with %d messages after %v", r.Partial, r.Acked, time.Since(began))
			}
			if (len(r.Errors) > 0) != (name != "stopped") {
				t.Errorf("errors %+v", r.Errors)
			}
		})
	}
}

func TestPrepareSaysWhatIsWrong(t *testing.T) {
	s := startStub(t, stub.Options{Topics: []string{"old"}, Partitions: 2})
	for name, c := range map[string]struct {
		change func(w *workload.Workload)
		text   string
	}{
		"nobody there": {func(w *workload.Workload) { w.Brokers = []string{"127.0.0.1:1"} }, "127.0.0.1:1: unable to dial"},
		"exists":       {func(w *workload.Workload) { w.Topic = "old" }, "leave out --create"},
		"is not there": {func(w *workload.Workload) { w.Create = false }, "--create makes it"},
		"too small":    {func(w *workload.Workload) { w.Topic, w.Create = "old", false }, "has 2 partitions: fewer"},
		"no CA":        {func(w *workload.Workload) { w.TLS.On, w.TLS.CA = true, os.DevNull }, "has no certificate"},
	} {
		w := onStub(workload.Produce, s)
		w.Topic = "new"
		c.change(w)
		if _, err := Prepare(context.Background(), w); err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %q", name, err, c.text)
		}
	}
	w := onStub(workload.Produce, s)
	w.Topics, w.Partitions, w.Topic = 700, 1, "many"
	if _, err := Prepare(context.Background(), w); err != nil {
		t.Fatal(err)
	}
	if err := Remove(context.Background(), w); err != nil {
		t.Error(err)
	}
	if err := Remove(context.Background(), w); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("removed twice: %v", err)
	}
}

// TestTLS holds the configuration to a server with a certificate that only its own CA signs.
func TestTLS(t *testing.T) {
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	defer srv.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if err := os.WriteFile(ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		options workload.TLS
		good    bool
	}{
		{workload.TLS{On: true}, false}, {workload.TLS{On: true, Insecure: true}, true}, {workload.TLS{On: true, CA: ca}, true},
		{workload.TLS{On: true, CA: ca, ServerName: "example.com"}, true}, {workload.TLS{On: true, CA: ca, ServerName: "other"}, false},
	} {
		config, err := tlsConfig(&c.options)
		if err != nil {
			t.Fatal(err)
		}
		d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second}, Config: config}
		conn, err := d.Dial("tcp", srv.Listener.Addr().String())
		if (err == nil) != c.good {
			t.Errorf("%+v: %v", c.options, err)
		}
		if err == nil {
			_ = conn.Close()
		}
	}
}

func TestAbortedShare(t *testing.T) {
	for _, share := range []float64{0, 0.1, 0.34, 1} {
		n := 0
		for i := range int64(1000) {
			if aborts(i+1, share) {
				n++
			}
		}
		if n != int(1000*share) {
			t.Errorf("%d of 1000 aborted, want a share of %v", n, share)
		}
	}
}
