// Command partitions measures what many partitions cost: memory, descriptors, starts, stops,
// throughput; beside a real Apache Kafka in the same run.
//
//	partitions
//
// Environment: QUICK=1 (a tenth of everything), ONLY=idle,throughput,huge, KAFKA=0,
// MILLRACE_ARGS.
package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"millrace/bench/life"
	"millrace/bench/place"
	"millrace/loadgen"
)

func main() { place.Main(run) }

type part struct {
	name string
	run  func(ctx context.Context, s *life.Setup) error
}

func run(ctx context.Context) error {
	s, done, err := life.NewSetup(ctx)
	if err != nil {
		return err
	}
	defer done()
	for _, p := range []part{{"idle", idle}, {"throughput", throughput}, {"huge", huge}} {
		if !s.Wants(p.name) {
			continue
		}
		if err := p.run(ctx, s); err != nil {
			return err
		}
	}
	return s.Save("partitions")
}

// perTopic: with 10 000 partitions, a topic is more than one request may make in Kafka.
const perTopic = 5_000

// topics are named as loadgen names them.
func topics(n int) []string { return spread("many", n) }

func spread(name string, n int) []string {
	if n <= perTopic {
		return []string{name}
	}
	names := make([]string, (n+perTopic-1)/perTopic)
	for i := range names {
		names[i] = fmt.Sprintf("%s-%d", name, i)
	}
	return names
}

// asked of 10 000 partitions; Kafka's figures stand beside them.
type asked struct {
	resident, start, stop float64
}

// idle: each partition with one batch of 1 KB.
func idle(ctx context.Context, s *life.Setup) error {
	n := s.Scale(10_000)
	s.Report.Say("\n%d partitions, each with one batch of 1 KB", n)
	if err := few(ctx, s, s.Ours("idle"), n, asked{150, 1, 5}); err != nil {
		return err
	}
	if k := s.Theirs("idle-kafka", nil); k != nil {
		return few(ctx, s, k, n, asked{})
	}
	return nil
}

// huge: ten times as many, ours alone; nothing is asked but that it works.
func huge(ctx context.Context, s *life.Setup) error {
	n := s.Scale(100_000)
	s.Report.Say("\n%d partitions, each with one batch of 1 KB", n)
	return few(ctx, s, s.Ours("huge"), n, asked{})
}

func few(ctx context.Context, s *life.Setup, node *life.Node, n int, most asked) error {
	defer node.Kill()
	r := s.Report
	if _, err := node.Start(ctx, life.Answers); err != nil {
		return err
	}
	begin := time.Now()
	if err := create(ctx, node.Addr, "many", n); err != nil {
		return err
	}
	r.Time(node.Name, fmt.Sprintf("%d partitions made", n), time.Since(begin), 0, "")
	if err := oneEach(ctx, s, node, n); err != nil {
		return err
	}
	r.Add(life.Figure{Broker: node.Name, What: "resident right after", Unit: "MB",
		Value: float64(node.Resident()) / 1e6})
	if err := pause(ctx, s.Wait()); err != nil {
		return err
	}
	r.Add(life.Figure{Broker: node.Name, What: "resident 60 s later", Unit: "MB",
		Value: float64(node.Resident()) / 1e6, Most: most.resident})
	r.Add(life.Figure{Broker: node.Name, What: "open descriptors", Value: float64(node.Files()),
		Most: 20_000})
	r.Add(life.Figure{Broker: node.Name, What: "data directory on disk", Unit: "MB",
		Value: float64(node.DiskBytes()) / 1e6})
	probe := life.Serves(topics(n)[0], int32(min(n, perTopic)-1))
	node.Kill()
	return lives(ctx, s, node, n, probe, most)
}

// lives restarts the node after a kill, stops it with everything dirty, and starts it again.
func lives(ctx context.Context, s *life.Setup, node *life.Node, n int, probe life.Probe,
	most asked) error {
	r := s.Report
	took, err := node.Start(ctx, probe)
	if err != nil {
		return err
	}
	r.Time(node.Name, "start after kill -9 until a record is written and read", took, most.start, "")
	if err := oneEach(ctx, s, node, n); err != nil {
		return err
	}
	if took, err = node.Stop(); err != nil {
		return err
	}
	r.Time(node.Name, "SIGTERM with all partitions dirty", took, most.stop, "")
	if took, err = node.Start(ctx, probe); err != nil {
		return err
	}
	r.Time(node.Name, "start after SIGTERM", took, most.start, "")
	r.Add(life.Figure{Broker: node.Name, What: "resident after that start", Unit: "MB",
		Value: float64(node.Resident()) / 1e6})
	r.Add(life.Figure{Broker: node.Name, What: "open descriptors then",
		Value: float64(node.Files()), Most: 20_000})
	if took, err = node.Stop(); err != nil {
		return err
	}
	r.Time(node.Name, "SIGTERM with one partition dirty", took, most.stop, "")
	return nil
}

