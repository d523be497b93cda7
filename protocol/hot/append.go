package hot

import "encoding/binary"

func appendInt16(b []byte, v int16) []byte { return binary.BigEndian.AppendUint16(b, uint16(v)) }
func appendInt32(b []byte, v int32) []byte { return binary.BigEndian.AppendUint32(b, uint32(v)) }
func appendInt64(b []byte, v int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(v)) }

func appendUvarint(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func uvarintSize(v uint32) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

// appendCount writes the length of an array that is not null.
func appendCount(b []byte, n int, flexible bool) []byte {
	if flexible {
		return appendUvarint(b, uint32(n)+1)
	}
	return appendInt32(b, int32(n))
}

// appendString writes a string that is not null.
func appendString[S []byte | string](b []byte, s S, flexible bool) []byte {
	if flexible {
		b = appendUvarint(b, uint32(len(s))+1)
	} else {
		b = appendInt16(b, int16(len(s)))
	}
	return append(b, s...)
}

// appendNullable writes "" as null.
func appendNullable(b []byte, s string, flexible bool) []byte {
	switch {
	case s != "":
		return appendString(b, s, flexible)
	case flexible:
		return append(b, 0)
	}
	return appendInt16(b, -1)
}

// appendLeader writes a LeaderIdAndEpoch as a tagged field.
func appendLeader(b []byte, tag byte, l Leader) []byte {
	b = append(b, tag, 4+4+1)
	b = appendInt32(b, l.ID)
	b = appendInt32(b, l.Epoch)
	return append(b, 0)
}

// appendEndpoints writes an answer's last tag buffer, with NodeEndpoints as tag 0 if
// the version has them and there are any.
func appendEndpoints(b []byte, nodes []Endpoint, has bool) []byte {
	if !has || len(nodes) == 0 {
		return append(b, 0)
	}
	size := uvarintSize(uint32(len(nodes)) + 1)
	for i := range nodes {
		n := &nodes[i]
		size += 4 + uvarintSize(uint32(len(n.Host))+1) + len(n.Host) + 4
		if n.Rack != "" {
			size += uvarintSize(uint32(len(n.Rack))+1) + len(n.Rack)
		} else {
			size++
		}
		size++
	}
	b = append(b, 1, 0)
	b = appendUvarint(b, uint32(size))
	b = appendCount(b, len(nodes), true)
	for i := range nodes {
		n := &nodes[i]
		b = appendInt32(b, n.ID)
		b = appendString(b, n.Host, true)
		b = appendInt32(b, n.Port)
		b = appendNullable(b, n.Rack, true)
		b = append(b, 0)
	}
	return b
}
