package segment

import (
	"log/slog"
	"math"

	"millrace/internal/arena"
	"millrace/internal/clock"
	"millrace/internal/vfs"
	"millrace/protocol"
)

// Durability is what an acknowledgement means.
type Durability uint8

const (
	// Fsync: the journal write is durable on the medium.
	Fsync Durability = iota
	// Write: the device's queue has it. Survives kill -9, not a power loss.
	Write
)

// String is the name used in flags and figures.
func (d Durability) String() string {
	if d == Write {
		return "write"
	}
	return "fsync"
}

// Options of Open. Sizes are in bytes and per core; 0 takes the default.
type Options struct {
	FS         vfs.FS
	Dir        string
	Also       []string      // further directories, for partitions' files only
	JournalDir string        // of the journal files; "": Dir/journal
	Directory  [16]byte      // directory.id of meta.properties; in every journal header
	Pools      []*arena.Pool // one per core
	Durability Durability

	JournalFile int64 // of a small journal file, default 32 MiB
	JournalMax  int64 // of all journal files, default 512 MiB
	CacheBytes  int64 // written chunks that stay readable in memory, default 64 MiB
	OpenFiles   int   // of all cores together, default 4096
	PlaceMin    int   // batches from this size on reach the journal uncopied, default 64 KiB

	Log *slog.Logger
	Now func() clock.Now // for Open only

	Serial bool // Open starts no goroutines: the simulator's are deterministic
}

// Known is what the raft image says should be on disk.
type Known struct {
	Topics  []KnownTopic
	Deleted map[protocol.TopicID]bool
}

// KnownTopic is one topic of the image. Partitions are 0 … Partitions−1.
type KnownTopic struct {
	ID         protocol.TopicID
	Name       string
	Partitions int32
	Config     LogConfig
}

// LogConfig is the part of a topic's configuration that storage obeys.
type LogConfig struct {
	SegmentBytes      int64 // segment.bytes
	SegmentMillis     int64 // segment.ms
	SegmentJitter     int64 // segment.jitter.ms: segments roll up to so much sooner
	IndexBytes        int64 // segment.index.bytes: the largest .index file
	IndexInterval     int64 // index.interval.bytes
	RetentionBytes    int64 // retention.bytes, −1: no limit
	RetentionMillis   int64 // retention.ms, −1: no limit
	DeleteDelayMillis int64 // file.delete.delay.ms
	Delete            bool  // cleanup.policy has delete: retention applies

	Compact               bool    // cleanup.policy has compact
	DirtyRatio            float64 // min.cleanable.dirty.ratio
	MinLagMillis          int64   // min.compaction.lag.ms
	MaxLagMillis          int64   // max.compaction.lag.ms
	DeleteRetentionMillis int64   // delete.retention.ms
}

// DefaultConfig is Kafka's.
func DefaultConfig() LogConfig {
	return LogConfig{
		SegmentBytes:      1 << 30,
		SegmentMillis:     7 * 24 * 3600 * 1000,
		IndexBytes:        10 << 20,
		IndexInterval:     4096,
		RetentionBytes:    -1,
		RetentionMillis:   7 * 24 * 3600 * 1000,
		DeleteDelayMillis: 60_000,
		Delete:            true,

		DirtyRatio:            0.5,
		MaxLagMillis:          math.MaxInt64,
		DeleteRetentionMillis: 24 * 3600 * 1000,
	}
}

// Report is what Open found, for the log line and the metrics.
type Report struct {
	Boot        uint64   // number of this opening
	Clean       bool     // the last stop was clean: nothing was replayed
	Logs        int      // partitions with data
	Replayed    int64    // bytes taken from journals
	Dropped     int64    // bytes of torn or unknown entries
	Quarantined []string // directories moved to quarantine/
	Removed     []string // directories of deleted topics
	Direct      bool     // the file system has O_DIRECT
	SyncAfter   bool     // commits are written and then synced: faster here than RWF_DSYNC
	Notes       []string // what an operator should know
	// Moved are the logs that are not where CoreOf says, and their cores.
	Moved map[protocol.TopicPartition]int
}

// Seq numbers the staged entries of a shard; it only grows. Durable names the last
// one that may be acknowledged.
type Seq uint64

// Admission says whether a request may be appended now.
type Admission uint8

const (
	Admitted Admission = iota
	Wait               // memory or journal is short: stop reading producers, ask again next turn
	Full               // no space on disk: KAFKA_STORAGE_ERROR
	Dead               // Err is set
)

// Where says what Locate found.
type Where uint8

const (
	InMemory Where = iota // extents were appended to dst
	Cold                  // on disk only: use Read
	Below                 // from < Start: OFFSET_OUT_OF_RANGE
	Above                 // from > End: OFFSET_OUT_OF_RANGE
	AtEnd                 // nothing whole below limit yet
)

// Marks are the positions of one log, all exclusive ends but Start.
type Marks struct {
	Start   int64 // first offset that may be read
	Stable  int64 // last stable offset: below it no open transaction
	High    int64 // high watermark: readable by consumers
	Written int64 // the journal write has completed
	Durable int64 // what the acknowledgement level asks for is done
	End     int64 // next offset to be given
}

// Extent is a piece of memory of whole batches' bytes; several follow one another.
// A reference on Buf is held for the reader, who gives it back to the core's pool.
type Extent struct {
	Buf *arena.Buf
	Mem []byte
}

// Effects is what a turn wants done. The slices are reused; IDs name completions.
type Effects struct {
	IO   []IO
	Jobs []Job
}

// Reset empties both lists and keeps their memory.
func (e *Effects) Reset() { e.IO, e.Jobs = e.IO[:0], e.Jobs[:0] }

// IOKind is the kind of a file operation.
type IOKind uint8

const (
	IORead IOKind = iota
	IOWrite
	IOSync // fdatasync
)

// IO is one file operation. What Mem and Vec name stays untouched and held until
// IODone; Vec itself is reused then.
type IO struct {
	ID    uint32
	Kind  IOKind
	Dsync bool // durable at completion (RWF_DSYNC)
	Fd    int32
	Off   int64
	Mem   []byte
	Vec   [][]byte // pieces of a gathered write, instead of Mem; at most 1024
}

// Size is how many bytes the operation is about.
func (io *IO) Size() int {
	n := len(io.Mem)
	for _, b := range io.Vec {
		n += len(b)
	}
	return n
}

// Job is blocking file work for a helper goroutine. What Run returns goes to
// JobDone.
type Job struct {
	ID  uint32
	Run func() any
}

// Result answers Read, FindTime and FindMaxTime.
type Result struct {
	ID     uint32
	Code   protocol.Code // None, CORRUPT_MESSAGE, KAFKA_STORAGE_ERROR, OFFSET_OUT_OF_RANGE
	Offset int64         // Find*: −1 when there is none
	Time   int64         // Find*: of that record, −1
	Epoch  int32         // Find*: leader epoch of that record, −1

	// Read: whole batches from the one that holds the offset, each piece with a
	// reference for the reader. The list is valid until the next Results.
	Extents []Extent
}
