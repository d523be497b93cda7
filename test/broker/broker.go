package broker

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// readyWait is how long a start may take on a busy machine before it counts as failed.
const readyWait = 60 * time.Second

var built struct {
	once sync.Once
	path string
	err  error
}

// Binary builds millrace once per test process and returns its path.
func Binary(t testing.TB) string {
	t.Helper()
	built.once.Do(func() {
		dir, err := os.MkdirTemp("", "millrace-bin")
		if err != nil {
			built.err = err
			return
		}
		built.path = filepath.Join(dir, "millrace")
		cmd := exec.Command("go", "build", "-ldflags=-checklinkname=0", "-o", built.path, "millrace/cmd/millrace")
		if out, err := cmd.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// Remove deletes what Binary built: for TestMain.
func Remove() {
	if built.path != "" {
		_ = os.RemoveAll(filepath.Dir(built.path))
	}
}

// Process is a running broker.
type Process struct {
	Addr  string // of the first listener
	Admin string
	Dir   string // data directory

	cmd  *exec.Cmd
	log  *logBuffer
	done chan struct{}
	err  error
}

// logBuffer keeps what the broker wrote and tells the ready line.
type logBuffer struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	ready chan string
}

func (l *logBuffer) read(r io.Reader) {
	sc := bufio.NewScanner(r)
	for sc.Scan() {
		l.mu.Lock()
		l.buf.WriteString(sc.Text() + "\n")
		l.mu.Unlock()
		if strings.HasPrefix(sc.Text(), "millrace ready:") {
			select {
			case l.ready <- sc.Text():
			default:
			}
		}
	}
}

var readyLine = regexp.MustCompile(`kafka ([^ ,]+).*admin ([^ ,]+)`)

// Start runs a broker on dir (a temporary one when empty) with more arguments of serve,
// and ends it with the test.
func Start(t testing.TB, dir string, args ...string) *Process {
	t.Helper()
	p, err := Try(t, dir, args...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Try is Start for brokers that may refuse; the error has the program's words.
func Try(t testing.TB, dir string, args ...string) (*Process, error) {
	t.Helper()
	if dir == "" {
		dir = t.TempDir()
	}
	argv := append([]string{"serve", "--data", dir, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, args...)
	p := &Process{Dir: dir, cmd: exec.Command(Binary(t), argv...), done: make(chan struct{})}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.log = &logBuffer{ready: make(chan string, 1)}
	r, w := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go p.log.read(r)
	go func() {
		p.err = p.cmd.Wait()
		_ = w.Close()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("broker's log:\n%s", p.Log())
		}
	})
	select {
	case line := <-p.log.ready:
		m := readyLine.FindStringSubmatch(line)
		if m == nil {
			return nil, fmt.Errorf("ready line not understood: %q", line)
		}
		p.Addr, p.Admin = m[1], m[2]
		return p, nil
	case <-p.done:
		return nil, fmt.Errorf("broker left: %v\n%s", p.err, p.Log())
	case <-time.After(readyWait):
		return nil, fmt.Errorf("broker not ready\n%s", p.Log())
	}
}

// Log is what the broker wrote so far.
func (p *Process) Log() string {
	p.log.mu.Lock()
	defer p.log.mu.Unlock()
	return p.log.buf.String()
}

// Pid is the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Signal sends a signal.
func (p *Process) Signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// Kill ends it with kill -9 and waits.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Stop ends it with SIGTERM and returns its exit code.
func (p *Process) Stop(t testing.TB) int {
	t.Helper()
	p.Signal(syscall.SIGTERM)
	return p.Wait(t)
}

// Wait waits for the end and returns the exit code, −1 for a signal.
func (p *Process) Wait(t testing.TB) int {
	t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(readyWait):
		t.Fatal("the broker does not end")
		return -1
	}
}

// Dial connects to the first listener.
func (p *Process) Dial(t testing.TB) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", p.Addr, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Resident is the process's resident memory in bytes.
func (p *Process) Resident(t testing.TB) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(text)
	if m == nil {
		t.Fatal("no VmRSS")
	}
	n, _ := strconv.ParseInt(string(m[1]), 10, 64)
	return n << 10
}

// CPU is the processor time the process has used.
func (p *Process) CPU(t testing.TB) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+2:]))
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100
}
