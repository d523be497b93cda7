package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	"millrace/bench/load"
	"millrace/loadgen"

	"golang.org/x/sys/unix"
)

// ColdPlan is the experiment on what a reader of old data does to writers: paced produce alone,
// then beside a consumer that reads what only the disk has.
type ColdPlan struct {
	Bytes    int64 // written before, and read
	Rounds   int
	Duration time.Duration // of one paced load
	Rate     int           // produce requests per second
	WarmJVM  time.Duration
	Loadgen  string
	Out      io.Writer
}

// ColdRun is one round of one contestant.
type ColdRun struct {
	Contestant          string
	Round               int
	Alone, Beside, Read *load.Report
}

// moved is the figure of merit: the tail's produce p99 beside the reader against alone.
func (r ColdRun) moved() float64 { return r.Beside.Latency.P99 / r.Alone.Latency.P99 }

// quiet says that neither of its paced loads was disturbed; the reader is none of that.
func (r ColdRun) quiet() bool {
	beside := *r.Beside
	beside.Foreign -= r.Read.Client
	return !noisy(r.Alone) && !noisy(&beside)
}

// cost is what reading took of the broker's processor time, per 10⁹ bytes: without what
// the same produce load takes alone.
func (r ColdRun) cost() float64 {
	writing := r.Alone.Broker.CPU / r.Alone.Seconds * r.Read.Seconds
	return (r.Read.Broker.CPU - writing) / float64(r.Read.Bytes) * 1e9
}

// coldAsked is the most that p99 may move.
const coldAsked = 1.2

// Cold is a run of that plan.
type Cold struct {
	Plan    ColdPlan
	Dropped bool // the page cache was emptied before every reader
	Runs    []ColdRun
	all     []*Contestant
	client  client
	end     map[string]int64 // of each partition of what was written
}

// NewCold prepares the experiment on ours, with a fixed memory, and Kafka.
func NewCold(p ColdPlan, all []*Contestant) *Cold {
	return &Cold{Plan: p, all: all, client: client{p.Loadgen}, end: map[string]int64{}}
}

const coldTopic = "bench-cold"

