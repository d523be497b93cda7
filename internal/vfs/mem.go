package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Mem is a file system in memory that remembers what a power loss would leave. It
// is safe for use from several threads, but only deterministic from one.
type Mem struct {
	mu       sync.Mutex
	rng      *rand.Rand
	root     *node
	pending  []change // of directories, not yet durable, in order
	files    []*memFile
	locks    map[string]bool
	capacity int64 // bytes; 0 = no limit
	used     int64 // blocks in use × blockSize
	noDirect bool
	noDsync  bool
	calls    int64 // made so far
	lastCall int64 // the power fails at this call; 0: it does not
	life     int   // counts Crash and Kill: files of an earlier life are dead (I5)
	lying    bool  // syncs do nothing
	disks    int   // mounted, beside the root's

	lostSectors, lostEntries int // that crashes took
}

// node is an inode: a directory or a file.
type node struct {
	dir     bool
	disk    int              // file system that it is on
	entries map[string]*node // as the process sees them
	durable map[string]*node // as a power loss would leave them
	content
}

// change is one create, remove, mkdir or rename: one or two entries that change
// together.
type change struct {
	of []entry
}

type entry struct {
	in   *node
	name string
	node *node // nil: gone
}

// NewMem returns an empty file system. The seed decides what a crash takes.
func NewMem(seed uint64) *Mem {
	return &Mem{
		rng:   rand.New(rand.NewPCG(seed, 0x6d656d)),
		root:  newDir(0),
		locks: make(map[string]bool),
	}
}

func newDir(disk int) *node {
	return &node{dir: true, disk: disk, entries: map[string]*node{}, durable: map[string]*node{}}
}

// SetCapacity limits the bytes of all files together; beyond it writes fail with
// ENOSPC. 0 takes the limit away.
func (m *Mem) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = bytes
}

// Capacity is what SetCapacity has set.
func (m *Mem) Capacity() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.capacity
}

// SetDirect says whether this file system knows O_DIRECT (it does at first).
func (m *Mem) SetDirect(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.noDirect = !on
}

// SetDsync says whether this file system knows RWF_DSYNC (it does at first).
func (m *Mem) SetDsync(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.noDsync = !on
}

// SetLying lets syncs claim durability from now on without giving it.
func (m *Mem) SetLying(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lying = on
}

// Lost is how many sectors of 512 bytes and how many creates, renames and removes
// crashes have taken so far.
func (m *Mem) Lost() (sectors, entries int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lostSectors, m.lostEntries
}

// Mount makes dir, which is empty, a file system of its own.
func (m *Mem) Mount(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.find(dir)
	if n == nil || !n.dir || len(n.entries) > 0 {
		return pathError("mount", dir, syscall.EINVAL)
	}
	m.disks++
	n.disk = m.disks
	return nil
}

// HasDsync says whether a file in memory can be written with RWF_DSYNC.
func HasDsync(f File) bool {
	switch f := f.(type) {
	case *faultyFile:
		return HasDsync(f.File)
	case *memFile:
		f.m.mu.Lock()
		defer f.m.mu.Unlock()
		return !f.m.noDsync
	}
	return true
}

// ErrPowerOff is the answer of every call after the one that PowerOffAfter named.
var ErrPowerOff = errors.New("vfs: the power is off")

// PowerOffAfter lets calls more calls pass and then none, until Crash or Kill: so a
// power loss can be put between any two calls of a blocking job.
func (m *Mem) PowerOffAfter(calls int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lastCall = m.calls + calls + 1
}

// Off says whether the power has failed.
func (m *Mem) Off() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lastCall != 0 && m.calls >= m.lastCall
}

// Calls is the number of calls so far.
func (m *Mem) Calls() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls
}

// call counts a call, and refuses it when the power is off.
func (m *Mem) call(op, name string) error {
	m.calls++
	if m.lastCall != 0 && m.calls >= m.lastCall {
		return &fs.PathError{Op: op, Path: name, Err: ErrPowerOff}
	}
	return nil
}

