package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"millrace/test/checker"
)

// options are the command line.
type options struct {
	fault      string
	rounds     int
	io         string
	durability string
	seed       uint64
	bin        string
	dir        string
	mutant     bool
	device     string
	fs         string
	skip       int
	keep       bool
	verbose    bool
}

// trial is one run of a fault: what is under test, what was found.
type trial struct {
	options
	rng      *rand.Rand
	h        *checker.History
	scratch  string // directory of this run
	passed   int
	findings []string

	directories int      // storm: of partitions, after clean stops
	ackedBefore int      // recreate: acknowledged in former lives of the topic
	blocksLost  int64    // power: of all filesystems
	env         []string // of brokers
	tag         string
	cores       int    // of all lives; 0: chance decides
	before      [3]int // sent, acked, read in histories that are closed
	figure      map[string]any
	undo        []func()
}

// errSkipped: the machine lacks what the fault needs.
var errSkipped = errors.New("skipped")

var faults = map[string]func(*trial, context.Context) error{
	"kill":     (*trial).kill,
	"power":    (*trial).power,
	"enospc":   (*trial).enospc,
	"eio":      (*trial).eio,
	"soak":     (*trial).soak,
	"recreate": (*trial).recreate,
	"storm":    (*trial).storm,
}

func main() {
	var o options
	flag.StringVar(&o.fault, "f", "kill", "kill, power, eio, enospc, recreate, storm, soak")
	flag.IntVar(&o.rounds, "n", 20, "how often; soak: how many minutes")
	flag.StringVar(&o.io, "io", "both", "uring, epoll, both in alternation")
	flag.StringVar(&o.durability, "durability", "fsync", "fsync or write")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano())%1e9, "decides what we decide")
	flag.StringVar(&o.bin, "bin", "", "broker to test; built when empty")
	flag.StringVar(&o.dir, "dir", "", "where to put scratch data; a temporary directory when empty")
	flag.BoolVar(&o.mutant, "mutant", false, "power, eio: test a wrong build, which must be caught")
	flag.StringVar(&o.device, "device", "volatile", "power: volatile (a disk cache that is lost) or plain")
	flag.StringVar(&o.fs, "fs", "both", "power, eio, enospc: ext4, xfs, both with half of the rounds each")
	flag.IntVar(&o.skip, "skip", 0, "eio: begin with the site of this number")
	flag.BoolVar(&o.keep, "keep", false, "keep the scratch directory of a failed run")
	flag.BoolVar(&o.verbose, "v", false, "a line for every round")
	flag.Parse()
	if faults[o.fault] == nil || flag.NArg() > 0 || o.rounds < 1 ||
		(o.io != "both" && o.io != "uring" && o.io != "epoll") ||
		(o.fs != "both" && makers[o.fs].program == "") {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	t, err := execute(ctx, o)
	stop()
	os.Exit(t.conclude(err))
}

// execute runs one fault and leaves nothing behind.
func execute(ctx context.Context, o options) (t *trial, err error) {
	t = &trial{options: o, h: checker.New(), figure: map[string]any{},
		rng: rand.New(rand.NewPCG(o.seed, 0))}
	defer func() {
		if t.keep && (err != nil || len(t.findings) > 0) {
			t.logf("kept: %s", t.scratch)
			t.undo = t.undo[1:] // the first one removes the directory
		}
		for len(t.undo) > 0 {
			t.undone()
		}
	}()
	sweep()
	if t.scratch, err = os.MkdirTemp(o.dir, fmt.Sprintf("%s%d-", scratchPrefix, os.Getpid())); err != nil {
		return t, err
	}
	t.later(func() { _ = os.RemoveAll(t.scratch) })
	if t.bin == "" {
		if t.bin, err = build(ctx, t.scratch, ""); err != nil {
			return t, err
		}
	}
	began := time.Now()
	err = faults[o.fault](t, ctx)
	t.figure["seconds"] = int(time.Since(began).Seconds())
	return t, err
}

// later registers an undo; undone runs the newest.
func (t *trial) later(f func()) { t.undo = append(t.undo, f) }

func (t *trial) undone() {
	last := len(t.undo) - 1
	f := t.undo[last]
	t.undo = t.undo[:last]
	f()
}

func (t *trial) logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

func (t *trial) detail(format string, args ...any) {
	if t.verbose {
		t.logf(format, args...)
	}
}

func (t *trial) finding(format string, args ...any) {
	t.findings = append(t.findings, fmt.Sprintf(format, args...))
}

// life draws how the broker lives its next life.
func (t *trial) life(round int) life {
	l := life{io: t.io, cores: 1 + t.rng.IntN(3)}
	if t.cores > 0 {
		l.cores = t.cores
	}
	if t.io == "both" {
		l.io = []string{"uring", "epoll"}[round%2]
	}
	return l
}

// moment is when the fault strikes, after the broker is ready.
func (t *trial) moment() time.Duration {
	return 200*time.Millisecond + time.Duration(t.rng.Int64N(int64(1300*time.Millisecond)))
}

// judged adds anomalies to the findings, and tells whether there were none.
func (t *trial) judged(when string, found []checker.Anomaly) bool {
	for i, a := range found {
		if i == 15 {
			t.finding("%s: … and %d more", when, len(found)-i)
			break
		}
		t.finding("%s: %s", when, a)
	}
	return len(found) == 0
}

// conclude prints the outcome and gives the exit code.
func (t *trial) conclude(err error) int {
	if errors.Is(err, errSkipped) {
		fmt.Printf("%s\n0 passed, 0 failed\n", err)
		return 0
	}
	if err != nil {
		t.finding("%v", err)
	}
	for _, f := range t.findings {
		t.logf("FOUND %s", f)
	}
	failed := 0
	if len(t.findings) > 0 {
		failed = max(1, t.rounds-t.passed)
	}
	t.newHistory()
	t.figure["fault"], t.figure["io"], t.figure["durability"] = t.fault, t.io, t.durability
	t.figure["sent"], t.figure["acked"], t.figure["reads"] = t.before[0], t.before[1], t.before[2]
	t.figure["findings"] = len(t.findings)
	line, _ := json.Marshal(map[string]any{"figure": t.figure, "seed": t.seed})
	fmt.Printf("%s\n%d passed, %d failed\n", line, t.passed, failed)
	if failed > 0 {
		return 1
	}
	return 0
}

// root finds the module's directory, upwards from here.
func root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("chaos: no go.mod above here: give -bin")
		}
		dir = parent
	}
}
