// Command sim runs the simulator over many seeds and says what was run.
//
//	sim -seeds N [-from K]     every scenario with N seeds, on all processors
//	sim -replay N              one seed, twice: the two traces have to be equal
//	sim -mutants [-budget N]   (built with the tag mutants) every deliberately wrong variant
//	                           of the code, each with at most N seeds until it is caught;
//	                           -only NAME takes one
//
// It exits with 1 when a rule was broken, two runs of a seed differ, or a mutant was not
// caught; a fault that never bit is told too.
//
// Not its job: what the rules are (internal/sim).
package main
