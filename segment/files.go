package segment

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"millrace/internal/vfs"
	"millrace/protocol"
)

// filePin is a segment's open file. It is closed when nobody has used it for long
// and no op is in flight on it.
type filePin struct {
	f          vfs.File
	pins       int32
	prev, next *seg // in the order of use
}

// fileCache bounds the open files: most recently used first.
type fileCache struct {
	first, last *seg
	open, most  int
}

func (c *fileCache) unlink(g *seg) {
	if g.fd.prev == nil {
		c.first = g.fd.next
	} else {
		g.fd.prev.fd.next = g.fd.next
	}
	if g.fd.next == nil {
		c.last = g.fd.prev
	} else {
		g.fd.next.fd.prev = g.fd.prev
	}
	g.fd.prev, g.fd.next = nil, nil
}

func (c *fileCache) link(g *seg) {
	g.fd.next = c.first
	if c.first == nil {
		c.last = g
	} else {
		c.first.fd.prev = g
	}
	c.first = g
}

// pin takes the open file for one op.
func (s *Shard) pin(g *seg) {
	g.fd.pins++
	if s.files.first != g {
		s.files.unlink(g)
		s.files.link(g)
	}
}

func (s *Shard) unpin(g *seg) {
	g.fd.pins--
	if g.gone && g.fd.pins == 0 {
		s.closeFile(g)
	}
}

// opened enters a file and closes the ones least used.
func (s *Shard) opened(g *seg, f vfs.File) {
	g.fd.f = f
	s.files.link(g)
	s.files.open++
	for c := s.files.last; c != nil && s.files.open > s.files.most; {
		prev := c.fd.prev
		if c.fd.pins == 0 && c != g && !c.preparing {
			s.closeFile(c)
		}
		c = prev
	}
}

func (s *Shard) closeFile(g *seg) {
	f := g.fd.f
	if f == nil {
		return
	}
	s.files.unlink(g)
	s.files.open--
	g.fd.f = nil
	s.job(jobClose, nil, func() any { return f.Close() })
}

// Names on disk.

func logRoot(dir string) string { return filepath.Join(dir, "log") }

func partitionDir(dir, topic string, partition int32) string {
	return filepath.Join(logRoot(dir), topic+"-"+strconv.Itoa(int(partition)))
}

func (l *Log) dirName() string { return l.Topic + "-" + strconv.Itoa(int(l.TP.Partition)) }

func (l *Log) dir() string { return partitionDir(l.root, l.Topic, l.TP.Partition) }

// Root is the data directory that has the log's files.
func (l *Log) Root() string { return l.root }

// path is the segment's file with one of Kafka's endings.
func (g *seg) path(ending string) string { return segmentPath(g.log.dir(), g.base, ending) }

func segmentPath(dir string, base int64, ending string) string {
	return filepath.Join(dir, fmt.Sprintf("%020d%s", base, ending))
}

const (
	endLog     = ".log"
	endIndex   = ".index"
	endTime    = ".timeindex"
	endSums    = ".sums"
	endDeleted = ".deleted"

	metadataName = "partition.metadata"
	deletedDir   = "-delete" // TOPIC-PARTITION.ID-delete, as Kafka names it
)

// endings are those of a segment's files. The log goes first: what is left of the
// others names nothing then.
var endings = [...]string{endLog, endIndex, endTime, endSums}

func metadataBytes(id protocol.TopicID) []byte {
	return fmt.Appendf(nil, "version: 0\ntopic_id: %s", id)
}

// readMetadata reads a partition.metadata. ok is false when there is none, or it was
// torn by a crash before anything relied on it.
func readMetadata(files vfs.FS, dir string) (id protocol.TopicID, ok bool, err error) {
	b, err := files.ReadFile(filepath.Join(dir, metadataName))
	if errors.Is(err, fs.ErrNotExist) {
		return id, false, nil
	}
	if err != nil {
		return id, false, fmt.Errorf("segment: %s: %w", dir, err)
	}
	for line := range bytes.Lines(b) {
		word, rest, found := strings.Cut(strings.TrimSpace(string(line)), ":")
		if found && word == "topic_id" {
			id, err := protocol.ParseTopicID(strings.TrimSpace(rest))
			return id, err == nil, nil
		}
	}
	return id, false, nil
}

