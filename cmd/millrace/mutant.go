//go:build mutants

package main

import (
	"os"

	"millrace/internal/mutant"
)

// A program built with the tag mutants is wrong in the way that MILLRACE_MUTANT names:
// test/chaos shows with it that it would notice.
func init() {
	for _, m := range mutant.All {
		if m.Name == os.Getenv("MILLRACE_MUTANT") {
			mutant.Use(m)
		}
	}
}
