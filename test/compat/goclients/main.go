// Command goclients runs the compatibility cases with Go clients, one per run: franz-go, sarama
// or kafka-go. It is a module of its own so that these clients stay out of the broker's.
// Environment and report lines are those of ../python/suite.py.
package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"
)

// rec is one record as a client sees it; nil is null.
type rec struct {
	partition  int
	key, value []byte
	headers    []head
	timestamp  int64 // milliseconds; 0 on write: now
}

type head struct {
	name  string
	value []byte
}

// member is one consumer of a group, reading in the background.
type member interface {
	partitions() []int
	close() error
}

// client is what a library must be able to do.
type client interface {
	module() string
	produce(ctx context.Context, topic, codec string, idempotent bool, rs []rec) error
	// read returns n records of one partition from an offset on.
	read(ctx context.Context, topic string, partition int, offset int64, n int) ([]rec, error)
	join(group, topic string, seen func(value string)) (member, error)
	// resume reads n records of partition 0 with a group, commits behind them and leaves.
	resume(ctx context.Context, group, topic string, n int) ([]string, error)
	// offsets of partition 0: earliest, latest, first at or after a time (-1: none).
	offsets(ctx context.Context, topic string, at time.Time) (first, end, byTime int64, err error)
	admin(ctx context.Context, topic, group string) error
	idempotence() bool
	// nulls says that a reader can tell a null from an empty slice.
	nulls() bool
}

var (
	bootstrap = os.Getenv("BOOTSTRAP")
	prefix    = os.Getenv("PREFIX")
	foreign   = os.Getenv("FOREIGN")
)

func main() {
	clients := map[string]client{"franz-go": franz{}, "sarama": saramaClient{}, "kafka-go": segment{}}
	if len(os.Args) != 2 || clients[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: goclients franz-go|sarama|kafka-go")
		os.Exit(2)
	}
	c := clients[os.Args[1]]
	fmt.Printf("VERSION\t%s\n", versionOf(c.module()))
	s := &suite{c: c}
	if err := s.load(os.Getenv("FIXTURE")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, codec := range codecs {
		s.test("codec "+codec, func(ctx context.Context) error { return s.codec(ctx, codec) })
	}
	for _, codec := range codecs {
		s.test("foreign "+codec, func(ctx context.Context) error {
			return s.compare(ctx, foreign+codec)
		})
	}
	s.test("rebalance", s.rebalance)
	s.test("resume", s.resume)
	s.test("offsets", s.offsets)
	if c.idempotence() {
		s.test("idempotent", s.idempotent)
	}
	s.test("admin", func(ctx context.Context) error {
		return c.admin(ctx, prefix+".admin", prefix+"-admin")
	})
	if s.failed > 0 {
		os.Exit(1)
	}
}

func versionOf(module string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, d := range info.Deps {
		if d.Path == module {
			return strings.TrimPrefix(d.Version, "v")
		}
	}
	return "unknown"
}
