package record

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"millrace/bench"
	"millrace/loadgen/limits"
)

// Course is a plan on its way.
type Course struct {
	*Plan
	Store  *Store
	Limits *limits.Limits
	loads  []*Load
	sides  []*Side

	began   time.Time
	up      map[string]bool // sides that run
	before  map[string]bool // what was done once in this start
	spent   time.Duration   // on runs
	runs    int
	stopped string // why there are fewer pairs than planned
}

// NewCourse opens the store of p's runs by the programs as they are.
func NewCourse(ctx context.Context, p *Plan, sides []*Side, loads []*Load) (*Course, error) {
	programs := []string{}
	for _, name := range []string{"millrace", "loadgen"} {
		id, err := Program(ctx, p.Repo, name)
		if err != nil {
			return nil, err
		}
		programs = append(programs, id)
	}
	store, err := OpenStore(p.Cache+"/record/"+p.id(), p.comparable(programs), p.Fresh)
	if err != nil {
		return nil, err
	}
	return &Course{Plan: p, Store: store, loads: loads, sides: sides, began: time.Now(),
		up: map[string]bool{}, before: map[string]bool{}}, nil
}

// Say prints what is going on.
func (c *Course) Say(format string, args ...any) { fmt.Fprintf(c.Out, format, args...) }