// Used is the number of bytes in use, as Free counts them.
func (m *Mem) Used() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}

func split(name string) []string {
	return strings.FieldsFunc(path.Clean("/"+name), func(r rune) bool { return r == '/' })
}

// find walks to name; nil when it is absent.
func (m *Mem) find(name string) *node {
	at := m.root
	for _, part := range split(name) {
		if at == nil || !at.dir {
			return nil
		}
		at = at.entries[part]
	}
	return at
}

// parent walks to the directory that holds name.
func (m *Mem) parent(name string) (*node, string, error) {
	parts := split(name)
	if len(parts) == 0 {
		return nil, "", syscall.EINVAL
	}
	dir := m.find(strings.Join(parts[:len(parts)-1], "/"))
	if dir == nil {
		return nil, "", syscall.ENOENT
	}
	if !dir.dir {
		return nil, "", syscall.ENOTDIR
	}
	return dir, parts[len(parts)-1], nil
}

// change makes a directory change visible; it is durable with the next SyncDir.
func (m *Mem) change(of ...entry) {
	for _, e := range of {
		if e.node == nil {
			delete(e.in.entries, e.name)
		} else {
			e.in.entries[e.name] = e.node
		}
	}
	m.pending = append(m.pending, change{of: of})
}

// Open opens a file; see FS.
func (m *Mem) Open(name string, mode Mode, direct bool) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("open", name); err != nil {
		return nil, err
	}
	dir, base, err := m.parent(name)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	n := dir.entries[base]
	switch {
	case n != nil && n.dir:
		return nil, pathError("open", name, syscall.EISDIR)
	case n == nil && mode != Create:
		return nil, pathError("open", name, syscall.ENOENT)
	case n == nil:
		n = &node{disk: dir.disk}
		m.change(entry{dir, base, n})
	}
	n.opens++
	f := &memFile{m: m, n: n, name: name, life: m.life,
		direct: direct && !m.noDirect, readOnly: mode == ReadOnly}
	f.fd = m.number(f)
	return f, nil
}

// number gives the lowest free descriptor, as a kernel does: a stale number soon
// names another file, so that misuse shows.
func (m *Mem) number(f *memFile) int32 {
	for i, g := range m.files {
		if g == nil {
			m.files[i] = f
			return int32(i) + firstFd
		}
	}
	m.files = append(m.files, f)
	return int32(len(m.files)) - 1 + firstFd
}

// firstFd keeps files apart from the simulator's sockets, which are numbered from 3.
const firstFd = 1 << 20

// IsFd says whether fd is a number that Mem gives to files.
func IsFd(fd int32) bool { return fd >= firstFd }

// MkdirAll makes dir and its parents.
func (m *Mem) MkdirAll(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("mkdir", dir); err != nil {
		return err
	}
	at := m.root
	for _, part := range split(dir) {
		next := at.entries[part]
		if next == nil {
			next = newDir(at.disk)
			m.change(entry{at, part, next})
		}
		if !next.dir {
			return pathError("mkdir", dir, syscall.ENOTDIR)
		}
		at = next
	}
	return nil
}

// Remove removes a file or an empty directory.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("remove", name); err != nil {
		return err
	}
	dir, base, err := m.parent(name)
	if err != nil {
		return pathError("remove", name, err)
	}
	n := dir.entries[base]
	switch {
	case n == nil:
		return pathError("remove", name, syscall.ENOENT)
	case len(n.entries) > 0:
		return pathError("remove", name, syscall.ENOTEMPTY)
	}
	m.unlink(dir, base, n)
	return nil
}

func (m *Mem) unlink(dir *node, base string, n *node) {
	m.change(entry{dir, base, nil})
	n.unlinked = !n.dir
	m.reclaim(n)
}

