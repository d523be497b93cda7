// Package view shows what the load generator measures: live to a person, as text when a run has
// ended, and as a report that a browser opens without a network.
//
// Not its job: measuring, and judging: every figure is one of package result, or follows from its
// histograms.
//
// In: result.Interval while a run is under way, result.Run afterwards; for the side by side of
// record a Campaign. Out: bytes on a terminal or in a pipe, one HTML file, SVG pictures.
//
// Invariants:
//
//	V1  A quantile that too few samples support is shown as "—", everywhere.
//	V2  A void or partial run says so before its first figure.
//	V3  A report loads nothing: no font, no script, no picture from anywhere else; what comes
//	    from a result is escaped.
//	V4  A comparison names its baseline, and prints the worst row as large as the best.
//	V5  Nothing is coloured without a terminal, or with NO_COLOR set; colour is never the only
//	    sign of anything.
package view
