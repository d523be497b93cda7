// Command sidebyside runs the benchmarks against a real Apache Kafka.
//
//	sidebyside produce|fetch|e2e|cold
//
// Environment: QUICK=1 (a few seconds a load, for development), ONLY=load,load, ROUNDS=n,
// MILLRACE_ARGS (more arguments of the broker).
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"millrace/bench"
	"millrace/bench/kafka"
	"millrace/bench/place"
)

func main() { place.Main(run) }

func run(ctx context.Context) error {
	if len(os.Args) != 2 || bench.Loads(os.Args[1]) == nil && os.Args[1] != "cold" {
		return fmt.Errorf("usage: sidebyside produce|fetch|e2e|cold")
	}
	at, err := place.New()
	if err != nil {
		return err
	}
	defer at.Remove()
	plan := bench.Plan{Command: os.Args[1], Rounds: 6, Duration: 10 * time.Second,
		WarmJVM: 60 * time.Second, Settle: 2 * time.Second, Backlog: 5_000_000_000,
		Loadgen: at.Loadgen(), Out: os.Stdout}
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
	jars, err := kafka.Fetch(ctx, at.Cache)
	if err != nil {
		return err
	}
	if plan.Command == "cold" {
		return cold(ctx, plan, at, jars)
	}
	c := bench.New(plan, contestants(at, jars))
	measureErr := c.Measure(ctx)
	if len(c.Runs) == 0 {
		return measureErr
	}
	c.Summary()
	path, err := c.Save(at.Results())
	if err == nil {
		fmt.Printf("\nraw figures in %s\n", path)
	}
	if measureErr != nil {
		return measureErr
	}
	return err
}

func contestants(at *place.Place, jars *kafka.Jars) []*bench.Contestant {
	binary, work := at.Millrace(), at.Work
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

// cold measures what a reader of old data does to writers. Ours has a fixed memory, so
// that what is read is old for it.
func cold(ctx context.Context, p bench.Plan, at *place.Place, jars *kafka.Jars) error {
	plan := bench.ColdPlan{Bytes: 20_000_000_000, Rounds: 4, Duration: 20 * time.Second, Rate: 2000,
		WarmJVM: 30 * time.Second, Loadgen: p.Loadgen, Out: p.Out}
	if os.Getenv("QUICK") != "" {
		plan.Bytes, plan.Rounds, plan.Duration = 4_000_000_000, 2, 5*time.Second
		plan.WarmJVM = 6 * time.Second
	}
	if os.Getenv("ROUNDS") != "" {
		plan.Rounds = p.Rounds
	}
	if gb, err := strconv.ParseInt(os.Getenv("GB"), 10, 64); err == nil && gb > 0 {
		plan.Bytes = gb * 1_000_000_000
	}
	args := append([]string{"--set", "memory.bytes=1073741824"},
		strings.Fields(os.Getenv("MILLRACE_ARGS"))...)
	c := bench.NewCold(plan, []*bench.Contestant{
		bench.Millrace(at.Millrace(), filepath.Join(at.Work, bench.Ours),
			bench.Ours, args...),
		bench.Kafka(jars, filepath.Join(at.Work, bench.Theirs), bench.Theirs,
			"Apache Kafka "+kafka.Version+", default configuration (page cache), heap 1 GB", nil),
	})
	err := c.Measure(ctx)
	if len(c.Runs) == 0 {
		return err
	}
	c.Summary()
	path, saveErr := c.Save(at.Results())
	if saveErr == nil {
		fmt.Printf("\nraw figures in %s\n", path)
	}
	if err != nil {
		return err
	}
	return saveErr
}
