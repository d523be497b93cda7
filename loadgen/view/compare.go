package view

import (
	"fmt"

	"millrace/loadgen/result"
)

// comparison is several runs in one table; the first one is the baseline (V4).
type comparison struct {
	Names  []column
	Groups []group
	Differ *table // options that are not the same
}

type column struct {
	Name, Class, Mark string
	Base              bool
}

type group struct {
	Title string
	Rows  []line
}

type line struct {
	Name  string
	Cells []cell
}

// cell is a figure and what it is to the baseline's.
type cell struct {
	Value, Ratio string
	Class, Word  string  // better or worse
	Bar          float64 // percent of the row's largest
}

// figure is a row of the comparison.
type figure struct {
	group, name string
	more        bool // is better
	of          func(*result.Run) (float64, bool)
	show        func(float64) string
}

func quantileFigure(q float64) figure {
	return figure{group: "Latency", name: nines(q),
		of: func(r *result.Run) (float64, bool) {
			s := r.Latencies[r.Headline()]
			return s.At(q)
		}, show: micros}
}

// costFigure is a figure of the broker's cost, unless its source does not tell the field.
func costFigure(name, field string, show func(float64) string,
	of func(*result.Run, *result.Cost) float64) figure {
	return figure{group: "The broker's cost", name: name, show: show,
		of: func(r *result.Run) (float64, bool) {
			b := r.Broker
			if b == nil || b.Seconds <= 0 {
				return 0, false
			}
			for _, unknown := range b.Unknown {
				if unknown == field {
					return 0, false
				}
			}
			v := of(r, b)
			return v, v > 0
		}}
}

func perSecond(v float64) string { return scaled(v, "") + "/s" }

// figures are the rows of every comparison.
func figures() []figure {
	out := []figure{
		{"Throughput", "messages", true, func(r *result.Run) (float64, bool) {
			n, _ := moved(r)
			return rate(n, r.Seconds), n > 0
		}, perSecond},
		{"Throughput", "bytes", true, func(r *result.Run) (float64, bool) {
			_, n := moved(r)
			return rate(n, r.Seconds), n > 0
		}, func(v float64) string { return size(v) + "/s" }},
	}
	for _, q := range shownQuantiles {
		out = append(out, quantileFigure(q))
	}
	return append(out,
		figure{"Latency", "slowest", false, func(r *result.Run) (float64, bool) {
			s := r.Latencies[r.Headline()]
			return s.Max, s.Count > 0
		}, micros},
		costFigure("CPU", "cpu_seconds", func(v float64) string { return three(v) + " cores" },
			func(_ *result.Run, b *result.Cost) float64 { return b.CPUSeconds / b.Seconds }),
		costFigure("CPU per million messages", "cpu_seconds",
			func(v float64) string { return three(v) + " s" },
			func(r *result.Run, b *result.Cost) float64 { n, _ := moved(r); return b.PerMillion(n) }),
		costFigure("CPU per GB", "cpu_seconds", func(v float64) string { return three(v) + " s" },
			func(r *result.Run, b *result.Cost) float64 { _, n := moved(r); return b.PerGB(n) }),
		costFigure("memory", "rss_bytes", size,
			func(_ *result.Run, b *result.Cost) float64 { return float64(b.RSS) }),
		costFigure("context switches", "voluntary_switches", perSecond,
			func(_ *result.Run, b *result.Cost) float64 { return switches(b) }),
		costFigure("written to disk ÷ acknowledged", "disk_written_bytes", three,
			func(r *result.Run, b *result.Cost) float64 {
				return float64(b.DiskWritten) / float64(max(r.AckedBytes, 1))
			}),
		figure{"The run", "errors", false, func(r *result.Run) (float64, bool) {
			return float64(errorsOf(r)), true
		}, func(v float64) string { return grouped(int64(v)) }},
		figure{"The run", "share of the limit", true, func(r *result.Run) (float64, bool) {
			if r.Limit == nil {
				return 0, false
			}
			return r.Limit.Fraction, true
		}, percent},
	)
}

func compare(runs []*result.Run, names []string) *comparison {
	c := &comparison{}
	for i, r := range runs {
		col := column{Name: names[i], Class: fmt.Sprintf("s%d", i%mostCurves+1)}
		switch {
		case r.Void != "":
			col.Mark = "void"
		case r.Partial != "":
			col.Mark = "partial"
		}
		col.Base = i == 0
		c.Names = append(c.Names, col)
	}
	for _, f := range figures() {
		row, any := f.line(runs)
		if !any {
			continue
		}
		if n := len(c.Groups); n == 0 || c.Groups[n-1].Title != f.group {
			c.Groups = append(c.Groups, group{Title: f.group})
		}
		g := &c.Groups[len(c.Groups)-1]
		g.Rows = append(g.Rows, row)
	}
	if differ := differing(runs); len(differ) > 0 {
		t := &table{Title: "Options that differ", Words: true, Head: append([]string{""}, names...)}
		for _, name := range differ {
			row := []string{name}
			for _, r := range runs {
				v, set := r.Options[name]
				if !set {
					v = none
				}
				row = append(row, fmt.Sprint(v))
			}
			t.Rows = append(t.Rows, row)
		}
		c.Differ = t
	}
	return c
}

// judge says whether a ratio is better or worse. Of void runs nothing is, nor of a throughput that
// both runs only were asked for.
func (f *figure) judge(ratio float64, base, r *result.Run) (class, word string) {
	asked := f.group == "Throughput" && base.Rate > 0 && r.Rate > 0
	switch {
	case ratio > 0.97 && ratio < 1.03, asked, base.Void != "", r.Void != "":
		return "", ""
	case ratio > 1 == f.more:
		return "better", "better than the baseline"
	}
	return "worse", "worse than the baseline"
}

// line is a row; without any figure it is none.
func (f *figure) line(runs []*result.Run) (out line, any bool) {
	out.Name = f.name
	base, baseKnown := f.of(runs[0])
	top := 0.0
	for _, r := range runs {
		if v, ok := f.of(r); ok {
			top, any = max(top, v), true
		}
	}
	for i, r := range runs {
		v, ok := f.of(r)
		if !ok {
			out.Cells = append(out.Cells, cell{Value: none})
			continue
		}
		c := cell{Value: f.show(v)}
		if top > 0 {
			c.Bar = 100 * v / top
		}
		if i > 0 && baseKnown && base > 0 {
			c.Ratio = three(v/base) + "×"
			c.Class, c.Word = f.judge(v/base, runs[0], r)
		}
		out.Cells = append(out.Cells, c)
	}
	return out, any
}
