package broker

import (
	"encoding/binary"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
	"millrace/protocol/batch"
)

// exchange sends one request on a bare connection and reads its answer.
func exchange(t testing.TB, conn net.Conn, req kmsg.Request) kmsg.Response {
	t.Helper()
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, req, 7)
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := conn.Write(frame); err != nil {
		t.Fatal(err)
	}
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(conn, body); err != nil {
		t.Fatal(err)
	}
	resp := req.ResponseKind()
	body = body[4:]
	if protocol.Key(req.Key()).ResponseHeader(req.GetVersion()) >= 1 {
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		t.Fatal(err)
	}
	return resp
}

func oneBatch(value []byte) []byte {
	var b batch.Builder
	b.Reset(batch.Options{})
	b.Add(time.Now().UnixMilli(), nil, value, nil)
	v, err := b.Finish()
	if err != nil {
		panic(err)
	}
	return slices.Clone(v)
}

func quantile(d []time.Duration, q float64) time.Duration {
	slices.Sort(d)
	return d[min(len(d)-1, int(q*float64(len(d))))]
}

// hostile is a table of frames that no client sends.
func hostile() [][]byte {
	header := func(key, version int16, body ...byte) []byte {
		b := binary.BigEndian.AppendUint16(nil, uint16(key))
		b = binary.BigEndian.AppendUint16(b, uint16(version))
		b = append(b, 0, 0, 0, 1, 0xff, 0xff)
		b = append(b, body...)
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
	}
	lots := []byte{0x7f, 0xff, 0xff, 0xff}
	list := [][]byte{
		[]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		{0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03}, // a TLS ClientHello
		{0xff, 0xff, 0xff, 0xff}, {0x7f, 0xff, 0xff, 0xff}, {0, 0, 0, 0}, {0, 0, 0, 1, 0},
		header(999, 0), header(-1, 0), header(4, 0), header(0, 2), header(0, 99), header(1, 3),
		header(3, 99), header(3, 1, lots...), header(0, 3, append([]byte{0xff, 0xff, 0, 1, 0, 0, 0, 1}, lots...)...),
		header(19, 2, lots...), header(11, 5, 0x7f, 0xff), header(8, 2, 0, 1, 'g', 0, 0, 0, 0, 0, 0, 0x7f, 0xff),
		header(1, 4, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff),
	}
	for key := int16(0); key < 95; key++ { // every key with a body of ones
		v := protocol.VersionsOf(protocol.Key(key))
		list = append(list, header(key, v.Max, slices.Repeat([]byte{0xff}, 64)...))
	}
	return list
}
