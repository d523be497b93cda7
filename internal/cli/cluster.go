package cli

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func clusterCommand(a *app) *cobra.Command {
	return Noun("cluster", "Show brokers, health, disk use and API versions",
		clusterInfo(a), clusterHealth(a), clusterLogDirs(a), clusterVersions(a), clusterCores(a), clusterMove(a))
}

type brokerRow struct {
	ID         int32  `json:"id"`
	Host       string `json:"host"`
	Port       int32  `json:"port"`
	Rack       string `json:"rack,omitempty"`
	Controller bool   `json:"controller"`
}

func clusterInfo(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "info", Short: "Show the cluster's id and brokers", Args: cobra.NoArgs}
	return a.verb(cmd, func(ctx context.Context, _ []string) error {
		m, err := a.metadata(ctx, nil, false)
		if err != nil {
			return err
		}
		type answer struct {
			ClusterID string      `json:"cluster_id"`
			Brokers   []brokerRow `json:"brokers"`
		}
		v := answer{ClusterID: deref(m.ClusterID), Brokers: []brokerRow{}}
		id := newTable("CLUSTER", "ID")
		id.row(v.ClusterID)
		t := newTable("BROKERS", "ID", "HOST", "PORT", "RACK", "CONTROLLER")
		for _, b := range m.Brokers {
			r := brokerRow{b.NodeID, b.Host, b.Port, deref(b.Rack), b.NodeID == m.ControllerID}
			v.Brokers = append(v.Brokers, r)
			t.row(r.ID, r.Host, r.Port, orDash(r.Rack), r.Controller)
		}
		return a.show(v, id, t)
	})
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func clusterHealth(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Say whether every partition has a leader and all its replicas",
		Long: "Say whether the cluster has a controller and every partition a leader and all its replicas.\n" +
			"Exit code 1 when not.",
		Args: cobra.NoArgs,
	}
	return a.verb(cmd, func(ctx context.Context, _ []string) error {
		m, err := a.metadata(ctx, nil, true)
		if err != nil {
			return err
		}
		type answer struct {
			Healthy         bool     `json:"healthy"`
			Controller      int32    `json:"controller"`
			Brokers         int      `json:"brokers"`
			Topics          int      `json:"topics"`
			Partitions      int      `json:"partitions"`
			Leaderless      []string `json:"leaderless"`
			UnderReplicated []string `json:"under_replicated"`
		}
		v := answer{
			Controller: m.ControllerID, Brokers: len(m.Brokers), Topics: len(m.Topics),
			Leaderless: []string{}, UnderReplicated: []string{},
		}
		for i := range m.Topics {
			t := &m.Topics[i]
			for _, p := range t.Partitions {
				v.Partitions++
				name := fmt.Sprintf("%s/%d", deref(t.Topic), p.Partition)
				if p.Leader < 0 {
					v.Leaderless = append(v.Leaderless, name)
				}
				if len(p.ISR) < len(p.Replicas) {
					v.UnderReplicated = append(v.UnderReplicated, name)
				}
			}
		}
		v.Healthy = v.Controller >= 0 && len(v.Leaderless) == 0 && len(v.UnderReplicated) == 0
		t := newTable("", "HEALTHY", "CONTROLLER", "BROKERS", "TOPICS", "PARTITIONS", "LEADERLESS", "UNDER-REPLICATED")
		t.row(v.Healthy, v.Controller, v.Brokers, v.Topics, v.Partitions, len(v.Leaderless), len(v.UnderReplicated))
		if err := a.show(v, t); err != nil {
			return err
		}
		if !v.Healthy {
			return Failed("not healthy: leaderless %v, under-replicated %v", v.Leaderless, v.UnderReplicated)
		}
		return nil
	})
}

