package view

import (
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"math"
	"math/rand"
	"os"
	"slices"
	"strings"
	"time"
)

// CampaignFormat is the name and version of a campaign's file.
const CampaignFormat = "loadgen-campaign/1"

// Campaign is a side by side of one broker with others: rows of what was measured in pairs. It is
// data: who measures fills it, here it becomes a report and pictures.
type Campaign struct {
	Format      string       `json:"format"`
	Title       string       `json:"title"`
	Lead        string       `json:"lead,omitempty"` // the machine, and what every figure depends on
	Made        time.Time    `json:"made"`
	Contestants []Contestant `json:"contestants"` // the first one is ours
	Rows        []Row        `json:"rows"`
}

// Contestant is one side.
type Contestant struct {
	Name string `json:"name"`
	Note string `json:"note,omitempty"` // version, configuration, durability
}

// Row is one figure of one load.
type Row struct {
	Group   string  `json:"group"`  // rows of a group share a picture: "Throughput"
	Load    string  `json:"load"`   // "produce, 100 B × 64 per batch"
	Figure  string  `json:"figure"` // "p99 response"
	Unit    string  `json:"unit"`   // "us", "rate" (per second), "bytes", "seconds", or a word
	More    bool    `json:"more,omitempty"`
	Values  []Value `json:"values"`            // of contestants
	Ratios  []Ratio `json:"ratios"`            // ours to each of the others
	Setup   string  `json:"setup,omitempty"`   // "8 partitions, 4 connections × 8 in flight, acks=1"
	Command string  `json:"command,omitempty"` // that repeats it
	Remark  string  `json:"remark,omitempty"`  // "client is the limit"
}

// Value is what one contestant showed: medians of its runs, and how many there were.
type Value struct {
	Contestant string  `json:"contestant"`
	Median     float64 `json:"median"`
	Low        float64 `json:"low"` // of all runs
	High       float64 `json:"high"`
	Runs       int     `json:"runs"`
}

// Ratio is the median of the ratios of pairs, ours ÷ theirs, with its bootstrap 95 % interval.
type Ratio struct {
	Against   string    `json:"against"`
	Median    float64   `json:"median"`
	Low       float64   `json:"low"`
	High      float64   `json:"high"`
	Pairs     []float64 `json:"pairs"`
	Disturbed int       `json:"disturbed,omitempty"` // pairs left out, for other load on the machine
	Goal      float64   `json:"goal,omitempty"`      // a ratio; 0: none
	// Overrun: of a latency whose other side did not hold the rate. Its latency is that of a queue
	// which grows as long as one measures; the ratio does not say how much quicker ours is.
	Overrun bool `json:"overrun,omitempty"`
}

// NewRatio judges pairs: ours[i] and theirs[i] were measured next to each other. Pairs without a
// figure of both are left out.
func NewRatio(against string, ours, theirs []float64) Ratio {
	r := Ratio{Against: against}
	for i := range min(len(ours), len(theirs)) {
		if ours[i] > 0 && theirs[i] > 0 {
			r.Pairs = append(r.Pairs, ours[i]/theirs[i])
		}
	}
	if len(r.Pairs) == 0 {
		return r
	}
	r.Median = middle(r.Pairs)
	r.Low, r.High = bootstrap(r.Pairs)
	return r
}

// NewValue sums up the runs of one contestant.
func NewValue(contestant string, runs []float64) Value {
	v := Value{Contestant: contestant, Runs: len(runs)}
	if len(runs) > 0 {
		v.Median, v.Low, v.High = middle(runs), slices.Min(runs), slices.Max(runs)
	}
	return v
}

