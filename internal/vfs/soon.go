package vfs

import "errors"

// ErrLocked says that another process (or another user of this FS) holds the lock.
var ErrLocked = errors.New("vfs: locked by another process")

// OS is the real file system.
func OS() FS { panic("soon") }

// NewMem returns an empty file system in memory that can crash.
func NewMem(seed uint64) *Mem { panic("soon") }

// Mem is a file system in memory with a power switch.
type Mem struct{ FS }

// SetCapacity limits the bytes of all files; beyond it writes fail with ENOSPC.
func (m *Mem) SetCapacity(bytes int64) { panic("soon") }

// Crash is a power loss: see doc. All open files are dead afterwards.
func (m *Mem) Crash() { panic("soon") }

// Kill is the death of the process: what was written stays.
func (m *Mem) Kill() { panic("soon") }

// WriteFd, ReadFd and SyncFd serve the simulator's ring; errors are syscall.Errno.
func (m *Mem) WriteFd(fd int32, p []byte, off int64, dsync bool) (int, error) { panic("soon") }
func (m *Mem) ReadFd(fd int32, p []byte, off int64) (int, error)              { panic("soon") }
func (m *Mem) SyncFd(fd int32) error                                          { panic("soon") }

// Faulty wraps inner; every call is shown to the rules, the first that matches acts.
func Faulty(inner FS, rules ...*Rule) *Faults { panic("soon") }

// Faults is an FS that misbehaves by rule.
type Faults struct{ FS }

// Rule is one fault.
type Rule struct{}
