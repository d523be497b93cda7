package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"millrace/internal/admin/status"
)

type fakeSource struct {
	ready, healthy, failed error
	snap                   status.Snapshot
	taken                  atomic.Int32
}

func (f *fakeSource) Ready() error   { return f.ready }
func (f *fakeSource) Healthy() error { return f.healthy }
func (f *fakeSource) Snapshot() (*status.Snapshot, error) {
	f.taken.Add(1)
	if f.failed != nil {
		return nil, f.failed
	}
	return &f.snap, nil
}

func sample() *fakeSource {
	f := new(fakeSource)
	f.snap.Broker = status.Broker{
		Version: "1", ClusterID: "c", NodeID: 1, Started: time.Now(), IO: "epoll", Durability: "fsync",
		Controller: true, Brokers: 1, Topics: 1,
	}
	for i := range 2 {
		c := status.Core{Index: i, BusyNanos: 1e9, ParkedNanos: 3e9, MessagesIn: 10, APIs: make([]status.API, 20)}
		c.APIs[0] = status.API{Requests: 5, Errors: 1, BytesIn: 500, BytesOut: 50}
		c.APIs[0].Latency.ObserveN(900, 4)
		c.APIs[0].Latency.Observe(90_000)
		c.CommitLatency.Observe(250)
		c.CommitSize.Observe(8192)
		f.snap.Cores = append(f.snap.Cores, c)
	}
	f.snap.Partitions = []status.Partition{
		{Topic: "t", Leader: 1, Replicas: 1, InSync: 1, Start: 2, High: 12, Bytes: 100, MessagesIn: 10},
		{Topic: "t", Partition: 1, Leader: 1, Replicas: 1, InSync: 1, Start: 3, High: 13, Bytes: 100, MessagesIn: 10},
	}
	f.snap.Groups = []status.Group{{Name: "g", State: "Stable", Members: 2, Offsets: []status.GroupOffset{
		{Topic: "t", Committed: 2, Lag: 10, LagTime: 1.5}, {Topic: "t", Partition: 1, Committed: 13, LagTime: -1},
	}}}
	return f
}

func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func wantLines(t *testing.T, body string, lines ...string) {
	t.Helper()
	for _, l := range lines {
		if !strings.Contains(body, l+"\n") {
			t.Errorf("/metrics lacks %q", l)
		}
	}
}

func TestMetricsShowTheSnapshot(t *testing.T) {
	code, body := get(t, Handler(Options{Source: sample()}), "/metrics")
	if code != http.StatusOK {
		t.Fatalf("status %d: %s", code, body)
	}
	wantLines(t, body,
		`millrace_healthy 1`, `millrace_ready 1`,
		`millrace_core_busy_seconds_total{core="1"} 1`,
		`millrace_requests_total{api="Produce"} 10`,
		`millrace_request_errors_total{api="Produce"} 2`,
		`millrace_request_duration_seconds_count{api="Produce"} 10`,
		`millrace_request_duration_seconds_bucket{api="Produce",le="0.001024"} 8`,
		`millrace_request_duration_seconds_bucket{api="Produce",le="0.131072"} 10`,
		`millrace_commit_bytes_bucket{le="16384"} 2`,
		`millrace_topic_high_watermark_sum{topic="t"} 25`,
		`millrace_topic_log_start_offset_sum{topic="t"} 5`,
		`millrace_group_members{group="g"} 2`,
		`millrace_group_lag_records{group="g",partition="0",topic="t"} 10`,
		`millrace_group_lag_seconds{group="g",partition="0",topic="t"} 1.5`,
		`kafka_server_brokertopicmetrics_messagesin_total 20`,
		`kafka_server_brokertopicmetrics_messagesin_total{topic="t"} 20`,
		`kafka_server_replicamanager_underreplicatedpartitions 0`,
		`kafka_controller_kafkacontroller_activecontrollercount 1`,
		`kafka_network_requestmetrics_totaltimems{quantile="0.5",request="Produce"} 1.023`,
		`millrace_metrics_dropped_series 0`,
	)
	if strings.Contains(body, `lag_seconds{group="g",partition="1"`) {
		t.Error("an unknown lag in seconds was shown")
	}
	if !strings.Contains(body, "go_goroutines") {
		t.Error("no Go runtime figures")
	}
	for _, name := range []string{"user_seconds", "system_seconds", "voluntary_switches",
		"involuntary_switches", "disk_written_bytes", "disk_read_bytes"} {
		if !strings.Contains(body, "\nmillrace_process_"+name+"_total ") {
			t.Errorf("nothing tells the process's %s", name)
		}
	}
}

