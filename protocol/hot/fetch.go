package hot

import "millrace/protocol"

// FetchRequest is a Fetch request of version 4 to 18 over its bytes. It may be
// reused; Parse overwrites everything. Iterate as in ProduceRequest; then, if
// wanted, NextForgotten and NextForgottenPartition.
type FetchRequest struct {
	ClusterID     []byte // nil is null
	ReplicaID     int32  // −1 for consumers
	ReplicaEpoch  int64
	MaxWaitMillis int32
	MinBytes      int32
	MaxBytes      int32
	ReadCommitted bool
	SessionID     int32
	SessionEpoch  int32 // −1 (no session) before version 7
	RackID        []byte

	Topics     int // how many there are
	Partitions int // in all topics together
	NameBytes  int // of all topic names
	Forgotten  int // topics to leave out of the session

	Topic              FetchTopic
	Partition          FetchPartition
	ForgottenTopic     FetchTopic
	ForgottenPartition int32

	version   int16
	flexible  bool
	start     reader
	r         reader
	topics    int
	parts     int
	forgotten reader
	f         reader
	fTopics   int
	fParts    int
}

// FetchTopic is one topic: a name up to version 12, an id after.
type FetchTopic struct {
	Name       []byte
	ID         protocol.TopicID
	Partitions int
}

// FetchPartition is what is asked of one partition. Fields that the version has not
// hold their defaults.
type FetchPartition struct {
	Index              int32
	CurrentLeaderEpoch int32 // −1: not known
	FetchOffset        int64
	LastFetchedEpoch   int32 // −1: not known
	LogStart           int64 // of a follower; −1
	MaxBytes           int32
	Directory          protocol.TopicID // of a follower
	HighWatermark      int64            // of a follower; MaxInt64: not supported
}

// Parse checks the whole body and leaves the iterations before their first topics.
func (q *FetchRequest) Parse(version int16, body []byte) error { panic("not yet") }

// Rewind goes back before the first topic, and the first forgotten one.
func (q *FetchRequest) Rewind() { panic("not yet") }

// NextTopic moves to the next topic, leaving out partitions that were not visited.
func (q *FetchRequest) NextTopic() bool { panic("not yet") }

// NextPartition moves to the next partition of the topic.
func (q *FetchRequest) NextPartition() bool { panic("not yet") }

// NextForgotten moves to the next topic that the session shall forget.
func (q *FetchRequest) NextForgotten() bool { panic("not yet") }

// NextForgottenPartition moves to its next partition.
func (q *FetchRequest) NextForgottenPartition() bool { panic("not yet") }

// FetchResult is the answer for one partition, without its records.
type FetchResult struct {
	Index         int32
	Code          protocol.Code
	HighWatermark int64
	LastStable    int64
	LogStart      int64
	Aborted       []Aborted // nil is null; sorted by FirstOffset
	Preferred     int32     // read replica, −1: none
	Records       int       // bytes that follow, perhaps none

	DivergingEpoch EpochEnd // version 12 and later, as the next two
	Leader         Leader
	Snapshot       EpochEnd
}

// Aborted is an aborted transaction inside the fetched range.
type Aborted struct {
	ProducerID  int64
	FirstOffset int64
}

// EpochEnd is an epoch and the offset where it ends. The zero value is: not said.
type EpochEnd struct {
	Known bool
	Epoch int32
	End   int64
}

// FetchWriter appends one Fetch answer, with its size prefix and header, but
// without records: Begin, then for each topic Topic and its Partitions, then End.
type FetchWriter struct {
	b        []byte
	start    int
	version  int16
	flexible bool
	open     bool
	records  int
}

// Begin starts an answer at the end of dst, which should have capacity left for it.
func (w *FetchWriter) Begin(dst []byte, version int16, correlation, throttleMillis int32,
	code protocol.Code, session int32, topics int) {
	panic("not yet")
}

// Topic starts a topic: by name up to version 12, by id after.
func (w *FetchWriter) Topic(name []byte, id protocol.TopicID, partitions int) { panic("not yet") }

// Partition appends one partition's answer up to its records, and says at which
// position of dst p.Records bytes are to be sent from elsewhere (I4).
func (w *FetchWriter) Partition(p *FetchResult) (cut int) { panic("not yet") }

// End completes the frame and returns dst with it. Its size counts the records.
func (w *FetchWriter) End(nodes []Endpoint) []byte { panic("not yet") }
