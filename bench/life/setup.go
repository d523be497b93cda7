package life

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"millrace/bench/kafka"
	"millrace/bench/load"
	"millrace/bench/place"
)

// Setup is what a benchmark of this kind runs with.
type Setup struct {
	*place.Place
	Quick  bool     // QUICK=1: a tenth of everything
	Only   []string // ONLY=part,part
	Jars   *kafka.Jars
	Report *Report
}

// NewSetup reads the environment and makes a directory on the repository's file system.
// KAFKA=0 leaves Kafka out.
func NewSetup(ctx context.Context) (*Setup, func(), error) {
	p, err := place.New()
	if err != nil {
		return nil, nil, err
	}
	s := &Setup{Place: p, Quick: os.Getenv("QUICK") != "", Report: &Report{Out: os.Stdout}}
	if only := os.Getenv("ONLY"); only != "" {
		s.Only = strings.Split(only, ",")
	}
	if os.Getenv("KAFKA") != "0" {
		if s.Jars, err = kafka.Fetch(ctx, p.Cache); err != nil {
			p.Remove()
			return nil, nil, err
		}
	}
	return s, p.Remove, nil
}

// Wants says whether a part was asked for.
func (s *Setup) Wants(part string) bool {
	return len(s.Only) == 0 || slices.Contains(s.Only, part)
}

// Save writes the figures to bench/results/name.json; those of a part alone to a file of
// their own, and those of a quick run, which nobody should quote, nowhere.
func (s *Setup) Save(name string) error {
	if s.Quick {
		return nil
	}
	if len(s.Only) > 0 {
		name += "-" + strings.Join(s.Only, "-")
	}
	return s.Report.Save(s.Results(), name)
}

// Scale is n, or a tenth of it.
func (s *Setup) Scale(n int) int {
	if s.Quick {
		return max(n/10, 1)
	}
	return n
}

// Ours makes a node of our broker. MILLRACE_ARGS has more arguments.
func (s *Setup) Ours(name string, args ...string) *Node {
	args = append(args, strings.Fields(os.Getenv("MILLRACE_ARGS"))...)
	return Millrace(binary("MILLRACE", s.Millrace()), filepath.Join(s.Work, name), "millrace",
		args...)
}

// Theirs makes a node of Apache Kafka, nil without one.
func (s *Setup) Theirs(name string, extra map[string]string) *Node {
	if s.Jars == nil {
		return nil
	}
	return Kafka(s.Jars, filepath.Join(s.Work, name), "kafka", extra)
}

// Loadgen is the load generator's program.
func (s *Setup) Loadgen() string { return binary("LOADGEN", s.Place.Loadgen()) }

func binary(variable, otherwise string) string {
	if v := os.Getenv(variable); v != "" {
		return v
	}
	return otherwise
}

// Load runs loadgen as a process of its own.
func (s *Setup) Load(ctx context.Context, n *Node, args ...string) (*load.Report, error) {
	r, err := load.Run(ctx, s.Loadgen(), n.Addr, n.Pid(), args...)
	if err != nil {
		return nil, fmt.Errorf("life: %s: %w", n.Name, err)
	}
	return r, nil
}

// Settle lets the disk come to rest.
func (s *Setup) Settle() { _ = exec.Command("sync").Run() }

// Wait is the minute after which memory is looked at; a few seconds when quick.
func (s *Setup) Wait() time.Duration {
	if s.Quick {
		return 6 * time.Second
	}
	return time.Minute
}
