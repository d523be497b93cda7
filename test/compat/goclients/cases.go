package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

var codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

// suite runs the cases of one client.
type suite struct {
	c      client
	parts  int
	rows   []rec
	failed int
}

func (s *suite) load(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var all struct {
		Partitions int
		Records    []struct {
			P    int
			K, V *string
			H    [][2]*string
			T    int64
		}
	}
	if err := json.Unmarshal(data, &all); err != nil {
		return err
	}
	decode := func(text *string) []byte {
		if text == nil {
			return nil
		}
		b, decodeErr := base64.StdEncoding.DecodeString(*text)
		if decodeErr != nil {
			err = decodeErr
		}
		return b
	}
	s.parts = all.Partitions
	for _, r := range all.Records {
		row := rec{partition: r.P, key: decode(r.K), value: decode(r.V), timestamp: r.T}
		for _, h := range r.H {
			row.headers = append(row.headers, head{*h[0], decode(h[1])})
		}
		s.rows = append(s.rows, row)
	}
	return err
}

func (s *suite) test(name string, fn func(context.Context) error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- fn(ctx) }()
	var err error
	select {
	case err = <-done:
	case <-time.After(70 * time.Second):
		err = fmt.Errorf("not done within 70 s")
	}
	fmt.Fprintf(os.Stderr, "%s: %.2f s\n", name, time.Since(start).Seconds())
	if err != nil {
		s.failed++
		fmt.Printf("CASE\t%s\tFAIL\t%s\n", name, strings.Join(strings.Fields(err.Error()), " "))
		return
	}
	fmt.Printf("CASE\t%s\tPASS\t\n", name)
}

func (s *suite) codec(ctx context.Context, codec string) error {
	topic := prefix + "." + codec
	if err := s.c.produce(ctx, topic, codec, false, s.rows); err != nil {
		return err
	}
	return s.compare(ctx, topic)
}

// compare reads a topic and compares all of it with the fixture.
func (s *suite) compare(ctx context.Context, topic string) error {
	for p := range s.parts {
		var want []rec
		for _, r := range s.rows {
			if r.partition == p {
				want = append(want, r)
			}
		}
		got, err := s.c.read(ctx, topic, p, 0, len(want))
		if err != nil {
			return fmt.Errorf("%s partition %d: %w", topic, p, err)
		}
		if len(got) != len(want) {
			return fmt.Errorf("partition %d: wrote %d records, read %d", p, len(want), len(got))
		}
		for i := range want {
			if err := differ(want[i], got[i], s.c.nulls()); err != nil {
				return fmt.Errorf("partition %d record %d: %w", p, i, err)
			}
		}
	}
	return nil
}

func differ(want, got rec, nulls bool) error {
	same := func(a, b []byte) bool {
		return (!nulls || (a == nil) == (b == nil)) && bytes.Equal(a, b)
	}
	switch {
	case !same(want.key, got.key):
		return fmt.Errorf("key %.60q, want %.60q", got.key, want.key)
	case !same(want.value, got.value):
		return fmt.Errorf("value of %d bytes (null %v), want %d (null %v)", len(got.value),
			got.value == nil, len(want.value), want.value == nil)
	case got.timestamp != want.timestamp:
		return fmt.Errorf("timestamp %d, want %d", got.timestamp, want.timestamp)
	case len(got.headers) != len(want.headers):
		return fmt.Errorf("%d headers, want %d", len(got.headers), len(want.headers))
	}
	for i, h := range want.headers {
		g := got.headers[i]
		if g.name != h.name || !bytes.Equal(g.value, h.value) {
			return fmt.Errorf("header %d: %q=%.40q, want %q=%.40q", i, g.name, g.value, h.name, h.value)
		}
	}
	return nil
}

func numbers(tag string, n, parts int) []rec {
	out := make([]rec, n)
	for i := range out {
		out[i] = rec{partition: i % parts, value: []byte(tag + strconv.Itoa(i))}
	}
	return out
}

func values(rs []rec) []string {
	out := make([]string, len(rs))
	for i, r := range rs {
		out[i] = string(r.value)
	}
	return out
}

