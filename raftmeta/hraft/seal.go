package hraft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/hashicorp/raft"
)

// raft-wal knows whether its last write was torn, and believes every other byte of its
// files. An entry therefore has a checksum with it, in Extensions, which raft leaves alone:
//
//	magic u32 "MRLE" | CRC-32C u32 of index, term, type, data
//
// Entries without one are of a time before it.
const (
	sealMagic = 0x454c524d
	sealSize  = 8
)

// ErrDamaged says that what is in the directory is not what was written.
var ErrDamaged = errors.New("hraft: damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sealed is an entry as it is stored.
func sealed(e *raft.Log) *raft.Log {
	c := *e
	c.Extensions = binary.LittleEndian.AppendUint32(nil, sealMagic)
	c.Extensions = binary.LittleEndian.AppendUint32(c.Extensions, entrySum(e))
	return &c
}

// unseal checks an entry that was read as the index-th, and takes the checksum off it.
func unseal(index uint64, e *raft.Log) error {
	x := e.Extensions
	if len(x) == 0 && e.Index == index {
		return nil
	}
	if len(x) != sealSize || e.Index != index || binary.LittleEndian.Uint32(x) != sealMagic ||
		binary.LittleEndian.Uint32(x[4:]) != entrySum(e) {
		return fmt.Errorf("%w: entry %d", ErrDamaged, index)
	}
	e.Extensions = nil
	return nil
}

func entrySum(e *raft.Log) uint32 {
	var b [17]byte
	binary.LittleEndian.PutUint64(b[:], e.Index)
	binary.LittleEndian.PutUint64(b[8:], e.Term)
	b[16] = byte(e.Type)
	return crc32.Update(crc32.Checksum(b[:], castagnoli), castagnoli, e.Data)
}
