package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// machine is what loses power, fails or fills up: a filesystem on a loop device, on an
// image file or on a disk of ours over it, which has a volatile cache and fails when told.
type machine struct {
	kind  diskKind
	image string
	mount string // where the filesystem is
	under string // where our disk is

	disk   *volatileDisk // nil on a plain image
	fuse   *fuseDisk
	loop   string
	on     bool
	losses int64 // blocks lost in all cuts
}

// diskKind is which machine is wanted.
type diskKind struct {
	fs   string // ext4 or xfs
	ours bool   // a disk of ours below: with a volatile cache, and with faults
	size int64  // of the image, which is sparse
}

// What a round of a fault writes, and room for journals.
const (
	imageBase     = 1 << 30
	imagePerRound = 24 << 20
)

// makers are the programs that make a filesystem, and the Debian packages they are in.
var makers = map[string]struct {
	program, pack, mount string
	args                 []string
}{
	// Everything is laid out now: a lazy thread would write in the background later. No
	// blocks are kept for root, who we are: full is full.
	"ext4": {"mkfs.ext4", "e2fsprogs", "errors=remount-ro", []string{"-q", "-F", "-m", "0", "-J", "size=16",
		"-E", "lazy_itable_init=0,lazy_journal_init=0"}},
	"xfs": {"mkfs.xfs", "xfsprogs", "", []string{"-q", "-f"}},
}

// newMachine makes a filesystem. It needs root, loop devices, mkfs, and /dev/fuse if
// the disk is to be ours; errSkipped says what is missing.
func newMachine(ctx context.Context, dir string, kind diskKind) (*machine, error) {
	m := &machine{kind: kind, image: filepath.Join(dir, kind.fs+".img"),
		mount: filepath.Join(dir, kind.fs), under: filepath.Join(dir, "under-"+kind.fs)}
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("%w: mounting needs root", errSkipped)
	}
	needs := []string{"/dev/loop-control"}
	if kind.ours {
		needs = append(needs, "/dev/fuse")
	}
	for _, path := range needs {
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("%w: no %s", errSkipped, path)
		}
	}
	maker := makers[kind.fs]
	mkfs, err := exec.LookPath(maker.program)
	if err != nil {
		return nil, fmt.Errorf("%w: no %s (Debian: %s)", errSkipped, maker.program, maker.pack)
	}
	if err := os.WriteFile(m.image, nil, 0o600); err != nil {
		return nil, err
	}
	if err := os.Truncate(m.image, kind.size); err != nil {
		return nil, err
	}
	args := append(slices.Clone(maker.args), m.image)
	if out, err := exec.CommandContext(ctx, mkfs, args...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("chaos: %s: %w\n%s", maker.program, err, out)
	}
	return m, os.MkdirAll(m.mount, 0o755)
}

// powerOn makes the filesystem be there again; it replays its own journal.
func (m *machine) powerOn() error {
	file := m.image
	m.on = true
	if m.kind.ours {
		var err error
		if m.disk, err = openVolatileDisk(m.image); err != nil {
			return err
		}
		if m.fuse, err = serveFuse(m.disk, m.under); err != nil {
			m.disk.close()
			m.disk = nil
			return fmt.Errorf("%w: %w", errSkipped, err)
		}
		file = m.fuse.path()
	}
	device, keep, err := attachLoop(file)
	if err != nil {
		return fmt.Errorf("%w: loop device: %w", errSkipped, err)
	}
	m.loop = device
	err = unix.Mount(device, m.mount, m.kind.fs, unix.MS_NOATIME, makers[m.kind.fs].mount)
	_ = unix.Close(keep) // the mount holds the device now; it goes with the mount
	if errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("%w: the kernel has no %s", errSkipped, m.kind.fs)
	}
	if err != nil {
		return fmt.Errorf("chaos: mount %s: %w", device, err)
	}
	return nil
}

// The filesystem's shutdown request (EXT4_IOC_SHUTDOWN, the same number as XFS_IOC_GOINGDOWN), and
// its way without a flush of the filesystem's journal.
const (
	fsIOCShutdown = 0x8004587d
	noLogFlush    = 2
)

// shutdown makes the filesystem refuse all further I/O and forget what it has not
// written to the device.
func (m *machine) shutdown() error {
	dir, err := unix.Open(m.mount, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EIO) {
		return nil // xfs did so itself when the disk failed
	}
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	if err := unix.IoctlSetPointerInt(dir, fsIOCShutdown, noLogFlush); err != nil {
		return fmt.Errorf("chaos: shutdown of the filesystem: %w", err)
	}
	return nil
}

// powerOff is the moment of the loss. The disk may die before the filesystem knows, or
// the filesystem end first. It gives how many blocks the disk's cache lost.
func (m *machine) powerOff(r *rand.Rand) (lost int, err error) {
	diskFirst, some := r.IntN(2) == 0, r
	if r.IntN(2) == 0 {
		some = nil
	}
	if m.disk != nil {
		m.disk.await(1+r.IntN(64), 20*time.Millisecond)
		m.disk.await(1, 50*time.Millisecond)
	}
	if m.disk != nil && diskFirst {
		if lost, err = m.disk.powerOff(some); err != nil {
			return lost, err
		}
		time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
	}
	if err := m.shutdown(); err != nil {
		return lost, err
	}
	if m.disk != nil && !diskFirst {
		if lost, err = m.disk.powerOff(some); err != nil {
			return lost, err
		}
	}
	m.losses += int64(lost)
	return lost, nil
}

// clear takes everything away, so that powerOn can begin anew. No process may be left
// in the filesystem.
func (m *machine) clear() error {
	if !m.on {
		return nil
	}
	m.on = false
	err := unmount(m.mount)
	if m.loop != "" {
		err = errors.Join(err, waitDetached(m.loop))
		m.loop = ""
	}
	if m.fuse != nil {
		m.fuse.close()
		m.fuse = nil
	}
	if m.disk != nil {
		m.disk.close()
		m.disk = nil
	}
	return err
}
