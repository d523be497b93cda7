package inspect

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"

	"millrace/protocol"
)

// Digest is a file of groups/: a partition of __consumer_offsets boiled down. A start that
// has none reads the log.
type Digest struct {
	Type      string `json:"type"` // "digest"
	File      string `json:"file"`
	TopicID   string `json:"topicId"`
	Partition int32  `json:"partition"`
	Records   uint32 `json:"records"`
	End       int64  `json:"endOffset"`
}

// Text is one line.
func (d *Digest) Text() string {
	return fmt.Sprintf("groups of partition %d of topic id %s up to offset %d: %d records", d.Partition,
		d.TopicID, d.End, d.Records)
}

// What the file begins with (docs/FORMATS.md).
const (
	digestMagic   = 0x5052474d // "MGRP"
	digestVersion = 1
	digestHeader  = 64
)

// digests checks the files of groups/.
func (s *survey) digests() error {
	dir := filepath.Join(s.dir, "groups")
	names, err := s.t.files.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("inspect: %w", err)
	}
	for _, name := range names {
		if filepath.Ext(name) != "" {
			continue // on its way
		}
		if err := s.t.digest(filepath.Join(dir, name), s.id); err != nil {
			return err
		}
	}
	return nil
}

// digest checks one file and shows what it is.
func (t *Tool) digest(path string, id [16]byte) error {
	b, err := t.files.ReadFile(path)
	if err != nil {
		return fmt.Errorf("inspect: %w", err)
	}
	le := binary.LittleEndian
	end := len(b) - 4
	switch {
	case end < digestHeader:
		return t.bad(path, 0, "length")
	case le.Uint32(b) != digestMagic:
		return t.bad(path, 0, "magic")
	case le.Uint16(b[4:]) != digestVersion:
		return t.bad(path, 4, "version")
	case le.Uint64(b[56:]) != uint64(len(b)):
		return t.bad(path, 56, "length")
	case crc32.Checksum(b[:end], crc32.MakeTable(crc32.Castagnoli)) != le.Uint32(b[end:]):
		return t.bad(path, int64(end), "crc")
	case [16]byte(b[8:24]) != id:
		return t.bad(path, 8, "directory id")
	}
	d := &Digest{Type: "digest", File: path, TopicID: protocol.TopicID(b[24:40]).String(),
		Partition: int32(le.Uint32(b[40:])), Records: le.Uint32(b[44:]), End: int64(le.Uint64(b[48:]))}
	if want := fmt.Sprintf("%s-%d", d.TopicID, d.Partition); filepath.Base(path) != want {
		return t.bad(path, 24, "name")
	}
	return t.show(d)
}
