package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"millrace/bench/place"
	"millrace/bench/record"
	"millrace/loadgen/workload"
)

// Every load names sides and figures that there are, and a load that its scenario has; both sides
// of a pair differ in their engine only.
func TestLoads(t *testing.T) {
	all := sides(&record.Plan{Place: &place.Place{Repo: "../..", Work: t.TempDir()}})
	find := func(name string) *record.Side {
		return all[slices.IndexFunc(all, func(s *record.Side) bool { return s.Name == name })]
	}
	names := map[string]bool{}
	for _, l := range loads() {
		if names[l.Name] || len(l.Sides) != 2 {
			t.Errorf("%+v", l)
		}
		names[l.Name] = true
		a, b := find(l.Sides[0]), find(l.Sides[1])
		if a.Of != uring || b.Of != epoll || a.Durable != b.Durable || a.Tag != b.Tag {
			t.Errorf("%s: %+v against %+v", l.Name, a, b)
		}
		for _, asked := range l.Figures {
			if !slices.ContainsFunc(record.Figures, func(f record.Figure) bool {
				return f.Name == asked.Figure
			}) {
				t.Errorf("%s: no figure is called %s", l.Name, asked.Figure)
			}
		}
		words := strings.Fields(l.Command)
		s, err := workload.ReadScenario(filepath.Join("../..", words[2]), nil)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(s.Loads, func(w workload.Workload) bool { return w.Name == words[4] }) {
			t.Errorf("%s has no load %s", words[2], words[4])
		}
	}
}
