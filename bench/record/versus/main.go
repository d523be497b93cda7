package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"millrace/bench"
	"millrace/bench/kafka"
	"millrace/bench/life"
	"millrace/bench/place"
	"millrace/bench/record"
)

func main() { place.Main(run) }

// Contestants in tables.
const (
	ours   = "Millrace"
	theirs = "Kafka, page cache"
	flush  = "Kafka, flush"
)

func run(ctx context.Context) error {
	p, err := record.NewPlan("kafka")
	if err != nil {
		return err
	}
	defer p.Remove()
	jars, err := kafka.Fetch(ctx, p.Cache)
	if err != nil {
		return err
	}
	p.Title = "Millrace against Apache Kafka " + kafka.Version
	p.Lead = "the client on the same processors, over loopback; what the virtual disk calls flushed may " +
		"be in its host's memory."
	p.Contestants = []string{ours, theirs, flush}
	p.Notes = []string{
		"default settings; “durable”: every acknowledgement is behind a flush; “write”: `--durability write`, " +
			"acknowledged from the page cache, as Kafka's are by default",
		"Apache Kafka " + kafka.Version + " with its defaults (KRaft, one node, acknowledged from the page cache), " +
			"heap 1 GB, G1, under load for a minute before its first figure",
		"the same with `log.flush.interval.messages=1`: a flush before every acknowledgement",
	}
	p.Warm = warm
	b := &brokers{plan: p, jars: jars, kept: map[string]*life.Node{}}
	c, err := record.NewCourse(ctx, p, b.sides(), b.loads())
	if err != nil {
		return err
	}
	err = c.Run(ctx)
	if len(c.Store.Samples) == 0 {
		return err
	}
	return errors.Join(err, c.Publish())
}

// brokers are where sides and nodes come from.
type brokers struct {
	plan *record.Plan
	jars *kafka.Jars
	kept map[string]*life.Node // whose data stays between rounds
}

// Sides by name.
const (
	durable    = "millrace"
	pageCache  = "millrace-write"
	kafkaPlain = "kafka"
	kafkaFlush = "kafka-flush"
)

// Deleted topics shall not stay on the disk for Kafka's minute.
const deleteDelay = "log.segment.delete.delay.ms"

func millraceArgs() []string {
	return append([]string{"--set", deleteDelay + "=1000"}, strings.Fields(os.Getenv("MILLRACE_ARGS"))...)
}

// Two brokers of ours that each took what memory there is would shrink each other.
const otherMemory = "memory.bytes=2147483648"

func (b *brokers) sides() []*record.Side {
	p := b.plan
	millrace := func(name, tag string, args ...string) *record.Side {
		return &record.Side{Name: name, Of: ours, Tag: tag, Durable: tag == "durable", Contestant: bench.Millrace(
			p.Millrace(), filepath.Join(p.Work, name), name,
			append(millraceArgs(), args...)...)}
	}
	kafkaSide := func(name, of string, extra map[string]string) *record.Side {
		all := map[string]string{deleteDelay: "1000"}
		for k, v := range extra {
			all[k] = v
		}
		return &record.Side{Name: name, Of: of, Durable: of == flush, Contestant: bench.Kafka(b.jars,
			filepath.Join(p.Work, name), name, of, all)}
	}
	return []*record.Side{
		millrace(durable, "durable"), // the first side is ours in every load
		millrace(pageCache, "write", "--durability", "write", "--set", otherMemory),
		kafkaSide(kafkaPlain, theirs, nil),
		kafkaSide(kafkaFlush, flush, map[string]string{"log.flush.interval.messages": "1"}),
	}
}

// warm puts every kind of load on a side; on a JVM for as long as the plan says.
func warm(ctx context.Context, c *record.Course, side *record.Side) error {
	kinds := []struct{ file, only string }{
		{"01-small-messages.yaml", "maximum"}, {"03-tiny-batches.yaml", "1-of-64"},
	}
	if side.JVM && side.Durable { // it cannot keep the schedules of the others
		kinds = append(kinds, struct{ file, only string }{"04-durable.yaml", "4k"})
	} else {
		kinds = append(kinds, struct{ file, only string }{"08-fixed-rate.yaml", "mixed"},
			struct{ file, only string }{"06-end-to-end.yaml", "20k-100b"})
	}
	each := time.Second
	if side.JVM {
		each = max(each, c.WarmJVM/time.Duration(len(kinds)))
	}
	for _, k := range kinds {
		s, err := c.Load(ctx, side, k.file, k.only, "--warmup", "0s", "--duration", each.String())
		if err != nil {
			return err
		}
		if s.Failed != "" {
			c.Say("  %s %s: %s\n", k.file, k.only, s.Failed) // it has been under load all the same
		}
	}
	bench.Rest(c.Settle, c.Patience)
	return nil
}
