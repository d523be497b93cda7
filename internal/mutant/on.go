//go:build mutants

package mutant

// What they do is told in off.go.
var (
	AckEarly, HighEarly, ShortIsWhole, RetrySync           bool
	SkipDirSync, RecycleEarly, ReleaseEarly, UnloggedStart bool
	CheckpointFirst, SkipRenameSync, RetryCheckpoint       bool
	LateReplay, RemoveEarly, MoveEarly                     bool
	WeakRemove, CleanUnsynced, TrustCold, ReplayUnsynced   bool
	PastHole, StaleLap, TrustTail, ByName, ForgetProducers bool
	DrainAlone, CommitEarly                                bool
)

// Mutant is one wrong variant.
type Mutant struct {
	Name string
	on   *bool
}

// All are all of them.
var All = []Mutant{
	{"ack-early", &AckEarly}, {"high-early", &HighEarly}, {"short-is-whole", &ShortIsWhole},
	{"retry-sync", &RetrySync}, {"skip-dir-sync", &SkipDirSync},
	{"recycle-early", &RecycleEarly}, {"release-early", &ReleaseEarly},
	{"unlogged-start", &UnloggedStart}, {"checkpoint-first", &CheckpointFirst},
	{"skip-rename-sync", &SkipRenameSync}, {"retry-checkpoint", &RetryCheckpoint},
	{"late-replay", &LateReplay}, {"remove-early", &RemoveEarly}, {"past-hole", &PastHole},
	{"stale-lap", &StaleLap}, {"trust-tail", &TrustTail}, {"by-name", &ByName},
	{"forget-producers", &ForgetProducers}, {"drain-alone", &DrainAlone},
	{"commit-early", &CommitEarly}, {"weak-remove", &WeakRemove}, {"clean-unsynced", &CleanUnsynced},
	{"trust-cold", &TrustCold}, {"replay-unsynced", &ReplayUnsynced},
	{"move-early", &MoveEarly},
}

// Use switches m on, and all others off.
func Use(m Mutant) {
	Off()
	*m.on = true
}

// Off switches all off.
func Off() {
	for _, m := range All {
		*m.on = false
	}
}
