package configdef

// TopicConfig is what the engine and the storage need of a topic's configuration: every
// value resolved (topic, broker, cluster default, static, default) and typed.
type TopicConfig struct {
	CleanupDelete  bool
	CleanupCompact bool

	RetentionMs       int64 // -1: no limit
	RetentionBytes    int64 // -1: no limit; per partition
	DeleteRetentionMs int64
	FileDeleteDelayMs int64

	LocalRetentionMs    int64 // -2: RetentionMs
	LocalRetentionBytes int64 // -2: RetentionBytes

	SegmentBytes       int32
	SegmentMs          int64
	SegmentJitterMs    int64
	SegmentIndexBytes  int32
	IndexIntervalBytes int32
	Preallocate        bool

	MaxMessageBytes   int32
	MinInsyncReplicas int32
	FlushMessages     int64
	FlushMs           int64

	Compression Compression
	GzipLevel   int32
	Lz4Level    int32
	ZstdLevel   int32

	LogAppendTime     bool
	TimestampBeforeMs int64
	TimestampAfterMs  int64

	MinCleanableDirtyRatio float64
	MinCompactionLagMs     int64
	MaxCompactionLagMs     int64

	UncleanLeaderElection bool

	segmentInternal bool // internal.segment.bytes was given: it wins
}

// Compression is compression.type: the codec of stored batches.
type Compression int8

// Values: what the producer sent, or the codec numbers of record batches v2.
const (
	CompressionProducer     Compression = -1
	CompressionUncompressed Compression = 0
	CompressionGzip         Compression = 1
	CompressionSnappy       Compression = 2
	CompressionLz4          Compression = 3
	CompressionZstd         Compression = 4
)
