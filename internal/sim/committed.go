package sim

// Committed are seeds that once failed, with what they found. `make test` runs them all.
// A change of a scenario gives its seeds another run: then they are ordinary seeds, and
// what they found is kept by the test that the repair came with.
var Committed = []struct {
	Scenario string
	Seed     uint64
	Found    string
}{
	{"storage", 79, "a clean stop did not sleep while it waited for the disk"},
	{"storage", 349, "files of deleted segments came back after a clean stop and stayed"},
	{"storage", 2346, "a deleted topic's directory came back beside another of its name"},
	{"storage", 759, "two directories of one name that were never relied on refused a start"},
	{"broker", 749, "a checkpoint was relied on whose rename was seen but not durable"},
	{"storage", 1840, "a paced read came a byte too early, again and again"},
}