// Measure writes for everybody, and then takes turns.
func (c *Cold) Measure(ctx context.Context) (err error) {
	defer func() {
		for _, x := range c.all {
			if stopErr := x.stop(); err == nil {
				err = stopErr
			}
		}
	}()
	for _, x := range c.all {
		fmt.Fprintf(c.Plan.Out, "starting %s, writing %.1f GB\n", x.Name, float64(c.Plan.Bytes)/1e9)
		if err := x.start(ctx); err != nil {
			return err
		}
		if err := c.fill(ctx, x); err != nil {
			return err
		}
		if x.JVM {
			if _, err := c.produce(ctx, x, c.Plan.WarmJVM); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(c.Plan.Out, "\n  %-5s %-10s %12s %12s %8s %12s %12s %10s %12s\n", "ROUND", "BROKER",
		"ALONE p99", "BESIDE p99", "RATIO", "ALONE p99.9", "BESIDE p99.9", "READ MB/s", "READ CPU/GB")
	for round := range c.Plan.Rounds {
		order := slices.Clone(c.all)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, x := range order {
			if err := c.round(ctx, x, round); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Cold) fill(ctx context.Context, x *Contestant) error {
	_, err := c.client.run(ctx, x, "produce", "--partitions", strconv.Itoa(fillPartitions), "--connections", "4",
		"--in-flight", "16", "--batch", strconv.Itoa(fillRecords), "--size", strconv.Itoa(fillSize),
		"--topic", coldTopic, "--create", "--warmup", "0s", "--duration", "600s", "--max-bytes",
		strconv.FormatInt(c.Plan.Bytes, 10))
	if err != nil {
		return err
	}
	least := int64(1 << 62)
	for p := range int32(fillPartitions) {
		end, err := loadgen.EndOffset(ctx, x.addr, coldTopic, p)
		if err != nil {
			return err
		}
		least = min(least, end)
	}
	c.end[x.Name] = least
	return nil
}

// produce is the paced load at the tail, on a topic of its own.
func (c *Cold) produce(ctx context.Context, x *Contestant, d time.Duration) (*load.Report, error) {
	r, err := c.client.run(ctx, x, "produce", "--partitions", "8", "--connections", "4", "--in-flight", "64",
		"--batch", "64", "--size", "100", "--topic", "bench-tail", "--create", "--delete",
		"--rate", strconv.Itoa(64*c.Plan.Rate), "--duration", d.String(), "--topic-config", spare)
	time.Sleep(2 * time.Second)
	return r, err
}

func (c *Cold) round(ctx context.Context, x *Contestant, round int) error {
	run := ColdRun{Contestant: x.Name, Round: round}
	c.dropCache()
	var err error
	if run.Alone, err = c.produce(ctx, x, c.Plan.Duration); err != nil {
		return err
	}
	c.dropCache()
	read := make(chan error, 1)
	go func() {
		var err error
		run.Read, err = c.client.run(ctx, x, "consume", "--consumers", "4", "--partitions",
			strconv.Itoa(fillPartitions), "--topic", coldTopic, "--from", "0", "--to",
			strconv.FormatInt(c.end[x.Name], 10), "--again", "--warmup", "500ms",
			"--duration", (c.Plan.Duration + 4*time.Second).String())
		read <- err
	}()
	time.Sleep(time.Second)
	run.Beside, err = c.produce(ctx, x, c.Plan.Duration)
	if readErr := <-read; err == nil {
		err = readErr
	}
	if err != nil {
		return err
	}
	c.Runs = append(c.Runs, run)
	mark := ""
	if !run.quiet() {
		mark = " !"
	}
	fmt.Fprintf(c.Plan.Out, "  %-5d %-10s %12s %12s %8.2f %12s %12s %10.0f %12s%s\n", round+1, x.Name,
		number(run.Alone.Latency.P99/1e3), number(run.Beside.Latency.P99/1e3), run.moved(),
		number(run.Alone.Latency.P999/1e3), number(run.Beside.Latency.P999/1e3),
		float64(run.Read.Bytes)/run.Read.Seconds/1e6, number(run.cost()), mark)
	return nil
}

// dropCache empties the page cache, where the right to do so is there: Kafka's old data
// shall come from the disk, too.
func (c *Cold) dropCache() {
	unix.Sync()
	c.Dropped = os.WriteFile("/proc/sys/vm/drop_caches", []byte("1"), 0) == nil
	time.Sleep(time.Second)
}

// Summary prints the medians of the rounds that nobody disturbed, where there are such, against
// what is asked.
func (c *Cold) Summary() {
	fmt.Fprintf(c.Plan.Out, "\n  %-10s %14s %10s %12s\n", "BROKER", "p99 MOVED BY", "READ MB/s", "READ CPU/GB")
	for _, x := range c.all {
		var moved, speed, cost []float64
		other := func(r ColdRun) bool { return r.Contestant != x.Name }
		runs := slices.DeleteFunc(slices.Clone(c.Runs), other)
		quiet := slices.ContainsFunc(runs, ColdRun.quiet)
		for _, r := range runs {
			if !quiet || r.quiet() {
				moved = append(moved, r.moved())
				speed = append(speed, float64(r.Read.Bytes)/r.Read.Seconds/1e6)
				cost = append(cost, r.cost())
			}
		}
		verdict := ""
		if x.Name == Ours {
			verdict = "asked ≤ 20 %: met"
			if median(moved) > coldAsked {
				verdict = "asked ≤ 20 %: MISSED"
			}
		}
		fmt.Fprintf(c.Plan.Out, "  %-10s %13.0f%% %10.0f %12s  %s\n", x.Name, (median(moved)-1)*100,
			median(speed), number(median(cost)), verdict)
	}
	if !c.Dropped {
		fmt.Fprintln(c.Plan.Out, "  (the page cache could not be emptied: what Kafka read may have been in memory)")
	}
}

// Save writes the raw figures.
func (c *Cold) Save(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	data, err := json.MarshalIndent(struct {
		When, Machine string
		Bytes         int64
		Rate          int
		Seconds       float64
		CacheDropped  bool
		Runs          []ColdRun
	}{time.Now().UTC().Format(time.RFC3339), fmt.Sprintf("%d processors", runtime.NumCPU()),
		c.Plan.Bytes, c.Plan.Rate, c.Plan.Duration.Seconds(), c.Dropped, c.Runs}, "", " ")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "cold.json")
	return path, os.WriteFile(path, append(data, '\n'), 0o644)
}
