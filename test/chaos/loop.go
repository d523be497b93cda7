package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

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
