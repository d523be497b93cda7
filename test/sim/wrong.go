//go:build mutants

package main

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"millrace/internal/mutant"
	"millrace/internal/sim"
)

// mutants runs every wrong variant until a seed catches it. First the right code has to
// pass: what catches everything shows nothing.
func mutants(only string, budget, workers int) bool {
	ok := true
	mutant.Off()
	each(1, 20, workers, func(seed uint64) bool {
		for _, sc := range sim.Scenarios {
			if _, err := sc.Run(seed); err != nil {
				fmt.Printf("without a mutant: %s: %v\n", sc.Name, err)
				ok = false
			}
		}
		return !ok
	})
	caught, ran := 0, 0
	fmt.Printf("%-18s %-9s %6s %7s  %s\n", "mutant", "scenario", "seed", "s", "what was seen")
	for _, m := range mutant.All {
		if only != "" && only != m.Name {
			continue
		}
		ran++
		mutant.Use(m)
		began := time.Now()
		c := catch(budget, workers)
		took := time.Since(began).Seconds()
		if c == nil {
			fmt.Printf("%-18s %-9s %6s %7.1f  in %d seeds\n", m.Name, "-", "-", took, budget)
			fmt.Printf("NOT CAUGHT: %s\n", m.Name)
			continue
		}
		caught++
		fmt.Printf("%-18s %-9s %6d %7.1f  %s\n", m.Name, c.scenario, c.seed, took, c.seen)
	}
	mutant.Off()
	fmt.Printf("%d of %d mutants caught\n", caught, ran)
	return ok && ran > 0 && caught == ran
}

// catcher is the run that caught a mutant.
type catcher struct {
	scenario string
	seed     uint64
	seen     string
}

func catch(budget, workers int) *catcher {
	var mu sync.Mutex
	var first *catcher
	each(1, budget, workers, func(seed uint64) bool {
		for _, sc := range sim.Scenarios {
			_, err := sc.Run(seed)
			mu.Lock()
			if err != nil && (first == nil || seed < first.seed) {
				text, _, _ := strings.Cut(err.Error(), "\n")
				_, text, _ = strings.Cut(text, ": ")
				if len(text) > 110 {
					text = text[:110] + "…"
				}
				first = &catcher{sc.Name, seed, text}
			}
			over := first != nil
			mu.Unlock()
			if over {
				return true
			}
		}
		return false
	})
	return first
}
