package broker

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestMain(m *testing.M) {
	code := m.Run()
	Remove()
	os.Exit(code)
}

var engines = []string{"uring", "epoll"}

func client(t testing.TB, p *Process, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	opts = append([]kgo.Opt{kgo.SeedBrokers(p.Addr), kgo.AllowAutoTopicCreation()}, opts...)
	c, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func createTopic(t testing.TB, c *kgo.Client, name string, parts int32, configs map[string]string) {
	t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = name, parts, 1
	for k, v := range configs {
		rc := kmsg.NewCreateTopicsRequestTopicConfig()
		rc.Name, rc.Value = k, kmsg.StringPtr(v)
		rt.Configs = append(rt.Configs, rc)
	}
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(within(t, 30*time.Second), c)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Topics[0].ErrorCode != 0 {
		t.Fatalf("create %s: code %d", name, resp.Topics[0].ErrorCode)
	}
}

// Start to first acknowledged produce, a clean stop, and what was written is there again.
func TestStartProduceStopStart(t *testing.T) {
	for _, io := range engines {
		for _, durability := range []string{"fsync", "write"} {
			t.Run(io+"/"+durability, func(t *testing.T) {
				args := []string{"--io", io, "--durability", durability}
				began := time.Now()
				p := Start(t, "", args...)
				c := client(t, p, kgo.DefaultProduceTopic("t"))
				ctx := within(t, 60*time.Second)
				if err := c.ProduceSync(ctx, kgo.StringRecord("one")).FirstErr(); err != nil {
					t.Fatal(err)
				}
				t.Logf("start to first ack: %v, resident %d MB", time.Since(began), p.Resident(t)>>20)
				if code := p.Stop(t); code != 0 {
					t.Fatalf("exit code %d after SIGTERM", code)
				}
				p = Start(t, p.Dir, args...)
				c = client(t, p, kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
				f := c.PollFetches(ctx)
				if recs := f.Records(); len(recs) != 1 || string(recs[0].Value) != "one" {
					t.Fatalf("after the restart: %v, %v", recs, f.Errors())
				}
			})
		}
	}
}

// A second broker on the same data directory is refused, the first one is unharmed.
func TestSecondBrokerRefused(t *testing.T) {
	p := Start(t, "")
	if _, err := Try(t, p.Dir); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("second broker: %v", err)
	}
	if err := client(t, p).Ping(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
}

// The admin server answers, with figures that move.
func TestAdmin(t *testing.T) {
	p := Start(t, "")
	c := client(t, p, kgo.DefaultProduceTopic("t"))
	if err := c.ProduceSync(within(t, 30*time.Second), kgo.StringRecord("x")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"healthz", "readyz", "metrics"} {
		resp, err := http.Get("http://" + p.Admin + "/" + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s\n%s", path, resp.Status, body)
		}
		if path == "metrics" && !strings.Contains(string(body), fmt.Sprintf(`api="%s"`, "Produce")) {
			t.Fatalf("no Produce in the metrics:\n%s", body)
		}
	}
}
