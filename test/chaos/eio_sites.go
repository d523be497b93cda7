package main

import "path/filepath"

// when is at what time of the broker's life a part of the disk fails.
type when uint8

const (
	serving  when = iota // under load: it must leave, code 74, and acknowledge nothing false
	starting             // after a kill: it must leave, code 74
	reading              // old records are read: an error for the reader, and life goes on
)

// failSite is one place where the broker does I/O.
type failSite struct {
	name  string
	files []string // below the data directory
	words []string // or: what the blocks begin with
	when  when

	reads, writes, flushes bool
	metadata               bool // has to be provoked by changes of the metadata
	early                  bool // is written once in a life, soon: broken before the load
}

var (
	journals  = []string{"journal/*.journal"}
	segments  = []string{"log/*/*.log"}
	indexes   = []string{"log/*/*.index", "log/*/*.timeindex"}
	sums      = []string{"log/*/*.sums"}
	cleaned   = []string{"log/*/*.cleaned"}
	raftLog   = []string{"raft/*.wal"}
	raftState = []string{"raft/wal-meta.db"}
)

// failSites are all of them. What is made anew each time has no place on the disk
// beforehand: it is known by how it begins.
var failSites = []failSite{
	{name: "journal-write", files: journals, writes: true},
	{name: "journal-flush", files: journals, flushes: true},
	{name: "journal-file-write", words: []string{"MRJF"}, writes: true, early: true},
	{name: "segment-write", files: segments, writes: true},
	{name: "segment-flush", files: segments, flushes: true},
	{name: "index-write", files: indexes, writes: true},
	{name: "sums-write", files: sums, writes: true},
	{name: "cleaned-segment-write", files: cleaned, writes: true},
	{name: "cleaner-book-write", words: []string{"MCLN"}, writes: true},
	{name: "checkpoint-write", words: []string{"MCKP"}, writes: true},
	{name: "checkpoint-flush", words: []string{"MCKP"}, flushes: true},
	{name: "boot-write", words: []string{"MRBT"}, writes: true, early: true},
	{name: "topic-id-write", words: []string{"version: 0\ntopic_id"}, writes: true, early: true},
	{name: "raft-log-write", files: raftLog, writes: true, metadata: true},
	{name: "raft-log-flush", files: raftLog, flushes: true, metadata: true},
	{name: "raft-state-write", files: raftState, writes: true, metadata: true},
	{name: "filesystem-journal-write", writes: true, // jbd2's and xfs's records
		words: []string{"\xc0\x3b\x39\x98", "\xfe\xed\xba\xbe"}},

	{name: "journal-read", files: journals, when: starting, reads: true},
	{name: "checkpoint-read", files: []string{"checkpoint/*"}, when: starting, reads: true},
	{name: "cleaner-book-read", files: []string{"checkpoint/cleaner"}, when: starting, reads: true},
	{name: "boot-read", files: []string{"journal/boot"}, when: starting, reads: true},
	{name: "boot-write-at-start", words: []string{"MRBT"}, when: starting, writes: true},
	{name: "raft-log-read", files: raftLog, when: starting, reads: true},
	{name: "raft-state-read", files: raftState, when: starting, reads: true},
	{name: "raft-state-write-at-start", files: raftState, when: starting, writes: true},
	{name: "identity-read", files: []string{"meta.properties"}, when: starting, reads: true},
	{name: "topic-id-read", files: []string{"log/*/partition.metadata"}, when: starting, reads: true},

	{name: "segment-read", files: segments, when: reading, reads: true},
	{name: "index-read", files: indexes, when: reading, reads: true},
	{name: "sums-read", files: sums, when: reading, reads: true},
}

// paths are the site's files of a broker.
func (s *failSite) paths(b *broker) []string {
	var out []string
	for _, f := range s.files {
		out = append(out, filepath.Join(b.data, f))
	}
	return out
}
