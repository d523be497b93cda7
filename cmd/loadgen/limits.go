package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"millrace/loadgen/limits"
	"millrace/loadgen/result"
)

func limitsCommand() *cobra.Command {
	var (
		o          limits.Options
		quick      bool
		asJSON     bool
		from, save string
	)
	cmd := &cobra.Command{
		Use:   "limits [RESULT.json…]",
		Short: "The host's raw limits, and what share of them runs have reached",
		Long: "Measures what this host can do without a broker: copy, sum, enter the kernel, wake a thread, " +
			"move bytes through loopback, write and flush. With results it tells what share of the composite " +
			"limit each has reached.",
		Example: "  loadgen limits --dir /var/lib/millrace --save limits.json\n" +
			"  loadgen limits --from limits.json produce.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			if quick {
				q := limits.Quick(o.Dir)
				o.Budget, o.Rounds = q.Budget, q.Rounds
			}
			if o.Budget < 100*time.Millisecond || o.Budget > time.Hour || o.Rounds < 1 || o.Rounds > 100 {
				return misused("loadgen: a budget of 100 ms to an hour and 1 to 100 rounds, please")
			}
			var l *limits.Limits
			var err error
			if from != "" {
				l, err = limits.ReadFile(from)
			} else {
				if terminal(cmd.ErrOrStderr()) {
					o.Progress = func(what string) { fmt.Fprintf(cmd.ErrOrStderr(), "\r\033[K%s", what) }
				}
				l, err = limits.Measure(cmd.Context(), o)
				if o.Progress != nil {
					fmt.Fprint(cmd.ErrOrStderr(), "\r\033[K")
				}
			}
			if err == nil && save != "" {
				err = l.WriteFile(save)
			}
			if err != nil {
				return failed(err)
			}
			return failed(showLimits(cmd, l, args, asJSON))
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Dir, "dir", ".", "directory on the disk that is to be measured")
	f.DurationVar(&o.Budget, "budget", time.Minute, "time that all of it may take")
	f.IntVar(&o.Rounds, "rounds", 3, "of each figure; the median counts")
	f.BoolVar(&quick, "quick", false, "ten seconds and two rounds")
	f.StringVar(&from, "from", "", "use the limits in this file instead of measuring")
	f.StringVar(&save, "save", "", "keep the limits in this file")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	cmd.MarkFlagsMutuallyExclusive("from", "save")
	cmd.MarkFlagsMutuallyExclusive("quick", "budget")
	return cmd
}

// share is one result's share of the limits.
type share struct {
	File  string        `json:"file"`
	Share *result.Share `json:"share"` // null: nothing can be said
}

func showLimits(cmd *cobra.Command, l *limits.Limits, files []string, asJSON bool) error {
	shares := []share{}
	for _, name := range files {
		r, err := result.ReadFile(name)
		if err != nil {
			return err
		}
		shares = append(shares, share{name, l.Share(r)})
	}
	out := cmd.OutOrStdout()
	if asJSON {
		return json.NewEncoder(out).Encode(struct {
			*limits.Limits
			Composites []limits.Composite `json:"composites"`
			Shares     []share            `json:"shares,omitempty"`
		}{l, l.Composites(), shares})
	}
	if len(files) == 0 {
		return l.Text(out)
	}
	for _, s := range shares {
		if s.Share == nil {
			fmt.Fprintf(out, "%s: nothing can be said\n", s.File)
			continue
		}
		fmt.Fprintf(out, "%s: %.0f %% of %s: %.0f of %.0f %s", s.File, s.Share.Fraction*100, s.Share.Name,
			s.Share.Reached, s.Share.Limit, s.Share.Unit)
		if s.Share.Note != "" {
			fmt.Fprintf(out, " (%s)", s.Share.Note)
		}
		fmt.Fprintln(out)
	}
	return nil
}
