package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// damage is what was done to a copy.
type damage struct {
	kind string // of the file
	file string // within the data directory
	what string
}

func (d damage) String() string { return fmt.Sprintf("%s: %s: %s", d.kind, d.file, d.what) }

// kindOf sorts the files of a data directory.
func kindOf(name string) string {
	switch dir, base := filepath.Split(name); {
	case name == "lock":
		return ""
	case strings.HasPrefix(name, "raft"):
		return "raft"
	case name == "meta.properties":
		return "meta.properties"
	case name == "journal/boot":
		return "boot"
	case name == "journal/place" || name == "journal/reserve":
		return "place, reserve"
	case dir == "journal/":
		return "journal"
	case name == "checkpoint/journals":
		return "journal list"
	case name == "checkpoint/cleaner":
		return "cleaner"
	case dir == "checkpoint/":
		return "checkpoint"
	case dir == "groups/":
		return "groups"
	case base == "partition.metadata":
		return "partition.metadata"
	case strings.HasPrefix(name, "log/"):
		return "segment " + filepath.Ext(base)
	default:
		return "other"
	}
}

// files lists what may be damaged, by kind, each in order.
func files(dir string) (map[string][]string, error) {
	all := map[string][]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if kind := kindOf(name); err == nil && kind != "" {
			all[kind] = append(all[kind], name)
		}
		return err
	})
	return all, err
}

var errNothing = errors.New("no file to damage")

// strike damages one file of dir, as rng says.
func strike(rng *rand.Rand, dir, only string) (damage, error) {
	all, err := files(dir)
	if err != nil {
		return damage{}, err
	}
	kinds := make([]string, 0, len(all))
	for k := range all {
		if only == "" || k == only {
			kinds = append(kinds, k)
		}
	}
	if len(kinds) == 0 {
		return damage{}, errNothing
	}
	slices.Sort(kinds)
	d := damage{kind: kinds[rng.IntN(len(kinds))]}
	d.file = all[d.kind][rng.IntN(len(all[d.kind]))]
	name := filepath.Join(dir, d.file)
	b, err := os.ReadFile(name)
	if err != nil {
		return d, err
	}
	n := rng.IntN(100)
	switch {
	case n < 6:
		d.what = "lost"
		return d, os.Remove(name)
	case n < 14 && len(b) > 0:
		at := rng.IntN(len(b))
		d.what = fmt.Sprintf("cut at %d of %d", at, len(b))
		return d, os.Truncate(name, int64(at))
	case len(b) == 0:
		d.what = "a byte appended"
		return d, os.WriteFile(name, []byte{byte(1 + rng.IntN(255))}, 0o644)
	}
	flips := 1
	if n >= 90 {
		flips = 2 + rng.IntN(3)
	}
	var words []string
	for range flips {
		at := byteOf(rng, d.kind, b)
		bit := rng.IntN(8)
		b[at] ^= 1 << bit
		words = append(words, fmt.Sprintf("bit %d of byte %d", bit, at))
	}
	d.what = strings.Join(words, ", ")
	return d, os.WriteFile(name, b, 0o644)
}

// byteOf draws a byte: mostly where something is written, and often in a batch's header.
func byteOf(rng *rand.Rand, kind string, b []byte) int {
	used := len(b)
	for used > 1 && b[used-1] == 0 {
		used--
	}
	if rng.IntN(10) == 0 {
		used = len(b)
	}
	if kind == "segment .log" && rng.IntN(2) == 0 {
		if heads := batchesOf(b); len(heads) > 0 {
			return heads[rng.IntN(len(heads))] + rng.IntN(61)
		}
	}
	if kind == "journal" && rng.IntN(2) == 0 {
		if heads := commitsOf(b); len(heads) > 0 {
			return heads[rng.IntN(len(heads))] + rng.IntN(64+72+61)
		}
	}
	return rng.IntN(used)
}

// batchesOf is where record batches begin.
func batchesOf(b []byte) (at []int) {
	for pos := 0; pos+61 <= len(b); {
		n := int(int32(binary.BigEndian.Uint32(b[pos+8:])))
		if n < 49 || b[pos+16] != 2 || n+12 > len(b)-pos {
			break
		}
		at = append(at, pos)
		pos += n + 12
	}
	return at
}

// commitsOf is where commits of a journal file begin.
func commitsOf(b []byte) (at []int) {
	for pos := 4096; pos+4096 <= len(b); pos += 4096 {
		if string(b[pos:pos+4]) == "MRJC" {
			at = append(at, pos)
		}
	}
	return at
}
