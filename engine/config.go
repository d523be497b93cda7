package engine

import (
	"log/slog"

	"millrace/internal/arena"
	"millrace/internal/clock"
	"millrace/internal/vfs"
	"millrace/protocol"
	"millrace/raftmeta"
	"millrace/segment"
)

// Listener is one address that clients connect to.
type Listener struct {
	Name     string // upper case, as in listeners=NAME://…
	Bind     string // host:port; port 0 picks a free one
	Host     string // advertised; "" tells the client the address it connected to
	Port     int32  // advertised; 0 is the bound port
	Loopback bool   // bound to loopback only
}

// Config is what the broker is started with. Names in comments are those of Kafka's
// server properties.
type Config struct {
	NodeID     int32
	Rack       string
	DataDir    string
	AlsoDirs   []string // further ones, for partitions' files only
	Listeners  []Listener
	Cores      int
	IO         string // "auto", "uring" or "epoll"
	Durability segment.Durability
	Static     map[string]string // server properties as given, for DescribeConfigs

	MemoryBytes     int64  // off-heap memory of all cores
	CacheBytes      int64  // cache.bytes: written chunks kept for readers, all cores
	JournalFile     int64  // bytes of one journal file
	JournalDir      string // journal.dir: of the journal files; "": in DataDir
	JournalMaxBytes int64  // journal.max.bytes: all cores together
	Journals        int    // journal.count: the first so many cores own partitions; 0: as the disk suits

	RequestMaxBytes     int32 // socket.request.max.bytes
	MaxConnections      int   // max.connections
	MaxConnectionsPerIP int   // max.connections.per.ip; loopback is exempt
	IdleMillis          int64 // connections.max.idle.ms
	AutoCreate          bool  // auto.create.topics.enable
	NumPartitions       int32 // num.partitions
	DeleteTopicEnable   bool  // delete.topic.enable
	FetchMaxBytes       int32 // fetch.max.bytes
	SessionSlots        int   // max.incremental.fetch.session.cache.slots
	OffsetsPartitions   int32 // offsets.topic.num.partitions
	OffsetsSegmentBytes int64 // offsets.topic.segment.bytes
	Groups              GroupConfig
	ProducerExpiryMs    int64 // producer.id.expiration.ms

	Log   *slog.Logger
	Clock clock.Clock
	FS    vfs.FS
	Seed  uint64 // of session and member ids; 0 takes a random one

	snapshotEach int64 // see there

	serial bool // storage opens without goroutines: Assemble
	// Version is the program's, for logs and metrics.
	Version string
}

// dirs are all data directories, the one with journals and metadata first.
func (c *Config) dirs() []string { return append([]string{c.DataDir}, c.AlsoDirs...) }

// GroupConfig is what the group coordinator is started with.
type GroupConfig struct {
	InitialRebalanceDelayMs int32 // group.initial.rebalance.delay.ms
	MinSessionTimeoutMs     int32 // group.min.session.timeout.ms
	MaxSessionTimeoutMs     int32 // group.max.session.timeout.ms
	MaxSize                 int32 // group.max.size
	OffsetMetadataMaxBytes  int32 // offset.metadata.max.bytes
	OffsetsRetentionMinutes int64 // offsets.retention.minutes
	OffsetsRetentionCheckMs int64 // offsets.retention.check.interval.ms
}

// Defaults gives Kafka's defaults, and ours where Kafka has none.
func Defaults() Config {
	return Config{
		NodeID:              1,
		DataDir:             "data",
		Cores:               1,
		IO:                  "auto",
		Durability:          segment.Fsync,
		JournalFile:         32 << 20,
		JournalMaxBytes:     512 << 20,
		RequestMaxBytes:     100 << 20,
		MaxConnections:      10_000,
		MaxConnectionsPerIP: 1_000,
		IdleMillis:          600_000,
		AutoCreate:          true,
		NumPartitions:       1,
		DeleteTopicEnable:   true,
		FetchMaxBytes:       55 << 20,
		SessionSlots:        1000,
		OffsetsPartitions:   50,
		OffsetsSegmentBytes: 100 << 20,
		ProducerExpiryMs:    86_400_000,
		snapshotEach:        snapshotEach,
		Groups: GroupConfig{
			InitialRebalanceDelayMs: 3000,
			MinSessionTimeoutMs:     6000,
			MaxSessionTimeoutMs:     1_800_000,
			MaxSize:                 1<<31 - 1,
			OffsetMetadataMaxBytes:  4096,
			OffsetsRetentionMinutes: 10_080,
			OffsetsRetentionCheckMs: 600_000,
		},
		Log:   slog.Default(),
		Clock: clock.System{},
		FS:    vfs.OS(),
	}
}

// parts is what one core is built from.
type parts struct {
	id     int
	cfg    *Config
	pool   *arena.Pool
	shard  *segment.Shard
	dir    [16]byte // directory.id
	quorum raftmeta.Quorum
	bound  []Listener // with the ports that were really bound
	addrs  func(fd int32) (local, remote string)
	placed map[protocol.TopicPartition]int
}
