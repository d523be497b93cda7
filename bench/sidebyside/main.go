// Command sidebyside runs the benchmarks against a real Apache Kafka.
//
//	sidebyside produce|fetch|e2e
//
// Environment: QUICK=1 (a few seconds a load, for development), ONLY=load,load, ROUNDS=n,
// MILLRACE_ARGS (more arguments of the broker).
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"millrace/bench"
	"millrace/bench/kafka"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	if len(os.Args) != 2 || bench.Loads(os.Args[1]) == nil {
		return fmt.Errorf("usage: sidebyside produce|fetch|e2e")
	}
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return err
	}
	repo := filepath.Dir(strings.TrimSpace(string(out)))
	plan := bench.Plan{Command: os.Args[1], Rounds: 6, Duration: 10 * time.Second,
		WarmJVM: 60 * time.Second, Settle: 2 * time.Second, Backlog: 5_000_000_000,
		Loadgen: filepath.Join(repo, "bin/loadgen"), Out: os.Stdout}
	if os.Getenv("QUICK") != "" {
		plan.Rounds, plan.Duration, plan.WarmJVM = 2, 3*time.Second, 6*time.Second
		plan.Settle, plan.Backlog = time.Second, 2_000_000_000
	}
	if n, err := strconv.Atoi(os.Getenv("ROUNDS")); err == nil && n > 0 {
		plan.Rounds = n
	}
	if only := os.Getenv("ONLY"); only != "" {
		plan.Only = strings.Split(only, ",")
	}
	jars, err := kafka.Fetch(ctx, filepath.Join(repo, ".cache"))
	if err != nil {
		return err
	}
	// On the repository's filesystem: a temporary directory may be in memory.
	if err := os.MkdirAll(filepath.Join(repo, ".cache"), 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Join(repo, ".cache"), "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	c := bench.New(plan, contestants(repo, work, jars))
	measureErr := c.Measure(ctx)
	if len(c.Runs) == 0 {
		return measureErr
	}
	c.Summary()
	path, err := c.Save(filepath.Join(repo, "bench/results"))
	if err == nil {
		fmt.Printf("\nraw figures in %s\n", path)
	}
	if measureErr != nil {
		return measureErr
	}
	return err
}

func contestants(repo, work string, jars *kafka.Jars) []*bench.Contestant {
	binary := filepath.Join(repo, "bin/millrace")
	args := strings.Fields(os.Getenv("MILLRACE_ARGS"))
	// Two that each take what memory there is would shrink each other.
	other := append([]string{"--cores", strconv.Itoa(bench.OtherCores()), "--set",
		"memory.bytes=2147483648"}, args...)
	return []*bench.Contestant{
		bench.Millrace(binary, filepath.Join(work, bench.Ours), bench.Ours, args...),
		bench.Millrace(binary, filepath.Join(work, bench.OursOther), bench.OursOther, other...),
		bench.Kafka(jars, filepath.Join(work, bench.Theirs), bench.Theirs,
			"Apache Kafka "+kafka.Version+", default configuration (page cache), heap 1 GB", nil),
		bench.Kafka(jars, filepath.Join(work, bench.TheirsSyn), bench.TheirsSyn,
			"Apache Kafka "+kafka.Version+", flush of every message set, heap 1 GB",
			map[string]string{"log.flush.interval.messages": "1"}),
	}
}
