package main

import (
	"errors"
	"os"
	"strings"

	"millrace/loadgen/result"
	"millrace/loadgen/view"

	"github.com/spf13/cobra"
)

// loadAll reads results and interval logs.
func loadAll(paths []string) ([]*result.Run, error) {
	var runs []*result.Run
	for _, path := range paths {
		r, err := result.Load(path)
		if err != nil {
			return nil, err
		}
		runs = append(runs, r)
	}
	return runs, nil
}

func mergeCommand() *cobra.Command {
	var out, html string
	cmd := &cobra.Command{
		Use:   "merge FILE…",
		Short: "Make one result of those of several machines",
		Long: "Merge adds up what several machines measured at the same time against the same\n" +
			"target: results (.json) or interval logs (.hlog). Counts are added, histograms are\n" +
			"merged exactly, intervals are laid on one clock; so the machines' clocks must agree.\n" +
			"The output is a result, or an interval log where its name ends in .hlog.",
		Example: "  loadgen merge east.json west.json -o both.json --html both.html\n" +
			"  loadgen merge *.hlog -o all.hlog",
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if out == "" {
				return errors.New("merge: --output says where to write to")
			}
			runs, err := loadAll(args)
			if err != nil {
				return err
			}
			merged, err := result.Merge(runs)
			if err != nil {
				return err
			}
			write := merged.WriteFile
			if strings.HasSuffix(out, ".hlog") {
				write = merged.WriteLogFile
			}
			if err := write(out); err != nil {
				return err
			}
			if html != "" {
				if err := view.HTMLFile(html, []*result.Run{merged}, ""); err != nil {
					return err
				}
			}
			return view.Text(os.Stdout, merged)
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "file to write (.json or .hlog)")
	cmd.Flags().StringVar(&html, "html", "", "write a report of it, too")
	return cmd
}
