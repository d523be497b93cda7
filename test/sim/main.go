package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"millrace/internal/sim"
)

func main() {
	seeds := flag.Int("seeds", 1000, "how many seeds, each in every scenario")
	from := flag.Uint64("from", 1, "the first seed")
	replay := flag.Int64("replay", -1, "run this seed twice and compare")
	wrong := flag.Bool("mutants", false, "run the deliberately wrong variants")
	budget := flag.Int("budget", 300, "with -mutants: how many seeds each may take")
	only := flag.String("only", "", "with -mutants: this one")
	workers := flag.Int("workers", runtime.GOMAXPROCS(0), "runs at the same time")
	flag.Parse()
	debug.SetGCPercent(300) // disks are on the heap, and die with their runs
	ok := false
	switch {
	case *wrong:
		ok = mutants(*only, *budget, *workers)
	case *replay >= 0:
		ok = again(uint64(*replay))
	default:
		ok = all(*from, *seeds, *workers)
	}
	if !ok {
		os.Exit(1)
	}
}

// each calls run for n seeds from the first on, on several goroutines, until it says stop.
func each(from uint64, n, workers int, run func(seed uint64) (stop bool)) {
	var next atomic.Uint64
	var stopped atomic.Bool
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for !stopped.Load() {
				i := next.Add(1) - 1
				if i >= uint64(n) {
					return
				}
				if run(from + i) {
					stopped.Store(true)
				}
			}
		})
	}
	wg.Wait()
}

// mostTold bounds how many violations are printed before the rest is not worth the time.
const mostTold = 10

// tellEvery is how often a long run says how far it is.
const tellEvery = 30 * time.Second

// all runs every scenario over the seeds.
func all(from uint64, n, workers int) bool {
	began := time.Now()
	failed := 0
	for _, sc := range sim.Scenarios {
		start := time.Now()
		var mu sync.Mutex
		var sum sim.Tally
		runs, bad, told := 0, 0, start
		each(from, n, workers, func(seed uint64) bool {
			res, err := sc.Run(seed)
			mu.Lock()
			defer mu.Unlock()
			runs++
			sum.Add(&res.Tally)
			if time.Since(told) > tellEvery {
				told = time.Now()
				fmt.Fprintf(os.Stderr, "%s: %d of %d seeds\n", sc.Name, runs, n)
			}
			if err != nil {
				bad++
				what, _, _ := strings.Cut(err.Error(), "\n")
				fmt.Printf("VIOLATION %s: %s\nagain: make sim-replay SEED=%d\n", sc.Name, what, seed)
			}
			return bad >= mostTold
		})
		fmt.Printf("%s: %d seeds from %d in %v, %d violations\n", sc.Name, runs, from,
			time.Since(start).Round(time.Second), bad)
		sum.Write(os.Stdout)
		failed += bad
		for _, c := range sc.Must {
			if sum[c] == 0 && runs >= 200 {
				fmt.Printf("NEVER HAPPENED in %s: %v\n", sc.Name, c)
				failed++
			}
		}
	}
	failed += committed()
	verdict := "ok"
	if failed > 0 {
		verdict = "FAILED"
	}
	fmt.Printf("%s: %d seeds in %d scenarios, %d violations, %v\n", verdict, n, len(sim.Scenarios),
		failed, time.Since(began).Round(time.Second))
	return failed == 0
}

// committed runs the seeds that once failed.
func committed() (failed int) {
	for _, c := range sim.Committed {
		for _, sc := range sim.Scenarios {
			if sc.Name != c.Scenario {
				continue
			}
			if _, err := sc.Run(c.Seed); err != nil {
				fmt.Printf("VIOLATION again (%s): %v\n", c.Found, err)
				failed++
			}
		}
	}
	fmt.Printf("committed seeds: %d, %d violations\n", len(sim.Committed), failed)
	return failed
}

// again runs one seed twice.
func again(seed uint64) bool {
	ok := true
	for _, sc := range sim.Scenarios {
		a, errA := sc.Run(seed)
		b, errB := sc.Run(seed)
		fmt.Printf("%s: seed %d: trace %016x, again %016x\n", sc.Name, seed, a.Trace, b.Trace)
		a.Tally.Write(os.Stdout)
		if a != b || fmt.Sprint(errA) != fmt.Sprint(errB) {
			fmt.Printf("DIFFERENT: %v / %v\n", errA, errB)
			ok = false
		}
		if errA != nil {
			fmt.Printf("VIOLATION %s: %v\n", sc.Name, errA)
			ok = false
		}
	}
	return ok
}
