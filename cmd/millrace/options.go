package main

import (
	"math"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"millrace/engine"
	"millrace/internal/cli"
	"millrace/segment"
)

// options are the settings, checked and typed.
type options struct {
	engine engine.Config
	admin  string   // HOST:PORT, "" for none
	idle   []string // what was accepted without effect
	// memoryFloor: memory.bytes was not given, so it gives way down to here; 0: it does not.
	memoryFloor int64
}

const defaultAdmin = "127.0.0.1:9644"

// options turns settings into what the broker is started with. Names were checked
// against Kafka's list before.
func (s settings) options() (*options, error) {
	o := &options{engine: engine.Defaults(), admin: s.text(setAdmin, defaultAdmin)}
	c := &o.engine
	insecure := false
	durability := "fsync"
	c.Cores = defaultCores()
	steps := []func() error{
		func() error { return boolean(s, setInsecure, &insecure) },
		func() error { return choice(s, setIO, &c.IO, "auto", "uring", "epoll") },
		func() error { return choice(s, setDurability, &durability, "fsync", "write") },
		func() error { return number(s, setCores, &c.Cores, 1, 1024) },
		func() error {
			usable := usableMemory()
			if _, given := s[setMemory]; !given {
				o.memoryFloor = memoryFloor(usable, c.Cores)
			}
			c.MemoryBytes = defaultMemory(usable, c.Cores)
			return number(s, setMemory, &c.MemoryBytes, leastMemory, math.MaxInt64)
		},
		func() error { return s.cache(c) },
		func() error { return number(s, setJournal, &c.JournalMaxBytes, 2*c.JournalFile, math.MaxInt64) },
		func() error { return s.journalDir(c) },
		func() error { return number(s, setJournals, &c.Journals, 1, int64(c.Cores)) },
		func() error { return s.identity(c) },
		func() error { return s.limits(c) },
		func() error { return s.groups(&c.Groups) },
		func() error { return s.listen(o, insecure) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	if durability == "write" {
		c.Durability = segment.Write
	}
	c.Static = s.split()
	return o, nil
}

func (s settings) journalDir(c *engine.Config) error {
	dir := s.text(setJournalDir, "")
	if dir == "" {
		return nil
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return s.refuse(setJournalDir, "%v", err)
	}
	c.JournalDir = abs
	return nil
}

func (s settings) cache(c *engine.Config) error {
	c.CacheBytes = c.MemoryBytes / cacheShare * (cacheShare - 1)
	if err := number(s, setCache, &c.CacheBytes, 0, math.MaxInt64); err != nil {
		return err
	}
	if c.CacheBytes > c.MemoryBytes {
		return s.refuse(setCache, "more than %s (%d)", setMemory, c.MemoryBytes)
	}
	return nil
}

// identity reads who this broker is and where its data is.
func (s settings) identity(c *engine.Config) error {
	node := "node.id"
	if _, given := s[node]; !given {
		node = "broker.id" // its name before KRaft
	}
	if err := number(s, node, &c.NodeID, 0, math.MaxInt32); err != nil {
		return err
	}
	if roles := s.text("process.roles", ""); roles != "" && !strings.Contains(roles, "broker") {
		return s.refuse("process.roles", "only a broker, with the controller in it, is served")
	}
	c.Rack = s.text("broker.rack", "")
	dirs := "log.dirs"
	if s.text(dirs, "") == "" {
		dirs = "log.dir"
	}
	var list []string
	for _, dir := range strings.Split(s.text(dirs, "data"), ",") {
		dir = strings.TrimSpace(dir)
		switch {
		case dir == "":
			return s.refuse(dirs, "no directory")
		case slices.Contains(list, filepath.Clean(dir)):
			return s.refuse(dirs, "%s is there twice", dir)
		}
		list = append(list, filepath.Clean(dir))
	}
	c.DataDir, c.AlsoDirs = list[0], list[1:]
	return nil
}

func (s settings) limits(c *engine.Config) error {
	const most32, most64 = math.MaxInt32, math.MaxInt64
	for _, err := range []error{
		number(s, "socket.request.max.bytes", &c.RequestMaxBytes, 1, most32),
		number(s, "max.connections", &c.MaxConnections, 0, most32),
		number(s, "max.connections.per.ip", &c.MaxConnectionsPerIP, 0, most32),
		number(s, "connections.max.idle.ms", &c.IdleMillis, math.MinInt64, most64),
		number(s, "num.partitions", &c.NumPartitions, 1, most32),
		number(s, "fetch.max.bytes", &c.FetchMaxBytes, 1024, most32),
		number(s, "max.incremental.fetch.session.cache.slots", &c.SessionSlots, 0, most32),
		number(s, "offsets.topic.num.partitions", &c.OffsetsPartitions, 1, most32),
		number(s, "offsets.topic.segment.bytes", &c.OffsetsSegmentBytes, 1, most32),
		number(s, "producer.id.expiration.ms", &c.ProducerExpiryMs, 1, most32),
		boolean(s, "auto.create.topics.enable", &c.AutoCreate),
		boolean(s, "delete.topic.enable", &c.DeleteTopicEnable),
	} {
		if err != nil {
			return err
		}
	}
	if int64(c.RequestMaxBytes) > c.MemoryBytes/2 {
		return cli.Usage("socket.request.max.bytes=%d: more than half of %s (%d)",
			c.RequestMaxBytes, setMemory, c.MemoryBytes)
	}
	return nil
}

func (s settings) groups(g *engine.GroupConfig) error {
	const most32, most64 = math.MaxInt32, math.MaxInt64
	for _, err := range []error{
		number(s, "group.initial.rebalance.delay.ms", &g.InitialRebalanceDelayMs, 0, most32),
		number(s, "group.min.session.timeout.ms", &g.MinSessionTimeoutMs, 0, most32),
		number(s, "group.max.session.timeout.ms", &g.MaxSessionTimeoutMs, 0, most32),
		number(s, "group.max.size", &g.MaxSize, 1, most32),
		number(s, "offset.metadata.max.bytes", &g.OffsetMetadataMaxBytes, 0, most32),
		number(s, "offsets.retention.minutes", &g.OffsetsRetentionMinutes, 1, most64),
		number(s, "offsets.retention.check.interval.ms", &g.OffsetsRetentionCheckMs, 1, most64),
	} {
		if err != nil {
			return err
		}
	}
	if g.MinSessionTimeoutMs > g.MaxSessionTimeoutMs {
		return cli.Usage("group.min.session.timeout.ms (%d) is more than group.max.session.timeout.ms (%d)",
			g.MinSessionTimeoutMs, g.MaxSessionTimeoutMs)
	}
	return nil
}

func (s settings) listen(o *options, insecure bool) error {
	p, err := s.plan(insecure)
	if err != nil {
		return err
	}
	o.engine.Listeners, o.idle = p.listeners, p.left
	if o.admin == "" || o.admin == "none" {
		o.admin = ""
		return nil
	}
	host, port, err := net.SplitHostPort(o.admin)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return s.refuse(setAdmin, "want HOST:PORT, or none")
	}
	if !loopback(host) && !insecure {
		return insecureRefusal(setAdmin, o.admin)
	}
	return nil
}
