package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"syscall"

	"golang.org/x/sys/unix"

	"millrace/internal/mutant"
)

// OS is the real file system.
func OS() FS { return osFS{} }

type osFS struct{}

const (
	fileMode = 0o640
	dirMode  = 0o750
)

// Open opens a file; see FS.
func (osFS) Open(name string, mode Mode, direct bool) (File, error) {
	flags := unix.O_CLOEXEC
	switch mode {
	case ReadOnly:
		flags |= unix.O_RDONLY
	case ReadWrite:
		flags |= unix.O_RDWR
	case Create:
		flags |= unix.O_RDWR | unix.O_CREAT
	}
	if direct {
		fd, err := openFd(name, flags|unix.O_DIRECT)
		if err == nil {
			if directFits(fd) {
				return &osFile{fd: fd, name: name, direct: true}, nil
			}
			_ = unix.Close(fd)
		} else if !errors.Is(err, unix.EINVAL) {
			return nil, pathError("open", name, err)
		}
	}
	fd, err := openFd(name, flags)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	return &osFile{fd: fd, name: name}, nil
}

func openFd(name string, flags int) (int, error) {
	for {
		fd, err := unix.Open(name, flags, fileMode)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// directFits says whether transfers in BlockSize suit the file. Some file systems
// take O_DIRECT at open and refuse it at the first write.
func directFits(fd int) bool {
	var st unix.Statx_t
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_DIOALIGN, &st)
	if err != nil || st.Mask&unix.STATX_DIOALIGN == 0 {
		return true // an older kernel cannot say: the first write will
	}
	fits := func(align uint32) bool { return align != 0 && BlockSize%align == 0 }
	return fits(st.Dio_mem_align) && fits(st.Dio_offset_align)
}

// MkdirAll makes dir and its parents. The caller syncs the parents.
func (osFS) MkdirAll(dir string) error { return os.MkdirAll(dir, dirMode) }

// Remove removes a file or an empty directory.
func (osFS) Remove(name string) error { return os.Remove(name) }

// RemoveAll removes name and what is below it; absent is no error.
func (osFS) RemoveAll(name string) error { return os.RemoveAll(name) }

// Rename replaces to by from.
func (osFS) Rename(from, to string) error { return os.Rename(from, to) }

// List returns the names in dir, sorted.
func (osFS) List(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	names, err := f.Readdirnames(-1)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	sort.Strings(names)
	return names, err
}

// Stat describes a file or a directory.
func (osFS) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

// SyncDir makes creates, removes and renames in dir durable.
func (osFS) SyncDir(dir string) error {
	return withDir(dir, "sync directory", unix.Fsync)
}

// SyncFS makes everything on dir's file system durable.
func (osFS) SyncFS(dir string) error { return withDir(dir, "syncfs", unix.Syncfs) }

func withDir(dir, what string, f func(fd int) error) error {
	fd, err := openFd(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC)
	if err != nil {
		return pathError("open", dir, err)
	}
	err = f(fd)
	if closeErr := unix.Close(fd); err == nil {
		err = closeErr
	}
	return pathError(what, dir, err)
}

// ReadFile reads a whole file.
func (osFS) ReadFile(name string) ([]byte, error) { return os.ReadFile(name) }

// WriteFile replaces name atomically and durably.
func (o osFS) WriteFile(name string, data []byte) error { return writeFile(o, name, data) }

// writeFile is the dance that every FS does for WriteFile. Two writers of one name
// at once are not provided for.
func writeFile(f FS, name string, data []byte) error {
	temp := name + ".tmp"
	if err := f.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := f.Open(temp, Create, false)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(data, 0)
	if err == nil {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = f.Rename(temp, name)
	}
	if err != nil {
		_ = f.Remove(temp)
		return err
	}
	if mutant.SkipRenameSync {
		return nil
	}
	return f.SyncDir(filepath.Dir(name))
}

// Lock takes an exclusive flock on name, which is created if absent.
func (osFS) Lock(name string) (unlock func() error, err error) {
	fd, err := openFd(name, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	if err != nil {
		_ = unix.Close(fd)
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("vfs: lock %s: %w", name, ErrLocked)
		}
		return nil, pathError("lock", name, err)
	}
	return func() error { return pathError("unlock", name, unix.Close(fd)) }, nil
}

// Free is the space left to this user.
func (osFS) Free(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, pathError("statfs", dir, err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

func pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		err = errno
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}
