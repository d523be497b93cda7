package bench

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"millrace/bench/load"
	"millrace/loadgen"

	"golang.org/x/sys/unix"
)

// Plan says how long and how often.
type Plan struct {
	Command  string
	Only     []string // names of loads; all when empty
	Rounds   int      // each is one run of every contestant; odd ones in reverse order
	Duration time.Duration
	WarmJVM  time.Duration
	Settle   time.Duration // after each run
	Backlog  int64         // bytes between a reader behind and the end
	Loadgen  string        // binary
	Out      io.Writer
}

// Run is one load on one contestant.
type Run struct {
	Load, Contestant string
	Round            int
	Report           *load.Report
}

// Campaign is what a plan has measured.
type Campaign struct {
	plan        Plan
	loads       []Load
	contestants map[string]*Contestant
	order       []string
	client      client
	topics      int
	written     map[string]int64 // fetch: end offset of each partition of the filled topic
	Runs        []Run
	Wraps       map[string]float64 // journal bytes written ÷ journal size, by load
}

// New prepares a campaign over the contestants it needs.
func New(p Plan, all []*Contestant) *Campaign {
	c := &Campaign{plan: p, contestants: map[string]*Contestant{}, client: client{p.Loadgen},
		written: map[string]int64{}, Wraps: map[string]float64{}}
	needed := map[string]bool{}
	for _, l := range Loads(p.Command) {
		if len(p.Only) == 0 || slices.Contains(p.Only, l.Name) {
			c.loads = append(c.loads, l)
			for _, name := range l.against {
				needed[name] = true
			}
		}
	}
	for _, x := range all {
		if needed[x.Name] {
			c.contestants[x.Name] = x
			c.order = append(c.order, x.Name)
		}
	}
	return c
}

