package vfs

import (
	"io/fs"
	"strings"
	"sync"
	"time"

	"millrace/internal/invariant"
)

// Call names a kind of call, for rules. They are bits: a rule may name several.
type Call uint32

const (
	CallOpen Call = 1 << iota
	CallRead
	CallWrite
	CallSync
	CallTruncate
	CallPreallocate
	CallClose
	CallMkdir
	CallRemove
	CallRename
	CallList
	CallStat
	CallSyncDir
	CallSyncFS
	CallLock
	CallFree
	CallAny Call = 1<<iota - 1
)

// Rule is one fault: which calls it hits, and what it does to them.
type Rule struct {
	Calls Call   // 0 = CallAny
	Name  string // part of the name; "" = every name
	Skip  int    // this many matching calls pass first
	Count int    // then this many are hit; 0 = all

	Err   error         // the call is not done and returns it
	Short bool          // a read or write does only its first half; with Err: and returns it
	Delay time.Duration // the call is done, or fails, this much later

	seen, hits int
}

// Faults is an FS that misbehaves by rule. A failed sync loses the bytes where the
// FS inside is Mem (I4).
type Faults struct {
	FS
	Sleep func(time.Duration) // what Delay calls; time.Sleep at first

	mu    sync.Mutex
	rules []*Rule
	names map[int32]string // of open files
}

// Faulty wraps inner. Every call is shown to the rules in order; the first that
// matches and is due acts.
func Faulty(inner FS, rules ...*Rule) *Faults {
	return &Faults{FS: inner, Sleep: time.Sleep, rules: rules, names: make(map[int32]string)}
}

// Add puts a rule behind the others, from now on.
func (f *Faults) Add(r *Rule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = append(f.rules, r)
}

// Clear takes all rules away.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = nil
}

// Hits is how often r has acted: a fault that did not bite proves nothing.
func (f *Faults) Hits(r *Rule) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return r.hits
}

// fault says what happens to one call.
func (f *Faults) fault(call Call, name string) (short bool, err error) {
	f.mu.Lock()
	var delay time.Duration
	for _, r := range f.rules {
		if r.Calls != 0 && r.Calls&call == 0 || !strings.Contains(name, r.Name) {
			continue
		}
		r.seen++
		if r.seen <= r.Skip || r.Count > 0 && r.hits >= r.Count {
			continue
		}
		r.hits++
		short, err, delay = r.Short, r.Err, r.Delay
		break
	}
	f.mu.Unlock()
	if delay > 0 {
		f.Sleep(delay)
	}
	return short, err
}

// do guards a call that is done or not.
func (f *Faults) do(call Call, what, name string, act func() error) error {
	if _, err := f.fault(call, name); err != nil {
		return pathError(what, name, err)
	}
	return act()
}

// Open and the calls below do what the FS inside does, or what a rule says.
func (f *Faults) Open(name string, mode Mode, direct bool) (File, error) {
	if _, err := f.fault(CallOpen, name); err != nil {
		return nil, pathError("open", name, err)
	}
	file, err := f.FS.Open(name, mode, direct)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.names[file.Fd()] = name
	f.mu.Unlock()
	return &faultyFile{File: file, f: f}, nil
}

func (f *Faults) MkdirAll(dir string) error {
	return f.do(CallMkdir, "mkdir", dir, func() error { return f.FS.MkdirAll(dir) })
}

func (f *Faults) Remove(name string) error {
	return f.do(CallRemove, "remove", name, func() error { return f.FS.Remove(name) })
}

func (f *Faults) RemoveAll(name string) error {
	return f.do(CallRemove, "remove", name, func() error { return f.FS.RemoveAll(name) })
}

func (f *Faults) Rename(from, to string) error {
	return f.do(CallRename, "rename", to, func() error { return f.FS.Rename(from, to) })
}

func (f *Faults) List(dir string) ([]string, error) {
	if _, err := f.fault(CallList, dir); err != nil {
		return nil, pathError("readdir", dir, err)
	}
	return f.FS.List(dir)
}

func (f *Faults) Stat(name string) (fs.FileInfo, error) {
	if _, err := f.fault(CallStat, name); err != nil {
		return nil, pathError("stat", name, err)
	}
	return f.FS.Stat(name)
}

func (f *Faults) SyncDir(dir string) error {
	return f.do(CallSyncDir, "sync directory", dir, func() error { return f.FS.SyncDir(dir) })
}

