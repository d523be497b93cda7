package bench

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"millrace/bench/load"
)

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// interval is the bootstrap 95 % interval of the median.
func interval(v []float64) (low, high float64) {
	rnd := rand.New(rand.NewSource(1))
	medians := make([]float64, 2000)
	pick := make([]float64, len(v))
	for i := range medians {
		for k := range pick {
			pick[k] = v[rnd.Intn(len(v))]
		}
		medians[i] = median(pick)
	}
	slices.Sort(medians)
	return medians[50], medians[1949]
}

func (c *Campaign) header() {
	c.say("  %-5s %-12s", "ROUND", "BROKER")
	for _, f := range figures {
		c.say(" %12s", strings.ToUpper(f.name))
	}
	c.say(" %8s %7s %7s %6s\n", "RSS MB", "CLIENT", "FOREIGN", "STEAL")
}

// noisy says that other processes or the hypervisor took more than a twentieth of a core.
func noisy(r *load.Report) bool {
	return r.Foreign > r.Seconds/20 || r.Steal > r.Seconds/50
}

// row prints one run; CLIENT, FOREIGN (user time of other processes) and STEAL are shares of one
// core. A run with a "!" was disturbed.
func (c *Campaign) row(run Run) {
	r := run.Report
	c.say("  %-5d %-12s", run.Round+1, run.Contestant)
	for _, f := range figures {
		c.say(" %12s", number(f.of(r)))
	}
	mark := ""
	if noisy(r) {
		mark = " !"
	}
	c.say(" %8d %7.2f %7.2f %6.2f%s\n", r.Broker.RSS>>20, r.Client/r.Seconds,
		r.Foreign/r.Seconds, r.Steal/r.Seconds, mark)
}

func number(v float64) string {
	switch {
	case v == 0:
		return "-"
	case v >= 1000:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// Verdict is one asked figure with what was measured.
type Verdict struct {
	Load, Figure, Ours, Theirs string
	OursMedian, TheirsMedian   float64
	Ratio, Low, High           float64 // median of the pairs' ratios and its 95 % interval
	Pairs                      []float64
	Disturbed                  int // pairs left out, or all when none was quiet: see Quiet
	Quiet                      bool
	Required, Goal             float64
	More                       bool
	Met, GoalMet               bool
}

// Verdicts judges every asked figure by the median of its pairs: the runs of one round.
func (c *Campaign) Verdicts() []Verdict {
	var out []Verdict
	for _, l := range c.loads {
		for _, a := range l.asked {
			v := Verdict{Load: l.Name, Figure: a.Figure, Ours: a.Ours, Theirs: a.Theirs,
				Required: a.Required, Goal: a.Goal, More: a.More}
			ours, theirs := c.pairs(&v, l.Name, a, true)
			if v.Quiet = len(ours) > 0; !v.Quiet {
				ours, theirs = c.pairs(&v, l.Name, a, false)
			}
			if len(ours) == 0 {
				continue
			}
			v.OursMedian, v.TheirsMedian = median(ours), median(theirs)
			v.Ratio = median(v.Pairs)
			v.Low, v.High = interval(v.Pairs)
			v.Met = v.Ratio <= a.Required && !a.More || v.Ratio >= a.Required && a.More
			v.GoalMet = v.Ratio <= a.Goal && !a.More || v.Ratio >= a.Goal && a.More
			out = append(out, v)
		}
	}
	return out
}

// pairs collects one figure of both sides of every round, the disturbed rounds left out if asked.
func (c *Campaign) pairs(v *Verdict, load string, a Asked, quiet bool) (ours, theirs []float64) {
	v.Pairs, v.Disturbed = nil, 0
	for round := range c.plan.Rounds {
		o, t := c.find(load, a.Ours, round), c.find(load, a.Theirs, round)
		if o == nil || t == nil || figure(a.Figure, t) <= 0 {
			continue
		}
		if noisy(o) || noisy(t) {
			v.Disturbed++
			if quiet {
				continue
			}
		}
		ours, theirs = append(ours, figure(a.Figure, o)), append(theirs, figure(a.Figure, t))
		v.Pairs = append(v.Pairs, figure(a.Figure, o)/figure(a.Figure, t))
	}
	return ours, theirs
}

func (c *Campaign) find(load, contestant string, round int) *load.Report {
	for _, r := range c.Runs {
		if r.Load == load && r.Contestant == contestant && r.Round == round {
			return r.Report
		}
	}
	return nil
}

// Summary prints the verdicts.
func (c *Campaign) Summary() {
	for _, name := range c.order {
		c.say("\n%-12s %s", name, c.contestants[name].Note)
	}
	c.say("\nclient and brokers on the same %d cores, over loopback\n", cpus())
	c.say("\n%-8s %-12s %-24s %11s %11s %8s %17s %9s %9s  %s\n", "LOAD", "FIGURE", "PAIR", "OURS",
		"THEIRS", "RATIO", "95 % INTERVAL", "REQUIRED", "GOAL", "")
	for _, v := range c.Verdicts() {
		word, sign := "missed", "≤"
		if v.More {
			sign = "≥"
		}
		switch {
		case v.GoalMet:
			word = "goal met"
		case v.Met:
			word = "met"
		}
		switch {
		case !v.Quiet:
			word += ", but every pair was disturbed by other processes"
		case v.Disturbed > 0:
			word += fmt.Sprintf(", %d disturbed pairs left out", v.Disturbed)
		}
		c.say("%-8s %-12s %-24s %11s %11s %8s %8s…%-8s %s%8s %s%8s  %s\n", v.Load, v.Figure,
			v.Ours+" / "+v.Theirs, number(v.OursMedian), number(v.TheirsMedian), number(v.Ratio),
			number(v.Low), number(v.High), sign, number(v.Required), sign, number(v.Goal), word)
	}
}

// Save writes everything as JSON.
func (c *Campaign) Save(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, c.plan.Command+".json")
	notes := map[string]string{}
	for _, name := range c.order {
		notes[name] = c.contestants[name].Note
	}
	data, err := json.MarshalIndent(map[string]any{
		"command": c.plan.Command, "time": time.Now().UTC().Format(time.RFC3339),
		"machine": machine(), "contestants": notes, "rounds": c.plan.Rounds,
		"seconds": c.plan.Duration.Seconds(), "runs": c.Runs, "journal_wraps": c.Wraps,
		"verdicts": c.Verdicts(),
	}, "", " ")
	if err != nil {
		return "", err
	}
	return path, os.WriteFile(path, append(data, '\n'), 0o644)
}

// machine names what the figures were measured on.
func machine() map[string]string {
	out := map[string]string{"cpus": fmt.Sprint(cpus())}
	if data, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		out["kernel"] = strings.TrimSpace(string(data))
	}
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for _, line := range strings.Split(string(data), "\n") {
			if name, ok := strings.CutPrefix(line, "model name"); ok {
				out["cpu"] = strings.TrimLeft(name, "\t: ")
				break
			}
		}
	}
	return out
}

func cpus() int {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return 0
	}
	return strings.Count("\n"+string(data), "\nprocessor\t")
}
