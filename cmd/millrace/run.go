package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"millrace/engine"
	"millrace/internal/admin"
	"millrace/internal/cli"
	"millrace/internal/vfs"
	"millrace/raftmeta"
	"millrace/raftmeta/hraft"
	"millrace/segment"
)

// runner starts a broker, waits for a reason to end, and ends it.
type runner struct {
	*options
	flags *serveFlags
	out   io.Writer
	log   *slog.Logger
	began time.Time
}

func (r *runner) run() error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)

	tune(r.engine.Cores)
	src := new(source)
	web, err := r.startAdmin(src)
	if err != nil {
		return err
	}
	if web != nil {
		defer func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = web.Stop(ctx)
		}()
	}
	b, err := r.start(signals)
	if err != nil {
		return err
	}
	src.broker.Store(b)
	r.ready(b, web)
	if r.memoryFloor > 0 {
		done := make(chan struct{})
		defer close(done)
		go giveWay(done, b.LimitMemory, r.memoryFloor, r.engine.MemoryBytes)
	}

	select {
	case err := <-b.Err():
		return diskFailure(err)
	case sig := <-signals:
		src.stopping.Store(true)
		return r.stop(b, sig, signals)
	}
}

// start opens the broker. A signal meanwhile ends the process as a kill would, which
// every start recovers from: recovery may take longer than a person waits.
func (r *runner) start(signals <-chan os.Signal) (*engine.Broker, error) {
	type started struct {
		b   *engine.Broker
		err error
	}
	done := make(chan started, 1)
	go func() {
		b, err := engine.Start(r.engine, r.openQuorum)
		done <- started{b, err}
	}()
	select {
	case s := <-done:
		if s.err != nil {
			return nil, r.explain(s.err)
		}
		return s.b, nil
	case <-signals:
		return nil, cli.Failed("interrupted while starting")
	}
}

func (r *runner) startAdmin(src *source) (*admin.Server, error) {
	if r.admin == "" {
		return nil, nil
	}
	web, err := admin.Start(admin.Options{
		Addr: r.admin, Source: src, Mover: src, Pprof: r.flags.pprof, Log: r.log})
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, cli.Failed("the admin address %s is in use: choose another with --admin HOST:PORT", r.admin)
	}
	if err != nil {
		return nil, cli.Failed("%w", err)
	}
	return web, nil
}

func (r *runner) openQuorum(
	dir string, onImage func(*raftmeta.Image), onFatal func(error),
) (raftmeta.Quorum, error) {
	q, err := hraft.Open(hraft.Options{
		Dir: dir, Node: r.engine.NodeID, OnImage: onImage, OnFatal: onFatal, Log: r.log,
	})
	if err != nil {
		return nil, err
	}
	return q, nil
}

// ready prints the one line that says that clients are served.
func (r *runner) ready(b *engine.Broker, web *admin.Server) {
	var at []string
	for _, l := range b.Listeners() {
		name := ""
		if len(b.Listeners()) > 1 {
			name = l.Name + "://"
		}
		at = append(at, name+l.Bind)
	}
	adminAt := "none"
	if web != nil {
		adminAt = web.Addr()
	}
	durability := "fsync"
	if r.engine.Durability == segment.Write {
		durability = "write"
	}
	fmt.Fprintf(r.out, "millrace ready: kafka %s, admin %s, data %s, io %s, durability %s, cores %d, %d ms\n",
		strings.Join(at, " "), adminAt, r.engine.DataDir, b.IO(), durability, r.engine.Cores,
		time.Since(r.began).Milliseconds())
	for _, l := range b.Listeners() {
		if !l.Loopback {
			r.log.Warn("a listener without authentication can be reached from other machines",
				"listener", l.Name, "address", l.Bind, "allowed by", setInsecure)
		}
	}
}