func (f *Faults) SyncFS(dir string) error {
	return f.do(CallSyncFS, "syncfs", dir, func() error { return f.FS.SyncFS(dir) })
}

func (f *Faults) ReadFile(name string) ([]byte, error) {
	short, err := f.fault(CallRead, name)
	if err != nil {
		return nil, pathError("read", name, err)
	}
	data, err := f.FS.ReadFile(name)
	if short {
		data = data[:len(data)/2]
	}
	return data, err
}

// WriteFile is made of the calls that it is made of, so that rules reach each.
func (f *Faults) WriteFile(name string, data []byte) error { return writeFile(f, name, data) }

func (f *Faults) Lock(name string) (func() error, error) {
	if _, err := f.fault(CallLock, name); err != nil {
		return nil, pathError("lock", name, err)
	}
	return f.FS.Lock(name)
}

func (f *Faults) Free(dir string) (int64, error) {
	if _, err := f.fault(CallFree, dir); err != nil {
		return 0, pathError("statfs", dir, err)
	}
	return f.FS.Free(dir)
}

// ReadFd, WriteFd and SyncFd serve the simulator's ring; the FS inside must be ByFd.
func (f *Faults) ReadFd(fd int32, p []byte, off int64) (int, error) {
	short, err := f.fault(CallRead, f.nameOf(fd))
	if err != nil {
		return 0, err
	}
	return f.byFd().ReadFd(fd, half(p, short), off)
}

func (f *Faults) WriteFd(fd int32, p []byte, off int64, dsync bool) (int, error) {
	short, err := f.fault(CallWrite, f.nameOf(fd))
	if err != nil && !short {
		return 0, err
	}
	n, writeErr := f.byFd().WriteFd(fd, half(p, short), off, dsync && err == nil)
	if err != nil {
		return 0, err
	}
	return n, writeErr
}

func (f *Faults) SyncFd(fd int32) error {
	if _, err := f.fault(CallSync, f.nameOf(fd)); err != nil {
		f.lose(fd)
		return err
	}
	return f.byFd().SyncFd(fd)
}

func (f *Faults) byFd() ByFd {
	inner, ok := f.FS.(ByFd)
	invariant.Checkf(ok, "vfs: %T has no files by number", f.FS)
	return inner
}

func (f *Faults) nameOf(fd int32) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.names[fd]
}

func (f *Faults) lose(fd int32) {
	if m, ok := f.FS.(*Mem); ok {
		_ = m.LoseFd(fd)
	}
}

// half is the first half of p in whole blocks, as a short transfer on a Direct file
// is; a single block cannot be cut.
func half(p []byte, yes bool) []byte {
	n := len(p) / 2 &^ (BlockSize - 1)
	if !yes || n == 0 {
		return p
	}
	return p[:n]
}

type faultyFile struct {
	File
	f *Faults
}

func (g *faultyFile) do(call Call, what string, act func() error) error {
	return g.f.do(call, what, g.Name(), act)
}

func (g *faultyFile) ReadAt(p []byte, off int64) (int, error) {
	_, err := g.f.fault(CallRead, g.Name())
	if err != nil {
		return 0, pathError("read", g.Name(), err)
	}
	return g.File.ReadAt(p, off)
}

// WriteAt is several pwrites to its caller: a short one shows only as the error of
// the next.
func (g *faultyFile) WriteAt(p []byte, off int64) (int, error) {
	short, err := g.f.fault(CallWrite, g.Name())
	if err == nil {
		return g.File.WriteAt(p, off)
	}
	n := 0
	if short {
		n, _ = g.File.WriteAt(half(p, true), off)
	}
	return n, pathError("write", g.Name(), err)
}

func (g *faultyFile) Truncate(size int64) error {
	return g.do(CallTruncate, "truncate", func() error { return g.File.Truncate(size) })
}

func (g *faultyFile) Preallocate(off, n int64) error {
	return g.do(CallPreallocate, "preallocate",
		func() error { return g.File.Preallocate(off, n) })
}

func (g *faultyFile) Sync() error {
	if _, err := g.f.fault(CallSync, g.Name()); err != nil {
		g.f.lose(g.Fd())
		return pathError("sync", g.Name(), err)
	}
	return g.File.Sync()
}

func (g *faultyFile) Close() error {
	g.f.mu.Lock()
	delete(g.f.names, g.Fd())
	g.f.mu.Unlock()
	return g.do(CallClose, "close", g.File.Close)
}

var (
	_ ByFd = (*Mem)(nil)
	_ ByFd = (*Faults)(nil)
)
