package limits

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"millrace/loadgen/result"
)

// Format of the file.
const Format = "loadgen-limits/1"

// Options of a measurement.
type Options struct {
	Dir    string        // on the disk to be measured
	Budget time.Duration // 0: a minute
	Rounds int           // of each figure; 0: 3
	// Progress is told what is measured next, when it is not nil.
	Progress func(what string)
}

// Quick is for a first look: ten seconds.
func Quick(dir string) Options { return Options{Dir: dir, Budget: 10 * time.Second, Rounds: 2} }

// Limits of one host.
type Limits struct {
	Format  string      `json:"format"`
	Started time.Time   `json:"started"`
	Seconds float64     `json:"seconds"`
	Rounds  int         `json:"rounds"`
	Host    result.Host `json:"host"`
	Figures []Figure    `json:"figures"`
	Skipped []Skipped   `json:"skipped,omitempty"`
	// Busy is CPU that other processes took meanwhile, in cores; Steal what the hypervisor took.
	Busy  float64 `json:"foreign_cores"`
	Steal float64 `json:"steal_cores"`
}

// Figure is one limit.
type Figure struct {
	Key   string  `json:"key"` // "tcp.64K.2cores.rate"
	Group string  `json:"group"`
	Name  string  `json:"name"`
	Unit  string  `json:"unit"`
	Value float64 `json:"value"` // median of the rounds
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// Skipped is what could not be measured.
type Skipped struct {
	Name string `json:"name"`
	Why  string `json:"why"`
}

// errSkip marks a measurement that this host does not allow.
var errSkip = errors.New("not here")

func skip(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errSkip, fmt.Sprintf(format, args...))
}

// spec names one figure of a probe.
type spec struct{ key, name, unit string }

// probe is one thing that is measured; run takes about d and gives a value for each spec.
type probe struct {
	group string
	specs []spec
	run   func(e *env, d time.Duration) ([]float64, error)
}

// env is what probes share.
type env struct {
	ctx   context.Context
	dir   string // an own one, removed afterwards
	cpus  []int  // that this process may run on
	small bool   // little time: small files
	files *fileSet
}

// two gives two CPUs, or twice the same.
func (e *env) two() (a, b int) { return e.cpus[0], e.cpus[min(1, len(e.cpus)-1)] }

// Measure takes all figures.
func Measure(ctx context.Context, o Options) (*Limits, error) {
	if o.Budget <= 0 {
		o.Budget = time.Minute
	}
	if o.Rounds <= 0 {
		o.Rounds = 3
	}
	if o.Dir == "" {
		o.Dir = "."
	}
	dir, err := os.MkdirTemp(o.Dir, "loadgen-limits-")
	if err != nil {
		return nil, fmt.Errorf("limits: %w", err)
	}
	defer os.RemoveAll(dir)
	cpus, err := allowedCPUs()
	if err != nil {
		return nil, err
	}
	// Threads that ping and pong need a P each, whatever the number of CPUs; the collector would
	// show up in the figures.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(4, runtime.GOMAXPROCS(0))))
	defer debug.SetGCPercent(debug.SetGCPercent(-1))

	l := &Limits{Format: Format, Started: time.Now().UTC(), Rounds: o.Rounds,
		Host: result.ReadHost(o.Dir)}
	e := &env{ctx: ctx, dir: dir, cpus: cpus, small: o.Budget < 30*time.Second}
	defer e.closeFiles()
	before, err := readUse()
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	if err := l.all(e, o, begin); err != nil {
		return nil, err
	}
	l.Seconds = time.Since(begin).Seconds()
	after, err := readUse()
	if err != nil {
		return nil, err
	}
	l.Busy = max(0, after.foreign-before.foreign) / l.Seconds
	l.Steal = (after.steal - before.steal) / l.Seconds
	return l, nil
}

// all runs every probe, each in rounds next to each other: a figure's rounds see the same weather.
func (l *Limits) all(e *env, o Options, begin time.Time) error {
	probes := allProbes()
	for i, p := range probes {
		left := o.Budget - time.Since(begin)
		// An eighth is for making files and for rounds that take longer than they should.
		each := left * 7 / 8 / time.Duration((len(probes)-i)*o.Rounds)
		if e.ctx.Err() != nil {
			return e.ctx.Err()
		}
		if left < time.Duration(o.Rounds)*5*time.Millisecond {
			l.skipped(p, "no time left")
			continue
		}
		if o.Progress != nil {
			o.Progress(p.specs[0].name)
		}
		if err := l.one(e, p, o.Rounds, each, begin.Add(o.Budget)); err != nil {
			return err
		}
	}
	return nil
}

func (l *Limits) skipped(p probe, why string) {
	l.Skipped = append(l.Skipped, Skipped{Name: p.specs[0].name, Why: why})
}

func (l *Limits) one(e *env, p probe, rounds int, each time.Duration, end time.Time) error {
	values := make([][]float64, len(p.specs))
	for r := range rounds {
		if r > 0 && time.Now().After(end) {
			break // L2
		}
		v, err := p.run(e, each)
		switch {
		case e.ctx.Err() != nil:
			return e.ctx.Err()
		case errors.Is(err, errSkip):
			l.skipped(p, err.Error())
			return nil
		case err != nil:
			return fmt.Errorf("limits: %s: %w", p.specs[0].name, err)
		}
		for i := range values {
			values[i] = append(values[i], v[i])
		}
	}
	for i, s := range p.specs {
		slices.Sort(values[i])
		n := len(values[i])
		l.Figures = append(l.Figures, Figure{Key: s.key, Group: p.group, Name: s.name, Unit: s.unit,
			Value: (values[i][(n-1)/2] + values[i][n/2]) / 2, Low: values[i][0], High: values[i][n-1]})
	}
	return nil
}

// Figure finds one by its key.
func (l *Limits) Figure(key string) (Figure, bool) {
	i := slices.IndexFunc(l.Figures, func(f Figure) bool { return f.Key == key })
	if i < 0 {
		return Figure{}, false
	}
	return l.Figures[i], true
}

// WriteFile keeps the limits for later runs.
func (l *Limits) WriteFile(path string) error {
	data, err := json.MarshalIndent(l, "", " ")
	if err != nil {
		return fmt.Errorf("limits: %w", err)
	}
	if err := os.WriteFile(path, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("limits: %w", err)
	}
	return nil
}

const maxFile = 1 << 20

// ReadFile reads what WriteFile wrote.
func ReadFile(path string) (*Limits, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("limits: %w", err)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("limits: %s: %d bytes are no limits", filepath.Base(path), info.Size())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("limits: %w", err)
	}
	l := &Limits{}
	if err := json.Unmarshal(data, l); err != nil {
		return nil, fmt.Errorf("limits: %s: %w", filepath.Base(path), err)
	}
	if l.Format != Format {
		return nil, fmt.Errorf("limits: %s: format %.40q is not %q", filepath.Base(path), l.Format, Format)
	}
	for _, f := range l.Figures {
		if !(f.Value >= 0) || !(f.Low <= f.High) {
			return nil, fmt.Errorf("limits: %s: %s: %g is no limit", filepath.Base(path), f.Key, f.Value)
		}
	}
	return l, nil
}

func allowedCPUs() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("limits: affinity: %w", err)
	}
	var out []int
	for i := range len(set) * 64 {
		if set.IsSet(i) {
			out = append(out, i)
		}
	}
	return out, nil
}
