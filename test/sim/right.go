//go:build !mutants

package main

import "fmt"

func mutants(string, int, int) bool {
	fmt.Println("sim: this build has no mutants: go run -tags mutants ./test/sim -mutants")
	return false
}
