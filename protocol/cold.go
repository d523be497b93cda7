package protocol

import "github.com/twmb/franz-go/pkg/kmsg"

// Decode reads the body of a request off the hot path. Before kmsg allocates, the
// body's shape is walked: counts, lengths and tags that the bytes do not justify are
// an error, and so is a version that is not served.
func Decode(key Key, version int16, body []byte) (kmsg.Request, error) { panic("not yet") }

// Encode appends an answer with its size prefix and header.
func Encode(dst []byte, correlation int32, resp kmsg.Response) []byte { panic("not yet") }
