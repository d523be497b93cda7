package view

import (
	"fmt"
	"sort"
	"strings"

	"millrace/loadgen/result"
)

// runPartOf is what is told of a run beside its curves.
func runPartOf(r *result.Run, name string, open bool) runPart {
	p := runPart{Name: name, Heading: heading(r), Command: commandLine(r.Command), Open: open,
		Lead: span(r.Seconds) + when(r) + asked(r)}
	p.Latencies = latencyTable(r)
	if t := readerTable(r); t != nil {
		p.Tables = append(p.Tables, *t)
	}
	if t := errorTable(r); t != nil {
		p.Tables = append(p.Tables, *t)
	}
	if t := partTable(r); t != nil {
		p.Tables = append(p.Tables, *t)
	}
	add := func(title string, facts []fact) {
		kept := facts[:0]
		for _, f := range facts {
			if f.Value != "" {
				kept = append(kept, f)
			}
		}
		if len(kept) > 0 {
			p.Facts = append(p.Facts, factList{title, kept})
		}
	}
	add("Messages", countFacts(r))
	add("Verification", verifiedFacts(r))
	add("Broker's cost", brokerFacts(r))
	add("The limit", limitFacts(r))
	add("Generator and machine", machineFacts(r))
	add("Host", hostFacts(&r.Host))
	add("Options", optionFacts(r))
	return p
}

