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
	flagFirst  = 1 << 0 // first fragment
	flagMore   = 1 << 1 // the next entry goes on with it
	flagPlaced = 1 << 2 // the payload lies in blocks behind the entries
	flagsAll   = flagFirst | flagMore | flagPlaced
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
	placed   uint32 // blocks behind them
	entries  uint32
	cores    uint16 // at the time: whether CoreOf still sends its entries to one core
	body     uint32 // CRC of the entries but for the payloads that have their own
}

// size is what the commit takes in its file.
func (h *commitHeader) size() int64 {
	return ceil(int64(h.length)) + int64(h.placed)*block
}

// parts are the entries of a commit and the blocks behind them.
func (h *commitHeader) parts(b []byte) (entries, placed []byte) {
	return b[commitHeaderSize:h.length], b[min(ceil(int64(h.length)), int64(len(b))):]
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
	le.PutUint32(b[52:], h.placed)
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
		placed:   le.Uint32(b[52:]),
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
	moves   uint16 // how often the log has moved, the lowest bits
}

// whole says that the payload is one record batch, which has a CRC of its own.
func (h *entryHeader) whole() bool { return isWhole(h.kind, h.flags) }

func isWhole(kind, flags uint8) bool {
	return kind == kindAppend && flags&(flagFirst|flagMore) == flagFirst
}

// run is how far a placed payload reaches: it begins in its first block where it
// does in the segment, since it is written from the tail's own blocks.
func (h *entryHeader) run() (at, n int64) {
	at = int64(h.pos % block)
	return at, ceil(at + int64(h.total))
}

// putEntryHeader fills a header; first is how a whole batch begins.
func putEntryHeader(b []byte, h *entryHeader, first []byte) {
	_ = b[entryHeaderSize-1]
	b[0], b[1] = h.kind, h.flags
	le.PutUint16(b[2:], h.moves)
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
	b, placed := h.parts(b)
	sum := uint32(0)
	for range h.entries {
		e, payload, rest, behind, rule := nextEntry(b, placed)
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
		b, placed = rest, behind
	}
	return sum == h.body && len(b) == 0 && len(placed) == 0
}

// Rules of an entry that a torn commit breaks.
const (
	ruleLength = "entry length"
	ruleCRC    = "entry crc"
)

// nextEntry splits the first entry off the body of a commit, and its payload off
// the blocks behind the entries when it is there. It says which rule is broken, ""
// for none.
func nextEntry(b, placed []byte) (h entryHeader, payload, rest, behind []byte, rule string) {
	if len(b) < entryHeaderSize {
		return h, nil, nil, nil, ruleLength
	}
	h.kind, h.flags, h.moves = b[0], b[1], le.Uint16(b[2:])
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
	payload, rest, behind, ok := h.split(b[entryHeaderSize:], placed)
	var first []byte
	if h.whole() {
		if ok = ok && len(payload) >= batchFirst; ok {
			first = payload[:batchFirst]
		}
	}
	switch {
	case !ok:
		return h, nil, nil, nil, ruleLength
	case le.Uint32(b[4:]) != entryCRC(b, first):
		return h, nil, nil, nil, ruleCRC
	case h.kind < kindAppend || h.kind > kindDrop:
		return h, nil, nil, nil, "unknown kind"
	case h.flags&^flagsAll != 0:
		return h, nil, nil, nil, "unknown flag"
	case h.total > maxEntry || h.from > h.total || h.length > h.total-h.from:
		return h, nil, nil, nil, "lengths"
	case (h.flags&flagFirst != 0) != (h.from == 0),
		(h.flags&flagMore == 0) != (h.from+h.length == h.total),
		h.flags&flagPlaced != 0 && !h.whole():
		return h, nil, nil, nil, "fragment"
	}
	return h, payload, rest, behind, ""
}

// split finds the payload: behind the header, or in the blocks behind the entries.
func (h *entryHeader) split(b, placed []byte) (payload, rest, behind []byte, ok bool) {
	if h.flags&flagPlaced == 0 {
		if int64(h.length) > int64(len(b)) {
			return nil, nil, nil, false
		}
		return b[:h.length], b[h.length:], placed, true
	}
	at, n := h.run()
	if n > int64(len(placed)) {
		return nil, nil, nil, false
	}
	return placed[at : at+int64(h.total)], b, placed[n:], true
}

// floor and ceil round to blocks.
func floor(n int64) int64 { return n &^ (block - 1) }
func ceil(n int64) int64  { return (n + block - 1) &^ (block - 1) }
