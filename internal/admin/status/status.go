package status

import "time"

// Source is where the admin server gets its figures. Every method may be called
// from any goroutine, and returns within about a second or fails.
type Source interface {
	// Ready is nil once clients are served; its error says what is waited for.
	Ready() error
	// Healthy is nil until a failure latched; its error is the failure.
	Healthy() error
	// Snapshot copies the figures of every core, partition and group.
	Snapshot() (*Snapshot, error)
}

// Snapshot is one broker at one moment.
type Snapshot struct {
	Broker     Broker
	Cores      []Core
	Partitions []Partition // sorted by topic, then partition
	Groups     []Group     // sorted by name
}

// Broker is what does not change, or changes with the metadata image.
type Broker struct {
	Version    string
	ClusterID  string
	NodeID     int32
	Started    time.Time
	IO         string // "io_uring" or "epoll"
	Durability string // "fsync" or "write"
	Listeners  []string
	DataDir    string

	Controller  bool  // this node leads the metadata quorum
	Brokers     int   // registered brokers
	Topics      int   // including internal ones
	ImageIndex  int64 // raft index of the metadata image in use
	DiskFree    int64 // bytes left to this user in the data directory's filesystem
	DiskTotal   int64
	OfflineLogs int // partitions that this node should serve and cannot
}

// API is the figures of one API key on one core.
type API struct {
	Requests uint64
	Errors   uint64 // answers that carried an error code
	BytesIn  uint64
	BytesOut uint64
	Latency  Histogram // microseconds from the whole request read to the answer handed to the kernel
}

// Core is what one core counts. All figures are since start unless they say now.
type Core struct {
	Index int

	BusyNanos   uint64 // spent in turns
	ParkedNanos uint64 // spent waiting in Reap
	Turns       uint64
	Ops         uint64 // ring operations submitted

	Connections   int // now
	Accepted      uint64
	Refused       uint64 // closed at accept: a limit
	BadFrames     uint64 // closed for bytes that are no request
	PausedReads   int    // now: connections not read, for back-pressure
	ParkedFetches int    // now: fetches that wait for data

	APIs []API // by API key

	MessagesIn     uint64 // records appended by producers
	BytesIn        uint64 // bytes of their batches
	BytesOut       uint64 // bytes of batches sent to consumers
	FailedProduce  uint64 // partitions of produce requests refused
	FailedFetch    uint64
	ColdReads      uint64 // reads that went to the disk
	ColdReadBytes  uint64
	SegmentBytes   uint64    // written to partitions' files
	JournalBytes   uint64    // written to the journal, padding included
	Commits        uint64    // group commits
	TwoSteps       uint64    // of them: a write and then fdatasync, not one write with RWF_DSYNC
	CommitSize     Histogram // bytes of one group commit
	CommitLatency  Histogram // microseconds of one group commit
	JournalBacklog int64     // now: bytes not yet checkpointed
	JournalLimit   int64
	CacheBytes     int64 // now: chunks kept for readers
	CacheLimit     int64
	PinnedBytes    int64 // now: memory held by sends in flight
	ArenaBytes     int64 // now: off-heap memory held in all
	ArenaLimit     int64
	Partitions     int // now: logs owned by this core
	Cleaner        Cleaner
}

// Cleaner is the compaction of one core's logs.
type Cleaner struct {
	Runs          uint64 // cleanings of a log that ended well
	Failed        uint64
	Swaps         uint64 // new segments in place of old ones
	ReadBytes     uint64
	WrittenBytes  uint64
	RecordsIn     uint64 // looked at
	RecordsOut    uint64 // of them kept
	MaxDirtyRatio float64
	LastMillis    int64 // wall clock of the last run's end, 0: none
	Uncleanable   int   // now: logs left alone because they are damaged
	Running       bool  // now
}

// Partition is one log.
type Partition struct {
	Topic     string
	Partition int32
	Internal  bool
	Core      int
	Leader    int32
	Epoch     int32
	Replicas  int
	InSync    int
	Start     int64
	Stable    int64
	High      int64
	End       int64
	Bytes     int64
	Segments  int

	MessagesIn uint64
	BytesIn    uint64
	BytesOut   uint64
}

// Group is one consumer group.
type Group struct {
	Name       string
	State      string // Kafka's words: Empty, PreparingRebalance, CompletingRebalance, Stable, Dead
	Protocol   string
	Members    int
	Generation int32
	Offsets    []GroupOffset
}

// GroupOffset is one committed offset and how far it is behind.
type GroupOffset struct {
	Topic     string
	Partition int32
	Committed int64
	Lag       int64   // records up to the high watermark; -1 unknown
	LagTime   float64 // seconds since the first record not yet read was appended; -1 unknown
}