type logDirRow struct {
	Broker    int32  `json:"broker"`
	Dir       string `json:"dir"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Size      int64  `json:"size"`
}

func clusterLogDirs(a *app) *cobra.Command {
	var topics []string
	cmd := &cobra.Command{Use: "logdirs", Short: "Show how much disk each partition uses", Args: cobra.NoArgs}
	cmd.Flags().StringSliceVar(&topics, "topics", nil, "only these topics")
	return a.verb(cmd, func(ctx context.Context, _ []string) error {
		req := kmsg.NewPtrDescribeLogDirsRequest()
		if len(topics) > 0 {
			places, err := a.places(ctx, toPlaces(topics))
			if err != nil {
				return err
			}
			for topic, parts := range places {
				t := kmsg.NewDescribeLogDirsRequestTopic()
				t.Topic, t.Partitions = topic, parts
				req.Topics = append(req.Topics, t)
			}
		}
		shards, err := a.sharded(ctx, req)
		if err != nil {
			return err
		}
		rows := []logDirRow{}
		var failed []error
		for _, shard := range shards {
			if shard.Err != nil {
				failed = append(failed, fmt.Errorf("broker %d: %w", shard.Meta.NodeID, shard.Err))
				continue
			}
			got, err := logDirRows(shard.Meta.NodeID, shard.Resp.(*kmsg.DescribeLogDirsResponse))
			rows = append(rows, got...)
			failed = append(failed, err...)
		}
		sort.Slice(rows, func(i, j int) bool {
			x, y := rows[i], rows[j]
			if x.Topic != y.Topic {
				return x.Topic < y.Topic
			}
			return x.Partition < y.Partition || x.Partition == y.Partition && x.Broker < y.Broker
		})
		t := newTable("", "BROKER", "DIR", "TOPIC", "PARTITION", "SIZE")
		for _, r := range rows {
			t.row(r.Broker, r.Dir, r.Topic, r.Partition, r.Size)
		}
		if err := a.show(rows, t); err != nil {
			return err
		}
		if len(failed) > 0 {
			return Failed("%w", errors.Join(failed...))
		}
		return nil
	})
}

func toPlaces(topics []string) map[string][]int32 {
	m := make(map[string][]int32)
	for _, t := range topics {
		m[t] = nil
	}
	return m
}

func logDirRows(broker int32, resp *kmsg.DescribeLogDirsResponse) (rows []logDirRow, failed []error) {
	if err := refused(fmt.Sprintf("broker %d", broker), resp.ErrorCode, nil); err != nil {
		failed = append(failed, err)
	}
	for _, d := range resp.Dirs {
		if err := refused(d.Dir, d.ErrorCode, nil); err != nil {
			failed = append(failed, err)
		}
		for _, t := range d.Topics {
			for _, p := range t.Partitions {
				rows = append(rows, logDirRow{broker, d.Dir, t.Topic, p.Partition, p.Size})
			}
		}
	}
	return rows, failed
}

type versionRow struct {
	Key  int16  `json:"key"`
	Name string `json:"name"`
	Min  int16  `json:"min"`
	Max  int16  `json:"max"`
}

func clusterVersions(a *app) *cobra.Command {
	var id int32
	cmd := &cobra.Command{
		Use: "api-versions", Short: "Show which APIs and versions a broker serves", Args: cobra.NoArgs,
	}
	cmd.Flags().Int32Var(&id, "broker", -1, "node id (-1: any)")
	return a.verb(cmd, func(ctx context.Context, _ []string) error {
		broker, err := a.broker(ctx, id)
		if err != nil {
			return err
		}
		req := kmsg.NewPtrApiVersionsRequest()
		req.ClientSoftwareName, req.ClientSoftwareVersion = "millrace-cli", "1"
		got, err := broker.Request(ctx, req)
		if err != nil {
			return Failed("ApiVersions: %w", err)
		}
		resp := got.(*kmsg.ApiVersionsResponse)
		if err := refused("ApiVersions", resp.ErrorCode, nil); err != nil {
			return err
		}
		rows := []versionRow{}
		t := newTable("", "KEY", "API", "MIN", "MAX")
		for _, k := range resp.ApiKeys {
			r := versionRow{k.ApiKey, kmsg.NameForKey(k.ApiKey), k.MinVersion, k.MaxVersion}
			rows = append(rows, r)
			t.row(r.Key, r.Name, r.Min, r.Max)
		}
		return a.show(rows, t)
	})
}

// broker is the one with this id, the first of --brokers when id is -1.
func (a *app) broker(ctx context.Context, id int32) (*kgo.Broker, error) {
	cl, err := a.client(ctx)
	if err != nil {
		return nil, err
	}
	if id < 0 {
		return cl.SeedBrokers()[0], nil
	}
	m, err := a.metadata(ctx, nil, false)
	if err != nil {
		return nil, err
	}
	for _, b := range m.Brokers {
		if b.NodeID == id {
			return cl.Broker(int(id)), nil
		}
	}
	return nil, Failed("there is no broker %d", id)
}