// stop ends the broker cleanly; a second signal, or no end in time, ends the process.
func (r *runner) stop(b *engine.Broker, sig os.Signal, signals <-chan os.Signal) error {
	r.log.Info("stopping: no new connections, finishing and flushing", "signal", sig.String())
	ctx, cancel := context.WithTimeout(context.Background(), r.flags.grace)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- b.Stop(ctx) }()
	second := make(chan os.Signal, 1)
	go func() { second <- meantAgain(time.Now(), signals) }()
	select {
	case err := <-done:
		if err != nil {
			return cli.Failed("stop: %w\nWhat was acknowledged is in the journal; the next start recovers it", err)
		}
		r.log.Info("stopped", "uptime", time.Since(r.began).Round(time.Millisecond).String())
		return nil
	case err := <-b.Err():
		return diskFailure(err)
	case <-second:
		return cli.Failed("second signal: left at once. What was acknowledged is in the journal; " +
			"the next start recovers it")
	}
}

// oneWish is the time in which several signals are one wish: supervisors signal a
// process and its group.
const oneWish = 500 * time.Millisecond

func meantAgain(first time.Time, signals <-chan os.Signal) os.Signal {
	for sig := range signals {
		if time.Since(first) > oneWish {
			return sig
		}
	}
	return nil
}

// diskFailure is the end that a failed write or flush leads to. Nothing is flushed or
// retried: a second try may succeed although the first one's bytes are gone.
func diskFailure(err error) error {
	return &cli.Error{Code: cli.ExitDisk, Err: fmt.Errorf(
		"the disk failed, no acknowledgement was given since: %w\n"+
			"What was acknowledged had been written before. Check the disk; the next start recovers from the journal",
		err)}
}

// explain turns what commonly goes wrong at start into words and a way out.
func (r *runner) explain(err error) error {
	dir := r.engine.DataDir
	switch {
	case errors.Is(err, vfs.ErrLocked):
		who := "another broker"
		if pid := lockHolder(filepath.Join(dir, "lock")); pid > 0 {
			who = fmt.Sprintf("another broker (process %d)", pid)
		}
		return cli.Failed("the data directory %s is in use by %s: stop it, or choose another with --data", dir, who)
	case errors.Is(err, syscall.EADDRINUSE):
		return cli.Failed("%w\nAnother program listens there, perhaps another broker: "+
			"stop it, or choose another address with --listen HOST:PORT", err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return cli.Failed("%w\nThis machine has no such address: --listen takes one that it has, or 0.0.0.0 for all; "+
			"what clients are told is --advertise", err)
	case isDNS(err):
		return cli.Failed("%w\n--listen takes an address of this machine; what clients are told is --advertise", err)
	case errors.Is(err, os.ErrPermission) && strings.Contains(err.Error(), "listener"):
		return cli.Failed("%w\nPorts below 1024 need a right: choose another with --listen", err)
	case errors.Is(err, os.ErrPermission):
		return cli.Failed("%w\nMake the data directory writable for this user, or choose another with --data", err)
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EROFS):
		return cli.Failed("%w\nChoose another data directory with --data", err)
	case errors.Is(err, syscall.ENOSPC):
		return cli.Failed("%w\nThe disk that holds %s is full: free some space", err, dir)
	case errors.Is(err, syscall.EIO):
		return diskFailure(err)
	case isDamage(err):
		return cli.Failed("%w\nThe broker does not start, for something acknowledged might be missing; nothing was "+
			"changed.\nmillrace dump --verify %s shows what is damaged. Put it back from a backup or snapshot of the "+
			"whole data directory (docs/OPERATIONS.md, \"Starting after a kill\")", err, dir)
	}
	return cli.Failed("%w", err)
}

func isDamage(err error) bool {
	var bad *segment.CorruptError
	return errors.As(err, &bad)
}

func isDNS(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns)
}

// lockHolder finds who holds a flock, 0 when the kernel does not say: /proc/locks has
// the process and the file's inode.
func lockHolder(name string) int {
	var st syscall.Stat_t
	if syscall.Stat(name, &st) != nil {
		return 0
	}
	b, err := os.ReadFile("/proc/locks")
	if err != nil {
		return 0
	}
	suffix := fmt.Sprintf(":%d", st.Ino)
	for _, line := range strings.Split(string(b), "\n") {
		// 1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF
		f := strings.Fields(line)
		if len(f) < 6 || f[1] != "FLOCK" || !strings.HasSuffix(f[5], suffix) {
			continue
		}
		pid := 0
		if _, err := fmt.Sscan(f[4], &pid); err == nil && pid > 0 {
			return pid
		}
	}
	return 0
}
