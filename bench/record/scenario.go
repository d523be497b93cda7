package record

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"millrace/loadgen/result"
	"millrace/loadgen/view"
)

// Scenario is one load of a scenario file, run by bin/loadgen as a process of its own.
type Scenario struct {
	File, Only string
	Args       []string // more options
	Rate       *RateOf  // in place of the file's
}

// RateOf is a rate that depends on what a side has reached under another load.
type RateOf struct {
	Load, Side string
	Share      float64
}

// Command is what a person types for it, without addresses.
func (s Scenario) Command() string {
	words := []string{"bin/loadgen run", "bench/scenarios/" + s.File, "--only " + s.Only}
	if s.Rate != nil {
		words = append(words, fmt.Sprintf("--rate %.0f%%-of-%s", s.Rate.Share*100, s.Rate.Load))
	}
	return strings.Join(append(words, s.Args...), " ")
}

// Measure makes one run of it.
func (s Scenario) Measure(ctx context.Context, c *Course, l *Load, side *Side, _ int) (*Sample, error) {
	args := s.Args
	if s.Rate != nil {
		rate, err := c.rate(l, s.Rate)
		if err != nil {
			return nil, err
		}
		if rate == 0 {
			return &Sample{Failed: s.Rate.Load + " has no figure to go by"}, nil
		}
		args = append([]string{"--rate", strconv.FormatFloat(rate, 'f', 0, 64)}, args...)
	}
	return c.Load(ctx, side, s.File, s.Only, append([]string{"--warmup", c.Warmup.String(),
		"--duration", c.For(l).String()}, args...)...)
}

// rate is the same for all runs of a load, also in a later start.
func (c *Course) rate(l *Load, of *RateOf) (float64, error) {
	if v, given := c.Store.Rate(l.Name); given {
		return v, nil
	}
	var all []float64
	for _, s := range c.Store.Samples {
		if s.Load == of.Load && s.Side == of.Side && s.Failed == "" && s.Run != nil && s.Run.Seconds > 0 {
			all = append(all, float64(messages(s.Run))/s.Run.Seconds)
		}
	}
	if len(all) == 0 {
		return 0, nil
	}
	v := view.NewValue(of.Side, all).Median * of.Share
	return v, c.Store.KeepRate(l.Name, v)
}

// Load runs one load of a scenario on a side; what went wrong with it is in the sample.
func (c *Course) Load(ctx context.Context, side *Side, file, only string, args ...string) (*Sample, error) {
	return c.LoadAt(ctx, side.Addr(), side.Pid(), file, only, args...)
}

// patience is how much longer than its duration a load may take.
const patience = 10 * time.Minute

// LoadAt runs it on a broker that is no standing side.
func (c *Course) LoadAt(ctx context.Context, addr string, pid int, file, only string,
	args ...string) (*Sample, error) {
	dir, err := os.MkdirTemp(c.Work, "load-")
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	defer os.RemoveAll(dir)
	argv := []string{"run", "bench/scenarios/" + file, "--only", only}
	argv = append(argv, args...)
	sample := &Sample{Command: "bin/loadgen " + strings.Join(argv, " ")}
	argv = append(argv, "--brokers", addr, "--broker-pid", strconv.Itoa(pid), "--dir", dir, "--quiet")
	if c.Limits != nil {
		argv = append(argv, "--limits", c.Store.File("limits", "json"))
	}
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(bounded, c.Loadgen(), argv...)
	cmd.Dir = c.Repo
	var errs strings.Builder
	cmd.Stderr = &errs
	runErr := cmd.Run()
	const void = 3 // what loadgen ends with when it has been late itself
	r, err := result.ReadFile(filepath.Join(dir, only+".json"))
	if err != nil {
		return sample.fail(runErr, errs.String(), err), nil
	}
	var exit *exec.ExitError
	// A broker that did not hold the rate has figures: what was not answered counts with the time
	// until then.
	behind := strings.Contains(r.Partial, "after the end of the measurement") && messages(r) > 0 &&
		ctx.Err() == nil && !slices.ContainsFunc(r.Errors, func(e result.ErrorCount) bool {
		return e.Name != "no answer"
	})
	if runErr != nil && !behind && !(errors.As(runErr, &exit) && exit.ExitCode() == void) {
		return sample.fail(runErr, errs.String(), nil), nil
	}
	slim(r)
	r.Command, r.Host.Name = strings.Fields(sample.Command), ""
	if r.Host.Disk != nil {
		r.Host.Disk.Directory = "."
	}
	sample.Run, sample.Disturbed = r, Disturbance(r.Machine, r.Seconds)
	return sample, nil
}

// fail notes why there is no figure: what the program said first, else why it ended.
func (s *Sample) fail(runErr error, said string, readErr error) *Sample {
	s.Failed, _, _ = strings.Cut(strings.TrimSpace(said), "\n")
	if s.Failed == "" {
		s.Failed = fmt.Sprint(errors.Join(runErr, readErr))
	}
	return s
}
