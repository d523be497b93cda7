// Package raftmeta is what the cluster has agreed on: one immutable image, the commands
// that change it, and the pure function between them.
//
// Not its job: agreeing (raftmeta/hraft does, behind Quorum), the meaning of config values
// (raftmeta/configdef), clocks, random numbers, files.
//
// Data in: commands, as bytes of the agreed log. Data out: images, one Outcome per command.
//
// Invariants:
//
//	I1  An Image never changes. What it returns is shared: readers must not write to it.
//	I2  Apply is a function of (image, index, command) alone: topic ids, assignments and the
//	    defaults of list configs come inside the command, made by the proposer.
//	I3  Apply never judges a config value. An old log replayed by a newer binary, whose rules
//	    may be stricter, gives the same image.
//	I4  Bytes that this binary does not understand are refused, never skipped.
//	I5  A topic id, once deleted, stays in the image until every broker that may hold its
//	    data has said that the data is gone.
//	I6  Producer ids are handed out once.
//
// Format of a command, all integers big-endian or uvarint (docs/FORMATS.md):
//
//	version u8 | kind u8 | body
//
// Limits: MaxCommandBytes per command; every count is checked against the bytes that remain
// before memory is taken for it.
package raftmeta
