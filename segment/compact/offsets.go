package compact

import (
	"crypto/sha256"
	"encoding/binary"

	"millrace/internal/invariant"
)

// OffsetMap knows the last offset of every key it was told of. Keys are not kept: a
// hash of 16 bytes stands for each, of a kind for which nobody can find two equal ones,
// since equal hashes would lose a record.
type OffsetMap struct {
	mem    []byte
	slots  uint64
	used   int64
	most   int64
	latest int64
}

// SlotSize is what one key takes: hash and offset + 1, 0 for an empty slot.
const SlotSize = hashSize + 8

const hashSize = 16

// NewOffsetMap uses mem, which must be zero, up to the share load of its slots.
func NewOffsetMap(mem []byte, load float64) *OffsetMap {
	slots := len(mem) / SlotSize
	invariant.Check(slots > 1)
	most := min(max(int64(float64(slots)*load), 1), int64(slots)-1) // one is empty: a search ends
	return &OffsetMap{mem: mem, slots: uint64(slots), most: most, latest: -1}
}

// slot is where the key is, or the empty place where it would be.
func (m *OffsetMap) slot(hash []byte) []byte {
	for i := binary.LittleEndian.Uint64(hash) % m.slots; ; i = (i + 1) % m.slots {
		s := m.mem[i*SlotSize : (i+1)*SlotSize]
		if binary.LittleEndian.Uint64(s[hashSize:]) == 0 || string(s[:hashSize]) == string(hash) {
			return s
		}
	}
}

// Put notes that key occurs at offset. False: there is no room for another key.
func (m *OffsetMap) Put(key []byte, offset int64) bool {
	hash := sha256.Sum256(key)
	s := m.slot(hash[:hashSize])
	if binary.LittleEndian.Uint64(s[hashSize:]) == 0 {
		if m.used >= m.most {
			return false
		}
		m.used++
		copy(s, hash[:hashSize])
	}
	binary.LittleEndian.PutUint64(s[hashSize:], uint64(offset+1))
	return true
}

// Get is the last offset of key, −1 when it was not seen.
func (m *OffsetMap) Get(key []byte) int64 {
	hash := sha256.Sum256(key)
	return int64(binary.LittleEndian.Uint64(m.slot(hash[:hashSize])[hashSize:])) - 1
}

// Len is how many keys there are.
func (m *OffsetMap) Len() int64 { return m.used }

// Latest is the offset up to which all keys are known.
func (m *OffsetMap) Latest() int64 { return m.latest }

// Reached says that all keys up to offset are known.
func (m *OffsetMap) Reached(offset int64) { m.latest = max(m.latest, offset) }
