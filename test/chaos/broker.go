package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// life is how a broker is started this time.
type life struct {
	io    string
	cores int
}

func (l life) String() string { return fmt.Sprintf("%s, %d cores", l.io, l.cores) }

// broker is the program under test. Its address and data stay the same over its lives.
type broker struct {
	bin        string
	data       string
	durability string
	settings   []string // NAME=VALUE
	env        []string
	addr       string
	admin      string
	logPath    string

	cmd    *exec.Cmd
	done   chan struct{} // closed when the process is gone
	lives  int
	last   life            // how it was started last
	starts []time.Duration // from exec to ready
}

// readyWithin bounds a start: recovery of a full journal included.
const readyWithin = 30 * time.Second

func newBroker(bin, dir, durability string, settings ...string) (*broker, error) {
	b := &broker{bin: bin, data: filepath.Join(dir, "data"), durability: durability,
		settings: settings, logPath: filepath.Join(dir, "broker.log")}
	for _, addr := range []*string{&b.addr, &b.admin} {
		free, err := freeAddress()
		if err != nil {
			return nil, err
		}
		*addr = free
	}
	return b, nil
}

// freeAddress finds a port outside of the range that the kernel gives to clients: there,
// a client that dials a broker that is down may be given its very port, and so meet
// itself and keep the broker from coming back.
func freeAddress() (string, error) {
	low, high := 10000, 30000
	var first, last int
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		if n, _ := fmt.Sscan(string(text), &first, &last); n == 2 && first < high {
			low, high = min(2000, first/2), first
			if 65535-last > first {
				low, high = last+1, 65536
			}
		}
	}
	for range 200 {
		addr := fmt.Sprintf("127.0.0.1:%d", low+rand.IntN(high-low))
		l, err := net.Listen("tcp", addr)
		if err == nil {
			return addr, l.Close()
		}
	}
	return "", errors.New("chaos: no free port")
}

var errNoStart = errors.New("chaos: the broker did not start")

// start runs the broker and returns when it says that it is ready.
func (b *broker) start(ctx context.Context, l life) error {
	log, err := os.OpenFile(b.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	b.lives++
	b.last = l
	fmt.Fprintf(log, "--- life %d: %s\n", b.lives, l)
	args := []string{"serve", "--data", b.data, "--listen", b.addr, "--admin", b.admin,
		"--io", l.io, "--cores", fmt.Sprint(l.cores), "--durability", b.durability}
	for _, s := range b.settings {
		args = append(args, "--set", s)
	}
	b.cmd = exec.Command(b.bin, args...)
	b.cmd.Env = append(os.Environ(), b.env...)
	b.cmd.Stderr = log
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := b.cmd.Start(); err != nil {
		return err
	}
	b.done = make(chan struct{})
	ready := make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		lines := bufio.NewScanner(out)
		for said := false; lines.Scan(); {
			if !said && strings.HasPrefix(lines.Text(), "millrace ready") {
				close(ready)
				said = true
			}
		}
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
		close(done)
	}(b.cmd, b.done)
	select {
	case <-ready:
		b.starts = append(b.starts, time.Since(began))
		return nil
	case <-b.done:
		return fmt.Errorf("%w (%s): %s\n%s", errNoStart, l, b.cmd.ProcessState, b.lastWords())
	case <-time.After(readyWithin):
		err = fmt.Errorf("chaos: the broker was not ready within %s (%s)\n%s", readyWithin, l,
			b.lastWords())
	case <-ctx.Done():
		err = ctx.Err()
	}
	b.end()
	return err
}

// kill is kill -9. It is an error if the process had left before.
func (b *broker) kill() error {
	if err := b.gone(); err != nil {
		return err
	}
	b.end()
	return nil
}

// alive says whether the process is there.
func (b *broker) alive() bool {
	select {
	case <-b.done:
		return false
	default:
		return true
	}
}

// gone is an error if the process left.
func (b *broker) gone() error {
	if b.alive() {
		return nil
	}
	return fmt.Errorf("chaos: the broker left by itself: %s\n%s", b.cmd.ProcessState, b.lastWords())
}

// end makes sure that the process is gone.
func (b *broker) end() {
	if b.cmd == nil || b.cmd.Process == nil {
		return
	}
	select {
	case <-b.done:
	default:
		_ = b.cmd.Process.Kill()
		<-b.done
	}
}

// stop is SIGTERM: a clean stop.
func (b *broker) stop() error {
	_ = b.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-b.done:
	case <-time.After(40 * time.Second):
		b.end()
		return errors.New("chaos: the broker did not stop within 40 s of SIGTERM\n" + b.lastWords())
	}
	if code := b.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("chaos: a clean stop left with exit code %d\n%s", code, b.lastWords())
	}
	return nil
}

func (b *broker) lastWords() string {
	all, err := os.ReadFile(b.logPath)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(all)), "\n")
	return "  | " + strings.Join(lines[max(0, len(lines)-25):], "\n  | ")
}
