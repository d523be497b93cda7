package main

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// scratchPrefix and the process id begin the name of every scratch directory.
const scratchPrefix = "millrace-chaos-"

// sweep takes away the mounts that runs left which were themselves killed -9.
func sweep() {
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil {
		return
	}
	lines := strings.Split(string(mounts), "\n")
	slices.Reverse(lines) // what was mounted last goes first
	for _, line := range lines {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		if owner := ownerOf(fields[1]); owner > 0 && unix.Kill(owner, 0) == unix.ESRCH {
			_ = unix.Unmount(fields[1], unix.MNT_DETACH)
		}
	}
}

// ownerOf gives the process that made a scratch path, or 0.
func ownerOf(path string) int {
	for _, part := range strings.Split(path, string(filepath.Separator)) {
		if rest, ours := strings.CutPrefix(part, scratchPrefix); ours {
			pid, _, _ := strings.Cut(rest, "-")
			n, _ := strconv.Atoi(pid)
			return n
		}
	}
	return 0
}