// middle is the median of what is not empty.
func middle(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

const draws = 4000

// bootstrap is the 95 % interval of the median by drawing with replacement; with a fixed seed, so
// that the same data has the same interval.
func bootstrap(v []float64) (low, high float64) {
	rnd := rand.New(rand.NewSource(1))
	medians := make([]float64, draws)
	pick := make([]float64, len(v))
	for i := range medians {
		for k := range pick {
			pick[k] = v[rnd.Intn(len(v))]
		}
		medians[i] = middle(pick)
	}
	slices.Sort(medians)
	return medians[draws/40], medians[draws-draws/40-1]
}

// Limits of a campaign's file.
const (
	maxCampaign = 64 << 20
	maxRows     = 10_000
	maxSides    = 16
)

// ReadCampaign reads and checks a campaign's file; name is for errors.
func ReadCampaign(r io.Reader, name string) (*Campaign, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxCampaign))
	if err != nil {
		return nil, fmt.Errorf("view: %s: %w", name, err)
	}
	c := &Campaign{}
	if err := json.Unmarshal(data, c); err != nil {
		return nil, fmt.Errorf("view: %s: %w", name, err)
	}
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("view: %s: %w", name, err)
	}
	return c, nil
}

// Check says what cannot be true.
func (c *Campaign) Check() error {
	switch {
	case c.Format != CampaignFormat:
		return fmt.Errorf("format %.40q is not %q", c.Format, CampaignFormat)
	case len(c.Contestants) < 2 || len(c.Contestants) > maxSides:
		return fmt.Errorf("%d contestants", len(c.Contestants))
	case len(c.Rows) == 0 || len(c.Rows) > maxRows:
		return fmt.Errorf("%d rows", len(c.Rows))
	}
	for i, row := range c.Rows {
		if len(row.Ratios) > maxSides || len(row.Values) > maxSides {
			return fmt.Errorf("rows[%d]: too many ratios or values", i)
		}
		for _, r := range row.Ratios {
			ordered := r.Low >= 1e-12 && r.Low <= r.Median && r.Median <= r.High && r.High <= 1e12
			goal := r.Goal == 0 || r.Goal >= 1e-12 && r.Goal <= 1e12
			if len(r.Pairs) > 0 && !ordered || !goal {
				return fmt.Errorf("rows[%d]: a ratio of %v (%v to %v)", i, r.Median, r.Low, r.High)
			}
			if c.side(r.Against) <= 0 {
				return fmt.Errorf("rows[%d]: %.40q is not among the others", i, r.Against)
			}
		}
	}
	return nil
}

// side is a contestant's place; -1: none.
func (c *Campaign) side(name string) int {
	return slices.IndexFunc(c.Contestants, func(x Contestant) bool { return x.Name == name })
}

// Write writes a campaign as JSON.
func (c *Campaign) Write(w io.Writer) error {
	c.Format = CampaignFormat
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	e.SetEscapeHTML(false)
	if err := e.Encode(c); err != nil {
		return fmt.Errorf("view: campaign: %w", err)
	}
	return nil
}

// Better turns a ratio into how many times better ours is: above one is better, for every figure.
func (row *Row) Better(r *Ratio) (median, low, high float64) {
	if row.More {
		return r.Median, r.Low, r.High
	}
	return 1 / r.Median, 1 / r.High, 1 / r.Low
}

// Times prints how many times better.
func Times(v float64) string {
	switch {
	case v >= 9.95:
		return fmt.Sprintf("%.0f×", v)
	case v >= 0.995:
		return fmt.Sprintf("%.1f×", v)
	case v >= 0.0995:
		return fmt.Sprintf("%.2f×", v)
	}
	return three(v) + "×"
}

// Show prints a figure in its unit.
func (row *Row) Show(v float64) string {
	if v == 0 {
		return none
	}
	switch row.Unit {
	case "us":
		return micros(v)
	case "rate":
		return scaled(v, "") + "/s"
	case "bytes":
		return size(v)
	case "byterate":
		return size(v) + "/s"
	case "seconds":
		return micros(v * 1e6)
	}
	return strings.TrimSpace(three(v) + " " + row.Unit)
}

// campaignPart is what a report tells of a campaign.
type campaignPart struct {
	Title, Lead string
	Sections    []campaignSection
	Tables      []table
}

type campaignSection struct {
	Title, Note string
	Picture     template.HTML
}

