package cli

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func groupCommand(a *app) *cobra.Command {
	return Noun("group", "Show, move and delete consumer groups",
		groupList(a), groupDescribe(a), groupSeek(a), groupDelete(a), groupDeleteOffsets(a))
}

type groupRow struct {
	Broker   int32  `json:"broker"`
	Group    string `json:"group"`
	Type     string `json:"type,omitempty"`
	Protocol string `json:"protocol_type"`
	State    string `json:"state"`
}

func groupList(a *app) *cobra.Command {
	var states []string
	cmd := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List groups of all brokers", Args: cobra.NoArgs}
	cmd.Flags().StringSliceVar(&states, "states", nil, "only groups in these states (Stable, Empty, ...)")
	return a.verb(cmd, func(ctx context.Context, _ []string) error {
		req := kmsg.NewPtrListGroupsRequest()
		req.StatesFilter = states
		shards, err := a.sharded(ctx, req)
		if err != nil {
			return err
		}
		rows := []groupRow{}
		var failed []error
		for _, s := range shards {
			if s.Err != nil {
				failed = append(failed, fmt.Errorf("broker %d: %w", s.Meta.NodeID, s.Err))
				continue
			}
			resp := s.Resp.(*kmsg.ListGroupsResponse)
			if err := refused(fmt.Sprintf("broker %d", s.Meta.NodeID), resp.ErrorCode, nil); err != nil {
				failed = append(failed, err)
			}
			for _, g := range resp.Groups {
				rows = append(rows, groupRow{s.Meta.NodeID, g.Group, g.GroupType, g.ProtocolType, g.GroupState})
			}
		}
		sort.Slice(rows, func(i, j int) bool { return rows[i].Group < rows[j].Group })
		t := newTable("", "BROKER", "GROUP", "PROTOCOL-TYPE", "STATE")
		for _, r := range rows {
			t.row(r.Broker, r.Group, orDash(r.Protocol), orDash(r.State))
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

func groupDelete(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete GROUP...", Short: "Delete empty groups and their commits", Args: cobra.MinimumNArgs(1),
	}
	return a.verb(cmd, func(ctx context.Context, args []string) error {
		req := kmsg.NewPtrDeleteGroupsRequest()
		req.Groups = args
		resp, err := ask[*kmsg.DeleteGroupsResponse](ctx, a, req)
		if err != nil {
			return err
		}
		var rows []status
		for _, g := range resp.Groups {
			rows = append(rows, coded(g.Group, g.ErrorCode, nil))
		}
		return a.statuses("GROUP", rows)
	})
}

func groupDeleteOffsets(a *app) *cobra.Command {
	var topics []string
	cmd := &cobra.Command{
		Use:     "delete-offsets GROUP",
		Short:   "Delete a group's commits for topics that it no longer reads",
		Example: "  millrace group delete-offsets billing --topic orders --topic refunds:0,2",
		Args:    cobra.ExactArgs(1),
	}
	cmd.Flags().StringArrayVar(&topics, "topic", nil, "TOPIC or TOPIC:PARTITION,... (repeatable)")
	_ = cmd.MarkFlagRequired("topic")
	return a.verb(cmd, func(ctx context.Context, args []string) error {
		want, err := parsePlaces(topics)
		if err != nil {
			return err
		}
		places, err := a.places(ctx, want)
		if err != nil {
			return err
		}
		req := kmsg.NewPtrOffsetDeleteRequest()
		req.Group = args[0]
		for topic, parts := range places {
			t := kmsg.NewOffsetDeleteRequestTopic()
			t.Topic = topic
			for _, p := range parts {
				rp := kmsg.NewOffsetDeleteRequestTopicPartition()
				rp.Partition = p
				t.Partitions = append(t.Partitions, rp)
			}
			req.Topics = append(req.Topics, t)
		}
		resp, err := ask[*kmsg.OffsetDeleteResponse](ctx, a, req)
		if err != nil {
			return err
		}
		if err := refused("group "+args[0], resp.ErrorCode, nil); err != nil {
			return err
		}
		var rows []status
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				rows = append(rows, coded(fmt.Sprintf("%s/%d", t.Topic, p.Partition), p.ErrorCode, nil))
			}
		}
		sort.Slice(rows, func(i, j int) bool { return rows[i].Name < rows[j].Name })
		return a.statuses("PARTITION", rows)
	})
}

// describeGroup asks the coordinator of one group; dead says that it does not exist.
func (a *app) describeGroup(ctx context.Context, group string) (*kmsg.DescribeGroupsResponseGroup, error) {
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = []string{group}
	resp, err := ask[*kmsg.DescribeGroupsResponse](ctx, a, req)
	if err != nil {
		return nil, err
	}
	if len(resp.Groups) != 1 {
		return nil, Failed("DescribeGroups: asked for 1 group, got %d", len(resp.Groups))
	}
	g := &resp.Groups[0]
	if g.ErrorCode == kerr.GroupIDNotFound.Code {
		g.ErrorCode, g.State = 0, dead
	}
	return g, refused("group "+group, g.ErrorCode, g.ErrorMessage)
}

const (
	dead  = "Dead"
	empty = "Empty"
)

// committed asks for a group's commits, all of them.
func (a *app) committed(ctx context.Context, group string) (map[place]int64, error) {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = group // v0 to v7; above, the list
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	req.Groups = append(req.Groups, g)
	resp, err := ask[*kmsg.OffsetFetchResponse](ctx, a, req)
	if err != nil {
		return nil, err
	}
	out := make(map[place]int64)
	if err := refused("commits of "+group, resp.ErrorCode, nil); err != nil {
		return nil, err
	}
	for _, g := range resp.Groups {
		if err := refused("commits of "+group, g.ErrorCode, nil); err != nil {
			return nil, err
		}
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				if p.ErrorCode == 0 && p.Offset >= 0 {
					out[place{t.Topic, p.Partition}] = p.Offset
				}
			}
		}
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode == 0 && p.Offset >= 0 {
				out[place{t.Topic, p.Partition}] = p.Offset
			}
		}
	}
	return out, nil
}
