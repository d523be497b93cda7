package plan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"millrace/loadgen/result"
)

// Format of the model file.
const Format = "loadgen-model/1"

// Model is what sweeps have measured: the evidence, from which everything else is computed again
// whenever it is asked for.
type Model struct {
	Format     string      `json:"format"`
	Changed    time.Time   `json:"changed"`
	Command    []string    `json:"command,omitempty"`
	Host       result.Host `json:"host"`
	Software   string      `json:"software,omitempty"` // of the broker
	Objectives Objectives  `json:"objectives"`
	Search     Search      `json:"search"`
	Measured   []Measured  `json:"measured"`
	Scaling    []Scaling   `json:"scaling,omitempty"`
}

// Measured is one configuration with its steps.
type Measured struct {
	Config
	Steps    []Step    `json:"steps"`
	Done     bool      `json:"done"`
	Capacity *Interval `json:"capacity,omitempty"` // messages per second within the objectives
	Bound    string    `json:"bound,omitempty"`    // why the capacity is a lower bound only
}

// Scaling is a series of closed loops over N: connections, each with one request in flight.
type Scaling struct {
	Over   string `json:"over"`
	Config Config `json:"config"` // of everything else
	Points []Point
	USL    *USL `json:"usl,omitempty"`
}

// find gives the entry of a configuration, a new one if need be.
func (m *Model) find(c Config) *Measured {
	i := slices.IndexFunc(m.Measured, func(x Measured) bool { return x.Key() == c.Key() })
	if i < 0 {
		m.Measured = append(m.Measured, Measured{Config: c})
		i = len(m.Measured) - 1
	}
	return &m.Measured[i]
}

const maxModel = 256 << 20

// ReadModel reads a model, whole or half done.
func ReadModel(path string) (*Model, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxModel+1))
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	m, err := parseModel(data)
	if err != nil {
		return nil, fmt.Errorf("plan: %s: %w", filepath.Base(path), err)
	}
	return m, nil
}

func parseModel(data []byte) (*Model, error) {
	if len(data) > maxModel {
		return nil, fmt.Errorf("more than %d bytes", maxModel)
	}
	m := &Model{}
	if err := json.Unmarshal(data, m); err != nil {
		return nil, err
	}
	return m, m.check()
}

func (m *Model) check() error {
	if m.Format != Format {
		return fmt.Errorf("format %.40q is not %q", m.Format, Format)
	}
	if !(m.Search.Ratio > 1 && m.Search.Ratio <= 4) || m.Search.MaxSteps < 1 || m.Search.Reversals < 1 {
		return errors.New("search: a ladder without rungs")
	}
	seen := map[string]bool{}
	for i, x := range m.Measured {
		if err := x.check(); err != nil {
			return fmt.Errorf("measured[%d]: %w", i, err)
		}
		if seen[x.Key()] {
			return fmt.Errorf("measured[%d]: %s is there twice", i, x.Key())
		}
		seen[x.Key()] = true
		for j, s := range x.Steps {
			if !finite(s.Rate, s.Reached, s.Seconds, s.BrokerCPU, s.Flushes) ||
				s.Requests < 0 || s.Messages < 0 || s.Bytes < 0 || s.Written < 0 {
				return fmt.Errorf("measured[%d].steps[%d]: figures that cannot be", i, j)
			}
		}
		if c := x.Capacity; c != nil && (!finite(c.Value, c.Low, c.High) || c.Low > c.High) {
			return fmt.Errorf("measured[%d]: a capacity of %g", i, c.Value)
		}
	}
	return nil
}

func finite(v ...float64) bool {
	for _, x := range v {
		if !(x >= 0) || math.IsInf(x, 0) {
			return false
		}
	}
	return true
}

// WriteFile replaces a model's file, which is whole at any moment.
func (m *Model) WriteFile(path string) (err error) {
	data, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("plan: model: %w", err)
	}
	// A line for each configuration and each step. Quotes within strings are escaped, so these
	// begin objects wherever they stand.
	for _, begin := range []string{`{"size":`, `{"rung":`} {
		data = bytes.ReplaceAll(data, []byte(begin), []byte("\n"+begin))
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("plan: model: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(append(data, '\n'))
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return fmt.Errorf("plan: model: %w", err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("plan: model: %w", err)
	}
	return nil
}

// conclude puts down what the steps of a configuration amount to.
func (x *Measured) conclude(s Search) {
	x.Done = true
	x.Capacity, x.Bound = nil, ""
	c, why := s.replay(x.Steps).capacity()
	x.Bound = why
	if c.Value > 0 {
		x.Capacity = &c
	}
}

// near are the steps that kept the objective closest below the capacity: what the broker used there
// is what it costs under full load.
func (x *Measured) near(o Objectives) []Step {
	best := 0.0
	for _, s := range x.Steps {
		if kept, known := s.kept(o.of(x.Config)); kept && known {
			best = math.Max(best, s.Rate)
		}
	}
	var out []Step
	for _, s := range x.Steps {
		if kept, known := s.kept(o.of(x.Config)); kept && known && s.Rate >= 0.75*best {
			out = append(out, s)
		}
	}
	return out
}

// capacityFor is the capacity for other objectives than those of the sweep, from the same steps:
// the rate that parts kept from missed with the fewest exceptions. Steps were taken where the
// sweep's own objective is decided, so its interval is wide elsewhere. ok is false when the steps
// do not reach there.
func (x *Measured) capacityFor(o Objectives) (c Interval, ok bool) {
	type seen struct {
		rate float64
		kept bool
	}
	var all []seen
	for _, s := range x.Steps {
		if kept, known := s.kept(o.of(x.Config)); known {
			all = append(all, seen{s.Rate, kept})
		}
	}
	slices.SortFunc(all, func(a, b seen) int {
		switch {
		case a.rate < b.rate:
			return -1
		case a.rate > b.rate:
			return 1
		}
		return 0
	})
	// Before cut i everything should be kept, from there on missed.
	best, at := len(all)+1, 0
	for i := range len(all) + 1 {
		wrong := 0
		for j, s := range all {
			if s.kept != (j < i) {
				wrong++
			}
		}
		if wrong < best || wrong == best && i < len(all) {
			best, at = wrong, i
		}
	}
	if at == 0 || at == len(all) {
		return Interval{}, false
	}
	low, high := all[at-1].rate, all[at].rate
	c = Interval{Value: math.Sqrt(low * high), Low: low, High: high}
	for j, s := range all { // the exceptions widen it
		switch {
		case j < at && !s.kept:
			c.Low = math.Min(c.Low, s.rate)
		case j >= at && s.kept:
			c.High = math.Max(c.High, s.rate)
		}
	}
	return c, true
}
