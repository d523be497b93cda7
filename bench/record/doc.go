// Package record makes a side by side of record: loads that are run on several brokers in turns,
// judged by pairs, published as JSON, as a report, and as a part of a document with pictures.
//
// Not its job: making load (bin/loadgen does, as a process), starting brokers (bench and
// bench/life do), which loads and which brokers there are (bench/record/versus and bench/engines
// say it), drawing (loadgen/view does).
//
// In: sides (brokers), loads with what is asked of them, a plan. Out: a Sample per finished run in
// a file of its own, a view.Campaign of them, and what is published of that.
//
// Invariants:
//
//	C1  Every finished run is a file as soon as all sides have had their turn. A second start
//	    goes on there; a round that was cut short leaves nothing, because pairs are neighbours.
//	C2  Runs of different plans or programs are never mixed: FRESH begins anew.
//	C3  Rounds go over all loads before the next one begins, every second one in reverse order
//	    of the sides: an end at any moment leaves every load with about as many pairs.
//	C4  A pair counts when neither of its runs failed or was disturbed: other processes took no
//	    more than 5 % of a core, the hypervisor no more than 1 %. Latencies count only where the
//	    generator kept its schedule on both sides. What does not count is repeated, up to a bound.
//	C5  No ratio without its interval; durability stands in every row in which it differs.
//	C6  A JVM has been under load for as long as the plan says before its first figure.
package record
