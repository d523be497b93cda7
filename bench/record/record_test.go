package record

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/bench"
	"millrace/loadgen/result"
	"millrace/loadgen/view"
)

// testSides are ours twice and theirs twice; nothing is started.
func testSides() []*Side {
	return []*Side{
		{Name: "a", Of: "Ours", Tag: "durable", Durable: true, Contestant: &bench.Contestant{}},
		{Name: "aw", Of: "Ours", Tag: "write", Contestant: &bench.Contestant{}},
		{Name: "b", Of: "Theirs", Contestant: &bench.Contestant{}},
		{Name: "bf", Of: "Theirs, flush", Durable: true, Contestant: &bench.Contestant{}},
	}
}

// testCourse has one load that stands alone (nothing is started) with the given measure.
func testCourse(t *testing.T, rounds, repeats int, sides []string, measure func(side string,
	round int) *Sample) *Course {
	t.Helper()
	store, err := OpenStore(filepath.Join(t.TempDir(), "store"), "plan", false)
	if err != nil {
		t.Fatal(err)
	}
	l := &Load{Row: 1, Name: "1 x", Title: "a load", Sides: sides, Alone: true,
		Figures: []Asked{{CPUPerMillion, map[string]float64{"Theirs": 0.5}}, {P99, nil},
			{Messages, map[string]float64{"Theirs": 3}}},
		Measure: func(_ context.Context, _ *Course, _ *Load, s *Side, round int) (*Sample, error) {
			return measure(s.Name, round), nil
		}}
	p := &Plan{Name: "test", Title: "t", Lead: "a machine.", Contestants: []string{"Ours", "Theirs",
		"Theirs, flush"}, Notes: []string{"n", "n", "n"}, Set: Whole, Rounds: rounds, MaxRepeats: repeats,
		Length: time.Second, Out: io.Discard, Results: filepath.Join(t.TempDir(), "results")}
	return &Course{Plan: p, Store: store, loads: []*Load{l}, sides: testSides(), began: time.Now(),
		up: map[string]bool{}, before: map[string]bool{}}
}

// sample has so many messages in a second for so much of the broker's CPU.
func sample(acked int64, cpu, p99 float64) *Sample {
	return &Sample{Run: &result.Run{Seconds: 1, Acked: acked, AckedBytes: acked * 100,
		Broker:  &result.Cost{Seconds: 1, CPUSeconds: cpu},
		Machine: &result.Machine{Cores: 2, Busy: 2}, Generator: &result.Cost{CPUSeconds: 0.5},
		Latencies: map[result.Kind]result.Summary{result.Response: {Count: 5000,
			Quantiles: []result.Quantile{{Q: 0.99, Micros: p99}}}}}}
}

// measured runs the loads without brokers and limits.
func (c *Course) measured(ctx context.Context) error { return c.rounds(ctx, c.lacking(true)) }

