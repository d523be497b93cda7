package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"millrace/bench/load"
	"millrace/loadgen/result"
	"millrace/loadgen/view"
)

// saved is what Save wrote, as far as a sheet needs it.
type saved struct {
	Command     string
	Time        time.Time
	Machine     map[string]string
	Contestants map[string]string
	Rounds      int
	Seconds     float64
	Runs        []Run
}

// sides are the contestants of a sheet, ours first, by their names in results.
var sides = []struct{ name, shown string }{
	{Ours, "Millrace"}, {Theirs, "Kafka"}, {TheirsSyn, "Kafka, flush"},
}

// column is one figure of a sheet. Quantiles need samples.
type column struct {
	group, shown, unit string
	figure             string // among figures
	more               bool
	scale              float64 // from the figure's unit to the shown one
	quantile           float64 // 0: none
}

var (
	messageRate = column{group: "Throughput", shown: "messages", unit: "rate", figure: "msg/s",
		more: true, scale: 1}
	byteRate = column{group: "Throughput", shown: "bytes", unit: "byterate", figure: "MB/s",
		more: true, scale: 1e6}
	perMillion = column{group: "Cost", shown: "broker's CPU per million messages", unit: "s",
		figure: "CPU-s/M msg", scale: 1}
	perGB = column{group: "Cost", shown: "broker's CPU per GB", unit: "s", figure: "CPU-s/GB",
		scale: 1}
	wholePerGB = column{group: "Cost", shown: "machine's CPU per GB, client apart",
		unit: "s", figure: "all CPU-s/GB", scale: 1}
	medianLatency = column{group: "Latency", shown: "p50", unit: "us", figure: "p50 ms",
		scale: 1e3, quantile: 0.5}
	tailLatency = column{group: "Latency", shown: "p99", unit: "us", figure: "p99 ms", scale: 1e3,
		quantile: 0.99}
	farTail = column{group: "Latency", shown: "p99.9", unit: "us", figure: "p99.9 ms", scale: 1e3,
		quantile: 0.999}
)

// shownLoads are what a reader who has not seen the list of loads understands.
var shownLoads = map[string]string{
	"batch":  "produce, 64 × 100 B per batch",
	"single": "produce, 1 × 100 B per request",
	"large":  "produce, 512 × 1 KB per batch",
	"half":   "produce at half of Kafka's maximum",
	"tail":   "fetch, the newest 64 MB",
	"behind": "fetch, 5 GB behind the end",
	"e2e":    "end to end, 2 000 messages/s",
}

func (l *Load) shown(command string) string {
	if s := shownLoads[l.Name]; s != "" {
		return s
	}
	return command + ", " + l.Name
}

// columns of a load: all that it can tell, not only what is asked of it.
func (l *Load) columns() []column {
	switch {
	case l.fetch != "":
		return []column{byteRate, perGB, wholePerGB}
	case l.half || l.args[0] == "e2e":
		return []column{perMillion, medianLatency, tailLatency, farTail}
	case l.Name == "large":
		return []column{byteRate, perGB, wholePerGB}
	}
	return []column{messageRate, perMillion, wholePerGB}
}

// Sheet makes a side by side of all saved results in a directory.
func Sheet(dir string) (*view.Campaign, error) {
	c := &view.Campaign{Format: view.CampaignFormat, Title: "Millrace and Apache Kafka side by side"}
	notes := map[string]string{}
	var lead []string
	for _, command := range []string{"produce", "fetch", "e2e"} {
		s, err := readSaved(filepath.Join(dir, command+".json"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for name, note := range s.Contestants {
			notes[name] = note
		}
		if s.Time.After(c.Made) {
			c.Made = s.Time
		}
		if len(lead) == 0 {
			lead = append(lead, fmt.Sprintf("%s cores (%s), Linux %s; client and brokers share them, "+
				"over loopback; Millrace acknowledges what is on the medium, Kafka what its "+
				"configuration says.", s.Machine["cpus"], s.Machine["cpu"], s.Machine["kernel"]))
		}
		for _, l := range Loads(command) {
			for _, col := range l.columns() {
				if row, ok := s.row(&l, col); ok {
					c.Rows = append(c.Rows, row)
				}
			}
		}
	}
	for _, side := range sides {
		c.Contestants = append(c.Contestants, view.Contestant{Name: side.shown, Note: notes[side.name]})
	}
	c.Lead = strings.Join(lead, " ")
	return c, c.Check()
}

func readSaved(path string) (*saved, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	s := &saved{}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("bench: %s: %w", path, err)
	}
	return s, nil
}

func (s *saved) find(load, contestant string, round int) *load.Report {
	for _, r := range s.Runs {
		if r.Load == load && r.Contestant == contestant && r.Round == round {
			return r.Report
		}
	}
	return nil
}

// value is a column of a report; 0: it does not tell.
func (col *column) value(r *load.Report) float64 {
	if r == nil || col.quantile > 0 && !result.Supported(col.quantile, r.Latency.N) {
		return 0
	}
	return figure(col.figure, r) * col.scale
}

// row is a column of a load over all rounds; false when ours or everybody else's is missing.
func (s *saved) row(l *Load, col column) (view.Row, bool) {
	row := view.Row{Group: col.group, Load: l.shown(s.Command), Figure: col.shown,
		Unit: col.unit, More: col.more, Setup: l.Caption,
		Command: "make bench-" + s.Command + " ONLY=" + l.Name}
	for i, side := range sides {
		var all []float64
		for round := range s.Rounds {
			if v := col.value(s.find(l.Name, side.name, round)); v > 0 {
				all = append(all, v)
			}
		}
		row.Values = append(row.Values, view.NewValue(side.shown, all))
		if i > 0 && len(all) > 0 {
			if r := s.ratio(l, col, side.name); len(r.Pairs) > 0 {
				r.Against = side.shown
				row.Ratios = append(row.Ratios, r)
			}
		}
	}
	return row, len(row.Ratios) > 0
}

// ratio is of the rounds' pairs; disturbed ones are left out unless all were.
func (s *saved) ratio(l *Load, col column, theirs string) view.Ratio {
	collect := func(quiet bool) (a, b []float64, disturbed int) {
		for round := range s.Rounds {
			o, t := s.find(l.Name, Ours, round), s.find(l.Name, theirs, round)
			if o == nil || t == nil {
				continue
			}
			if noisy(o) || noisy(t) {
				disturbed++
				if quiet {
					continue
				}
			}
			a, b = append(a, col.value(o)), append(b, col.value(t))
		}
		return a, b, disturbed
	}
	a, b, disturbed := collect(true)
	if len(a) == 0 {
		a, b, disturbed = collect(false)
	}
	r := view.NewRatio(theirs, a, b)
	r.Disturbed = disturbed
	for _, asked := range l.asked {
		if asked.Figure == col.figure && asked.Ours == Ours && asked.Theirs == theirs {
			r.Goal = asked.Goal
		}
	}
	return r
}
