package hraft

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"millrace/protocol"
	"millrace/raftmeta"
)

func options(t *testing.T, dir string) Options {
	return Options{Dir: dir, Node: 1, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		OnFatal: func(err error) { t.Errorf("fatal: %v", err) }}
}

func mustOpen(t *testing.T, o Options) *Quorum {
	t.Helper()
	q, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	return q
}

// ask proposes and waits.
func ask(q raftmeta.Quorum, c raftmeta.Command) (raftmeta.Outcome, error) {
	type answer struct {
		out raftmeta.Outcome
		err error
	}
	ch := make(chan answer, 1)
	q.Propose(c, func(o raftmeta.Outcome, err error) { ch <- answer{o, err} })
	a := <-ch
	return a.out, a.err
}

func must(t *testing.T, q raftmeta.Quorum, c raftmeta.Command) raftmeta.Outcome {
	t.Helper()
	out, err := ask(q, c)
	if err != nil || out.Code() != protocol.None {
		t.Fatalf("%#v: %v, %v", c, out, err)
	}
	return out
}

func topicNamed(i int) raftmeta.CreateTopics {
	return raftmeta.CreateTopics{Topics: []raftmeta.NewTopic{{
		ID:   protocol.TopicID{byte(i >> 16), byte(i >> 8), byte(i), 1},
		Name: fmt.Sprintf("t%06d", i), Replicas: [][]protocol.NodeID{{1}}}}}
}

func TestReadyQuicklyAndDurable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "raft")
	if ok, err := Exists(dir); ok || err != nil {
		t.Fatalf("exists before: %v %v", ok, err)
	}
	begin := time.Now()
	q := mustOpen(t, options(t, dir))
	fresh := time.Since(begin)
	if ok, err := Exists(dir); !ok || err != nil {
		t.Fatalf("exists after: %v %v", ok, err)
	}
	must(t, q, raftmeta.InitCluster{ClusterID: "c"})
	must(t, q, raftmeta.RegisterBroker{ID: 1})
	begin = time.Now()
	for i := range 50 {
		out := must(t, q, topicNamed(i))
		if q.Image().Index() < out.Index || q.Image().Topic(fmt.Sprintf("t%06d", i)) == nil {
			t.Fatal("done before the image was published")
		}
	}
	each := time.Since(begin) / 50
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	begin = time.Now()
	q = mustOpen(t, options(t, dir))
	again := time.Since(begin)
	if m := q.Image(); m.TopicCount() != 50 || m.ClusterID() != "c" {
		t.Fatalf("after restart: %d topics, cluster %q", m.TopicCount(), m.ClusterID())
	}
	t.Logf("ready: fresh %v, restart %v; one agreed change %v", fresh, again, each)
	// The goal is 100 ms on an idle machine; tests share theirs.
	if fresh > time.Second || again > time.Second {
		t.Errorf("ready after %v fresh, %v restarted", fresh, again)
	}
}

func TestPipelineInOrderWithImages(t *testing.T) {
	o := options(t, t.TempDir())
	var mu sync.Mutex
	var seen []uint64
	o.OnImage = func(m *raftmeta.Image) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, m.Index())
	}
	q := mustOpen(t, o)
	must(t, q, raftmeta.RegisterBroker{ID: 1})
	const n = 2000
	var got []uint64
	var wg sync.WaitGroup
	wg.Add(n)
	for i := range n {
		q.Propose(topicNamed(i), func(out raftmeta.Outcome, err error) {
			defer wg.Done()
			if err != nil || out.Code() != protocol.None {
				t.Errorf("%v %v", out, err)
			}
			got = append(got, out.Index) // one goroutine answers
		})
	}
	wg.Wait()
	mu.Lock()
	defer mu.Unlock()
	if len(got) != n || !slices.IsSorted(got) {
		t.Fatalf("%d outcomes, sorted %v", len(got), slices.IsSorted(got))
	}
	if !slices.IsSorted(seen) || len(seen) == 0 || len(seen) > n/2 {
		t.Fatalf("%d images for %d commands, sorted %v", len(seen), n, slices.IsSorted(seen))
	}
	if seen[len(seen)-1] != q.Image().Index() || q.Image().TopicCount() != n {
		t.Fatal("last image not seen")
	}
}

func TestSnapshotCompactsAndRestores(t *testing.T) {
	dir := t.TempDir()
	o := options(t, dir)
	o.Trailing, o.SegmentBytes = 8, 16<<10
	q := mustOpen(t, o)
	must(t, q, raftmeta.RegisterBroker{ID: 1})
	for wave := range 10 { // each its own batch, so that the log has several files
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Add(1)
			q.Propose(topicNamed(wave*100+i), func(raftmeta.Outcome, error) { wg.Done() })
		}
		wg.Wait()
	}
	before := walBytes(t, dir)
	if err := q.Snapshot(); err != nil {
		t.Fatal(err)
	}
	must(t, q, topicNamed(1000))
	want := raftmeta.EncodeImage(q.Image())
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if after := walBytes(t, dir); after >= before {
		t.Errorf("log of %d bytes has %d after the snapshot", before, after)
	}
	q = mustOpen(t, o)
	if !slices.Equal(raftmeta.EncodeImage(q.Image()), want) {
		t.Error("image after snapshot and restart differs")
	}
	must(t, q, topicNamed(1001))
}

func TestFullDiskCanBeEmptied(t *testing.T) {
	q := mustOpen(t, options(t, t.TempDir()))
	must(t, q, raftmeta.RegisterBroker{ID: 1})
	must(t, q, topicNamed(1))
	q.free = func() (int64, error) { return MinFree - 1, nil }
	if _, err := ask(q, topicNamed(2)); !errors.Is(err, raftmeta.ErrNoSpace) {
		t.Fatal(err)
	}
	must(t, q, raftmeta.DeleteTopics{IDs: []protocol.TopicID{topicNamed(1).Topics[0].ID}})
}

