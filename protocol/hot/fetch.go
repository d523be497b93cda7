package hot

import (
	"math"

	"millrace/protocol"
)

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

	version     int16
	flexible    bool
	start       reader // at the first topic
	r           reader
	topics      int // left
	parts       int // left in the topic
	inTopic     bool
	forgotten   reader // at the first forgotten topic
	f           reader
	fTopics     int
	fParts      int
	inForgotten bool
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
func (q *FetchRequest) Parse(version int16, body []byte) error {
	*q = FetchRequest{
		version: version, flexible: protocol.Fetch.IsFlexible(version),
		ReplicaID: -1, ReplicaEpoch: -1, SessionEpoch: -1,
	}
	if !protocol.VersionsOf(protocol.Fetch).Has(version) {
		return ErrMalformed
	}
	q.r.b = body
	q.parseHead()
	q.Topics = q.r.count(q.flexible, q.minTopic())
	q.start = q.r
	q.topics = q.Topics
	for q.NextTopic() {
		q.NameBytes += len(q.Topic.Name)
		q.Partitions += q.Topic.Partitions
		for q.NextPartition() {
		}
	}
	if version >= 7 {
		q.parseForgotten()
	}
	if version >= 11 {
		q.RackID = q.r.string(q.flexible)
	}
	if q.flexible {
		q.parseTags()
	}
	if q.r.bad || q.Partitions > maxElements {
		*q = FetchRequest{}
		return ErrMalformed
	}
	q.Rewind()
	return nil
}

func (q *FetchRequest) parseHead() {
	r := &q.r
	if q.version < 15 {
		q.ReplicaID = r.int32()
	}
	q.MaxWaitMillis = r.int32()
	q.MinBytes = r.int32()
	q.MaxBytes = r.int32()
	level := r.int8()
	if level != 0 && level != 1 {
		r.fail()
	}
	q.ReadCommitted = level == 1
	if q.version >= 7 {
		q.SessionID = r.int32()
		q.SessionEpoch = r.int32()
	}
}

// parseForgotten walks the forgotten topics with the reader of the whole body.
func (q *FetchRequest) parseForgotten() {
	q.Forgotten = q.r.count(q.flexible, q.minTopic())
	q.forgotten = q.r
	q.f, q.fTopics = q.r, q.Forgotten
	for q.NextForgotten() {
		for q.NextForgottenPartition() {
		}
	}
	q.r = q.f
}

// parseTags reads the body's own tag buffer: 0 ClusterId, 1 ReplicaState (v15).
func (q *FetchRequest) parseTags() {
	for n := q.r.tags(); n > 0 && !q.r.bad; n-- {
		number, value := q.r.tag()
		switch {
		case number == 0:
			q.ClusterID = value.nullableString(true)
		case number == 1 && q.version >= 15:
			q.ReplicaID = value.int32()
			q.ReplicaEpoch = value.int64()
			value.skipTags()
		}
		if value.bad {
			q.r.fail()
		}
	}
}

// minTopic is the least that a topic takes: name or id, count, tags.
func (q *FetchRequest) minTopic() int {
	switch {
	case q.version >= 13:
		return 16 + 1 + 1
	case q.flexible:
		return 1 + 1 + 1
	}
	return 2 + 4
}

// minPartition is the least that a partition takes.
func (q *FetchRequest) minPartition() int {
	n := 4 + 8 + 4
	if q.version >= 5 {
		n += 8
	}
	if q.version >= 9 {
		n += 4
	}
	if q.version >= 12 {
		n += 4 + 1
	}
	return n
}

// Rewind goes back before the first topic, and the first forgotten one.
func (q *FetchRequest) Rewind() {
	q.r, q.topics, q.parts, q.inTopic = q.start, q.Topics, 0, false
	q.f, q.fTopics, q.fParts, q.inForgotten = q.forgotten, q.Forgotten, 0, false
	q.Topic, q.ForgottenTopic = FetchTopic{}, FetchTopic{}
	q.Partition = FetchPartition{}
}

// NextTopic moves to the next topic, leaving out partitions that were not visited.
func (q *FetchRequest) NextTopic() bool {
	for q.NextPartition() {
	}
	if q.topics == 0 || q.r.bad {
		return false
	}
	q.topics--
	q.readTopic(&q.r, &q.Topic, q.minPartition())
	q.parts = q.Topic.Partitions
	q.inTopic = true
	return !q.r.bad
}

func (q *FetchRequest) readTopic(r *reader, t *FetchTopic, minPartition int) {
	if q.version >= 13 {
		t.ID = r.id()
	} else {
		t.Name = r.string(q.flexible)
	}
	t.Partitions = r.count(q.flexible, minPartition)
}

// NextPartition moves to the next partition of the topic.
func (q *FetchRequest) NextPartition() bool {
	r := &q.r
	if q.parts == 0 || r.bad {
		if q.inTopic && q.flexible {
			r.skipTags()
		}
		q.inTopic = false
		return false
	}
	q.parts--
	q.Partition = FetchPartition{
		CurrentLeaderEpoch: -1, LastFetchedEpoch: -1, LogStart: -1,
		HighWatermark: math.MaxInt64,
	}
	p := &q.Partition
	p.Index = r.int32()
	if q.version >= 9 {
		p.CurrentLeaderEpoch = r.int32()
	}
	p.FetchOffset = r.int64()
	if q.version >= 12 {
		p.LastFetchedEpoch = r.int32()
	}
	if q.version >= 5 {
		p.LogStart = r.int64()
	}
	p.MaxBytes = r.int32()
	if q.flexible {
		q.partitionTags(p)
	}
	return !r.bad
}

// partitionTags reads a partition's tag buffer: 0 ReplicaDirectoryId (v17),
// 1 HighWatermark (v18).
func (q *FetchRequest) partitionTags(p *FetchPartition) {
	for n := q.r.tags(); n > 0 && !q.r.bad; n-- {
		number, value := q.r.tag()
		switch {
		case number == 0 && q.version >= 17:
			p.Directory = value.id()
		case number == 1 && q.version >= 18:
			p.HighWatermark = value.int64()
		}
		if value.bad {
			q.r.fail()
		}
	}
}

// NextForgotten moves to the next topic that the session shall forget.
func (q *FetchRequest) NextForgotten() bool {
	for q.NextForgottenPartition() {
	}
	if q.fTopics == 0 || q.f.bad {
		return false
	}
	q.fTopics--
	q.readTopic(&q.f, &q.ForgottenTopic, 4)
	q.fParts = q.ForgottenTopic.Partitions
	q.inForgotten = true
	return !q.f.bad
}

// NextForgottenPartition moves to its next partition.
func (q *FetchRequest) NextForgottenPartition() bool {
	if q.fParts == 0 || q.f.bad {
		if q.inForgotten && q.flexible {
			q.f.skipTags()
		}
		q.inForgotten = false
		return false
	}
	q.fParts--
	q.ForgottenPartition = q.f.int32()
	return !q.f.bad
}
