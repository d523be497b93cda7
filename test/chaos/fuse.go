package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// fuseDisk shows a volatileDisk as one file, so that a loop device can stand on it:
// the loop device turns a flush request into an fsync of the file, which arrives here.
// It speaks the kernel's FUSE protocol, of which one file needs little.
type fuseDisk struct {
	disk  *volatileDisk
	dir   string
	fd    int
	done  chan struct{}
	reply []byte
}

// Requests of the kernel that are answered, by number (include/uapi/linux/fuse.h).
const (
	fuseLookup      = 1
	fuseForget      = 2
	fuseGetattr     = 3
	fuseSetattr     = 4
	fuseOpen        = 14
	fuseRead        = 15
	fuseWrite       = 16
	fuseStatfs      = 17
	fuseRelease     = 18
	fuseFsync       = 20
	fuseFlush       = 25
	fuseInit        = 26
	fuseInterrupt   = 36
	fuseDestroy     = 38
	fuseBatchForget = 42
)

const (
	fuseHeaderIn  = 40
	fuseHeaderOut = 16
	fuseMaxWrite  = 1 << 20
	fuseRootNode  = 1
	fuseFileNode  = 2
	fuseFileName  = "disk"
)

// serveFuse mounts a directory in which the disk is a file, and serves it.
func serveFuse(disk *volatileDisk, dir string) (*fuseDisk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("chaos: /dev/fuse: %w", err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)
	if err := unix.Mount("millrace-chaos", dir, "fuse", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("chaos: mount fuse: %w", err)
	}
	f := &fuseDisk{disk: disk, dir: dir, fd: fd, done: make(chan struct{}),
		reply: make([]byte, fuseHeaderOut+fuseMaxWrite)}
	go f.serve()
	return f, nil
}

func (f *fuseDisk) path() string { return filepath.Join(f.dir, fuseFileName) }

func (f *fuseDisk) close() {
	_ = unix.Unmount(f.dir, unix.MNT_DETACH)
	<-f.done
	_ = unix.Close(f.fd)
}

// serve answers requests one by one until the mount is gone.
func (f *fuseDisk) serve() {
	defer close(f.done)
	in := make([]byte, fuseHeaderIn+fuseMaxWrite+4096)
	for {
		n, err := unix.Read(f.fd, in)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ENOENT), errors.Is(err, unix.EAGAIN):
			continue
		case err != nil || n < fuseHeaderIn:
			return // ENODEV: unmounted
		}
		le := binary.LittleEndian
		opcode, unique, node := le.Uint32(in[4:]), le.Uint64(in[8:]), le.Uint64(in[16:])
		if opcode == fuseForget || opcode == fuseBatchForget || opcode == fuseInterrupt {
			continue // these have no answer
		}
		size, errno := f.answer(opcode, node, in[fuseHeaderIn:n], f.reply[fuseHeaderOut:])
		if errno != 0 {
			size = 0
		}
		le.PutUint32(f.reply[0:], uint32(fuseHeaderOut+size))
		le.PutUint32(f.reply[4:], uint32(-int32(errno)))
		le.PutUint64(f.reply[8:], unique)
		_, _ = unix.Write(f.fd, f.reply[:fuseHeaderOut+size])
	}
}

// answer writes the body of an answer to out and gives its length.
func (f *fuseDisk) answer(opcode uint32, node uint64, in, out []byte) (int, unix.Errno) {
	le := binary.LittleEndian
	switch opcode {
	case fuseInit:
		clear(out[:64])
		le.PutUint32(out[0:], 7)
		le.PutUint32(out[4:], min(le.Uint32(in[4:]), 36))
		le.PutUint32(out[8:], 0)                // no read ahead
		le.PutUint32(out[12:], 1<<0|1<<5|1<<22) // async read, big writes, max pages
		le.PutUint16(out[16:], 64)              // background requests
		le.PutUint16(out[18:], 48)
		le.PutUint32(out[20:], fuseMaxWrite)
		le.PutUint32(out[24:], 1)
		le.PutUint16(out[28:], fuseMaxWrite/4096)
		return 64, 0
	case fuseLookup:
		if node != fuseRootNode || string(in) != fuseFileName+"\x00" {
			return 0, unix.ENOENT
		}
		clear(out[:40])
		le.PutUint64(out[0:], fuseFileNode)
		le.PutUint64(out[16:], 3600) // valid for
		le.PutUint64(out[24:], 3600)
		f.attributes(fuseFileNode, out[40:])
		return 128, 0
	case fuseGetattr, fuseSetattr:
		clear(out[:16])
		le.PutUint64(out[0:], 3600)
		f.attributes(node, out[16:])
		return 104, 0
	case fuseOpen:
		clear(out[:16])
		le.PutUint32(out[8:], 1) // FOPEN_DIRECT_IO: no second cache above this one
		return 16, 0
	case fuseRead:
		n, errno := f.disk.read(out[:min(int(le.Uint32(in[16:])), fuseMaxWrite)], int64(le.Uint64(in[8:])))
		return n, errno
	case fuseWrite:
		data := in[40:][:le.Uint32(in[16:])]
		clear(out[:8])
		le.PutUint32(out, uint32(len(data)))
		return 8, f.disk.write(data, int64(le.Uint64(in[8:])))
	case fuseFsync:
		return 0, f.disk.flush()
	case fuseRelease, fuseDestroy:
		return 0, 0
	case fuseFlush:
		// Asked when a file is closed. After this answer the kernel asks no more: a close
		// by our own process, dying, would wait for itself.
		return 0, unix.ENOSYS
	case fuseStatfs:
		clear(out[:80])
		return 80, 0
	}
	return 0, unix.ENOSYS
}

// attributes writes a struct fuse_attr.
func (f *fuseDisk) attributes(node uint64, out []byte) {
	le := binary.LittleEndian
	clear(out[:88])
	le.PutUint64(out[0:], node)
	mode, size := uint32(unix.S_IFDIR|0o700), int64(0)
	if node == fuseFileNode {
		mode, size = unix.S_IFREG|0o600, f.disk.size
	}
	le.PutUint64(out[8:], uint64(size))
	le.PutUint64(out[16:], uint64(size)/512)
	le.PutUint32(out[60:], mode)
	le.PutUint32(out[64:], 1)
	le.PutUint32(out[80:], 4096)
}
