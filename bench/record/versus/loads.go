package main

import (
	"context"
	"fmt"
	"time"

	"millrace/bench/record"
)

// goal is what ours ÷ Kafka's shall be, and with a second value ours ÷ Kafka's with flush.
func goal(figure string, goals ...float64) record.Asked {
	a := record.Asked{Figure: figure, Goals: map[string]float64{}}
	for i, g := range goals {
		if g > 0 {
			a.Goals[[]string{theirs, flush}[i]] = g
		}
	}
	return a
}

// scenario makes a load of a scenario file's.
func scenario(row int, set, title, file, only string, sides []string, asked []record.Asked,
	args ...string) *record.Load {
	s := record.Scenario{File: file, Only: only, Args: args}
	return &record.Load{Row: row, Name: fmt.Sprintf("%d %s", row, only), Title: title, Set: set,
		Sides: sides, Figures: asked, Command: s.Command(), Measure: s.Measure}
}

// with changes a load.
func with(l *record.Load, change func(*record.Load)) *record.Load {
	change(l)
	return l
}

// under gives a load a rate by what Kafka has reached under another.
func under(l *record.Load, file, only, of string, share float64) *record.Load {
	s := record.Scenario{File: file, Only: only, Rate: &record.RateOf{Load: of, Side: kafkaPlain,
		Share: share}}
	l.Command, l.Measure = s.Command(), s.Measure
	return l
}

var (
	all4    = []string{durable, pageCache, kafkaPlain, kafkaFlush}
	three   = []string{durable, pageCache, kafkaPlain}
	noWrite = []string{durable, kafkaPlain, kafkaFlush}
	two     = []string{durable, kafkaPlain}
	flushed = []string{durable, kafkaFlush}
)

// loads are rows 1–4, 6–9 and 12–15 of the list of quantities, each with its goals.
func (b *brokers) loads() []*record.Load {
	var all []*record.Load
	all = append(all, produceLoads()...)
	all = append(all, endToEndLoads()...)
	all = append(all, fetchLoads()...)
	all = append(all, b.foreign()...)
	all = append(all, scenario(15, record.Whole, "5 000 connections, 20 000 msg/s beside them",
		"15-connections.yaml", "connections", two, []record.Asked{goal(record.Resident, 1.0/4),
			goal(record.P50), goal(record.P99, 1.0/2), goal(record.Cores)}))
	return append(all, b.lives()...)
}

func produceLoads() []*record.Load {
	small, kilo := "01-small-messages.yaml", "02-kilobyte-messages.yaml"
	tiny, durably := "03-tiny-batches.yaml", "04-durable.yaml"
	perMessage := func(cpu, wall, wallFlush float64) []record.Asked {
		return []record.Asked{goal(record.CPUPerMillion, cpu), goal(record.Messages, wall, wallFlush),
			goal(record.P99)}
	}
	perByte := func(cpu, wall float64) []record.Asked {
		return []record.Asked{goal(record.CPUPerGB, cpu), goal(record.Bytes, wall), goal(record.P99)}
	}
	forced := []record.Asked{goal(record.Messages, 0, 5), goal(record.CPUPerMillion, 0, 0),
		goal(record.P99, 0, 1.0/3)}
	half := scenario(1, record.Core, "100 B, at half of Kafka's maximum", small, "half", three,
		[]record.Asked{goal(record.CPUPerMillion, 1.0/3), goal(record.P50), goal(record.P99, 1.0/3),
			goal(record.P999)})
	return []*record.Load{
		scenario(1, record.Quick, "100 B, 16 KB batches, as many as go", small, "maximum", all4,
			perMessage(1.0/8, 2.5, 15)),
		under(half, small, "half", "1 maximum", 0.5),
		scenario(2, record.Quick, "1 KB, 16 KB batches, as many as go", kilo, "batches-16k", three,
			perByte(1.0/2, 1.5)),
		scenario(2, record.Core, "1 KB, 1 MB batches, as many as go", kilo, "batches-1m", two,
			perByte(1.0/2, 1.5)),
		scenario(3, record.Quick, "1 message a request, 64 connections", tiny, "1-of-64", noWrite,
			perMessage(1.0/12, 3, 15)),
		scenario(3, record.Whole, "5 messages a request, 64 connections", tiny, "5-of-64", two,
			perMessage(1.0/12, 3, 0)),
		scenario(3, record.Core, "1 message a request, 1 000 connections", tiny, "1-of-1000", two,
			perMessage(1.0/12, 3, 0)),
		scenario(3, record.Whole, "5 messages a request, 1 000 connections", tiny, "5-of-1000", two,
			perMessage(1.0/12, 3, 0)),
		scenario(4, record.Whole, "1 KB durable, acks=all, 16 producers", durably, "1k", flushed, forced),
		scenario(4, record.Quick, "4 KB durable, acks=all, 16 producers", durably, "4k", flushed, forced),
		scenario(4, record.Whole, "10 KB durable, acks=all, 16 producers", durably, "10k", flushed, forced),
	}
}

