package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"millrace/internal/arena"
	"millrace/netio"
	"millrace/protocol"
	"millrace/raftmeta"
	"millrace/segment"
)

// Broker is a running broker: its cores, its storage and its place in the quorum.
type Broker struct {
	cfg     Config
	cores   []*Core
	drivers []*driver
	rings   []netio.Ring
	shards  []*segment.Shard
	pools   []*arena.Pool
	quorum  raftmeta.Quorum
	bound   []Listener
	fds     []int32
	io      string
	started time.Time
	// mayHaveLost: a stop in write mode was not clean, so acknowledged records may be gone
	// (power loss). New leader epochs let clients notice (KIP-320).
	mayHaveLost bool
	jobs        *jobPool
	unlock      []func() error
	directory   [16]byte // directory.id of meta.properties
	placed      map[protocol.TopicPartition]int

	fatal   chan error
	once    sync.Once
	latched atomic.Pointer[error]
	ready   chan struct{}
}

// OpenQuorum starts the metadata quorum of a data directory. onImage is called in order
// after every change; onFatal once, when the quorum can no longer write.
type OpenQuorum func(dir string, onImage func(*raftmeta.Image), onFatal func(error)) (raftmeta.Quorum, error)

// Start opens the data directory, joins the quorum and serves. It returns when clients
// are served.
func Start(cfg Config, open OpenQuorum) (*Broker, error) {
	b := &Broker{
		cfg: cfg, started: time.Now(), fatal: make(chan error, 1), jobs: newJobPool(16),
		ready: make(chan struct{}),
	}
	if b.cfg.Seed == 0 {
		b.cfg.Seed = rand.Uint64()
	}
	steps := []func() error{
		b.listen, b.openDir, func() error { return b.openQuorum(open) }, b.openStorage, b.openRings,
		b.register, b.purge, b.launch,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, errors.Join(err, b.release())
		}
	}
	close(b.ready)
	return b, nil
}

func (b *Broker) openDir() error {
	for _, dir := range b.cfg.dirs() {
		if err := b.cfg.FS.MkdirAll(dir); err != nil {
			return fmt.Errorf("engine: data directory: %w", err)
		}
		unlock, err := b.cfg.FS.Lock(filepath.Join(dir, "lock"))
		if err != nil {
			return fmt.Errorf("engine: data directory %s: %w", dir, err)
		}
		b.unlock = append(b.unlock, unlock)
	}
	return nil
}

// fail reports the first failure that ends the broker.
func (b *Broker) fail(err error) {
	b.once.Do(func() {
		b.latched.Store(&err)
		b.fatal <- err
	})
}

// Err carries the failure that latched: the process must leave.
func (b *Broker) Err() <-chan error { return b.fatal }

func (b *Broker) openQuorum(open OpenQuorum) error {
	q, err := open(filepath.Join(b.cfg.DataDir, "raft"), b.publish, b.fail)
	if err != nil {
		return fmt.Errorf("engine: metadata quorum: %w", err)
	}
	b.quorum = q
	return nil
}

// publish hands a new image to every core.
func (b *Broker) publish(img *raftmeta.Image) {
	for _, c := range b.cores {
		c.inbox.Post(func(c *Core) { c.install(img) })
	}
}

func (b *Broker) openStorage() error {
	for range b.cfg.Cores {
		b.pools = append(b.pools, arena.New(b.cfg.MemoryBytes/int64(b.cfg.Cores)))
	}
	n := b.journals()
	b.cfg.Journals = n
	directory, err := b.identity()
	if err != nil {
		return err
	}
	shards, rep, err := segment.Open(segment.Options{
		FS: b.cfg.FS, Dir: b.cfg.DataDir, Also: b.cfg.AlsoDirs, Directory: directory, Pools: b.pools[:n],
		Durability: b.cfg.Durability,
		JournalDir: b.cfg.JournalDir, JournalFile: b.cfg.JournalFile, JournalMax: b.cfg.JournalMaxBytes / int64(n),
		CacheBytes: b.cfg.CacheBytes / int64(n), Log: b.cfg.Log, Now: b.cfg.Clock.Now,
		Serial: b.cfg.serial, OpenFiles: segmentFiles(),
	}, n, b.known())
	if err != nil {
		return err
	}
	b.shards, b.directory, b.placed = shards, directory, rep.Moved
	b.mayHaveLost = b.cfg.Durability == segment.Write && !rep.Clean && rep.Logs > 0
	b.report(rep)
	return b.forgetStates()
}

