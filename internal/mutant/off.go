//go:build !mutants

package mutant

// Of the journal.
const (
	// AckEarly: acknowledged and readable when the write is sent, not when it is done.
	AckEarly = false
	// HighEarly: readable when the write is sent; acknowledged when it is done.
	HighEarly = false
	// ShortIsWhole: a short journal write counts as a whole one.
	ShortIsWhole = false
	// RetrySync: a journal sync that failed is made again.
	RetrySync = false
	// SkipDirSync: a new journal file's name is not made durable.
	SkipDirSync = false
	// RecycleEarly: journal files go back when the checkpoint is begun.
	RecycleEarly = false
	// ReleaseEarly: journal files of earlier openings go back at once.
	ReleaseEarly = false
	// MoveEarly: a partition's new core acknowledges before the move is durable.
	MoveEarly = false
	// UnloggedStart: a new start offset is not written to the journal.
	UnloggedStart = false
)

// Of segments and checkpoints.
const (
	// CheckpointFirst: segments are not made durable before the checkpoint that relies
	// on them.
	CheckpointFirst = false
	// SkipRenameSync: the rename of a replaced file is not made durable.
	SkipRenameSync = false
	// RetryCheckpoint: an error of a segment or checkpoint write is waited out.
	RetryCheckpoint = false
	// LateReplay: the checkpoint says that it covers what was committed while it was
	// being taken.
	LateReplay = false
	// WeakRemove: under durability write segments below a new start go before the start is
	// durable.
	WeakRemove = false
	// CleanUnsynced: a compacted segment is not durable when the old ones go.
	CleanUnsynced = false
	// TrustCold: what comes back from the disk is served unchecked.
	TrustCold = false
	// RemoveEarly: segments below a new start go before the start is durable.
	RemoveEarly = false
)

// Of recovery.
const (
	// PastHole: replay goes on behind a missing commit.
	PastHole = false
	// StaleLap: commits of an earlier use of a journal file are replayed again.
	StaleLap = false
	// TrustTail: the last commit of a journal is believed without its CRC.
	TrustTail = false
	// ByName: a topic is known by its name: what a deleted one left is the new one's.
	ByName = false
	// ReplayUnsynced: what a killed process wrote and did not sync is replayed and not made
	// durable.
	ReplayUnsynced = false
	// ForgetProducers: the state of idempotent producers is not restored.
	ForgetProducers = false
)

// Of the cores.
const (
	// DrainAlone: at a stop storage is drained at once when this core has no connection,
	// though others do and their requests are under way.
	DrainAlone = false
	// CommitEarly: a committed offset is acknowledged before it is durable.
	CommitEarly = false
)
