package view

import (
	"encoding/json"
	"fmt"
	"html"
	"html/template"
	"math"
	"strconv"
	"strings"
)

// A plot is an SVG that is stretched to the room that a page has for it, with its words beside it
// as HTML: so letters keep their size on a narrow screen.
type plot struct {
	title, note string
	x, y        axis
	unit        string // of y, for the script: "us", "rate", "bytes", "cores", "count"
	curves      []curve
	heat        *heat
	tall        bool
}

// axis of a plot: linear, logarithmic, or of nines, where x is −log10(1−q).
type axis struct {
	low, high float64
	log       bool
	ticks     []tick
}

type tick struct {
	v     float64
	label string
	minor bool // left out on a narrow screen
}

// curve is one line. Where y is not a number it has a gap.
type curve struct {
	name, class string
	x, y        []float64
	dashed      bool
	hidden      bool // told by the script, not drawn
	points      bool // points only
}

// heat is a map of columns of time and rows of latency, in levels of 1 to heatLevels.
type heat struct {
	columns []float64 // borders, one more than columns
	rows    []float64 // borders
	cells   [][]uint8 // of columns
}

const (
	heatLevels = 8
	scale      = 1000 // of the drawing's coordinates
	fewPoints  = 20   // curves with so many show them
)

// at is where a value lies on the axis, 0…1.
func (a *axis) at(v float64) float64 {
	low, high := a.low, a.high
	if a.log {
		v, low, high = math.Log10(max(v, a.low)), math.Log10(low), math.Log10(high)
	}
	if high <= low {
		return 0.5
	}
	return min(max((v-low)/(high-low), 0), 1)
}

// linear is an axis from zero with round ticks.
func linear(high float64, label func(float64) string) axis {
	if !(high > 0) {
		high = 1
	}
	step := math.Pow(10, math.Floor(math.Log10(high)))
	switch n := high / step; {
	case n <= 1.2:
		step /= 5
	case n <= 2:
		step /= 2
	case n <= 5:
	default:
		step *= 2
	}
	a := axis{high: step * math.Ceil(high*1.02/step)}
	for i := 0; float64(i)*step <= a.high*1.0001; i++ {
		a.ticks = append(a.ticks, tick{v: float64(i) * step, label: round(label(float64(i) * step))})
	}
	return a
}

// logarithmic is an axis around what is there, with ticks at decades, and between them if there
// are few.
func logarithmic(low, high float64, label func(float64) string) axis {
	if !(low > 0) || !(high >= low) || math.IsInf(high, 0) {
		low, high = 1, 10
	}
	a := axis{log: true, low: below(low), high: above(high)}
	if a.high <= a.low {
		a.high = a.low * 10
	}
	decades := math.Log10(a.high / a.low)
	between := []float64{1, 2, 5}
	if decades > 2.5 {
		between = between[:1]
	}
	for e := math.Floor(math.Log10(a.low)); e <= math.Ceil(math.Log10(a.high)); e++ {
		for _, m := range between {
			v := m * math.Pow(10, e)
			if v >= a.low*0.999 && v <= a.high*1.001 {
				a.ticks = append(a.ticks, tick{v: v, label: round(label(v))})
			}
		}
	}
	return a
}

// below and above are the next of 1, 2, 5 × 10ⁿ.
func below(v float64) float64 {
	e := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{5, 2, 1} {
		if m*e <= v*1.000001 {
			return m * e
		}
	}
	return e
}

func above(v float64) float64 {
	e := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5, 10} {
		if m*e >= v*0.999999 {
			return m * e
		}
	}
	return 10 * e
}

// timeAxis is from the begin of the measurement on.
func timeAxis(seconds float64) axis {
	a := axis{high: max(seconds, 0.001)}
	step := 86400.0
	for _, s := range []float64{0.1, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600,
		7200, 14400, 28800} {
		if seconds/s <= 9 {
			step = s
			break
		}
	}
	for i := 0; float64(i)*step <= a.high*1.0001; i++ {
		v := float64(i) * step
		label := clock(v)
		if seconds < 120 {
			label = round(three(v) + " s")
		}
		a.ticks = append(a.ticks, tick{v: v, label: label, minor: i%2 == 1})
	}
	return a
}

// ninesAxis is of quantiles, as far as they are supported.
func ninesAxis(high float64) axis {
	a := axis{high: max(high, 1)}
	for i, q := range []float64{0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999} {
		if v := -math.Log10(1 - q); v <= a.high+1e-9 {
			a.ticks = append(a.ticks, tick{v: v, label: nines(q), minor: i == 1})
		}
	}
	a.ticks[0].label = "min"
	return a
}

func coordinate(v float64) string {
	return strconv.FormatFloat(math.Round(v*scale*10)/10, 'f', -1, 64)
}

// path is a curve as SVG.
func (p *plot) path(c *curve) string {
	var out strings.Builder
	pen := false
	for i := range c.x {
		if math.IsNaN(c.y[i]) || p.y.log && c.y[i] <= 0 {
			pen = false
			continue
		}
		letter := "L"
		if !pen || c.points {
			letter = "M"
		}
		pen = true
		out.WriteString(letter + coordinate(p.x.at(c.x[i])) + " " + coordinate(1-p.y.at(c.y[i])))
		if c.points {
			out.WriteString("h0")
		}
	}
	return out.String()
}