// preparedFile is what the prepare job answers.
type preparedFile struct {
	f       vfs.File // set when it opened one
	alloc   int64
	created bool // the file, and perhaps its directory, are new: to be synced
	err     error
}

// errReplaced: the directory belongs to another topic of the same name. The log is
// deleted, though its core may not know it yet.
var errReplaced = fmt.Errorf("another topic has the directory: %w", fs.ErrNotExist)

// inDir runs f, which names files of a partition, while nobody moves its directory. With
// create it is made first.
func (sh *shared) inDir(files vfs.FS, dir string, id protocol.TopicID, create bool,
	f func() error) error {
	lock := sh.dir(dir)
	lock.Lock()
	defer lock.Unlock()
	if create {
		if err := ownDir(sh, files, dir, id); err != nil {
			return fmt.Errorf("segment: make %s: %w", dir, err)
		}
		return f()
	}
	switch have, ok, err := readMetadata(files, dir); {
	case err != nil:
		return err
	case ok && have != id && sh.mayOwn(id, have):
		return errReplaced
	case !ok || have != id:
		if err := sh.mendMetadata(files, dir, id); err != nil {
			return err
		}
	}
	return f()
}

// mendMetadata writes a lost or damaged partition.metadata anew: whoever relies on the files
// of a directory knows whose they are. While recovering nobody does.
func (sh *shared) mendMetadata(files vfs.FS, dir string, id protocol.TopicID) error {
	name := filepath.Join(dir, metadataName)
	if _, err := files.Stat(dir); err != nil || sh.isDropped(id) || !sh.serving.Load() {
		return fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	if err := files.WriteFile(name, metadataBytes(id)); err != nil {
		return fmt.Errorf("segment: write %s: %w", name, err)
	}
	return nil
}

// prepareFile opens a segment's file, makes it and its directory when create, and
// sees that at least need bytes of it are allocated, wish if the disk has them.
func prepareFile(sh *shared, files vfs.FS, dir string, id protocol.TopicID, base int64, f vfs.File,
	create bool, alloc, need, wish int64) (p preparedFile) {
	p.alloc = alloc
	if f == nil {
		mode := vfs.ReadWrite
		if create {
			mode = vfs.Create
		}
		p.err = sh.inDir(files, dir, id, create, func() (err error) {
			f, err = files.Open(segmentPath(dir, base, endLog), mode, true)
			return err
		})
		if p.err != nil {
			return p
		}
		p.f, p.created = f, create
	}
	if need > alloc {
		err := f.Preallocate(alloc, wish-alloc)
		p.alloc = wish
		if err != nil && noSpace(err) && wish > need {
			err = f.Preallocate(alloc, need-alloc)
			p.alloc = need
		}
		if err != nil && noSpace(err) {
			p.err, p.alloc = err, alloc
			return p
		}
		// A file system without fallocate allocates as it is written.
	}
	return p
}

// ownDir makes the directory of a partition; the caller holds its lock. One of the same name
// with another topic id belongs to a deleted topic: it is moved out of the way.
func ownDir(sh *shared, files vfs.FS, dir string, id protocol.TopicID) error {
	have, ok, err := readMetadata(files, dir)
	if err != nil {
		return err
	}
	if ok && have == id {
		return nil
	}
	ours := ok && !sh.mayOwn(id, have) // damaged
	if ok && !ours && !sh.isDropped(have) {
		return errReplaced // it or we are deleted: soon our core knows
	}
	if ok && !ours {
		gone := dir + "." + have.String() + deletedDir
		if err := files.RemoveAll(gone); err != nil {
			return err
		}
		if err := files.Rename(dir, gone); err != nil {
			return err
		}
	}
	if err := files.MkdirAll(dir); err != nil {
		return err
	}
	f, err := files.Open(filepath.Join(dir, metadataName), vfs.Create, false)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt(metadataBytes(id), 0) // synced by the sweep that relies on it
	return err
}
