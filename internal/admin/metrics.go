package admin

import (
	"strconv"
	"strings"
	"time"

	"millrace/internal/admin/status"
	"millrace/internal/invariant"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// collector renders snapshots. It describes nothing beforehand ("unchecked"):
// some of Kafka's names come with and without labels, as jmx_exporter has them.
type collector struct {
	src       *shared
	maxSeries int
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	e := &emitter{ch: ch, left: c.maxSeries}
	if err := c.src.src.Healthy(); err != nil {
		e.gauge("millrace_healthy", "1 until a failure latched.", 0)
	} else {
		e.gauge("millrace_healthy", "1 until a failure latched.", 1)
	}
	e.process()
	snap, err := c.src.get()
	if err != nil {
		e.gauge("millrace_ready", "1 when clients are served.", 0)
		e.gauge("millrace_scrape_failed", "1 when the cores gave no figures to this scrape.", 1)
		return
	}
	ready := 1.0
	if c.src.src.Ready() != nil {
		ready = 0
	}
	e.gauge("millrace_ready", "1 when clients are served.", ready)
	e.gauge("millrace_scrape_failed", "1 when the cores gave no figures to this scrape.", 0)
	e.broker(&snap.Broker)
	e.cores(snap.Cores)
	e.apis(apiTotals(snap.Cores))
	e.kafka(snap)
	e.topics(topicTotals(snap.Partitions))
	e.groups(snap.Groups)
	e.gauge("millrace_metrics_dropped_series",
		"Series per topic or per group, topic and partition left out of this scrape.",
		float64(e.dropped))
}

// emitter writes metrics; series with open-ended labels draw on left.
type emitter struct {
	ch      chan<- prometheus.Metric
	left    int
	dropped int
}

type labels struct{ names, values []string }

func lab(pairs ...string) labels {
	var l labels
	for i := 0; i+1 < len(pairs); i += 2 {
		l.names = append(l.names, pairs[i])
		l.values = append(l.values, clean(pairs[i+1]))
	}
	return l
}

// clean makes a label value of a name that clients chose: Prometheus refuses
// bytes that are not UTF-8.
func clean(v string) string { return strings.ToValidUTF8(v, "\uFFFD") }

func (e *emitter) emit(t prometheus.ValueType, name, help string, v float64, l labels) {
	d := prometheus.NewDesc(name, help, l.names, nil)
	m, err := prometheus.NewConstMetric(d, t, v, l.values...)
	invariant.Check(err == nil) // label and value counts match, and clean made the values UTF-8
	e.ch <- m
}

func (e *emitter) gauge(name, help string, v float64, pairs ...string) {
	e.emit(prometheus.GaugeValue, name, help, v, lab(pairs...))
}

func (e *emitter) counter(name, help string, v float64, pairs ...string) {
	e.emit(prometheus.CounterValue, name, help, v, lab(pairs...))
}

// room takes n series of the budget; without room they are counted as dropped.
func (e *emitter) room(n int) bool {
	if e.left < n {
		e.dropped += n
		return false
	}
	e.left -= n
	return true
}

// histogram renders the octaves lo..hi (powers of two) of h as buckets; scale
// turns the stored unit into the shown one.
func (e *emitter) histogram(name, help string, h *status.Histogram, lo, hi int, scale float64, pairs ...string) {
	l := lab(pairs...)
	buckets := make(map[float64]uint64, hi-lo+1)
	for exp := lo; exp <= hi; exp++ {
		buckets[float64(uint64(1)<<exp)*scale] = h.AtMost(exp)
	}
	d := prometheus.NewDesc(name, help, l.names, nil)
	m, err := prometheus.NewConstHistogram(d, h.Count(), float64(h.Sum)*scale, buckets, l.values...)
	invariant.Check(err == nil)
	e.ch <- m
}

func (e *emitter) broker(b *status.Broker) {
	e.gauge("millrace_build_info", "Always 1; the labels tell what runs.", 1, "version", b.Version,
		"cluster_id", b.ClusterID, "node_id", strconv.Itoa(int(b.NodeID)), "io", b.IO, "durability", b.Durability)
	e.gauge("millrace_uptime_seconds", "Since the broker was started.", time.Since(b.Started).Seconds())
	e.gauge("millrace_brokers", "Brokers in the cluster.", float64(b.Brokers))
	e.gauge("millrace_topics", "Topics, internal ones included.", float64(b.Topics))
	e.gauge("millrace_image_index", "Raft index of the metadata image in use.", float64(b.ImageIndex))
	e.gauge("millrace_disk_free_bytes", "Space left in the data directory.", float64(b.DiskFree))
	e.gauge("millrace_disk_total_bytes", "Size of the data directory's filesystem.", float64(b.DiskTotal))
}

const (
	seconds = 1e-6 // histograms of time hold microseconds
	once    = 1
)

func (e *emitter) cores(cores []status.Core) {
	var commit, size status.Histogram
	for i := range cores {
		c := &cores[i]
		e.core(c, strconv.Itoa(c.Index))
		e.cleaner(&c.Cleaner, strconv.Itoa(c.Index))
		commit.Add(&c.CommitLatency)
		size.Add(&c.CommitSize)
	}
	e.histogram("millrace_commit_duration_seconds", "One group commit, write to durable.", &commit, 4, 24, seconds)
	e.histogram("millrace_commit_bytes", "Bytes of one group commit.", &size, 12, 26, once)
}

func (e *emitter) core(c *status.Core, id string) {
	count := func(name, help string, v uint64) { e.counter("millrace_"+name, help, float64(v), "core", id) }
	now := func(name, help string, v int64) { e.gauge("millrace_"+name, help, float64(v), "core", id) }

	e.counter("millrace_core_busy_seconds_total", "Time in turns: its rate is the busy share.",
		float64(c.BusyNanos)/1e9, "core", id)
	e.counter("millrace_core_parked_seconds_total", "Time waiting for completions.",
		float64(c.ParkedNanos)/1e9, "core", id)
	count("core_turns_total", "Turns taken.", c.Turns)
	count("core_ops_total", "Operations given to the kernel.", c.Ops)

	now("connections", "Open client connections.", int64(c.Connections))
	count("connections_accepted_total", "Connections accepted.", c.Accepted)
	count("connections_refused_total", "Connections closed at once, for a limit.", c.Refused)
	count("bad_frames_total", "Connections closed for bytes that are no request.", c.BadFrames)
	now("connections_paused", "Connections not read at present, for back-pressure.", int64(c.PausedReads))
	now("fetches_parked", "Fetches that wait for data.", int64(c.ParkedFetches))
	now("partitions", "Partitions that the core owns.", int64(c.Partitions))

	count("messages_in_total", "Records appended.", c.MessagesIn)
	count("bytes_in_total", "Bytes of record batches appended.", c.BytesIn)
	count("bytes_out_total", "Bytes of record batches sent to consumers.", c.BytesOut)
	count("failed_produce_total", "Partitions of produce requests refused.", c.FailedProduce)
	count("failed_fetch_total", "Partitions of fetch requests refused.", c.FailedFetch)
	count("cold_reads_total", "Reads that went to the disk.", c.ColdReads)
	count("cold_read_bytes_total", "Bytes of those reads.", c.ColdReadBytes)
	count("segment_written_bytes_total", "Bytes written to partitions' files.", c.SegmentBytes)
	count("commits_total", "Group commits.", c.Commits)
	count("two_step_commits_total", "Group commits made durable by a sync of their own.", c.TwoSteps)
	count("journal_written_bytes_total", "Bytes written to the journal, padding included.", c.JournalBytes)

	now("journal_backlog_bytes", "Journal bytes not yet covered by a checkpoint.", c.JournalBacklog)
	now("journal_limit_bytes", "Most bytes the journal may hold.", c.JournalLimit)
	now("cache_bytes", "Memory that keeps written data for readers.", c.CacheBytes)
	now("cache_limit_bytes", "Most bytes the cache may hold.", c.CacheLimit)
	now("pinned_bytes", "Memory held by sends in flight.", c.PinnedBytes)
	now("arena_bytes", "Off-heap memory held.", c.ArenaBytes)
	now("arena_limit_bytes", "Most off-heap memory that may be held.", c.ArenaLimit)
}

// cleaner is what Kafka tells of its log cleaner, by core.
func (e *emitter) cleaner(c *status.Cleaner, id string) {
	count := func(name, help string, v uint64) {
		e.counter("millrace_cleaner_"+name, help, float64(v), "core", id)
	}
	count("runs_total", "Logs compacted.", c.Runs)
	count("failed_total", "Compactions given up.", c.Failed)
	count("swaps_total", "Compacted segments put in place.", c.Swaps)
	count("read_bytes_total", "Bytes read by compaction.", c.ReadBytes)
	count("written_bytes_total", "Bytes written by compaction.", c.WrittenBytes)
	count("records_in_total", "Records that compaction looked at.", c.RecordsIn)
	count("records_out_total", "Records that it kept.", c.RecordsOut)
	e.gauge("millrace_cleaner_max_dirty_ratio", "Share not yet compacted of the dirtiest log.",
		c.MaxDirtyRatio, "core", id)
	e.gauge("millrace_cleaner_uncleanable_partitions", "Logs left alone because they are damaged.",
		float64(c.Uncleanable), "core", id)
	if c.LastMillis > 0 {
		e.gauge("millrace_cleaner_last_run_seconds", "Since the last compaction ended.",
			time.Since(time.UnixMilli(c.LastMillis)).Seconds(), "core", id)
	}
}

func (e *emitter) apis(apis map[int]*status.API) {
	for key, a := range apis {
		name := kmsg.NameForKey(int16(key))
		e.counter("millrace_requests_total", "Requests answered.", float64(a.Requests), "api", name)
		e.counter("millrace_request_errors_total", "Answers with an error code.", float64(a.Errors), "api", name)
		e.counter("millrace_request_bytes_total", "Bytes of requests.", float64(a.BytesIn), "api", name)
		e.counter("millrace_response_bytes_total", "Bytes of answers.", float64(a.BytesOut), "api", name)
		e.histogram("millrace_request_duration_seconds", "From the whole request read to the answer sent.",
			&a.Latency, 4, 26, seconds, "api", name)
	}
}
