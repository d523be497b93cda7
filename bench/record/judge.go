package record

import (
	"fmt"
	"slices"
	"strings"

	"millrace/loadgen/view"
)

// pair are two sides that are compared.
type pair struct{ ours, theirs string }

// pairs of a load: each side of ours against its rivals.
func pairs(sides []*Side, l *Load) (out []pair) {
	for _, name := range l.Sides {
		ours := of(sides, name)
		if !ours.isOurs(sides) {
			continue
		}
		for _, theirs := range ours.rivals(sides, l) {
			out = append(out, pair{name, theirs.Name})
		}
	}
	return out
}

// rivals of a side of ours in a load: never a page cache of ours against a flush of theirs.
func (s *Side) rivals(sides []*Side, l *Load) (out []*Side) {
	for _, name := range l.Sides {
		theirs := of(sides, name)
		if !theirs.isOurs(sides) && (s.Durable || !theirs.Durable) {
			out = append(out, theirs)
		}
	}
	return out
}

func of(sides []*Side, name string) *Side {
	i := slices.IndexFunc(sides, func(s *Side) bool { return s.Name == name })
	return sides[i]
}

// isOurs says whether a side is a form of the first contestant.
func (s *Side) isOurs(sides []*Side) bool { return s.Of == sides[0].Of }

// Judge makes the campaign of what the store has.
func (c *Course) Judge() *view.Campaign {
	out := &view.Campaign{Format: view.CampaignFormat, Title: c.Title, Lead: c.lead()}
	for i, name := range c.Contestants {
		out.Contestants = append(out.Contestants, view.Contestant{Name: name, Note: c.Notes[i]})
	}
	for _, l := range c.loads {
		for _, name := range l.Sides {
			ours := c.Side(name)
			if !ours.isOurs(c.sides) {
				continue
			}
			for _, a := range l.Figures {
				if row, any := c.judge(l, ours, a); any {
					out.Rows = append(out.Rows, row)
				}
			}
		}
	}
	slices.SortStableFunc(out.Rows, func(a, b view.Row) int { return group(a.Group) - group(b.Group) })
	for _, s := range c.Store.Samples {
		if s.Run != nil && s.Run.Started.After(out.Made) {
			out.Made = s.Run.Started
		}
	}
	return out
}

func group(name string) int {
	return slices.Index([]string{Throughput, Cost, Latency, Footprint}, name)
}

func viewRow(f *Figure) view.Row {
	return view.Row{Group: f.Group, Figure: f.Name, Unit: f.Unit, More: f.More}
}

// judge makes the row of one figure of a load on one side of ours; false: nothing was measured.
func (c *Course) judge(l *Load, ours *Side, a Asked) (view.Row, bool) {
	f := find(a.Figure)
	row := viewRow(f)
	row.Load, row.Command = fmt.Sprintf("%d · %s", l.Row, l.Title), l.Command
	if ours.Tag != "" && l.tagged(f) {
		row.Load += " · " + ours.Tag
	}
	v := view.NewValue(ours.Of, c.values(l, f, ours.Name))
	any := v.Runs > 0
	row.Values = append(row.Values, v)
	remarks := []string{}
	if l.Remark != "" {
		remarks = append(remarks, l.Remark)
	}
	late := 0
	for _, theirs := range ours.rivals(c.sides, l) {
		row.Values = append(row.Values, view.NewValue(theirs.Of, c.values(l, f, theirs.Name)))
		r, voided := c.ratio(l, f, ours.Name, theirs)
		r.Goal = a.Goals[theirs.Of]
		row.Ratios = append(row.Ratios, r)
		late = max(late, voided)
	}
	for _, s := range c.sides {
		if n := c.behind(l, s.Name); n > 0 {
			remarks = append(remarks, fmt.Sprintf("%s did not keep up in %d", s.Name, n))
		}
	}
	if late > 0 {
		remarks = append(remarks, fmt.Sprintf("generator late in %d", late))
	}
	if share := c.share(l, ours.Name); share > 0 && (f.Name == CPUPerGB || f.Name == CPUPerMillion) {
		remarks = append(remarks, fmt.Sprintf("%.0f %% of the host's limit", share*100))
	}
	row.Remark = strings.Join(remarks, "; ")
	return row, any
}

