package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"millrace/bench/record"
	"millrace/loadgen"
	"millrace/loadgen/result"
)

// foreign are loads by clients that are not ours: franz-go by loadgen, and Kafka's own tools. The
// client takes most of two processors then: what tells is the broker's CPU.
func (b *brokers) foreign() []*record.Load {
	asked := []record.Asked{goal(record.CPUPerMillion, 1.0/3), goal(record.Messages), goal(record.P99)}
	limited := func(l *record.Load) { l.Remark = "the client is the limit" }
	producer := &record.Load{Row: 1, Name: "1 perf-producer", Title: "100 B, kafka-producer-perf-test",
		Set: record.Core, Sides: two, Figures: asked, Command: producerTool + " --record-size 100 " +
			"--throughput -1 --command-property acks=1 linger.ms=5 batch.size=16384",
		Measure: b.perfProducer}
	consumer := &record.Load{Row: 9, Name: "9 perf-consumer", Title: "kafka-consumer-perf-test",
		Set: record.Whole, Sides: two, Figures: []record.Asked{goal(record.CPUPerGB), goal(record.Bytes)},
		Command: consumerTool, Before: fill, Measure: b.perfConsumer}
	return []*record.Load{
		with(scenario(1, record.Quick, "100 B, 16 KB batches, franz-go as client",
			"01-small-messages.yaml", "maximum", two, asked, "--client", "franz"),
			func(l *record.Load) { l.Name = "1 franz"; limited(l) }),
		with(producer, limited),
		with(consumer, limited),
	}
}

const (
	producerTool = "org.apache.kafka.tools.ProducerPerformance"
	consumerTool = "org.apache.kafka.tools.ConsumerPerformance"
	// toolRate is about what the tools do with two processors: how many messages fill the time.
	toolRate = 600_000
)

// perfProducer is Kafka's own producer on a new topic.
func (b *brokers) perfProducer(ctx context.Context, c *record.Course, l *record.Load,
	side *record.Side, round int) (*record.Sample, error) {
	topic := fmt.Sprintf("perf-%s-%d", side.Name, round)
	if err := loadgen.CreateTopic(ctx, side.Addr(), topic, 6, nil); err != nil {
		return nil, err
	}
	n := int(c.For(l).Seconds() * toolRate)
	cmd := b.tool(ctx, producerTool, "--topic", topic, "--num-records", strconv.Itoa(n),
		"--record-size", "100", "--throughput", "-1", "--bootstrap-server", side.Addr(),
		"--command-property", "acks=1", "linger.ms=5", "batch.size=16384")
	s, out, err := b.timed(ctx, cmd, side, l)
	if err == nil && s.Failed == "" {
		if perr := producerFigures(out, s.Run); perr != nil {
			s.Failed = perr.Error()
		}
		s.Run.AckedBytes = s.Run.Acked * 100
	}
	return s, errors.Join(err, loadgen.DeleteTopic(ctx, side.Addr(), topic))
}

// perfConsumer is Kafka's own consumer on the topic that was written before.
func (b *brokers) perfConsumer(ctx context.Context, c *record.Course, l *record.Load,
	side *record.Side, round int) (*record.Sample, error) {
	n := int(c.For(l).Seconds() * toolRate / 4) // 1 KB messages
	if most := map[string]int{record.Quick: 900_000, record.Core: 1_800_000}[c.Set]; most > 0 {
		n = min(n, most) // of what was written
	}
	cmd := b.tool(ctx, consumerTool, "--topic", kept, "--num-records", strconv.Itoa(n),
		"--bootstrap-server", side.Addr(), "--group", fmt.Sprintf("perf-%d", round), "--timeout", "20000")
	s, out, err := b.timed(ctx, cmd, side, l)
	if err == nil && s.Failed == "" {
		if perr := consumerFigures(out, s.Run); perr != nil {
			s.Failed = perr.Error()
		}
	}
	return s, err
}

// tool runs a class of Kafka's with the JVM that its scripts would give it.
func (b *brokers) tool(ctx context.Context, class string, args ...string) *exec.Cmd {
	argv := append([]string{"-Xmx512m", "-XX:+UseG1GC", b.jars.Logging(), "-cp", b.jars.Classpath(),
		class}, args...)
	return exec.CommandContext(ctx, "java", argv...)
}

