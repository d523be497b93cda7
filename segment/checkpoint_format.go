package segment

import (
	"hash/crc32"

	"millrace/protocol"
)

// The checkpoint of one core: a header, one record per log, a CRC.

const (
	checkpointMagic   = 0x504b434d // "MCKP"
	checkpointVersion = 4          // 3 knows no moves, 2 no sums
	checkpointHeader  = 80
	checkpointTrailer = 4

	offsetEntrySize = 8
	timeEntrySize   = 12
)

// checkpointHead says whose state a checkpoint is, and which commits it leaves to
// the journal.
type checkpointHead struct {
	version uint16 // of the format, when read
	boot    uint64
	core    uint16
	cores   uint16
	clean   bool
	replay  uint64 // first commit of the journal that is still needed
	journal journalID
	logs    uint32
	moves   uint64 // generation of the book of moves when it was begun
}

// putCheckpointHead fills the header; size is that of the file without its CRC.
func putCheckpointHead(b []byte, dir [16]byte, size int, h *checkpointHead) {
	putHead(b, checkpointMagic, dir, size, h)
}

func putHead(b []byte, magic uint32, dir [16]byte, size int, h *checkpointHead) {
	clear(b[:checkpointHeader])
	le.PutUint32(b, magic)
	le.PutUint16(b[4:], checkpointVersion)
	if h.clean {
		b[6] = 1
	}
	copy(b[8:], dir[:])
	le.PutUint64(b[24:], h.boot)
	le.PutUint16(b[32:], h.core)
	le.PutUint16(b[34:], h.cores)
	le.PutUint32(b[36:], h.logs)
	le.PutUint64(b[40:], uint64(h.journal))
	le.PutUint64(b[48:], h.replay)
	le.PutUint64(b[56:], uint64(size+checkpointTrailer))
	le.PutUint64(b[64:], h.moves)
}

// parseCheckpoint checks a whole checkpoint file and returns its records. It says
// which rule is broken, "" for none.
func parseCheckpoint(b []byte, dir [16]byte) (h checkpointHead, records []byte, rule string) {
	return parseRecords(b, checkpointMagic, dir)
}

func parseRecords(b []byte, magic uint32, dir [16]byte) (h checkpointHead, records []byte, rule string) {
	if len(b) < checkpointHeader+checkpointTrailer {
		return h, nil, "length"
	}
	body := b[:len(b)-checkpointTrailer]
	switch {
	case le.Uint32(b) != magic:
		return h, nil, "magic"
	case le.Uint16(b[4:]) > checkpointVersion:
		return h, nil, "version"
	case crc32.Checksum(body, castagnoli) != le.Uint32(b[len(body):]):
		return h, nil, "crc"
	case le.Uint64(b[56:]) != uint64(len(b)):
		return h, nil, "length"
	case [16]byte(b[8:24]) != dir:
		return h, nil, "directory id"
	}
	h = checkpointHead{
		version: le.Uint16(b[4:]), boot: le.Uint64(b[24:]), core: le.Uint16(b[32:]), cores: le.Uint16(b[34:]),
		clean: b[6] == 1, logs: le.Uint32(b[36:]), journal: journalID(le.Uint64(b[40:])),
		replay: le.Uint64(b[48:]), moves: le.Uint64(b[64:]),
	}
	return h, body[checkpointHeader:], ""
}

// logRecord is one log in a checkpoint.
type logRecord struct {
	tp        protocol.TopicPartition
	topic     []byte
	journal   journalID // of the boot that wrote the record
	seq       Seq       // its entries up to here are in the record
	moves     uint32    // how often the log went to another core
	cores     uint16    // when the record was written
	start     int64
	high      int64
	end       int64
	segs      []segRecord
	tail      []byte // of the active segment: what follows its last whole block
	producers []byte
	epochs    []byte
	pending   []byte // of the active segment: what is not in .index, .timeindex and .sums
}

// segRecord is one segment in a checkpoint.
type segRecord struct {
	base, end, size          int64
	created, firstMax        int64
	maxTime, maxAt           int64
	since, lastTime          int64
	offsets, times           int64
	sealed, finished, onDisk bool
	gaps                     bool // offsets may be missing

	sums     int64  // entries in .sums, −1: unknown
	sumBegin int64  // of the piece behind them
	sum      uint32 // of that piece so far

	offsetSum, timeSum uint32 // CRCs of .index and .timeindex
}

// segRecordSize is that of version 3; version 2 ends before the sums.
const (
	segRecordSize  = segRecordSize2 + 32
	segRecordSize2 = 11*8 + 8
)

func appendSegRecord(b []byte, r *segRecord) []byte {
	for _, v := range [...]int64{r.base, r.end, r.size, r.created, r.firstMax, r.maxTime,
		r.maxAt, r.since, r.lastTime, r.offsets, r.times} {
		b = le.AppendUint64(b, uint64(v))
	}
	flags := uint64(0)
	for i, f := range [...]bool{r.sealed, r.finished, r.onDisk, r.gaps} {
		if f {
			flags |= 1 << i
		}
	}
	b = le.AppendUint64(b, flags)
	b = le.AppendUint64(b, uint64(r.sums))
	b = le.AppendUint64(b, uint64(r.sumBegin))
	for _, v := range [...]uint32{r.sum, r.offsetSum, r.timeSum, 0} {
		b = le.AppendUint32(b, v)
	}
	return b
}

