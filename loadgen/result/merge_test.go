package result

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

func TestMergeIsExact(t *testing.T) {
	a, b := made(1, 10, 3000), made(2, 10, 5000)
	b.Host.Name, b.ID = "two", "other"
	b.Started = b.Started.Add(300 * time.Millisecond)
	b.Errors = []ErrorCount{{Code: 6, Name: "NOT_LEADER_OR_FOLLOWER", Count: 2, FirstAt: 3}}
	a.Errors = []ErrorCount{{Code: 6, Name: "NOT_LEADER_OR_FOLLOWER", Count: 1, FirstAt: 4}}
	b.Void = "the generator fell behind"
	m, err := Merge([]*Run{a, b})
	if err != nil {
		t.Fatal(err)
	}
	if m.Acked != 80_000 || m.Seconds != 10.3 || len(m.Parts) != 2 || m.Host.Name != "one" {
		t.Fatalf("%d acked, %v s, %d parts", m.Acked, m.Seconds, len(m.Parts))
	}
	if len(m.Errors) != 1 || m.Errors[0].Count != 3 || m.Errors[0].FirstAt != 3 {
		t.Fatalf("%+v", m.Errors)
	}
	if m.Void != "two: the generator fell behind" || m.Partial != "" {
		t.Fatalf("void %q, partial %q", m.Void, m.Partial)
	}
	want := NewHistogram()
	for _, r := range []*Run{a, b} {
		h, err := Decode(r.Latencies[Response].Histogram)
		if err != nil {
			t.Fatal(err)
		}
		want.Merge(h)
	}
	got, err := Decode(m.Latencies[Response].Histogram)
	if err != nil || !got.Equals(want) {
		t.Fatalf("merged histogram differs (%v)", err)
	}
	var acked, samples int64
	for _, v := range m.Intervals {
		acked, samples = acked+v.Acked, samples+v.Latencies[Response].Count
	}
	if acked != m.Acked || samples != m.Latencies[Response].Count || len(m.Intervals) != 10 {
		t.Fatalf("%d intervals hold %d messages, %d samples", len(m.Intervals), acked, samples)
	}
	if m.Intervals[4].InFlight != 6 {
		t.Fatalf("in flight: %d", m.Intervals[4].InFlight)
	}
}

func TestMergedBrokersCountOnce(t *testing.T) {
	a, b, c := made(1, 4, 50), made(2, 4, 50), made(3, 4, 50)
	a.Broker.Source, b.Broker.Source = "http://b:9644/metrics", "http://b:9644/metrics"
	b.Host.Name, c.Host.Name = "two", "three" // c measures its own broker by pid
	m, err := Merge([]*Run{a, b, c})
	if err != nil {
		t.Fatal(err)
	}
	if m.Broker.CPUSeconds != 4 || !strings.Contains(m.Broker.Source, "pid 7") {
		t.Fatalf("%+v", m.Broker)
	}
	if v := m.Intervals[1].Broker; v.CPUSeconds != 1 || v.RSS != 2<<20 {
		t.Fatalf("an interval's broker: %+v", v)
	}
}

func TestRunsApartAreSaid(t *testing.T) {
	a, b := made(1, 4, 50), made(2, 4, 50)
	b.Started = b.Started.Add(3 * time.Second)
	m, err := Merge([]*Run{a, b})
	if err != nil || !strings.Contains(m.Partial, "together for 14 %") {
		t.Fatalf("%v %q", err, m.Partial)
	}
	s := b.Latencies[Service]
	s.Histogram = ""
	b.Latencies[Service] = s
	if _, err := Merge([]*Run{a, b}); err == nil || !strings.Contains(err.Error(), "no histogram") {
		t.Fatalf("merged without a histogram: %v", err)
	}
	if _, err := Merge(nil); err == nil {
		t.Fatal("nothing was merged")
	}
}

// TestLogIsReadByOthers reads our log with the reader of HdrHistogram's Go library.
func TestLogIsReadByOthers(t *testing.T) {
	r := made(5, 6, 2000)
	var log bytes.Buffer
	if err := r.WriteLog(&log); err != nil {
		t.Fatal(err)
	}
	reader := hdrhistogram.NewHistogramLogReader(bytes.NewReader(log.Bytes()))
	sums := map[string]*hdrhistogram.Histogram{"": NewHistogram(), "service": NewHistogram()}
	for n := 0; ; n++ {
		h, err := reader.NextIntervalHistogram()
		if err != nil {
			t.Fatal(err)
		}
		if h == nil {
			if n != 12 {
				t.Fatalf("%d lines", n)
			}
			break
		}
		at := r.Started.Add(time.Duration(n/2) * time.Second).UnixMilli()
		if d := h.StartTimeMs() - at; d < -1 || d > 1 {
			t.Fatalf("line %d begins %d ms off", n, d)
		}
		sums[h.Tag()].Merge(h)
	}
	for tag, kind := range map[string]Kind{"": Response, "service": Service} {
		want, _ := Decode(r.Latencies[kind].Histogram)
		if !sums[tag].Equals(want) {
			t.Errorf("tag %q: not the run's histogram", tag)
		}
	}
}

