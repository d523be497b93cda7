// Package place is where a benchmark runs: the repository, a directory for its data there, and
// the life of the process.
//
// Not its job: what is measured, results.
//
// In: the working directory, which is somewhere in the repository. Out: a Place.
package place

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

// Place has absolute paths.
type Place struct {
	Repo  string
	Cache string // of the repository: what is fetched once
	Work  string // of this run
}

// Main runs a command until it is done or a signal comes, and ends the process.
func Main(run func(context.Context) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// New finds the repository and makes the directory of this run, on the repository's
// filesystem: a temporary directory may be in memory. Errors are the system's.
func New() (*Place, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return nil, fmt.Errorf("place: where is the repository: %w", err)
	}
	p := &Place{Repo: filepath.Dir(strings.TrimSpace(string(out)))}
	p.Cache = filepath.Join(p.Repo, ".cache")
	if err := os.MkdirAll(p.Cache, 0o755); err != nil {
		return nil, err
	}
	p.Work, err = os.MkdirTemp(p.Cache, "bench-")
	return p, err
}

// Remove takes this run's directory away.
func (p *Place) Remove() { _ = os.RemoveAll(p.Work) }

// Millrace is the broker's program.
func (p *Place) Millrace() string { return filepath.Join(p.Repo, "bin/millrace") }

// Loadgen is the load generator's program.
func (p *Place) Loadgen() string { return filepath.Join(p.Repo, "bin/loadgen") }

// Results is where figures are kept.
func (p *Place) Results() string { return filepath.Join(p.Repo, "bench/results") }
