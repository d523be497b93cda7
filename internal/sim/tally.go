package sim

import (
	"fmt"
	"io"
)

// Counter names something that runs count: what they did, and what went wrong in them.
// A fault is counted when it has bitten, not when it was ordered.
type Counter uint8

const (
	Steps Counter = iota // events
	Lives

	// Work on storage.
	Appends
	Acks
	Reads
	ColdReads
	Finds
	Duplicates // batches sent twice and told apart
	Retried    // batches sent again after a crash had taken them
	Drops      // topics deleted
	Checked    // logs read from front to back
	Cleanings  // rounds of compaction
	Compacted  // records of which only a later one is there

	// Work of clients.
	Produced
	Acked
	Resent
	Consumed
	Commits
	Assigned
	Topics
	Trims // DeleteRecords
	Grown // partitions added
	Moved // partitions that went to another core
	CalledOff
	Connections
	Garbage

	// Ends of lives.
	PowerLosses
	Kills
	CleanStops
	RecoveryCuts   // power lost in a recovery
	RecoveryErrors // a recovery refused because of an I/O error, and repeated

	// Of the disk.
	Short         // transfers of which a part was done
	Again         // ops that ended with EINTR or EAGAIN
	Slow          // events that took fifty times as long
	Hiccups       // times that the disk was very slow for a while
	Torn          // writes of which a crash left a part
	Sectors       // of 512 bytes that a power loss took
	Entries       // creates, renames and removes that a power loss took
	Lost          // batches that a crash took before their acknowledgement
	Weak          // and after it: a power loss under durability write
	JournalErrors // lives in which an op on such a file failed with EIO
	SegmentErrors
	IndexErrors
	CheckpointErrors
	DirectoryErrors
	ReadErrors
	Leftovers // files of deleted segments that came back
	Full      // requests refused for want of space
	Healed    // lives in which work went on after such a refusal

	// Of bytes and of truth.
	FlipsRefused  // bit flips because of which the start is refused
	FlipsDetected // that a read finds
	FlipsTorn     // in the last commit of a journal: no other than a torn write
	FlipsHarmless
	LiesRefused // power losses after a sync that did nothing: the start is refused
	LiesFound   // a read finds it
	LiesLost    // the end of a log is gone: not to be told from what never was
	LiesHarmless

	// Of clocks and peers.
	Jumps
	Cuts
	HalfOpen
	Stalls

	numCounters
)

var counterNames = [numCounters]string{
	"events", "lives",
	"batches appended", "batches acknowledged", "reads", "cold reads", "searches by time",
	"duplicates told apart", "batches retried after a crash", "topics deleted", "logs read through",
	"rounds of compaction", "records compacted away, as seen by reads",
	"batches produced", "batches acknowledged to clients", "batches sent again", "records consumed",
	"offset commits", "assignments", "topics created", "record deletions", "partitions added",
	"partitions moved to another core", "moves called off",
	"connections", "rubbish requests",
	"power losses", "kills", "clean stops", "power losses in recovery", "I/O errors in recovery",
	"short transfers", "interrupted ops", "slow events", "disk hiccups", "writes torn by a crash",
	"sectors lost", "directory entries lost", "batches lost before their acknowledgement",
	"acknowledged batches that a power loss took (durability write)",
	"EIO on a journal", "EIO on a segment", "EIO on an index", "EIO on a checkpoint",
	"EIO on a directory", "EIO on a read", "deleted files that came back",
	"refusals for want of space", "healed when space returned",
	"flips: start refused", "flips: found by a read", "flips: as a torn write", "flips: harmless",
	"lying sync: start refused", "lying sync: found by a read", "lying sync: end of a log gone",
	"lying sync: harmless",
	"clock jumps", "connections cut", "half-open peers", "slow readers",
}

// Tally is a count of everything.
type Tally [numCounters]int

// Add adds another run's.
func (t *Tally) Add(o *Tally) {
	for i := range t {
		t[i] += o[i]
	}
}

// Write prints what is not zero.
func (t *Tally) Write(w io.Writer) {
	for i, n := range t {
		if n != 0 {
			fmt.Fprintf(w, "  %12d  %s\n", n, counterNames[i])
		}
	}
}

// String is the counter's name.
func (c Counter) String() string { return counterNames[c] }

// Result is what a run did. Equal seeds give equal results.
type Result struct {
	Trace uint64
	Tally Tally
}

// Scenario is one kind of run.
type Scenario struct {
	Name string
	Run  func(seed uint64) (Result, error)
	// Must are the counters that a good number of runs leaves above zero: a fault that
	// never bit proves nothing.
	Must []Counter
}

// Scenarios are all kinds. An error of Run names the rule that was broken.
var Scenarios = []Scenario{
	{
		Name: "storage",
		Run:  func(seed uint64) (Result, error) { return RunStorage(Storage{Seed: seed}) },
		Must: []Counter{
			Appends, Acks, Reads, ColdReads, Finds, Duplicates, Retried, Drops, Checked, Cleanings, Compacted, Moved,
			PowerLosses, Kills, CleanStops, RecoveryCuts, RecoveryErrors, Short, Again, Slow, Hiccups, Torn, Sectors,
			Entries, Lost, Weak, JournalErrors, SegmentErrors, IndexErrors, CheckpointErrors,
			DirectoryErrors, ReadErrors, Full, FlipsRefused, FlipsDetected, FlipsHarmless, LiesRefused, Jumps,
		},
	},
	{
		Name: "broker",
		Run:  func(seed uint64) (Result, error) { return RunBroker(Broker{Seed: seed}) },
		Must: []Counter{
			Produced, Acked, Resent, Consumed, Commits, Assigned, Topics, Trims, Grown, Moved, Garbage,
			PowerLosses, Kills, CleanStops, RecoveryCuts, Short, Again, Slow, Hiccups, Torn, Sectors,
			Entries, Weak, Cleanings, Compacted, JournalErrors, SegmentErrors, Full, Jumps, Cuts, HalfOpen,
			Stalls,
		},
	},
}
