// Package measure turns what threads of a load see into a result: counters and latencies per
// interval and of the whole run, the broker's cost, and the verdict whether the figures mean
// anything.
//
// Not its job: making load, choosing what is recorded, showing it.
//
// In: Counts and latencies in nanoseconds, one Recorder per thread (or one Shared for many
// goroutines). Out: result.Intervals to observers while the run goes on, a result.Run at its end.
//
// A run has three parts on one clock, CLOCK_MONOTONIC: the warm-up, the measurement, and the drain,
// in which answers to what was sent in the measurement are awaited.
//
// Invariants:
//
//	M1  A Recorder has one writer and neither locks nor allocates on its way; once per interval it
//	    hands its counters and histograms over and goes on with an empty set.
//	M2  Counters count what happened within the measurement, by the time at which it happened.
//	    Latencies count what was due within it, however late its answer came: a stall at the end
//	    of a run is in them whole.
//	M3  The histograms of a run are the sums of those of its intervals: what the drain brings
//	    belongs to the last interval.
//	M4  A run whose generator fell behind its own schedule is void, and its result says why.
//	M5  A run that ended early has a result all the same, and says why it did.
package measure
