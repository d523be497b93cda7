package doctor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// What is measured: flushes of one block as a group commit makes them, then large
// writes as segments make them. The file is written once before, so that flushes
// change no file metadata.
const (
	block      = 4096
	scratch    = 64 << 20
	piece      = 1 << 20
	maxFlushes = 500
	flushTime  = time.Second
	fileName   = ".millrace-doctor"

	goodFlush = 10 * time.Millisecond // p99
	goodSpeed = 50 << 20              // bytes per second
	wantSpace = 5 << 30
	needSpace = 1 << 30
)

// kinds of file systems by their magic number.
var kinds = map[int64]struct {
	name   string
	advice string // why not this one; "" is good
}{
	unix.EXT4_SUPER_MAGIC:      {"ext4", ""},
	unix.XFS_SUPER_MAGIC:       {"xfs", ""},
	unix.BTRFS_SUPER_MAGIC:     {"btrfs", "copy-on-write makes every flush dearer: use ext4 or xfs"},
	unix.TMPFS_MAGIC:           {"tmpfs", "memory: nothing survives a reboot. For tests only"},
	unix.OVERLAYFS_SUPER_MAGIC: {"overlay", "a container's own layer: mount a volume on ext4 or xfs"},
	unix.NFS_SUPER_MAGIC:       {"nfs", "flushes go over the network and locks are weak: use a local disk"},
	unix.FUSE_SUPER_MAGIC:      {"fuse", "what a flush means is up to the program behind it: use ext4 or xfs"},
	unix.V9FS_MAGIC:            {"9p", "what a flush means is up to the host: use ext4 or xfs"},
	0x2fc12fc1:                 {"zfs", "copy-on-write makes every flush dearer: use ext4 or xfs"},
}

// directory judges where the data shall be. A directory that does not exist yet is
// judged by its nearest parent, and nothing is left behind.
func directory(dir string, measure bool) []Check {
	at, err := nearest(dir)
	if err != nil {
		return []Check{{
			Name: "data directory", Verdict: Fail, Found: err.Error(), Advice: "choose another with --data",
		}}
	}
	found := at
	if at != filepath.Clean(dir) {
		found = dir + " (not there yet; judged by " + at + ")"
	}
	if err := unix.Access(at, unix.W_OK|unix.X_OK); err != nil {
		return []Check{{
			Name: "data directory", Verdict: Fail, Found: fmt.Sprintf("%s: %v", found, err),
			Advice: "make it writable for the broker's user, or choose another with --data",
		}}
	}
	out := []Check{{Name: "data directory", Verdict: OK, Found: found}}
	out = append(out, space(at)...)
	if measure {
		out = append(out, disk(at)...)
	}
	return out
}

func nearest(dir string) (string, error) {
	at := filepath.Clean(dir)
	for {
		info, err := os.Stat(at)
		if err == nil && !info.IsDir() {
			return "", fmt.Errorf("%s is not a directory", at)
		}
		if err == nil {
			return at, nil
		}
		if !errors.Is(err, os.ErrNotExist) || at == filepath.Dir(at) {
			return "", err
		}
		at = filepath.Dir(at)
	}
}

func space(at string) []Check {
	var s unix.Statfs_t
	if err := unix.Statfs(at, &s); err != nil {
		return []Check{{Name: "filesystem", Verdict: Warn, Found: err.Error(), Advice: "use ext4 or xfs"}}
	}
	kind, known := kinds[int64(s.Type)]
	if !known {
		kind.name, kind.advice = fmt.Sprintf("unknown (%#x)", s.Type), "ext4 and xfs are what is tested"
	}
	free, total := s.Bavail*uint64(s.Bsize), s.Blocks*uint64(s.Bsize)
	bad := Warn
	if free < needSpace {
		bad = Fail
	}
	return []Check{
		verdict("filesystem", kind.name, kind.advice == "", Warn, kind.advice),
		verdict("disk space", fmt.Sprintf("%s free of %s", size(free), size(total)), free >= wantSpace, bad,
			"the journal alone takes up to millrace.journal.max.bytes"),
	}
}