// Groups of rows, in the order of their first rows.
func (c *Campaign) Groups() []string {
	var out []string
	for _, row := range c.Rows {
		if !slices.Contains(out, row.Group) {
			out = append(out, row.Group)
		}
	}
	return out
}

// RowsOf a group, in their order.
func (c *Campaign) RowsOf(group string) []Row {
	var out []Row
	for _, row := range c.Rows {
		if row.Group == group {
			out = append(out, row)
		}
	}
	return out
}

// extremes names the best and the worst row of a group against one of the others (V4).
func (c *Campaign) extremes(rows []Row) string {
	var out []string
	for _, other := range c.Contestants[1:] {
		best, worst := Extremes(rows, other.Name)
		if best >= 0 {
			out = append(out, fmt.Sprintf("against %s: best %s (%s, %s), worst %s (%s, %s)", other.Name,
				Times(rows[best].Against(other.Name)), rows[best].Load, rows[best].Figure,
				Times(rows[worst].Against(other.Name)),
				rows[worst].Load, rows[worst].Figure))
		}
	}
	return strings.Join(out, ";\n")
}

// Extremes are the rows in which ours is the best and the worst against a contestant; −1: there are
// none.
func Extremes(rows []Row, name string) (best, worst int) {
	best, worst = -1, -1
	for i := range rows {
		v := rows[i].Against(name)
		if v == 0 {
			continue
		}
		if best < 0 || v > rows[best].Against(name) {
			best = i
		}
		if worst < 0 || v < rows[worst].Against(name) {
			worst = i
		}
	}
	return best, worst
}

// Against is how many times better ours is than a contestant; 0: not measured, or not to be told.
func (row *Row) Against(name string) float64 {
	if r := row.RatioTo(name); r != nil && !r.Overrun {
		m, _, _ := row.Better(r)
		return m
	}
	return 0
}

// RatioTo is ours to a contestant's; nil: not measured.
func (row *Row) RatioTo(name string) *Ratio {
	for i := range row.Ratios {
		if r := &row.Ratios[i]; r.Against == name && len(r.Pairs) > 0 {
			return r
		}
	}
	return nil
}

// table of all rows of a group.
func (c *Campaign) table(group string) table {
	t := table{Title: group, Long: true, Head: []string{"", "figure"}}
	for _, x := range c.Contestants {
		t.Head = append(t.Head, x.Name)
	}
	for _, x := range c.Contestants[1:] {
		t.Head = append(t.Head, "÷ "+x.Name, "95 % interval, pairs")
	}
	rows := c.RowsOf(group)
	remarks := slices.ContainsFunc(rows, func(r Row) bool { return r.Remark != "" })
	if remarks {
		t.Head = append(t.Head, "remark")
	}
	for _, row := range rows {
		cells := []string{row.Load, row.Figure}
		for _, x := range c.Contestants {
			cells = append(cells, row.value(x.Name))
		}
		for _, x := range c.Contestants[1:] {
			ratio, interval := row.ratio(x.Name)
			cells = append(cells, ratio, interval)
		}
		if remarks {
			cells = append(cells, row.Remark)
		}
		t.Rows = append(t.Rows, cells)
	}
	return t
}

// value is what a contestant showed, as text.
func (row *Row) value(name string) string {
	for _, v := range row.Values {
		if v.Contestant == name && v.Runs > 0 {
			return row.Show(v.Median)
		}
	}
	return none
}

// ratio is ours to a contestant's, as text, with its interval and number of pairs.
func (row *Row) ratio(name string) (ratio, interval string) {
	r := row.RatioTo(name)
	if r == nil {
		return none, ""
	}
	interval = fmt.Sprintf("%s … %s, %d", three(r.Low), three(r.High), len(r.Pairs))
	if r.Disturbed > 0 {
		interval += fmt.Sprintf(" (%d disturbed)", r.Disturbed)
	}
	if r.Overrun {
		interval += ", it did not keep up"
	}
	return three(r.Median), interval
}

