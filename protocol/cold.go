package protocol

import (
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Decode reads the body of a request off the hot path. kmsg allocates arrays by their
// counts, which it holds against one byte per element only: up to some hundred times
// what the bytes justify. So the body's shape is walked first (Elements).
func Decode(key Key, version int16, body []byte) (kmsg.Request, error) {
	if _, err := Elements(key, version, body); err != nil {
		return nil, err
	}
	req := kmsg.RequestForKey(int16(key))
	if req == nil {
		return nil, ErrUnserved
	}
	req.SetVersion(version)
	if err := req.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("%w: %v: %w", ErrMalformed, key, err)
	}
	return req, nil
}

// Encode appends an answer of the response's version with its size prefix and header.
func Encode(dst []byte, correlation int32, resp kmsg.Response) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(correlation))
	if Key(resp.Key()).ResponseHeader(resp.GetVersion()) >= 1 {
		dst = append(dst, 0)
	}
	dst = resp.AppendTo(dst)
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}
