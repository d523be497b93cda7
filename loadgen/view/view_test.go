package view

import (
	"bytes"
	"fmt"
	"math"
	"math/rand"
	"strings"
	"testing"
	"time"

	"millrace/loadgen/result"
)

// shape of a made-up run.
type shape struct {
	name       string
	seconds    int
	perSecond  int     // samples
	median     float64 // µs
	stallEvery int     // seconds; 0: never
	endToEnd   bool
	broker     float64 // cores; 0: not measured
	seed       int64
}

// made is a run with a likely course.
func made(s shape) *result.Run {
	rnd := rand.New(rand.NewSource(s.seed))
	r := &result.Run{Format: result.Format, ID: fmt.Sprintf("run-%d", s.seed), Name: s.name,
		Load: "produce", Client: "raw", Rate: float64(s.perSecond) * 64,
		Command: []string{"loadgen", "produce", "--brokers", "127.0.0.1:9092", "--rate", "640k",
			"--config", "min.insync.replicas=1 x"},
		Options: map[string]any{"rate": float64(s.perSecond) * 64, "acks": "1", "size": "100",
			"seed": s.seed},
		Started: time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC), Seconds: float64(s.seconds),
		WarmupSeconds: 5, Target: result.Target{Addr: "127.0.0.1:9092", Software: "Millrace 0.3",
			Brokers: 1, Topics: []string{"load"}, Partitions: 8},
		Host: result.Host{Name: "bench-1", CPU: "AMD EPYC 7R13 Processor", Cores: 2,
			Kernel: "6.12.35", System: "Debian GNU/Linux 13 (trixie)", Hypervisor: "KVM",
			Memory: 16 << 30, OpenFiles: 20000, Disk: &result.Disk{Directory: "/data",
				Filesystem: "ext4", Options: "rw,relatime", Device: "/dev/vda", Cache: "write back",
				Scheduler: "none", Size: 200e9, Free: 120e9}},
		Latencies: map[result.Kind]result.Summary{},
		Generator: &result.Cost{Seconds: float64(s.seconds), CPUSeconds: 0.22 * float64(s.seconds), RSS: 31e6},
		Machine: &result.Machine{Cores: 2, Busy: 0.7 * float64(s.seconds), User: 0.2 * float64(s.seconds),
			Interrupt: 0.02 * float64(s.seconds), Steal: 0.01 * float64(s.seconds), Waiting: 0.2},
	}
	kinds := []result.Kind{result.Response, result.Service, result.Delay}
	if s.endToEnd {
		r.Load = "e2e"
		kinds = append(kinds, result.EndToEnd)
	}
	sums := map[result.Kind]*recorder{}
	for _, k := range kinds {
		sums[k] = newRecorder()
	}
	lag := 0.0
	for i := range s.seconds {
		v := result.Interval{At: float64(i), Seconds: 1, Latencies: map[result.Kind]result.Window{}}
		stalled := s.stallEvery > 0 && i%s.stallEvery == s.stallEvery-1
		for _, k := range kinds {
			h := newRecorder()
			for n := range s.perSecond {
				us := s.median * math.Exp(rnd.NormFloat64()*0.35)
				if rnd.Float64() < 0.01 {
					us *= 4 + 20*rnd.Float64()
				}
				switch {
				case k == result.Delay:
					us = 2 + rnd.ExpFloat64()*3
				case stalled && (k != result.Service || n == 0):
					us = max(us, 1e6*(1-float64(n)/float64(s.perSecond)))
				}
				if k == result.EndToEnd {
					us *= 1.4
				}
				h.record(us)
				sums[k].record(us)
			}
			v.Latencies[k] = result.Observe(h.histogram)
		}
		v.Sent = int64(s.perSecond) * 64
		v.Acked, v.Requests, v.AckedBytes = v.Sent, int64(s.perSecond), v.Sent*110
		lag = max(0, lag*0.7+rnd.NormFloat64()*900+1000)
		v.InFlight = 2 + rnd.Int63n(4)
		if s.endToEnd {
			v.Received, v.ReceivedBytes, v.Lag = v.Acked, v.AckedBytes, int64(lag)
		}
		if s.broker > 0 {
			v.Broker = &result.Cost{Seconds: 1, CPUSeconds: s.broker * (0.9 + 0.2*rnd.Float64()),
				RSS: 58e6 + int64(i)*1e5, DiskWritten: v.AckedBytes * 2, VoluntarySwitches: 3000 + rnd.Int63n(500),
				InvoluntarySwitches: 120}
			v.Broker.User, v.Broker.System = v.Broker.CPUSeconds*0.4, v.Broker.CPUSeconds*0.6
			r.Broker = sumCost(r.Broker, v.Broker)
		}
		r.Sent, r.Acked, r.Received = r.Sent+v.Sent, r.Acked+v.Acked, r.Received+v.Received
		r.Requests, r.AckedBytes = r.Requests+v.Requests, r.AckedBytes+v.AckedBytes
		r.ReceivedBytes += v.ReceivedBytes
		r.Intervals = append(r.Intervals, v)
	}
	if r.Broker != nil {
		r.Broker.Source = "pid 4711"
	}
	for k, h := range sums {
		r.Latencies[k] = result.Summarize(h.histogram)
	}
	return r
}

