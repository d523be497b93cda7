package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"millrace/loadgen"
	"millrace/loadgen/plan"
	"millrace/loadgen/result"
	"millrace/loadgen/workload"
)

// sweepOptions are the flags of sweep.
type sweepOptions struct {
	base                                               workload.Workload
	slo, sizes, batches, partitions, acks, connections string
	fanOut, scale                                      string
	inFlight, sample                                   int
	labels                                             map[string]string
	settle                                             time.Duration
	search                                             plan.Search
	rung                                               float64
	out                                                string
	fresh, check, list, busy, asJSON                   bool
}

// inherited are the options of a load that all steps of a sweep share.
var inherited = []string{"brokers", "topic", "topic-config", "replication", "client", "threads", "seed", "arrival",
	"codec", "random-bytes", "warmup", "duration", "interval", "broker-pid", "admin", "linger", "idempotence",
	"tls", "tls-ca", "tls-cert", "tls-key", "tls-server-name", "tls-insecure", "sasl", "user", "password"}

func sweepCommand() *cobra.Command {
	o := &sweepOptions{base: workload.New(workload.Produce), search: plan.DefaultSearch}
	o.base.Topic, o.base.Duration = "sweep", 5*time.Second
	o.base.TopicConfig["file.delete.delay.ms"] = "1000"
	cmd := &cobra.Command{
		Use: "sweep", Args: noArguments,
		Short: "Find the highest rates within a latency objective, for a matrix of configurations",
		Long: "Finds for every configuration the highest rate at which the objective is kept, by steps at fixed " +
			"rates, and writes a model for `loadgen plan`. What is in the file already is not measured again: an " +
			"interrupted sweep goes on, and several sweeps (one for each --label durability=…) can share a file.",
		Example: "  loadgen sweep --slo p99=10ms --sizes 100,1000 --batch 1,64 --connections 4,16 \\\n" +
			"    --label durability=fsync --broker-pid $(pidof millrace) --out model.json\n" +
			"  loadgen sweep --check --out model.json",
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	f := cmd.Flags()
	for _, name := range inherited {
		if option, ok := workload.Find(name); ok {
			v := f.VarPF(optionValue{option, &o.base}, name, "", option.Usage)
			if option.Bool {
				v.NoOptDefVal = "true"
			}
		}
	}
	f.Lookup("duration").Usage = "of the measurement of one step"
	f.Lookup("warmup").Usage = "load before the measurement, in every step"
	f.StringVar(&o.slo, "slo", "p99=5ms", "objective: p99=5ms, p99.9=20ms, e2e-p99=10ms; several with commas")
	f.StringVar(&o.sizes, "sizes", "100,1000", "bytes of a message")
	f.StringVar(&o.batches, "batch", "1,16KiB", "messages in a batch (64), or bytes (16KiB)")
	f.StringVar(&o.partitions, "partitions", "8", "partitions of the topic")
	f.StringVar(&o.acks, "acks", "1", "1 and all")
	f.StringVar(&o.connections, "connections", "4,16", "producers' connections")
	f.StringVar(&o.fanOut, "fan-out", "0", "consumer groups that read at the tail")
	f.IntVar(&o.inFlight, "in-flight", 16, "requests under way on each connection")
	f.StringToStringVar(&o.labels, "label", nil, "what the broker was set to: durability=fsync, cores=2")
	f.IntVar(&o.sample, "sample", 0, "measure so many of the combinations, chosen evenly; 0: all")
	f.StringVar(&o.scale, "scale", "", "also closed loops over these, for the Universal Scalability Law: "+
		"connections=1,2,4,8,16,32 or partitions=1,4,16,64")
	f.DurationVar(&o.settle, "settle", time.Second, "pause between steps")
	f.Float64Var(&o.rung, "rung", 8, "percent between two rates of the ladder")
	f.IntVar(&o.search.Reversals, "turns", o.search.Reversals, "turns of the staircase until the answer")
	f.IntVar(&o.search.MaxSteps, "max-steps", o.search.MaxSteps, "for one configuration")
	f.StringVar(&o.out, "out", "model.json", "the model; goes on from what is in it")
	f.BoolVar(&o.fresh, "fresh", false, "forget what is in the file")
	f.BoolVar(&o.busy, "busy", false, "count steps that other processes have disturbed, too")
	f.BoolVar(&o.list, "list", false, "only list the configurations and the time that they take")
	f.BoolVar(&o.check, "check", false, "measure nothing: predict each configuration of the model from the others; "+
		"fails when one that the others cover is off by more than 20 %")
	f.BoolVar(&o.asJSON, "json", false, "print JSON")
	return cmd
}

func (o *sweepOptions) run(cmd *cobra.Command) error {
	objectives, err := plan.ParseObjectives(o.slo)
	if err != nil {
		return misused("%w", err)
	}
	if o.check {
		m, err := plan.ReadModel(o.out)
		if err != nil {
			return failed(err)
		}
		if !cmd.Flags().Changed("slo") {
			objectives = m.Objectives
		}
		return failed(showCheck(cmd.OutOrStdout(), m, objectives, o.asJSON))
	}
	if !(o.rung >= 1 && o.rung <= 100) || o.search.Reversals < 1 || o.search.MaxSteps < 3 || o.settle < 0 {
		return misused("loadgen: rungs of 1 to 100 %%, one turn and three steps at least")
	}
	o.search.Ratio = 1 + o.rung/100
	configs, err := o.configs()
	if err == nil {
		err = objectives.Check(configs)
	}
	if err != nil {
		return misused("%w", err)
	}
	if o.scale != "" {
		if _, _, err := o.scaling(); err != nil {
			return misused("%w", err)
		}
	}
	if o.list {
		return o.showList(cmd.OutOrStdout(), configs)
	}
	environment(&o.base)
	m, err := o.model(objectives)
	if err != nil {
		return failed(err)
	}
	return failed(o.measure(cmd, m, configs))
}

// configs is the matrix of the flags.
func (o *sweepOptions) configs() ([]plan.Config, error) {
	m := plan.Matrix{InFlight: o.inFlight, Labels: o.labels}
	for text := range strings.SplitSeq(o.sizes, ",") {
		n, err := workload.ParseBytes(text)
		if err != nil {
			return nil, fmt.Errorf("loadgen: --sizes %.40q: %w", text, err)
		}
		m.Sizes = append(m.Sizes, int(n))
	}
	for text := range strings.SplitSeq(o.batches, ",") {
		b, err := workload.ParseBatch(text)
		if err != nil {
			return nil, fmt.Errorf("loadgen: --batch %.40q: %w", text, err)
		}
		m.Batches = append(m.Batches, plan.Batch{Records: b.Records, Bytes: b.Bytes})
	}
	for _, x := range []struct {
		name, text string
		to         *[]int
	}{{"partitions", o.partitions, &m.Partitions}, {"connections", o.connections, &m.Connections},
		{"fan-out", o.fanOut, &m.FanOut}} {
		list, err := numbers(x.name, x.text)
		if err != nil {
			return nil, err
		}
		*x.to = list
	}
	for text := range strings.SplitSeq(o.acks, ",") {
		m.Acks = append(m.Acks, strings.Replace(strings.TrimSpace(text), "-1", "all", 1))
	}
	configs, err := m.Configs()
	if err != nil {
		return nil, err
	}
	return plan.Sample(configs, o.sample, o.base.Seed), nil
}

// scaling is what closed loops are measured over.
func (o *sweepOptions) scaling() (over string, n []int, err error) {
	over, text, _ := strings.Cut(o.scale, "=")
	if over != "connections" && over != "partitions" {
		return "", nil, fmt.Errorf("loadgen: --scale %.40q: want connections=1,2,4,8 or partitions=1,2,4,8", o.scale)
	}
	n, err = numbers("scale", text)
	if err == nil && (len(n) < 4 || slices.Contains(n, 0)) {
		err = errors.New("loadgen: --scale wants at least four numbers above zero")
	}
	return over, n, err
}

func numbers(name, text string) (out []int, err error) {
	for part := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || n < 0 || n > 1_000_000 {
			return nil, fmt.Errorf("loadgen: --%s %.40q: want numbers with commas between them", name, text)
		}
		out = append(out, n)
	}
	return out, nil
}

