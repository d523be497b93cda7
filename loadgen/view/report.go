package view

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"os"
	"slices"
	"sort"
	"strings"
	"time"

	"millrace/loadgen/result"
)

//go:embed report.html
var pageText string

//go:embed report.css
var pageStyle string

//go:embed report.js
var pageScript string

var page = template.Must(template.New("report").Parse(pageText))

// sheetOfPage is what the template shows.
type sheetOfPage struct {
	Title, Lead string
	Style       template.CSS
	Script      template.JS
	Notices     []notice
	Tiles       []tile
	Compare     *comparison
	Plots       []template.HTML
	Runs        []runPart
	Several     bool
	Campaign    *campaignPart
	Made        string
}

// notice is what must be read before any figure (V2).
type notice struct{ Class, Word, Text string }

// tile is one headline figure.
type tile struct{ Label, Value, Sub, Class string }

// runPart is what is told of one run.
type runPart struct {
	Name, Heading, Lead string
	Class               string
	Plots               []template.HTML
	Latencies           *table
	Tables              []table
	Facts               []factList
	Command             string
	Open                bool
}

// table has its first column left-aligned, the others right.
type table struct {
	Title string
	Words bool // no figures: all columns left-aligned
	Long  bool // rows have long names
	Head  []string
	Rows  [][]string
}

type factList struct {
	Title string
	Facts []fact
}

type fact struct{ Name, Value string }

// mostCurves is how many runs a plot tells apart; the tables have all.
const mostCurves = 8

// HTML writes a report of one run, or of several side by side, the first one as the baseline.
func HTML(w io.Writer, runs []*result.Run, title string) error {
	if len(runs) == 0 {
		return fmt.Errorf("view: a report of no run")
	}
	names := labels(runs)
	p := &sheetOfPage{Title: title, Style: template.CSS(pageStyle),
		Script: template.JS(pageScript), Several: len(runs) > 1,
		Made: time.Now().UTC().Format("2006-01-02 15:04 UTC")}
	all := make([]series, len(runs))
	for i, r := range runs {
		s, err := seriesOf(r, names[i], commonKind(runs, r), i)
		if err != nil {
			return err
		}
		all[i] = s
		p.notices(r, names[i], len(runs) > 1)
	}
	if len(runs) == 1 {
		r := runs[0]
		if p.Title == "" {
			p.Title = titleOf(r)
		}
		p.Lead = heading(r) + " · " + span(r.Seconds) + when(r)
		p.Tiles = tiles(r)
		p.Plots = all[0].plots()
	} else {
		if p.Title == "" {
			p.Title = fmt.Sprintf("%d runs side by side", len(runs))
		}
		p.Lead = "Ratios are to the first run, " + names[0] + "."
		p.Compare = compare(runs, names)
		for _, plot := range overlays(all[:min(len(all), mostCurves)]) {
			p.Plots = append(p.Plots, plot.HTML())
		}
	}
	for i, r := range runs {
		part := runPartOf(r, names[i], len(runs) == 1)
		if len(runs) == 1 {
			part.Name = "Details"
		}
		part.Class = fmt.Sprintf("s%d", i%mostCurves+1)
		if len(runs) > 1 {
			part.Plots = all[i].plots()
		}
		p.Runs = append(p.Runs, part)
	}
	return p.write(w)
}

func (p *sheetOfPage) write(w io.Writer) error {
	if err := page.Execute(w, p); err != nil {
		return fmt.Errorf("view: report: %w", err)
	}
	return nil
}

func titleOf(r *result.Run) string {
	out := r.Load
	if r.Name != "" {
		out = r.Name + ": " + out
	}
	if r.Rate > 0 {
		return out + " at " + strings.ReplaceAll(round(scaled(r.Rate, "")), " ", "\u00a0") + " messages/s"
	}
	return out + ", as fast as it goes"
}

// commonKind is the latency that runs are compared by: the baseline's, if all have it.
func commonKind(runs []*result.Run, r *result.Run) result.Kind {
	kind := runs[0].Headline()
	for _, x := range runs {
		if x.Latencies[kind].Count == 0 {
			return r.Headline()
		}
	}
	return kind
}

func (p *sheetOfPage) notices(r *result.Run, name string, several bool) {
	prefix := ""
	if several {
		prefix = name + ": "
	}
	if r.Void != "" {
		p.Notices = append(p.Notices, notice{"bad", "Void",
			prefix + r.Void + ". Do not rely on these figures."})
	}
	if v := r.Verified; v != nil && !v.Right() {
		p.Notices = append(p.Notices, notice{"bad", "Wrong", prefix + faults(v) + "."})
	}
	if r.Partial != "" {
		p.Notices = append(p.Notices, notice{"warn", "Partial",
			prefix + "the run did not go as asked for: " + r.Partial})
	}
	if n := errorsOf(r); n > 0 {
		p.Notices = append(p.Notices, notice{"warn", "Errors",
			fmt.Sprintf("%s%s, most often %s.", prefix, plural(n, "error"), mostOften(r).Name)})
	}
}

