package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"millrace/bench"
	"millrace/bench/life"
	"millrace/bench/record"
	"millrace/loadgen"
	"millrace/loadgen/result"
)

// lives are loads that start and kill brokers of their own: nothing else runs meanwhile.
func (b *brokers) lives() []*record.Load {
	restart := []record.Asked{goal(record.StartKilled, 1.0/10)}
	return []*record.Load{
		{Row: 12, Name: "12 many", Title: "10 000 partitions", Set: record.Whole, Sides: two,
			Alone: true, MaxRounds: 3, Measure: b.many, Command: "bin/loadgen run " +
				"bench/scenarios/12-many-partitions.yaml --only idle,six,spread",
			Figures: []record.Asked{goal(record.Creation, 1.0/5), goal(record.Resident, 1.0/10),
				goal(record.IdleCPU), goal(record.Messages, 100), goal(record.ManyShare),
				goal(record.StartKilled, 1.0/10)}},
		{Row: 13, Name: "13 recovery",
			Title: fmt.Sprintf("%d GB in 1 000 partitions, killed under full load", recoveryGB()),
			Set:   record.Whole, Sides: two, Alone: true, MaxRounds: 3, Measure: b.recovery,
			Figures: restart, Command: "kill -9, start, write and read one message"},
		{Row: 14, Name: "14 start", Title: "one topic, after a clean stop", Set: record.Whole, Sides: two,
			Alone: true, Measure: b.start, Command: "SIGTERM, start, write and read one message",
			Figures: []record.Asked{goal(record.StartClean, 1.0/10), goal(record.Resident, 1.0/5),
				goal(record.IdleCPU)}},
	}
}

// node makes a broker of a side's kind with a new directory, or with one that stays between rounds.
func (b *brokers) node(side *record.Side, dir string) *life.Node {
	dir = filepath.Join(b.plan.Work, dir+"-"+side.Name)
	if side.JVM {
		// Both recover with as many threads as there are processors.
		return life.Kafka(b.jars, dir, side.Name, map[string]string{deleteDelay: "1000",
			"num.recovery.threads.per.data.dir": strconv.Itoa(runtime.NumCPU())})
	}
	return life.Millrace(b.plan.Millrace(), dir, side.Name, millraceArgs()...)
}

const settleMemory = 5 * time.Second // after which an idle broker's figures are taken

// start: how long from the process to the first message, and what it costs to be idle.
func (b *brokers) start(ctx context.Context, c *record.Course, _ *record.Load, side *record.Side,
	round int) (*record.Sample, error) {
	n := b.node(side, fmt.Sprintf("start-%d", round))
	defer discard(n)
	if _, err := n.Start(ctx, life.Answers); err != nil {
		return nil, err
	}
	if err := loadgen.CreateTopic(ctx, n.Addr, "one", 1, nil); err != nil {
		return nil, err
	}
	if _, err := n.Stop(); err != nil {
		return nil, err
	}
	bench.Rest(0, c.Patience)
	s := &record.Sample{Command: "life: start after SIGTERM", Figures: map[string]float64{}}
	if err := timedStart(ctx, n, life.Serves("one", 0), s, record.StartClean); err != nil {
		return nil, err
	}
	return s, idle(ctx, n, s)
}

// timedStart notes how long a start took until the probe succeeded, and what else went on.
func timedStart(ctx context.Context, n *life.Node, probe life.Probe, s *record.Sample,
	figure string) error {
	machine, err := result.ReadMachine()
	if err != nil {
		return err
	}
	self := result.SelfUsage()
	took, err := n.Start(ctx, probe)
	if err != nil {
		return err
	}
	s.Figures[figure] = took.Seconds()
	// What the process has used is its own, what this one has, the probes'.
	source, err := result.NewCostSource(n.Pid(), "")
	if err != nil {
		return err
	}
	used, err := source.Read(ctx)
	if err != nil {
		return err
	}
	then, err := result.ReadMachine()
	if err != nil {
		return err
	}
	// A tick of /proc is 10 ms: over less than half a second others cannot be told apart.
	if took > 500*time.Millisecond {
		m := then.Since(machine, &used.Cost, result.SelfUsage().Since(self))
		s.Disturbed = record.Disturbance(m, took.Seconds())
	}
	return nil
}

// idle notes what a broker takes that has nothing to do.
func idle(ctx context.Context, n *life.Node, s *record.Sample) error {
	if err := wait(ctx, settleMemory); err != nil {
		return err
	}
	source, err := result.NewCostSource(n.Pid(), "")
	if err != nil {
		return err
	}
	before, err := source.Read(ctx)
	if err != nil {
		return err
	}
	if err := wait(ctx, 2*settleMemory); err != nil {
		return err
	}
	after, err := source.Read(ctx)
	if err != nil {
		return err
	}
	cost := after.Since(before)
	s.Figures[record.IdleCPU] = cost.CPUSeconds / cost.Seconds
	s.Figures[record.Resident] = float64(after.RSS)
	return nil
}

