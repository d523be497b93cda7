package view

import (
	"fmt"
	"html"
	"math"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"millrace/loadgen/result"
)

// pictureStyle is what a picture looks like on its own, on a light and on a dark page.
const pictureStyle = `
.picture { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif;
  --pi: #0b0b0b; --pi2: #52514e; --pi3: #75736c; --pg: #e1e0d9; --pz: #f4f3ee; --pb: #fcfcfb;
  --p1: #2a78d6; --p2: #c4630b; --p3: #008300; --p4: #4a3aa7; --p5: #e34948; --p6: #1baf7a; }
.picture text { fill: var(--pi2); } .picture .strong { fill: var(--pi); font-weight: 600; }
.picture .faint { fill: var(--pi3); font-size: 12px; } .picture .back { fill: var(--pb); }
.picture .zone { fill: var(--pz); } .picture .rule { stroke: var(--pg); stroke-width: 1; }
.picture .one { stroke: var(--pi2); stroke-width: 1.5; }
.picture .goal { stroke: var(--pi3); stroke-width: 1.5; stroke-dasharray: 2 2; }
.picture .o1 { stroke: var(--p1); fill: var(--p1); } .picture .o2 { stroke: var(--p2); fill: var(--p2); }
.picture .o3 { stroke: var(--p3); fill: var(--p3); } .picture .o4 { stroke: var(--p4); fill: var(--p4); }
.picture .o5 { stroke: var(--p5); fill: var(--p5); } .picture .o6 { stroke: var(--p6); fill: var(--p6); }
.picture .whisker { stroke-width: 2; stroke-linecap: round; } .picture .trace { fill: none; stroke-width: 2;
  stroke-linejoin: round; }
@media (prefers-color-scheme: dark) { :root:not([data-theme=light]) .picture, .picture:root {
  --pi: #ffffff; --pi2: #c3c2b7; --pi3: #98968d; --pg: #383835; --pz: #242422; --pb: #1a1a19;
  --p1: #5598e7; --p2: #e08a3c; --p3: #3fae3f; --p4: #9085e9; --p5: #e66767; --p6: #29b883; } }
:root[data-theme=dark] .picture {
  --pi: #ffffff; --pi2: #c3c2b7; --pi3: #98968d; --pg: #383835; --pz: #242422; --pb: #1a1a19;
  --p1: #5598e7; --p2: #e08a3c; --p3: #3fae3f; --p4: #9085e9; --p5: #e66767; --p6: #29b883; }
`

// sides that a picture has colours for.
const pictureColours = 6

// canvas is a picture under work.
type canvas struct {
	strings.Builder
	width, height float64
}

func (c *canvas) put(format string, args ...any) { fmt.Fprintf(&c.Builder, format, args...) }

func (c *canvas) text(x, y float64, class, anchor, s string) {
	c.put(`<text x="%.1f" y="%.1f" class="%s" text-anchor="%s">%s</text>`, x, y, class, anchor,
		html.EscapeString(s))
}

