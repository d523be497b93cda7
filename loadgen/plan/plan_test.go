package plan

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"millrace/loadgen/result"
)

// world is a broker whose capacity is known: a request takes T seconds of its bottleneck, and
// latency grows as in a queue, with noise.
type world struct {
	truth  Fit
	noise  float64
	rng    *rand.Rand
	runs   int
	voidAt float64 // the generator cannot send more messages per second; 0: it can
	fail   int     // runs until the broker goes away; 0: it stays
	// so many steps of a row are beside other work, which makes them slow, and then one is not
	disturbed int
}

func newWorld(seed uint64) *world {
	return &world{rng: rand.New(rand.NewPCG(seed, 7)), noise: 0.03,
		truth: Fit{PerRequest: 8e-6, PerByte: 0.9e-9, PerMessage: 15e-9, PerRead: 0.3e-9, N0: 8, P0: 8,
			Connections: 0.06, Partitions: 0.04, Levels: map[string]float64{"acks=all": 1.1}}}
}

// capacity is the rate at which p99 is 10 ms.
func (w *world) capacity(c Config) float64 { return float64(c.Records) / w.truth.At(c) }

func (w *world) Flushes(context.Context) float64 { return float64(w.runs * 1000) }

func (w *world) Step(_ context.Context, c Config, rate float64) (*result.Run, error) {
	w.runs++
	if w.fail > 0 && w.runs > w.fail {
		return nil, errors.New("the broker has gone")
	}
	limit := w.capacity(c) * math.Exp(w.noise*w.rng.NormFloat64())
	const seconds = 5.0
	r := &result.Run{Seconds: seconds, WarmupSeconds: 1, Target: result.Target{Software: "a world"}}
	reached := rate
	if most := limit * 1.1; rate == 0 || rate > most {
		reached = most
	}
	if w.voidAt > 0 && rate > w.voidAt {
		r.Void, reached = "the generator was late", w.voidAt
	}
	if w.disturbed > 0 && w.runs%(w.disturbed+1) != 0 {
		r.Machine = &result.Machine{Foreign: seconds}
		limit /= 2
	}
	p99 := 1000 + 9000*math.Pow(reached/limit, 12) // µs: 10 ms at the limit
	r.Acked = int64(reached * seconds)
	r.Requests = r.Acked / int64(c.Records)
	r.AckedBytes = int64(float64(r.Requests) * c.Bytes())
	r.Latencies = map[result.Kind]result.Summary{result.Response: {Count: 10_000, Max: p99 * 2,
		Quantiles: []result.Quantile{{Q: 0.5, Micros: 300}, {Q: 0.99, Micros: p99}}}}
	r.Broker = &result.Cost{CPUSeconds: float64(r.Requests) * 0.7 * w.truth.At(c), DiskWritten: 2 * r.AckedBytes}
	r.Intervals = []result.Interval{{InFlight: 1}, {InFlight: 1}}
	return r, nil
}

func testMatrix() Matrix {
	return Matrix{Sizes: []int{100, 400, 1000}, Batches: []Batch{{Records: 1}, {Records: 16}, {Records: 100}},
		Partitions: []int{4, 16}, Acks: []string{"1", "all"}, Connections: []int{4, 16}, InFlight: 16,
		FanOut: []int{0}, Labels: map[string]string{"durability": "fsync"}}
}

