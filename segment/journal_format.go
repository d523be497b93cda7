package segment

import (
	"encoding/binary"
	"hash/crc32"

	"millrace/protocol"
)

// Formats of the journal (docs/FORMATS.md). Integers are little-endian.
const (
	block = 4096 // unit of every transfer and of padding

	fileMagic     = 0x464a524d // "MRJF"
	commitMagic   = 0x434a524d // "MRJC"
	formatVersion = 2          // 1 was never released

	fileHeaderSize   = block
	commitHeaderSize = 64
	entryHeaderSize  = 72

	// batchFirst is what Kafka's CRC of a batch leaves out, and that CRC: the CRC of
	// the entry has it.
	batchFirst = 21

	// maxEntry bounds what an entry may claim: the largest batch that int32 allows.
	maxEntry = 1<<31 - 1
)

// Kinds of entries. An unknown one refuses to start: it was written by a newer
// version and means something.
const (
	kindAppend   = 1 // payload: one batch
	kindTruncate = 2 // offset: new end; epoch
	kindStart    = 3 // offset: new start
	kindDrop     = 4 // the topic is deleted
)

// Flags of an entry.
const (
	flagFirst = 1 << 0 // first fragment
	flagMore  = 1 << 1 // the next entry goes on with it
	flagsAll  = flagFirst | flagMore
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// le is the byte order of every format of our own.
var le = binary.LittleEndian

// journalID names one journal for ever: a boot and the core in it.
type journalID uint64

func makeJournalID(boot uint64, core int) journalID {
	return journalID(boot<<16 | uint64(core)&0xffff)
}

func (j journalID) boot() uint64 { return uint64(j) >> 16 }
func (j journalID) core() int    { return int(j & 0xffff) }

// putFileHeader fills the first block of a journal file.
func putFileHeader(b []byte, dir [16]byte, number uint64, size int64, boot uint64) {
	clear(b[:fileHeaderSize])
	le.PutUint32(b, fileMagic)
	le.PutUint16(b[4:], formatVersion)
	copy(b[8:], dir[:])
	le.PutUint64(b[24:], number)
	le.PutUint64(b[32:], uint64(size))
	le.PutUint64(b[40:], boot)
	le.PutUint32(b[fileHeaderSize-4:], crc32.Checksum(b[:fileHeaderSize-4], castagnoli))
}

// checkFileHeader says which rule the block breaks, "" for none.
func checkFileHeader(b []byte, dir [16]byte) string {
	switch {
	case le.Uint32(b) != fileMagic:
		return "magic"
	case le.Uint16(b[4:]) != formatVersion:
		return "version"
	case le.Uint32(b[fileHeaderSize-4:]) != crc32.Checksum(b[:fileHeaderSize-4], castagnoli):
		return "crc"
	case [16]byte(b[8:24]) != dir:
		return "directory id"
	}
	return ""
}

// commitHeader is what stands before the entries of one journal write.
type commitHeader struct {
	version  uint16
	mode     Durability
	journal  journalID
	sequence uint64
	length   uint32 // header and entries, without padding
	entries  uint32
	cores    uint16 // at the time: whether CoreOf still sends its entries to one core
	body     uint32 // CRC of the entries but for the payloads that have their own
}

// putCommitHeader seals a group: b is header and entries.
func putCommitHeader(b []byte, dir [16]byte, h *commitHeader) {
	clear(b[:commitHeaderSize])
	le.PutUint32(b, commitMagic)
	le.PutUint16(b[4:], formatVersion)
	b[6] = byte(h.mode) + 1
	copy(b[8:], dir[:])
	le.PutUint64(b[24:], uint64(h.journal))
	le.PutUint64(b[32:], h.sequence)
	le.PutUint32(b[40:], uint32(len(b)))
	le.PutUint32(b[44:], h.entries)
	le.PutUint16(b[48:], h.cores)
	le.PutUint32(b[56:], h.body)
	le.PutUint32(b[60:], headCRC(b))
}

func headCRC(b []byte) uint32 { return crc32.Checksum(b[:60], castagnoli) }

// parseCommitHeader reads a header. False: these bytes are none of this directory.
func parseCommitHeader(b []byte, dir [16]byte) (h commitHeader, ok bool) {
	if len(b) < commitHeaderSize || le.Uint32(b) != commitMagic || [16]byte(b[8:24]) != dir ||
		le.Uint32(b[60:]) != headCRC(b) {
		return h, false
	}
	h = commitHeader{
		version:  le.Uint16(b[4:]),
		mode:     Durability(b[6] - 1),
		journal:  journalID(le.Uint64(b[24:])),
		sequence: le.Uint64(b[32:]),
		length:   le.Uint32(b[40:]),
		entries:  le.Uint32(b[44:]),
		cores:    le.Uint16(b[48:]),
		body:     le.Uint32(b[56:]),
	}
	return h, h.length > commitHeaderSize
}

// entryHeader is what stands before the payload of one entry or fragment.
type entryHeader struct {
	kind    uint8
	flags   uint8
	tp      protocol.TopicPartition
	epoch   int32
	offset  int64  // append: base offset; truncate, start: the offset
	segment int64  // append: base offset of the segment
	pos     uint32 // append: where in the segment
	total   uint32 // payload of all fragments
	from    uint32 // of this fragment in the payload
	length  uint32 // of this fragment
	seq     Seq    // number of the entry in its journal
}

// whole says that the payload is one record batch, which has a CRC of its own.
func (h *entryHeader) whole() bool { return isWhole(h.kind, h.flags) }

func isWhole(kind, flags uint8) bool { return kind == kindAppend && flags&flagsAll == flagFirst }

// putEntryHeader fills a header; first is how a whole batch begins.
func putEntryHeader(b []byte, h *entryHeader, first []byte) {
	_ = b[entryHeaderSize-1]
	b[0], b[1], b[2], b[3] = h.kind, h.flags, 0, 0
	copy(b[8:24], h.tp.Topic[:])
	le.PutUint32(b[24:], uint32(h.tp.Partition))
	le.PutUint32(b[28:], uint32(h.epoch))
	le.PutUint64(b[32:], uint64(h.offset))
	le.PutUint64(b[40:], uint64(h.segment))
	le.PutUint32(b[48:], h.pos)
	le.PutUint32(b[52:], h.total)
	le.PutUint32(b[56:], h.from)
	le.PutUint32(b[60:], h.length)
	le.PutUint64(b[64:], uint64(h.seq))
	le.PutUint32(b[4:], entryCRC(b, first))
}

func entryCRC(b, first []byte) uint32 {
	c := crc32.Update(0, castagnoli, b[:4])
	c = crc32.Update(c, castagnoli, b[8:entryHeaderSize])
	return crc32.Update(c, castagnoli, first)
}

// checkBody says whether a commit is whole: every byte of it is what was written. b
// is all of it. What else may be wrong with an entry is for the replay to refuse.
func checkBody(h *commitHeader, b []byte) bool {
	b = b[commitHeaderSize:h.length]
	sum := uint32(0)
	for range h.entries {
		e, payload, rest, rule := nextEntry(b)
		switch rule {
		case "":
		case ruleLength, ruleCRC:
			return false
		default:
			return true
		}
		sum = crc32.Update(sum, castagnoli, b[:entryHeaderSize])
		if !e.whole() {
			sum = crc32.Update(sum, castagnoli, payload)
		} else if crc32.Checksum(payload[batchFirst:], castagnoli) !=
			binary.BigEndian.Uint32(payload[batchFirst-4:]) {
			return false
		}
		b = rest
	}
	return sum == h.body && len(b) == 0
}

// Rules of an entry that a torn commit breaks.
const (
	ruleLength = "entry length"
	ruleCRC    = "entry crc"
)

// nextEntry splits the first entry off the body of a commit. It says which rule is
// broken, "" for none.
func nextEntry(b []byte) (h entryHeader, payload, rest []byte, rule string) {
	if len(b) < entryHeaderSize {
		return h, nil, nil, ruleLength
	}
	var first []byte
	if isWhole(b[0], b[1]) {
		if len(b) < entryHeaderSize+batchFirst {
			return h, nil, nil, ruleLength
		}
		first = b[entryHeaderSize : entryHeaderSize+batchFirst]
	}
	if le.Uint32(b[4:]) != entryCRC(b, first) {
		return h, nil, nil, ruleCRC
	}
	h.kind, h.flags = b[0], b[1]
	copy(h.tp.Topic[:], b[8:24])
	h.tp.Partition = int32(le.Uint32(b[24:]))
	h.epoch = int32(le.Uint32(b[28:]))
	h.offset = int64(le.Uint64(b[32:]))
	h.segment = int64(le.Uint64(b[40:]))
	h.pos = le.Uint32(b[48:])
	h.total = le.Uint32(b[52:])
	h.from = le.Uint32(b[56:])
	h.length = le.Uint32(b[60:])
	h.seq = Seq(le.Uint64(b[64:]))
	switch {
	case h.kind < kindAppend || h.kind > kindDrop:
		return h, nil, nil, "unknown kind"
	case h.flags&^flagsAll != 0:
		return h, nil, nil, "unknown flag"
	case h.total > maxEntry || h.from > h.total || h.length > h.total-h.from:
		return h, nil, nil, ruleLength
	case (h.flags&flagFirst != 0) != (h.from == 0):
		return h, nil, nil, "fragment"
	case (h.flags&flagMore == 0) != (h.from+h.length == h.total):
		return h, nil, nil, "fragment"
	case int(h.length) > len(b)-entryHeaderSize, h.whole() && h.length < batchFirst:
		return h, nil, nil, ruleLength
	}
	end := entryHeaderSize + int(h.length)
	return h, b[entryHeaderSize:end], b[end:], ""
}

// floor and ceil round to blocks.
func floor(n int64) int64 { return n &^ (block - 1) }
func ceil(n int64) int64  { return (n + block - 1) &^ (block - 1) }
