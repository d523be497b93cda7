package netio

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// probeChild makes the test binary a child that forbids itself something and then
// probes: "errno N" answers io_uring's system calls with N, as seccomp profiles do;
// "files" leaves no descriptor.
const probeChild = "NETIO_TEST_PROBE"

func TestMain(m *testing.M) {
	if how := os.Getenv(probeChild); how != "" {
		fmt.Println(probeForbidden(how))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func probeForbidden(how string) (bool, string) {
	if what, n, ok := strings.Cut(how, " "); ok && what == "errno" {
		errno, err := strconv.Atoi(n)
		if err == nil {
			err = forbidUring(uint32(errno))
		}
		if err != nil {
			return true, "no filter: " + err.Error()
		}
	} else {
		lim := unix.Rlimit{Cur: 5, Max: 5}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
			return true, err.Error()
		}
	}
	return Probe()
}

// forbidUring installs a filter on all threads that answers io_uring's calls with
// errno.
func forbidUring(errno uint32) error {
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	prog := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the call's number
		{Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, K: unix.SYS_IO_URING_SETUP, Jf: 2},
		{Code: unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K, K: unix.SYS_IO_URING_REGISTER, Jt: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0x00050000 | errno}, // SECCOMP_RET_ERRNO
		{Code: unix.BPF_RET | unix.BPF_K, K: 0x7fff0000},         // SECCOMP_RET_ALLOW
	}
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&fprog)))
	if e != 0 {
		return e
	}
	return nil
}

func TestProbeWhereForbidden(t *testing.T) {
	for how, want := range map[string]string{
		fmt.Sprintf("errno %d", unix.EPERM):  "seccomp",
		fmt.Sprintf("errno %d", unix.ENOSYS): "the kernel has none, or a seccomp profile hides it",
		fmt.Sprintf("errno %d", unix.ENOMEM): "locked memory",
		"files":                              "open files",
	} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), probeChild+"="+how)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", how, err, out)
		}
		if got := string(out); !strings.HasPrefix(got, "false ") || !strings.Contains(got, want) {
			t.Errorf("%s: %s", how, got)
		}
	}
}

func TestProbeSaysWhy(t *testing.T) {
	ok, why := Probe()
	t.Log(ok, why)
	if ok != uringWorks || why == "" {
		t.Fatalf("%v %q", ok, why)
	}
	if ring, err := NewUring(Options{}); ok != (err == nil) {
		t.Fatalf("probe says %v, NewUring %v", ok, err)
	} else if ok {
		_ = ring.Close()
	}
}

