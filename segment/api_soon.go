package segment

import (
	"millrace/internal/clock"
	"millrace/protocol"
	"millrace/protocol/batch"
	"millrace/segment/epoch"
	"millrace/segment/producer"
)

// Shard is the storage of one core.
type Shard struct{}

// Log is one partition.
type Log struct {
	TP    protocol.TopicPartition
	Topic string
	User  uint32 // the engine's handle
}

func Open(o Options, cores int, k Known) ([]*Shard, Report, error) { panic("soon") }
func CoreOf(tp protocol.TopicPartition, cores int) int             { panic("soon") }
func (s *Shard) Create(tp protocol.TopicPartition, topic string, cfg LogConfig) *Log {
	panic("soon")
}
func (s *Shard) Find(tp protocol.TopicPartition) *Log                             { panic("soon") }
func (s *Shard) Configure(l *Log, cfg LogConfig)                                  { panic("soon") }
func (s *Shard) Drop(l *Log)                                                      { panic("soon") }
func (s *Shard) Admit(bytes int) Admission                                        { panic("soon") }
func (s *Shard) AdmitInternal(bytes int) Admission                                { panic("soon") }
func (s *Shard) Append(l *Log, v batch.View, epoch int32, now int64) (int64, Seq) { panic("soon") }
func (s *Shard) SetStart(l *Log, offset int64) Seq                                { panic("soon") }
func (s *Shard) Truncate(l *Log, to int64, epoch int32) Seq                       { panic("soon") }
func (s *Shard) Turn(now clock.Now, out *Effects)                                 { panic("soon") }
func (s *Shard) IODone(id uint32, res int32)                                      { panic("soon") }
func (s *Shard) JobDone(id uint32, v any)                                         { panic("soon") }
func (s *Shard) Durable() Seq                                                     { panic("soon") }
func (s *Shard) Advanced() []*Log                                                 { panic("soon") }
func (s *Shard) Next() clock.Instant                                              { panic("soon") }
func (s *Shard) Drain()                                                           { panic("soon") }
func (s *Shard) Drained() bool                                                    { panic("soon") }
func (s *Shard) Err() error                                                       { panic("soon") }
func (l *Log) Marks() Marks                                                       { panic("soon") }
func (l *Log) Locate(from, limit int64, max int, oneMore bool, dst []Extent) ([]Extent, Where) {
	panic("soon")
}
func (l *Log) Producers() *producer.State                       { panic("soon") }
func (l *Log) Epochs() *epoch.Cache                             { panic("soon") }
func (l *Log) Bytes() int64                                     { panic("soon") }
func (s *Shard) Read(l *Log, from, limit int64, max int) uint32 { panic("soon") }
func (s *Shard) FindTime(l *Log, ts int64) uint32               { panic("soon") }
func (s *Shard) FindMaxTime(l *Log) uint32                      { panic("soon") }
func (s *Shard) Results() []Result                              { panic("soon") }
func (s *Shard) Logs() []*Log                                   { panic("soon") }
func (s *Shard) Stats() Stats                                   { panic("soon") }
func Close(shards []*Shard) error                               { panic("soon") }

// Stats are figures for the metrics, read on the core's thread.
type Stats struct {
	Commits, CommitBytes      uint64 // journal writes and their bytes, padding included
	JournalUsed, JournalTotal int64  // bytes of journal files waiting for a sweep; of all
	CacheBytes, DirtyBytes    int64  // chunks that are written; bytes that are not
	Flushed                   uint64 // bytes written to segments
	ColdReads, ColdBytes      uint64
	Sweeps                    uint64
	Logs, Segments, OpenFiles int
}