func endToEndLoads() []*record.Load {
	file, near := "06-end-to-end.yaml", "07-near-the-limit.yaml"
	asked := []record.Asked{goal(record.EndToEnd50, 1.0/2), goal(record.EndToEnd99, 1.0/3),
		goal(record.EndToEnd999, 1.0/5), goal(record.Cores)}
	long := func(l *record.Load) { l.Length = 5 * time.Minute }
	return []*record.Load{
		with(scenario(6, record.Quick, "end to end, 20 000 msg/s of 100 B", file, "20k-100b", three,
			asked), long),
		with(scenario(6, record.Whole, "end to end, 20 000 msg/s of 1 KB", file, "20k-1kb", three,
			asked), long),
		with(scenario(6, record.Core, "end to end, 100 000 msg/s of 100 B", file, "100k-100b", three,
			asked), long),
		with(scenario(6, record.Whole, "end to end, 100 000 msg/s of 1 KB", file, "100k-1kb", two,
			asked), long),
		scenario(7, record.Whole, "end to end, as many as go", near, "maximum", two,
			[]record.Asked{goal(record.Messages), goal(record.CPUPerMillion)}),
		with(under(scenario(7, record.Whole, "end to end, at 80 % of Kafka's maximum", near,
			"80-percent", three, []record.Asked{goal(record.EndToEnd50), goal(record.EndToEnd99),
				goal(record.EndToEnd999, 1.0/10), goal(record.Cores)}), near, "80-percent", "7 maximum",
			0.8), func(l *record.Load) { l.Length = 5 * time.Minute; l.Remark = "Kafka is at its knee" }),
		scenario(8, record.Quick, "50 MB/s in, 100 MB/s out", "08-fixed-rate.yaml", "mixed", three,
			[]record.Asked{goal(record.CPUPerGB, 1.0/3), goal(record.MachinePerGB),
				goal(record.EndToEnd50), goal(record.EndToEnd99)}),
	}
}

func fetchLoads() []*record.Load {
	file := "09-catch-up.yaml"
	asked := []record.Asked{goal(record.CPUPerGB, 0.7), goal(record.Bytes, 1.2)}
	// What is read is written once per start, not once per run.
	one := scenario(9, record.Core, "reading from the start, one consumer", file, "one-consumer", two,
		asked)
	four := scenario(9, record.Quick, "reading from the start, four consumers", file,
		"four-consumers", two, asked, "--delete=false")
	one.Before, four.Before = fill, fill
	return []*record.Load{one, four}
}

const kept = "catch-up" // topic of the file

// fill writes what the readers read, and warms a JVM on the path that is measured.
func fill(ctx context.Context, c *record.Course, side *record.Side) error {
	if c.Once(kept + " " + side.Name) {
		return nil
	}
	amount := map[string]string{record.Quick: "1GB", record.Core: "2GB", record.Whole: "10GB"}[c.Set]
	c.Say("writing %s for %s\n", amount, side.Name)
	s, err := c.Load(ctx, side, "09-catch-up.yaml", "fill", "--max-bytes", amount)
	if err == nil && s.Failed == "" && side.JVM {
		s, err = c.Load(ctx, side, "09-catch-up.yaml", "four-consumers", "--delete=false",
			"--duration", (c.WarmJVM / 6).String())
	}
	if err == nil && s.Failed != "" {
		err = fmt.Errorf("versus: filling %s: %s", side.Name, s.Failed)
	}
	return err
}