func TestProbeReleasesAll(t *testing.T) {
	before := openFiles(t)
	for range 20 {
		Probe()
	}
	if after := openFiles(t); after > before+4 { // a ring closes a little later
		t.Fatalf("%d descriptors before, %d after", before, after)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func TestOptionsAreChecked(t *testing.T) {
	for _, n := range []int{-1, 1, 3, 100, 1 << 20} {
		if _, err := NewUring(Options{Entries: n}); err == nil {
			t.Errorf("%d entries accepted", n)
		}
	}
}

// Every set of flags that openRing may fall back to makes a working ring.
func TestOlderSetups(t *testing.T) {
	if !uringWorks {
		t.Skip(uringWhy)
	}
	for i, flags := range setups {
		done := make(chan error)
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			got, err := tryUring(setups[i:])
			if err == nil && got != flags {
				err = fmt.Errorf("flags %#x instead of %#x", got, flags)
			}
			done <- err
		}()
		if err := <-done; err != nil {
			t.Errorf("flags %#x: %v", flags, err)
		}
	}
	// Flags that no kernel knows: the next ones are taken.
	k, err := openRing(8, []uint32{1 << 31, setups[1]})
	if err != nil {
		t.Fatal(err)
	}
	if k.flags != setupAlways|setups[1] {
		t.Errorf("flags %#x", k.flags)
	}
	k.close(false)
}

func TestKernelLayouts(t *testing.T) {
	var e sqe
	var c cqe
	var v Vec
	var m msghdr
	var w waitArg
	var km unix.Msghdr
	for name, got := range map[string][2]uintptr{
		"sizeof sqe":             {unsafe.Sizeof(e), 64},
		"sqe.flags":              {unsafe.Offsetof(e.Flags), 1},
		"sqe.ioprio":             {unsafe.Offsetof(e.IoPrio), 2},
		"sqe.fd":                 {unsafe.Offsetof(e.Fd), 4},
		"sqe.off":                {unsafe.Offsetof(e.Off), 8},
		"sqe.addr":               {unsafe.Offsetof(e.Addr), 16},
		"sqe.len":                {unsafe.Offsetof(e.Len), 24},
		"sqe.op_flags":           {unsafe.Offsetof(e.OpcodeFlags), 28},
		"sqe.user_data":          {unsafe.Offsetof(e.UserData), 32},
		"sqe.addr3":              {unsafe.Offsetof(e.Addr3), 48},
		"sizeof cqe":             {unsafe.Sizeof(c), 16},
		"cqe.res":                {unsafe.Offsetof(c.Res), 8},
		"cqe.flags":              {unsafe.Offsetof(c.Flags), 12},
		"sizeof iovec":           {unsafe.Sizeof(iovec{}), unsafe.Sizeof(unix.Iovec{})},
		"sizeof Vec":             {unsafe.Sizeof(v), unsafe.Sizeof(unix.Iovec{})},
		"Vec.Len":                {unsafe.Offsetof(v.Len), unsafe.Offsetof(unix.Iovec{}.Len)},
		"sizeof msghdr":          {unsafe.Sizeof(m), unsafe.Sizeof(km)},
		"msghdr.iov":             {unsafe.Offsetof(m.iov), unsafe.Offsetof(km.Iov)},
		"msghdr.iovlen":          {unsafe.Offsetof(m.iovlen), unsafe.Offsetof(km.Iovlen)},
		"msghdr.control":         {unsafe.Offsetof(m.control), unsafe.Offsetof(km.Control)},
		"msghdr.flags":           {unsafe.Offsetof(m.flags), unsafe.Offsetof(km.Flags)},
		"sizeof getevents_arg":   {unsafe.Sizeof(w), 24},
		"getevents_arg.min_wait": {unsafe.Offsetof(w.minWait), 12},
		"getevents_arg.ts":       {unsafe.Offsetof(w.ts), 16},
	} {
		if got[0] != got[1] {
			t.Errorf("%s is %d, the kernel's is %d", name, got[0], got[1])
		}
	}
	// Opcodes as the kernel numbers them.
	for name, got := range map[string][2]uint8{
		"nop": {codeNop, 0}, "writev": {codeWritev, 2}, "fsync": {codeSync, 3},
		"poll": {codePoll, 6}, "sendmsg": {codeSendmsg, 9}, "accept": {codeAccept, 13},
		"cancel": {codeCancel, 14}, "close": {codeClose, 19}, "read": {codeRead, 22},
		"write": {codeWrite, 23}, "send": {codeSend, 26}, "recv": {codeRecv, 27},
		"msg_ring": {codeMessage, 40},
	} {
		if got[0] != got[1] {
			t.Errorf("opcode %s is %d, the kernel's is %d", name, got[0], got[1])
		}
	}
}

func TestListen(t *testing.T) {
	for _, c := range []struct{ addr, prefix string }{
		{"127.0.0.1:0", "127.0.0.1:"}, {"[::1]:0", "[::1]:"}, {"localhost:0", ""}, {":0", ""},
		{"0.0.0.0:0", "0.0.0.0:"}, {"[::]:0", "[::]:"},
	} {
		fd, bound, err := Listen(c.addr, 8)
		if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL) {
			t.Logf("%s: %v", c.addr, err)
			continue // a host without IPv6
		}
		if err != nil {
			t.Fatalf("%s: %v", c.addr, err)
		}
		if !strings.HasPrefix(bound, c.prefix) || strings.HasSuffix(bound, ":0") {
			t.Errorf("%s: bound to %s", c.addr, bound)
		}
		_, port, _ := strings.Cut(bound[strings.LastIndex(bound, ":"):], ":")
		to := "127.0.0.1:" + port
		if c.addr == "[::1]:0" {
			to = bound
		}
		peer := dialPlain(t, to)
		if _, _, err := Listen(bound, 8); !errors.Is(err, unix.EADDRINUSE) {
			t.Errorf("%s twice: %v", bound, err)
		}
		_ = unix.Close(int(peer))
		_ = unix.Close(int(fd))
	}
	for _, addr := range []string{"", "nonsense", "127.0.0.1", "127.0.0.1:99999", "192.0.2.1:0",
		"[fe80::1%nosuch]:0"} {
		if fd, _, err := Listen(addr, 8); err == nil || fd != -1 {
			t.Errorf("%q: fd %d, %v", addr, fd, err)
		}
	}
}
