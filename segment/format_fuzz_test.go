package segment

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"millrace/protocol"
)

var fuzzDir = [16]byte{1, 2, 3}

// sampleCommit is a commit with one entry of every kind, and one whose payload lies
// behind them.
func sampleCommit() []byte {
	b := make([]byte, commitHeaderSize)
	n, sum := uint32(0), uint32(0)
	var placed []byte
	for i := uint8(kindAppend); i <= kindDrop+1; i++ {
		kind, flags, pos := i, uint8(flagFirst), uint32(0)
		if i > kindDrop {
			kind, flags, pos = kindAppend, flagFirst|flagPlaced, 8192+samplePos
		}
		payload := bytes.Repeat([]byte{kind}, int(kind)*10)
		var first []byte
		if kind == kindAppend {
			payload = bytes.Repeat(payload, sampleSize/10)
			binary.BigEndian.PutUint32(payload[batchFirst-4:],
				crc32.Checksum(payload[batchFirst:], castagnoli))
			first = payload[:batchFirst]
		}
		var h [entryHeaderSize]byte
		putEntryHeader(h[:], &entryHeader{
			kind: kind, flags: flags, tp: protocol.TopicPartition{Topic: topicID(kind)},
			pos: pos, offset: int64(kind), total: uint32(len(payload)), length: uint32(len(payload)),
			seq: Seq(kind),
		}, first)
		b = append(b, h[:]...)
		if flags&flagPlaced == 0 {
			b = append(b, payload...)
		} else {
			placed = append(make([]byte, samplePos), payload...)
			placed = append(placed, make([]byte, 2*block-len(placed))...)
		}
		sum = crc32.Update(sum, castagnoli, h[:])
		if kind != kindAppend {
			sum = crc32.Update(sum, castagnoli, payload)
		}
		n++
	}
	putCommitHeader(b, fuzzDir, &commitHeader{journal: makeJournalID(3, 1), sequence: 9,
		entries: n, cores: 2, body: sum, placed: uint32(len(placed) / block)})
	b = append(b, make([]byte, ceil(int64(len(b)))-int64(len(b)))...)
	return append(b, placed...)
}

// Where the placed payload of the sample begins in its block, and how long it is.
const (
	samplePos  = 4000
	sampleSize = 1000
)

func FuzzEntries(f *testing.F) {
	f.Add(sampleCommit()[commitHeaderSize:])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		placed := make([]byte, 8*block)
		for len(b) > 0 {
			if len(b) >= entryHeaderSize { // else no input ever passes the CRC
				var first []byte
				if isWhole(b[0], b[1]) && len(b) >= entryHeaderSize+batchFirst {
					first = b[entryHeaderSize:][:batchFirst]
				}
				if b[1]&flagPlaced != 0 {
					if at := int(le.Uint32(b[48:]) % block); len(placed) >= at+batchFirst {
						first = placed[at:][:batchFirst]
					}
				}
				le.PutUint32(b[4:], entryCRC(b, first))
			}
			h, payload, rest, behind, rule := nextEntry(b, placed)
			if rule != "" {
				return
			}
			if h.flags&flagPlaced != 0 {
				if len(payload) != int(h.total) || len(rest)+entryHeaderSize != len(b) ||
					(len(placed)-len(behind))%block != 0 {
					t.Fatalf("%+v: payload %d, rest %d of %d", h, len(payload), len(rest), len(b))
				}
			} else if len(payload) != int(h.length) ||
				len(rest)+len(payload)+entryHeaderSize != len(b) {
				t.Fatalf("%+v: payload %d, rest %d of %d", h, len(payload), len(rest), len(b))
			}
			b, placed = rest, behind
		}
	})
}

func FuzzCommit(f *testing.F) {
	f.Add(sampleCommit())
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= commitHeaderSize {
			le.PutUint32(b[60:], headCRC(b))
		}
		h, ok := parseCommitHeader(b, fuzzDir)
		if ok && (len(b) < commitHeaderSize || h.length <= commitHeaderSize) {
			t.Fatalf("%+v of %d bytes", h, len(b))
		}
		if ok && h.size() <= int64(len(b)) {
			checkBody(&h, b)
		}
	})
}