// Group names come from clients: many, long, not UTF-8.
func TestMetricsStayBounded(t *testing.T) {
	f := sample()
	for i := range 1000 {
		g := status.Group{Name: fmt.Sprint("many-", i), State: "Empty"}
		for p := range 10 {
			g.Offsets = append(g.Offsets, status.GroupOffset{Topic: "t", Partition: int32(p)})
		}
		f.snap.Groups = append(f.snap.Groups, g)
	}
	f.snap.Groups = append(f.snap.Groups, status.Group{Name: strings.Repeat("x", 30000)})
	f.snap.Groups[0].Name = "bad\xff\xfe"
	code, body := get(t, Handler(Options{Source: f, MaxSeries: 100}), "/metrics")
	if code != http.StatusOK {
		t.Fatalf("status %d", code)
	}
	if n := strings.Count(body, "millrace_group_"); n > 200 { // series, HELP and TYPE lines
		t.Errorf("%d lines about groups with a limit of 100 series", n)
	}
	if len(body) > 100_000 {
		t.Errorf("%d bytes", len(body))
	}
	wantLines(t, body, "millrace_groups 1002", "millrace_group_members{group=\"bad\uFFFD\"} 2")
	if strings.Contains(body, "millrace_metrics_dropped_series 0\n") {
		t.Error("nothing was counted as dropped")
	}
}

func TestProbes(t *testing.T) {
	f := sample()
	h := Handler(Options{Source: f})
	check := func(path string, want int, text string) {
		t.Helper()
		code, body := get(t, h, path)
		if code != want || !strings.Contains(body, text) {
			t.Errorf("%s: %d %q, want %d %q", path, code, body, want, text)
		}
	}
	check("/healthz", 200, "ok")
	check("/readyz", 200, "ok")
	f.ready = errors.New("recovering")
	check("/healthz", 200, "ok")
	check("/readyz", 503, "recovering")
	check("/v1/status/ready", 503, "recovering")
	f.ready, f.healthy = nil, errors.New("disk failed")
	check("/healthz", 503, "disk failed")
	check("/readyz", 503, "disk failed")
	check("/debug/pprof/", 404, "")
	check("/nope", 404, "")
	h = Handler(Options{Source: f, Pprof: true})
	check("/debug/pprof/", 200, "goroutine")
}

func TestFailedSnapshotIsShown(t *testing.T) {
	f := sample()
	f.failed = errors.New("stopping")
	h := Handler(Options{Source: f})
	code, body := get(t, h, "/metrics")
	if code != 200 {
		t.Fatalf("status %d", code)
	}
	wantLines(t, body, "millrace_scrape_failed 1", "millrace_ready 0")
	if code, body = get(t, h, "/v1/status"); code != 503 || !strings.Contains(body, "stopping") {
		t.Errorf("/v1/status: %d %s", code, body)
	}
}

func TestStatusAndSharing(t *testing.T) {
	f := sample()
	h := Handler(Options{Source: f})
	for range 5 {
		code, body := get(t, h, "/v1/status")
		var r report
		if err := json.Unmarshal([]byte(body), &r); err != nil || code != 200 {
			t.Fatalf("%d %v", code, err)
		}
		if r.Partitions != 2 || len(r.Cores) != 2 || r.Cores[0].BusyShare != 0.25 || r.APIs[0].Name != "Produce" {
			t.Fatalf("%+v", r)
		}
	}
	if n := f.taken.Load(); n > 2 {
		t.Errorf("%d snapshots for 5 requests at once", n)
	}
}

func TestServerStartsAndStops(t *testing.T) {
	o := Options{Addr: "127.0.0.1:0", Source: sample(), Log: slog.New(slog.DiscardHandler)}
	s, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get("http://" + s.Addr() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if string(body) != "ok\n" {
		t.Errorf("%q", body)
	}
	o.Addr = s.Addr()
	if _, err := Start(o); err == nil || !strings.Contains(err.Error(), s.Addr()) {
		t.Errorf("a second server on the same port: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func TestStorageFigures(t *testing.T) {
	w, r := storage("rchar: 5\nwchar: 6\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 1\n")
	if w != 8192 || r != 4096 {
		t.Errorf("%v written, %v read", w, r)
	}
}
