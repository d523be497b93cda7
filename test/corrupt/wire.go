package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/protocol"
)

// client is one bare connection: what it is given is what the broker sent, without a
// library that would ask again or leave out what it does not like.
type client struct {
	conn net.Conn
	form *kmsg.RequestFormatter
}

// answerWithin bounds one answer: a longer wait is a hang.
const answerWithin = 20 * time.Second

func dial(addr string) (*client, error) {
	conn, err := net.DialTimeout("tcp", addr, answerWithin)
	if err != nil {
		return nil, err
	}
	return &client{conn, kmsg.NewRequestFormatter(kmsg.FormatterClientID("corrupt"))}, nil
}

func (c *client) close() { _ = c.conn.Close() }

// maxAnswer bounds what a mad broker can make us allocate.
const maxAnswer = 256 << 20

// ask sends one request of a version and reads its answer.
func ask[T kmsg.Response](c *client, req kmsg.Request, version int16) (resp T, err error) {
	req.SetVersion(version)
	_ = c.conn.SetDeadline(time.Now().Add(answerWithin))
	if _, err := c.conn.Write(c.form.AppendRequest(nil, req, 7)); err != nil {
		return resp, err
	}
	var size [4]byte
	if _, err := io.ReadFull(c.conn, size[:]); err != nil {
		return resp, fmt.Errorf("%s: %w", kmsg.NameForKey(req.Key()), err)
	}
	n := binary.BigEndian.Uint32(size[:])
	if n < 4 || n > maxAnswer {
		return resp, fmt.Errorf("%s: an answer of %d bytes", kmsg.NameForKey(req.Key()), n)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(c.conn, body); err != nil {
		return resp, fmt.Errorf("%s: %w", kmsg.NameForKey(req.Key()), err)
	}
	body = body[4:]
	if protocol.Key(req.Key()).ResponseHeader(version) >= 1 {
		body = body[1:]
	}
	out := req.ResponseKind()
	if err := out.ReadFrom(body); err != nil {
		return resp, fmt.Errorf("%s: %w", kmsg.NameForKey(req.Key()), err)
	}
	return out.(T), nil
}
