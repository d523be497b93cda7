package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	rounds  int
	only    int
	seed    uint64
	bin     string
	dir     string
	kind    string
	keep    bool
	verbose bool
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "n", 100, "how many damages")
	flag.IntVar(&o.only, "only", -1, "only the round with this number")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano())%1e9, "decides what is damaged")
	flag.StringVar(&o.bin, "bin", "", "program to test; built when empty")
	flag.StringVar(&o.dir, "dir", "", "where to put scratch data; memory, or a temporary directory, when empty")
	flag.StringVar(&o.kind, "kind", "", "damage only files of this kind")
	flag.BoolVar(&o.keep, "keep", false, "keep what WRONG rounds leave")
	flag.BoolVar(&o.verbose, "v", false, "a line for every round")
	flag.Parse()
	if flag.NArg() > 0 || o.rounds < 1 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	wrong, err := execute(ctx, &o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "corrupt:", err)
		os.Exit(1)
	}
	if wrong > 0 {
		os.Exit(1)
	}
}

// execute makes the directories, damages copies of them, and prints what came of it.
func execute(ctx context.Context, o *options) (wrong int, err error) {
	scratch, err := o.scratch()
	if err != nil {
		return 0, err
	}
	defer func() {
		if !o.keep || wrong == 0 {
			_ = os.RemoveAll(scratch)
		} else {
			fmt.Println("kept:", scratch)
		}
	}()
	if o.bin == "" {
		o.bin = filepath.Join(scratch, "millrace")
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-checklinkname=0",
			"-o", o.bin, "millrace/cmd/millrace")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return 0, fmt.Errorf("build: %w\n%s", err, out)
		}
	}
	began := time.Now()
	states, err := makeStates(ctx, o, scratch)
	if err != nil {
		return 0, fmt.Errorf("making the data: %w", err)
	}
	fmt.Printf("data made in %.1f s, seed %d\n", time.Since(began).Seconds(), o.seed)
	began = time.Now()
	t := newTable()
	for i := range o.rounds {
		if o.only >= 0 && i != o.only {
			continue
		}
		if err := ctx.Err(); err != nil {
			return t.wrong, err
		}
		r := round{
			o: o, number: i, rng: rand.New(rand.NewPCG(o.seed, uint64(i))),
			dir: filepath.Join(scratch, fmt.Sprintf("round-%d", i)), bin: o.bin,
		}
		from := time.Now()
		r.run(states)
		t.add(&r)
		if r.outcome == wrongOutcome || o.verbose {
			fmt.Printf("round %d (%s, %d ms): %s: %s: %s\n", i, r.state.name,
				time.Since(from).Milliseconds(), r.damage, r.outcome, r.words)
		}
		if !o.keep || r.outcome != wrongOutcome {
			_ = os.RemoveAll(r.dir)
		}
	}
	t.print(os.Stdout)
	line, _ := json.Marshal(map[string]any{
		"figure": map[string]any{
			"rounds": t.rounds, "wrong": t.wrong, "outcomes": t.sums(),
			"seconds": int(time.Since(began).Seconds()),
		},
		"seed": o.seed,
	})
	fmt.Printf("%s\n%d passed, %d failed\n", line, t.rounds-t.wrong, t.wrong)
	return t.wrong, nil
}

// scratch makes the directory of this run: in memory where that is, since nothing here is
// about the disk.
func (o *options) scratch() (string, error) {
	dir := o.dir
	if dir == "" {
		if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
			dir = "/dev/shm"
		}
	}
	return os.MkdirTemp(dir, "millrace-corrupt-")
}
