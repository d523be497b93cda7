package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"millrace/loadgen"

	"github.com/spf13/cobra"
)

// isLegacy says that a command line is one of the first loads, which bench still uses: fetch, or
// produce and e2e with --addr.
func isLegacy(args []string) bool {
	if len(args) == 0 {
		return false
	}
	switch args[0] {
	case "fetch":
		return true
	case "produce", "e2e":
		return slices.ContainsFunc(args, func(a string) bool {
			return a == "--addr" || strings.HasPrefix(a, "--addr=")
		})
	}
	return false
}

// legacy is the root of those loads.
func legacy() *cobra.Command {
	root := &cobra.Command{Use: "loadgen", SilenceUsage: true, SilenceErrors: true}
	root.AddCommand(legacyProduce(), legacyFetch(), legacyEndToEnd())
	return root
}

// shared are the flags of every load.
type shared struct {
	create, remove bool
	asJSON         bool
	config         map[string]string
}

func (s *shared) flags(cmd *cobra.Command, addr, topic *string, partitions *int,
	warmup, duration *time.Duration, pid *int) {
	f := cmd.Flags()
	f.StringVar(addr, "addr", "127.0.0.1:9092", "broker")
	f.StringVar(topic, "topic", "load", "topic")
	f.IntVar(partitions, "partitions", 8, "partitions of the topic")
	f.DurationVar(warmup, "warmup", time.Second, "load before the measurement")
	f.DurationVar(duration, "duration", 10*time.Second, "of the measurement")
	f.IntVar(pid, "broker-pid", 0, "the broker's process, to measure what it uses")
	f.BoolVar(&s.create, "create", false, "create the topic first")
	f.BoolVar(&s.remove, "delete", false, "delete the topic afterwards")
	f.BoolVar(&s.asJSON, "json", false, "print the report as JSON")
	f.StringToStringVar(&s.config, "config", nil, "topic configuration, with --create")
}

// around creates the topic, runs the load and deletes the topic.
func (s *shared) around(ctx context.Context, addr, topic string, partitions int,
	run func() (*loadgen.Report, error)) error {
	if s.create {
		if err := loadgen.CreateTopic(ctx, addr, topic, partitions, s.config); err != nil {
			return err
		}
	}
	r, err := run()
	if s.remove {
		if deleteErr := loadgen.DeleteTopic(ctx, addr, topic); err == nil {
			err = deleteErr
		}
	}
	if err != nil {
		return err
	}
	if s.asJSON {
		return json.NewEncoder(os.Stdout).Encode(r)
	}
	show(r)
	return nil
}

func show(r *loadgen.Report) {
	fmt.Printf("%s: %.1f s, %.0f requests/s, %.0f messages/s, %.1f MB/s\n", r.Load, r.Seconds,
		float64(r.Requests)/r.Seconds, float64(r.Messages)/r.Seconds,
		float64(r.Bytes)/r.Seconds/1e6)
	l := r.Latency
	fmt.Printf("latency ms: p50 %.3f  p90 %.3f  p99 %.3f  p99.9 %.3f  max %.3f  (%d)\n",
		l.P50/1e3, l.P90/1e3, l.P99/1e3, l.P999/1e3, l.Max/1e3, l.N)
	if r.Delay != nil {
		fmt.Printf("delay of sends ms: p50 %.3f  p99 %.3f\n", r.Delay.P50/1e3, r.Delay.P99/1e3)
	}
	fmt.Printf("client %.2f CPU-s, machine %.2f, steal %.2f\n", r.Client, r.Machine, r.Steal)
	if r.Broker != nil {
		fmt.Printf("broker %.2f CPU-s: %.3f per million messages, %.3f per GB; resident %d MB\n",
			r.Broker.CPU, r.PerMillion(), r.PerGB(), r.Broker.RSS>>20)
	}
}

func legacyProduce() *cobra.Command {
	var s shared
	o := loadgen.ProduceOptions{}
	cmd := &cobra.Command{
		Use: "produce", Short: "Write batches", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.around(cmd.Context(), o.Addr, o.Topic, o.Partitions,
				func() (*loadgen.Report, error) { return loadgen.Produce(cmd.Context(), o) })
		},
	}
	s.flags(cmd, &o.Addr, &o.Topic, &o.Partitions, &o.Warmup, &o.Duration, &o.BrokerPid)
	f := cmd.Flags()
	f.IntVar(&o.Conns, "conns", 4, "connections")
	f.IntVar(&o.InFlight, "in-flight", 8, "requests in flight on each connection")
	f.IntVar(&o.Distinct, "distinct", 0, "different requests, sent in turn; at least one per partition")
	f.IntVar(&o.Records, "records", 64, "messages in a batch; one batch is one request")
	f.IntVar(&o.Size, "size", 100, "bytes of a message")
	f.Int16Var(&o.Acks, "acks", 1, "1 or -1")
	f.Float64Var(&o.Rate, "rate", 0, "requests per second over all connections; 0: no limit")
	f.Int64Var(&o.Requests, "max-requests", 0, "send so many and end; without warm-up")
	f.Int64Var(&o.MaxBytes, "max-bytes", 0, "end the measurement after this many bytes")
	return cmd
}

func legacyFetch() *cobra.Command {
	var s shared
	o := loadgen.FetchOptions{}
	cmd := &cobra.Command{
		Use: "fetch", Short: "Read and discard", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.around(cmd.Context(), o.Addr, o.Topic, o.Partitions,
				func() (*loadgen.Report, error) { return loadgen.Fetch(cmd.Context(), o) })
		},
	}
	s.flags(cmd, &o.Addr, &o.Topic, &o.Partitions, &o.Warmup, &o.Duration, &o.BrokerPid)
	f := cmd.Flags()
	f.IntVar(&o.Conns, "conns", 4, "connections, one request in flight on each")
	f.Int32Var(&o.MaxBytes, "max-bytes", 1<<20, "of one answer")
	f.Int64Var(&o.From, "from", 0, "first offset, of every partition")
	f.Int64Var(&o.To, "to", 0, "offset to end before")
	f.BoolVar(&o.Again, "again", false, "begin again at the first offset until the time is over")
	return cmd
}

func legacyEndToEnd() *cobra.Command {
	var s shared
	o := loadgen.EndToEndOptions{}
	cmd := &cobra.Command{
		Use: "e2e", Short: "Write by a schedule and read what was written", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.around(cmd.Context(), o.Addr, o.Topic, o.Partitions,
				func() (*loadgen.Report, error) { return loadgen.EndToEnd(cmd.Context(), o) })
		},
	}
	s.flags(cmd, &o.Addr, &o.Topic, &o.Partitions, &o.Warmup, &o.Duration, &o.BrokerPid)
	cmd.Flags().Lookup("partitions").DefValue = "1"
	o.Partitions = 1
	f := cmd.Flags()
	f.IntVar(&o.Size, "size", 100, "bytes of a message")
	f.Int16Var(&o.Acks, "acks", 1, "1 or -1")
	f.Float64Var(&o.Rate, "rate", 2000, "messages per second")
	return cmd
}