func TestTurnsAndPairs(t *testing.T) {
	var turns []string
	c := testCourse(t, 2, 1, []string{"a", "aw", "b", "bf"}, func(side string, round int) *Sample {
		turns = append(turns, fmt.Sprint(side, round))
		switch side {
		case "a":
			return sample(1000, 0.1, 500)
		case "aw":
			return sample(2000, 0.1, 250)
		}
		return sample(500, 0.2, 1000)
	})
	if err := c.measured(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(turns, " "); got != "a0 aw0 b0 bf0 bf1 b1 aw1 a1" {
		t.Error("not ABBA:", got)
	}
	campaign := c.Judge()
	byName := map[string]int{}
	for i, row := range campaign.Rows {
		byName[row.Load+" "+row.Figure] = i
	}
	cpu := campaign.Rows[byName["1 · a load · durable "+CPUPerMillion]]
	if len(cpu.Ratios) != 2 || cpu.Ratios[0].Median != 0.25 || cpu.Ratios[0].Goal != 0.5 ||
		len(cpu.Ratios[0].Pairs) != 2 {
		t.Errorf("%+v", cpu.Ratios)
	}
	write := campaign.Rows[byName["1 · a load · write "+CPUPerMillion]]
	if len(write.Ratios) != 1 || write.Ratios[0].Against != "Theirs" || write.Ratios[0].Median != 0.125 {
		t.Errorf("a page cache against a flush: %+v", write.Ratios)
	}
	if err := campaign.Check(); err != nil {
		t.Error(err)
	}
	text := Markdown(campaign, []string{"pictures/x.svg"})
	for _, want := range []string{"best **4.0×** (1 · a load · write", "worst **2.0×** (1 · a load · durable",
		"≥ 3 **missed**", "≤ 0.5 met", "(pictures/x.svg)"} {
		if !strings.Contains(text, want) {
			t.Errorf("the document lacks %q:\n%s", want, text)
		}
	}
	before := len(turns)
	if err := c.measured(t.Context()); err != nil || len(turns) != before {
		t.Error("measured again what was there", err, turns[before:])
	}
}

func TestWhatDoesNotCountIsRepeated(t *testing.T) {
	runs := map[string]int{}
	c := testCourse(t, 2, 3, []string{"a", "b", "bf"}, func(side string, round int) *Sample {
		runs[side]++
		s := sample(1000, 0.1, 100)
		if side == "b" && round != 1 && round < 4 {
			s.Disturbed = "other processes took 0.3 cores"
		}
		if side == "a" && round == 1 {
			s.Run.Void = "late"
		}
		return s
	})
	if err := c.measured(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Pairs a/b: round 1 counts, 0, 2 and 3 are disturbed, 4 counts. bf is not needed again.
	if runs["a"] != 5 || runs["b"] != 5 || runs["bf"] != 2 {
		t.Error("runs:", runs)
	}
	for _, row := range c.Judge().Rows {
		r := row.Ratios[0]
		want := 2
		if row.Figure == P99 { // the void one is left out, and a single pair has no interval
			want = 0
		}
		if len(r.Pairs) != want || r.Disturbed != 3 {
			t.Errorf("%s: %d pairs, %d disturbed, remark %q", row.Figure, len(r.Pairs), r.Disturbed, row.Remark)
		}
	}
	if len(c.lacking(true)) != 0 {
		t.Error("something is left to do")
	}
}

// The latency of a side that does not hold the rate is that of a growing queue: its ratio is no
// boast, but what both did at that rate stays to be seen.
func TestSideThatDoesNotHoldTheRate(t *testing.T) {
	c := testCourse(t, 3, 0, []string{"a", "b", "bf"}, func(side string, round int) *Sample {
		s := sample(map[string]int64{"a": 1000, "b": 985, "bf": 900}[side], 0.1,
			map[string]float64{"a": 100, "b": 200, "bf": 9e5}[side])
		s.Run.Rate = 1000
		return s
	})
	if err := c.measured(t.Context()); err != nil {
		t.Fatal(err)
	}
	campaign := c.Judge()
	for _, row := range campaign.Rows {
		for _, r := range row.Ratios {
			if want := row.Figure == P99 && r.Against == "Theirs, flush"; r.Overrun != want {
				t.Errorf("%s against %s: overrun %v", row.Figure, r.Against, r.Overrun)
			}
		}
		if row.Remark != "bf did not keep up in 3" {
			t.Errorf("%s: remark %q", row.Figure, row.Remark)
		}
	}
	text := Markdown(campaign, nil)
	if !strings.Contains(text, "it did not keep up") || strings.Contains(text, "9000×") {
		t.Error(text)
	}
	var page bytes.Buffer
	if err := view.CampaignHTML(&page, campaign); err != nil || strings.Count(page.String(), "it did not keep up") != 2 {
		t.Error("the report shows the latency of a queue as others:", err) // in its picture and its table
	}
}

func TestRoundThatWasCutShort(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var turns []string
	measure := func(side string, round int) *Sample {
		turns = append(turns, fmt.Sprint(side, round))
		if side == "a" && round == 1 && ctx.Err() == nil { // the second one in its round
			cancel()
		}
		return sample(1, 1, 1)
	}
	c := testCourse(t, 2, 0, []string{"a", "b"}, measure)
	if err := c.measured(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	again, err := OpenStore(c.Store.dir, "plan", false)
	if err != nil || len(again.Samples) != 2 {
		t.Fatal(err, again.Samples)
	}
	c.Store, turns = again, nil
	if err := c.measured(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(turns, " "); got != "b1 a1" {
		t.Error("went on with", got)
	}
	if _, err := OpenStore(c.Store.dir, "another plan", false); err == nil ||
		!strings.Contains(err.Error(), "FRESH=1") {
		t.Error("mixed two plans:", err)
	}
	if s, err := OpenStore(c.Store.dir, "another plan", true); err != nil || len(s.Samples) != 0 {
		t.Error(err)
	}
}

func TestBudget(t *testing.T) {
	c := testCourse(t, 3, 0, []string{"a", "b"}, func(string, int) *Sample { return sample(1, 1, 1) })
	c.Budget = time.Second // less than a round's plan
	if err := c.measured(t.Context()); !errors.Is(err, errBudget) || len(c.Store.Samples) != 0 {
		t.Error(err, len(c.Store.Samples))
	}
}

func TestDisturbance(t *testing.T) {
	for _, x := range []struct {
		m    result.Machine
		want string
	}{
		{result.Machine{Cores: 2, Foreign: 0.4, Steal: 0.1}, ""},
		{result.Machine{Cores: 2, Foreign: 0.6}, "other processes took 0.06 cores"},
		{result.Machine{Cores: 2, Steal: 0.3}, "the hypervisor took 1.5 %"},
	} {
		if got := Disturbance(&x.m, 10); got != x.want {
			t.Errorf("%+v: %q", x.m, got)
		}
	}
}

func TestPublish(t *testing.T) {
	c := testCourse(t, 1, 0, []string{"a", "b"}, func(string, int) *Sample { return sample(10, 1, 1) })
	if err := c.Publish(); err == nil {
		t.Error("published nothing")
	}
	if err := c.measured(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Document = filepath.Join(t.TempDir(), "docs/B.md")
	begin, end := markers("test")
	if err := keepFile(c.Document, []byte("# before\n"+begin+"\nold\n"+end+"\nafter\n")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time over the first's text
		if err := c.Publish(); err != nil {
			t.Fatal(err)
		}
	}
	text, _ := os.ReadFile(c.Document)
	if s := string(text); strings.Contains(s, "old") || !strings.HasPrefix(s, "# before\n"+begin) ||
		!strings.HasSuffix(s, end+"\nafter\n") || strings.Count(s, "#### Cost") != 1 {
		t.Error(s)
	}
	for _, name := range []string{"test.json", "test.html", "test-runs.json"} {
		if _, err := os.Stat(filepath.Join(c.Results, name)); err != nil {
			t.Error(err)
		}
	}
	pictures, _ := filepath.Glob(filepath.Join(filepath.Dir(c.Document), "pictures/*.svg"))
	if len(pictures) != 3 {
		t.Error(pictures)
	}
	if _, err := Replace("no markers", "test", "x"); err == nil {
		t.Error("replaced nothing")
	}
}

func TestEveryFigureIsKnown(t *testing.T) {
	var names []string
	for _, f := range Figures {
		if slices.Contains(names, f.Name) || group(f.Group) < 0 {
			t.Error(f.Name)
		}
		names = append(names, f.Name)
	}
}