func walBytes(t *testing.T, dir string) (n int64) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.wal"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if s, err := os.Stat(f); err == nil {
			n += s.Size()
		}
	}
	return n
}

func TestClosedAndForeign(t *testing.T) {
	dir := t.TempDir()
	q := mustOpen(t, options(t, dir))
	must(t, q, raftmeta.RegisterBroker{ID: 1})
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if err := q.Close(); err != nil {
		t.Fatal("second close:", err)
	}
	if _, err := ask(q, topicNamed(1)); !errors.Is(err, raftmeta.ErrClosed) {
		t.Fatal(err)
	}
	o := options(t, dir)
	o.Node = 2
	if q, err := Open(o); err == nil {
		_ = q.Close()
		t.Fatal("another node's log was taken")
	}
}

// flaky is a store whose writes fail from some moment on.
type flaky struct {
	*raft.InmemStore
	mu     sync.Mutex
	broken bool
	passes int // of writes that a broken one still does
	writes int // after breaking
}

var errDisk = errors.New("input/output error")

func (f *flaky) hit() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken && f.passes > 0 {
		f.passes--
		return nil
	}
	if f.broken {
		f.writes++
		return errDisk
	}
	return nil
}

func (f *flaky) StoreLogs(l []*raft.Log) error {
	if err := f.hit(); err != nil {
		return err
	}
	return f.InmemStore.StoreLogs(l)
}

func (f *flaky) Set(k, v []byte) error {
	if err := f.hit(); err != nil {
		return err
	}
	return f.InmemStore.Set(k, v)
}

func (f *flaky) SetUint64(k []byte, v uint64) error {
	if err := f.hit(); err != nil {
		return err
	}
	return f.InmemStore.SetUint64(k, v)
}

func TestFirstFailedWriteIsTheLast(t *testing.T) {
	store := &flaky{InmemStore: raft.NewInmemStore()}
	fatal := make(chan error, 10)
	o := options(t, t.TempDir())
	o.OnFatal = func(err error) { fatal <- err }
	o.defaults()
	q, err := open(o, newLatch(o.OnFatal), store, store)
	if err != nil {
		t.Fatal(err)
	}
	q.store = io.NopCloser(nil)
	defer func() { _ = q.Close() }()
	must(t, q, raftmeta.RegisterBroker{ID: 1})
	store.mu.Lock()
	store.broken = true
	store.mu.Unlock()
	if _, err := ask(q, topicNamed(1)); err == nil {
		t.Fatal("acknowledged without a log")
	}
	if err := <-fatal; !errors.Is(err, ErrPoisoned) || !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	if _, err := ask(q, topicNamed(2)); err == nil {
		t.Fatal("acknowledged after the failure")
	}
	store.mu.Lock()
	defer store.mu.Unlock()
	if store.writes != 1 || len(fatal) != 0 || q.Image().TopicCount() != 0 {
		t.Fatalf("%d writes after the failure, %d more fatals", store.writes-1, len(fatal))
	}
}

func TestStableStoreFailureLatches(t *testing.T) {
	store := &flaky{InmemStore: raft.NewInmemStore(), broken: true}
	var fatal error
	l := newLatch(func(err error) { fatal = err })
	o := options(t, t.TempDir())
	o.defaults()
	if _, err := open(o, l, store, store); !errors.Is(err, ErrPoisoned) {
		t.Fatal(err)
	}
	if !errors.Is(fatal, errDisk) || store.writes != 1 {
		t.Fatalf("fatal %v after %d writes", fatal, store.writes)
	}
}

func TestLostLogIsRefused(t *testing.T) {
	store := raft.NewInmemStore()
	if err := store.SetUint64([]byte("CurrentTerm"), 2); err != nil {
		t.Fatal(err)
	}
	o := options(t, t.TempDir())
	o.defaults()
	if _, err := open(o, newLatch(o.OnFatal), store, store); !errors.Is(err, ErrLost) {
		t.Fatal(err)
	}
}

func TestEntryOfNewerBinaryIsFatal(t *testing.T) {
	store := raft.NewInmemStore()
	o := options(t, t.TempDir())
	var fatal error
	o.OnFatal = func(err error) { fatal = err }
	o.defaults()
	q, err := open(o, newLatch(o.OnFatal), store, store)
	if err != nil {
		t.Fatal(err)
	}
	q.store = io.NopCloser(nil)
	defer func() { _ = q.Close() }()
	f := q.raft.Apply([]byte{255, 255}, 0)
	if err := f.Error(); err != nil {
		t.Fatal(err)
	}
	if err, ok := f.Response().(error); !ok || !errors.Is(err, raftmeta.ErrFormat) {
		t.Fatalf("answer %v", f.Response())
	}
	if !errors.Is(fatal, raftmeta.ErrFormat) {
		t.Fatal(fatal)
	}
}

// Whichever write of a start fails, Open says so: the library would panic at some.
func TestEveryWriteOfAStart(t *testing.T) {
	for passes, refused := 0, true; refused; passes++ {
		store := &flaky{InmemStore: raft.NewInmemStore(), broken: true, passes: passes}
		l := newLatch(func(error) {})
		o := options(t, t.TempDir())
		o.defaults()
		q, err := open(o, l, store, store)
		if refused = err != nil; !refused {
			q.store = io.NopCloser(nil)
			_ = q.Close()
			if passes < 4 {
				t.Fatalf("a start writes only %d times", passes)
			}
			return
		}
		if !errors.Is(err, errDisk) {
			t.Fatalf("%d writes pass: %v", passes, err)
		}
	}
}
