package result

import (
	"bytes"
	"errors"
	"math/rand"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// made is a run of so many seconds with perSecond samples in each, from a seed.
func made(seed int64, seconds, perSecond int) *Run {
	rnd := rand.New(rand.NewSource(seed))
	r := &Run{Format: Format, ID: "run", Load: "produce", Client: "raw", Command: []string{"loadgen"},
		Started: time.Date(2026, 9, 1, 12, 0, 0, 250e6, time.UTC), Seconds: float64(seconds),
		Host: Host{Name: "one"}, Target: Target{Addr: "127.0.0.1:9092", Topics: []string{"load"}},
		Latencies: map[Kind]Summary{}}
	totals := map[Kind]int{Response: 0, Service: 1}
	all := []*[]int64{{}, {}}
	for i := range seconds {
		v := Interval{At: float64(i), Seconds: 1, Latencies: map[Kind]Window{},
			InFlight: 3, Broker: &Cost{Seconds: 1, CPUSeconds: 0.5, RSS: 1 << 20}}
		for kind, k := range totals {
			h := NewHistogram()
			for range perSecond {
				n := int64(200_000 + rnd.ExpFloat64()*300_000)
				_ = h.RecordValue(n)
				*all[k] = append(*all[k], n)
			}
			v.Latencies[kind] = Observe(h)
		}
		v.Sent, v.Acked, v.Requests = int64(perSecond), int64(perSecond), int64(perSecond)
		v.AckedBytes = v.Acked * 100
		r.Sent, r.Acked, r.Requests = r.Sent+v.Sent, r.Acked+v.Acked, r.Requests+v.Requests
		r.AckedBytes += v.AckedBytes
		r.Intervals = append(r.Intervals, v)
	}
	for kind, k := range totals {
		h := NewHistogram()
		for _, n := range *all[k] {
			_ = h.RecordValue(n)
		}
		r.Latencies[kind] = Summarize(h)
	}
	r.Broker = &Cost{Seconds: float64(seconds), CPUSeconds: 0.5 * float64(seconds),
		RSS: 1 << 20, Source: "pid 7"}
	return r
}

func TestQuantilesNeedSamples(t *testing.T) {
	for _, c := range []struct {
		n    int
		want []float64
	}{
		{9, nil}, {10, []float64{0.5}}, {999, []float64{0.5, 0.75, 0.9, 0.95}},
		{1000, []float64{0.5, 0.75, 0.9, 0.95, 0.99}},
		{100_000, []float64{0.5, 0.75, 0.9, 0.95, 0.99, 0.999}},
	} {
		h := NewHistogram()
		for i := range c.n {
			_ = h.RecordValue(int64(10_000 + i))
		}
		s := Summarize(h)
		if len(s.Quantiles) != len(c.want) {
			t.Fatalf("%d samples: quantiles %v, want %v", c.n, s.Quantiles, c.want)
		}
		for i, q := range s.Quantiles {
			if q.Q != c.want[i] || !Supported(q.Q, int64(c.n)) || q.Micros < 10 || q.Micros > s.Max {
				t.Fatalf("%d samples: quantile %v of %+v", c.n, q, s)
			}
		}
		if _, ok := s.At(0.99); ok != (c.n >= 1000) {
			t.Fatalf("%d samples: p99 given: %v", c.n, ok)
		}
	}
	if Supported(0.999, 99_999) || Supported(0.9999, 999_999) || !Supported(0.9999, 1_000_000) {
		t.Fatal("the rules of p99.9 and p99.99")
	}
	if w := Observe(NewHistogram()); w != (Window{}) {
		t.Fatalf("an empty window: %+v", w)
	}
}

func TestFileRoundTrip(t *testing.T) {
	r := made(1, 5, 2000)
	path := filepath.Join(t.TempDir(), "run.json")
	if err := r.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	got, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var a, b bytes.Buffer
	if err := errors.Join(r.Write(&a), got.Write(&b)); err != nil {
		t.Fatal(err)
	}
	if a.String() != b.String() {
		t.Fatal("what was read is not what was written")
	}
	if !got.Started.Equal(r.Started) || got.Acked != 10_000 {
		t.Fatalf("%v %d", got.Started, got.Acked)
	}
}

func TestUntrueFilesAreRefused(t *testing.T) {
	for _, c := range []struct {
		where, rule string
		change      func(*Run)
	}{
		{"seconds", "length", func(r *Run) { r.Seconds = -1 }},
		{"run, count 2", "less than zero", func(r *Run) { r.Acked = -1 }},
		{"intervals", "more messages than the run", func(r *Run) { r.Acked = 17 }},
		{"intervals[2].at", "order", func(r *Run) { r.Intervals[2].At = 0.1 }},
		{"intervals[1].seconds", "no length", func(r *Run) { r.Intervals[1].Seconds = 0 }},
		{"intervals[1]", "warm-up", func(r *Run) { r.Intervals[1].Warmup = true }},
		{"latencies_us.response.quantiles[6]", "samples", func(r *Run) {
			s := r.Latencies[Response]
			s.Quantiles = append(s.Quantiles, Quantile{0.9999, 60e6})
			r.Latencies[Response] = s
		}},
		{"latencies_us.response.quantiles[1]", "order", func(r *Run) {
			s := r.Latencies[Response]
			s.Quantiles[1].Micros = 0
			r.Latencies[Response] = s
		}},
		{"latencies_us.service.histogram", "samples", func(r *Run) {
			s := r.Latencies[Service]
			s.Count++
			r.Latencies[Service] = s
		}},
		{"histogram", "histogram", func(r *Run) {
			r.Intervals[0].Latencies[Service] = Window{Count: 3, Histogram: "HISTFAAAA"}
		}},
		{"broker", "less than zero", func(r *Run) { r.Broker.CPUSeconds = -0.5 }},
	} {
		r := made(2, 3, 50_000)
		c.change(r)
		var out bytes.Buffer
		if err := r.Write(&out); err != nil {
			t.Fatal(err)
		}
		_, err := Read(&out, "x.json")
		var wrong *FormatError
		if !errors.As(err, &wrong) || wrong.File != "x.json" ||
			!strings.Contains(wrong.Where, c.where) || !strings.Contains(wrong.Rule, c.rule) {
			t.Errorf("want %q %q, got %v", c.where, c.rule, err)
		}
	}
	for text, want := range map[string]string{
		`{"format":"loadgen/2"}`: "loadgen/1", `[]`: "JSON", `{"format":`: "byte",
		`{"format":"loadgen/1","acked":"many"}`: "acked", ``: "byte",
	} {
		if _, err := Read(strings.NewReader(text), "x"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestSecretsStayOut(t *testing.T) {
	got := strings.Join(Redact([]string{"loadgen", "produce", "--sasl-password", "hush",
		"--sasl-user", "joe", "--token=hush", "--rate", "5"}), " ")
	if got != "loadgen produce --sasl-password … --sasl-user joe --token=… --rate 5" {
		t.Fatal(got)
	}
	o := RedactOptions(map[string]any{"sasl-password": "hush", "rate": 5.0, "other-secret": ""})
	if o["sasl-password"] != hidden || o["rate"] != 5.0 || o["other-secret"] != "" {
		t.Fatal(o)
	}
}