// RemoveAll removes name and what is below it.
func (m *Mem) RemoveAll(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("remove", name); err != nil {
		return err
	}
	dir, base, err := m.parent(name)
	if errors.Is(err, syscall.ENOENT) {
		return nil
	}
	if err != nil {
		return pathError("remove", name, err)
	}
	if n := dir.entries[base]; n != nil {
		m.removeTree(dir, base, n)
	}
	return nil
}

func (m *Mem) removeTree(dir *node, base string, n *node) {
	for _, name := range sortedNames(n.entries) {
		m.removeTree(n, name, n.entries[name])
	}
	m.unlink(dir, base, n)
}

// Rename replaces to by from.
func (m *Mem) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("rename", to); err != nil {
		return err
	}
	fromDir, fromBase, err := m.parent(from)
	if err != nil {
		return pathError("rename", from, err)
	}
	toDir, toBase, err := m.parent(to)
	if err != nil {
		return pathError("rename", to, err)
	}
	n, old := fromDir.entries[fromBase], toDir.entries[toBase]
	switch {
	case n == nil:
		return pathError("rename", from, syscall.ENOENT)
	case n == old:
		return nil
	case old != nil && old.dir != n.dir:
		return pathError("rename", to, syscall.EEXIST)
	case old != nil && len(old.entries) > 0:
		return pathError("rename", to, syscall.ENOTEMPTY)
	case n.disk != toDir.disk:
		return pathError("rename", to, syscall.EXDEV)
	}
	m.change(entry{fromDir, fromBase, nil}, entry{toDir, toBase, n})
	if old != nil && !old.dir {
		old.unlinked = true
		m.reclaim(old)
	}
	return nil
}

// List returns the names in dir, sorted.
func (m *Mem) List(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("readdir", dir); err != nil {
		return nil, err
	}
	n := m.find(dir)
	if n == nil {
		return nil, pathError("open", dir, syscall.ENOENT)
	}
	if !n.dir {
		return nil, pathError("readdir", dir, syscall.ENOTDIR)
	}
	return sortedNames(n.entries), nil
}

func sortedNames(of map[string]*node) []string {
	names := make([]string, 0, len(of))
	for name := range of {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// Stat describes a file or a directory. Times are the epoch: Mem has no clock.
func (m *Mem) Stat(name string) (fs.FileInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("stat", name); err != nil {
		return nil, err
	}
	n := m.find(name)
	if n == nil {
		return nil, pathError("stat", name, syscall.ENOENT)
	}
	return memInfo{name: path.Base(name), size: n.size, dir: n.dir}, nil
}

type memInfo struct {
	name string
	size int64
	dir  bool
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) IsDir() bool        { return i.dir }
func (i memInfo) ModTime() time.Time { return time.Unix(0, 0) }
func (i memInfo) Sys() any           { return nil }
func (i memInfo) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | dirMode
	}
	return fileMode
}

// ReadFile reads a whole file.
func (m *Mem) ReadFile(name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("read", name); err != nil {
		return nil, err
	}
	n := m.find(name)
	if n == nil {
		return nil, pathError("open", name, syscall.ENOENT)
	}
	if n.dir {
		return nil, pathError("read", name, syscall.EISDIR)
	}
	data := make([]byte, n.size)
	n.read(data, 0)
	return data, nil
}

// WriteFile replaces name atomically and durably.
func (m *Mem) WriteFile(name string, data []byte) error { return writeFile(m, name, data) }

// Lock takes the lock; Crash and Kill free it.
func (m *Mem) Lock(name string) (unlock func() error, err error) {
	f, err := m.Open(name, Create, false)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key, life := path.Clean(name), m.life
	if m.locks[key] {
		m.close(f.(*memFile))
		return nil, fmt.Errorf("vfs: lock %s: %w", name, ErrLocked)
	}
	m.locks[key] = true
	return func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.life == life {
			delete(m.locks, key)
			m.close(f.(*memFile))
		}
		return nil
	}, nil
}

// Free is what SetCapacity leaves, or a lot without it.
func (m *Mem) Free(string) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.capacity == 0 {
		return 1 << 40, nil
	}
	return max(0, m.capacity-m.used), nil
}