func errorsOf(r *result.Run) int64 {
	var n int64
	for _, e := range r.Errors {
		n += e.Count
	}
	return n
}

func mostOften(r *result.Run) result.ErrorCount {
	return slices.MaxFunc(r.Errors, func(a, b result.ErrorCount) int {
		return int(min(max(a.Count-b.Count, -1), 1))
	})
}

// labels name runs so that they can be told apart: by their names, by what they ran against, or
// by the options in which they differ.
func labels(runs []*result.Run) []string {
	tries := []func(*result.Run) string{
		func(r *result.Run) string { return r.Name },
		func(r *result.Run) string { return r.Target.Software },
	}
	differ := differing(runs)
	tries = append(tries, func(r *result.Run) string {
		var words []string
		for _, name := range differ[:min(len(differ), 3)] {
			words = append(words, fmt.Sprintf("%s=%v", name, r.Options[name]))
		}
		return strings.Join(words, " ")
	}, func(r *result.Run) string { return r.ID })
	for _, try := range tries {
		out, seen := make([]string, len(runs)), map[string]bool{}
		for i, r := range runs {
			out[i] = try(r)
			seen[out[i]] = true
		}
		if len(seen) == len(runs) && !seen[""] {
			return out
		}
	}
	out := make([]string, len(runs))
	for i := range runs {
		out[i] = fmt.Sprintf("run %d", i+1)
	}
	return out
}

// differing are the names of options that are not the same in all runs.
func differing(runs []*result.Run) []string {
	values := map[string]map[string]bool{}
	for _, r := range runs {
		for name, v := range r.Options {
			if values[name] == nil {
				values[name] = map[string]bool{}
			}
			values[name][fmt.Sprint(v)] = true
		}
	}
	var out []string
	for name, of := range values {
		if len(of) > 1 {
			out = append(out, name)
		}
	}
	sort.Strings(out)
	return out
}

func tiles(r *result.Run) []tile {
	var out []tile
	n, bytes := moved(r)
	what := "acknowledged"
	if r.Acked == 0 {
		what = "received"
	}
	t := tile{Label: "Throughput", Value: scaled(rate(n, r.Seconds), ""),
		Sub: "messages/s " + what}
	if bytes > 0 {
		t.Sub += ", " + size(rate(bytes, r.Seconds)) + "/s"
	}
	out = append(out, t)
	kind := r.Headline()
	if s := r.Latencies[kind]; s.Count > 0 {
		for _, q := range []float64{0.5, 0.99, 0.999} {
			v, ok := s.At(q)
			t := tile{Label: nines(q) + " " + string(kind), Value: known(v, ok),
				Sub: meaning(q)}
			if !ok {
				t.Sub = "too few samples to tell"
			}
			out = append(out, t)
		}
		if s := r.Latencies[result.EndToEnd]; kind != result.EndToEnd && s.Count > 0 {
			v, ok := s.At(0.99)
			out = append(out, tile{Label: "p99 end-to-end", Value: known(v, ok),
				Sub: "due to be sent → received"})
		}
		out = append(out, tile{Label: "Slowest", Value: micros(s.Max),
			Sub: "of " + grouped(s.Count) + " samples"})
	}
	if b := r.Broker; b != nil && n > 0 {
		out = append(out, tile{Label: "Broker's CPU", Value: three(b.PerMillion(n)) + " s",
			Sub: "per million messages, " + three(b.CPUSeconds/max(b.Seconds, 1e-9)) + " cores"})
	}
	if l := r.Limit; l != nil {
		out = append(out, tile{Label: "Share of the limit", Value: percent(l.Fraction), Sub: l.Name})
	}
	if e := errorsOf(r); e > 0 {
		out = append(out, tile{Label: "Errors", Value: grouped(e), Sub: mostOften(r).Name,
			Class: "bad"})
	}
	return out
}

func meaning(q float64) string {
	switch q {
	case 0.5:
		return "half were faster"
	case 0.99:
		return "1 in 100 was slower"
	}
	return fmt.Sprintf("1 in %.0f was slower", 1/(1-q))
}

// HTMLFile writes a report to a file.
func HTMLFile(path string, runs []*result.Run, title string) error {
	var out bytes.Buffer
	if err := HTML(&out, runs, title); err != nil {
		return err
	}
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		return fmt.Errorf("view: report: %w", err)
	}
	return nil
}
