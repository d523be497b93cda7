package bench

import (
	"fmt"
	"runtime"
	"time"

	"millrace/bench/load"
)

// Load is one shape of load and what is asked of the figures it gives.
type Load struct {
	Name     string
	Caption  string
	args     []string // of loadgen
	duration time.Duration
	config   string // of the topic
	against  []string
	half     bool   // paced at half of Kafka's maximum under Load max
	fetch    string // "tail" or "behind": reads a topic written before
	asked    []Asked
}

// Asked is one figure with what it must be against an opponent: ours divided by theirs.
type Asked struct {
	Figure         string // name of a figure
	Ours, Theirs   string // contestants
	Required, Goal float64
	More           bool // more is better: the ratio must be at least, not at most
}

// figures of a report, by name.
var figures = []struct {
	name string
	of   func(*load.Report) float64
}{
	{"CPU-s/M msg", func(r *load.Report) float64 { return r.PerMillion() }},
	{"CPU-s/GB", func(r *load.Report) float64 { return r.PerGB() }},
	{"msg/s", func(r *load.Report) float64 { return float64(r.Messages) / r.Seconds }},
	{"MB/s", func(r *load.Report) float64 { return float64(r.Bytes) / r.Seconds / 1e6 }},
	{"p50 ms", func(r *load.Report) float64 { return r.Latency.P50 / 1e3 }},
	{"p99 ms", func(r *load.Report) float64 { return r.Latency.P99 / 1e3 }},
	{"p99.9 ms", func(r *load.Report) float64 { return r.Latency.P999 / 1e3 }},
	{"all CPU-s/GB", func(r *load.Report) float64 {
		if r.Bytes == 0 { // the machine without the client: the kernel's threads are in it
			return 0
		}
		return (r.Machine - r.Client) / float64(r.Bytes) * 1e9
	}},
	{"cores", func(r *load.Report) float64 {
		if r.Broker == nil {
			return 0
		}
		return r.Broker.CPU / r.Seconds
	}},
}

func figure(name string, r *load.Report) float64 {
	for _, f := range figures {
		if f.name == name {
			return f.of(r)
		}
	}
	return 0
}

// OursOther is Millrace with one core where the default is more, else with two.
var OursOther = fmt.Sprintf("millrace-%d", OtherCores())

// OtherCores is the number of cores that is not the default.
func OtherCores() int {
	if runtime.NumCPU() > 2 {
		return 1
	}
	return 2
}

// Names of the contestants.
const (
	Ours      = "millrace"
	Theirs    = "kafka"
	TheirsSyn = "kafka-flush"
)

// spare keeps deleted topics from staying on disk.
const spare = "file.delete.delay.ms=1000"

// Loads of one command: produce, fetch or e2e.
func Loads(command string) []Load {
	switch command {
	case "produce":
		return produceLoads
	case "fetch":
		return fetchLoads
	case "e2e":
		return endToEndLoads
	}
	return nil
}

func cheaper(figure string, required, goal float64) []Asked {
	return []Asked{
		{Figure: figure, Ours: Ours, Theirs: Theirs, Required: required, Goal: goal},
		{Figure: figure, Ours: OursOther, Theirs: Theirs, Required: required, Goal: goal},
	}
}

func faster(theirs string, required, goal float64) []Asked {
	return []Asked{{Figure: "msg/s", Ours: Ours, Theirs: theirs, Required: required, Goal: goal, More: true}}
}

func join(lists ...[]Asked) (out []Asked) {
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}

var (
	three = []string{Ours, OursOther, Theirs}
	four  = []string{Ours, OursOther, Theirs, TheirsSyn}
)

var produceLoads = []Load{
	{
		Name:    "batch",
		Caption: "100 B × 64 per batch, 8 partitions, 4 connections × 8 in flight, acks=1",
		args: []string{"produce", "--partitions", "8", "--connections", "4", "--in-flight", "8",
			"--batch", "64", "--size", "100"},
		config: spare, against: four,
		asked: join(cheaper("CPU-s/M msg", 1.0/6, 1.0/10), faster(Theirs, 2, 2.5),
			faster(TheirsSyn, 12, 15)),
	},
	{
		Name:    "single",
		Caption: "one 100 B message per request, 8 partitions, 4 connections × 16 in flight, acks=1",
		args: []string{"produce", "--partitions", "8", "--connections", "4", "--in-flight", "16",
			"--batch", "1", "--size", "100"},
		config: spare, against: four,
		asked: join(cheaper("CPU-s/M msg", 1.0/9, 1.0/13), faster(Theirs, 2, 2.5),
			faster(TheirsSyn, 12, 15)),
	},
	{
		Name:    "large",
		Caption: "1 KB × 512 per batch, 8 partitions, 4 connections × 4 in flight, acks=1",
		args: []string{"produce", "--partitions", "8", "--connections", "4", "--in-flight", "4",
			"--batch", "512", "--size", "1024", "--max-bytes", "8000000000"},
		config: spare, against: three,
		asked: cheaper("CPU-s/GB", 1.0/5, 1.0/8),
	},
	{
		Name:    "half",
		Caption: "as batch, paced at half of Kafka's maximum rate",
		args: []string{"produce", "--partitions", "8", "--connections", "4", "--in-flight", "64",
			"--batch", "64", "--size", "100"},
		config: spare, against: three, half: true,
		asked: join(cheaper("CPU-s/M msg", 1/1.6, 1.0/3), cheaper("p99 ms", 1.0/2, 1.0/3)),
	},
}

var fetchLoads = []Load{
	{
		Name:    "tail",
		Caption: "the newest 64 MB again and again, 1 MB per answer, 4 connections",
		args:    []string{"consume", "--consumers", "4", "--again"},
		against: three, fetch: "tail",
		asked: cheaper("CPU-s/GB", 1.1, 1/1.3),
	},
	{
		Name:    "behind",
		Caption: "1 MB per answer, 4 connections, 5 GB behind the end (Kafka: from its page cache)",
		args:    []string{"consume", "--consumers", "4", "--warmup", "50ms"},
		against: []string{Ours, Theirs}, fetch: "behind",
		asked: cheaper("CPU-s/GB", 1.1, 1/1.3)[:1],
	},
}

var endToEndLoads = []Load{
	{
		Name:    "e2e",
		Caption: "2 000 messages/s of 100 B, one per request, from the intended send to the reader",
		args:    []string{"e2e", "--rate", "2000", "--size", "100", "--partitions", "1"},
		config:  spare, against: three, duration: 20 * time.Second,
		asked: cheaper("p99 ms", 1.25, 1.0/2),
	},
}
