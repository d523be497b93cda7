package doctor

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"millrace/netio"

	"golang.org/x/sys/unix"
)

// The kernel that has what the io_uring engine uses (DEFER_TASKRUN came last).
const needMajor, needMinor = 6, 1

const (
	wantFiles   = 65536
	needFiles   = 1024
	wantLocked  = 64 << 20
	wantMemory  = 1 << 30
	needMemory  = 256 << 20
	wantBacklog = 1024
	maxSwap     = 10 // vm.swappiness
)

func thisHost() host {
	return host{
		release: func() string {
			var u unix.Utsname
			_ = unix.Uname(&u)
			return unix.ByteSliceToString(u.Release[:])
		},
		uring: netio.Probe,
		limit: func(resource int) (uint64, error) {
			var l unix.Rlimit
			err := unix.Getrlimit(resource, &l)
			return l.Cur, err
		},
		cpus: runtime.NumCPU(),
	}
}

func (h host) checks() []Check {
	out := []Check{h.kernel(), h.ioUring(), h.files(), h.locked(), h.processors(), h.memory()}
	return append(out, h.swap(), h.hugePages(), h.backlog(), h.clock())
}

// text is a small file of /proc or /sys, trimmed; "" when there is none.
func (h host) text(name string) string {
	b, err := os.ReadFile(filepath.Join("/", h.root, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// field is the value of "Name: value" in a file.
func (h host) field(name, key string) string {
	sc := bufio.NewScanner(bytes.NewReader([]byte(h.text(name))))
	for sc.Scan() {
		k, v, found := strings.Cut(sc.Text(), ":")
		if found && k == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func (h host) kernel() Check {
	r := h.release()
	major, minor := version(r)
	good := major > needMajor || major == needMajor && minor >= needMinor
	return verdict("kernel", r, good, Warn,
		fmt.Sprintf("the io_uring engine wants %d.%d or newer; the epoll engine is used instead", needMajor, needMinor))
}

func version(release string) (major, minor int) {
	parts := strings.FieldsFunc(release, func(r rune) bool { return r < '0' || r > '9' })
	if len(parts) > 1 {
		major, _ = strconv.Atoi(parts[0])
		minor, _ = strconv.Atoi(parts[1])
	}
	return major, minor
}

func (h host) ioUring() Check {
	works, why := h.uring()
	if works {
		return Check{Name: "io_uring", Verdict: OK, Found: "works"}
	}
	advice := "the epoll engine is used instead: correct, but dearer in CPU"
	switch {
	case h.text("proc/sys/kernel/io_uring_disabled") == "1":
		advice += "; sysctl kernel.io_uring_disabled=0, or join kernel.io_uring_group"
	case h.text("proc/sys/kernel/io_uring_disabled") == "2":
		advice += "; sysctl kernel.io_uring_disabled=0"
	case h.field("proc/self/status", "Seccomp") == "2":
		advice += "; a seccomp profile is active: container runtimes forbid io_uring by default, see docs/OPERATIONS.md"
	}
	return Check{Name: "io_uring", Verdict: Warn, Found: "not usable: " + why, Advice: advice}
}

func (h host) files() Check {
	n, err := h.limit(unix.RLIMIT_NOFILE)
	if err != nil {
		return Check{Name: "open files", Verdict: Warn, Found: err.Error(), Advice: "check ulimit -n"}
	}
	bad := Warn
	if n < needFiles {
		bad = Fail
	}
	return verdict("open files", fmt.Sprintf("limit %s", amount(n)), n >= wantFiles, bad,
		fmt.Sprintf("ulimit -n %d, or LimitNOFILE=%d in the systemd unit: connections and segments are descriptors",
			wantFiles, wantFiles))
}

func (h host) locked() Check {
	n, err := h.limit(unix.RLIMIT_MEMLOCK)
	if err != nil {
		return Check{Name: "locked memory", Verdict: Warn, Found: err.Error(), Advice: "check ulimit -l"}
	}
	major, minor := version(h.release())
	charged := major < 5 || major == 5 && minor < 12 // rings were charged to it before
	found := "limit " + size(n)
	if n == unix.RLIM_INFINITY {
		found = "unlimited"
	}
	return verdict("locked memory", found, n >= wantLocked || !charged, Warn,
		"ulimit -l unlimited, or LimitMEMLOCK=infinity: this kernel charges rings to it")
}

func (h host) processors() Check {
	found := fmt.Sprintf("%d", h.cpus)
	quota := h.quota()
	if quota > 0 {
		found += fmt.Sprintf(", cgroup quota %.1f", quota)
	}
	return verdict("processors", found, h.cpus >= 2 && (quota == 0 || quota >= 2), Warn,
		"two or more let the cores and the rest of the process run side by side")
}

// quota is the cgroup's processors, 0 without a limit.
func (h host) quota() float64 {
	var max, period float64
	if n, _ := fmt.Sscanf(h.text("sys/fs/cgroup/cpu.max"), "%f %f", &max, &period); n == 2 && period > 0 {
		return max / period
	}
	return 0
}

func (h host) memory() Check {
	free := kibibytes(h.field("proc/meminfo", "MemAvailable"))
	found := size(free) + " available"
	if limit, err := strconv.ParseUint(h.text("sys/fs/cgroup/memory.max"), 10, 64); err == nil {
		found += ", cgroup limit " + size(limit)
		used, _ := strconv.ParseUint(h.text("sys/fs/cgroup/memory.current"), 10, 64)
		free = min(free, limit-min(used, limit))
	}
	bad := Warn
	if free < needMemory {
		bad = Fail
	}
	return verdict("memory", found, free >= wantMemory, bad,
		"give the broker 1 GiB or more: readers behind the tail are served from memory while it lasts")
}

func (h host) swap() Check {
	total := kibibytes(h.field("proc/meminfo", "SwapTotal"))
	if total == 0 {
		return Check{Name: "swap", Verdict: OK, Found: "none"}
	}
	s := h.text("proc/sys/vm/swappiness")
	n, _ := strconv.Atoi(s)
	return verdict("swap", fmt.Sprintf("%s, swappiness %s", size(total), s), n <= maxSwap, Warn,
		"sysctl vm.swappiness=1: a broker that is swapped out stalls its clients")
}

func (h host) hugePages() Check {
	all := h.text("sys/kernel/mm/transparent_hugepage/enabled")
	set := all
	if _, rest, found := strings.Cut(all, "["); found {
		set, _, _ = strings.Cut(rest, "]")
	}
	if set == "" {
		set = "not there"
	}
	return verdict("transparent huge pages", set, set != "always", Warn,
		"echo madvise > /sys/kernel/mm/transparent_hugepage/enabled: 'always' inflates idle memory")
}

func (h host) backlog() Check {
	s := h.text("proc/sys/net/core/somaxconn")
	n, err := strconv.Atoi(s)
	if err != nil {
		return Check{Name: "somaxconn", Verdict: OK, Found: "not visible here"}
	}
	return verdict("somaxconn", s, n >= wantBacklog, Warn,
		fmt.Sprintf("sysctl net.core.somaxconn=%d: many clients that reconnect at once are refused", 4*wantBacklog))
}

func (h host) clock() Check {
	s := h.text("sys/devices/system/clocksource/clocksource0/current_clocksource")
	switch s {
	case "tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter", "":
		if s == "" {
			s = "not visible here"
		}
		return Check{Name: "clock source", Verdict: OK, Found: s}
	}
	return Check{
		Name: "clock source", Verdict: Warn, Found: s,
		Advice: "reading the time enters the kernel with this source; tsc does not",
	}
}

func kibibytes(s string) uint64 {
	n, _ := strconv.ParseUint(strings.TrimSuffix(s, " kB"), 10, 64)
	return n << 10
}

func amount(n uint64) string {
	if n == unix.RLIM_INFINITY {
		return "unlimited"
	}
	return strconv.FormatUint(n, 10)
}

func size(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	v, i := float64(n), 0
	for v >= 1024 && i < len(units)-1 {
		v /= 1024
		i++
	}
	return fmt.Sprintf("%.4g %s", v, units[i])
}
