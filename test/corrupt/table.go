package main

import (
	"fmt"
	"io"
	"slices"
)

// outcome is what came of a round.
type outcome string

const (
	refused      outcome = "refused"
	answered     outcome = "error"
	rebuilt      outcome = "rebuilt"
	dropped      outcome = "dropped"
	harmless     outcome = "harmless"
	wrongOutcome outcome = "WRONG"
)

var outcomes = []outcome{refused, answered, rebuilt, dropped, harmless, wrongOutcome}

// table counts outcomes by kind of file.
type table struct {
	rows   map[string]map[outcome]int
	rounds int
	wrong  int
}

func newTable() *table { return &table{rows: map[string]map[outcome]int{}} }

func (t *table) add(r *round) {
	row := t.rows[r.damage.kind]
	if row == nil {
		row = map[outcome]int{}
		t.rows[r.damage.kind] = row
	}
	row[r.outcome]++
	t.rounds++
	if r.outcome == wrongOutcome {
		t.wrong++
	}
}

func (t *table) sums() map[outcome]int {
	all := map[outcome]int{}
	for _, row := range t.rows {
		for o, n := range row {
			all[o] += n
		}
	}
	return all
}

func (t *table) print(w io.Writer) {
	kinds := make([]string, 0, len(t.rows))
	for k := range t.rows {
		kinds = append(kinds, k)
	}
	slices.Sort(kinds)
	line := func(name string, row map[outcome]int) {
		fmt.Fprintf(w, "%-20s", name)
		for _, o := range outcomes {
			if row == nil {
				fmt.Fprintf(w, "%10s", o)
			} else {
				fmt.Fprintf(w, "%10d", row[o])
			}
		}
		fmt.Fprintln(w)
	}
	line("file", nil)
	for _, k := range kinds {
		line(k, t.rows[k])
	}
	line("all", t.sums())
}
