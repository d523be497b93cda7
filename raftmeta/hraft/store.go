package hraft

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// store is the log on disk: what has to be closed after raft has stopped.
type store struct {
	*wal.WAL
	meta *metaStore
	fs   *spareFS
}

// openStore opens or creates the log in dir.
func openStore(dir string, segmentBytes int, words *logger) (*store, error) {
	files := newSpareFS(dir, segmentBytes)
	meta := &metaStore{fs: files} // ours, because WAL.Close leaves it open and locked
	w, err := wal.Open(dir, wal.WithMetaStore(meta), wal.WithLogger(words),
		wal.WithSegmentSize(segmentBytes), wal.WithSegmentFiler(segment.NewFiler(dir, files)))
	if err != nil {
		return nil, fmt.Errorf("hraft: open log in %s: %w", dir, errors.Join(err, meta.Close()))
	}
	reserveState(dir)
	return &store{w, meta, files}, nil
}

// Close releases files and locks.
func (s *store) Close() error { return errors.Join(s.WAL.Close(), s.meta.Close()) }

// metaStore is raft-wal's list of segments, with one mend on load. raft-wal (0.4.0) seals a
// full segment with the append that fills it, and lists its successor a moment later in the
// background. A process killed between the two finds a last segment that takes no more
// appends, for ever; so does one whose sealing write was torn, where even the seal is not
// complete. Either way the committed entries are whole: they move to a segment of twice the
// size, and the list changes in one transaction. raft-wal deletes what is not listed.
type metaStore struct {
	metadb.BoltMetaDB
	fs *spareFS
}

// Load implements types.MetaStore.
func (m *metaStore) Load(dir string) (types.PersistentState, error) {
	// bolt maps its file, where a block that cannot be read is a signal, and calls what it
	// cannot read invalid: read before, it says what is wrong.
	_, err := os.ReadFile(filepath.Join(dir, metadb.FileName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return types.PersistentState{}, err
	}
	state, err := m.BoltMetaDB.Load(dir)
	n := len(state.Segments)
	if err != nil || n == 0 || !state.Segments[n-1].SealTime.IsZero() {
		return state, err
	}
	files := segment.NewFiler(dir, m.fs)
	fresh, err := reseat(files, state.Segments[n-1], state.NextSegmentID)
	if err != nil || fresh == nil {
		return state, err
	}
	state.NextSegmentID++
	state.Segments[n-1] = *fresh
	if err := m.CommitState(state); err != nil {
		return state, fmt.Errorf("mend the last segment: %w", err)
	}
	return state, nil
}

// reseat copies the entries of a last segment that takes no appends into a new one; nil
// says that there is nothing to mend.
func reseat(files *segment.Filer, tail types.SegmentInfo, id uint64) (*types.SegmentInfo, error) {
	old, err := files.RecoverTail(tail)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // listed, but not yet created: raft-wal knows this one
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = old.Close() }()
	if sealed, _, err := old.Sealed(); err != nil || !sealed {
		return nil, err
	}
	entries, size, err := entriesOf(old, tail.MinIndex)
	if err != nil {
		return nil, fmt.Errorf("mend the last segment: %w", err)
	}
	fresh := types.SegmentInfo{ID: id, BaseIndex: tail.MinIndex, MinIndex: tail.MinIndex,
		Codec: tail.Codec, CreateTime: time.Now(),
		SizeLimit: 2*max(tail.SizeLimit, uint32(size)) + 4096}
	// An earlier try may have died here; its file is not listed.
	if err := files.Delete(fresh.BaseIndex, id); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("mend the last segment: %w", err)
	}
	w, err := files.Create(fresh)
	if err != nil {
		return nil, fmt.Errorf("mend the last segment: %w", err)
	}
	if err := errors.Join(w.Append(entries), w.Close()); err != nil {
		return nil, fmt.Errorf("mend the last segment: %w", err)
	}
	return &fresh, nil
}

func entriesOf(s types.SegmentWriter, from uint64) (list []types.LogEntry, size int, err error) {
	for i := from; i <= s.LastIndex(); i++ {
		buf, err := s.GetLog(i)
		if err != nil {
			return nil, 0, fmt.Errorf("entry %d: %w", i, err)
		}
		data := append([]byte(nil), buf.Bs...)
		_ = buf.Close()
		list = append(list, types.LogEntry{Index: i, Data: data})
		size += len(data)
	}
	return list, size, nil
}