// Side finds one by its name.
func (c *Course) Side(name string) *Side {
	i := slices.IndexFunc(c.sides, func(s *Side) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return c.sides[i]
}

// Once says whether something was done before in this start, and notes that it is now.
func (c *Course) Once(what string) bool {
	was := c.before[what]
	c.before[what] = true
	return was
}

// Run measures what the plan still lacks. What was measured is in the store also when it ends with
// an error, or early.
func (c *Course) Run(ctx context.Context) error {
	standing, alone := c.lacking(false), c.lacking(true)
	if len(standing)+len(alone) == 0 {
		c.Say("everything has been measured; FRESH=1 begins anew\n")
		return nil
	}
	c.estimate(append(slices.Clone(standing), alone...))
	if err := c.hostLimits(ctx); err != nil {
		return err
	}
	err := c.standing(ctx, standing)
	if stopErr := c.stopAll(); err == nil {
		err = stopErr
	}
	if err == nil {
		err = c.rounds(ctx, alone)
	}
	if errors.Is(err, errBudget) {
		c.stopped = fmt.Sprintf("the %v that it might take were over", c.Budget)
		c.Say("\n%s; the same command again goes on from here\n", c.stopped)
		return nil
	}
	return err
}

func (c *Course) standing(ctx context.Context, loads []*Load) error {
	if len(loads) == 0 {
		return nil
	}
	for _, s := range c.sides {
		if !slices.ContainsFunc(loads, func(l *Load) bool { return slices.Contains(l.Sides, s.Name) }) {
			continue
		}
		c.Say("starting %s\n", s.Name)
		if err := s.Start(ctx); err != nil {
			return err
		}
		c.up[s.Name] = true
	}
	for _, s := range c.sides {
		if !c.up[s.Name] {
			continue
		}
		if s.JVM {
			c.Say("warming %s for %v\n", s.Name, c.WarmJVM)
		}
		if err := c.Warm(ctx, c, s); err != nil {
			return err
		}
	}
	return c.rounds(ctx, loads)
}

func (c *Course) stopAll() (err error) {
	for _, s := range c.sides {
		if c.up[s.Name] {
			err = errors.Join(err, s.Stop())
			delete(c.up, s.Name)
		}
	}
	return err
}

// rounds is C3: all loads once, then again; behind them what did not count.
func (c *Course) rounds(ctx context.Context, loads []*Load) error {
	for round := range c.Rounds + c.MaxRepeats {
		for _, l := range loads {
			if round < c.Rounds {
				if round < c.roundsOf(l) && !c.whole(l, round) {
					if err := c.round(ctx, l, round, l.Sides); err != nil {
						return err
					}
				}
				continue
			}
			// Ours is the first side, and half of every pair.
			if lack := c.shortOf(l); len(lack) > 0 && c.Store.Find(l.Name, l.Sides[0], round) == nil {
				if err := c.round(ctx, l, round, lack); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (c *Course) roundsOf(l *Load) int {
	if l.MaxRounds > 0 {
		return min(l.MaxRounds, c.Rounds)
	}
	return c.Rounds
}

// whole says whether all sides have had their turn in a round.
func (c *Course) whole(l *Load, round int) bool {
	for _, name := range l.Sides {
		if c.Store.Find(l.Name, name, round) == nil {
			return false
		}
	}
	return true
}

// lacking are the loads of the plan for which something is left to do, even if only repeats.
func (c *Course) lacking(alone bool) (out []*Load) {
	for _, l := range c.loads {
		if !c.Has(l) || l.Alone != alone {
			continue
		}
		missing := false
		for round := range c.roundsOf(l) {
			missing = missing || !c.whole(l, round)
		}
		repeated := c.Store.Find(l.Name, l.Sides[0], c.Rounds+c.MaxRepeats-1) != nil
		if missing || len(c.shortOf(l)) > 0 && !repeated {
			out = append(out, l)
		}
	}
	return out
}

// shortOf are the sides that a load's repeat needs: of pairs of which too few count (C4).
func (c *Course) shortOf(l *Load) []string {
	if len(l.Sides) < 2 || c.Keep {
		return nil
	}
	need := map[string]bool{}
	for _, p := range pairs(c.sides, l) {
		if c.count(l, p) < c.roundsOf(l) {
			need[p.ours], need[p.theirs] = true, true
		}
	}
	if len(need) == 0 {
		return nil
	}
	need[l.Sides[0]] = true
	return slices.DeleteFunc(slices.Clone(l.Sides), func(name string) bool { return !need[name] })
}

func (c *Course) count(l *Load, p pair) (n int) {
	for round := range c.Rounds + c.MaxRepeats {
		ours, theirs := c.Store.Find(l.Name, p.ours, round), c.Store.Find(l.Name, p.theirs, round)
		if ours != nil && theirs != nil && ours.counts(false) && theirs.counts(false) {
			n++
		}
	}
	return n
}

var errBudget = errors.New("record: no time is left")

// round gives each side its turn, every second time in reverse order (ABBA).
func (c *Course) round(ctx context.Context, l *Load, round int, sides []string) error {
	if c.Budget > 0 {
		need := time.Duration(len(sides)) * c.each(l)
		if time.Since(c.began)+need > c.Budget {
			return errBudget
		}
	}
	c.Say("\nrow %d, %s, round %d\n", l.Row, l.Title, round+1)
	order := slices.Clone(sides)
	if round%2 == 1 {
		slices.Reverse(order)
	}
	var samples []*Sample
	for _, name := range order {
		side := c.Side(name)
		begin := time.Now()
		if l.Before != nil && !c.Once(l.Name+" "+name) {
			if err := l.Before(ctx, c, side); err != nil {
				return err
			}
		}
		s, err := l.Measure(ctx, c, l, side, round)
		if err != nil {
			return err
		}
		if ctx.Err() != nil { // what a signal cut short is no figure
			return ctx.Err()
		}
		s.Load, s.Side, s.Round = l.Name, name, round
		c.row(l, s)
		samples = append(samples, s)
		bench.Rest(c.Settle, c.Patience)
		c.spent, c.runs = c.spent+time.Since(begin), c.runs+1
	}
	for _, s := range samples { // a round that was cut short leaves nothing (C1)
		if err := c.Store.Keep(s); err != nil {
			return err
		}
	}
	return nil
}

// each is what a run of a load takes, by experience when there is some.
func (c *Course) each(l *Load) time.Duration {
	planned := c.For(l) + c.Warmup + c.Settle + 3*time.Second
	if c.runs == 0 || l.Alone {
		return planned
	}
	return max(planned, c.spent/time.Duration(c.runs))
}

func (c *Course) estimate(loads []*Load) {
	total := time.Duration(0)
	runs := 0
	for _, l := range loads {
		for round := range c.roundsOf(l) {
			if !c.whole(l, round) {
				runs += len(l.Sides)
				total += time.Duration(len(l.Sides)) * c.each(l)
			}
		}
	}
	for _, s := range c.sides {
		if s.JVM {
			total += c.WarmJVM + 10*time.Second
		}
	}
	c.Say("%s: %d loads, %d runs, about %v", c.id(), len(loads), runs, total.Round(time.Minute))
	if c.Budget > 0 {
		c.Say("; it ends after %v at the latest", c.Budget)
	}
	c.Say("\n")
}

// hostLimits measures the host's limits once for all runs of a store.
func (c *Course) hostLimits(ctx context.Context) error {
	path := c.Store.File("limits", "json")
	l, err := limits.ReadFile(path)
	if err != nil {
		c.Say("measuring the host's limits\n")
		if l, err = limits.Measure(ctx, limits.Quick(c.Work)); err != nil {
			return err
		}
		if err := l.WriteFile(path); err != nil {
			return err
		}
	}
	c.Limits = l
	return nil
}

// row prints one run.
func (c *Course) row(l *Load, s *Sample) {
	c.Say("  %-16s", s.Side)
	if s.Failed != "" {
		c.Say(" FAILED: %s\n", s.Failed)
		return
	}
	for _, a := range l.Figures {
		if f := find(a.Figure); f != nil {
			v := viewRow(f)
			c.Say("  %s %s", a.Figure, v.Show(f.Of(s)))
		}
	}
	switch {
	case s.Disturbed != "":
		c.Say("  ! %s", s.Disturbed)
	case s.Void() != "":
		c.Say("  ! %s", s.Void())
	}
	c.Say("\n")
}
