package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"millrace/loadgen/result"
	"millrace/loadgen/view"
)

// Publish writes the campaign, its report, the runs behind it, and the document's part.
func (c *Course) Publish() error {
	campaign := c.Judge()
	if len(campaign.Rows) == 0 {
		return errors.New("record: nothing has been measured")
	}
	c.table(campaign)
	base := filepath.Join(c.Results, c.Name)
	var data, page bytes.Buffer
	if err := campaign.Write(&data); err != nil {
		return err
	}
	if err := view.CampaignHTML(&page, campaign); err != nil {
		return err
	}
	runs, err := c.compact()
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{base + ".json": data.Bytes(),
		base + ".html": page.Bytes(), base + "-runs.json": runs} {
		if err := keepFile(name, content); err != nil {
			return err
		}
	}
	limitsFile := base + "-limits.json"
	if c.Limits != nil {
		c.Limits.Host.Name = ""
		if d := c.Limits.Host.Disk; d != nil {
			d.Directory = "."
		}
		if err := c.Limits.WriteFile(limitsFile); err != nil {
			return err
		}
	}
	c.Say("\nfigures in %s.json, every run in %s-runs.json, report in %s.html\n", base, base, base)
	pictures := filepath.Join(c.Results, "pictures")
	if c.Document != "" {
		pictures = filepath.Join(filepath.Dir(c.Document), "pictures")
	}
	files, err := view.CampaignPictures(pictures, c.Name+"-", campaign)
	if err != nil {
		return err
	}
	if c.Document == "" {
		return nil
	}
	text, err := os.ReadFile(c.Document)
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	for i := range files {
		files[i] = "pictures/" + filepath.Base(files[i])
	}
	out, err := Replace(string(text), c.Name, Markdown(campaign, files))
	if err != nil {
		return fmt.Errorf("record: %s: %w", c.Document, err)
	}
	c.Say("%s is up to date\n", c.Document)
	return keepFile(c.Document, []byte(out))
}

// mostRuns bounds what is committed: intervals are left out when they would make more.
const mostRuns = 900_000

// compact is every run without histograms, and with its intervals where that is little.
func (c *Course) compact() ([]byte, error) {
	var last []byte
	for _, intervals := range []bool{true, false} {
		var b bytes.Buffer
		b.WriteString("[\n")
		for i, s := range c.Store.Samples { // one run per line
			x := *s
			if s.Run != nil {
				x.Run = lean(s.Run, intervals)
			}
			line, err := json.Marshal(&x)
			if err != nil {
				return nil, fmt.Errorf("record: %w", err)
			}
			b.Write(line)
			if i < len(c.Store.Samples)-1 {
				b.WriteByte(',')
			}
			b.WriteByte('\n')
		}
		b.WriteString("]\n")
		if last = b.Bytes(); len(last) <= mostRuns {
			break
		}
	}
	return last, nil
}

// lean is a run without what is large: histograms, options (the scenario has them), and of its
// intervals what it has cost, or all of them.
func lean(run *result.Run, intervals bool) *result.Run {
	r := *run
	r.Options, r.Intervals = nil, nil
	r.Latencies = map[result.Kind]result.Summary{}
	for kind, l := range run.Latencies {
		l.Histogram = ""
		r.Latencies[kind] = l
	}
	for _, v := range run.Intervals {
		if !intervals {
			break
		}
		v.Broker, v.Generator = nil, nil
		r.Intervals = append(r.Intervals, v)
	}
	return &r
}

// Markers of the generated part of a document.
func markers(name string) (begin, end string) {
	return "<!-- record " + name + ": made by make bench-" + name + " -->",
		"<!-- record " + name + ": end -->"
}

// Replace puts text between a document's markers.
func Replace(document, name, text string) (string, error) {
	begin, end := markers(name)
	i := strings.Index(document, begin)
	k := strings.Index(document, end)
	if i < 0 || k < i {
		return "", fmt.Errorf("the markers %q … %q are not there", begin, end)
	}
	return document[:i+len(begin)] + "\n" + text + document[k:], nil
}