func parseSegRecord(b []byte) (r segRecord) {
	at := 0
	next := func() int64 {
		at += 8
		return int64(le.Uint64(b[at-8:]))
	}
	r.base, r.end, r.size, r.created, r.firstMax = next(), next(), next(), next(), next()
	r.maxTime, r.maxAt, r.since, r.lastTime = next(), next(), next(), next()
	r.offsets, r.times = next(), next()
	flags := next()
	r.sealed, r.finished, r.onDisk = flags&1 != 0, flags&2 != 0, flags&4 != 0
	r.gaps = flags&8 != 0
	if len(b) < segRecordSize {
		r.sums = -1
		return r
	}
	r.sums, r.sumBegin = next(), next()
	r.sum, r.offsetSum = le.Uint32(b[at:]), le.Uint32(b[at+4:])
	r.timeSum = le.Uint32(b[at+8:])
	return r
}

// recordFixed is the part of a record before its parts of variable length:
//
//	0 length u32 (whole record)   36 high i64        60 segments u32
//	4 topic id 16                 44 end i64         64 topic name u32
//	20 partition i32              52 journal seq u64 68 tail u32
//	24 pending u32                                   72 producers u32
//	28 start i64                                     76 epochs u32
//	80 journal u64                88 moves u32       92 cores u16, 0 u16
//
// Before version 4 it ended with the journal.
const (
	recordFixed  = recordFixed3 + 8
	recordFixed3 = 88
)

func appendLogRecord(b []byte, r *logRecord) []byte {
	from := len(b)
	var f [recordFixed]byte
	copy(f[4:], r.tp.Topic[:])
	le.PutUint32(f[20:], uint32(r.tp.Partition))
	le.PutUint32(f[24:], uint32(len(r.pending)))
	le.PutUint64(f[28:], uint64(r.start))
	le.PutUint64(f[36:], uint64(r.high))
	le.PutUint64(f[44:], uint64(r.end))
	le.PutUint64(f[52:], uint64(r.seq))
	le.PutUint32(f[60:], uint32(len(r.segs)))
	le.PutUint32(f[64:], uint32(len(r.topic)))
	le.PutUint32(f[68:], uint32(len(r.tail)))
	le.PutUint32(f[72:], uint32(len(r.producers)))
	le.PutUint32(f[76:], uint32(len(r.epochs)))
	le.PutUint64(f[80:], uint64(r.journal))
	le.PutUint32(f[88:], r.moves)
	le.PutUint16(f[92:], r.cores)
	b = append(b, f[:]...)
	for i := range r.segs {
		b = appendSegRecord(b, &r.segs[i])
	}
	b = append(b, r.topic...)
	b = append(b, r.tail...)
	b = append(b, r.producers...)
	b = append(b, r.epochs...)
	b = append(b, r.pending...)
	le.PutUint32(b[from:], uint32(len(b)-from))
	return b
}

// nextLogRecord splits the first record off b. ok is false when lengths lie.
func nextLogRecord(b []byte, version uint16) (r logRecord, rest []byte, ok bool) {
	segSize := uint64(segRecordSize)
	if version < 3 {
		segSize = segRecordSize2
	}
	fixed := recordFixed
	if version < 4 {
		fixed = recordFixed3
	}
	if len(b) < fixed || uint64(le.Uint32(b)) > uint64(len(b)) {
		return r, nil, false
	}
	n := int(le.Uint32(b))
	if n < fixed {
		return r, nil, false
	}
	rest, b = b[n:], b[:n:n]
	copy(r.tp.Topic[:], b[4:20])
	r.tp.Partition = int32(le.Uint32(b[20:]))
	r.start, r.high = int64(le.Uint64(b[28:])), int64(le.Uint64(b[36:]))
	r.end, r.seq = int64(le.Uint64(b[44:])), Seq(le.Uint64(b[52:]))
	r.journal = journalID(le.Uint64(b[80:]))
	segs := uint64(le.Uint32(b[60:]))
	lens := [...]uint64{uint64(le.Uint32(b[64:])), uint64(le.Uint32(b[68:])),
		uint64(le.Uint32(b[72:])), uint64(le.Uint32(b[76:])), uint64(le.Uint32(b[24:]))}
	if uint64(n) != uint64(fixed)+segs*segSize+lens[0]+lens[1]+lens[2]+lens[3]+lens[4] {
		return r, nil, false
	}
	if version >= 4 {
		r.moves, r.cores = le.Uint32(b[88:]), le.Uint16(b[92:])
	}
	b = b[fixed:]
	r.segs = make([]segRecord, segs)
	for i := range r.segs {
		r.segs[i] = parseSegRecord(b[:segSize])
		b = b[segSize:]
	}
	for i, part := range [...]*[]byte{&r.topic, &r.tail, &r.producers, &r.epochs,
		&r.pending} {
		*part, b = b[:lens[i]:lens[i]], b[lens[i]:]
	}
	return r, rest, true
}