// disk measures with a scratch file.
func disk(at string) []Check {
	name := filepath.Join(at, fmt.Sprintf("%s-%d", fileName, os.Getpid()))
	const flags = unix.O_RDWR | unix.O_CREAT | unix.O_EXCL | unix.O_CLOEXEC
	direct := verdict("O_DIRECT", "works", true, Warn, "")
	fd, err := unix.Open(name, flags|unix.O_DIRECT, 0o600)
	if errors.Is(err, unix.EINVAL) {
		_ = unix.Unlink(name)
		direct = verdict("O_DIRECT", "not on this filesystem", false, Warn,
			"the page cache is used instead: correct, but dearer in CPU and memory")
		fd, err = unix.Open(name, flags, 0o600)
	}
	if err != nil {
		return []Check{{
			Name: "disk", Verdict: Fail, Found: fmt.Sprintf("%s: %v", name, err), Advice: "choose another with --data",
		}}
	}
	defer unix.Unlink(name)
	defer unix.Close(fd)
	mem, err := unix.Mmap(-1, 0, piece, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return []Check{direct, {Name: "disk", Verdict: Warn, Found: err.Error(), Advice: "not measured: no memory"}}
	}
	defer func() { _ = unix.Munmap(mem) }()
	speed, err := throughput(fd, mem)
	if err != nil {
		return []Check{direct, failedWrite(err)}
	}
	flushes, err := flushTimes(fd, mem[:block])
	if err != nil {
		return []Check{direct, failedWrite(err)}
	}
	return []Check{direct, judgeFlushes(flushes), judgeSpeed(speed)}
}

func failedWrite(err error) Check {
	advice := "this disk cannot hold a log"
	if errors.Is(err, unix.ENOSPC) {
		advice = "free some space"
	}
	return Check{Name: "disk", Verdict: Fail, Found: err.Error(), Advice: advice}
}

// throughput writes the whole file in large pieces, flushes, and gives bytes per second.
func throughput(fd int, mem []byte) (float64, error) {
	began := time.Now()
	for off := int64(0); off < scratch; off += piece {
		if n, err := unix.Pwrite(fd, mem, off); err != nil || n != piece {
			return 0, fmt.Errorf("write of %d bytes: %d written, %w", piece, n, err)
		}
	}
	if err := unix.Fdatasync(fd); err != nil {
		return 0, fmt.Errorf("fdatasync: %w", err)
	}
	return scratch / time.Since(began).Seconds(), nil
}

// flushTimes overwrites block after block, each one durable before the next.
func flushTimes(fd int, mem []byte) ([]time.Duration, error) {
	var out []time.Duration
	vec := [][]byte{mem}
	for began := time.Now(); len(out) < maxFlushes && time.Since(began) < flushTime; {
		t := time.Now()
		off := int64(len(out)) * block
		n, err := unix.Pwritev2(fd, vec, off, unix.RWF_DSYNC)
		if errors.Is(err, unix.EOPNOTSUPP) {
			if n, err = unix.Pwrite(fd, mem, off); err == nil {
				err = unix.Fdatasync(fd)
			}
		}
		if err != nil || n != len(mem) {
			return nil, fmt.Errorf("durable write of %d bytes: %d written, %w", len(mem), n, err)
		}
		out = append(out, time.Since(t))
	}
	slices.Sort(out)
	return out, nil
}

func judgeFlushes(sorted []time.Duration) Check {
	p50, p99 := sorted[len(sorted)/2], sorted[len(sorted)*99/100]
	found := fmt.Sprintf("p50 %v, p99 %v (4 KiB, durable, one at a time)", round(p50), round(p99))
	return verdict("disk flush", found, p99 <= goodFlush, Warn,
		"every acknowledgement waits for one: use an SSD, or --durability write where a power loss may cost data")
}

func judgeSpeed(speed float64) Check {
	return verdict("disk throughput", size(uint64(speed))+"/s (1 MiB writes)", speed >= goodSpeed, Warn,
		"the broker cannot take more than this")
}

func round(d time.Duration) time.Duration {
	if d > 10*time.Millisecond {
		return d.Round(time.Millisecond)
	}
	return d.Round(time.Microsecond)
}
