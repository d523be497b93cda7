package protocol

import (
	"encoding/base64"
	"fmt"
)

// Offset is a record's position in its partition: dense, growing, 64 bits.
type Offset = int64

// Epoch is a leader epoch (KIP-101), -1 when unknown.
type Epoch = int32

// NodeID is a broker's node.id.
type NodeID = int32

// TopicID is a topic's 16-byte id (KIP-516). A recreated topic has a new one, so
// storage is keyed by it and never by the name.
type TopicID [16]byte

// String is Kafka's form: URL-safe base64 without padding, 22 characters.
func (t TopicID) String() string { return base64.RawURLEncoding.EncodeToString(t[:]) }

// IsZero says whether the id is absent.
func (t TopicID) IsZero() bool { return t == TopicID{} }

// ParseTopicID reads what String wrote.
func ParseTopicID(s string) (TopicID, error) {
	var t TopicID
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != len(t) {
		return t, fmt.Errorf("protocol: topic id %q: not 22 characters of base64", s)
	}
	copy(t[:], b)
	return t, nil
}

// TopicPartition names one partition's storage.
type TopicPartition struct {
	Topic     TopicID
	Partition int32
}

// Key is an API key of the Kafka protocol.
type Key int16