type recorder struct{ *histogram }

func newRecorder() *recorder { return &recorder{result.NewHistogram()} }

func (r *recorder) record(us float64) {
	_ = r.RecordValue(int64(min(max(us*1000, result.Lowest), result.Highest)))
}

func withErrors(r *result.Run) *result.Run {
	for i := range r.Intervals {
		if i%7 > 4 {
			r.Intervals[i].Errors = int64(i%7) * 3
		}
	}
	r.Errors = []result.ErrorCount{
		{Code: 6, Name: "NOT_LEADER_OR_FOLLOWER", Count: 45, FirstAt: 5.2, Example: "load-3 of broker 2"},
		{Name: "connection lost", Count: 1, FirstAt: 6, Example: "<script>alert(1)</script>"},
	}
	r.Partial = "the topic was deleted after 24 s"
	return r
}

func TestNumbers(t *testing.T) {
	for got, want := range map[string]string{
		micros(0.8): "0.800 µs", micros(182): "182 µs", micros(999.4): "999 µs", micros(999.6): "1.00 ms",
		micros(1240): "1.24 ms", micros(12_400): "12.4 ms", micros(1e6): "1.00 s", micros(61e6): "61.0 s",
		scaled(0, ""): "0", scaled(640_000, ""): "640 k", scaled(1_380_000, "B"): "1.38 MB",
		scaled(9_990, ""): "9990", scaled(1.5e12, "B"): "1.50 TB", size(4_200): "4.20 kB", size(12): "12 B",
		grouped(1_234_567): "1\u202f234\u202f567", grouped(-12): "−12", grouped(999): "999",
		percent(0.0004): "< 0.1 %", percent(0.412): "41 %", percent(0.042): "4.2 %", percent(0): "0.0 %",
		clock(12.4): "0:12", clock(3_725): "1:02:05", span(0.25): "250 ms", span(600): "10 min", round("10.50 ms"): "10.5 ms",
		nines(0.5): "p50", nines(0.999): "p99.9", nines(0.99999): "p99.999", three(0.31): "0.310",
		known(5, false): none, plural(1, "error"): "1 error", plural(2, "error"): "2 errors",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestAxes(t *testing.T) {
	for _, high := range []float64{1e-6, 0.31, 1, 1.1, 1.9, 2, 4.9, 5, 9.9, 640e3, 1e9} {
		a := linear(high, three)
		if a.high < high || len(a.ticks) < 3 || len(a.ticks) > 9 {
			t.Errorf("to %v: %+v", high, a)
		}
	}
	for _, c := range [][2]float64{{1, 1}, {180, 2400}, {1, 60e6}, {math.Inf(1), 0}, {3, 3.1}} {
		a := logarithmic(c[0], c[1], micros)
		if c[1] > 0 && (a.low > c[0] || a.high < c[1]) || len(a.ticks) < 2 || len(a.ticks) > 10 {
			t.Errorf("%v: %+v", c, a)
		}
		if v := a.at(a.high); v != 1 {
			t.Errorf("top at %v", v)
		}
	}
	for _, seconds := range []float64{0.5, 3, 30, 600, 86400} {
		if a := timeAxis(seconds); len(a.ticks) < 2 || len(a.ticks) > 11 {
			t.Errorf("%v s: %d ticks", seconds, len(a.ticks))
		}
	}
}

func TestWindowsHoldEverything(t *testing.T) {
	for _, c := range []struct{ seconds, perSecond, width int }{
		{3, 2000, 1}, {600, 2000, 5}, {60, 300, 5}, {60, 20, 1}, {20, 20, 1}, {1, 5, 1},
	} {
		r := made(shape{seconds: c.seconds, perSecond: c.perSecond, median: 200, seed: 1, broker: 0.3})
		ws, err := windows(r, result.Response)
		if err != nil {
			t.Fatal(err)
		}
		var acked, count, cells int64
		cpu := 0.0
		for i := range ws {
			acked, count, cpu = acked+ws[i].acked, count+ws[i].count, cpu+ws[i].broker.CPUSeconds
			for _, n := range ws[i].rows {
				cells += n
			}
		}
		if acked != r.Acked || count != r.Latencies[result.Response].Count || cells != count ||
			math.Abs(cpu-r.Broker.CPUSeconds) > 1e-6 {
			t.Errorf("%+v: windows hold %d messages, %d samples, %d in cells, %v s", c, acked, count, cells, cpu)
		}
		if got := int(math.Round(ws[0].seconds)); got != c.width || len(ws) > maxPoints {
			t.Errorf("%+v: %d windows of %d s", c, len(ws), got)
		}
		h := heatOf(ws)
		if len(h.columns) != len(ws)+1 || len(h.cells) != len(ws) || len(h.rows) != len(h.cells[0])+1 {
			t.Errorf("%+v: a map of %d columns, %d rows", c, len(h.cells), len(h.rows))
		}
	}
	if level(1) != heatLevels || level(1e-9) != 1 || level(0.01) <= level(0.001) {
		t.Error("levels")
	}
}

func TestReportHasWhatItMust(t *testing.T) {
	r := withErrors(made(shape{seconds: 30, perSecond: 2000, median: 180, stallEvery: 10, broker: 0.32, seed: 3}))
	r.Void = "the generator was late: delay p99 3 ms"
	r.Limit = &result.Share{Fraction: 0.41, Name: "receive + CRC + write", Reached: 64, Limit: 156, Unit: "MB/s"}
	var out bytes.Buffer
	if err := HTML(&out, []*result.Run{r}, ""); err != nil {
		t.Fatal(err)
	}
	page := out.String()
	for _, want := range []string{"Void", "the generator was late", "Partial", "NOT_LEADER_OR_FOLLOWER",
		"Throughput over time", "Latency by percentile", "Where latencies lay", "The broker&#39;s CPU",
		"AMD EPYC", "&#39;min.insync.replicas=1 x&#39;", "41 %", "ext4", "Errors over time", "asked for", "p99.9"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, never := range []string{"<script>alert", "ZgotmplZ", "NaN", "http://", "https://", "src=", "@import", "url("} {
		if strings.Contains(page, never) {
			t.Errorf("the page has %q", never)
		}
	}
	if void, first := strings.Index(page, "Void"), strings.Index(page, `class="tile`); void > first {
		t.Error("a figure stands before the notice that the run is void")
	}
	if strings.Contains(page, "p99.99</th><th") && !strings.Contains(page, "<td>"+none+"</td>") {
		t.Error("a p99.99 of 60 000 samples is told") // V1
	}
	if err := HTML(&out, nil, ""); err == nil {
		t.Error("a report of nothing")
	}
}

func TestComparison(t *testing.T) {
	base := made(shape{name: "Kafka", seconds: 12, perSecond: 1500, median: 400, broker: 0.8, seed: 1})
	ours := made(shape{name: "Millrace", seconds: 12, perSecond: 1500, median: 200, broker: 0.2, seed: 2})
	empty := &result.Run{Format: result.Format, ID: "none", Name: "nothing", Load: "produce", Void: "no answer"}
	var out bytes.Buffer
	if err := HTML(&out, []*result.Run{base, ours, empty}, "Against"); err != nil {
		t.Fatal(err)
	}
	page := out.String()
	for _, want := range []string{"Ratios are to the first run, Kafka", `class="ratio better" title="better than the baseline">0.2`,
		"nothing: no answer", "Options that differ", "baseline", `<em class="mark">void`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	c := compare([]*result.Run{base, ours, empty}, []string{"a", "b", "c"})
	for _, g := range c.Groups {
		for _, row := range g.Rows {
			if len(row.Cells) != 3 {
				t.Fatalf("%s has %d cells", row.Name, len(row.Cells))
			}
			if g.Title == "Latency" && row.Name == "p50" && row.Cells[1].Class != "better" {
				t.Errorf("half the latency: %+v", row.Cells[1])
			}
			if row.Cells[2].Class != "" || g.Title == "Throughput" && row.Cells[1].Class != "" {
				t.Errorf("%s: a void run, or a rate that was asked for, is called better or worse", row.Name)
			}
		}
	}
}

func TestLabels(t *testing.T) {
	a, b := &result.Run{ID: "x"}, &result.Run{ID: "y"}
	if got := labels([]*result.Run{a, b}); got[0] != "x" || got[1] != "y" {
		t.Error(got)
	}
	a.Options, b.Options = map[string]any{"size": 100, "acks": 1}, map[string]any{"size": 1000, "acks": 1}
	if got := labels([]*result.Run{a, b}); got[0] != "size=100" || got[1] != "size=1000" {
		t.Error(got)
	}
	a.Name, b.Name = "one", "two"
	if got := labels([]*result.Run{a, b}); got[0] != "one" || got[1] != "two" {
		t.Error(got)
	}
	if got := labels([]*result.Run{a, a}); got[0] != "run 1" || got[1] != "run 2" {
		t.Error(got)
	}
}

func TestText(t *testing.T) {
	r := withErrors(made(shape{seconds: 5, perSecond: 500, median: 180, broker: 0.3, endToEnd: true, seed: 4}))
	r.Verified = &result.Verified{Expected: 10, Received: 9, Missing: 1, Examples: []string{"load-1 offset 5"}}
	r.Readers = []result.Reader{{Name: "group \x1b[31m1", Consumers: 2, Received: 5, Lag: 3}}
	var out bytes.Buffer
	if err := text(&out, screen{}, r); err != nil {
		t.Fatal(err)
	}
	got := out.String()
	for _, want := range []string{"PARTIAL: the topic was deleted", "32.0 k msg/s", "p99.9", none,
		"CPU-s per million", "WRONG: 1 missing of 10", "45 × NOT_LEADER_OR_FOLLOWER", "3 behind"} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "\x1b") {
		t.Error("colour without a terminal, or a name that paints")
	}
	if !strings.HasPrefix(got, "PARTIAL") {
		t.Error("figures before the banner")
	}
}

// What is committed may have been kept without histograms: it is shown as far as it tells.
func TestWithoutHistograms(t *testing.T) {
	r := made(shape{seconds: 30, perSecond: 2000, median: 180, seed: 1})
	for kind, s := range r.Latencies {
		s.Histogram = ""
		r.Latencies[kind] = s
	}
	want := r.Intervals[3].Latencies[result.Response]
	for _, v := range r.Intervals {
		for kind, w := range v.Latencies {
			w.Histogram = ""
			v.Latencies[kind] = w
		}
	}
	ws, err := windows(r, result.Response)
	if err != nil {
		t.Fatal(err)
	}
	if w := ws[3]; w.p50 != want.P50 || w.p99 != want.P99 || w.high != want.Max || w.count != want.Count {
		t.Errorf("%+v, want %+v", w, want)
	}
	s := r.Latencies[result.Response]
	if c, reach := percentiles(&s, "x", "s1"); len(c.x) != len(s.Quantiles)+1 || math.Abs(reach-2) > 1e-9 {
		t.Errorf("%v to %v", c.x, reach)
	}
	var out bytes.Buffer
	if err := HTML(&out, []*result.Run{r}, ""); err != nil || strings.Contains(out.String(), "Where latencies lay") {
		t.Error(err, "or a map of nothing")
	}
}
