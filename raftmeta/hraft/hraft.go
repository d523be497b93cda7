package hraft

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"github.com/hashicorp/raft-wal/metadb"

	"millrace/internal/vfs"
	"millrace/protocol"
	"millrace/raftmeta"
)

// ErrLost says that the log is shorter than this node knows it was.
var ErrLost = errors.New("hraft: the log of a node that has voted is empty")

// exitFatal is the exit code after a failed write (EX_IOERR).
const exitFatal = 74

const (
	// MaxPending bounds proposals that wait for agreement: far more than connections × 1.
	MaxPending = 1 << 16
	// MinFree is the space that has to be left for the log's next segments and a snapshot.
	MinFree = 64 << 20
	// leaderTimeout bounds the wait for leadership in Open. A lone voter needs three
	// syncs; only a broken disk takes this long.
	leaderTimeout = 30 * time.Second
	// quiet is the pace of a lone voter's timers: they decide nothing, so they sleep.
	quiet = 2 * time.Second
)

// Options of Open. Zero values of the last three mean the defaults.
type Options struct {
	Dir  string // created if absent
	Node protocol.NodeID
	// OnImage is called after every batch of applied commands, in order, from one
	// goroutine; not for what Open replays. It must not block and not call Propose's
	// quorum back synchronously.
	OnImage func(*raftmeta.Image)
	// OnFatal is called once, when a write failed: the process must end. Default: exit 74.
	OnFatal func(error)
	Log     *slog.Logger

	SnapshotEvery uint64 // entries between snapshots, 8192
	Trailing      uint64 // entries kept behind a snapshot, 1024
	SegmentBytes  int    // of the log, 1 MiB
}

// Quorum is a raftmeta.Quorum of one voter.
type Quorum struct {
	raft  *raft.Raft
	store io.Closer
	fsm   *fsm
	free  func() (int64, error) // bytes left on the disk
	spare *spareFS              // nil: the store has none

	mu     sync.Mutex
	queue  []proposal
	closed bool

	wake    chan struct{} // the queue is not empty, or closed
	started chan started
	wg      sync.WaitGroup
}

type proposal struct {
	cmd  raftmeta.Command
	done func(raftmeta.Outcome, error)
}

type started struct {
	future  raft.ApplyFuture
	done    func(raftmeta.Outcome, error)
	settled chan struct{} // closed when it is told, nil: nobody waits for that
}

var _ raftmeta.Quorum = (*Quorum)(nil)

