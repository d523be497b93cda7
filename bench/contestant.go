package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"millrace/bench/kafka"
	"millrace/bench/load"
)

// Contestant is one broker process under measurement.
type Contestant struct {
	Name string
	Note string // durability and heap or cores, for captions
	JVM  bool

	start func(ctx context.Context) error
	stop  func() error
	addr  string
	pid   int
	admin string // of Millrace, for its metrics
}

// Millrace is our broker with extra arguments.
func Millrace(binary, dir, name string, args ...string) *Contestant {
	c := &Contestant{Name: name, Note: strings.TrimSpace("fsync before every ack " +
		strings.Join(args, " "))}
	var cmd *exec.Cmd
	done := make(chan struct{})
	c.start = func(ctx context.Context) error {
		port, admin := kafka.FreePort(), kafka.FreePort()
		c.addr, c.admin = fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf("127.0.0.1:%d", admin)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		log, err := os.Create(filepath.Join(dir, "broker.log"))
		if err != nil {
			return err
		}
		defer log.Close()
		argv := append([]string{"serve", "--data", filepath.Join(dir, "data"), "--listen", c.addr,
			"--admin", c.admin}, args...)
		cmd = exec.Command(binary, argv...)
		cmd.Stdout, cmd.Stderr = log, log
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			return err
		}
		go func() { _ = cmd.Wait(); close(done) }()
		c.pid = cmd.Process.Pid
		if err := kafka.WaitPort(ctx, c.addr, done, 30*time.Second); err != nil {
			_ = cmd.Process.Kill()
			text, _ := os.ReadFile(log.Name())
			return fmt.Errorf("bench: millrace: %w\n%s", err, text)
		}
		return nil
	}
	c.stop = func() error {
		if cmd == nil || cmd.Process == nil {
			return nil
		}
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
			return nil
		case <-time.After(30 * time.Second):
			_ = cmd.Process.Kill()
			<-done
			return errors.New("bench: millrace did not stop within 30 s")
		}
	}
	return c
}

// Kafka is a real Apache Kafka with some settings beside its defaults.
func Kafka(jars *kafka.Jars, dir, name, note string, extra map[string]string) *Contestant {
	c := &Contestant{Name: name, Note: note, JVM: true}
	var b *kafka.Broker
	c.start = func(ctx context.Context) (err error) {
		b, err = jars.Start(ctx, kafka.Options{Dir: dir, Heap: "1g", Extra: extra, Wipe: true})
		if err == nil {
			c.addr, c.pid = b.Addr, b.Pid()
		}
		return err
	}
	c.stop = func() error {
		if b == nil {
			return nil
		}
		return b.Stop()
	}
	return c
}

// client runs one load with the loadgen binary as a process of its own.
type client struct{ binary string }

func (c client) run(ctx context.Context, on *Contestant, args ...string) (*load.Report, error) {
	r, err := load.Run(ctx, c.binary, on.addr, on.pid, args...)
	if err != nil {
		return nil, fmt.Errorf("bench: %s: %w", on.Name, err)
	}
	return r, nil
}

// journal is what Millrace says of its journal: bytes written since its start, and its size.
func (c *Contestant) journal() (written, size float64) {
	if c.admin == "" {
		return 0, 0
	}
	resp, err := http.Get("http://" + c.admin + "/metrics")
	if err != nil {
		return 0, 0
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		v, err := strconv.ParseFloat(value, 64)
		switch {
		case err != nil:
		case strings.HasPrefix(name, "millrace_journal_written_bytes_total"):
			written += v
		case strings.HasPrefix(name, "millrace_journal_limit_bytes"):
			size += v
		}
	}
	return written, size
}