func (o *sweepOptions) showList(w io.Writer, configs []plan.Config) error {
	each := o.base.Duration + o.base.Warmup + o.settle
	for _, c := range configs {
		fmt.Fprintln(w, c)
	}
	steps := 3*o.search.Reversals + 8 // what it takes as a rule
	_, err := fmt.Fprintf(w, "%d configurations, about %d steps of %v each: %v\n", len(configs), steps, each,
		(time.Duration(len(configs)*steps) * each).Round(time.Minute))
	return err
}

// model is the one in the file, or a new one.
func (o *sweepOptions) model(objectives plan.Objectives) (*plan.Model, error) {
	host := result.ReadHost(".")
	fresh := &plan.Model{Format: plan.Format, Host: host, Objectives: objectives, Search: o.search}
	if !o.fresh {
		m, err := plan.ReadModel(o.out)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, err
		case m.Objectives.String() != objectives.String() || m.Search != o.search:
			return nil, fmt.Errorf("loadgen: %s was made with --slo %s, rungs of %.3g %%, %d turns and at most %d "+
				"steps: use the same, another --out, or --fresh", o.out, m.Objectives, (m.Search.Ratio-1)*100,
				m.Search.Reversals, m.Search.MaxSteps)
		case m.Host.CPU != host.CPU || m.Host.Cores != host.Cores:
			return nil, fmt.Errorf("loadgen: %s was made on %s with %d cores: one model is of one host", o.out,
				m.Host.CPU, m.Host.Cores)
		default:
			fresh = m
		}
	}
	fresh.Command = result.Redact(os.Args)
	return fresh, fresh.WriteFile(o.out) // better now than after the first hour
}

