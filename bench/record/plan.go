package record

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"millrace/bench"
	"millrace/bench/place"
)

// Sets of loads, from few to all.
const (
	Quick = "quick"
	Core  = "core"
	Whole = "whole"
)

// Side is a broker under measurement.
type Side struct {
	Name    string // in commands and files
	Of      string // the contestant that it stands for in tables
	Tag     string // what rows of ours say behind the load, "durable"
	Durable bool   // an acknowledgement is behind a flush
	*bench.Contestant
}

// Asked is one figure of a load, with the ratios that it shall have to a contestant.
type Asked struct {
	Figure string
	Goals  map[string]float64 // by contestant: ours ÷ theirs
}

// Load is one shape of load.
type Load struct {
	Row     int    // of the list of quantities (performance's table)
	Name    string // "small/maximum"
	Title   string // in tables
	Set     string // the smallest set that has it
	Sides   []string
	Figures []Asked
	Command string // as it can be typed, without addresses
	Remark  string

	Alone     bool          // it starts its own brokers: the sides' do not run meanwhile
	MaxRounds int           // 0: as the plan says
	Length    time.Duration // in the whole set, where it is not the plan's

	// Before is called once per start of a side before its first run; may be nil.
	Before func(ctx context.Context, c *Course, side *Side) error
	// Measure makes one run. An error is the campaign's end; a run that failed is a Sample that
	// says so.
	Measure func(ctx context.Context, c *Course, l *Load, side *Side, round int) (*Sample, error)
}

// Plan says how much is measured.
type Plan struct {
	*place.Place
	Name        string // "kafka": of files
	Title, Lead string
	Contestants []string // names in tables, ours first
	Notes       []string
	Set         string
	Rounds      int           // pairs
	MaxRepeats  int           // rounds beyond, for pairs that do not count
	Length      time.Duration // of each run
	Warmup      time.Duration // of each run
	WarmJVM     time.Duration
	Settle      time.Duration // between runs, before the disks are looked at
	Patience    time.Duration // with disks that do not come to rest
	Budget      time.Duration // 0: as long as it takes
	Rows        []int         // only these; all when empty
	Fresh       bool
	Keep        bool   // disturbed pairs count, JVMs are cold: for developing, never for a record
	Results     string // directory of what is published
	Document    string // file with the generated part; "": none
	Warm        func(ctx context.Context, c *Course, side *Side) error
	Out         io.Writer
}

// NewPlan reads the environment: QUICK=1, CORE=1, PAIRS=n, DURATION=5s, MINUTES=n, ROWS=n,n,
// FRESH=1, RESULTS=directory, PUBLISH=1, DISTURBED=keep.
func NewPlan(name string) (*Plan, error) {
	p := &Plan{Name: name, Set: Whole, Rounds: 8, MaxRepeats: 4, Length: time.Minute,
		Warmup: 5 * time.Second, WarmJVM: time.Minute, Settle: 2 * time.Second,
		Patience: time.Minute, Out: os.Stdout}
	switch {
	case os.Getenv("QUICK") != "":
		p.Set, p.Rounds, p.MaxRepeats = Quick, 2, 2
		p.Length, p.Warmup, p.Budget = 4*time.Second, time.Second, 9*time.Minute+20*time.Second
		p.Settle, p.Patience = 1200*time.Millisecond, 5*time.Second
	case os.Getenv("CORE") != "":
		p.Set, p.Rounds, p.MaxRepeats = Core, 4, 4
		p.Length, p.Warmup, p.Budget = 15*time.Second, 2*time.Second, 57*time.Minute
		p.Settle, p.Patience = 1500*time.Millisecond, 20*time.Second
	}
	var err error
	if p.Place, err = place.New(); err != nil {
		return nil, err
	}
	if err := p.environment(); err != nil {
		p.Remove()
		return nil, err
	}
	return p, nil
}

func (p *Plan) environment() error {
	for name, set := range map[string]func(n int){
		"PAIRS":   func(n int) { p.Rounds = n },
		"MINUTES": func(n int) { p.Budget = time.Duration(n) * time.Minute },
	} {
		text := os.Getenv(name)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 100_000 {
			return fmt.Errorf("record: %s=%s: want a number above zero", name, text)
		}
		set(n)
	}
	if text := os.Getenv("DURATION"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < time.Second || d > time.Hour {
			return fmt.Errorf("record: DURATION=%s: want 1s to 1h", text)
		}
		p.Length = d
	}
	for _, text := range strings.FieldsFunc(os.Getenv("ROWS"), func(r rune) bool { return r == ',' }) {
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("record: ROWS: %s is no number", text)
		}
		p.Rows = append(p.Rows, n)
	}
	p.Fresh, p.Keep = os.Getenv("FRESH") != "", os.Getenv("DISTURBED") == "keep"
	p.Results = p.Place.Results()
	p.Document = filepath.Join(p.Repo, "docs/BENCHMARKS.md")
	if p.Keep {
		p.WarmJVM = 8 * time.Second
	}
	if p.Set == Quick || p.Keep {
		p.Results, p.Document = filepath.Join(p.Cache, "record", p.id()), ""
	}
	if dir := os.Getenv("RESULTS"); dir != "" {
		p.Results, p.Document = dir, ""
	}
	if os.Getenv("PUBLISH") != "" && !p.Keep {
		p.Results = p.Place.Results()
		p.Document = filepath.Join(p.Repo, "docs/BENCHMARKS.md")
	}
	return nil
}

func (p *Plan) id() string { return p.Name + "-" + p.Set }

// Has says whether a load is part of the plan.
func (p *Plan) Has(l *Load) bool {
	order := []string{Quick, Core, Whole}
	if len(p.Rows) > 0 && !slices.Contains(p.Rows, l.Row) {
		return false
	}
	// Rows that were asked for by number are measured in every set.
	return len(p.Rows) > 0 || slices.Index(order, l.Set) <= slices.Index(order, p.Set)
}

// For is how long a load is measured.
func (p *Plan) For(l *Load) time.Duration {
	if p.Set == Whole && l.Length > 0 && os.Getenv("DURATION") == "" {
		return l.Length
	}
	return p.Length
}

// comparable is what runs must have in common to be put into one table (C2).
func (p *Plan) comparable(programs []string) string {
	return fmt.Sprintf("%s: %v after %v, JVM warm after %v, %s", p.id(), p.Length, p.Warmup, p.WarmJVM,
		strings.Join(programs, ", "))
}
