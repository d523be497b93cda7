package plan

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"millrace/loadgen/result"
)

// Driver puts a configuration's load on the broker at a rate (messages per second; 0: as fast as
// answers come) and measures it, after a warm-up.
type Driver interface {
	Step(ctx context.Context, c Config, rate float64) (*result.Run, error)
	// Flushes is how often the broker has made the disk flush since it began; 0: it does not tell.
	Flushes(ctx context.Context) float64
}

// Sweep measures configurations into a model.
type Sweep struct {
	Model  *Model
	Driver Driver
	Busy   bool           // neighbours are part of the experiment: no step is disturbed
	Settle time.Duration  // between steps, for what the last one left to do
	Save   func() error   // after every step
	Tell   func(Measured) // after every step, and at the end of a configuration; may be nil
}

// Run measures what is not yet measured.
func (s *Sweep) Run(ctx context.Context, configs []Config) error {
	for _, c := range configs {
		x := s.Model.find(c)
		if x.Done {
			continue
		}
		if err := s.one(ctx, x); err != nil {
			return err
		}
	}
	return nil
}

var (
	errShort = errors.New("plan: a step ended early")
	// ErrBusy is a machine that is not quiet.
	ErrBusy = errors.New("plan: the machine is not quiet")
)

// maxDisturbed steps one after the other end a sweep: what goes on beside it will go on.
const maxDisturbed = 6

func (s *Sweep) one(ctx context.Context, x *Measured) error {
	p := s.Model.Search.replay(x.Steps)
	for row := 0; row < maxDisturbed; {
		rung, rate, done := p.next()
		if done {
			x.conclude(s.Model.Search)
			return s.saved(*x)
		}
		step, err := s.step(ctx, x.Config, rung, rate)
		if err != nil {
			return err
		}
		x.Steps = append(x.Steps, step)
		p.take(step)
		if err := s.saved(*x); err != nil {
			return err
		}
		if row++; step.Verdict != Disturbed {
			row = 0
		}
	}
	return fmt.Errorf("%w: %s", ErrBusy, x.Steps[len(x.Steps)-1].Why)
}

func (s *Sweep) saved(x Measured) error {
	s.Model.Changed = time.Now().UTC()
	if s.Tell != nil {
		s.Tell(x)
	}
	return s.Save()
}

func (s *Sweep) step(ctx context.Context, c Config, rung int, rate float64) (Step, error) {
	if err := wait(ctx, s.Settle); err != nil {
		return Step{}, err
	}
	before := s.Driver.Flushes(ctx)
	r, err := s.Driver.Step(ctx, c, rate)
	if ctx.Err() != nil {
		return Step{}, ctx.Err()
	}
	if err != nil {
		return Step{}, fmt.Errorf("plan: %s at %.0f messages/s: %w", c, rate, err)
	}
	if r.Partial != "" {
		return Step{}, fmt.Errorf("%w: %s at %.0f messages/s: %s", errShort, c, rate, r.Partial)
	}
	step := s.judge(c, rung, rate, r)
	if after := s.Driver.Flushes(ctx); after > before {
		// The counter ran over the warm-up, too.
		step.Flushes = (after - before) * r.Seconds / max(r.Seconds, r.Seconds+r.WarmupSeconds)
	}
	if s.Model.Software == "" {
		s.Model.Software = r.Target.Software
	}
	return step, nil
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Scale measures closed loops over a growing number of connections, with one request in flight on
// each, or of partitions, and fits the Universal Scalability Law.
func (s *Sweep) Scale(ctx context.Context, over string, c Config, numbers []int, rounds int) error {
	var set func(n int)
	switch over {
	case "connections":
		c.InFlight = 1
		set = func(n int) { c.Connections = n }
	case "partitions":
		set = func(n int) { c.Partitions = n }
	default:
		return fmt.Errorf("plan: scaling over %.40q: only connections and partitions can be varied here", over)
	}
	x := Scaling{Over: over, Config: c}
	if slices.ContainsFunc(s.Model.Scaling, func(y Scaling) bool {
		return y.Over == over && y.Config.Key() == c.Key()
	}) {
		return nil // measured already
	}
	for round := range rounds {
		for i := range numbers {
			n := numbers[i]
			if round%2 == 1 { // there and back: what drifts falls on both ends
				n = numbers[len(numbers)-1-i]
			}
			set(n)
			step, err := s.step(ctx, c, 0, 0)
			if err != nil {
				return err
			}
			x.Points = append(x.Points, Point{N: float64(n), X: step.Reached})
		}
	}
	u, err := FitUSL(x.Over, x.Points)
	if err != nil {
		return err
	}
	x.USL = u
	s.Model.Scaling = append(s.Model.Scaling, x)
	return s.Save()
}

// OverLabel fits the Universal Scalability Law over a label that is a number, as cores, wherever at
// least four values of it were measured with everything else the same.
func (m *Model) OverLabel(label string) (out []Scaling) {
	series := map[string]*Scaling{}
	var order []string
	for _, x := range m.Measured {
		n, err := strconv.ParseFloat(x.Labels[label], 64)
		if err != nil || n < 1 || !x.Done || x.Capacity == nil {
			continue
		}
		c := x.Config
		c.Labels = maps.Clone(c.Labels)
		delete(c.Labels, label)
		s := series[c.Key()]
		if s == nil {
			s = &Scaling{Over: label, Config: c}
			series[c.Key()], order = s, append(order, c.Key())
		}
		s.Points = append(s.Points, Point{N: n, X: x.Capacity.Value})
	}
	for _, key := range order {
		s := series[key]
		if u, err := FitUSL(label, s.Points); err == nil {
			s.USL = u
			out = append(out, *s)
		}
	}
	return out
}
