// Package plan finds out how much load a broker takes within a latency objective, makes a model of
// it, and answers from the model what a cluster for a given load needs. docs/CAPACITY.md has the
// method with its formulas.
//
// Not its job: making load (a Driver does) and measuring (result.Run has it).
//
// In: a matrix of configurations, an objective, a Driver; later a demand. Out: a Model, which is
// also the state from which a sweep goes on; an Answer with error bars.
//
// Invariants:
//
//	P1  What comes next follows from the steps that were taken and nothing else, so a sweep that
//	    was interrupted goes on where it was.
//	P2  Rates stand on one ladder for all configurations, sweeps and hosts: a step can be repeated.
//	P3  A step that missed the objective while the generator was late counts for nothing. One that
//	    kept it counts: lateness is in the latency.
//	P4  No figure without its interval, no prediction beyond what was measured without a word.
//
// Format: JSON, "format": "loadgen-model/1".
package plan
