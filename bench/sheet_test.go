package bench

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"millrace/bench/load"
	"millrace/loadgen/view"
)

// report of a load that moved so many messages in ten seconds at so much of the broker's CPU.
func report(messages int64, cpu, foreign float64) *load.Report {
	return &load.Report{Seconds: 10, Messages: messages, Bytes: messages * 110, Client: 1, Machine: 4,
		Foreign: foreign, Broker: &load.Process{CPU: cpu},
		Latency: load.Latency{P50: 200, P99: 2000, P999: 9000, N: 50_000}}
}

func write(t *testing.T, dir, command string, runs []Run) {
	t.Helper()
	data, err := json.Marshal(map[string]any{"command": command, "time": "2026-11-21T02:37:10Z",
		"machine": map[string]string{"cpu": "x", "cpus": "2", "kernel": "6"}, "rounds": 3, "runs": runs,
		"contestants": map[string]string{Ours: "fsync", Theirs: "page cache", TheirsSyn: "flush"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, command+".json"), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestSheetHasEveryFigure(t *testing.T) {
	dir := t.TempDir()
	var runs []Run
	for round := range 3 {
		foreign := 0.0
		if round == 2 {
			foreign = 3
		}
		runs = append(runs, Run{"batch", Ours, round, report(30_000_000, 2, foreign)},
			Run{"batch", Theirs, round, report(10_000_000, 10, 0)},
			Run{"half", Ours, round, report(5_000_000, 1, 0)}, Run{"half", Theirs, round, report(5_000_000, 4, 0)})
	}
	write(t, dir, "produce", runs)
	c, err := Sheet(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]view.Row{}
	for _, row := range c.Rows {
		got[row.Load+": "+row.Figure] = row
	}
	batch := got["produce, 64 × 100 B per batch: messages"]
	if len(batch.Ratios) != 1 || batch.Ratios[0].Median != 3 || batch.Ratios[0].Disturbed != 1 ||
		len(batch.Ratios[0].Pairs) != 2 || batch.Ratios[0].Goal != 2.5 || !batch.More {
		t.Errorf("%+v", batch)
	}
	if v := batch.Values[0]; v.Contestant != "Millrace" || v.Median != 3e6 || v.Runs != 3 {
		t.Errorf("%+v", v)
	}
	half := got["produce at half of Kafka's maximum: p99"]
	if len(half.Ratios) != 1 || half.Values[1].Median != 2000 {
		t.Errorf("%+v", half)
	}
	if _, ok := got["produce at half of Kafka's maximum: p99.9"]; ok {
		t.Error("a p99.9 of 50 000 samples")
	}
	if _, err := Sheet(t.TempDir()); err == nil {
		t.Error("a sheet of nothing")
	}
}