// CampaignHTML writes a campaign's report.
func CampaignHTML(w io.Writer, c *Campaign) error {
	if err := c.Check(); err != nil {
		return fmt.Errorf("view: campaign: %w", err)
	}
	part := &campaignPart{Title: "How many times better", Lead: "Each mark is the median of the " +
		"ratios of pairs that ran next to each other, the line its 95 % interval (bootstrap). Right " +
		"of the line at 1×, " + c.Contestants[0].Name + " is better; left of it the other is."}
	sides := table{Title: "Contestants", Words: true, Head: []string{"", "what it is"}}
	for _, x := range c.Contestants {
		sides.Rows = append(sides.Rows, []string{x.Name, x.Note})
	}
	for _, group := range c.Groups() {
		part.Sections = append(part.Sections, campaignSection{Title: group,
			Note: c.extremes(c.RowsOf(group)), Picture: template.HTML(c.whiskers(group, false))})
		part.Tables = append(part.Tables, c.table(group))
	}
	part.Tables = append(part.Tables, sides, c.loads())
	p := &sheetOfPage{Title: c.Title, Lead: c.Lead, Style: template.CSS(pageStyle + pictureStyle),
		Script: template.JS(pageScript), Campaign: part,
		Made: c.Made.UTC().Format("2006-01-02 15:04 UTC")}
	return p.write(w)
}

// loads says what each of them is, and how to repeat it.
func (c *Campaign) loads() table {
	t := table{Title: "Loads", Words: true, Head: []string{"", "what it is", "command"}}
	seen := map[string]bool{}
	for _, row := range c.Rows {
		if !seen[row.Load] {
			seen[row.Load] = true
			t.Rows = append(t.Rows, []string{row.Load, row.Setup, row.Command})
		}
	}
	return t
}

// CampaignPictures writes one SVG file for each group of rows into a directory, and tells their
// names.
func CampaignPictures(dir, prefix string, c *Campaign) ([]string, error) {
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("view: campaign: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("view: pictures: %w", err)
	}
	var names []string
	for _, group := range c.Groups() {
		name := dir + "/" + prefix + fileName(group) + ".svg"
		if err := os.WriteFile(name, []byte(c.whiskers(group, true)), 0o644); err != nil {
			return names, fmt.Errorf("view: pictures: %w", err)
		}
		names = append(names, name)
	}
	return names, nil
}

// fileName makes one of a title.
func fileName(title string) string {
	words := strings.FieldsFunc(strings.ToLower(title), func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9')
	})
	if len(words) == 0 {
		return "picture"
	}
	return strings.Join(words, "-")
}

// factorAxis is a logarithmic axis of how many times better, with 1× on it.
func (c *Campaign) factorAxis(rows []Row) axis {
	low, high := 0.5, 2.0
	for i := range rows {
		for k := range rows[i].Ratios {
			r := &rows[i].Ratios[k]
			if len(r.Pairs) == 0 || r.Overrun {
				continue
			}
			_, l, h := rows[i].Better(r)
			low, high = min(low, l), max(high, h)
			if r.Goal > 0 {
				g, _, _ := rows[i].Better(&Ratio{Median: r.Goal, Low: r.Goal, High: r.Goal})
				low, high = min(low, g), max(high, g)
			}
		}
	}
	a := axis{log: true, low: math.Pow(2, math.Floor(math.Log2(low*0.999))),
		high: math.Pow(2, math.Ceil(math.Log2(high*1.001)))}
	step := 1.0
	if math.Log2(a.high/a.low) > 9 {
		step = 2
	}
	for e := math.Log2(a.low); e <= math.Log2(a.high)+1e-9; e++ {
		if v := math.Pow(2, e); math.Mod(math.Abs(e), step) == 0 {
			label := fmt.Sprintf("%.0f×", v)
			if v < 1 {
				label = fmt.Sprintf("1/%.0f", 1/v)
			}
			a.ticks = append(a.ticks, tick{v: v, label: label})
		}
	}
	return a
}
