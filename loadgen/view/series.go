package view

import (
	"fmt"
	"html/template"
	"math"
	"slices"

	"millrace/loadgen/result"
)

// series is a run as curves.
type series struct {
	run     *result.Run
	name    string
	class   string // colour, the same in all plots
	kind    result.Kind
	windows []window
}

func seriesOf(r *result.Run, name string, kind result.Kind, index int) (series, error) {
	ws, err := windows(r, kind)
	return series{run: r, name: name, kind: kind, windows: ws,
		class: fmt.Sprintf("s%d", index%mostCurves+1)}, err
}

// over is a curve over time of a figure of windows.
func (s *series) over(name, class string, of func(*window) float64) curve {
	c := curve{name: name, class: class}
	for i := range s.windows {
		w := &s.windows[i]
		c.x, c.y = append(c.x, w.middle()), append(c.y, of(w))
	}
	return c
}

// Figures of a window.

func ackedRate(w *window) float64    { return rate(w.acked, w.seconds) }
func receivedRate(w *window) float64 { return rate(w.received, w.seconds) }
func catchUpRate(w *window) float64  { return rate(w.catchUp, w.seconds) }
func median(w *window) float64       { return w.p50 }
func tail(w *window) float64         { return w.p99 }
func slowest(w *window) float64      { return w.high }

// throughput is what moved: what was acknowledged, or else received.
func (s *series) throughput(w *window) float64 {
	if s.run.Acked > 0 {
		return ackedRate(w)
	}
	return rate(w.received+w.catchUp, w.seconds)
}

func costOf(get func(*result.Cost) float64) func(*window) float64 {
	return func(w *window) float64 {
		if w.broker == nil || w.broker.Seconds <= 0 {
			return math.NaN()
		}
		return get(w.broker)
	}
}

func cores(c *result.Cost) float64    { return c.CPUSeconds / c.Seconds }
func resident(c *result.Cost) float64 { return float64(c.RSS) }
func written(c *result.Cost) float64  { return rate(c.DiskWritten, c.Seconds) }
func fetched(c *result.Cost) float64  { return rate(c.DiskRead, c.Seconds) }
func switches(c *result.Cost) float64 {
	return rate(c.VoluntarySwitches+c.InvoluntarySwitches, c.Seconds)
}

// plots of one run.
func (s *series) plots() []template.HTML {
	var out []template.HTML
	add := func(p *plot) {
		if p != nil {
			out = append(out, p.HTML())
		}
	}
	if len(s.windows) > 0 {
		add(s.flowPlot())
		add(s.latencyPlot())
	}
	add(s.kindsPlot())
	add(s.heatPlot())
	if len(s.windows) > 0 {
		add(s.errorPlot())
		add(s.catchUpPlot())
		for _, p := range s.behindPlots() {
			add(p)
		}
		for _, p := range costPlots([]series{*s}) {
			add(p)
		}
	}
	return out
}

// each says what a point of the curves is.
func (s *series) each() string {
	if len(s.windows) == 0 {
		return ""
	}
	return "each point is " + span(s.windows[0].seconds)
}

func (s *series) flowPlot() *plot {
	p := &plot{title: "Throughput over time", note: "messages per second; " + s.each(), unit: "rate",
		x: timeAxis(s.run.Seconds)}
	high := s.run.Rate
	for _, f := range []struct {
		name, class string
		total       int64
		of          func(*window) float64
	}{
		{"acknowledged", "s1", s.run.Acked, ackedRate},
		{"received", "s2", s.run.Received, receivedRate},
	} {
		if f.total == 0 {
			continue
		}
		c := s.over(f.name, f.class, f.of)
		high = max(high, highest(c.y))
		p.curves = append(p.curves, c)
	}
	if s.run.Rate > 0 {
		p.curves = append(p.curves, curve{name: "asked for", class: "ask", dashed: true,
			x: []float64{0, s.run.Seconds}, y: []float64{s.run.Rate, s.run.Rate}})
	}
	if len(p.curves) == 0 {
		return nil
	}
	p.y = linear(high, func(v float64) string { return scaled(v, "") })
	return p
}

func highest(v []float64) float64 {
	out := 0.0
	for _, x := range v {
		if !math.IsNaN(x) {
			out = max(out, x)
		}
	}
	return out
}

