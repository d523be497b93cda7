package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

// Cores are inside a broker: Kafka's protocol knows nothing of them, the admin server does.

const defaultAdmin = "127.0.0.1:9644"

type placement struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Core      int    `json:"core"`
	Bytes     int64  `json:"bytes"`
	In        uint64 `json:"messages_in"`
}

func adminFlag(cmd *cobra.Command, admin *string) {
	cmd.Flags().StringVar(admin, "admin", defaultAdmin, "HOST:PORT of the broker's admin server")
}

func clusterCores(a *app) *cobra.Command {
	var admin, topic string
	cmd := &cobra.Command{
		Use: "cores", Short: "Show which core of a broker each partition is on", Args: cobra.NoArgs,
	}
	adminFlag(cmd, &admin)
	cmd.Flags().StringVar(&topic, "topic", "", "only this topic")
	return a.verb(cmd, func(ctx context.Context, _ []string) error {
		path := "/v1/partitions"
		if topic != "" {
			path += "?topic=" + url.QueryEscape(topic)
		}
		rows := []placement{}
		if err := adminCall(ctx, http.MethodGet, admin, path, nil, &rows); err != nil {
			return err
		}
		t := newTable("", "TOPIC", "PARTITION", "CORE", "BYTES", "MESSAGES-IN")
		for _, r := range rows {
			t.row(r.Topic, r.Partition, r.Core, r.Bytes, r.In)
		}
		return a.show(rows, t)
	})
}

func clusterMove(a *app) *cobra.Command {
	var admin string
	var p placement
	cmd := &cobra.Command{
		Use:   "move",
		Short: "Bring a partition to another core of its broker",
		Long: "Bring a partition to another core of its broker, while it serves: clients see a pause of some\n" +
			"milliseconds. It stays there over restarts with as many cores. Partitions of __consumer_offsets\n" +
			"cannot be moved.",
		Example: "  millrace cluster move --topic orders --partition 3 --core 1",
		Args:    cobra.NoArgs,
	}
	adminFlag(cmd, &admin)
	cmd.Flags().StringVar(&p.Topic, "topic", "", "topic")
	cmd.Flags().Int32Var(&p.Partition, "partition", 0, "partition")
	cmd.Flags().IntVar(&p.Core, "core", 0, "core that it goes to")
	for _, name := range []string{"topic", "partition", "core"} {
		_ = cmd.MarkFlagRequired(name)
	}
	return a.verb(cmd, func(ctx context.Context, _ []string) error {
		body := map[string]any{"topic": p.Topic, "partition": p.Partition, "core": p.Core}
		if err := adminCall(ctx, http.MethodPost, admin, "/v1/partitions/move", body, &p); err != nil {
			return err
		}
		t := newTable("", "TOPIC", "PARTITION", "CORE")
		t.row(p.Topic, p.Partition, p.Core)
		return a.show(map[string]any{"topic": p.Topic, "partition": p.Partition, "core": p.Core}, t)
	})
}

// answerMax bounds what is read of an answer.
const answerMax = 64 << 20

// adminCall asks the admin server, and decodes its answer into v.
func adminCall(ctx context.Context, method, addr, path string, body, v any) error {
	var send io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("cli: %w", err)
		}
		send = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+addr+path, send)
	if err != nil {
		return Usage("--admin %q: want HOST:PORT", addr)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return &Error{Code: ExitUnreachable, Err: fmt.Errorf("the admin server of %s: %w", addr, err)}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, answerMax))
	if err != nil {
		return &Error{Code: ExitUnreachable, Err: fmt.Errorf("the admin server of %s: %w", addr, err)}
	}
	if resp.StatusCode != http.StatusOK {
		var refused struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(b, &refused) != nil || refused.Error == "" {
			refused.Error = resp.Status
		}
		return Failed("%s", refused.Error)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return Failed("the admin server of %s answers: %w", addr, err)
	}
	return nil
}
