// Package inspect shows and checks the files of a data directory that no broker uses:
// journals, checkpoints, segments and what stands beside them.
//
// Not its job: mending anything, printing, and telling what a broker would make of
// damage. It opens files for reading only.
//
// Data in: a path. Data out: items, one after the other, as plain structs for JSON that
// also have a line of text; and findings, each with file, position and broken rule.
//
// Batches and records have the words of Kafka's own dump tool, in its order.
//
// Invariants:
//
//	I1  What the checkpoints name is checked against them; a file of its own only
//	    against itself.
//	I2  A finding names a place where bytes are not what was written. What a crash
//	    leaves (a torn last commit, files that nothing names yet) is a note.
package inspect