// catchUpPlot is of readers that read what is old, as fast as they can: far more than comes in.
func (s *series) catchUpPlot() *plot {
	c := s.over("received, catching up", "s1", catchUpRate)
	if highest(c.y) == 0 {
		return nil
	}
	return &plot{title: "Catching up", note: "messages per second, by readers of what is old",
		unit: "rate", x: timeAxis(s.run.Seconds), curves: []curve{c},
		y: linear(highest(c.y), func(v float64) string { return scaled(v, "") })}
}

// around is the range of what is above zero.
func around(curves []curve) (low, high float64) {
	low = math.Inf(1)
	for _, c := range curves {
		for _, v := range c.y {
			if v > 0 && !math.IsNaN(v) {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	return low, high
}

func (s *series) latencyPlot() *plot {
	p := &plot{title: "Latency over time", unit: "us", x: timeAxis(s.run.Seconds),
		note: string(s.kind) + ", logarithmic; " + s.each()}
	p.curves = []curve{s.over("slowest", "q3", slowest), s.over("p99", "q2", tail),
		s.over("p50", "q1", median)}
	if highest(p.curves[1].y) == 0 {
		p.curves = append(p.curves[:1], p.curves[2])
		p.note += "; too few samples for a p99"
	}
	low, high := around(p.curves)
	if high == 0 {
		return nil
	}
	p.y = logarithmic(low, high, micros)
	return p
}

// percentiles is a summary's distribution, as far as its samples support it.
func percentiles(sum *result.Summary, name, class string) (c curve, reach float64) {
	c = curve{name: name, class: class}
	if sum.Histogram == "" && sum.Count > 0 { // kept without it: what is told, and no more
		c.x, c.y = []float64{0}, []float64{sum.Min}
		for _, q := range sum.Quantiles {
			reach = -math.Log10(1 - q.Q)
			c.x, c.y = append(c.x, reach), append(c.y, q.Micros)
		}
		return c, reach
	}
	h, err := result.Decode(sum.Histogram)
	if err != nil || h.TotalCount() == 0 {
		return curve{}, 0
	}
	const steps = 40 // to a tenth of what is left
	for i := 0; i <= 7*steps; i++ {
		x := float64(i) / steps
		q := 1 - math.Pow(10, -x)
		if i > 0 && !result.Supported(q-1e-9, sum.Count) {
			break
		}
		v := min(float64(h.ValueAtQuantile(100*q))/1000, sum.Max)
		if i == 0 {
			v = sum.Min
		}
		c.x, c.y = append(c.x, x), append(c.y, v)
		reach = x
	}
	return c, reach
}

// nineCurves is a plot of distributions.
func nineCurves(title, note string, curves []curve, reach float64) *plot {
	low, high := around(curves)
	if high == 0 {
		return nil
	}
	return &plot{title: title, note: note, unit: "us", tall: true, x: ninesAxis(reach),
		y: logarithmic(low, high, micros), curves: curves}
}

func (s *series) kindsPlot() *plot {
	var curves []curve
	reach := 0.0
	for i, kind := range kindsOf(s.run) {
		sum := s.run.Latencies[kind]
		c, r := percentiles(&sum, string(kind), fmt.Sprintf("s%d", i%mostCurves+1))
		if len(c.x) > 0 {
			curves, reach = append(curves, c), max(reach, r)
		}
	}
	return nineCurves("Latency by percentile",
		"p99 is what 99 of 100 stayed below; ends where samples become too few", curves, reach)
}

func (s *series) heatPlot() *plot {
	h := heatOf(s.windows)
	if h == nil {
		return nil
	}
	p := &plot{title: "Where latencies lay", unit: "us", x: timeAxis(s.run.Seconds), heat: h, tall: true,
		note: string(s.kind) + ", logarithmic; the colour tells how many samples"}
	p.y = logarithmic(h.rows[0], h.rows[len(h.rows)-1], micros)
	p.curves = []curve{s.over("slowest", "q3", slowest), s.over("p99", "q2", tail),
		s.over("p50", "q1", median)}
	for i := range p.curves {
		p.curves[i].hidden = true
	}
	return p
}

// behindPlots say how much was under way: requests, and messages that nobody had read yet.
func (s *series) behindPlots() []*plot {
	var out []*plot
	for _, f := range []struct {
		title, note string
		of          func(*window) float64
	}{
		{"In flight", "requests without an answer, at the end of each interval",
			func(w *window) float64 { return float64(w.inFlight) }},
		{"Lag", "messages written and not yet read, at the end of each interval",
			func(w *window) float64 { return float64(w.lag) }},
	} {
		c := s.over(f.note, "s1", f.of)
		if highest(c.y) == 0 {
			continue
		}
		out = append(out, &plot{title: f.title, note: f.note, unit: "count",
			x: timeAxis(s.run.Seconds), curves: []curve{c},
			y: linear(highest(c.y), func(v float64) string { return scaled(v, "") })})
	}
	return out
}

func (s *series) errorPlot() *plot {
	c := s.over("errors per second", "bad", func(w *window) float64 {
		return rate(w.errors, w.seconds)
	})
	if highest(c.y) == 0 {
		return nil
	}
	return &plot{title: "Errors over time", note: "errors per second", unit: "rate",
		x: timeAxis(s.run.Seconds), curves: []curve{c},
		y: linear(highest(c.y), func(v float64) string { return scaled(v, "") })}
}

// costPlots are small plots of what the brokers used.
func costPlots(all []series) []*plot {
	var out []*plot
	longest := 0.0
	for i := range all {
		longest = max(longest, all[i].run.Seconds)
	}
	for _, f := range []struct {
		title, note, unit, field string
		of                       func(*result.Cost) float64
		label                    func(float64) string
	}{
		{"The broker's CPU", "cores", "cores", "cpu_seconds", cores, three},
		{"The broker's memory", "resident", "bytes", "rss_bytes", resident, size},
		{"Written to disk", "bytes per second", "byterate", "disk_written_bytes", written, size},
		{"Read from disk", "bytes per second", "byterate", "disk_read_bytes", fetched, size},
		{"Context switches", "per second", "rate", "voluntary_switches", switches,
			func(v float64) string { return scaled(v, "") }},
	} {
		p := &plot{title: f.title, note: f.note, unit: f.unit, x: timeAxis(longest)}
		high := 0.0
		for i := range all {
			s := &all[i]
			if b := s.run.Broker; b == nil || slices.Contains(b.Unknown, f.field) {
				continue
			}
			c := s.over(s.name, s.class, costOf(f.of))
			if len(all) == 1 {
				c.class, c.name = "s1", f.note
			}
			high = max(high, highest(c.y))
			p.curves = append(p.curves, c)
		}
		if high == 0 {
			continue
		}
		p.y = linear(high, f.label)
		out = append(out, p)
	}
	return out
}

// overlays are the plots of several runs together.
func overlays(all []series) []*plot {
	longest, high, reach := 0.0, 0.0, 0.0
	var flow, tails, spread []curve
	for i := range all {
		s := &all[i]
		longest = max(longest, s.run.Seconds)
		c := s.over(s.name, s.class, s.throughput)
		high = max(high, highest(c.y))
		flow = append(flow, c)
		c = s.over(s.name, s.class, tail)
		if highest(c.y) == 0 { // too few samples: the slowest is what there is
			c = s.over(s.name+" (slowest)", s.class, slowest)
		}
		tails = append(tails, c)
		sum := s.run.Latencies[s.kind]
		if c, r := percentiles(&sum, s.name, s.class); len(c.x) > 0 {
			spread, reach = append(spread, c), max(reach, r)
		}
	}
	kind := string(all[0].kind)
	var list []*plot
	if high > 0 {
		list = append(list, &plot{title: "Throughput over time", note: "messages per second",
			unit: "rate", x: timeAxis(longest), curves: flow,
			y: linear(high, func(v float64) string { return scaled(v, "") })})
	}
	if low, top := around(tails); top > 0 {
		list = append(list, &plot{title: "p99 over time", note: kind + ", logarithmic", unit: "us",
			x: timeAxis(longest), curves: tails, y: logarithmic(low, top, micros)})
	}
	if p := nineCurves("Latency by percentile",
		kind+"; ends where samples become too few", spread, reach); p != nil {
		list = append(list, p)
	}
	return append(list, costPlots(all)...)
}