func p99(t *testing.T, text string) Objectives {
	t.Helper()
	o, err := ParseObjectives(text)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func newSweep(t *testing.T, d Driver) (*Sweep, string) {
	path := filepath.Join(t.TempDir(), "model.json")
	m := &Model{Format: Format, Objectives: p99(t, "p99=10ms"), Search: DefaultSearch,
		Host: result.Host{CPU: "a CPU", Cores: 4}}
	return &Sweep{Model: m, Driver: d, Save: func() error { return m.WriteFile(path) }}, path
}

func sweptModel(t *testing.T, w *world) *Model {
	t.Helper()
	s, path := newSweep(t, w)
	configs, err := testMatrix().Configs()
	if err != nil {
		t.Fatal(err)
	}
	if len(configs) != 72 {
		t.Fatalf("%d configurations", len(configs))
	}
	s.Save = func() error { return nil } // 500 files are for TestSweepGoesOn
	if err := s.Run(context.Background(), Sample(configs, 24, 1)); err != nil {
		t.Fatal(err)
	}
	if err := s.Model.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	m, err := ReadModel(path)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestSweepFindsCapacity(t *testing.T) {
	w := newWorld(1)
	m := sweptModel(t, w)
	in := 0
	for _, x := range m.Measured {
		if !x.Done || x.Capacity == nil || x.Bound != "" {
			t.Fatalf("%s: %+v", x.Config, x)
		}
		truth := w.capacity(x.Config)
		// The staircase ends where seven of ten steps keep: half a standard deviation below.
		if off := x.Capacity.Value/truth - 1; math.Abs(off) > 0.08 {
			t.Errorf("%s: capacity %.0f, true %.0f", x.Config, x.Capacity.Value, truth)
		}
		if x.Capacity.Low <= truth && truth <= x.Capacity.High {
			in++
		}
		if len(x.Steps) > 30 {
			t.Errorf("%s: %d steps", x.Config, len(x.Steps))
		}
	}
	if in*10 < len(m.Measured)*8 {
		t.Errorf("the truth is in %d of %d intervals", in, len(m.Measured))
	}
	if m.Software != "a world" {
		t.Errorf("software %q", m.Software)
	}
}

func TestSweepGoesOn(t *testing.T) {
	whole, w := newWorld(2), newWorld(2)
	configs := []Config{{Size: 100, Records: 64, Partitions: 8, Acks: "1", Connections: 4, InFlight: 8},
		{Size: 1000, Records: 16, Partitions: 8, Acks: "1", Connections: 4, InFlight: 8}}
	a, _ := newSweep(t, whole)
	if err := a.Run(context.Background(), configs); err != nil {
		t.Fatal(err)
	}
	b, path := newSweep(t, w)
	w.fail = 7
	if err := b.Run(context.Background(), configs); err == nil || !strings.Contains(err.Error(), "gone") {
		t.Fatalf("with a broker that goes: %v", err)
	}
	m, err := ReadModel(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(m.Measured[0].Steps); n != 7 {
		t.Fatalf("%d steps were kept, 7 were made", n)
	}
	// The same world, told by its seed, up to where the run ended.
	again := newWorld(2)
	for range 7 {
		again.rng.NormFloat64()
	}
	again.runs = 7
	c := &Sweep{Model: m, Driver: again, Save: func() error { return m.WriteFile(path) }}
	if err := c.Run(context.Background(), configs); err != nil {
		t.Fatal(err)
	}
	for i := range a.Model.Measured {
		x, y := a.Model.Measured[i], m.Measured[i]
		if len(x.Steps) != len(y.Steps) || *x.Capacity != *y.Capacity {
			t.Errorf("%s: %d steps to %+v, interrupted %d to %+v", x.Config, len(x.Steps), *x.Capacity,
				len(y.Steps), *y.Capacity)
		}
	}
}

func TestVoidStepsAreRepeated(t *testing.T) {
	w := newWorld(3)
	s, _ := newSweep(t, w)
	c := Config{Size: 100, Records: 64, Partitions: 8, Acks: "1", Connections: 4, InFlight: 8}
	w.voidAt = w.capacity(c) / 2
	if err := s.Run(context.Background(), []Config{c}); err != nil {
		t.Fatal(err)
	}
	x := s.Model.Measured[0]
	if !strings.Contains(x.Bound, "generator") || x.Capacity == nil {
		t.Fatalf("bound %q, capacity %+v", x.Bound, x.Capacity)
	}
	if v := x.Capacity.Value; v > w.voidAt/leastReached || v < w.voidAt*0.8 {
		t.Errorf("capacity ≥ %.0f, the generator goes up to %.0f", v, w.voidAt)
	}
	voids := 0
	for _, s := range x.Steps {
		if s.Verdict == Void {
			voids++
		}
	}
	if voids < maxVoids || len(x.Steps) > 30 {
		t.Errorf("%d of %d steps void", voids, len(x.Steps))
	}
}

func TestDisturbedStepsAreRepeated(t *testing.T) {
	w := newWorld(8)
	w.disturbed = 3 // of four steps
	s, _ := newSweep(t, w)
	c := Config{Size: 100, Records: 64, Partitions: 8, Acks: "1", Connections: 4, InFlight: 8}
	if err := s.Run(context.Background(), []Config{c}); err != nil {
		t.Fatal(err)
	}
	x := s.Model.Measured[0]
	if x.Capacity == nil || x.Bound != "" || math.Abs(x.Capacity.Value/w.capacity(c)-1) > 0.1 {
		t.Errorf("bound %q, capacity %+v, true %.0f", x.Bound, x.Capacity, w.capacity(c))
	}
	w.disturbed = 1000
	s, _ = newSweep(t, w)
	if err := s.Run(context.Background(), []Config{c}); !errors.Is(err, ErrBusy) {
		t.Errorf("never quiet: %v", err)
	}
	if x := s.Model.Measured[0]; x.Done || len(x.Steps) < maxDisturbed {
		t.Errorf("%+v", x)
	}
	s, _ = newSweep(t, w)
	s.Busy = true
	if err := s.Run(context.Background(), []Config{c}); err != nil {
		t.Error(err)
	}
}

func TestVerdicts(t *testing.T) {
	c := Config{Connections: 2, InFlight: 10}
	good := func() *result.Run {
		return &result.Run{Seconds: 10, Acked: 10_000, Latencies: map[result.Kind]result.Summary{
			result.Response: {Count: 10_000, Max: 4000, Quantiles: []result.Quantile{{Q: 0.99, Micros: 2000}}}},
			Intervals: []result.Interval{{InFlight: 1}, {InFlight: 2}}}
	}
	for _, x := range []struct {
		name   string
		change func(*result.Run)
		o      string
		want   Verdict
	}{
		{"kept", func(*result.Run) {}, "p99=5ms", Kept},
		{"missed", func(*result.Run) {}, "p99=1ms", Missed},
		{"one of two missed", func(*result.Run) {}, "p99=5ms,p50=1ms", Missed},
		{"unsupported, by the greatest", func(*result.Run) {}, "p99.9=3ms", Missed},
		{"unsupported, kept even by the greatest", func(*result.Run) {}, "p99.9=5ms", Kept},
		{"late, and kept even so", func(r *result.Run) { r.Void = "late" }, "p99=5ms", Kept},
		{"void", func(r *result.Run) { r.Void = "late" }, "p99=1ms", Void},
		{"late, and the broker would have missed it without", func(r *result.Run) {
			r.Void = "late"
			r.Latencies[result.Service] = result.Summary{Count: 10_000, Max: 4000,
				Quantiles: []result.Quantile{{Q: 0.99, Micros: 1500}}}
		}, "p99=1ms", Missed},
		{"late because the broker is", func(r *result.Run) {
			r.Void = "late"
			r.Intervals = []result.Interval{{InFlight: 20}, {InFlight: 18}}
			r.Latencies[result.Response] = result.Summary{Count: 10, Max: 1e6}
		}, "p99=5ms", Missed},
		{"disturbed", func(r *result.Run) { r.Machine = &result.Machine{Foreign: 5}; r.Broker = &result.Cost{} }, "p99=1ms", Disturbed},
		{"stolen", func(r *result.Run) { r.Machine = &result.Machine{Steal: 5}; r.Broker = &result.Cost{} }, "p99=1ms", Disturbed},
		{"disturbed, and kept even so", func(r *result.Run) { r.Machine = &result.Machine{Foreign: 5} }, "p99=5ms", Kept},
		{"the broker may be the other process", func(r *result.Run) { r.Machine = &result.Machine{Foreign: 5} }, "p99=1ms", Missed},
		{"quiet", func(r *result.Run) { r.Machine = &result.Machine{Foreign: 0.5} }, "p99=1ms", Missed},
		{"backlog", func(r *result.Run) { r.Acked = 9000 }, "p99=5ms", Missed},
		{"errors", func(r *result.Run) { r.Errors = []result.ErrorCount{{Count: 1}} }, "p99=5ms", Missed},
		{"readers fall behind", func(r *result.Run) { r.Intervals[1].Lag = 5000 }, "p99=5ms", Missed},
		{"nothing received", func(*result.Run) {}, "p99=5ms,e2e-p99=5ms", Missed},
		{"nobody reads", func(*result.Run) {}, "p99=5ms,e2e-p99=5ms", Kept},
	} {
		r := good()
		x.change(r)
		w := Sweep{Model: &Model{Objectives: p99(t, x.o)}}
		c := c
		if x.name == "nothing received" {
			c.FanOut = 1
		}
		if s := w.judge(c, 0, 1000, r); s.Verdict != x.want {
			t.Errorf("%s: %s (%s), want %s", x.name, s.Verdict, s.Why, x.want)
		}
	}
}

func TestCrossValidation(t *testing.T) {
	w := newWorld(4)
	laws, err := sweptModel(t, w).Fit(p99(t, "p99=10ms"))
	if err != nil {
		t.Fatal(err)
	}
	s := ScoreOf(laws.LeftOut)
	if s.Within != s.All || s.All < 15 || s.Unknown > 0 {
		t.Errorf("score %+v\n%+v", s, laws.LeftOut)
	}
	if laws.Capacity.LeftOut > 0.1 || laws.CPU == nil || laws.CPU.LeftOut > 0.05 {
		t.Errorf("errors: capacity %.3f, CPU %+v", laws.Capacity.LeftOut, laws.CPU)
	}
	near(t, "per request", laws.Capacity.PerRequest, w.truth.PerRequest*1.05, 0.2)
	near(t, "bytes written", laws.Written.PerByte, 2, 0.02)
	// A law that is not there is not found: costs by chance.
	rng := rand.New(rand.NewPCG(9, 9))
	m := &Model{Format: Format, Objectives: p99(t, "p99=10ms"), Search: DefaultSearch}
	configs, _ := testMatrix().Configs()
	for _, c := range Sample(configs, 24, 1) {
		v := 1e5 * math.Exp(rng.NormFloat64())
		m.Measured = append(m.Measured, Measured{Config: c, Done: true, Capacity: &Interval{v, v, v}})
	}
	if laws, err = m.Fit(m.Objectives); err != nil {
		t.Fatal(err)
	}
	if s := ScoreOf(laws.LeftOut); s.Within*2 > s.All || laws.Capacity.LeftOut < 0.5 {
		t.Errorf("chance was predicted: %+v, error %.2f", s, laws.Capacity.LeftOut)
	}
}

func TestLeftOutLevel(t *testing.T) {
	m := &Model{Format: Format, Objectives: p99(t, "p99=10ms"), Search: DefaultSearch}
	for i, size := range []int{100, 200, 400, 800} {
		c := Config{Size: size, Records: 10, Partitions: 8, Acks: "1", Connections: 4, InFlight: 8}
		if i == 2 {
			c.Acks = "all"
		}
		v := 1e6 / float64(size)
		m.Measured = append(m.Measured, Measured{Config: c, Done: true, Capacity: &Interval{v, v, v}})
	}
	laws, err := m.Fit(m.Objectives)
	if err != nil {
		t.Fatal(err)
	}
	if !laws.LeftOut[2].Unknown || len(laws.LeftOut[0].Beyond) == 0 || len(laws.LeftOut[1].Beyond) > 0 {
		t.Errorf("%+v", laws.LeftOut)
	}
}

func TestOtherObjective(t *testing.T) {
	w := newWorld(5)
	w.noise = 0.005
	m := sweptModel(t, w)
	laws, err := m.Fit(p99(t, "p99=5ms")) // (4/9)^(1/12) = 0.935 of the limit
	if err != nil {
		t.Fatal(err)
	}
	for i := range m.Measured {
		x := &m.Measured[i]
		c, ok := x.capacityFor(p99(t, "p99=5ms"))
		want := 0.935 * w.capacity(x.Config)
		if !ok || c.Value < want*0.85 || c.Value > want*1.1 {
			t.Errorf("%s: %+v (%v), want %.0f", x.Config, c, ok, want)
		}
	}
	if laws.Capacity.Observed != len(m.Measured) {
		t.Errorf("%d observed", laws.Capacity.Observed)
	}
	if _, err := m.Fit(p99(t, "p99=10us")); err == nil {
		t.Error("an objective that no step has kept was fitted")
	}
}

func demand() Demand {
	return Demand{Rate: 2e6, Size: 200, Records: 50, Replication: 3, Retention: 7 * 24 * time.Hour, FanOut: 2,
		Objectives: Objectives{{Kind: result.Response, Q: 0.99, Micros: 10_000}}, Failures: 1, Headroom: 0.3,
		DiskFree: 0.2, Compression: 1, Acks: "all"}
}

func TestPlan(t *testing.T) {
	w := newWorld(6)
	m := sweptModel(t, w)
	d := demand()
	a, err := m.Plan(d)
	if err != nil {
		t.Fatal(err)
	}
	wire := BatchBytes(200, 50) / 50
	near(t, "stored", a.Stored, 2e6*wire*3*7*86400, 1e-9)
	near(t, "disk", a.Disk, a.Stored/0.8, 1e-9)
	near(t, "network in", a.NetIn*a.Hosts.Value, 2e6*wire*3*8, 1e-9)
	near(t, "network out", a.NetOut*a.Hosts.Value, 2e6*wire*4*8, 1e-9)
	near(t, "writes", a.Write.Value*(a.Hosts.Value-1), 2e6*wire*3*2, 0.05)
	if a.Hosts.Low > a.Hosts.Value || a.Hosts.High < a.Hosts.Value || a.Hosts.Value < 4 {
		t.Errorf("hosts %+v", a.Hosts)
	}
	// With one host down the others have their headroom.
	if a.LoadFailed.Value > 0.7+1e-9 || a.Load.Value >= a.LoadFailed.Value {
		t.Errorf("load %+v, with a host down %+v", a.Load, a.LoadFailed)
	}
	if a.Partitions%int(a.Hosts.Value) != 0 || a.Partitions < int(a.Hosts.Value)*4 {
		t.Errorf("%d partitions on %.0f hosts of 4 cores", a.Partitions, a.Hosts.Value)
	}
	if !strings.Contains(strings.Join(a.Extrapolates, ";"), "fan-out") ||
		!strings.Contains(strings.Join(a.Assumes, ";"), "replication was not measured") {
		t.Errorf("extrapolates %q, assumes %q", a.Extrapolates, a.Assumes)
	}
	var b strings.Builder
	if err := a.Text(&b); err != nil || !strings.Contains(b.String(), "partitions") {
		t.Errorf("%v\n%s", err, b.String())
	}
	more := d
	more.Rate *= 3
	if x, err := m.Plan(more); err != nil || x.Hosts.Value < 2*a.Hosts.Value-2 {
		t.Errorf("three times the rate: %+v, %v", x, err)
	}
	full := d
	full.HostDisk = a.Disk / 100
	if x, err := m.Plan(full); err != nil || x.Hosts.Value != 101 || x.DecidedBy != "disk space" {
		t.Errorf("small disks: %+v, %v", x.Hosts, err)
	}
	small := d
	small.Rate = 10
	if x, err := m.Plan(small); err != nil || x.Hosts.Value != 3 {
		t.Errorf("nearly nothing: %+v, %v", x, err)
	}
}

func TestPlanInside(t *testing.T) {
	m := sweptModel(t, newWorld(6))
	d := demand()
	d.Replication, d.FanOut, d.Failures = 1, 0, 0
	d.Rate = 1e5
	a, err := m.Plan(d)
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Extrapolates) > 0 {
		t.Errorf("extrapolates: %q", a.Extrapolates)
	}
	if a.Hosts.Value != 1 {
		t.Errorf("hosts %+v", a.Hosts)
	}
}

func TestPlanRefuses(t *testing.T) {
	m := sweptModel(t, newWorld(6))
	for name, change := range map[string]func(*Demand){
		"rate":        func(d *Demand) { d.Rate = 0 },
		"rate NaN":    func(d *Demand) { d.Rate = math.NaN() },
		"replication": func(d *Demand) { d.Replication = 0 },
		"headroom":    func(d *Demand) { d.Headroom = 1 },
		"label":       func(d *Demand) { d.Labels = map[string]string{"durability": "none"} },
		"no label":    func(d *Demand) { d.Labels = map[string]string{"colour": "red"} },
		"objective":   func(d *Demand) { d.Objectives = nil },
		"tight":       func(d *Demand) { d.Objectives = Objectives{{Kind: result.Response, Q: 0.99, Micros: 1}} },
	} {
		d := demand()
		change(&d)
		if a, err := m.Plan(d); err == nil {
			t.Errorf("%s: answered: %+v", name, a.Hosts)
		}
	}
}

func TestScale(t *testing.T) {
	w := newWorld(7)
	w.truth.Connections = -0.5
	s, _ := newSweep(t, w)
	c := Config{Size: 100, Records: 1, Partitions: 8, Acks: "1", Connections: 1, InFlight: 1}
	if err := s.Scale(context.Background(), "connections", c, []int{1, 2, 4, 8, 16, 32}, 2); err != nil {
		t.Fatal(err)
	}
	x := s.Model.Scaling[0]
	if len(x.Points) != 12 || x.USL == nil || x.USL.Alpha.Value <= 0 {
		t.Errorf("%+v", x)
	}
	var b strings.Builder
	if err := s.Model.Text(&b); err != nil || !strings.Contains(b.String(), "over connections") {
		t.Errorf("%v\n%s", err, b.String())
	}
}

func TestOverLabel(t *testing.T) {
	m := &Model{Format: Format, Objectives: p99(t, "p99=10ms"), Search: DefaultSearch}
	for _, n := range []int{1, 2, 4, 8, 16} {
		for _, size := range []int{100, 1000} {
			v, _ := law([3]float64{1e8 / float64(size), 0.05, 0.001}, float64(n))
			m.Measured = append(m.Measured, Measured{Done: true, Capacity: &Interval{v, v, v},
				Config: Config{Size: size, Records: 10, Partitions: 8, Acks: "1", Connections: 4, InFlight: 8,
					Labels: map[string]string{"cores": strconv.Itoa(n), "durability": "fsync"}}})
		}
	}
	list := m.OverLabel("cores")
	if len(list) != 2 || len(list[0].Points) != 5 || list[0].Config.Labels["durability"] != "fsync" {
		t.Fatalf("%+v", list)
	}
	near(t, "alpha", list[0].USL.Alpha.Value, 0.05, 1e-3)
	near(t, "beta", list[1].USL.Beta.Value, 0.001, 1e-3)
	if got := m.OverLabel("durability"); len(got) > 0 {
		t.Errorf("over words: %+v", got)
	}
}

func TestObjectives(t *testing.T) {
	o := p99(t, "p99=5ms, e2e-p99.9=20ms")
	if o.String() != "p99=5ms,e2e-p99.9=20ms" || o[1].Kind != result.EndToEnd || o[0].Micros != 5000 {
		t.Errorf("%+v", o)
	}
	for _, text := range []string{"", "p99", "99=5ms", "p100=5ms", "p0=1ms", "p99=5", "p99=-5ms", "p99=5ms;"} {
		if o, err := ParseObjectives(text); err == nil {
			t.Errorf("%q: %+v", text, o)
		}
	}
}

func TestBatchBytes(t *testing.T) {
	// 61 + length (varint) + attributes, time delta, offset delta, key length, value length, value,
	// header count, each record.
	if got := BatchBytes(100, 1); got != 61+2+1+1+1+1+2+100+1 {
		t.Errorf("%g", got)
	}
	if n := (Batch{Bytes: 16384}).records(100); BatchBytes(100, n) > 16384 || BatchBytes(100, n+1) <= 16384 {
		t.Errorf("%d messages in 16 KiB", n)
	}
	if n := (Batch{Bytes: 10}).records(100); n != 1 {
		t.Errorf("%d messages", n)
	}
}

func TestMetrics(t *testing.T) {
	text := "# HELP x\nmillrace_commit_duration_seconds_count{core=\"0\"} 5\nmillrace_commit_duration_seconds_count{core=\"1\"} 7\n" +
		"millrace_commit_duration_seconds_count_other 9\nmillrace_commit_duration_seconds_count{bad\n"
	if got := sumOf(strings.NewReader(text), flushCounter); got != 12 {
		t.Errorf("%g", got)
	}
}

func TestSample(t *testing.T) {
	configs, err := testMatrix().Configs()
	if err != nil {
		t.Fatal(err)
	}
	a := Sample(configs, 12, 1)
	times := map[string]int{}
	seen := map[string]bool{}
	for _, c := range a {
		if seen[c.Key()] {
			t.Errorf("%s is there twice", c)
		}
		seen[c.Key()] = true
		times["acks "+c.Acks]++
		times["size "+strconv.Itoa(c.Size)]++
	}
	if len(a) != 12 || times["acks 1"] != 6 || times["size 100"] != 4 || times["size 1000"] != 4 {
		t.Errorf("%d: %v", len(a), times)
	}
	for i, c := range Sample(configs, 12, 1) {
		if c.Key() != a[i].Key() {
			t.Fatal("the same seed gives others")
		}
	}
	if got := Sample(configs, 0, 1); len(got) != len(configs) {
		t.Errorf("%d of all", len(got))
	}
}
