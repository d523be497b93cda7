package hot

import (
	"encoding/binary"

	"millrace/protocol"
)

// Header is a request's header, any version.
type Header struct {
	Key         protocol.Key
	Version     int16
	Correlation int32
	ClientID    []byte // nil is null
}

// Parse reads the header at the start of a frame (without its size) and returns what
// follows. The version of the header follows from key and version; a key that is not
// served has header 1. The range of versions is not checked here.
func (h *Header) Parse(frame []byte) (body []byte, err error) {
	r := reader{b: frame}
	h.Key = protocol.Key(r.int16())
	h.Version = r.int16()
	h.Correlation = r.int32()
	h.ClientID = r.nullableString(false)
	if h.Key.RequestHeader(h.Version) >= 2 {
		r.skipTags()
	}
	if r.bad {
		return nil, ErrMalformed
	}
	return r.rest(), nil
}

// ResponseHeaderMax is size, correlation and the empty tag buffer.
const ResponseHeaderMax = 9

// AppendResponseHeader appends room for the frame's size, and the header. SetSize
// fills the room.
func AppendResponseHeader(dst []byte, key protocol.Key, version int16, correlation int32) []byte {
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(correlation))
	if key.ResponseHeader(version) >= 1 {
		dst = append(dst, 0)
	}
	return dst
}

// SetSize writes a frame's size prefix: the frame is all of b, plus extra bytes that
// are sent from elsewhere.
func SetSize(b []byte, extra int) {
	binary.BigEndian.PutUint32(b, uint32(len(b)-4+extra))
}
