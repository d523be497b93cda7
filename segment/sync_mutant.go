//go:build mutant_nosync

package segment

// syncCommits off: a commit is acknowledged when the device has taken it, though not
// for good. test/chaos runs this build to show that it would notice.
const syncCommits = false