func create(ctx context.Context, addr, name string, n int) error {
	for _, name := range spread(name, n) {
		if err := loadgen.CreateTopic(ctx, addr, name, min(n, perTopic), nil); err != nil {
			return err
		}
	}
	return nil
}

// oneEach writes one batch of 1 KB to every partition.
func oneEach(ctx context.Context, s *life.Setup, node *life.Node, n int) error {
	each := strconv.Itoa(min(n, perTopic))
	for _, name := range topics(n) {
		_, err := s.Load(ctx, node, "produce", "--topic", name, "--partitions", each, "--connections", "1",
			"--in-flight", "64", "--batch", "1", "--size", "952", "--warmup", "0s",
			"--duration", "300s", "--messages", each)
		if err != nil {
			return err
		}
	}
	return nil
}

// throughput: the same load over all partitions and over 8, in ABBA order.
func throughput(ctx context.Context, s *life.Setup) error {
	n, bytes := s.Scale(10_000), int64(s.Scale(6_000))*1_000_000
	s.Report.Say("\nproduce of %.1f GB, or for a minute, over %d partitions and over 8: 100 B × 64 per batch, "+
		"4 connections × 32 in flight, journals of 512 MiB", float64(bytes)/1e9, n)
	if err := compare(ctx, s, s.Ours("throughput"), []int{8, n, n, 8}, bytes, 0.8); err != nil {
		return err
	}
	// A second topic of that size takes Kafka longer than anybody waits.
	if k := s.Theirs("throughput-kafka", nil); k != nil {
		return compare(ctx, s, k, []int{8, n}, bytes, 0)
	}
	return nil
}

// compare runs the load over each of the counts, of which the first is the few and the second
// the many.
func compare(ctx context.Context, s *life.Setup, node *life.Node, counts []int, bytes int64,
	least float64) error {
	defer node.Kill()
	r := s.Report
	if _, err := node.Start(ctx, life.Answers); err != nil {
		return err
	}
	rates := map[int][]float64{}
	few, n := counts[0], counts[1]
	for round, count := range counts {
		name := fmt.Sprintf("spread-%d", round)
		if err := create(ctx, node.Addr, name, count); err != nil {
			return err
		}
		got, err := s.Load(ctx, node, "produce", "--topic", name,
			"--topics", strconv.Itoa(len(spread(name, count))),
			"--partitions", strconv.Itoa(min(count, perTopic)),
			"--payload-pool", strconv.Itoa(64*n/4), "--connections", "4",
			"--in-flight", "32", "--batch", "64", "--size", "100", "--warmup", "1s", "--duration", "60s",
			"--max-bytes", strconv.FormatInt(bytes, 10))
		if err != nil {
			return err
		}
		rate := float64(got.Bytes) / got.Seconds / 1e6
		rates[count] = append(rates[count], rate)
		r.Add(life.Figure{Broker: node.Name, What: fmt.Sprintf("produce over %d partitions", count),
			Value: rate, Unit: "MB/s", Note: fmt.Sprintf("p99 %.1f ms, %.3f CPU-s per million",
				got.Latency.P99/1e3, got.PerMillion())})
		// Topics stay: ext4 searches long for an inode where many were freed a moment ago.
		if err := pause(ctx, 5*time.Second); err != nil {
			return err
		}
		s.Settle()
	}
	r.Add(life.Figure{Broker: node.Name, What: fmt.Sprintf("over %d ÷ over %d", n, few),
		Value: mean(rates[n]) / mean(rates[few]), Least: least})
	r.Add(life.Figure{Broker: node.Name, What: "open descriptors after it",
		Value: float64(node.Files()), Most: 20_000})
	took, err := node.Stop()
	if err != nil {
		return err
	}
	r.Time(node.Name, "SIGTERM", took, 0, "")
	return nil
}

func mean(list []float64) float64 {
	sum := 0.0
	for _, v := range list {
		sum += v
	}
	return sum / float64(len(list))
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