// commandLine quotes words as a shell wants them.
func commandLine(argv []string) string {
	out := make([]string, len(argv))
	for i, word := range argv {
		if word == "" || strings.ContainsAny(word, " \t\n\"'`$&|;<>()*?[]#~\\{}!") {
			word = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
		out[i] = word
	}
	return strings.Join(out, " ")
}

// kindMeaning says what a latency is from and to.
var kindMeaning = map[result.Kind]string{
	result.Response: "due to be sent → acknowledged",
	result.EndToEnd: "due to be sent → received",
	result.Service:  "sent → answered",
	result.Delay:    "due to be sent → sent",
	result.Connect:  "connection begun → usable",
	result.Commit:   "first message due → committed",
}

func latencyTable(r *result.Run) *table {
	kinds := kindsOf(r)
	if len(kinds) == 0 {
		return nil
	}
	t := &table{Title: "Latency", Head: []string{""}}
	for _, q := range shownQuantiles {
		t.Head = append(t.Head, nines(q))
	}
	t.Head = append(t.Head, "max", "mean", "samples")
	for _, kind := range kinds {
		s := r.Latencies[kind]
		name := string(kind)
		if m := kindMeaning[kind]; m != "" {
			name += " (" + m + ")"
		}
		row := []string{name}
		for _, q := range shownQuantiles {
			row = append(row, known(s.At(q)))
		}
		t.Rows = append(t.Rows, append(row, micros(s.Max), micros(s.Mean), grouped(s.Count)))
	}
	return t
}

func readerTable(r *result.Run) *table {
	if len(r.Readers) == 0 {
		return nil
	}
	t := &table{Title: "Readers", Head: []string{"", "consumers", "messages/s", "bytes/s", "p50",
		"p99", "behind at the end", "caught up after"}}
	for _, g := range r.Readers {
		p50, p99, behind := none, none, none
		if g.EndToEnd != nil {
			p50, p99 = known(g.EndToEnd.At(0.5)), known(g.EndToEnd.At(0.99))
		}
		if g.Behind > 0 {
			behind = span(g.Behind)
		}
		t.Rows = append(t.Rows, []string{g.Name, grouped(int64(g.Consumers)),
			scaled(rate(g.Received, r.Seconds), ""), size(rate(g.Bytes, r.Seconds)), p50, p99,
			grouped(g.Lag), behind})
	}
	return t
}

func errorTable(r *result.Run) *table {
	if len(r.Errors) == 0 {
		return nil
	}
	t := &table{Title: "Errors", Words: true, Head: []string{"", "times", "first after", "example"}}
	for _, e := range r.Errors {
		name := e.Name
		if e.Code != 0 {
			name += fmt.Sprintf(" (%d)", e.Code)
		}
		t.Rows = append(t.Rows, []string{name, grouped(e.Count), span(max(e.FirstAt, 0)), e.Example})
	}
	return t
}

func partTable(r *result.Run) *table {
	if len(r.Parts) == 0 {
		return nil
	}
	t := &table{Title: "Merged from", Words: true, Head: []string{"", "host", "seconds", "acked",
		"remarks", "command"}}
	for _, p := range r.Parts {
		remark := p.Partial
		if p.Void != "" {
			remark = "void: " + p.Void
		}
		t.Rows = append(t.Rows, []string{p.ID, p.Host.Name, three(p.Seconds), grouped(p.Acked),
			remark, commandLine(p.Command)})
	}
	return t
}

// some is a count, or nothing where there is none.
func some(n int64, text string) string {
	if n == 0 {
		return ""
	}
	return text
}

func countFacts(r *result.Run) []fact {
	per := func(n int64) string {
		return some(n, grouped(n)+", "+scaled(rate(n, r.Seconds), "")+"/s")
	}
	bytes := func(n int64) string {
		return some(n, size(float64(n))+", "+size(rate(n, r.Seconds))+"/s")
	}
	want := "as many as go"
	if r.Rate > 0 {
		want = round(scaled(r.Rate, "")) + " messages/s"
	}
	return []fact{{"Asked for", want}, {"Sent", per(r.Sent)}, {"Acknowledged", per(r.Acked)},
		{"Received", per(r.Received)}, {"Received by readers catching up", per(r.CatchUp)},
		{"Requests answered", per(r.Requests)}, {"Bytes acknowledged", bytes(r.AckedBytes)},
		{"Bytes received", bytes(r.ReceivedBytes)},
		{"Transactions committed", per(r.Transactions)},
		{"Transactions aborted", some(r.Aborted, grouped(r.Aborted))}}
}

func verifiedFacts(r *result.Run) []fact {
	v := r.Verified
	if v == nil {
		return nil
	}
	verdict := "right: every acknowledged message arrived once, in order and whole"
	if !v.Right() {
		verdict = "WRONG: " + faults(v)
	}
	return []fact{{"Verdict", verdict}, {"Expected", grouped(v.Expected)},
		{"Received", grouped(v.Received)}, {"Missing", grouped(v.Missing)},
		{"Twice", grouped(v.Duplicates)}, {"Out of order", grouped(v.Disordered)},
		{"Damaged", grouped(v.Damaged)}, {"Never sent", grouped(v.Unknown)},
		{"Examples", strings.Join(v.Examples[:min(len(v.Examples), 10)], "; ")}}
}

func brokerFacts(r *result.Run) []fact {
	b := r.Broker
	if b == nil || b.Seconds <= 0 {
		return nil
	}
	n, bytes := moved(r)
	facts := []fact{
		{"Measured by", b.Source},
		{"CPU", fmt.Sprintf("%s s, %s cores", three(b.CPUSeconds), three(b.CPUSeconds/b.Seconds))},
		{"CPU per million messages", some(n, three(b.PerMillion(n))+" s")},
		{"CPU per GB", some(bytes, three(b.PerGB(bytes))+" s")},
	}
	told := func(field, name, value string) {
		for _, unknown := range b.Unknown {
			if unknown == field {
				return
			}
		}
		facts = append(facts, fact{name, value})
	}
	told("user_seconds", "In its own code", three(b.User)+" s")
	told("system_seconds", "In the kernel", three(b.System)+" s")
	told("rss_bytes", "Resident memory, most", size(float64(b.RSS)))
	told("voluntary_switches", "Context switches", fmt.Sprintf("%s/s waiting, %s/s made to",
		scaled(rate(b.VoluntarySwitches, b.Seconds), ""),
		scaled(rate(b.InvoluntarySwitches, b.Seconds), "")))
	written := size(float64(b.DiskWritten))
	if r.AckedBytes > 0 {
		written += fmt.Sprintf(", %s× what was acknowledged",
			three(float64(b.DiskWritten)/float64(r.AckedBytes)))
	}
	told("disk_written_bytes", "Written to disk", written)
	told("disk_read_bytes", "Read from disk", size(float64(b.DiskRead)))
	return facts
}

func limitFacts(r *result.Run) []fact {
	l := r.Limit
	if l == nil {
		return nil
	}
	facts := []fact{{"Limit", l.Name}, {"Reached", fmt.Sprintf("%s of %s %s: %s",
		scaled(l.Reached, ""), scaled(l.Limit, ""), l.Unit, percent(l.Fraction))}, {"Note", l.Note}}
	for _, p := range l.Parts {
		facts = append(facts, fact{p.Name, scaled(p.Value, "") + " " + p.Unit})
	}
	return facts
}

func machineFacts(r *result.Run) []fact {
	var facts []fact
	if g := r.Generator; g != nil && g.Seconds > 0 {
		facts = append(facts, fact{"Generator's CPU", fmt.Sprintf("%s s, %s cores",
			three(g.CPUSeconds), three(g.CPUSeconds/g.Seconds))},
			fact{"Generator's memory", some(g.RSS, size(float64(g.RSS)))})
	}
	if m := r.Machine; m != nil && r.Seconds > 0 {
		cores := float64(max(m.Cores, 1))
		facts = append(facts,
			fact{"Machine busy", percent(m.Busy/r.Seconds/cores) + " of " +
				plural(int64(m.Cores), "core")},
			fact{"Interrupts", percent(m.Interrupt / r.Seconds / cores)},
			fact{"Stolen by the hypervisor", percent(m.Steal / r.Seconds / cores)},
			fact{"Other processes", three(m.Foreign/r.Seconds) + " cores"},
			fact{"Somebody waited for a core", percent(m.Waiting/r.Seconds) + " of the time"})
	}
	return facts
}

func hostFacts(h *result.Host) []fact {
	facts := []fact{{"Name", h.Name}, {"CPU", h.CPU},
		{"Cores", some(int64(h.Cores), grouped(int64(h.Cores)))},
		{"CPU limit of the cgroup", some(int64(h.CPULimit*1000), three(h.CPULimit)+" cores")},
		{"Memory", some(h.Memory, size(float64(h.Memory)))},
		{"Memory limit of the cgroup", some(h.MemLimit, size(float64(h.MemLimit)))},
		{"Kernel", h.Kernel}, {"System", h.System}, {"Hypervisor", h.Hypervisor},
		{"CPU governor", h.Governor}, {"Open files", some(h.OpenFiles, grouped(h.OpenFiles))}}
	if d := h.Disk; d != nil {
		disk := d.Device
		if d.Model != "" {
			disk += ", " + d.Model
		}
		if d.Rotational {
			disk += ", rotating"
		}
		facts = append(facts, fact{"Directory", d.Directory},
			fact{"Filesystem", strings.TrimSuffix(d.Filesystem+" ("+d.Options+")", " ()")},
			fact{"Disk", disk}, fact{"Disk's cache", d.Cache}, fact{"I/O scheduler", d.Scheduler},
			fact{"Space", some(d.Size, size(float64(d.Size))+", "+size(float64(d.Free))+" free")})
	}
	return facts
}

func optionFacts(r *result.Run) []fact {
	names := make([]string, 0, len(r.Options))
	for name := range r.Options {
		names = append(names, name)
	}
	sort.Strings(names)
	var facts []fact
	for _, name := range names {
		facts = append(facts, fact{name, fmt.Sprint(r.Options[name])})
	}
	return facts
}
