package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// result of one case of one client.
type result struct {
	client, version, name string
	state                 string // PASS, FAIL or SKIP
	detail                string
	took                  time.Duration
}

// report collects results; safe for use by several goroutines.
type report struct {
	mu      sync.Mutex
	results []result
	out     io.Writer
}

func (r *report) add(x result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results = append(r.results, x)
	line := fmt.Sprintf("  %-4s %-22s %s", x.state, x.client, x.name)
	if x.took > 0 {
		line += fmt.Sprintf(" (%.1f s)", x.took.Seconds())
	}
	if x.detail != "" {
		line += ": " + x.detail
	}
	fmt.Fprintln(r.out, line)
}

func (r *report) count() (passed, failed int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range r.results {
		switch x.state {
		case "PASS":
			passed++
		case "FAIL":
			failed++
		}
	}
	return passed, failed
}

// table prints one row per client: version, passed, failed, and the names of what failed.
func (r *report) table() {
	r.mu.Lock()
	defer r.mu.Unlock()
	type row struct {
		client, version         string
		passed, failed, skipped int
		failures                []string
	}
	var rows []*row
	byClient := map[string]*row{}
	for _, x := range r.results {
		w := byClient[x.client]
		if w == nil {
			w = &row{client: x.client}
			byClient[x.client] = w
			rows = append(rows, w)
		}
		if x.version != "" {
			w.version = x.version
		}
		switch x.state {
		case "PASS":
			w.passed++
		case "FAIL":
			w.failed++
			w.failures = append(w.failures, x.name)
		default:
			w.skipped++
		}
	}
	fmt.Fprintf(r.out, "\n%-24s %-26s %5s %5s %5s  %s\n",
		"CLIENT", "VERSION", "PASS", "FAIL", "SKIP", "FAILED CASES")
	for _, w := range rows {
		fmt.Fprintf(r.out, "%-24s %-26s %5d %5d %5d  %s\n", w.client, w.version,
			w.passed, w.failed, w.skipped, strings.Join(w.failures, ", "))
	}
}

// lacks says that a client reported no such case, so there is nothing of it to read again.
func (r *report) lacks(client, name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range r.results {
		if x.client == client && x.name == name {
			return false
		}
	}
	return true
}