func sampleCheckpoint() []byte {
	b := make([]byte, checkpointHeader)
	for i := range 3 {
		b = appendLogRecord(b, &logRecord{
			tp: protocol.TopicPartition{Topic: topicID(1), Partition: int32(i)}, topic: []byte("t1"),
			journal: makeJournalID(2, 0), seq: 7, end: 30, high: 30, tail: []byte("tail"),
			segs: make([]segRecord, i), producers: []byte("p"), epochs: []byte("ee"),
		})
	}
	putCheckpointHead(b, fuzzDir, len(b), &checkpointHead{boot: 2, cores: 1, logs: 3, replay: 4,
		journal: makeJournalID(2, 0)})
	return le.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func FuzzCheckpoint(f *testing.F) {
	f.Add(sampleCheckpoint())
	f.Fuzz(func(t *testing.T, b []byte) {
		if n := len(b) - checkpointTrailer; n >= checkpointHeader {
			le.PutUint64(b[56:], uint64(len(b)))
			le.PutUint32(b[n:], crc32.Checksum(b[:n], castagnoli))
		}
		h, records, rule := parseCheckpoint(b, fuzzDir)
		if rule != "" {
			return
		}
		for range h.logs {
			r, rest, ok := nextLogRecord(records, h.version)
			if !ok {
				return
			}
			again := appendLogRecord(nil, &r)
			if len(again) != len(records)-len(rest) {
				t.Fatalf("a record of %d bytes is written as %d", len(records)-len(rest), len(again))
			}
			records = rest
		}
	})
}

func FuzzNames(f *testing.F) {
	f.Add("topic-1", "0000000000000001-0002")
	f.Add("a-b--1", "x")
	f.Fuzz(func(t *testing.T, dir, checkpoint string) {
		if topic, p, ok := parseDirName(dir); ok && (topic == "" || p < 0) {
			t.Fatalf("%q: %q %d", dir, topic, p)
		}
		parseCheckpointName(checkpoint)
		parseBoot([]byte(dir), fuzzDir)
	})
}

// TestFormats: what is written is read back, and no changed bit goes unseen.
func TestFormats(t *testing.T) {
	c := sampleCommit()
	h, ok := parseCommitHeader(c, fuzzDir)
	if !ok || h.sequence != 9 || h.journal.boot() != 3 || h.journal.core() != 1 ||
		h.size() != int64(len(c)) || h.mode != Fsync || h.cores != 2 {
		t.Fatalf("%+v", h)
	}
	for i := range c {
		if at := i - len(c) + 2*block; i >= int(h.length) && (at < samplePos || at >= samplePos+sampleSize) {
			continue // padding, and what lies beside the payload
		}
		for bit := range 8 {
			c[i] ^= 1 << bit
			h, ok := parseCommitHeader(c, fuzzDir)
			if ok && checkBody(&h, c) {
				t.Fatalf("bit %d of byte %d", bit, i)
			}
			c[i] ^= 1 << bit
		}
	}
	k := sampleCheckpoint()
	head, records, rule := parseCheckpoint(k, fuzzDir)
	if rule != "" || head.logs != 3 || head.replay != 4 {
		t.Fatalf("%+v %s", head, rule)
	}
	for i := range 3 {
		r, rest, ok := nextLogRecord(records, head.version)
		if !ok || string(r.tail) != "tail" || len(r.segs) != i || r.tp.Partition != int32(i) ||
			string(r.topic) != "t1" || string(r.epochs) != "ee" || r.seq != 7 {
			t.Fatalf("record %d: %+v", i, r)
		}
		records = rest
	}
	for i := range k {
		k[i] ^= 4
		if _, _, rule := parseCheckpoint(k, fuzzDir); rule == "" {
			t.Fatalf("a change of byte %d goes unseen", i)
		}
		k[i] ^= 4
	}
	b := bootBytes(fuzzDir, 12, 11)
	if boot, complete, rule := parseBoot(b, fuzzDir); boot != 12 || complete != 11 || rule != "" {
		t.Fatal(boot, complete, rule)
	}
	if _, _, rule := parseBoot(b, [16]byte{}); rule != "directory id" {
		t.Fatal(rule)
	}
}
