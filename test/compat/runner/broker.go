package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"millrace/bench/kafka"
)

// broker is what the suites talk to. Its data survives stop and start.
type broker interface {
	start(ctx context.Context) error
	stop() error           // clean
	bootstrap() string     // host:port
	logDir() string        // where partitions' directories are; "" when unknown
	describe() string      // one line for the report
	restartable() bool     // start and stop do something
	alive() (bool, string) // whether it still runs; else its last words
}

// process is a broker started by a command line with {port}, {admin} and {data} in it.
type process struct {
	command []string
	what    string
	dir     string
	port    int
	admin   int
	cmd     *exec.Cmd
	done    chan struct{}
}

func newProcess(what, dir string, command ...string) *process {
	return &process{what: what, dir: dir, command: command,
		port: kafka.FreePort(), admin: kafka.FreePort()}
}

func (p *process) start(ctx context.Context) error {
	replace := strings.NewReplacer("{port}", fmt.Sprint(p.port), "{admin}", fmt.Sprint(p.admin),
		"{data}", filepath.Join(p.dir, "data"))
	argv := make([]string, len(p.command))
	for i, a := range p.command {
		argv[i] = replace.Replace(a)
	}
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(p.dir, "broker.log"),
		os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) { _ = cmd.Wait(); close(done) }(p.cmd, p.done)
	if err := kafka.WaitPort(ctx, p.bootstrap(), p.done, 30*time.Second); err != nil {
		_ = p.stop()
		return fmt.Errorf("compat: broker: %w\n%s", err, tailOf(log.Name(), 30))
	}
	return nil
}

func (p *process) stop() error {
	if p.cmd == nil {
		return nil
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.done
		return errors.New("the broker did not stop within 30 s of SIGTERM")
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("the broker left with exit code %d: %s", code,
			tailOf(filepath.Join(p.dir, "broker.log"), 5))
	}
	return nil
}

func (p *process) alive() (bool, string) {
	select {
	case <-p.done:
		return false, tailOf(filepath.Join(p.dir, "broker.log"), 40)
	default:
		return true, ""
	}
}

func (p *process) bootstrap() string { return fmt.Sprintf("127.0.0.1:%d", p.port) }
func (p *process) logDir() string    { return filepath.Join(p.dir, "data", "log") }
func (p *process) describe() string  { return p.what }
func (p *process) restartable() bool { return true }

// apache is a real Kafka: the oracle for the suites themselves.
type apache struct {
	tools  *tools
	dir    string
	port   int
	broker *kafka.Broker
}

func (a *apache) start(ctx context.Context) error {
	b, err := a.tools.jars.Start(ctx, kafka.Options{Dir: a.dir, Port: a.port, Heap: "512m"})
	a.broker = b
	return err
}

func (a *apache) stop() error {
	if a.broker == nil {
		return nil
	}
	return a.broker.Stop()
}

func (a *apache) bootstrap() string     { return fmt.Sprintf("127.0.0.1:%d", a.port) }
func (a *apache) logDir() string        { return filepath.Join(a.dir, "data") }
func (a *apache) describe() string      { return "Apache Kafka " + kafka.Version }
func (a *apache) restartable() bool     { return true }
func (a *apache) alive() (bool, string) { return true, "" }

// external is a broker that somebody else runs.
type external struct{ addr string }

func (e external) start(context.Context) error { return nil }
func (e external) stop() error                 { return nil }
func (e external) bootstrap() string           { return e.addr }
func (e external) logDir() string              { return "" }
func (e external) describe() string            { return "the broker at " + e.addr }
func (e external) restartable() bool           { return false }
func (e external) alive() (bool, string)       { return true, "" }

// tailOf returns the last lines of a file.
func tailOf(path string, lines int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
