package main

import (
	"millrace/loadgen/workload"

	"github.com/spf13/cobra"
)

// mode is a command for one kind of load.
type mode struct {
	of          workload.Mode
	short, long string
	example     string
}

var modes = []mode{
	{workload.Produce, "Write messages",
		`Writes messages and measures how long their acknowledgements take: from the moment at which each
was due (response), and from the moment at which it was sent (service). With --rate max (the
default) nothing is due at a moment of its own: the figures are those of full windows.`,
		`  loadgen produce --create --delete --rate 100k --batch 16
  loadgen produce --max --size 1KiB --batch 256KiB --connections 4 --in-flight 4
  loadgen produce --client franz --rate 50k --linger 5ms --codec zstd --random-bytes 0.3
  loadgen produce --rate 20k --arrival poisson --seed 7 --keys zipf:10000`},
	{workload.Consume, "Read messages",
		`Reads what is in the topics, from a place on, with one or more consumers in one or more groups.`,
		`  loadgen consume --from start --again --consumers 4 --duration 30s
  loadgen consume --client franz --groups 3 --consumers 2 --commit 5s --from end`},
	{workload.EndToEnd, "Write by a schedule and read at the end of the log",
		`Producers and consumers together. The intended time of sending is in every message, so that the
end-to-end latency counts from there until a consumer has the message.`,
		`  loadgen e2e --create --delete --rate 20k --duration 60s
  loadgen e2e --rate 100k --batch 5 --size uniform:100-1000 --partitions 8 --consumers 2
  loadgen e2e --client franz --rate 5k --acks all --idempotence --in-flight 5`},
	{workload.Mixed, "One stream in, many groups out, and readers far behind",
		`Producers, groups at the end of the log, and readers that go from the first message to the last,
again and again: what those cost the others is what this load shows.`,
		`  loadgen mixed --create --delete --rate 20k --size 1000 --groups 10 --catch-up 0
  loadgen mixed --rate 50k --size 1000 --groups 2 --catch-up 2 --backlog 2GB`},
	{workload.Txn, "Write in transactions, read what is committed",
		`Every producer writes its messages in transactions of --txn-messages, and aborts a share of them.
Consumers read committed messages only; what was aborted must not reach them.`,
		`  loadgen txn --create --delete --rate 2k --txn-messages 100
  loadgen txn --rate 5k --txn-messages 500 --txn-abort 0.1 --connections 4`},
	{workload.Connections, "Many connections that do little, beside a load",
		`Opens idle and slow connections and measures a load of other connections beside them.`,
		`  loadgen connections --create --delete --idle 5000 --rate 20k
  loadgen connections --idle 900 --slow 100 --slow-bytes 50 --broker-pid $(pidof millrace)`},
	{workload.Verify, "Account for every message",
		`Writes messages that carry number, time and checksum, reads them, and says which ones are missing,
doubled, out of order or damaged. With --read-only it checks what an earlier run wrote with --stamp.
Exits with 4 when something is wrong.`,
		`  loadgen verify --create --delete --rate 50k --duration 60s
  loadgen verify --read-only --topic load --from start --duration 5m`},
}

func modeCommand(m mode) *cobra.Command {
	w := workload.New(m.of)
	var out output
	cmd := &cobra.Command{
		Use: string(m.of), Short: m.short, Long: m.long, Example: m.example, GroupID: "load",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			environment(&w)
			if err := w.Check(); err != nil {
				return &failure{exitUsage, err}
			}
			return out.single(cmd.Context(), &w)
		},
	}
	addOptions(cmd, &w)
	out.add(cmd)
	return cmd
}
