package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// machine is what loses power: an ext4 filesystem on a loop device, on an image file or
// on a disk with a volatile cache over it.
type machine struct {
	image    string
	mount    string // where the filesystem is
	under    string // where the volatile disk is
	volatile bool

	disk   *volatileDisk // nil on a plain image
	fuse   *fuseDisk
	loop   string
	on     bool
	losses int64 // blocks lost in all cuts
}

// The image is sparse: what a round writes, and room for journals.
const (
	imageBase     = 1 << 30
	imagePerRound = 24 << 20
)

// newMachine makes a filesystem. It needs root, loop devices, mkfs.ext4, and /dev/fuse
// if the disk is to be volatile; errSkipped says what is missing.
func newMachine(ctx context.Context, dir string, volatile bool, rounds int) (*machine, error) {
	m := &machine{image: filepath.Join(dir, "disk.img"), mount: filepath.Join(dir, "fs"),
		under: filepath.Join(dir, "under"), volatile: volatile}
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("%w: mounting needs root", errSkipped)
	}
	needs := []string{"/dev/loop-control"}
	if volatile {
		needs = append(needs, "/dev/fuse")
	}
	for _, path := range needs {
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("%w: no %s", errSkipped, path)
		}
	}
	mkfs, err := exec.LookPath("mkfs.ext4")
	if err != nil {
		return nil, fmt.Errorf("%w: no mkfs.ext4 (Debian: e2fsprogs)", errSkipped)
	}
	if err := os.WriteFile(m.image, nil, 0o600); err != nil {
		return nil, err
	}
	if err := os.Truncate(m.image, imageBase+int64(rounds)*imagePerRound); err != nil {
		return nil, err
	}
	// Everything is laid out now: a lazy thread would write in the background later.
	out, err := exec.CommandContext(ctx, mkfs, "-q", "-F", "-J", "size=16", "-E",
		"lazy_itable_init=0,lazy_journal_init=0", m.image).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("chaos: mkfs.ext4: %w\n%s", err, out)
	}
	return m, os.MkdirAll(m.mount, 0o755)
}

// powerOn makes the filesystem be there again; ext4 replays its own journal.
func (m *machine) powerOn() error {
	file := m.image
	m.on = true
	if m.volatile {
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
	err = unix.Mount(device, m.mount, "ext4", unix.MS_NOATIME, "errors=remount-ro")
	_ = unix.Close(keep) // the mount holds the device now; it goes with the mount
	if err != nil {
		return fmt.Errorf("chaos: mount %s: %w", device, err)
	}
	return nil
}

// attachLoop gives a loop device that detaches itself with its last user, and a handle
// that keeps it until then.
//
// The files are opened without package os: that one asks the kernel to poll them, in a
// call that the Go scheduler takes for short; a file of our own FUSE would block it, and
// with it the goroutine that has to answer.
func attachLoop(file string) (device string, keep int, err error) {
	backing, err := unix.Open(file, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", 0, err
	}
	defer unix.Close(backing)
	control, err := unix.Open("/dev/loop-control", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", 0, err
	}
	defer unix.Close(control)
	for range 20 {
		number, err := unix.IoctlRetInt(control, unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return "", 0, err
		}
		device = fmt.Sprintf("/dev/loop%d", number)
		keep, err = unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return "", 0, err
		}
		err = unix.IoctlLoopConfigure(keep, &unix.LoopConfig{
			Fd: uint32(backing), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR},
		})
		if err == nil {
			return device, keep, nil
		}
		_ = unix.Close(keep)
		if !errors.Is(err, unix.EBUSY) { // somebody else was quicker
			return "", 0, err
		}
	}
	return "", 0, errors.New("all taken")
}

// The filesystem's shutdown request (EXT4_IOC_SHUTDOWN, the same number as xfs's), and
// its way without a flush of the filesystem's journal.
const (
	fsIOCShutdown = 0x8004587d
	noLogFlush    = 2
)

// shutdown makes the filesystem refuse all further I/O and forget what it has not
// written to the device.
func (m *machine) shutdown() error {
	dir, err := unix.Open(m.mount, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
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

// unmount waits for a filesystem to be free; at last it is taken away regardless.
func unmount(dir string) error {
	for range 200 {
		switch err := unix.Unmount(dir, 0); {
		case err == nil, errors.Is(err, unix.EINVAL): // EINVAL: nothing is mounted there
			return nil
		case !errors.Is(err, unix.EBUSY):
			return fmt.Errorf("chaos: umount %s: %w", dir, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return errors.Join(fmt.Errorf("chaos: %s stayed busy", dir), unix.Unmount(dir, unix.MNT_DETACH))
}

// waitDetached waits until the device has let go of its file: the same image on two
// devices would be a disaster.
func waitDetached(device string) error {
	backing := filepath.Join("/sys/block", filepath.Base(device), "loop", "backing_file")
	for range 500 {
		name, err := os.ReadFile(backing)
		if err != nil || !strings.Contains(string(name), scratchPrefix) {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("chaos: %s does not let go of its file", device)
}