func (o *sweepOptions) measure(cmd *cobra.Command, m *plan.Model, configs []plan.Config) error {
	w := cmd.ErrOrStderr()
	s := plan.Sweep{Model: m, Settle: o.settle, Busy: o.busy, Save: func() error { return m.WriteFile(o.out) },
		Driver: &plan.Load{Base: o.base, Run: loadgen.Run}}
	last := 0
	s.Tell = func(x plan.Measured) { last = tell(w, x, last) }
	if err := s.Run(cmd.Context(), configs); err != nil {
		return interrupted(err, o.out)
	}
	if o.scale != "" {
		over, n, err := o.scaling()
		if err != nil {
			return err
		}
		c := configs[0]
		c.Records, c.FanOut = 1, 0
		if err := s.Scale(cmd.Context(), over, c, n, 3); err != nil {
			return interrupted(err, o.out)
		}
	}
	if o.asJSON {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(m)
	}
	return m.Text(cmd.OutOrStdout())
}

func interrupted(err error, file string) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("loadgen: stopped; %s has what was measured, the same command goes on", file)
	}
	return fmt.Errorf("%w; %s has what was measured, the same command goes on", err, file)
}

// tell writes a line for each step and each result.
func tell(w io.Writer, x plan.Measured, last int) int {
	switch n := len(x.Steps); {
	case x.Done && x.Capacity != nil:
		fmt.Fprintf(w, "%s: %.0f messages/s (%.0f … %.0f) %s\n", x.Config, x.Capacity.Value, x.Capacity.Low,
			x.Capacity.High, x.Bound)
		return 0
	case x.Done:
		fmt.Fprintf(w, "%s: %s\n", x.Config, x.Bound)
		return 0
	case n > 0 && n != last:
		s := x.Steps[n-1]
		what, rate := "as fast as it goes", s.Reached
		if !s.Max {
			what, rate = fmt.Sprintf("%s %s", s.Verdict, s.Why), s.Rate
		}
		p99 := "—"
		if i := slices.IndexFunc(s.Response, func(q result.Quantile) bool { return q.Q == 0.99 }); i >= 0 {
			p99 = fmt.Sprintf("%.2f ms", s.Response[i].Micros/1e3)
		}
		fmt.Fprintf(w, "  %s  %10.0f messages/s  p99 %9s  %s\n", x.Config, rate, p99, what)
		return n
	}
	return last
}

// showCheck shows how well what is in a model is predicted from the rest of it.
func showCheck(w io.Writer, m *plan.Model, o plan.Objectives, asJSON bool) error {
	laws, err := m.Fit(o)
	if err != nil {
		return err
	}
	score := plan.ScoreOf(laws.LeftOut)
	if asJSON {
		err = json.NewEncoder(w).Encode(struct {
			*plan.Laws
			Score    plan.Score `json:"score"`
			ScoreCPU plan.Score `json:"score_cpu"`
		}{laws, score, plan.ScoreOf(laws.LeftOutCPU)})
	} else {
		err = errors.Join(m.Text(w), laws.Text(w))
	}
	if err == nil && score.InsideOK < score.Inside {
		err = fmt.Errorf("loadgen: %d of %d predictions are off by more than 20 %%", score.Inside-score.InsideOK,
			score.Inside)
	}
	return err
}

// terminal says whether w is one.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
