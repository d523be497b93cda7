package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"millrace/loadgen/result"
	"millrace/loadgen/view"
	"millrace/loadgen/workload"

	"github.com/spf13/cobra"
)

// scenarioRun is the command run.
type scenarioRun struct {
	output
	given     overrides
	only      []string
	keepGoing bool
	list      bool
	dir       string
}

func runCommand() *cobra.Command {
	s := &scenarioRun{given: overrides{}}
	cmd := &cobra.Command{
		Use: "run FILE", Short: "Run the loads of a scenario file", GroupID: "load",
		Long: `Runs the loads of a scenario file one after the other: one of bench/scenarios, one of your own, or a
workload of the OpenMessaging Benchmark as it is. Options on the command line win over those of the
file, in every load in which they have a meaning.`,
		Example: `  loadgen run bench/scenarios/06-end-to-end.yaml --only 20k-100b --duration 30s
  loadgen run bench/scenarios/01-small-messages.yaml --dir results --html report.html
  loadgen run workloads/1-topic-16-partitions-1kb.yaml --duration 2m --client franz`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return misused("loadgen run wants one file, got %d", len(args))
			}
			return nil
		},
		RunE: s.run,
	}
	s.given.add(cmd)
	s.output.add(cmd)
	f := cmd.Flags()
	_ = f.MarkHidden("output")
	_ = f.MarkHidden("hlog")
	f.StringSliceVar(&s.only, "only", nil, "run only the loads of these `names`")
	f.BoolVar(&s.keepGoing, "keep-going", false, "a load that fails does not end the scenario")
	f.BoolVar(&s.list, "list", false, "say what would be run, and run nothing")
	f.StringVar(&s.dir, "dir", "", "write each load's result and interval log into this `directory`")
	return cmd
}

func (s *scenarioRun) run(cmd *cobra.Command, args []string) error {
	if s.file != "" || s.hlog != "" {
		return misused("loadgen run may have several results: --dir writes them all")
	}
	if s.given["password"] == "" && os.Getenv(passwordFromEnvironment) != "" && s.given["sasl"] != "" {
		s.given["password"] = os.Getenv(passwordFromEnvironment)
	}
	file, err := workload.ReadScenario(args[0], s.given)
	if err != nil {
		return &failure{exitUsage, err}
	}
	if err := s.choose(file); err != nil {
		return err
	}
	if s.list {
		for i := range file.Loads {
			describe(&file.Loads[i])
		}
		return nil
	}
	if s.dir != "" {
		if err := os.MkdirAll(s.dir, 0o755); err != nil {
			return failed(err)
		}
	}
	return s.loads(cmd, file)
}

// choose leaves only the loads that were asked for.
func (s *scenarioRun) choose(file *workload.Scenario) error {
	if len(s.only) == 0 {
		return nil
	}
	var chosen []workload.Workload
	for _, name := range s.only {
		found := false
		for _, w := range file.Loads {
			if w.Name == name {
				chosen, found = append(chosen, w), true
			}
		}
		if !found {
			var names []string
			for _, w := range file.Loads {
				names = append(names, w.Name)
			}
			return misused("--only: no load is called %q; there are %s", name, strings.Join(names, ", "))
		}
	}
	file.Loads = chosen
	return nil
}

func (s *scenarioRun) loads(cmd *cobra.Command, file *workload.Scenario) error {
	reached := map[string]float64{}
	var runs []*result.Run
	bad, code := 0, exitVoid
	for i := range file.Loads {
		w := &file.Loads[i]
		if !s.json {
			describe(w)
		}
		if err := w.Resolve(reached[w.Rate.Of]); err != nil {
			return &failure{exitUsage, fmt.Errorf("load %s: %w", w.Name, err)}
		}
		r, err := s.output.run(cmd.Context(), w)
		if r != nil {
			runs = append(runs, r)
			if r.Seconds > 0 {
				reached[w.Name] = float64(max(r.Acked, r.Received)) / r.Seconds
			}
			if writeErr := s.keep(file.Name, w.Name, r, runs); writeErr != nil {
				return writeErr
			}
		}
		if err == nil {
			continue
		}
		bad++
		fmt.Fprintf(os.Stderr, "load %s: %v\n", w.Name, err)
		var f *failure
		if !errors.As(err, &f) {
			return err
		}
		if code != exitFailed && f.code != exitVoid {
			code = f.code
		}
		if cmd.Context().Err() != nil || f.code != exitVoid && !s.keepGoing {
			break
		}
	}
	if bad == 0 {
		return nil
	}
	return &failure{code, fmt.Errorf("loadgen: %d of %d loads failed or are void", bad, len(file.Loads))}
}

// keep writes what there is after each load, so that an end in between loses nothing.
func (s *scenarioRun) keep(title, name string, r *result.Run, all []*result.Run) error {
	if s.dir != "" {
		if err := r.WriteFile(fileName(s.dir, name, ".json")); err != nil {
			return failed(err)
		}
		if err := r.WriteLogFile(fileName(s.dir, name, ".hlog")); err != nil {
			return failed(err)
		}
	}
	if s.html != "" {
		return failed(view.HTMLFile(s.html, all, title))
	}
	return nil
}

// describe says what a load is, before it begins.
func describe(w *workload.Workload) {
	fmt.Printf("== %s: %s by %s", w.Name, w.Mode, w.Client)
	if w.Produces() {
		fmt.Printf(", %s messages/s of %s bytes in batches of %s", w.Rate, w.Size, w.Batch)
	}
	fmt.Printf(", %d topics × %d partitions, %v after %v\n", w.Topics, w.Partitions, w.Duration, w.Warmup)
	for _, n := range w.Notes {
		fmt.Printf("   note: %s\n", n)
	}
}
