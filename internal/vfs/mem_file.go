package vfs

import (
	"io"
	"io/fs"
	"syscall"
	"unsafe"
)

// memFile is an open file of Mem.
type memFile struct {
	m        *Mem
	n        *node
	name     string
	fd       int32
	life     int
	direct   bool
	readOnly bool
	closed   bool
}

func (f *memFile) Fd() int32    { return f.fd }
func (f *memFile) Direct() bool { return f.direct }
func (f *memFile) Name() string { return f.name }

// enter locks the file system and says whether the file is alive (I5).
func (f *memFile) enter(op string) error {
	f.m.mu.Lock()
	if f.closed || f.life != f.m.life {
		return &fs.PathError{Op: op, Path: f.name, Err: fs.ErrClosed}
	}
	return f.m.call(op, f.name)
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	err := f.enter("read")
	defer f.m.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := f.read(p, off)
	if err == nil && n < len(p) {
		return n, io.EOF
	}
	return n, pathError("read", f.name, err)
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	err := f.enter("write")
	defer f.m.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := f.write(p, off)
	if err == nil && n < len(p) {
		err = syscall.ENOSPC // the second pwrite of a caller that goes on
	}
	return n, pathError("write", f.name, err)
}

func (f *memFile) read(p []byte, off int64) (int, error) {
	if !f.aligned(p, off) {
		return 0, syscall.EINVAL
	}
	return f.n.read(p, off), nil
}

func (f *memFile) write(p []byte, off int64) (int, error) {
	if f.readOnly {
		return 0, syscall.EBADF
	}
	if !f.aligned(p, off) {
		return 0, syscall.EINVAL
	}
	return f.m.write(&f.n.content, p, off)
}

func (f *memFile) aligned(p []byte, off int64) bool {
	if !f.direct || len(p) == 0 {
		return true
	}
	at := uintptr(unsafe.Pointer(unsafe.SliceData(p)))
	return at%blockSize == 0 && len(p)%blockSize == 0 && off%blockSize == 0
}

func (f *memFile) Size() (int64, error) {
	err := f.enter("stat")
	defer f.m.mu.Unlock()
	return f.n.size, err
}

func (f *memFile) Truncate(size int64) error {
	err := f.enter("truncate")
	defer f.m.mu.Unlock()
	if err == nil {
		f.m.truncate(&f.n.content, size)
	}
	return err
}

// Preallocate reserves space and extends the size; what was never written reads
// as zero bytes.
func (f *memFile) Preallocate(off, n int64) error {
	err := f.enter("preallocate")
	defer f.m.mu.Unlock()
	if err != nil {
		return err
	}
	if off < 0 || n <= 0 {
		return pathError("preallocate", f.name, syscall.EINVAL)
	}
	if !f.m.allocate(&f.n.content, off, n) {
		return pathError("preallocate", f.name, syscall.ENOSPC)
	}
	f.n.size = max(f.n.size, off+n)
	return nil
}

func (f *memFile) Sync() error {
	err := f.enter("sync")
	defer f.m.mu.Unlock()
	if err == nil && !f.m.lying {
		f.n.sync()
	}
	return err
}

func (f *memFile) Close() error {
	err := f.enter("close")
	defer f.m.mu.Unlock()
	if err == nil {
		f.m.close(f)
	}
	return err
}

func (m *Mem) close(f *memFile) {
	f.closed = true
	f.n.opens--
	m.files[f.fd-firstFd] = nil
	m.reclaim(f.n)
}

// reclaim counts a removed file's blocks as free once nobody has it open. Its bytes
// stay while a crash may yet bring it back.
func (m *Mem) reclaim(n *node) {
	if n.unlinked && n.opens == 0 {
		for i := range n.pages {
			if n.pages[i].allocated {
				n.pages[i].allocated = false
				m.used -= blockSize
			}
		}
	}
}

// at finds an open file by number.
func (m *Mem) at(fd int32) (*memFile, error) {
	i := int(fd) - firstFd
	if i < 0 || i >= len(m.files) || m.files[i] == nil {
		return nil, syscall.EBADF
	}
	if m.call("", "") != nil {
		return nil, syscall.EIO
	}
	return m.files[i], nil
}

// ReadFd is pread: it may return fewer bytes than asked for at the file's end.
func (m *Mem) ReadFd(fd int32, p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, err := m.at(fd)
	if err != nil {
		return 0, err
	}
	return f.read(p, off)
}

// WriteFd is pwritev2, with RWF_DSYNC if dsync.
func (m *Mem) WriteFd(fd int32, p []byte, off int64, dsync bool) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, err := m.at(fd)
	if err != nil {
		return 0, err
	}
	n, err := f.write(p, off)
	if dsync && n > 0 && !m.lying {
		f.n.syncRange(off, int64(n))
	}
	return n, err
}

// SyncFd is fdatasync.
func (m *Mem) SyncFd(fd int32) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, err := m.at(fd)
	if err == nil && !m.lying {
		f.n.sync()
	}
	return err
}

// LoseFd is what a failed fdatasync leaves behind (I4). Without O_DIRECT reads see the
// bytes in the page cache until the power goes, whatever is synced later. With it there
// is no such cache: the device may still have them, or has dropped them.
func (m *Mem) LoseFd(fd int32) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, err := m.at(fd)
	switch {
	case err != nil:
	case !f.direct:
		f.n.lose()
	case m.rng.IntN(2) == 0:
		f.n.drop()
	}
	return err
}
