package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a running broker.
type process struct {
	addr string
	cmd  *exec.Cmd
	log  *output
	done chan struct{}
}

// output keeps what the program says.
type output struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	ready chan struct{}
	said  bool
}

var readyLine = regexp.MustCompile(`(?m)^millrace ready: kafka ([^ ,]+),.*$`)

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf.Write(p)
	if !o.said && readyLine.Match(o.buf.Bytes()) {
		o.said = true
		close(o.ready)
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

var (
	errRefused = errors.New("the program does not start")
	errHangs   = errors.New("the program neither starts nor refuses")
)

// startWithin bounds a start on a busy machine.
const startWithin = 30 * time.Second

// start runs a broker on a data directory. An error is errRefused or errHangs; what the
// program said is in the process's log either way.
func start(bin, dir string, cores int, set ...string) (*process, error) {
	args := []string{"serve", "--data", dir, "--listen", "127.0.0.1:0", "--admin", "none",
		"--cores", fmt.Sprint(cores), "--set", "memory.bytes=268435456"}
	for _, s := range set {
		args = append(args, "--set", s)
	}
	p := &process{cmd: exec.Command(bin, args...), done: make(chan struct{}),
		log: &output{ready: make(chan struct{})}}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.Stdout, p.cmd.Stderr = io.Writer(p.log), p.log
	if err := p.cmd.Start(); err != nil {
		return p, err
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	late := time.NewTimer(startWithin)
	defer late.Stop()
	select {
	case <-p.log.ready:
		p.addr = readyLine.FindStringSubmatch(p.log.String())[1]
		return p, nil
	case <-p.done:
		return p, errRefused
	case <-late.C:
		p.kill()
		return p, errHangs
	}
}

func (p *process) alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// ended waits a moment for the process to leave.
func (p *process) ended(within time.Duration) {
	select {
	case <-p.done:
	case <-time.After(within):
	}
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// stop is a clean stop; the exit code, or an error when it takes too long.
func (p *process) stop() (int, error) {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-time.After(startWithin):
		p.kill()
		return -1, errors.New("no end after SIGTERM")
	}
}

var crash = regexp.MustCompile(`(?m)^(panic:|fatal error:|goroutine \d+ \[|SIGSEGV|SIGBUS|unexpected fault)`)

// crashed is the first line of a crash in a log, "" for none.
func crashed(log string) string {
	at := crash.FindStringIndex(log)
	if at == nil {
		return ""
	}
	line, _, _ := strings.Cut(log[at[0]:], "\n")
	return line
}
