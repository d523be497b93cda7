//go:build !mutant_nosync

package segment

// syncCommits is false in one build only, which the power-loss harness must catch.
const syncCommits = true