// tagged says whether durability matters to a figure of the load.
func (l *Load) tagged(f *Figure) bool { return f.Name != IdleCPU && l.Row != 9 && l.Row != 14 }

// values of a figure in the runs that count.
func (c *Course) values(l *Load, f *Figure, side string) (out []float64) {
	for round := range c.Rounds + c.MaxRepeats {
		s := c.Store.Find(l.Name, side, round)
		if s == nil || !s.counts(f.Latency) && !(c.Keep && s.Failed == "") {
			continue
		}
		if v := f.Of(s); v > 0 {
			out = append(out, v)
		}
	}
	return out
}

// ratio judges the pairs of two sides (C4); late is how many were left out for the generator.
func (c *Course) ratio(l *Load, f *Figure, ours string, theirs *Side) (r view.Ratio, late int) {
	var a, b []float64
	disturbed, overrun := 0, 0
	for round := range c.Rounds + c.MaxRepeats {
		x, y := c.Store.Find(l.Name, ours, round), c.Store.Find(l.Name, theirs.Name, round)
		switch {
		case x == nil || y == nil || x.Failed != "" || y.Failed != "":
			continue
		case x.Disturbed+y.Disturbed != "" && !c.Keep:
			disturbed++
			continue
		case f.Latency && x.Void()+y.Void() != "" && !c.Keep:
			late++
			continue
		}
		a, b = append(a, f.Of(x)), append(b, f.Of(y))
		if y.Behind() {
			overrun++
		}
	}
	r = view.NewRatio(theirs.Of, a, b)
	if len(r.Pairs) == 1 && !c.Keep { // one pair has no interval (C5)
		r = view.Ratio{Against: theirs.Of}
	}
	r.Disturbed, r.Overrun = disturbed, f.Latency && 2*overrun > len(a)
	return r, late
}

// behind is in how many runs a side did not answer what was due in the time.
func (c *Course) behind(l *Load, side string) (n int) {
	for _, s := range c.Store.Samples {
		if s.Load == l.Name && s.Side == side && s.Behind() {
			n++
		}
	}
	return n
}

// share of the host's limit that ours has reached, the median.
func (c *Course) share(l *Load, side string) float64 {
	var all []float64
	for round := range c.Rounds + c.MaxRepeats {
		if s := c.Store.Find(l.Name, side, round); s != nil && s.Run != nil && s.Run.Limit != nil {
			all = append(all, s.Run.Limit.Fraction)
		}
	}
	return view.NewValue(side, all).Median
}

// lead is what every figure depends on.
func (c *Course) lead() string {
	text := c.Lead
	for _, s := range c.Store.Samples {
		if s.Run != nil && s.Run.Host.Cores > 0 {
			h := s.Run.Host
			text = fmt.Sprintf("%d virtual processors (%s), %.0f GiB, Linux %s", h.Cores, h.CPU,
				float64(h.Memory)/(1<<30), h.Kernel)
			if h.Disk != nil {
				text += ", " + h.Disk.Filesystem
			}
			text += "; " + c.Lead
			break
		}
	}
	if c.Limits != nil && c.Limits.Steal > 0 {
		text += fmt.Sprintf(" While the limits were measured the hypervisor took %.2f cores.", c.Limits.Steal)
	}
	text += fmt.Sprintf(" Up to %d pairs of %v each, by the set “%s”.", c.Rounds, c.Length, c.Set)
	if c.stopped != "" {
		text += " There are fewer pairs than planned: " + c.stopped + "."
	}
	if c.Keep {
		text += " DISTURBED PAIRS COUNT HERE, AND THE JVM IS COLD: THIS IS NO RECORD."
	}
	return text
}