// Markdown is the generated part: what it depends on, then for each group of figures its picture,
// best and worst, and all rows.
func Markdown(c *view.Campaign, pictures []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s Measured on %s.\n\n", c.Lead, c.Made.UTC().Format("2006-01-02"))
	for _, x := range c.Contestants {
		fmt.Fprintf(&b, "- **%s**: %s.\n", x.Name, x.Note)
	}
	b.WriteString("\nA ratio is ours ÷ theirs, the median of pairs, with its bootstrap 95 % interval and the " +
		"number of pairs. Below one is better for costs, latencies and memory, above one for throughput.\n")
	for i, group := range c.Groups() {
		fmt.Fprintf(&b, "\n#### %s\n\n", group)
		rows := c.RowsOf(group)
		if i < len(pictures) {
			fmt.Fprintf(&b, "![%s: how many times better](%s)\n\n*%s*\n\n", group, pictures[i], caption)
		}
		for _, x := range c.Contestants[1:] {
			if text := extremes(rows, x.Name); text != "" {
				fmt.Fprintf(&b, "Against %s: %s.\n\n", x.Name, text)
			}
		}
		markdownTable(&b, c, rows)
	}
	b.WriteByte('\n')
	return b.String()
}

// caption stands below every picture.
const caption = "Right of 1× the first is better. The client runs on the same virtual processors, over " +
	"loopback; what the virtual disk calls flushed may be in its host's memory. “durable” is an " +
	"acknowledgement behind a flush, “write” one from the page cache, as Kafka's is by default."

// extremes names the best row against a contestant and, beside it, the worst.
func extremes(rows []view.Row, name string) string {
	i, k := view.Extremes(rows, name)
	if i < 0 {
		return ""
	}
	best, worst := &rows[i], &rows[k]
	return fmt.Sprintf("best **%s** (%s, %s), worst **%s** (%s, %s)", view.Times(best.Against(name)), best.Load,
		best.Figure, view.Times(worst.Against(name)), worst.Load, worst.Figure)
}

func markdownTable(b *strings.Builder, c *view.Campaign, rows []view.Row) {
	head := []string{"load", "figure"}
	for i, x := range c.Contestants {
		head = append(head, x.Name)
		if i > 0 {
			head = append(head, "ratio (95 %), pairs", "goal")
		}
	}
	head = append(head, "remark")
	line := func(cells []string) { b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	line(head)
	b.WriteString(strings.Repeat("|---", len(head)) + "|\n")
	for i := range rows {
		row := &rows[i]
		cells := []string{row.Load, row.Figure}
		for k, x := range c.Contestants {
			cells = append(cells, valueOf(row, x.Name))
			if k > 0 {
				cells = append(cells, ratioText(row, x.Name)...)
			}
		}
		line(append(cells, row.Remark))
	}
}

func valueOf(row *view.Row, name string) string {
	for _, v := range row.Values {
		if v.Contestant == name && v.Runs > 0 {
			return row.Show(v.Median)
		}
	}
	return "—"
}

// ratioText is a ratio with its interval, and whether the goal was met: a missed one is bold.
func ratioText(row *view.Row, name string) []string {
	r := row.RatioTo(name)
	if r == nil {
		return []string{"—", ""}
	}
	text := fmt.Sprintf("%.3g (%.3g … %.3g), %d", r.Median, r.Low, r.High, len(r.Pairs))
	if r.Disturbed > 0 {
		text += fmt.Sprintf(", %d disturbed", r.Disturbed)
	}
	if r.Overrun {
		text += ", it did not keep up"
	}
	if r.Goal == 0 {
		return []string{text, ""}
	}
	sign, met := "≤", r.Median <= r.Goal
	if row.More {
		sign, met = "≥", r.Median >= r.Goal
	}
	word := "met"
	if !met {
		word = "**missed**"
	}
	return []string{text, fmt.Sprintf("%s %.3g %s", sign, r.Goal, word)}
}

// table prints all rows.
func (c *Course) table(campaign *view.Campaign) {
	c.Say("\n%s\n", campaign.Lead)
	for _, group := range campaign.Groups() {
		rows := campaign.RowsOf(group)
		c.Say("\n%s\n", group)
		for i := range rows {
			row := &rows[i]
			c.Say("  %-64s %-36s %12s", row.Load, row.Figure, valueOf(row, campaign.Contestants[0].Name))
			for _, x := range campaign.Contestants[1:] {
				if v := valueOf(row, x.Name); v != "—" || row.RatioTo(x.Name) != nil {
					c.Say("  | %s %s: %s", x.Name, v, strings.TrimSpace(strings.Join(ratioText(row, x.Name), " ")))
				}
			}
			if row.Remark != "" {
				c.Say("  (%s)", row.Remark)
			}
			c.Say("\n")
		}
		for _, x := range campaign.Contestants[1:] {
			if text := extremes(rows, x.Name); text != "" {
				c.Say("  against %s: %s\n", x.Name, strings.ReplaceAll(text, "**", ""))
			}
		}
	}
}
