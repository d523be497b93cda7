package kafkadir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// InUse says whether a Kafka has the directory: it locks .lock with fcntl, as Java does.
func InUse(dir string) (bool, error) {
	f, err := os.Open(filepath.Join(dir, ".lock"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("kafkadir: %w", err)
	}
	defer f.Close()
	l := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart}
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &l); err != nil {
		return false, fmt.Errorf("kafkadir: %s: %w", f.Name(), err)
	}
	return l.Type != syscall.F_UNLCK, nil
}