func TestLogRoundTrip(t *testing.T) {
	r := made(5, 6, 2000)
	var log bytes.Buffer
	if err := r.WriteLog(&log); err != nil {
		t.Fatal(err)
	}
	got, err := ReadLog(&log, "x.hlog")
	if err != nil {
		t.Fatal(err)
	}
	if !got.Started.Equal(r.Started) || got.Seconds != 6 || got.Acked != r.Acked {
		t.Fatalf("%v %v %d", got.Started, got.Seconds, got.Acked)
	}
	for kind := range r.Latencies {
		if got.Latencies[kind].Histogram != r.Latencies[kind].Histogram {
			t.Errorf("%s differs", kind)
		}
		if got.Intervals[3].Latencies[kind].P50 != r.Intervals[3].Latencies[kind].P50 {
			t.Errorf("%s of an interval differs", kind)
		}
	}
	if _, err := Merge([]*Run{got, got}); err != nil {
		t.Error(err)
	}
}

func TestLogsOfOthers(t *testing.T) {
	h := hdrhistogram.New(1, 3_600_000_000_000, 3)
	for i := range 5000 {
		_ = h.RecordValue(int64(1_000_000 + 1000*i))
	}
	text := Encode(h)
	for name, c := range map[string]struct {
		log     string
		started int64
	}{
		"base":     {"#[StartTime: 1790000100.5 (seconds since epoch), x]\n#[BaseTime: 1790000000 (seconds since epoch)]\n2.0,1.0,6.0," + text, 1790000002},
		"relative": {"#[StartTime: 1790000100 (seconds since epoch), x]\n3.0,1.0,6.0," + text, 1790000103},
		"absolute": {"1790000200.000,1.0,6.0," + text + "\n\"legend\"\n# comment\n", 1790000200},
		"tags":     {"Tag=end-to-end,1790000200.000,1.0,6.0," + text + "\nTag=A,1790000200.001,1.0,6.0," + text, 1790000200},
	} {
		r, err := ReadLog(strings.NewReader(c.log), "x")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if r.Started.Unix() != c.started || len(r.Intervals) != 1 {
			t.Errorf("%s: %v, %d intervals", name, r.Started, len(r.Intervals))
		}
		s := r.Latencies[r.Headline()]
		if p, ok := s.At(0.5); !ok || p < 3490 || p > 3510 {
			t.Errorf("%s: median %v µs", name, p)
		}
	}
	for log, rule := range map[string]string{
		"":                                  "no interval",
		"1,2,3":                             "3 fields",
		"Tag=x":                             "tag without",
		"x,1,1," + text:                     "no number",
		"1,0,1," + text:                     "without a length",
		"1,1,1,HISTF":                       "histogram",
		"NaN,1,1," + text:                   "no number",
		"5,1,1," + text + "\n3,1,1," + text: "order",
		"#[StartTime: x (":                  "time stamp",
	} {
		if _, err := ReadLog(strings.NewReader(log), "x"); err == nil || !strings.Contains(err.Error(), rule) {
			t.Errorf("%.20q: %v, want %s", log, err, rule)
		}
	}
}

// TestLogOfJava reads a log that HdrHistogram 2.2.2's HistogramLogWriter wrote: three seconds of a
// thousand samples, 2 µs to 2 ms untagged and half of it as "service", the i-th second i times as
// long.
func TestLogOfJava(t *testing.T) {
	r, err := ReadLogFile("testdata/java.hlog")
	if err != nil {
		t.Fatal(err)
	}
	if r.Started.UnixMilli() != 1790000000250 || len(r.Intervals) != 3 || r.Seconds != 3 {
		t.Errorf("%v, %d intervals, %v s", r.Started, len(r.Intervals), r.Seconds)
	}
	for kind, scale := range map[Kind]float64{Response: 2, Service: 1} {
		if n := r.Latencies[kind].Count; n != 3000 {
			t.Errorf("%s: %d samples", kind, n)
		}
		for i, v := range r.Intervals {
			want := 500 * scale * float64(i+1)
			if p := v.Latencies[kind].P50; p < want*0.998 || p > want*1.002 {
				t.Errorf("%s of second %d: median %v, want %v", kind, i, p, want)
			}
		}
	}
}
