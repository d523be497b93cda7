package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"millrace/loadgen/plan"
	"millrace/loadgen/workload"
)

// sized is a flag of bytes with a unit.
type sized struct{ to *float64 }

func (s sized) String() string {
	if s.to == nil || *s.to == 0 {
		return ""
	}
	return strconv.FormatFloat(*s.to, 'f', -1, 64)
}

func (s sized) Set(text string) error {
	n, err := workload.ParseBytes(text)
	*s.to = float64(n)
	return err
}

func (s sized) Type() string { return "bytes" }

// planOptions are the flags of plan.
type planOptions struct {
	demand                    plan.Demand
	rate, mean, size, slo     string
	retention, batch, network string
	model                     string
	asJSON, check             bool
	headroom, free            float64 // percent
}

func planCommand() *cobra.Command {
	o := &planOptions{}
	cmd := &cobra.Command{
		Use: "plan", Args: noArguments,
		Short: "What a cluster for a given load needs, from a measured model",
		Long: "Answers hosts, cores, disks, network and partitions with error bars, from the model that " +
			"`loadgen sweep` has measured. It says what it assumes, and when it goes beyond what was measured.",
		Example: "  loadgen plan --rate 2M --size 200 --replication 3 --retention 7d --slo p99=10ms --model model.json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	d := &o.demand
	f := cmd.Flags()
	f.StringVar(&o.model, "model", "model.json", "model that loadgen sweep has written")
	f.StringVar(&o.rate, "rate", "", "messages per second at the peak, as 2M")
	f.StringVar(&o.mean, "mean-rate", "", "messages per second over the retention; empty: the rate")
	f.StringVar(&o.size, "size", "100", "bytes of a message")
	f.StringVar(&o.batch, "batch", "", "messages in a batch (64), or bytes (16KiB); empty: as in the sweep")
	f.IntVar(&d.Replication, "replication", 3, "replication factor")
	f.StringVar(&o.retention, "retention", "7d", "how long messages are kept: 7d, 12h")
	f.IntVar(&d.FanOut, "fan-out", 1, "consumer groups that read everything")
	f.StringVar(&o.slo, "slo", "", "objective, as p99=10ms; empty: that of the sweep")
	f.StringVar(&d.Acks, "acks", "", "1 or all; empty: all if it was measured")
	f.IntVar(&d.Connections, "connections", 0, "producers' connections to one host; 0: as in the sweep")
	f.IntVar(&d.Partitions, "partitions", 0, "partitions in all; 0: as many as it takes")
	f.StringToStringVar(&d.Labels, "label", nil, "which of the labels of the model: durability=fsync")
	f.IntVar(&d.Failures, "failures", 1, "hosts that may be down while the objective is kept")
	f.Float64Var(&o.headroom, "headroom", 30, "percent of each host's capacity that stays free, even with hosts down")
	f.Float64Var(&o.free, "disk-free", 25, "percent of the disks that stay free")
	f.Float64Var(&d.Compression, "compression", 1, "bytes before ÷ bytes after compression")
	f.Var(sized{&d.HostDisk}, "host-disk", "bytes of one host's disks, as 4TB")
	f.Var(sized{&d.HostWrite}, "host-write", "bytes per second that one host's disks take, as 1GB")
	f.StringVar(&o.network, "host-network", "", "bits per second of one host's network, as 25G")
	f.BoolVar(&o.check, "cross-validate", false,
		"predict each measured configuration from the others, as sweep --check")
	f.BoolVar(&o.asJSON, "json", false, "print JSON")
	return cmd
}

func (o *planOptions) run(cmd *cobra.Command) error {
	m, err := plan.ReadModel(o.model)
	if err != nil {
		return failed(err)
	}
	d := &o.demand
	if d.Objectives = m.Objectives; o.slo != "" {
		if d.Objectives, err = plan.ParseObjectives(o.slo); err != nil {
			return misused("%w", err)
		}
	}
	if o.check {
		return failed(showCheck(cmd.OutOrStdout(), m, d.Objectives, o.asJSON))
	}
	if err := o.read(); err != nil {
		return misused("%w", err)
	}
	a, err := m.Plan(*d)
	if err != nil {
		return failed(err)
	}
	if o.asJSON {
		return failed(json.NewEncoder(cmd.OutOrStdout()).Encode(a))
	}
	return failed(a.Text(cmd.OutOrStdout()))
}

// read turns the texts of flags into the demand.
func (o *planOptions) read() error {
	d := &o.demand
	for _, x := range []struct {
		name, text string
		set        func(string) error
	}{
		{"rate", o.rate, func(t string) error { return rateOf(t, &d.Rate) }},
		{"mean-rate", o.mean, func(t string) error { return rateOf(t, &d.MeanRate) }},
		{"size", o.size, func(t string) error { return intOf(t, &d.Size) }},
		{"retention", o.retention, func(t string) error { return daysOf(t, &d.Retention) }},
		{"batch", o.batch, d.SetBatch},
		{"host-network", o.network, func(t string) error { return bitsOf(t, &d.HostNetwork) }},
	} {
		if x.text == "" {
			continue
		}
		if err := x.set(x.text); err != nil {
			return fmt.Errorf("loadgen: --%s %.40q: %w", x.name, x.text, err)
		}
	}
	d.Headroom, d.DiskFree = o.headroom/100, o.free/100
	return d.Check()
}

func rateOf(text string, to *float64) error {
	r, err := workload.ParseRate(text)
	if err != nil {
		return err
	}
	*to = r.PerSecond
	return nil
}

func intOf(text string, to *int) error {
	n, err := workload.ParseBytes(text)
	*to = int(n)
	return err
}

// daysOf reads a duration that may have days.
func daysOf(text string, to *time.Duration) error {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		if err != nil || !(n >= 0) || n > 36500 {
			return fmt.Errorf("want days, as 7d")
		}
		*to = time.Duration(n * 24 * float64(time.Hour))
		return nil
	}
	v, err := time.ParseDuration(text)
	*to = v
	return err
}

// bitsOf reads bits per second: 10G.
func bitsOf(text string, to *float64) error {
	text = strings.TrimSuffix(strings.TrimSuffix(text, "bit/s"), "b")
	for i, unit := range []string{"k", "M", "G", "T"} {
		if digits, ok := strings.CutSuffix(text, unit); ok {
			n, err := strconv.ParseFloat(digits, 64)
			for range i + 1 {
				n *= 1000
			}
			*to = n
			return err
		}
	}
	n, err := strconv.ParseFloat(text, 64)
	*to = n
	return err
}
