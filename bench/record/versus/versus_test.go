package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"millrace/bench/life"
	"millrace/bench/place"
	"millrace/bench/record"
	"millrace/loadgen/result"
	"millrace/loadgen/workload"
)

const sent = `1200 records sent, 240.0 records/sec (0.02 MB/sec), 10.6 ms avg latency, 216.0 ms max latency.
1500000 records sent, 213371.266003 records/sec (20.35 MB/sec), 333.91 ms avg latency, 2162.00 ms max latency, 34 ms 50th, 1857 ms 95th, 2051 ms 99th, 2140 ms 99.9th.
`

const read = `start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec
2026-11-21 07:23:56:487, 2026-11-21 07:24:01:134, 143.0538, 30.7841, 1500028, 322794.9215, 3461, 1186, 120.6187, 1264779.0894
`

func TestToolsFigures(t *testing.T) {
	r := &result.Run{}
	if err := producerFigures(sent, r); err != nil {
		t.Fatal(err)
	}
	l := r.Latencies[result.Service]
	p99, known := l.At(0.99)
	if r.Acked != 1_500_000 || r.Seconds < 7.02 || r.Seconds > 7.04 || !known || p99 != 2_051_000 {
		t.Errorf("%+v", r)
	}
	r = &result.Run{}
	if err := consumerFigures(read, r); err != nil {
		t.Fatal(err)
	}
	if r.Received != 1_500_028 || r.ReceivedBytes != 150_002_781 || r.Seconds < 4.6 || r.Seconds > 4.7 {
		t.Errorf("%+v", r)
	}
	for _, text := range []string{"", "usage: kafka-producer-perf-test", strings.Replace(sent, "213371.266003", "0", 1)} {
		if err := producerFigures(text, &result.Run{}); err == nil {
			t.Errorf("%q was taken for figures", text)
		}
		if err := consumerFigures(text, &result.Run{}); err == nil {
			t.Errorf("%q was taken for figures", text)
		}
	}
}

func FuzzToolsFigures(f *testing.F) {
	f.Add(sent)
	f.Add(read)
	f.Fuzz(func(t *testing.T, text string) {
		r := &result.Run{}
		if producerFigures(text, r) == nil && (r.Acked < 0 || !(r.Seconds >= 0)) {
			t.Errorf("%q: %+v", text, r)
		}
		r = &result.Run{}
		if consumerFigures(text, r) == nil && (r.Received < 0 || !(r.Seconds >= 0)) {
			t.Errorf("%q: %+v", text, r)
		}
	})
}

// Every load names sides and figures that there are, and a load that its scenario has.
func TestLoads(t *testing.T) {
	b := &brokers{plan: &record.Plan{Place: &place.Place{Repo: "../../..", Work: t.TempDir()}}, kept: map[string]*life.Node{}}
	sides := b.sides()
	names := map[string]bool{}
	rows := map[int]bool{}
	for _, l := range b.loads() {
		if names[l.Name] || l.Title == "" || l.Measure == nil || l.Sides[0] != durable {
			t.Errorf("%+v", l)
		}
		names[l.Name], rows[l.Row] = true, true
		for _, name := range l.Sides {
			if !slices.ContainsFunc(sides, func(s *record.Side) bool { return s.Name == name }) {
				t.Errorf("%s: no side is called %s", l.Name, name)
			}
		}
		for _, a := range l.Figures {
			if !slices.ContainsFunc(record.Figures, func(f record.Figure) bool { return f.Name == a.Figure }) {
				t.Errorf("%s: no figure is called %s", l.Name, a.Figure)
			}
		}
		words := strings.Fields(l.Command)
		if len(words) < 5 || words[1] != "run" {
			continue
		}
		s, err := workload.ReadScenario(filepath.Join("../../..", words[2]), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, only := range strings.Split(words[4], ",") {
			if !slices.ContainsFunc(s.Loads, func(w workload.Workload) bool { return w.Name == only }) {
				t.Errorf("%s has no load %s", words[2], only)
			}
		}
	}
	for _, row := range []int{1, 2, 3, 4, 6, 7, 8, 9, 12, 13, 14, 15} {
		if !rows[row] {
			t.Errorf("row %d is missing", row)
		}
	}
	if _, err := os.Stat("../../scenarios"); err != nil {
		t.Fatal(err)
	}
}
