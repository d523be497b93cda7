// Package limits measures what the host itself can do: copy, sum, enter the kernel, wake a thread,
// move bytes through loopback, write and flush. No broker on this machine can be faster than the
// sum of what it cannot avoid, so a run is told as a share of that.
//
// Not its job: brokers, and comparing hosts. It is no benchmark of disks either: every figure
// takes a fraction of a second, which a cache in the device or the hypervisor can hide.
//
// In: a directory on the disk that matters, a budget of time. Out: Limits, a list of figures, each
// the median of some rounds with the least and the greatest; what could not be measured, and why.
//
// Invariants:
//
//	L1  Rates and costs are of one thread on one CPU unless the figure says otherwise. What only
//	    computes is timed by that thread's CPU seconds as the kernel counts them, and so are costs;
//	    what waits (wake-ups, loopback, disks) by the time that passed, which neighbours lengthen.
//	L2  The run ends within its budget and a round: what is left is skipped, with words.
//	L3  Nothing is left in the directory, however the run ends.
//	L4  A composite has only what every broker must do: receive, sum, write (produce); send from a
//	    file (fetch). Requests, answers, indexes and durability cost more. So it cannot be reached,
//	    and who seems to come above nine tenths of it should suspect the limit.
//
// Format: JSON, "format": "loadgen-limits/1".
package limits
