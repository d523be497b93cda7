package life

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"millrace/bench/kafka"
)

// Node is one broker with a data directory of its own.
type Node struct {
	Name string
	Note string
	Addr string
	Dir  string

	launch func(ctx context.Context, n *Node) error
	pid    int
	began  time.Time
	first  time.Duration // from then until it answered anything
	end    func(sig syscall.Signal) error
	done   <-chan struct{}
}

// Millrace is our broker with more arguments of serve.
func Millrace(binary, dir, name string, args ...string) *Node {
	n := &Node{Name: name, Dir: dir, Note: strings.Join(append([]string{"fsync"}, args...), " ")}
	n.launch = func(_ context.Context, n *Node) error {
		log, err := os.OpenFile(filepath.Join(dir, "broker.log"),
			os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		defer log.Close()
		n.Addr = fmt.Sprintf("127.0.0.1:%d", kafka.FreePort())
		cmd := exec.Command(binary, append([]string{"serve", "--data", filepath.Join(dir, "data"),
			"--listen", n.Addr, "--admin", "none"}, args...)...)
		cmd.Stdout, cmd.Stderr = log, log
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		n.began = time.Now()
		if err := cmd.Start(); err != nil {
			return err
		}
		done := make(chan struct{})
		go func() { _ = cmd.Wait(); close(done) }()
		n.pid, n.done = cmd.Process.Pid, done
		n.end = func(sig syscall.Signal) error { return cmd.Process.Signal(sig) }
		return nil
	}
	return n
}

// Kafka is a real Apache Kafka.
func Kafka(jars *kafka.Jars, dir, name string, extra map[string]string) *Node {
	n := &Node{Name: name, Dir: dir, Note: "Apache Kafka " + kafka.Version + ", page cache"}
	fresh := true
	n.launch = func(ctx context.Context, n *Node) error {
		o := kafka.Options{Dir: dir, Heap: "1g", Extra: extra, Wipe: fresh, Wait: patience}
		fresh = false
		n.began = time.Now()
		b, err := jars.Start(ctx, o)
		if err != nil {
			return err
		}
		n.Addr, n.pid = b.Addr, b.Pid()
		n.done = b.Done()
		n.end = func(sig syscall.Signal) error { return syscall.Kill(b.Pid(), sig) }
		return nil
	}
	return n
}

// patience bounds a start and a stop.
const patience = 10 * time.Minute

// Start makes the process and waits until probe succeeds. It returns how long that took.
func (n *Node) Start(ctx context.Context, probe Probe) (time.Duration, error) {
	if err := os.MkdirAll(n.Dir, 0o755); err != nil {
		return 0, err
	}
	if err := n.launch(ctx, n); err != nil {
		return 0, err
	}
	n.first = 0
	for {
		err := n.try(ctx, probe)
		took := time.Since(n.began)
		if err == nil {
			return took, nil
		}
		select {
		case <-n.done:
			return took, fmt.Errorf("life: %s ended at its start: %w\n%s", n.Name, err, n.Log(2000))
		case <-ctx.Done():
			return took, ctx.Err()
		case <-time.After(3 * time.Millisecond):
		}
		if took > patience {
			return took, fmt.Errorf("life: %s does not serve: %w\n%s", n.Name, err, n.Log(2000))
		}
	}
}

func (n *Node) try(ctx context.Context, probe Probe) error {
	if n.first == 0 {
		if err := Answers(ctx, n.Addr); err != nil {
			return err
		}
		n.first = time.Since(n.began)
	}
	return probe(ctx, n.Addr)
}

// Answered is how long the last start took until any request was answered.
func (n *Node) Answered() time.Duration { return n.first }

// Last is the word of the broker's log that begins with prefix, the last one.
func (n *Node) Last(prefix string) string {
	text := n.Log(4000)
	i := strings.LastIndex(text, prefix)
	if i < 0 {
		return ""
	}
	word, _, _ := strings.Cut(text[i:], " ")
	return word
}

// Kill ends it with kill -9.
func (n *Node) Kill() {
	if n.end == nil {
		return
	}
	_ = n.end(syscall.SIGKILL)
	<-n.done
}

// Stop ends it with SIGTERM and says how long that took.
func (n *Node) Stop() (time.Duration, error) {
	begin := time.Now()
	if err := n.end(syscall.SIGTERM); err != nil {
		return 0, err
	}
	select {
	case <-n.done:
		return time.Since(begin), nil
	case <-time.After(patience):
		n.Kill()
		return time.Since(begin), errors.New("life: " + n.Name + " does not stop")
	}
}

// Resident is the process's resident memory in bytes.
func (n *Node) Resident() int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.pid))
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmRSS:" {
			kb, _ := strconv.ParseInt(f[1], 10, 64)
			return kb << 10
		}
	}
	return 0
}

// Files is how many descriptors the process has open.
func (n *Node) Files() int {
	all, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.pid))
	return len(all)
}

// Pid is the process id.
func (n *Node) Pid() int { return n.pid }

// Log is the end of what the broker printed.
func (n *Node) Log(most int) string {
	for _, name := range []string{"broker.log", "kafka.log"} {
		if b, err := os.ReadFile(filepath.Join(n.Dir, name)); err == nil {
			return string(bytes.TrimSpace(b[max(len(b)-most, 0):]))
		}
	}
	return ""
}

// DiskBytes is what the data directory takes on disk.
func (n *Node) DiskBytes() (bytes int64) {
	_ = filepath.WalkDir(n.Dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				bytes += st.Blocks * 512
			}
		}
		return nil
	})
	return bytes
}
