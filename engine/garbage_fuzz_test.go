package engine

import (
	"encoding/binary"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
)

// FuzzConnection sends a frame of any bytes. It is answered or its connection is closed;
// another connection notices nothing.
func FuzzConnection(f *testing.F) {
	for k := range protocol.Key(protocol.KeyCount) {
		if apis[k].serve == nil {
			continue
		}
		req := kmsg.RequestForKey(int16(k))
		v := protocol.VersionsOf(k)
		for _, version := range []int16{v.Min, v.Max} {
			req.SetVersion(version)
			f.Add(formatter.AppendRequest(nil, req, 42)[4:])
		}
	}
	f.Add(formatter.AppendRequest(nil, produceRequest("t", 1, records(3, "v")), 42)[4:])
	f.Add(formatter.AppendRequest(nil, fetchRequest("t", 1, 0, 0), 42)[4:])
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte{0, 0, 0, 99, 0, 0, 0, 1, 0, 0})
	r := newRig(f, 2)
	r.create("t", 3)
	well := r.connect(0)
	f.Fuzz(func(t *testing.T, frame []byte) {
		r.t = t
		if len(frame) > 1<<20 {
			return
		}
		fd := r.connect(1)
		r.write(fd, append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...))
		versions := kmsg.NewPtrApiVersionsRequest()
		if resp := r.ask(well, versions).(*kmsg.ApiVersionsResponse); resp.ErrorCode != 0 {
			t.Fatalf("another connection: %+v", resp)
		}
		r.ends[fd].shut = true // the client goes
		r.feed(fd)
		r.run()
		delete(r.ends, fd)
	})
}
