package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"millrace/bench"
	"millrace/bench/place"
	"millrace/bench/record"
)

func main() { place.Main(run) }

const uring, epoll = "io_uring", "epoll"

// Files of bench/scenarios.
const (
	small = "01-small-messages.yaml"
	kilo  = "02-kilobyte-messages.yaml"
	tiny  = "03-tiny-batches.yaml"
	ends  = "06-end-to-end.yaml"
)

func run(ctx context.Context) error {
	p, err := record.NewPlan("engines")
	if err != nil {
		return err
	}
	defer p.Remove()
	p.Title = "Millrace with io_uring against Millrace with epoll"
	p.Lead = "the client on the same processors, over loopback; what the virtual disk calls flushed may " +
		"be in its host's memory."
	p.Contestants = []string{uring, epoll}
	p.Notes = []string{"`--io uring`: network and disk through one ring per core",
		"`--io epoll`: readiness of sockets, the disk by helper threads; the same binary"}
	p.Warm = warm
	c, err := record.NewCourse(ctx, p, sides(p), loads())
	if err != nil {
		return err
	}
	err = c.Run(ctx)
	if len(c.Store.Samples) == 0 {
		return err
	}
	return errors.Join(err, c.Publish())
}

// Two brokers that each took what memory there is would shrink each other.
const memory = "memory.bytes=2147483648"

func sides(p *record.Plan) (out []*record.Side) {
	for _, s := range []struct{ name, of, io, durability, tag string }{
		{"uring", uring, "uring", "fsync", "durable"}, {"epoll", epoll, "epoll", "fsync", "durable"},
		{"uring-write", uring, "uring", "write", "write"}, {"epoll-write", epoll, "epoll", "write", "write"},
	} {
		args := append([]string{"--io", s.io, "--durability", s.durability, "--set", memory, "--set",
			"log.segment.delete.delay.ms=1000"}, strings.Fields(os.Getenv("MILLRACE_ARGS"))...)
		out = append(out, &record.Side{Name: s.name, Of: s.of, Tag: s.tag,
			Durable: s.durability == "fsync", Contestant: bench.Millrace(
				p.Millrace(), filepath.Join(p.Work, s.name), s.name, args...)})
	}
	return out
}

// loads of each kind, durable and from the page cache: a ring shows most where requests are small.
func loads() (all []*record.Load) {
	perMessage := []string{record.CPUPerMillion, record.Messages, record.P99}
	perByte := []string{record.CPUPerGB, record.Bytes, record.P99}
	endToEnd := []string{record.EndToEnd50, record.EndToEnd99, record.Cores}
	for _, l := range []struct {
		row              int
		set, title, file string
		only             string
		figures          []string
		fetch            bool
	}{
		{1, record.Quick, "100 B, 16 KB batches, as many as go", small, "maximum", perMessage, false},
		{2, record.Core, "1 KB, 1 MB batches, as many as go", kilo, "batches-1m", perByte, false},
		{3, record.Quick, "1 message a request, 64 connections", tiny, "1-of-64", perMessage, false},
		{3, record.Core, "1 message a request, 1 000 connections", tiny, "1-of-1000", perMessage, false},
		{4, record.Core, "4 KB, acks=all, 16 producers", "04-durable.yaml", "4k", perMessage, false},
		{6, record.Quick, "end to end, 20 000 msg/s of 100 B", ends, "20k-100b", endToEnd, false},
		{6, record.Core, "end to end, 100 000 msg/s of 100 B", ends, "100k-100b", endToEnd, false},
		{8, record.Quick, "50 MB/s in, 100 MB/s out", "08-fixed-rate.yaml", "mixed",
			[]string{record.CPUPerGB, record.MachinePerGB, record.EndToEnd99}, false},
		{9, record.Quick, "reading from the start, four consumers", "09-catch-up.yaml", "four-consumers",
			[]string{record.CPUPerGB, record.Bytes}, true},
	} {
		var args []string
		if l.fetch {
			args = []string{"--delete=false"}
		}
		s := record.Scenario{File: l.file, Only: l.only, Args: args}
		load := &record.Load{Row: l.row, Name: fmt.Sprintf("%d %s", l.row, l.only), Title: l.title,
			Set: l.set, Sides: []string{"uring", "epoll"}, Command: s.Command(), Measure: s.Measure}
		for _, name := range l.figures {
			load.Figures = append(load.Figures, record.Asked{Figure: name})
		}
		if l.fetch {
			load.Before = fill
		}
		all = append(all, load)
		if l.row == 1 || l.row == 3 && l.only == "1-of-64" { // without the disk between
			again := *load
			again.Name, again.Sides = load.Name+" write", []string{"uring-write", "epoll-write"}
			all = append(all, &again)
		}
	}
	return all
}

func fill(ctx context.Context, c *record.Course, side *record.Side) error {
	s, err := c.Load(ctx, side, "09-catch-up.yaml", "fill", "--max-bytes", "1GB")
	if err == nil && s.Failed != "" {
		err = fmt.Errorf("engines: filling %s: %s", side.Name, s.Failed)
	}
	return err
}

func warm(ctx context.Context, c *record.Course, side *record.Side) error {
	s, err := c.Load(ctx, side, small, "maximum", "--warmup", "0s", "--duration", "2s")
	if err == nil && s.Failed != "" {
		err = fmt.Errorf("engines: warming %s: %s", side.Name, s.Failed)
	}
	bench.Rest(c.Settle, c.Patience)
	return err
}
