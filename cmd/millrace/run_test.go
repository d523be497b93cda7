package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"millrace/internal/cli"
	"millrace/internal/vfs"
)

// What goes wrong at start is told in words, with a way out and the right code.
func TestExplain(t *testing.T) {
	dir := t.TempDir()
	o, err := given("log.dirs=" + dir).options()
	if err != nil {
		t.Fatal(err)
	}
	r := &runner{options: o}
	for _, c := range []struct {
		err  error
		code int
		want string
	}{
		{fmt.Errorf("lock: %w", vfs.ErrLocked), cli.ExitFailed, dir + " is in use by another broker"},
		{fmt.Errorf("listener A: %w", syscall.EADDRINUSE), cli.ExitFailed, "Another program listens there"},
		{fmt.Errorf("listener A: %w", syscall.EADDRNOTAVAIL), cli.ExitFailed, "no such address"},
		{fmt.Errorf("listener A: %w", syscall.EACCES), cli.ExitFailed, "Ports below 1024"},
		{fmt.Errorf("listener A: %w", &net.DNSError{Name: "x"}), cli.ExitFailed, "--advertise"},
		{fmt.Errorf("mkdir: %w", syscall.EACCES), cli.ExitFailed, "writable for this user"},
		{fmt.Errorf("mkdir: %w", syscall.EROFS), cli.ExitFailed, "--data"},
		{fmt.Errorf("write: %w", syscall.ENOSPC), cli.ExitFailed, "full"},
		{fmt.Errorf("read: %w", syscall.EIO), cli.ExitDisk, "the disk failed"},
		{errors.New("something else"), cli.ExitFailed, "something else"},
	} {
		var e *cli.Error
		if err := r.explain(c.err); !errors.As(err, &e) || e.Code != c.code || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c.err, err)
		}
	}
}

func TestLockHolderIsThisProcess(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	if pid := lockHolder(name); pid != 0 {
		t.Errorf("a lock that is not there is held by %d", pid)
	}
	unlock, err := vfs.OS().Lock(name)
	if err != nil {
		t.Fatal(err)
	}
	if pid := lockHolder(name); pid != os.Getpid() {
		t.Errorf("held by %d, want %d", pid, os.Getpid())
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if pid := lockHolder(name); pid != 0 {
		t.Errorf("still held by %d", pid)
	}
}

func TestSignalsCloseTogetherAreOneWish(t *testing.T) {
	signals := make(chan os.Signal, 2)
	signals <- syscall.SIGINT
	close(signals)
	if sig := meantAgain(time.Now(), signals); sig != nil {
		t.Errorf("%v counts as a second wish", sig)
	}
	signals = make(chan os.Signal, 1)
	signals <- syscall.SIGTERM
	if sig := meantAgain(time.Now().Add(-time.Minute), signals); sig != syscall.SIGTERM {
		t.Errorf("%v", sig)
	}
}