// HTML draws the plot.
func (p *plot) HTML() template.HTML {
	var out strings.Builder
	class := "plot"
	if p.tall {
		class += " tall"
	}
	fmt.Fprintf(&out, `<figure class="%s"><figcaption><strong>%s</strong> <span>%s</span></figcaption>`,
		class, html.EscapeString(p.title), html.EscapeString(p.note))
	p.legend(&out)
	out.WriteString(`<div class="frame"><div class="ys">`)
	for _, t := range p.y.ticks {
		fmt.Fprintf(&out, `<span style="top:%.2f%%">%s</span>`, 100*(1-p.y.at(t.v)),
			html.EscapeString(t.label))
	}
	fmt.Fprintf(&out, `</div><div class="area"><svg viewBox="0 0 %d %d" preserveAspectRatio="none" `+
		`role="img" aria-label="%s">`, scale, scale, html.EscapeString(p.title))
	p.grid(&out)
	if p.heat != nil {
		p.heat.draw(&out, p)
	}
	for i := range p.curves {
		p.draw(&out, &p.curves[i])
	}
	out.WriteString(`</svg><i class="cross"></i></div><div class="xs">`)
	for _, t := range p.x.ticks {
		minor := ""
		if t.minor {
			minor = ` class="minor"`
		}
		fmt.Fprintf(&out, `<span%s style="left:%.2f%%">%s</span>`, minor, 100*p.x.at(t.v),
			html.EscapeString(t.label))
	}
	out.WriteString(`</div></div>`)
	p.data(&out)
	out.WriteString("</figure>\n")
	return template.HTML(out.String())
}

func (p *plot) legend(out *strings.Builder) {
	if p.heat != nil {
		out.WriteString(`<ul class="legend heat"><li>few</li>`)
		for i := 1; i <= heatLevels; i++ {
			fmt.Fprintf(out, `<li class="swatch h%d"></li>`, i)
		}
		out.WriteString(`<li>many of a moment's samples</li></ul>`)
		return
	}
	if len(p.curves) < 2 {
		return
	}
	out.WriteString(`<ul class="legend">`)
	for _, c := range p.curves {
		class := c.class
		if c.dashed {
			class += " dashed"
		}
		fmt.Fprintf(out, `<li><i class="key %s"></i>%s</li>`, class, html.EscapeString(c.name))
	}
	out.WriteString(`</ul>`)
}

func (p *plot) grid(out *strings.Builder) {
	var d strings.Builder
	for _, t := range p.y.ticks {
		fmt.Fprintf(&d, "M0 %sH%d", coordinate(1-p.y.at(t.v)), scale)
	}
	fmt.Fprintf(out, `<path class="grid" d="%s"/>`, d.String())
	if p.heat == nil {
		d.Reset()
		for _, t := range p.x.ticks {
			fmt.Fprintf(&d, "M%s 0V%d", coordinate(p.x.at(t.v)), scale)
		}
		fmt.Fprintf(out, `<path class="grid upright" d="%s"/>`, d.String())
	}
}

func (p *plot) draw(out *strings.Builder, c *curve) {
	if c.hidden {
		return
	}
	class := c.class
	if c.dashed {
		class += " dashed"
	}
	if d := p.path(c); d != "" && !c.points {
		fmt.Fprintf(out, `<path class="curve %s" d="%s"/>`, class, d)
	}
	if (len(c.x) <= fewPoints || c.points) && !c.dashed {
		dots := *c
		dots.points = true
		if d := p.path(&dots); d != "" {
			fmt.Fprintf(out, `<path class="dots %s" d="%s"/>`, class, d)
		}
	}
}

// told is a curve for the script that tells values under the pointer.
type told struct {
	Name  string `json:"n"`
	Class string `json:"c"`
	X     []any  `json:"x"`
	Y     []any  `json:"y"`
}

func (p *plot) data(out *strings.Builder) {
	all := struct {
		X, Unit   string
		Low, High float64
		Curves    []told
	}{X: "time", Unit: p.unit, Low: p.x.low, High: p.x.high}
	if len(p.x.ticks) > 0 && p.x.ticks[0].label == "min" {
		all.X = "nines"
	}
	for i := range p.curves {
		c := &p.curves[i]
		if c.dashed {
			continue
		}
		t := told{Name: c.name, Class: c.class}
		for k := range c.x {
			t.X, t.Y = append(t.X, brief(c.x[k])), append(t.Y, brief(c.y[k]))
		}
		all.Curves = append(all.Curves, t)
	}
	text, err := json.Marshal(all) // escapes <, > and &
	if err != nil {
		return
	}
	fmt.Fprintf(out, `<script type="application/json">%s</script>`, text)
}

// brief is a number with five digits; what is none is null.
func brief(v float64) any {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	short, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 5, 64), 64)
	return short
}

// draw draws all cells of one level as one path.
func (h *heat) draw(out *strings.Builder, p *plot) {
	var levels [heatLevels + 1]strings.Builder
	for i, column := range h.cells {
		x0, x1 := p.x.at(h.columns[i]), p.x.at(h.columns[i+1])
		for k := 0; k < len(column); k++ {
			level, from := column[k], k
			if level == 0 {
				continue
			}
			for k+1 < len(column) && column[k+1] == level { // one piece of equal cells
				k++
			}
			y0, y1 := 1-p.y.at(h.rows[from]), 1-p.y.at(h.rows[k+1])
			fmt.Fprintf(&levels[level], "M%s %sH%sV%sH%sz", coordinate(x0), coordinate(y0),
				coordinate(x1), coordinate(y1), coordinate(x0))
		}
	}
	for level := 1; level <= heatLevels; level++ {
		if d := levels[level].String(); d != "" {
			fmt.Fprintf(out, `<path class="h%d" d="%s"/>`, level, d)
		}
	}
}
