package admin

import (
	"sort"
	"time"

	"millrace/internal/admin/status"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// report is the answer of /v1/status: small, for people and scripts.
type report struct {
	Version       string       `json:"version"`
	ClusterID     string       `json:"cluster_id"`
	NodeID        int32        `json:"node_id"`
	UptimeSeconds float64      `json:"uptime_seconds"`
	IO            string       `json:"io"`
	Durability    string       `json:"durability"`
	Listeners     []string     `json:"listeners"`
	DataDir       string       `json:"data_dir"`
	DiskFree      int64        `json:"disk_free_bytes"`
	DiskTotal     int64        `json:"disk_total_bytes"`
	Topics        int          `json:"topics"`
	Partitions    int          `json:"partitions"`
	Groups        int          `json:"groups"`
	Cores         []coreReport `json:"cores"`
	APIs          []apiReport  `json:"apis"`
}

type coreReport struct {
	Core           int     `json:"core"`
	BusyShare      float64 `json:"busy_share_since_start"`
	Connections    int     `json:"connections"`
	Partitions     int     `json:"partitions"`
	JournalBacklog int64   `json:"journal_backlog_bytes"`
	CacheBytes     int64   `json:"cache_bytes"`
	PinnedBytes    int64   `json:"pinned_bytes"`
	ArenaBytes     int64   `json:"arena_bytes"`
	CommitP50      uint64  `json:"commit_p50_us"`
	CommitP99      uint64  `json:"commit_p99_us"`
}

type apiReport struct {
	Name     string `json:"name"`
	Requests uint64 `json:"requests"`
	Errors   uint64 `json:"errors"`
	P50      uint64 `json:"p50_us"`
	P99      uint64 `json:"p99_us"`
}

func summary(s *status.Snapshot) report {
	b := &s.Broker
	r := report{
		Version: b.Version, ClusterID: b.ClusterID, NodeID: b.NodeID,
		UptimeSeconds: time.Since(b.Started).Seconds(),
		IO:            b.IO, Durability: b.Durability, Listeners: b.Listeners, DataDir: b.DataDir,
		DiskFree: b.DiskFree, DiskTotal: b.DiskTotal,
		Topics: b.Topics, Partitions: len(s.Partitions), Groups: len(s.Groups),
		Cores: []coreReport{}, APIs: []apiReport{},
	}
	for i := range s.Cores {
		c := &s.Cores[i]
		r.Cores = append(r.Cores, coreReport{
			Core: c.Index, BusyShare: share(c.BusyNanos, c.ParkedNanos), Connections: c.Connections,
			Partitions: c.Partitions, JournalBacklog: c.JournalBacklog, CacheBytes: c.CacheBytes,
			PinnedBytes: c.PinnedBytes, ArenaBytes: c.ArenaBytes,
			CommitP50: c.CommitLatency.Quantile(0.5), CommitP99: c.CommitLatency.Quantile(0.99),
		})
	}
	for key, a := range apiTotals(s.Cores) {
		r.APIs = append(r.APIs, apiReport{
			Name: kmsg.NameForKey(int16(key)), Requests: a.Requests, Errors: a.Errors,
			P50: a.Latency.Quantile(0.5), P99: a.Latency.Quantile(0.99),
		})
	}
	sort.Slice(r.APIs, func(i, j int) bool { return r.APIs[i].Name < r.APIs[j].Name })
	return r
}

func share(busy, parked uint64) float64 {
	if busy+parked == 0 {
		return 0
	}
	return float64(busy) / float64(busy+parked)
}