// timed runs a tool and measures what the broker, the tool and the machine spend meanwhile.
func (b *brokers) timed(ctx context.Context, cmd *exec.Cmd, side *record.Side, l *record.Load) (
	s *record.Sample, out string, err error) {
	source, err := result.NewCostSource(side.Pid(), "")
	if err != nil {
		return nil, "", err
	}
	before, err := source.Read(ctx)
	if err != nil {
		return nil, "", err
	}
	machine, err := result.ReadMachine()
	if err != nil {
		return nil, "", err
	}
	began := time.Now()
	text, runErr := cmd.CombinedOutput()
	took := time.Since(began)
	after, err := source.Read(ctx)
	if err != nil {
		return nil, "", err
	}
	then, err := result.ReadMachine()
	if err != nil {
		return nil, "", err
	}
	s = &record.Sample{Command: l.Command}
	if runErr != nil {
		s.Failed = fmt.Sprintf("%v: %s", runErr, last(string(text)))
		return s, "", nil
	}
	client := &result.Cost{Seconds: took.Seconds(), User: cmd.ProcessState.UserTime().Seconds(),
		System: cmd.ProcessState.SystemTime().Seconds()}
	client.CPUSeconds = client.User + client.System
	r := &result.Run{Format: result.Format, Load: "tool", Client: "kafka-tools",
		Started: began.UTC(), Seconds: took.Seconds(), Broker: after.Since(before), Generator: client}
	r.Machine = then.Since(machine, r.Broker, client)
	s.Run, s.Disturbed = r, record.Disturbance(r.Machine, took.Seconds())
	return s, string(text), nil
}

func last(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}

var (
	sentLine = regexp.MustCompile(`(?m)^(\d+) records sent, ([0-9.]+) records/sec .* ([0-9.]+) ms 50th, ` +
		`([0-9.]+) ms 95th, ([0-9.]+) ms 99th, ([0-9.]+) ms 99\.9th`)
	readLine = regexp.MustCompile(`(?m)^\d{4}-[^,]+, [^,]+, ([0-9.]+), ([0-9.]+), (\d+), ([0-9.]+),`)
)

// producerFigures reads the tool's last line. Its time is from the first record on, without the
// start of its JVM. Its latencies are whole milliseconds from the actual send: service, and only
// of a sample.
func producerFigures(out string, r *result.Run) error {
	m := sentLine.FindStringSubmatch(out)
	if m == nil {
		return fmt.Errorf("versus: the producer tool said: %.200s", last(out))
	}
	v, err := numbers(m[1:])
	if err != nil || v[1] <= 0 {
		return fmt.Errorf("versus: the producer tool said: %.200s", m[0])
	}
	r.Acked, r.Sent, r.Seconds = int64(v[0]), int64(v[0]), v[0]/v[1]
	r.Latencies = map[result.Kind]result.Summary{result.Service: {Count: r.Acked,
		Quantiles: []result.Quantile{{Q: 0.5, Micros: v[2] * 1e3}, {Q: 0.95, Micros: v[3] * 1e3},
			{Q: 0.99, Micros: v[4] * 1e3}, {Q: 0.999, Micros: v[5] * 1e3}}}}
	return nil
}

// consumerFigures reads the tool's line: MiB, MiB/s, messages, messages/s from its start on.
func consumerFigures(out string, r *result.Run) error {
	m := readLine.FindStringSubmatch(out)
	if m == nil {
		return fmt.Errorf("versus: the consumer tool said: %.200s", last(out))
	}
	v, err := numbers(m[1:])
	if err != nil || v[1] <= 0 {
		return fmt.Errorf("versus: the consumer tool said: %.200s", m[0])
	}
	r.Received, r.ReceivedBytes, r.Seconds = int64(v[2]), int64(v[0]*(1<<20)), v[0]/v[1]
	return nil
}

func numbers(texts []string) ([]float64, error) {
	out := make([]float64, len(texts))
	for i, t := range texts {
		v, err := strconv.ParseFloat(t, 64)
		if err != nil || v < 0 || v > 1e15 {
			return nil, fmt.Errorf("versus: %q is no figure", t)
		}
		out[i] = v
	}
	return out, nil
}
