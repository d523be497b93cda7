package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// restart is the story of a newcomer: a stock kafka-python program sends JSON to a topic that
// does not exist, a consumer of a group reads it, the broker stops and starts, the group goes on.
func (c *campaign) restart(ctx context.Context) {
	client := "restart" + c.suffix
	snippet := func(mode string, args ...string) error {
		ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
		defer cancel()
		argv := append([]string{filepath.Join(c.tools.repo, "test/compat/python/snippet.py"),
			c.broker.bootstrap(), mode}, args...)
		cmd := exec.CommandContext(ctx, c.tools.python, argv...)
		cmd.Env = os.Environ()
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("snippet %s: %w: %s", mode, err, strings.TrimSpace(string(out)))
		}
		return nil
	}
	if c.tools.python == "" {
		c.report.add(result{client: client, name: "newcomer", state: "SKIP", detail: "no Python"})
		return
	}
	step := func(name string, fn func() error) bool {
		start := time.Now()
		err := fn()
		c.verdict(client, name, err, time.Since(start))
		return err == nil
	}
	steps := []struct {
		name string
		fn   func() error
	}{
		{"JSON to a topic that does not exist", func() error { return snippet("produce", "0", "100") }},
		{"a group reads it from earliest", func() error { return snippet("consume", "0", "60") }},
		{"stop", c.broker.stop},
		{"start", func() error { return c.broker.start(ctx) }},
		{"the group goes on where it was", func() error { return snippet("consume", "60", "40") }},
		{"new records after the restart", func() error { return snippet("produce", "100", "50") }},
		{"and the group reads them", func() error { return snippet("consume", "100", "50") }},
		{"old data is still there", func() error {
			for _, codec := range codecs {
				if err := verify(ctx, c.broker.bootstrap(), c.foreign+codec, c.records, true); err != nil {
					return fmt.Errorf("foreign.%s: %w", codec, err)
				}
			}
			return nil
		}},
	}
	for _, s := range steps {
		if !step(s.name, s.fn) {
			return
		}
	}
}
