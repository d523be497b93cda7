package result

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ReadHost tells what this machine is, and what lies below dir. What cannot be found out stays
// empty: a report must not fail for it.
func ReadHost(dir string) Host {
	h := files{"/"}.host()
	h.Name, _ = os.Hostname()
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) == nil {
		h.Cores = set.Count()
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil && limit.Cur != unix.RLIM_INFINITY {
		h.OpenFiles = int64(min(limit.Cur, 1<<62))
	}
	h.Disk = readDisk(dir)
	return h
}

// files reads the kernel's files below a root.
type files struct{ root string }

// text is a file's content without white space around it; "" when there is none.
func (f files) text(name string) string {
	data, err := os.ReadFile(filepath.Join(f.root, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// field is what follows the name in the first line of a file that begins with it.
func (f files) field(file, name, separators string) string {
	for _, line := range strings.Split(f.text(file), "\n") {
		if rest, found := strings.CutPrefix(line, name); found {
			if value := strings.TrimLeft(rest, separators); value != rest {
				return strings.TrimSpace(value)
			}
		}
	}
	return ""
}

func (f files) host() Host {
	h := Host{
		CPU:      f.field("proc/cpuinfo", "model name", "\t: "),
		Cores:    strings.Count("\n"+f.text("proc/cpuinfo"), "\nprocessor\t"),
		Kernel:   f.text("proc/sys/kernel/osrelease"),
		System:   strings.Trim(f.field("etc/os-release", "PRETTY_NAME", "="), `"`),
		Governor: f.text("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
	}
	if h.System == "" {
		h.System = strings.Trim(f.field("usr/lib/os-release", "PRETTY_NAME", "="), `"`)
	}
	kib, _, _ := strings.Cut(f.field("proc/meminfo", "MemTotal", ": "), " ")
	if n, err := strconv.ParseInt(kib, 10, 53); err == nil {
		h.Memory = n << 10
	}
	flags := " " + f.field("proc/cpuinfo", "flags", "\t: ") + " "
	if strings.Contains(flags, " hypervisor ") {
		h.Hypervisor = strings.TrimSpace(f.text("sys/class/dmi/id/sys_vendor") + " " +
			f.text("sys/class/dmi/id/product_name"))
		if h.Hypervisor == "" {
			h.Hypervisor = "a virtual machine"
		}
	}
	h.CPULimit, h.MemLimit = f.cgroup()
	return h
}

// cgroup is the tightest limit on the way from this process's group to the root. Controllers of
// the first version have a hierarchy each, the second version has one for all.
func (f files) cgroup() (cpus float64, memory int64) {
	for _, line := range strings.Split(f.text("proc/self/cgroup"), "\n") {
		number, rest, _ := strings.Cut(line, ":")
		controllers, path, found := strings.Cut(rest, ":")
		if !found {
			continue
		}
		base, names := "sys/fs/cgroup", strings.Split(controllers, ",")
		switch {
		case number == "0":
		case slices.Contains(names, "cpu"), slices.Contains(names, "memory"):
			base = filepath.Join(base, controllers)
		default:
			continue
		}
		for dir := filepath.Clean("/" + path); ; dir = filepath.Dir(dir) {
			c, m := f.cgroupLimits(filepath.Join(base, dir))
			if c > 0 && (cpus == 0 || c < cpus) {
				cpus = c
			}
			if m > 0 && (memory == 0 || m < memory) {
				memory = m
			}
			if dir == "/" {
				break
			}
		}
	}
	return cpus, memory
}

// unlimited and more is what the first version says where there is no limit.
const unlimited = 1 << 60

// cgroupLimits are those of one group, in the files of either version; 0: none.
func (f files) cgroupLimits(dir string) (cpus float64, memory int64) {
	quota, period, _ := strings.Cut(f.text(filepath.Join(dir, "cpu.max")), " ")
	if quota == "" {
		quota = f.text(filepath.Join(dir, "cpu.cfs_quota_us"))
		period = f.text(filepath.Join(dir, "cpu.cfs_period_us"))
	}
	q, err1 := strconv.ParseFloat(quota, 64) // "max" is none, and so is -1
	p, err2 := strconv.ParseFloat(period, 64)
	if err1 == nil && err2 == nil && q > 0 && p > 0 {
		cpus = q / p
	}
	for _, name := range []string{"memory.max", "memory.limit_in_bytes"} {
		m, err := strconv.ParseInt(f.text(filepath.Join(dir, name)), 10, 64)
		if err == nil && m > 0 && m < unlimited {
			memory = m
		}
	}
	return cpus, memory
}

func readDisk(dir string) *Disk {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil
	}
	var st unix.Stat_t
	var fs unix.Statfs_t
	if unix.Stat(dir, &st) != nil || unix.Statfs(dir, &fs) != nil {
		return nil
	}
	d := files{"/"}.disk(dir, unix.Major(st.Dev), unix.Minor(st.Dev))
	d.Size = int64(fs.Blocks) * fs.Bsize
	d.Free = int64(fs.Bavail) * fs.Bsize
	return d
}

// disk finds the mount of a directory by its device, or by its path where the filesystem makes up
// devices of its own, and the block device below it.
func (f files) disk(dir string, major, minor uint32) *Disk {
	d := &Disk{Directory: dir}
	number := strconv.Itoa(int(major)) + ":" + strconv.Itoa(int(minor))
	longest := -1
	for _, line := range strings.Split(f.text("proc/self/mountinfo"), "\n") {
		head, tail, found := strings.Cut(line, " - ")
		a, b := strings.Fields(head), strings.Fields(tail)
		if !found || len(a) < 6 || len(b) < 2 {
			continue
		}
		mount := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\134`, `\`).Replace(a[4])
		inside := mount == "/" || dir == mount || strings.HasPrefix(dir, mount+"/")
		fit := len(mount)
		if a[2] == number {
			fit += 1 << 16
		}
		if inside && fit >= longest {
			longest = fit
			d.Filesystem, d.Device, d.Options = b[0], b[1], a[5]
			if a[2] != number {
				number = a[2]
			}
		}
	}
	f.device(d, number)
	return d
}

// device reads what the kernel tells of a block device, or of the disk that a partition is on.
func (f files) device(d *Disk, number string) {
	at := filepath.Join("sys/dev/block", number)
	path, err := filepath.EvalSymlinks(filepath.Join(f.root, at))
	if err != nil {
		return
	}
	if f.text(filepath.Join(at, "partition")) != "" {
		path = filepath.Dir(path)
	}
	block := files{path}
	if n := filepath.Base(path); d.Device == "" || d.Device == "/dev/root" {
		d.Device = "/dev/" + n
	}
	d.Rotational = block.text("queue/rotational") == "1"
	d.Cache = block.text("queue/write_cache")
	d.Model = block.text("device/model")
	for _, word := range strings.Fields(block.text("queue/scheduler")) {
		if in, chosen := strings.CutPrefix(word, "["); chosen {
			d.Scheduler = strings.TrimSuffix(in, "]")
		}
	}
}
