// Command restart measures how long a broker takes to serve again after a kill at full load and
// after a clean stop, and until committed offsets are there; beside a real Apache Kafka in the
// same run.
//
//	restart
//
// Environment: QUICK=1 (a tenth of everything), ONLY=data,offsets, KAFKA=0, MILLRACE_ARGS,
// ROUNDS=n (kills; 3).
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"millrace/bench/life"
	"millrace/bench/place"
	"millrace/loadgen"

	"github.com/twmb/franz-go/pkg/kgo"
)

func main() { place.Main(run) }

func run(ctx context.Context) error {
	s, done, err := life.NewSetup(ctx)
	if err != nil {
		return err
	}
	defer done()
	rounds := 3
	if n, err := strconv.Atoi(os.Getenv("ROUNDS")); err == nil && n > 0 {
		rounds = n
	}
	theirs := func(name string) *life.Node { return s.Theirs(name, nil) }
	for _, part := range []struct {
		name string
		run  func(ctx context.Context, n *life.Node, ours bool) error
	}{
		{"data", func(ctx context.Context, n *life.Node, ours bool) error {
			return data(ctx, s, n, ours, rounds)
		}},
		{"offsets", func(ctx context.Context, n *life.Node, ours bool) error {
			return offsets(ctx, s, n, ours, rounds)
		}},
	} {
		if !s.Wants(part.name) {
			continue
		}
		if err := part.run(ctx, s.Ours(part.name), true); err != nil {
			return err
		}
		if k := theirs(part.name + "-kafka"); k != nil {
			if err := part.run(ctx, k, false); err != nil {
				return err
			}
		}
	}
	return s.Save("restart")
}

const (
	topic      = "filled"
	partitions = 1000
)

// most is a limit for our figures; nothing is asked of Kafka's.
func most(ours bool, v float64) float64 {
	if ours {
		return v
	}
	return 0
}

// data: a start with much data, after kills at full load and after clean stops.
func data(ctx context.Context, s *life.Setup, node *life.Node, ours bool, rounds int) error {
	defer node.Kill()
	r := s.Report
	bytes := int64(s.Scale(10<<10)) << 20
	r.Say("\n%s: %.1f GB in %d partitions, killed under full load: 1 KB × 16 per batch, "+
		"4 connections × 32 in flight", node.Name, float64(bytes)/1e9, partitions)
	if _, err := node.Start(ctx, life.Answers); err != nil {
		return err
	}
	if err := loadgen.CreateTopic(ctx, node.Addr, topic, partitions, nil); err != nil {
		return err
	}
	if _, err := s.Load(ctx, node, load("--max-bytes", strconv.FormatInt(bytes, 10))...); err != nil {
		return err
	}
	r.Add(life.Figure{Broker: node.Name, What: "data directory on disk", Unit: "GB",
		Value: float64(node.DiskBytes()) / 1e9})
	probe := life.Serves(topic, partitions-1)
	for range rounds {
		if err := killLoaded(ctx, s, node, 6*time.Second); err != nil {
			return err
		}
		took, err := node.Start(ctx, probe)
		if err != nil {
			return err
		}
		r.Time(node.Name, "start after kill -9 until a record is written and read", took,
			most(ours, 1), node.Last("replayed="))
	}
	for range rounds {
		took, err := node.Stop()
		if err != nil {
			return err
		}
		r.Time(node.Name, "SIGTERM", took, most(ours, 5), "")
		if took, err = node.Start(ctx, probe); err != nil {
			return err
		}
		r.Time(node.Name, "start after SIGTERM", took, most(ours, 0.2), "")
	}
	return nil
}

func load(args ...string) []string {
	return append([]string{"produce", "--topic", topic, "--partitions", strconv.Itoa(partitions),
		"--connections", "4", "--in-flight", "32", "--batch", "16", "--size", "1024", "--warmup", "0s",
		"--duration", "600s"}, args...)
}

// killLoaded kills the broker while it takes all that it can.
func killLoaded(ctx context.Context, s *life.Setup, node *life.Node, after time.Duration) error {
	cmd := exec.CommandContext(ctx, s.Loadgen(), load("--brokers", node.Addr)...)
	if err := cmd.Start(); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-time.After(after):
	}
	node.Kill()
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // it ends with an error: its broker went away
	return ctx.Err()
}

const (
	groups       = 100
	committed    = 1000 // partitions with an offset in each group
	commitsAtOne = 16   // requests in flight
)

// offsets: 10 M records of committed offsets, then a kill.
func offsets(ctx context.Context, s *life.Setup, node *life.Node, ours bool, rounds int) error {
	defer node.Kill()
	r := s.Report
	laps := s.Scale(100)
	r.Say("\n%s: %d commit records of %d groups with %d offsets each, then kill -9", node.Name,
		laps*groups*committed, groups, committed)
	if _, err := node.Start(ctx, life.Answers); err != nil {
		return err
	}
	if err := loadgen.CreateTopic(ctx, node.Addr, topic, committed, nil); err != nil {
		return err
	}
	begin := time.Now()
	if err := commitAll(ctx, node, laps); err != nil {
		return err
	}
	r.Time(node.Name, "committing them", time.Since(begin), 0, "")
	probe := life.Committed(names(), topic, committed-1, int64(laps))
	for range rounds {
		node.Kill()
		took, err := node.Start(ctx, probe)
		if err != nil {
			return err
		}
		r.Time(node.Name, "start after kill -9 until OffsetFetch of every group is right", took, 0, "")
		r.Time(node.Name, "of that, after the broker answered at all", took-node.Answered(),
			most(ours, 1), "")
	}
	return nil
}

func names() []string {
	all := make([]string, groups)
	for i := range all {
		all[i] = fmt.Sprintf("group-%d", i)
	}
	return all
}

// commitAll commits every offset of every group once per lap.
func commitAll(ctx context.Context, node *life.Node, laps int) error {
	errs := make(chan error, commitsAtOne)
	all := names()
	for w := range commitsAtOne {
		go func() {
			cl, err := life.Client(node.Addr)
			if err != nil {
				errs <- err
				return
			}
			defer cl.Close()
			errs <- commitSome(ctx, cl, all, w, laps)
		}()
	}
	var first error
	for range commitsAtOne {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	return first
}

func commitSome(ctx context.Context, cl *kgo.Client, all []string, w, laps int) error {
	for lap := 1; lap <= laps; lap++ {
		for g := w; g < len(all); g += commitsAtOne {
			if err := commit(ctx, cl, all[g], int64(lap)); err != nil {
				return err
			}
		}
	}
	return nil
}

// commit tries again while the coordinator is not there yet.
func commit(ctx context.Context, cl *kgo.Client, group string, offset int64) error {
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := life.Commit(ctx, cl, group, topic, committed, offset)
		if err == nil || time.Now().After(deadline) || ctx.Err() != nil {
			return err
		}
		_ = life.Coordinator(ctx, cl, group) // makes __consumer_offsets, the first time
		time.Sleep(50 * time.Millisecond)
	}
}
