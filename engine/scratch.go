package engine

import (
	"millrace/protocol"
	"millrace/protocol/batch"
	"millrace/protocol/hot"
	"millrace/raftmeta"
	"millrace/raftmeta/configdef"
	"millrace/segment"
	"unsafe"
)

type (
	raftCommand = raftmeta.Command
	raftOutcome = raftmeta.Outcome
)

// scratch is memory that hot handlers use again and again; nothing in it outlives a
// call.
type scratch struct {
	header        hot.Header
	produce       hot.ProduceRequest
	produceAnswer hot.ProduceWriter
	fetch         hot.FetchRequest
	fetchAnswer   hot.FetchWriter
	fetchResult   hot.FetchResult
	limits        batch.Limits
	name          []byte
}

// advance moves an off-heap address on by n bytes.
func advance(p *byte, n int) *byte { return (*byte)(unsafe.Add(unsafe.Pointer(p), n)) }

// logConfig is the part of a topic's configuration that storage obeys.
func logConfig(t *configdef.TopicConfig) segment.LogConfig {
	millis := t.SegmentMs
	if t.CleanupCompact { // else what is old could not be compacted in time
		millis = min(millis, max(t.MaxCompactionLagMs, 1))
	}
	return segment.LogConfig{
		SegmentBytes:      int64(t.SegmentBytes),
		SegmentMillis:     millis,
		SegmentJitter:     t.SegmentJitterMs,
		IndexBytes:        int64(t.SegmentIndexBytes),
		IndexInterval:     int64(t.IndexIntervalBytes),
		RetentionBytes:    t.RetentionBytes,
		RetentionMillis:   t.RetentionMs,
		DeleteDelayMillis: t.FileDeleteDelayMs,
		Delete:            t.CleanupDelete,

		Compact:               t.CleanupCompact,
		DirtyRatio:            t.MinCleanableDirtyRatio,
		MinLagMillis:          t.MinCompactionLagMs,
		MaxLagMillis:          t.MaxCompactionLagMs,
		DeleteRetentionMillis: t.DeleteRetentionMs,
	}
}

// partitionAt finds where a partition lives; ok is false when it does not exist.
func (c *Core) partitionAt(top *topic, index int32) (tp protocol.TopicPartition, core int, ok bool) {
	if top == nil || index < 0 || int(index) >= len(top.parts) {
		return tp, 0, false
	}
	return protocol.TopicPartition{Topic: top.meta.ID, Partition: index}, top.parts[index].core, true
}
