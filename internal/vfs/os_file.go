package vfs

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

// osFile is a bare descriptor: os.File would add a finalizer and the runtime's
// poller, and both are of no use to a descriptor that a ring works on.
type osFile struct {
	fd     int
	direct bool
	name   string
}

func (f *osFile) Fd() int32    { return int32(f.fd) }
func (f *osFile) Direct() bool { return f.direct }
func (f *osFile) Name() string { return f.name }

// ReadAt reads until p is full, the file ends (io.EOF) or an error.
func (f *osFile) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		n, err := unix.Pread(f.fd, p[done:], off+int64(done))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return done, pathError("read", f.name, err)
		}
		if n == 0 {
			return done, io.EOF
		}
		done += n
		if f.direct && n%BlockSize != 0 && done < len(p) {
			return done, io.EOF // the file's last, partial block
		}
	}
	return done, nil
}

// WriteAt writes all of p or returns an error.
func (f *osFile) WriteAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		n, err := unix.Pwrite(f.fd, p[done:], off+int64(done))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return done, pathError("write", f.name, err)
		}
		if n == 0 {
			return done, pathError("write", f.name, unix.EIO)
		}
		done += n
	}
	return done, nil
}

func (f *osFile) Size() (int64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
		return 0, pathError("stat", f.name, err)
	}
	return st.Size, nil
}

func (f *osFile) Truncate(size int64) error {
	for {
		err := unix.Ftruncate(f.fd, size)
		if !errors.Is(err, unix.EINTR) {
			return pathError("truncate", f.name, err)
		}
	}
}

// Preallocate makes [off, off+n) allocated; where the file system cannot, it writes
// zero bytes behind the present end.
func (f *osFile) Preallocate(off, n int64) error {
	for {
		err := unix.Fallocate(f.fd, 0, off, n)
		switch {
		case errors.Is(err, unix.EINTR): // a large one is easily hit by a signal
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return f.writeZeros(off + n)
		default:
			return pathError("preallocate", f.name, err)
		}
	}
}

func (f *osFile) writeZeros(end int64) error {
	size, err := f.Size()
	if err != nil || size >= end {
		return err
	}
	plain, err := OS().Open(f.name, ReadWrite, false) // any length, any memory
	if err != nil {
		return err
	}
	zeros := make([]byte, min(end-size, 1<<20))
	for at := size; at < end && err == nil; at += int64(len(zeros)) {
		_, err = plain.WriteAt(zeros[:min(end-at, int64(len(zeros)))], at)
	}
	if closeErr := plain.Close(); err == nil {
		err = closeErr
	}
	return err
}

// Sync is fdatasync: the bytes and the size. It is never retried.
func (f *osFile) Sync() error { return pathError("sync", f.name, unix.Fdatasync(f.fd)) }

func (f *osFile) Close() error {
	fd := f.fd
	f.fd = -1
	return pathError("close", f.name, unix.Close(fd))
}
