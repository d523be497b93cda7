package loadgen

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand"
	"time"

	"millrace/protocol/batch"
)

// Versions used: flexible ones that every broker of today serves, with topics by name.
const (
	produceVersion = 12
	fetchVersion   = 12
	clientID       = "loadgen"
	frameHead      = 4
	correlationAt  = frameHead + 4 // in a request
)

var be = binary.BigEndian

// errShort is an answer that ends before its fields do.
var errShort = errors.New("loadgen: answer too short")

// buildBatch makes one uncompressed batch of n records of size bytes without keys.
func buildBatch(n, size int, seed int64, now time.Time) ([]byte, error) {
	rnd := rand.New(rand.NewSource(seed))
	var b batch.Builder
	b.Reset(batch.Options{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1})
	value := make([]byte, size)
	for range n {
		for i := range value {
			value[i] = byte(' ' + rnd.Intn(94))
		}
		b.Add(now.UnixMilli(), nil, value, nil)
	}
	v, err := b.Finish()
	if err != nil {
		return nil, fmt.Errorf("loadgen: batch: %w", err)
	}
	return append([]byte(nil), v.Bytes()...), nil
}

func requestHead(dst []byte, key, version int16) []byte {
	dst = append(dst, 0, 0, 0, 0)
	dst = be.AppendUint16(dst, uint16(key))
	dst = be.AppendUint16(dst, uint16(version))
	dst = append(dst, 0, 0, 0, 0) // correlation id, set before each send
	dst = be.AppendUint16(dst, uint16(len(clientID)))
	dst = append(dst, clientID...)
	return append(dst, 0) // tags
}

func seal(frame []byte) []byte {
	be.PutUint32(frame, uint32(len(frame)-frameHead))
	return frame
}

func compactString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)+1))
	return append(dst, s...)
}

// produceRequest encodes one batch for one partition; the batch's position is returned too.
func produceRequest(topic string, partition int32, acks int16, records []byte) (frame []byte, at int) {
	f := requestHead(nil, 0, produceVersion)
	f = append(f, 0) // transactional id: null
	f = be.AppendUint16(f, uint16(acks))
	f = be.AppendUint32(f, 30_000)
	f = append(f, 2) // one topic
	f = compactString(f, topic)
	f = append(f, 2) // one partition
	f = be.AppendUint32(f, uint32(partition))
	f = binary.AppendUvarint(f, uint64(len(records)+1))
	at = len(f)
	f = append(f, records...)
	f = append(f, 0, 0, 0) // tags of partition, topic, request
	return seal(f), at
}

// produceErrorAt is where the error code of a one-partition answer is, counted from the
// correlation id.
func produceErrorAt(topic string) int {
	return 4 + 1 + 1 + len(compactString(nil, topic)) + 1 + 4
}

// fetchRequest is a request whose partition, offset and size are patched before each send.
type fetchRequest struct {
	frame                        []byte
	partitionAt, offsetAt, maxAt int
}

func newFetchRequest(topic string, maxWait time.Duration, minBytes, maxBytes int32) fetchRequest {
	f := requestHead(nil, 1, fetchVersion)
	f = be.AppendUint32(f, 0xffffffff) // replica id −1
	f = be.AppendUint32(f, uint32(maxWait.Milliseconds()))
	f = be.AppendUint32(f, uint32(minBytes))
	f = be.AppendUint32(f, uint32(maxBytes))
	f = append(f, 0)                   // read uncommitted
	f = be.AppendUint32(f, 0)          // session id: none
	f = be.AppendUint32(f, 0xffffffff) // session epoch: final
	f = append(f, 2)
	f = compactString(f, topic)
	f = append(f, 2)
	r := fetchRequest{partitionAt: len(f)}
	f = be.AppendUint32(f, 0)
	f = be.AppendUint32(f, 0xffffffff) // current leader epoch: unknown
	r.offsetAt = len(f)
	f = be.AppendUint64(f, 0)
	f = be.AppendUint32(f, 0xffffffff)         // last fetched epoch
	f = be.AppendUint64(f, 0xffffffffffffffff) // log start offset: not a follower
	r.maxAt = len(f)
	f = be.AppendUint32(f, uint32(maxBytes))
	f = append(f, 0, 0) // tags of partition, topic
	f = append(f, 1)    // no forgotten topics
	f = append(f, 1)    // rack: empty
	f = append(f, 0)    // tags
	r.frame = seal(f)
	return r
}

func (r *fetchRequest) aim(partition int32, offset int64) {
	be.PutUint32(r.frame[r.partitionAt:], uint32(partition))
	be.PutUint64(r.frame[r.offsetAt:], uint64(offset))
}

// cursor reads an answer; a read behind the end sets bad and gives zero.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) skip(n int) {
	if n < 0 || n > len(c.b) {
		c.b, c.bad = nil, true
		return
	}
	c.b = c.b[n:]
}

func (c *cursor) u16() uint16 {
	if len(c.b) < 2 {
		c.b, c.bad = nil, true
		return 0
	}
	v := be.Uint16(c.b)
	c.b = c.b[2:]
	return v
}

func (c *cursor) u32() uint32 {
	if len(c.b) < 4 {
		c.b, c.bad = nil, true
		return 0
	}
	v := be.Uint32(c.b)
	c.b = c.b[4:]
	return v
}

func (c *cursor) u64() uint64 {
	hi := uint64(c.u32())
	return hi<<32 | uint64(c.u32())
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

// fetched is what is wanted of a fetch answer of one partition.
type fetched struct {
	code    int16
	high    int64
	records []byte
}

// readFetch walks an answer from behind its correlation id.
func readFetch(body []byte) (f fetched, err error) {
	c := cursor{b: body}
	c.skip(1) // tags of the header
	c.skip(4) // throttle
	f.code = int16(c.u16())
	c.skip(4)             // session id
	topics := c.uvarint() // count + 1
	if f.code != 0 || topics < 2 {
		if c.bad {
			return f, errShort
		}
		return f, nil
	}
	c.skip(c.uvarint() - 1) // name
	c.uvarint()             // partitions
	c.skip(4)               // index
	f.code = int16(c.u16())
	f.high = int64(c.u64())
	c.skip(16)         // last stable offset, log start offset
	const aborted = 17 // one aborted transaction: producer id, first offset, tags
	c.skip(max(0, c.uvarint()-1) * aborted)
	c.skip(4) // preferred replica
	n := c.uvarint() - 1
	if n > len(c.b) || c.bad {
		return f, errShort
	}
	f.records = c.b[:max(0, n)]
	return f, nil
}
