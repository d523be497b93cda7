package segment

// Partitions may be spread over several data directories; the first has the journals and
// checkpoints, too. A partition stays where its directory was made. One that has none yet,
// because all of it is in the journal, goes where the fewest are.

// roots counts the partitions of each data directory, under the shared lock.
type roots struct {
	dirs  []string
	count []int
}

func (o *Options) roots() []string { return append([]string{o.Dir}, o.Also...) }

// takeRoot gives the data directory with the fewest partitions one more.
func (sh *shared) takeRoot() string {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	r := &sh.roots
	least := 0
	for i, n := range r.count {
		if n < r.count[least] {
			least = i
		}
	}
	r.count[least]++
	return r.dirs[least]
}

// countRoot notes n partitions more, or fewer, in a data directory.
func (sh *shared) countRoot(dir string, n int) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for i, d := range sh.roots.dirs {
		if d == dir {
			sh.roots.count[i] += n
		}
	}
}

// settle gives the logs their data directories: where their files are, or else a new place.
func (op *opening) settle() {
	sh := op.shards[0].shared
	for _, s := range op.shards {
		for _, l := range s.list {
			if l.root = op.dirs[l.dirName()]; l.root != "" {
				sh.countRoot(l.root, 1)
			}
		}
	}
	for _, s := range op.shards {
		for _, l := range s.list {
			if l.root == "" {
				l.root = sh.takeRoot()
			}
		}
	}
}