// Measure starts everybody, warms the JVMs and runs the loads.
func (c *Campaign) Measure(ctx context.Context) (err error) {
	defer func() {
		for _, x := range c.contestants {
			if stopErr := x.stop(); err == nil {
				err = stopErr
			}
		}
	}()
	for _, name := range c.order {
		c.say("starting %s\n", name)
		if err := c.contestants[name].start(ctx); err != nil {
			return err
		}
	}
	for _, name := range c.order {
		if err := c.warm(ctx, c.contestants[name]); err != nil {
			return err
		}
	}
	for _, l := range c.loads {
		if err := c.runLoad(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

func (c *Campaign) say(format string, args ...any) { fmt.Fprintf(c.plan.Out, format, args...) }

func (c *Campaign) topic() string {
	c.topics++
	return fmt.Sprintf("bench-%d", c.topics)
}

// warm puts every kind of load of this command on a contestant, a JVM for a minute.
func (c *Campaign) warm(ctx context.Context, x *Contestant) error {
	total := 2 * time.Second
	if x.JVM {
		total = c.plan.WarmJVM
	}
	c.say("warming %s for %v\n", x.Name, total)
	kinds := [][]string{produceLoads[0].args, produceLoads[1].args, endToEndLoads[0].args}
	if c.plan.Command == "fetch" {
		kinds = kinds[:1] // fetching itself is warmed on the written topic
	}
	for _, args := range kinds {
		share := max(total/time.Duration(len(kinds)), time.Second)
		if _, err := c.once(ctx, x, args, spare, share, 0); err != nil {
			return err
		}
	}
	return nil
}

// once runs a load on a new topic and removes it.
func (c *Campaign) once(ctx context.Context, x *Contestant, args []string, config string,
	d time.Duration, rate float64) (*load.Report, error) {
	argv := append(slices.Clone(args), "--topic", c.topic(), "--create", "--delete",
		"--duration", d.String())
	if config != "" {
		argv = append(argv, "--topic-config", config)
	}
	if rate > 0 {
		argv = append(argv, "--rate", strconv.FormatFloat(rate, 'f', 0, 64))
	}
	r, err := c.client.run(ctx, x, argv...)
	c.settle()
	return r, err
}

// settle lets deleted files go and the disk come to rest (B2): where freed blocks are
// discarded, removing gigabytes occupies a disk for seconds.
func (c *Campaign) settle() {
	time.Sleep(c.plan.Settle)
	unix.Sync()
	awaitDisks(disksRest, disksPatience)
}

// runLoad gives every contestant its turns under one load, in ABBA order.
func (c *Campaign) runLoad(ctx context.Context, l Load) error {
	c.say("\n%s: %s\n", l.Name, l.Caption)
	d := c.plan.Duration
	if l.duration > d && d >= 10*time.Second {
		d = l.duration
	}
	rate := 0.0
	if l.half {
		max, err := c.kafkaMax(ctx)
		if err != nil {
			return err
		}
		rate = max / 2
		c.say("Kafka's maximum is %.0f messages/s; paced at %.0f\n", max, rate)
	}
	if l.fetch != "" {
		if err := c.fill(ctx, l); err != nil {
			return err
		}
	}
	before := map[string]float64{}
	for _, name := range l.against {
		before[name], _ = c.contestants[name].journal()
	}
	c.header()
	for round := range c.plan.Rounds {
		order := slices.Clone(l.against)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, name := range order {
			x := c.contestants[name]
			var r *load.Report
			var err error
			if l.fetch != "" {
				r, err = c.fetch(ctx, x, l, round, d)
			} else {
				r, err = c.once(ctx, x, l.args, l.config, d, rate)
			}
			if err != nil {
				return err
			}
			run := Run{l.Name, name, round, r}
			c.Runs = append(c.Runs, run)
			c.row(run)
		}
	}
	for _, name := range l.against {
		if written, size := c.contestants[name].journal(); size > 0 {
			c.Wraps[l.Name+" "+name] = (written - before[name]) / size
			c.say("%s wrote its journal of %.0f MB %.1f times\n", name, size/1e6,
				c.Wraps[l.Name+" "+name])
		}
	}
	return nil
}

// kafkaMax is Kafka's message rate under the batch load: measured already, else now.
func (c *Campaign) kafkaMax(ctx context.Context) (float64, error) {
	var rates []float64
	for _, r := range c.Runs {
		if r.Load == "batch" && r.Contestant == Theirs {
			rates = append(rates, float64(r.Report.Messages)/r.Report.Seconds)
		}
	}
	if len(rates) == 0 {
		r, err := c.once(ctx, c.contestants[Theirs], produceLoads[0].args, spare, c.plan.Duration, 0)
		if err != nil {
			return 0, err
		}
		rates = append(rates, float64(r.Messages)/r.Seconds)
	}
	return median(rates), nil
}

const (
	fillTopic      = "bench-filled"
	fillPartitions = 8
	fillRecords    = 16 // the 16 KB batches of a producer with Kafka's defaults
	fillSize       = 1024
	recordBytes    = 1034 // of a 1 KB record in a batch, about
	readBytes      = 1_000_000_000
	tailBytes      = 64_000_000
)

// fill writes what readers read: for the tail a little, else more than the backlog.
func (c *Campaign) fill(ctx context.Context, l Load) error {
	for _, name := range l.against {
		x := c.contestants[name]
		want := int64(1_000_000_000)
		if l.fetch == "behind" {
			want = c.plan.Backlog + readBytes
		}
		end := c.written[name]
		have := end * fillPartitions * recordBytes
		if have >= want {
			continue
		}
		argv := []string{"produce", "--partitions", strconv.Itoa(fillPartitions), "--connections", "4",
			"--in-flight", "32", "--batch", strconv.Itoa(fillRecords), "--size",
			strconv.Itoa(fillSize), "--topic", fillTopic, "--warmup", "0s", "--duration", "300s",
			"--max-bytes", strconv.FormatInt(want-have, 10)}
		if end == 0 {
			argv = append(argv, "--create")
		}
		c.say("writing %.1f GB for %s\n", float64(want-have)/1e9, name)
		if _, err := c.client.run(ctx, x, argv...); err != nil {
			return err
		}
		least := int64(1 << 62)
		for p := range int32(fillPartitions) {
			end, err := loadgen.EndOffset(ctx, x.addr, fillTopic, p)
			if err != nil {
				return err
			}
			least = min(least, end)
		}
		c.written[name] = least
		c.settle()
		if x.JVM { // what is left of the warm-up, on the path that is measured
			if _, err := c.read(ctx, x, tailArgs(least, c.plan.WarmJVM)...); err != nil {
				return err
			}
		}
	}
	return nil
}

func tailArgs(end int64, d time.Duration) []string {
	return []string{"consume", "--consumers", "4", "--again", "--duration", d.String(), "--from",
		strconv.FormatInt(end-tailBytes/fillPartitions/recordBytes, 10), "--to",
		strconv.FormatInt(end, 10)}
}

func (c *Campaign) read(ctx context.Context, x *Contestant, args ...string) (*load.Report, error) {
	return c.client.run(ctx, x, append(args, "--topic", fillTopic, "--partitions",
		strconv.Itoa(fillPartitions))...)
}

// fetch reads at the tail, or each round another piece of what is a backlog behind the end.
func (c *Campaign) fetch(ctx context.Context, x *Contestant, l Load, round int,
	d time.Duration) (*load.Report, error) {
	end := c.written[x.Name]
	if l.fetch == "tail" {
		return c.read(ctx, x, tailArgs(end, d)...)
	}
	span := end - c.plan.Backlog/fillPartitions/recordBytes
	args := append(slices.Clone(l.args), "--from", "0", "--to", strconv.FormatInt(span, 10),
		"--duration", d.String())
	return c.read(ctx, x, args...)
}