// journals is how many cores own partitions and a journal: all, or as many as the disk can
// serve. The others have connections only; shares of their requests travel.
func (b *Broker) journals() int {
	cores := b.cfg.Cores
	if n := b.cfg.Journals; n > 0 || cores == 1 {
		return min(max(n, 1), cores)
	}
	commits := segment.ProbeCommits(b.cfg.FS, b.cfg.DataDir, b.cfg.JournalDir, cores)
	n := min(max(int(commits/journalCommits), 1), cores)
	if commits == 0 || n == cores {
		return cores
	}
	b.cfg.Log.Info("the disk is the limit: fewer journals than cores", "journals", n,
		"cores", cores, "commits per second", int(commits))
	return n
}

// journalCommits is how many commits in a second a journal of its own must be worth: one
// gathers while the last is written, so more journals only divide what the disk can do.
const journalCommits = 500

// segmentFiles is how many segment files may be open: most of the descriptors that the
// process may have, so that many partitions need not open theirs again and again.
func segmentFiles() int {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		return 0 // storage's default
	}
	return int(min(max(l.Cur/5*3, 256), 16<<10))
}

func (b *Broker) report(rep segment.Report) {
	log := b.cfg.Log
	log.Info("storage open", "clean", rep.Clean, "logs", rep.Logs, "replayed", rep.Replayed,
		"dropped", rep.Dropped, "direct", rep.Direct)
	if !rep.Direct {
		log.Warn("the file system has no O_DIRECT: writes go through the page cache",
			"dir", b.cfg.DataDir)
	}
	for _, d := range rep.Quarantined {
		log.Warn("not in the metadata: moved to quarantine", "dir", d)
	}
	for _, n := range rep.Notes {
		log.Warn("storage: " + n)
	}
}

// known is what the image says should be on disk.
func (b *Broker) known() segment.Known {
	img := b.quorum.Image()
	configs := newResolver(&b.cfg)
	k := segment.Known{Deleted: deletedTopics(img)}
	for _, t := range img.Topics() {
		k.Topics = append(k.Topics, segment.KnownTopic{
			ID: t.ID, Name: t.Name, Partitions: int32(len(t.Partitions)),
			Config: logConfig(configs.Topic(img, t)),
		})
	}
	return k
}

func (b *Broker) openRings() error {
	uring, why := false, "asked for"
	if b.cfg.IO != "epoll" {
		uring, why = netio.Probe()
	}
	if !uring && b.cfg.IO == "uring" {
		return fmt.Errorf("engine: io_uring cannot be used: %s", why)
	}
	b.io = "epoll"
	mk := netio.NewEpoll
	if uring {
		b.io, mk = "uring", netio.NewUring
	} else if b.cfg.IO == "auto" {
		b.cfg.Log.Warn("io_uring is not to be had here; using epoll", "why", why)
	}
	for range b.cfg.Cores {
		r, err := mk(netio.Options{Peers: func(i int32) netio.Ring { return b.rings[i] }})
		if err != nil {
			return fmt.Errorf("engine: %s ring: %w", b.io, err)
		}
		b.rings = append(b.rings, r)
	}
	return nil
}

func (b *Broker) listen() error {
	for _, l := range b.cfg.Listeners {
		fd, bound, err := listenSoon(l.Bind)
		if err != nil {
			return fmt.Errorf("engine: listener %s: %w", l.Name, err)
		}
		b.fds = append(b.fds, fd)
		l.Bind = bound
		_, port, _ := net.SplitHostPort(bound)
		if n, _ := strconv.Atoi(port); l.Port == 0 {
			l.Port = int32(n)
		}
		b.bound = append(b.bound, l)
	}
	return nil
}

// portPatience: after a kill -9 the kernel frees what an io_uring held, the listening
// socket too, some moments after the process is gone.
const portPatience = time.Second

// listenSoon listens, and waits a little for a port that is taken. The data directory is
// locked by now, so it is not another broker of ours that we wait for.
func listenSoon(addr string) (fd int32, bound string, err error) {
	for until := time.Now().Add(portPatience); ; time.Sleep(5 * time.Millisecond) {
		fd, bound, err = netio.Listen(addr, 1024)
		if !errors.Is(err, unix.EADDRINUSE) || time.Now().After(until) {
			return fd, bound, err
		}
	}
}

