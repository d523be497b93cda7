package raw

import (
	"encoding/binary"
	"errors"
	"strconv"

	"millrace/protocol"
)

// Versions that are spoken: the flexible ones where the broker has them, else ones that every
// broker of the last years has. Both name topics by their names.
const (
	produceNew = 12
	produceOld = 7
	fetchNew   = 12
	fetchOld   = 11
	clientID   = "loadgen"

	produceTimeout = 30_000 // ms, for a broker that waits for others
)

// errShort is an answer that ends before its fields do.
var errShort = errors.New("raw: an answer is too short")

// versions of the two hot requests that a broker understands.
type versions struct{ produce, fetch int16 }

func requestHead(dst []byte, key protocol.Key, version int16, flexible bool) []byte {
	dst = append(dst, 0, 0, 0, 0) // length
	dst = be.AppendUint16(dst, uint16(key))
	dst = be.AppendUint16(dst, uint16(version))
	dst = append(dst, 0, 0, 0, 0) // correlation id, set before each send
	dst = be.AppendUint16(dst, uint16(len(clientID)))
	dst = append(dst, clientID...)
	if flexible {
		dst = append(dst, 0) // tags
	}
	return dst
}

func appendString(dst []byte, s string, flexible bool) []byte {
	if flexible {
		dst = binary.AppendUvarint(dst, uint64(len(s)+1))
	} else {
		dst = be.AppendUint16(dst, uint16(len(s)))
	}
	return append(dst, s...)
}

func appendCount(dst []byte, n int, flexible bool) []byte {
	if flexible {
		return binary.AppendUvarint(dst, uint64(n+1))
	}
	return be.AppendUint32(dst, uint32(n))
}

// produceHead is what precedes a batch of size bytes in a request for one partition, the length
// of the frame included; produceTail is how many zero bytes follow the batch.
func (v versions) produceHead(dst []byte, topic string, partition int32, acks int16,
	size int) []byte {
	flexible := v.produce >= 9
	at := len(dst)
	dst = requestHead(dst, protocol.Produce, v.produce, flexible)
	if flexible {
		dst = append(dst, 0) // transactional id: null
	} else {
		dst = append(dst, 0xff, 0xff)
	}
	dst = be.AppendUint16(dst, uint16(acks))
	dst = be.AppendUint32(dst, produceTimeout)
	dst = appendCount(dst, 1, flexible)
	dst = appendString(dst, topic, flexible)
	dst = appendCount(dst, 1, flexible)
	dst = be.AppendUint32(dst, uint32(partition))
	dst = appendCount(dst, size, flexible)
	be.PutUint32(dst[at:], uint32(len(dst)-at-frameHead+size+v.produceTail()))
	return dst
}

// produceTail is the tags of partition, topic and request.
func (v versions) produceTail() int {
	if v.produce >= 9 {
		return 3
	}
	return 0
}

// produceErrorAt is where the error code of a one-partition answer lies behind the correlation
// id; the base offset follows it.
func (v versions) produceErrorAt(topic string) int {
	if v.produce >= 9 {
		return 1 + 1 + len(appendString(nil, topic, true)) + 1 + 4
	}
	return 4 + 2 + len(topic) + 4 + 4
}

// wanted is one partition of a fetch request.
type wanted struct {
	topic     string
	partition int32
	offset    int64
}

// fetchShape is what is equal in all fetch requests of a load.
type fetchShape struct {
	waitMillis, minBytes, maxBytes int32
	committed                      bool
}

