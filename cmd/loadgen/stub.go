package main

import (
	"fmt"
	"strings"
	"time"

	"millrace/loadgen/stub"
	"millrace/loadgen/workload"

	"github.com/spf13/cobra"
)

// stubCommand runs a broker that does nothing.
func stubCommand() *cobra.Command {
	o := stub.Options{}
	keep := ""
	cmd := &cobra.Command{
		Use: "stub", Short: "A broker that does nothing, to measure load generators with",
		Long: `Answers what load generators ask and does nothing with it, until it is stopped: what a load costs
against it is the generator's own cost, what latency it shows is the generator's own latency. With
--every and --stall it does nothing at all now and then, as a test of whether a generator notices.`,
		Example: `  taskset -c 1 loadgen stub --listen 127.0.0.1:19092
  taskset -c 0 loadgen produce --brokers 127.0.0.1:19092 --create --rate max
  loadgen stub --every 10s --stall 1s`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := workload.ParseBytes(keep)
			if err != nil {
				return misused("--keep: %v", err)
			}
			o.Keep = n
			s, err := stub.Serve(cmd.Context(), o)
			if err != nil {
				return failed(err)
			}
			fmt.Fprintln(cmd.OutOrStdout(), "serving", strings.Join(s.Addrs(), ","))
			began := time.Now()
			<-cmd.Context().Done()
			requests, messages, bytes := s.Counts()
			fmt.Fprintf(cmd.OutOrStdout(), "%d requests, %d messages, %d bytes in %.1f s\n", requests,
				messages, bytes, time.Since(began).Seconds())
			return nil
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.Listen, "listen", []string{"127.0.0.1:9092"}, "one broker for each `host:port`")
	f.IntVar(&o.Partitions, "partitions", 8, "of topics that are made without saying how many")
	f.StringSliceVar(&o.Topics, "topics", nil, "`names` of topics that are there from the begin")
	f.StringVar(&keep, "keep", "0", "`bytes` kept of each partition for readers, as 64MiB; 0: nothing")
	f.DurationVar(&o.Every, "every", 0, "a stall begins each time so long has passed; 0: never")
	f.DurationVar(&o.Stall, "stall", time.Second, "how long a stall takes")
	return cmd
}