// buildCores builds and joins the cores; wake makes one of them look at its inbox. Their
// first turns install the image and accept connections.
func (b *Broker) buildCores(wake func(core int), addrs func(fd int32) (local, remote string)) {
	for i := range b.cfg.Cores {
		p := parts{
			id: i, cfg: &b.cfg, pool: b.pools[i], quorum: b.quorum,
			dir: b.directory, bound: b.bound, addrs: addrs, placed: b.placed,
		}
		if i < len(b.shards) {
			p.shard = b.shards[i]
		}
		c := newCore(p)
		c.onFatal = b.fail
		c.inbox.wake = func() { wake(i) }
		b.cores = append(b.cores, c)
	}
	link(b.cores)
	img, fds := b.quorum.Image(), b.fds
	for _, c := range b.cores {
		c.inbox.Post(func(c *Core) { c.install(img) })
	}
	b.cores[0].inbox.Post(func(c *Core) { c.limits.listen(c, fds) })
}

// launch builds the cores and starts their threads.
func (b *Broker) launch() error {
	b.buildCores(func(core int) { b.rings[core].Wake() }, socketAddrs)
	if most := b.cores[0].frameMax(); most < int64(b.cfg.RequestMaxBytes) {
		b.cfg.Log.Warn("memory is too small for the largest requests: larger ones are refused",
			"socket.request.max.bytes", b.cfg.RequestMaxBytes, "taken", most,
			"memory of a core", b.pools[0].Budget())
	}
	cpus := allowedCPUs()
	for i, c := range b.cores {
		cpu := -1
		if len(cpus) > len(b.cores) { // brokers of one host begin at different processors: by port
			cpu = cpus[(len(cpus)-1-i+int(b.bound[0].Port))%len(cpus)]
		}
		d := &driver{core: c, ring: b.rings[i], jobs: b.jobs, cpu: cpu, done: make(chan struct{})}
		b.drivers = append(b.drivers, d)
	}
	for _, d := range b.drivers {
		go d.run(b.cfg.Clock)
	}
	return nil
}

// LimitMemory sets how much off-heap memory all cores may take together, at most what they
// were started with. What is over goes back to the kernel in steps, one at each call.
func (b *Broker) LimitMemory(bytes int64) {
	each := min(bytes, b.cfg.MemoryBytes) / int64(len(b.cores))
	for _, c := range b.cores {
		c.inbox.Post(func(c *Core) { c.limitMemory(each) })
	}
}

// Stop ends the broker cleanly: no new connections, requests in flight finish,
// everything is flushed.
func (b *Broker) Stop(ctx context.Context) error {
	for _, c := range b.cores {
		c.inbox.Post(func(c *Core) { c.stop() })
	}
	for _, d := range b.drivers {
		select {
		case <-d.done:
		case <-ctx.Done():
			return fmt.Errorf("engine: stop: %w", ctx.Err())
		}
	}
	b.jobs.quiet.Wait()
	return b.release()
}

// release closes what is open, in the reverse order of opening. The cores have ended
// or were never started.
func (b *Broker) release() error {
	var errs []error
	if b.quorum != nil {
		errs = append(errs, b.quorum.Close())
	}
	if b.shards != nil {
		errs = append(errs, segment.Close(b.shards))
	}
	for _, r := range b.rings {
		errs = append(errs, r.Close())
	}
	if len(b.cores) == 0 {
		for _, fd := range b.fds {
			_ = unix.Close(int(fd))
		}
	}
	for _, unlock := range b.unlock {
		errs = append(errs, unlock())
	}
	return errors.Join(errs...)
}

// Listeners are the addresses that were bound, in the order of the configuration.
func (b *Broker) Listeners() []Listener { return b.bound }

// IO is the engine in use: "uring" or "epoll".
func (b *Broker) IO() string { return b.io }

// socketAddrs are both ends of a connected socket without ports, "" when unknown.
func socketAddrs(fd int32) (local, remote string) {
	if sa, err := unix.Getsockname(int(fd)); err == nil {
		local = hostOf(sa)
	}
	if sa, err := unix.Getpeername(int(fd)); err == nil {
		remote = hostOf(sa)
	}
	return local, remote
}

func hostOf(sa unix.Sockaddr) string {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return net.IP(a.Addr[:]).String()
	case *unix.SockaddrInet6:
		return net.IP(a.Addr[:]).String()
	}
	return ""
}