func eventually(ctx context.Context, what string, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		met, err := ok()
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if met {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not in time: %s", what)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// watched collects what members of a group read.
type watched struct {
	mu     sync.Mutex
	values map[string]bool
}

func (w *watched) add(v string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.values[v] = true
}

func (w *watched) has(all []string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, v := range all {
		if !w.values[v] {
			return false
		}
	}
	return true
}

func (s *suite) rebalance(ctx context.Context) error {
	topic, group := prefix+".balance", prefix+"-balance"
	seen := &watched{values: map[string]bool{}}
	all := []int{0, 1, 2, 3, 4, 5}
	var written []string
	write := func(round string) error {
		rs := numbers(round, 300, 6)
		written = append(written, values(rs)...)
		return s.c.produce(ctx, topic, "none", false, rs)
	}
	owns := func(m member) func() (bool, error) {
		return func() (bool, error) { return slices.Equal(m.partitions(), all), nil }
	}
	read := func() (bool, error) { return seen.has(written), nil }

	a, err := s.c.join(group, topic, seen.add)
	if err != nil {
		return err
	}
	defer a.close()
	if err := eventually(ctx, "the only member owns everything", owns(a)); err != nil {
		return err
	}
	if err := write("one-"); err != nil {
		return err
	}
	b, err := s.c.join(group, topic, seen.add)
	if err != nil {
		return err
	}
	err = eventually(ctx, "two members share the partitions", func() (bool, error) {
		pa, pb := a.partitions(), b.partitions()
		both := slices.Sorted(slices.Values(append(slices.Clone(pa), pb...)))
		return len(pa) == 3 && len(pb) == 3 && slices.Equal(both, all), nil
	})
	if err == nil {
		err = write("two-")
	}
	if err == nil {
		err = eventually(ctx, "both rounds are read", read)
	}
	if closeErr := b.close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if err := eventually(ctx, "the one that stays owns everything", owns(a)); err != nil {
		return err
	}
	if err := write("three-"); err != nil {
		return err
	}
	return eventually(ctx, "nothing is lost", read)
}

func (s *suite) resume(ctx context.Context) error {
	topic, group := prefix+".resume", prefix+"-resume"
	rs := numbers("", 100, 1)
	if err := s.c.produce(ctx, topic, "none", false, rs); err != nil {
		return err
	}
	first, err := s.c.resume(ctx, group, topic, 40)
	if err != nil {
		return fmt.Errorf("first reader: %w", err)
	}
	rest, err := s.c.resume(ctx, group, topic, 60)
	if err != nil {
		return fmt.Errorf("second reader: %w", err)
	}
	if got := append(first, rest...); !slices.Equal(got, values(rs)) {
		return fmt.Errorf("read %.200q", got)
	}
	return nil
}

func (s *suite) offsets(ctx context.Context) error {
	topic := prefix + ".offsets"
	base := time.Now().Add(-time.Minute).Truncate(time.Millisecond)
	rs := numbers("", 100, 1)
	for i := range rs {
		rs[i].timestamp = base.UnixMilli() + int64(10*i)
	}
	if err := s.c.produce(ctx, topic, "none", false, rs); err != nil {
		return err
	}
	first, end, at, err := s.c.offsets(ctx, topic, base.Add(495*time.Millisecond))
	if err != nil {
		return err
	}
	if first != 0 || end != 100 || at != 50 {
		return fmt.Errorf("earliest %d, latest %d, by time %d; want 0, 100, 50", first, end, at)
	}
	got, err := s.c.read(ctx, topic, 0, at, 10)
	if err != nil {
		return err
	}
	if want := values(rs)[50:60]; !slices.Equal(values(got), want) {
		return fmt.Errorf("from offset 50 on: %q, want %q", values(got), want)
	}
	return nil
}

func (s *suite) idempotent(ctx context.Context) error {
	topic, rs := prefix+".idempotent", numbers("", 1000, 3)
	if err := s.c.produce(ctx, topic, "none", true, rs); err != nil {
		return err
	}
	for p := range 3 {
		var want []string
		for i := p; i < len(rs); i += 3 {
			want = append(want, string(rs[i].value))
		}
		got, err := s.c.read(ctx, topic, p, 0, len(want))
		if err != nil {
			return err
		}
		if !slices.Equal(values(got), want) {
			return fmt.Errorf("partition %d: %.200q", p, values(got))
		}
	}
	return nil
}
