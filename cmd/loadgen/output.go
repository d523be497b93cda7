package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"millrace/loadgen"
	"millrace/loadgen/ledger"
	"millrace/loadgen/limits"
	"millrace/loadgen/result"
	"millrace/loadgen/view"
	"millrace/loadgen/workload"

	"github.com/spf13/cobra"
)

// output says where results go. Progress goes to stderr, so that stdout holds results only.
type output struct {
	json  bool
	quiet bool
	name  string
	file  string
	hlog  string
	html  string
	limit string

	measured *limits.Limits
}

func (o *output) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&o.json, "json", false, "print the result as JSON instead of text")
	f.BoolVar(&o.quiet, "quiet", false, "no progress")
	f.StringVar(&o.name, "name", "", "what reports call this run")
	f.StringVarP(&o.file, "output", "o", "", "write the result to this `file`, for report, merge and plan")
	f.StringVar(&o.hlog, "hlog", "", "write the interval log of all latencies to this `file`")
	f.StringVar(&o.limit, "limits", "", "say which share of the host's limits was reached: a `file` that "+
		"loadgen limits wrote, or quick to measure them first (10 s, in this directory)")
	f.StringVar(&o.html, "html", "", "write a report for a browser to this `file`")
}

// single runs one load and puts its result where it shall go.
func (o *output) single(ctx context.Context, w *workload.Workload) error {
	r, err := o.run(ctx, w)
	if r == nil {
		return err
	}
	if writeErr := o.write(r); writeErr != nil {
		return writeErr
	}
	if o.html != "" {
		if htmlErr := failed(view.HTMLFile(o.html, []*result.Run{r}, "")); htmlErr != nil {
			return htmlErr
		}
	}
	return err
}

// run runs one load with its progress and prints its result. The error has its exit code; the
// result is nil when there is none at all.
func (o *output) run(ctx context.Context, w *workload.Workload) (*result.Run, error) {
	host, err := o.limits(ctx)
	if err != nil {
		return nil, err
	}
	var observers []result.Observer
	var live *view.Live
	if !o.quiet {
		live = view.NewLive(os.Stderr, view.LiveOptions{Load: string(w.Mode), Client: w.Client,
			Target: strings.Join(w.Brokers, ","), Rate: w.Rate.PerSecond,
			Warmup: w.Warmup.Seconds(), Duration: w.Duration.Seconds()})
		observers = append(observers, live)
	}
	r, err := loadgen.Run(ctx, w, observers...)
	if live != nil {
		live.Done()
	}
	if r == nil {
		return nil, failed(err)
	}
	r.Command = result.Redact(os.Args)
	if o.name != "" {
		r.Name = o.name
	}
	if host != nil {
		r.Limit = host.Share(r)
	}
	if o.json {
		if printErr := r.Write(os.Stdout); printErr != nil {
			return r, failed(printErr)
		}
	} else if printErr := view.Text(os.Stdout, r); printErr != nil {
		return r, failed(printErr)
	}
	return r, verdict(r, err)
}

// limits are those of the host, if they are asked for. Measured ones are kept for the next load.
func (o *output) limits(ctx context.Context) (*limits.Limits, error) {
	if o.limit == "" || o.measured != nil {
		return o.measured, nil
	}
	var err error
	if o.limit == "quick" {
		o.measured, err = limits.Measure(ctx, limits.Quick("."))
		return o.measured, failed(err)
	}
	if o.measured, err = limits.ReadFile(o.limit); err != nil {
		return nil, &failure{exitUsage, err}
	}
	return o.measured, nil
}

// verdict is the error that a finished run ends the program with.
func verdict(r *result.Run, err error) error {
	switch {
	case r.Verified != nil && !r.Verified.Right():
		return &failure{exitWrong, ledger.ErrWrong}
	case err != nil:
		return failed(err)
	case r.Partial != "":
		return failed(errors.New("loadgen: the run ended early: " + r.Partial))
	case len(r.Errors) > 0:
		return failed(fmt.Errorf("loadgen: the run had errors, the first: %s", r.Errors[0].Name))
	case r.Void != "" && r.Verified == nil: // what was verified is so at any pace
		return &failure{exitVoid, errors.New("loadgen: void: " + r.Void)}
	}
	return nil
}

func (o *output) write(r *result.Run) error {
	if o.file != "" {
		if err := r.WriteFile(o.file); err != nil {
			return failed(err)
		}
	}
	if o.hlog != "" {
		if err := r.WriteLogFile(o.hlog); err != nil {
			return failed(err)
		}
	}
	return nil
}

var notInFileNames = regexp.MustCompile(`[^a-zA-Z0-9._-]+`)

// fileName is the path of one load's file of a kind within a directory.
func fileName(dir, load, kind string) string {
	return filepath.Join(dir, strings.Trim(notInFileNames.ReplaceAllString(load, "-"), "-.")+kind)
}
