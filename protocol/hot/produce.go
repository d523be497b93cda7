package hot

import "millrace/protocol"

// ProduceRequest is a Produce request of version 3 to 13 over its bytes. It may be
// reused; Parse overwrites everything.
//
//	for r.NextTopic() {
//		for r.NextPartition() {
//			use(r.Topic, r.Partition)
//		}
//	}
type ProduceRequest struct {
	TransactionalID []byte // nil is null
	Acks            int16
	TimeoutMillis   int32

	Topics     int // how many there are
	Partitions int // in all topics together
	NameBytes  int // of all topic names
	Records    int // bytes of all partitions

	Topic     ProduceTopic     // after NextTopic
	Partition ProducePartition // after NextPartition

	version  int16
	flexible bool
	start    reader // at the first topic
	r        reader
	topics   int  // left
	parts    int  // left in the topic
	inTopic  bool // its tag buffer is still to be read
}

// ProduceTopic is one topic of the request: a name up to version 12, an id after.
type ProduceTopic struct {
	Name       []byte
	ID         protocol.TopicID
	Partitions int
}

// ProducePartition is one partition's records: usually one batch. Nil is null.
type ProducePartition struct {
	Index   int32
	Records []byte
}

// Parse checks the whole body and leaves the iteration before the first topic.
func (q *ProduceRequest) Parse(version int16, body []byte) error {
	*q = ProduceRequest{version: version, flexible: protocol.Produce.IsFlexible(version)}
	if !protocol.VersionsOf(protocol.Produce).Has(version) {
		return ErrMalformed
	}
	r := &q.r
	r.b = body
	q.TransactionalID = r.nullableString(q.flexible)
	q.Acks = r.int16()
	q.TimeoutMillis = r.int32()
	q.Topics = r.count(q.flexible, q.minTopic())
	q.start = *r

	q.topics = q.Topics
	for q.NextTopic() {
		q.NameBytes += len(q.Topic.Name)
		q.Partitions += q.Topic.Partitions
		for q.NextPartition() {
			q.Records += len(q.Partition.Records)
		}
	}
	if q.flexible {
		r.skipTags()
	}
	if r.bad || q.Partitions > maxElements {
		*q = ProduceRequest{}
		return ErrMalformed
	}
	q.Rewind()
	return nil
}

// minTopic is the least that a topic takes: name or id, count, tags.
func (q *ProduceRequest) minTopic() int {
	switch {
	case q.version >= 13:
		return 16 + 1 + 1
	case q.flexible:
		return 1 + 1 + 1
	}
	return 2 + 4
}

// Rewind goes back before the first topic.
func (q *ProduceRequest) Rewind() {
	q.r = q.start
	q.topics = q.Topics
	q.parts = 0
	q.inTopic = false
	q.Topic = ProduceTopic{}
	q.Partition = ProducePartition{}
}

// NextTopic moves to the next topic, leaving out partitions that were not visited.
func (q *ProduceRequest) NextTopic() bool {
	for q.NextPartition() {
	}
	if q.topics == 0 || q.r.bad {
		return false
	}
	q.topics--
	if q.version >= 13 {
		q.Topic.ID = q.r.id()
	} else {
		q.Topic.Name = q.r.string(q.flexible)
	}
	minPartition := 4 + 4
	if q.flexible {
		minPartition = 4 + 1 + 1
	}
	q.parts = q.r.count(q.flexible, minPartition)
	q.Topic.Partitions = q.parts
	q.inTopic = true
	return !q.r.bad
}

// NextPartition moves to the next partition of the topic.
func (q *ProduceRequest) NextPartition() bool {
	if q.parts == 0 || q.r.bad {
		if q.inTopic && q.flexible {
			q.r.skipTags()
		}
		q.inTopic = false
		return false
	}
	q.parts--
	q.Partition.Index = q.r.int32()
	q.Partition.Records = q.r.nullableBytes(q.flexible)
	if q.flexible {
		q.r.skipTags()
	}
	return !q.r.bad
}
