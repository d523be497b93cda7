// Package result is what a run of the load generator has measured: pure data, with its files.
//
// Not its job: measuring (loadgen/measure) and showing (loadgen/view). Two things here do look at
// the world, because they are data about it: ReadHost tells what a machine is, a CostSource what
// a process has used.
//
// In: figures of a recorder, JSON files, interval logs. Out: the same, checked.
//
// Units: time stamps are UTC, lengths of time are seconds, latencies are microseconds in figures
// and nanoseconds in histograms, sizes are bytes, counts are of messages where nothing else is
// said.
//
// Invariants:
//
//	R1  A quantile is given only where enough samples stand behind it (Supported): no figure that
//	    a handful of samples made.
//	R2  Every latency figure of a Summary follows from its Histogram, so that runs can be merged:
//	    merging histograms and summing up again is exact, averaging quantiles is not.
//	R3  What comes from a file is checked before it is believed: lengths and counts before memory
//	    is taken for them, order of intervals, sums that cannot be.
//	R4  A result holds no secret: options that carry one are named, never valued.
//
// # Result file
//
// One JSON object, Run, with "format": "loadgen/1". Fields that a reader does not know are
// skipped; a reader refuses another format. Histograms are HdrHistogram's V2 encoding, compressed,
// in base64.
//
// # Interval log
//
// HdrHistogram's interval log format 1.3 with V2 histograms of nanoseconds, so that its tools show
// milliseconds; one tag per kind of latency:
//
//	#[Histogram log format version 1.3]
//	#[StartTime: 1790000000.250 (seconds since epoch), 2026-09-21T…Z]
//	#[BaseTime: 1790000000.250 (seconds since epoch)]
//	"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"
//	Tag=response,0.000,1.000,3.512,HISTFAAAA…
package result