// fetchRequest encodes a request for partitions, those of a topic side by side, without its
// correlation id.
func (v versions) fetchRequest(dst []byte, s fetchShape, list []wanted) []byte {
	flexible := v.fetch >= 12
	at := len(dst)
	dst = requestHead(dst, protocol.Fetch, v.fetch, flexible)
	dst = be.AppendUint32(dst, 0xffffffff) // replica id −1
	dst = be.AppendUint32(dst, uint32(s.waitMillis))
	dst = be.AppendUint32(dst, uint32(s.minBytes))
	dst = be.AppendUint32(dst, uint32(s.maxBytes))
	if s.committed {
		dst = append(dst, 1)
	} else {
		dst = append(dst, 0)
	}
	dst = be.AppendUint32(dst, 0)          // session id: none
	dst = be.AppendUint32(dst, 0xffffffff) // session epoch: final
	topics := 0
	for i := range list {
		if i == 0 || list[i].topic != list[i-1].topic {
			topics++
		}
	}
	dst = appendCount(dst, topics, flexible)
	for from := 0; from < len(list); {
		to := from + 1
		for to < len(list) && list[to].topic == list[from].topic {
			to++
		}
		dst = appendString(dst, list[from].topic, flexible)
		dst = appendCount(dst, to-from, flexible)
		for _, p := range list[from:to] {
			dst = be.AppendUint32(dst, uint32(p.partition))
			dst = be.AppendUint32(dst, 0xffffffff) // current leader epoch: unknown
			dst = be.AppendUint64(dst, uint64(p.offset))
			if flexible {
				dst = be.AppendUint32(dst, 0xffffffff) // last fetched epoch
			}
			dst = be.AppendUint64(dst, 0xffffffffffffffff) // log start offset: not a follower
			dst = be.AppendUint32(dst, uint32(s.maxBytes))
			if flexible {
				dst = append(dst, 0)
			}
		}
		if flexible {
			dst = append(dst, 0)
		}
		from = to
	}
	dst = appendCount(dst, 0, flexible) // forgotten topics
	dst = appendString(dst, "", flexible)
	if flexible {
		dst = append(dst, 0)
	}
	be.PutUint32(dst[at:], uint32(len(dst)-at-frameHead))
	return dst
}

// fetched is what is wanted of one partition of an answer.
type fetched struct {
	topic     []byte
	partition int32
	code      protocol.Code
	high      int64
	start     int64
	records   []byte
}

// fetchAnswer walks an answer from behind its correlation id and calls f with each partition. The
// code is the answer's own.
func (v versions) fetchAnswer(body []byte, f func(fetched) error) (protocol.Code, error) {
	flexible := v.fetch >= 12
	c := cursor{b: body, flexible: flexible}
	c.tags()
	c.skip(4) // throttle
	code := protocol.Code(int16(c.u16()))
	c.skip(4) // session id
	for topics := c.count(); topics > 0 && !c.bad; topics-- {
		name := c.text()
		for parts := c.count(); parts > 0 && !c.bad; parts-- {
			p := fetched{topic: name, partition: int32(c.u32())}
			p.code = protocol.Code(int16(c.u16()))
			p.high = int64(c.u64())
			c.skip(8) // last stable offset
			p.start = int64(c.u64())
			for aborted := c.count(); aborted > 0 && !c.bad; aborted-- {
				c.skip(16) // producer id, first offset
				c.tags()
			}
			c.skip(4) // preferred replica
			p.records = c.bytes()
			c.tags()
			if c.bad {
				return code, errShort
			}
			if err := f(p); err != nil {
				return code, err
			}
		}
		c.tags()
	}
	c.tags()
	if c.bad {
		return code, errShort
	}
	return code, nil
}

// cursor reads an answer; a read behind the end sets bad and gives zero.
type cursor struct {
	b        []byte
	bad      bool
	flexible bool
}

func (c *cursor) take(n int) []byte {
	if n < 0 || n > len(c.b) {
		c.b, c.bad = nil, true
		return nil
	}
	out := c.b[:n:n]
	c.b = c.b[n:]
	return out
}

func (c *cursor) skip(n int) { c.take(n) }

func (c *cursor) u16() uint16 {
	if b := c.take(2); b != nil {
		return be.Uint16(b)
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if b := c.take(4); b != nil {
		return be.Uint32(b)
	}
	return 0
}

func (c *cursor) u64() uint64 {
	if b := c.take(8); b != nil {
		return be.Uint64(b)
	}
	return 0
}

func (c *cursor) uvarint() int {
	v, n := binary.Uvarint(c.b)
	if n <= 0 || v > 1<<31 {
		c.b, c.bad = nil, true
		return 0
	}
	c.b = c.b[n:]
	return int(v)
}

// count is of an array's entries; null is none.
func (c *cursor) count() int {
	if c.flexible {
		return max(0, c.uvarint()-1)
	}
	return max(0, int(int32(c.u32())))
}

func (c *cursor) text() []byte {
	if c.flexible {
		return c.take(max(0, c.uvarint()-1))
	}
	return c.take(max(0, int(int16(c.u16()))))
}

// bytes is of records; null is none.
func (c *cursor) bytes() []byte {
	return c.take(c.count())
}

func (c *cursor) tags() {
	if !c.flexible {
		return
	}
	for n := c.uvarint(); n > 0 && !c.bad; n-- {
		c.uvarint()
		c.skip(c.uvarint())
	}
}

// placeName is a partition as messages name it.
func placeName(topic string, partition int32) string {
	return topic + "-" + strconv.Itoa(int(partition))
}