// many: what ten thousand partitions cost, idle, written to, and at a start.
func (b *brokers) many(ctx context.Context, c *record.Course, l *record.Load, side *record.Side,
	round int) (*record.Sample, error) {
	const file, each = "12-many-partitions.yaml", 5_000 // of two topics
	n := b.node(side, fmt.Sprintf("many-%d", round))
	defer discard(n)
	if _, err := n.Start(ctx, life.Answers); err != nil {
		return nil, err
	}
	began := time.Now()
	for _, topic := range []string{"many-0", "many-1"} {
		if err := loadgen.CreateTopic(ctx, n.Addr, topic, each, nil); err != nil {
			return nil, err
		}
	}
	figures := map[string]float64{record.Creation: time.Since(began).Seconds()}
	s := &record.Sample{Figures: figures}
	if err := idle(ctx, n, s); err != nil {
		return nil, err
	}
	load := func(only string, d time.Duration, args ...string) (*record.Sample, error) {
		x, err := c.LoadAt(ctx, n.Addr, n.Pid(), file, only, append([]string{"--duration", d.String()},
			args...)...)
		if err == nil && x.Failed != "" {
			x.Failed = only + ": " + x.Failed
		}
		return x, err
	}
	if side.JVM {
		if x, err := load("six", c.WarmJVM); err != nil || x.Failed != "" {
			return x, err
		}
	}
	six, err := load("six", c.For(l))
	if err != nil || six.Failed != "" {
		return six, err
	}
	many, err := load("spread", c.For(l), "--delete=false")
	if err != nil || many.Failed != "" {
		return many, err
	}
	rate := func(x *record.Sample) float64 { return float64(x.Run.Acked) / x.Run.Seconds }
	figures[record.ManyShare] = rate(many) / rate(six)
	many.Figures = figures
	if six.Disturbed != "" {
		many.Disturbed = six.Disturbed
	}
	n.Kill()
	was := many.Disturbed
	if err := timedStart(ctx, n, life.Serves("many-1", each-1), many, record.StartKilled); err != nil {
		return nil, err
	}
	if was != "" {
		many.Disturbed = was
	}
	return many, nil
}

// recoveryGB is how much is written before; GB=n for another amount.
func recoveryGB() int {
	if n, err := strconv.Atoi(os.Getenv("GB")); err == nil && n > 0 {
		return n
	}
	return 10
}

const recoveryPartitions = 1000

// recovery: killed while it takes all that it can; the data stays between rounds.
func (b *brokers) recovery(ctx context.Context, c *record.Course, l *record.Load, side *record.Side,
	_ int) (*record.Sample, error) {
	n := b.kept[side.Name]
	if n == nil {
		n = b.node(side, "recovery")
		b.kept[side.Name] = n
	}
	if _, err := n.Start(ctx, life.Answers); err != nil {
		return nil, err
	}
	defer n.Kill()
	if !c.Once("recovery " + side.Name) {
		if err := loadgen.CreateTopic(ctx, n.Addr, "filled", recoveryPartitions, nil); err != nil {
			return nil, err
		}
		c.Say("writing %d GB for %s\n", recoveryGB(), side.Name)
		fill := b.filling(ctx, n, "--max-bytes", fmt.Sprintf("%dGB", recoveryGB()))
		if out, err := fill.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("versus: filling %s: %w: %s", side.Name, err, last(string(out)))
		}
	}
	fill := b.filling(ctx, n)
	if err := fill.Start(); err != nil {
		return nil, err
	}
	err := wait(ctx, 6*time.Second)
	n.Kill()
	_ = fill.Process.Kill()
	_ = fill.Wait() // it ends with an error: its broker went away
	if err != nil {
		return nil, err
	}
	s := &record.Sample{Command: l.Command, Figures: map[string]float64{}}
	return s, timedStart(ctx, n, life.Serves("filled", recoveryPartitions-1), s, record.StartKilled)
}

// filling is the load that fills, and that a broker is killed under.
func (b *brokers) filling(ctx context.Context, n *life.Node, args ...string) *exec.Cmd {
	argv := strings.Fields("produce --topic filled --partitions " + strconv.Itoa(recoveryPartitions) +
		" --connections 4 --in-flight 32 --batch 16 --size 1024 --warmup 0s --duration 600s --quiet")
	argv = append(argv, append([]string{"--brokers", n.Addr}, args...)...)
	return exec.CommandContext(ctx, b.plan.Loadgen(), argv...)
}

// discard ends a broker and removes what it wrote.
func discard(n *life.Node) {
	n.Kill()
	_ = os.RemoveAll(n.Dir)
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