// Exists says whether dir holds the state of a quorum. Data beside a missing quorum must be
// refused: its topics are unknown.
func Exists(dir string) (bool, error) {
	_, err := os.Stat(filepath.Join(dir, metadb.FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Open starts the quorum and returns when this node leads and has applied its whole log.
func Open(o Options) (*Quorum, error) {
	o.defaults()
	l := newLatch(o.OnFatal)
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("hraft: open: %w", err)
	}
	words := &logger{to: o.Log, name: "raft-wal", onError: func(msg string, args []any) {
		_ = l.poison("raft-wal", fmt.Errorf("%s: %v", msg, args))
	}}
	var st *store
	err := guard(func() (err error) {
		st, err = openStore(o.Dir, o.SegmentBytes, words)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("hraft: %s: %w", o.Dir, err)
	}
	q, err := open(o, l, st, st)
	if errors.Is(err, ErrDamaged) { // a library that panicked holds its locks: nothing is closed
		return nil, fmt.Errorf("hraft: %s: %w", o.Dir, err)
	}
	if err != nil {
		return nil, fmt.Errorf("hraft: %s: %w", o.Dir, errors.Join(err, st.Close()))
	}
	q.store, q.spare = st, st.fs
	_, _ = q.low() // puts space aside
	return q, nil
}

func (o *Options) defaults() {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.OnFatal == nil {
		o.OnFatal = func(err error) {
			o.Log.Error("metadata log failed; leaving", "err", err)
			os.Exit(exitFatal)
		}
	}
	if o.SnapshotEvery == 0 {
		o.SnapshotEvery = 8192
	}
	if o.Trailing == 0 {
		o.Trailing = 1024
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 1 << 20
	}
}

func open(o Options, l *latch, logs raft.LogStore, stable raft.StableStore) (*Quorum, error) {
	logs, stable = logStore{logs, l}, stableStore{stable, l}
	words := &logger{to: o.Log, name: "raft"}
	snaps, err := openSnapshots(o, words)
	if err != nil {
		return nil, fmt.Errorf("hraft: open snapshots in %s: %w", o.Dir, err)
	}
	id := raft.ServerID(strconv.Itoa(int(o.Node)))
	addr, net := raft.NewInmemTransport(raft.ServerAddress(id))
	if err := bootstrap(logs, stable, snaps, raft.Server{ID: id, Address: addr}); err != nil {
		return nil, err
	}
	f := &fsm{latch: l}
	f.image.Store(raftmeta.Empty())
	leads := make(chan bool, 16)
	r, err := newRaft(l, config(o, id, words, leads), f, logs, stable, snaps, net)
	if err != nil {
		return nil, fmt.Errorf("hraft: start: %w", err)
	}
	if err := lead(r, id, addr, net, leads, l); err != nil {
		if failed := l.check(); failed != nil {
			return nil, failed // raft's goroutines are held: there is no end to wait for
		}
		return nil, errors.Join(err, r.Shutdown().Error())
	}
	if o.OnImage != nil {
		f.onImage.Store(&o.OnImage)
	}
	free := func() (int64, error) { return vfs.OS().Free(o.Dir) }
	q := &Quorum{raft: r, fsm: f, free: free, wake: make(chan struct{}, 1),
		started: make(chan started, 4096)}
	q.wg.Add(2)
	go q.propose()
	go q.answer()
	return q, nil
}

// openSnapshots opens them. The library makes a file to see that it may: on a full disk a
// spare one makes room for that moment.
func openSnapshots(o Options, words *logger) (*raft.FileSnapshotStore, error) {
	snaps, err := raft.NewFileSnapshotStoreWithLogger(o.Dir, 2, words)
	if err == nil {
		return snaps, nil
	}
	spare := newSpareFS(o.Dir, o.SegmentBytes)
	if left, e := vfs.OS().Free(o.Dir); e != nil || left >= MinFree || !spare.yield() {
		return nil, err
	}
	snaps, err = raft.NewFileSnapshotStoreWithLogger(o.Dir, 2, words)
	_ = spare.refill()
	return snaps, err
}

// newRaft starts the library. When term or vote cannot be written it panics: that is an
// error here.
func newRaft(l *latch, c *raft.Config, f raft.FSM, logs raft.LogStore, stable raft.StableStore,
	snaps raft.SnapshotStore, net raft.Transport) (r *raft.Raft, err error) {
	defer func() {
		if failed := l.check(); failed != nil {
			_ = recover()
			r, err = nil, failed
		}
	}()
	r, err = raft.NewRaft(c, f, logs, stable, snaps, net)
	l.running.Store(err == nil)
	return r, err
}

func config(o Options, id raft.ServerID, words *logger, leads chan bool) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = id
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = quiet, quiet, quiet
	c.MaxAppendEntries = 1024 // entries per group commit
	c.BatchApplyCh = true
	c.SnapshotThreshold = o.SnapshotEvery
	c.TrailingLogs = o.Trailing
	c.SnapshotInterval = time.Minute
	c.Logger = words
	c.NotifyCh = leads
	c.NoLegacyTelemetry = true
	return c
}

// bootstrap writes the configuration of one voter as the first entry of an empty log. A kill
// between any two writes of an earlier try leaves the log empty: it is done again.
func bootstrap(logs raft.LogStore, stable raft.StableStore, snaps raft.SnapshotStore,
	me raft.Server) error {
	last, err := logs.LastIndex()
	if err != nil {
		return fmt.Errorf("hraft: bootstrap: %w", err)
	}
	have, err := snaps.List()
	if err != nil {
		return fmt.Errorf("hraft: bootstrap: %w", err)
	}
	if last > 0 || len(have) > 0 {
		return nil
	}
	term, err := stable.GetUint64([]byte("CurrentTerm"))
	if err != nil && err.Error() != "not found" {
		return fmt.Errorf("hraft: bootstrap: %w", err)
	}
	if term > 1 {
		return fmt.Errorf("%w: term %d", ErrLost, term)
	}
	if err := stable.SetUint64([]byte("CurrentTerm"), 1); err != nil {
		return err
	}
	return logs.StoreLog(&raft.Log{Index: 1, Term: 1, Type: raft.LogConfiguration,
		Data: raft.EncodeConfiguration(raft.Configuration{Servers: []raft.Server{me}})})
}

// lead makes the lone voter leader without waiting for a timer, and waits until everything
// that was agreed before is applied.
func lead(r *raft.Raft, id raft.ServerID, addr raft.ServerAddress, net *raft.InmemTransport,
	leads chan bool, l *latch) error {
	known := r.GetConfiguration()
	if err := known.Error(); err != nil {
		return fmt.Errorf("hraft: start: %w", err)
	}
	if s := known.Configuration().Servers; len(s) != 1 || s[0].ID != id {
		return fmt.Errorf("hraft: start: the log belongs to %v, not to node %s", s, id)
	}
	_, starter := raft.NewInmemTransport("starter")
	defer func() { _ = starter.Close() }()
	starter.Connect(addr, net)
	var resp raft.TimeoutNowResponse
	err := starter.TimeoutNow(id, addr, &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{
		ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(id), Addr: []byte(addr)}}, &resp)
	if err != nil {
		return fmt.Errorf("hraft: election: %w", err)
	}
	late := time.NewTimer(leaderTimeout)
	defer late.Stop()
	for leader := false; !leader; {
		select {
		case leader = <-leads:
		case <-l.failed:
			return l.check()
		case <-late.C:
			return errors.New("hraft: election: no leader in " + leaderTimeout.String())
		}
	}
	if err := r.Barrier(0).Error(); err != nil {
		return fmt.Errorf("hraft: replay: %w", err)
	}
	return nil
}

// Image is the newest published image.
func (q *Quorum) Image() *raftmeta.Image { return q.fsm.image.Load() }

// Propose implements raftmeta.Quorum: it takes a mutex for a moment, and no more.
func (q *Quorum) Propose(cmd raftmeta.Command, done func(raftmeta.Outcome, error)) {
	q.mu.Lock()
	var err error
	switch {
	case q.closed:
		err = raftmeta.ErrClosed
	case len(q.queue) >= MaxPending:
		err = raftmeta.ErrBusy
	default:
		q.queue = append(q.queue, proposal{cmd, done})
	}
	q.mu.Unlock()
	if err != nil {
		done(raftmeta.Outcome{}, err)
		return
	}
	q.poke()
}

func (q *Quorum) poke() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// propose feeds raft; what arrives while it is busy becomes the next group.
func (q *Quorum) propose() {
	defer q.wg.Done()
	defer close(q.started)
	for range q.wake {
		q.mu.Lock()
		list, closed := q.queue, q.closed
		q.queue = nil
		q.mu.Unlock()
		low, left := q.low()
		for _, p := range list {
			b, err := q.encode(p.cmd, low, left)
			if err != nil {
				p.done(raftmeta.Outcome{}, err)
				continue
			}
			if !low {
				q.started <- started{q.raft.Apply(b, 0), p.done, nil}
				continue
			}
			// One by one: each may need a new file, and what is put aside is counted anew.
			settled := make(chan struct{})
			q.started <- started{q.raft.Apply(b, 0), p.done, settled}
			<-settled
		}
		if closed {
			return
		}
	}
}

// low says whether the disk is nearly full. If not, what is put aside is made whole.
func (q *Quorum) low() (low bool, left int64) {
	left, err := q.free()
	if err != nil {
		return false, 0
	}
	if left >= MinFree && q.spare != nil && q.spare.left.Load() < spareFiles {
		_ = q.spare.refill() // tried again with the next proposal
	}
	return left < MinFree, left
}

// encode refuses what a disk that is nearly full must not be asked for: what makes the
// image grow, and at last everything (I6).
func (q *Quorum) encode(cmd raftmeta.Command, low bool, left int64) ([]byte, error) {
	b, err := raftmeta.Encode(cmd)
	if err != nil || !low {
		return b, err
	}
	full := fmt.Errorf("%w: %d bytes left", raftmeta.ErrNoSpace, left)
	switch cmd.(type) {
	case raftmeta.CreateTopics, raftmeta.AddPartitions:
		return nil, full
	}
	if q.spare == nil || q.spare.left.Load() > 1 && int64(len(b)) < q.spare.over/2 {
		return b, nil
	}
	return nil, full
}

// answer tells outcomes, in the order of the log.
func (q *Quorum) answer() {
	defer q.wg.Done()
	for s := range q.started {
		s.done(result(s.future))
		if s.settled != nil {
			close(s.settled)
		}
	}
}

func result(f raft.ApplyFuture) (raftmeta.Outcome, error) {
	err := f.Error()
	if err == nil {
		switch v := f.Response().(type) {
		case raftmeta.Outcome:
			return v, nil
		case error:
			return raftmeta.Outcome{}, v
		}
	}
	if errors.Is(err, raft.ErrRaftShutdown) {
		return raftmeta.Outcome{}, raftmeta.ErrClosed
	}
	return raftmeta.Outcome{}, fmt.Errorf("hraft: propose: %w", err)
}

// Snapshot writes the image and drops the log behind it; raft does so by itself after every
// SnapshotEvery entries.
func (q *Quorum) Snapshot() error {
	if err := q.raft.Snapshot().Error(); err != nil {
		return fmt.Errorf("hraft: snapshot: %w", err)
	}
	return nil
}

// Close stops; proposals under way get their outcome or ErrClosed.
func (q *Quorum) Close() error {
	q.mu.Lock()
	was := q.closed
	q.closed = true
	q.mu.Unlock()
	if was {
		return nil
	}
	q.poke()
	q.wg.Wait()
	err := q.raft.Shutdown().Error()
	return errors.Join(err, q.store.Close())
}
