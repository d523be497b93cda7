package group

import (
	"encoding/binary"

	"millrace/protocol"
)

// Committed offsets are most of what is replayed at a start. Those of the versions that are
// written today are read in place, without allocation; all others by their schema.

// parseOffsetKey reads an OffsetCommitKey over its bytes.
func parseOffsetKey(b []byte) (group, topic []byte, partition int32, ok bool) {
	if len(b) < 2 {
		return nil, nil, 0, false
	}
	group, b, ok = text(b[2:])
	if !ok {
		return nil, nil, 0, false
	}
	topic, b, ok = text(b)
	if !ok || len(b) != 4 {
		return nil, nil, 0, false
	}
	return group, topic, int32(binary.BigEndian.Uint32(b)), true
}

// text is a string with a length of two bytes, and what follows it.
func text(b []byte) (s, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := int(int16(binary.BigEndian.Uint16(b)))
	if n < 0 || n > len(b)-2 {
		return nil, nil, false
	}
	return b[2 : 2+n : 2+n], b[2+n:], true
}

// parseOffsetValue reads an OffsetCommitValue of version 3 or 4 over its bytes. c.metadata is
// left as it is.
func parseOffsetValue(b []byte) (c commit, metadata []byte, ok bool) {
	if len(b) < 2+8+4+1 {
		return c, nil, false
	}
	version := binary.BigEndian.Uint16(b)
	c.offset = int64(binary.BigEndian.Uint64(b[2:]))
	c.epoch = int32(binary.BigEndian.Uint32(b[10:]))
	c.deadline = -1
	b = b[14:]
	switch version {
	case 3:
		if metadata, b, ok = text(b); !ok {
			return c, nil, false
		}
	case offsetValueVersion:
		n, k := binary.Uvarint(b)
		if k <= 0 || n == 0 || n-1 > uint64(len(b)-k) {
			return c, nil, false
		}
		metadata, b = b[k:k+int(n-1)], b[k+int(n-1):]
	default:
		return c, nil, false
	}
	if len(b) < 8 {
		return c, nil, false
	}
	c.at = int64(binary.BigEndian.Uint64(b))
	b = b[8:]
	switch {
	case version == 3:
		return c, metadata, len(b) == 0
	case len(b) == 1 && b[0] == 0: // no tags
		return c, metadata, true
	case len(b) == 3+16 && b[0] == 1 && b[1] == 0 && b[2] == 16: // the topic id
		c.topicID = protocol.TopicID(b[3:])
		return c, metadata, true
	}
	return c, nil, false
}

// loadPlain takes an offset of the usual form. False: read it by its schema.
func (c *Coordinator) loadPlain(p *partition, key, value []byte) bool {
	name, topic, n, ok := parseOffsetKey(key)
	if !ok || value == nil {
		return false
	}
	to, metadata, ok := parseOffsetValue(value)
	if !ok {
		return false
	}
	g := p.groups[string(name)]
	if g == nil {
		g = c.newGroup(p, string(name))
		g.since = -1
	}
	s := g.offsets[string(topic)][n]
	if s == nil {
		ch := g.reserve(string(topic), n, false)
		ch.commit = to
		ch.commit.metadata = string(metadata)
		g.apply([]change{ch}, protocol.None)
		return true
	}
	to.metadata = s.metadata
	if to.metadata != string(metadata) {
		to.metadata = string(metadata)
	}
	g.countOffset(s.stored, true)
	s.commit, s.stored, s.wanted = to, true, true
	return true
}