func (c *canvas) rule(class string, x0, y0, x1, y1 float64) {
	c.put(`<line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, class, x0, y0, x1, y1)
}

// margin around a picture that stands alone.
const margin = 14.0

// svg is the whole picture; alone, it brings its style, a ground and a margin.
func (c *canvas) svg(title string, alone bool) string {
	x, y, w, h, space := 0.0, 0.0, c.width, c.height, ""
	if alone {
		x, y, w, h = -margin, -margin, w+2*margin, h+2*margin
		space = ` xmlns="http://www.w3.org/2000/svg"`
	}
	head := fmt.Sprintf(`<svg%s class="picture" role="img" viewBox="%.0f %.0f %.0f %.0f" `+
		`width="%.0f" height="%.0f"><title>%s</title>`, space, x, y, w, h, w, h,
		html.EscapeString(title))
	if alone {
		head += "<style>" + pictureStyle + "</style>" + fmt.Sprintf(
			`<rect class="back" x="%.0f" y="%.0f" width="%.0f" height="%.0f"/>`, x, y, w, h)
	}
	return head + c.String() + "</svg>\n"
}

// letter is about the width of one, in pixels: of the widest fonts that a browser may take.
const letter = 7.3

// shorten cuts a label to about a width in pixels, in its middle: ends tell labels apart.
func shorten(s string, pixels float64) string {
	most, all := int(pixels/letter), []rune(s)
	if len(all) <= most {
		return s
	}
	return string(all[:most-most/3-1]) + "…" + string(all[len(all)-most/3:])
}

// Measures of a picture of whiskers, in pixels.
const (
	scaleWidth = 400.0
	textWidth  = 150.0
	lineHeight = 20.0
	rowGap     = 12.0
	topHeight  = 62.0
)

// labelWidth is what the longest label of a picture needs, within bounds.
func labelWidth(rows []Row) float64 {
	longest := 0
	for i := range rows {
		longest = max(longest, utf8.RuneCountInString(rows[i].Load))
	}
	return min(max(float64(longest)*letter+10, 250), 420)
}

// whiskers draws how many times better ours is in every row of a group.
func (c *Campaign) whiskers(group string, alone bool) string {
	rows := c.RowsOf(group)
	a := c.factorAxis(rows)
	labels := labelWidth(rows)
	left, right := labels+10, labels+10+scaleWidth
	at := func(v float64) float64 { return left + a.at(v)*(right-left) }
	height := topHeight + 34
	for i := range rows {
		height += rows[i].lines()*lineHeight + rowGap
	}
	v := &canvas{width: right + textWidth, height: height}
	v.put(`<rect class="zone" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`, left, topHeight,
		at(1)-left, height-34-topHeight)
	c.key(v, rows)
	v.text(at(1)-8, topHeight-8, "faint", "end", "worse")
	v.text(at(1)+8, topHeight-8, "faint", "start", c.Contestants[0].Name+" is better")
	for _, t := range a.ticks {
		v.rule("rule", at(t.v), topHeight, at(t.v), height-34)
		v.text(at(t.v), height-14, "faint", "middle", t.label)
	}
	v.rule("one", at(1), topHeight-4, at(1), height-34)
	y := topHeight
	for i := range rows {
		row := &rows[i]
		lines := row.lines()
		y += rowGap / 2
		v.text(0, y+lineHeight*0.72, "strong", "start", shorten(row.Load, labels))
		v.text(0, y+lineHeight*0.72+16, "faint", "start", shorten(row.Figure+remark(row), labels+20))
		first := y + (lines-float64(len(row.Ratios)))/2*lineHeight
		for k := range row.Ratios {
			c.whisker(v, row, &row.Ratios[k], at, first+(float64(k)+0.5)*lineHeight)
		}
		y += lines*lineHeight + rowGap/2
		v.rule("rule", 0, y, v.width, y)
	}
	return v.svg(group+": how many times better "+c.Contestants[0].Name+" is", alone)
}

// lines of a row in a picture: a load and its figure take two.
func (row *Row) lines() float64 { return float64(max(len(row.Ratios), 2)) }

func remark(row *Row) string {
	if row.Remark == "" {
		return ""
	}
	return " (" + row.Remark + ")"
}

// key names the marks, the one of goals if there are any.
func (c *Campaign) key(v *canvas, rows []Row) {
	x := 0.0
	for i, other := range c.Contestants[1:] {
		if !slices.ContainsFunc(rows, func(r Row) bool { return r.Against(other.Name) > 0 }) {
			continue
		}
		label := c.Contestants[0].Name + " against " + other.Name
		mark(v, i, x+6, 18)
		v.text(x+18, 22, "", "start", label)
		x += 18 + float64(utf8.RuneCountInString(label))*7 + 20
	}
	for _, row := range rows {
		for _, r := range row.Ratios {
			if r.Goal > 0 {
				v.rule("goal", x+4, 10, x+4, 26)
				v.text(x+14, 22, "", "start", "goal")
				return
			}
		}
	}
}

func colour(i int) string { return fmt.Sprintf("o%d", i%pictureColours+1) }

// mark is a disc, a square or a diamond: the form tells as much as the colour.
func mark(v *canvas, side int, x, y float64) {
	switch side % 3 {
	case 0:
		v.put(`<circle class="%s" cx="%.1f" cy="%.1f" r="5"/>`, colour(side), x, y)
	case 1:
		v.put(`<rect class="%s" x="%.1f" y="%.1f" width="9" height="9"/>`, colour(side), x-4.5, y-4.5)
	default:
		v.put(`<path class="%s" d="M%.1f %.1fl6 6l-6 6l-6-6z"/>`, colour(side), x, y-6)
	}
}

func (c *Campaign) whisker(v *canvas, row *Row, r *Ratio, at func(float64) float64, y float64) {
	right := v.width - textWidth + 12
	if len(r.Pairs) == 0 {
		v.text(right, y+4, "faint", "start", "not measured")
		return
	}
	if r.Overrun {
		v.text(right, y+4, "faint", "start", "it did not keep up")
		return
	}
	side := c.side(r.Against) - 1
	median, low, high := row.Better(r)
	if r.Goal > 0 {
		g, _, _ := row.Better(&Ratio{Median: r.Goal, Low: r.Goal, High: r.Goal})
		v.rule("goal", at(g), y-8, at(g), y+8)
	}
	v.rule("whisker "+colour(side), at(low), y, at(high), y)
	for _, end := range []float64{low, high} {
		v.rule("whisker "+colour(side), at(end), y-4, at(end), y+4)
	}
	mark(v, side, at(median), y)
	v.put(`<text x="%.1f" y="%.1f"><tspan class="strong">%s</tspan> <tspan class="faint">%s–%s</tspan></text>`,
		right, y+4, Times(median), strings.TrimSuffix(Times(low), "×"), Times(high))
}

// Measures of a picture of curves.
const (
	curveWidth  = 860.0
	curveHeight = 380.0
)

// picture draws a plot with its words in it, as a file of its own.
func (p *plot) picture() string {
	v := &canvas{width: curveWidth, height: curveHeight}
	left, right, top, bottom := 70.0, curveWidth-20, 70.0, curveHeight-36
	x := func(f float64) float64 { return left + f*(right-left) }
	y := func(f float64) float64 { return bottom - f*(bottom-top) }
	v.text(0, 18, "strong", "start", p.title)
	v.text(0, 36, "faint", "start", p.note)
	at := 0.0
	for i, c := range p.curves {
		v.put(`<line class="whisker %s" x1="%.1f" y1="52" x2="%.1f" y2="52"/>`, colour(i), at, at+18)
		v.text(at+24, 56, "", "start", c.name)
		at += 24 + float64(utf8.RuneCountInString(c.name))*7.2 + 22
	}
	for _, t := range p.y.ticks {
		v.rule("rule", left, y(p.y.at(t.v)), right, y(p.y.at(t.v)))
		v.text(left-8, y(p.y.at(t.v))+4, "faint", "end", t.label)
	}
	for _, t := range p.x.ticks {
		v.text(x(p.x.at(t.v)), bottom+20, "faint", "middle", t.label)
	}
	for i := range p.curves {
		c := &p.curves[i]
		var d strings.Builder
		letter := "M"
		for k := range c.x {
			if !(c.y[k] > 0) && p.y.log || math.IsNaN(c.y[k]) {
				letter = "M"
				continue
			}
			fmt.Fprintf(&d, "%s%.1f %.1f", letter, x(p.x.at(c.x[k])), y(p.y.at(c.y[k])))
			letter = "L"
		}
		v.put(`<path class="trace %s" d="%s"/>`, colour(i), d.String())
	}
	return v.svg(p.title, true)
}

// Pictures writes the curves of runs side by side into a directory, as SVG files whose names begin
// with a prefix: throughput, p99 over time, latency by percentile. It tells their names.
func Pictures(dir, prefix string, runs []*result.Run) ([]string, error) {
	names := labels(runs)
	var all []series
	for i, r := range runs[:min(len(runs), pictureColours)] {
		s, err := seriesOf(r, names[i], commonKind(runs, r), i)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("view: pictures: %w", err)
	}
	var out []string
	for _, p := range overlays(all) {
		name := dir + "/" + prefix + fileName(p.title) + ".svg"
		if err := os.WriteFile(name, []byte(p.picture()), 0o644); err != nil {
			return out, fmt.Errorf("view: pictures: %w", err)
		}
		out = append(out, name)
	}
	return out, nil
}
