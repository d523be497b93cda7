package loadgen

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"millrace/loadgen/franz"
	"millrace/loadgen/raw"
	"millrace/loadgen/result"
	"millrace/loadgen/workload"
)

// removeLimit bounds the removal of a run's topics.
const removeLimit = 60 * time.Second

// Run makes a load by the client that it names and returns what it has shown: topics are made
// before it and removed behind it, if it shall. Why a load ended early is in its result's Partial.
// An error comes alone when the load could not begin; beside a result it is ledger.ErrWrong, or
// says that topics could not be removed.
func Run(ctx context.Context, w *workload.Workload, observers ...result.Observer) (*result.Run, error) {
	if err := w.Check(); err != nil {
		return nil, err
	}
	target, err := franz.Prepare(ctx, w)
	if err != nil {
		return nil, err
	}
	run := raw.Run
	if w.Client == workload.Franz {
		run = franz.Run
	}
	r, err := run(ctx, w, observers...)
	if w.Delete {
		err = errors.Join(err, remove(w))
	}
	if r == nil {
		return nil, err
	}
	r.Format, r.Load, r.Client = result.Format, string(w.Mode), w.Client
	r.Name, r.Version = w.Name, version()
	r.Options, r.Rate = result.RedactOptions(w.Map()), w.Rate.PerSecond
	r.Target, r.Host = target, result.ReadHost(".")
	return r, err
}

// remove deletes the topics even of a run that was stopped.
func remove(w *workload.Workload) error {
	ctx, cancel := context.WithTimeout(context.Background(), removeLimit)
	defer cancel()
	if err := franz.Remove(ctx, w); err != nil {
		return fmt.Errorf("%w (the topics are left)", err)
	}
	return nil
}

// version is the commit that this program was built from, as far as the build tells.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	revision, changed := "", ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			if s.Value == "true" {
				changed = "+changes"
			}
		}
	}
	if revision == "" {
		return info.Main.Version
	}
	return revision + changed
}
