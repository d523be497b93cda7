package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// kcat drives Debian's kcat, an old librdkafka that many scripts use.
func (c *campaign) kcat(ctx context.Context) {
	version, _ := c.kcatRun(ctx, nil, "-V")
	v := ""
	if i := strings.Index(string(version), "Version "); i >= 0 {
		v = strings.Fields(string(version)[i+len("Version "):])[0]
	}
	c.report.add(result{client: "kcat", version: v, name: "version", state: "PASS"})
	step := func(name string, fn func() error) {
		start := time.Now()
		c.verdict("kcat", name, fn(), time.Since(start))
	}
	step("metadata", func() error { return c.kcatMetadata(ctx) })
	for _, codec := range codecs {
		step("codec "+codec, func() error { return c.kcatCodec(ctx, codec) })
	}
	for _, codec := range codecs {
		step("foreign "+codec, func() error { return c.kcatRead(ctx, c.foreign+codec, c.records, true) })
	}
	step("group", func() error { return c.kcatGroup(ctx) })
	step("offsets", func() error { return c.kcatOffsets(ctx) })
}

func (c *campaign) kcatRun(ctx context.Context, stdin []byte, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	argv := append([]string{"-b", c.broker.bootstrap()}, args...)
	cmd := exec.CommandContext(ctx, c.tools.kcat, argv...)
	if c.tools.kcatLibs != "" {
		cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+c.tools.kcatLibs)
	}
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &out, &errs
	if err := cmd.Run(); err != nil {
		return out.Bytes(), fmt.Errorf("kcat %s: %w: %s", strings.Join(args, " "), err,
			strings.TrimSpace(errs.String()))
	}
	if out.Len() == 0 {
		return errs.Bytes(), nil // -V speaks to standard error
	}
	return out.Bytes(), nil
}

func (c *campaign) kcatMetadata(ctx context.Context) error {
	out, err := c.kcatRun(ctx, nil, "-L")
	if err != nil {
		return err
	}
	want := fmt.Sprintf(`topic "%snone" with %d partitions`, c.foreign, partitions)
	if !strings.Contains(string(out), want) {
		return fmt.Errorf("kcat -L does not say %s", want)
	}
	return nil
}

// kcatCodec writes what kcat can write (whole files with key and headers) and reads it.
func (c *campaign) kcatCodec(ctx context.Context, codec string) error {
	topic := c.stamp + "kcat." + codec
	topics := map[string]int32{topic: partitions}
	if err := createTopics(ctx, c.broker.bootstrap(), topics); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "millrace-kcat-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var written []record
	for _, i := range []int{0, 4, 6, 10, 20, 67, 80, 150} {
		r := c.records[i]
		file := filepath.Join(dir, "value")
		if err := os.WriteFile(file, r.value, 0o644); err != nil {
			return err
		}
		args := []string{"-P", "-t", topic, "-p", strconv.Itoa(int(r.partition)), "-k",
			string(r.key), "-X", "compression.codec=" + codec}
		w := r
		w.headers = nil
		for _, h := range r.headers {
			if bytes.IndexByte(h.value, 0) < 0 {
				args = append(args, "-H", h.name+"="+string(h.value))
				w.headers = append(w.headers, h)
			}
		}
		if _, err := c.kcatRun(ctx, nil, append(args, file)...); err != nil {
			return err
		}
		written = append(written, w)
	}
	if err := c.kcatRead(ctx, topic, written, false); err != nil {
		return err
	}
	return verify(ctx, c.broker.bootstrap(), topic, written, false)
}

// kcatRead reads a topic with lengths before the bytes, so that anything may be in them.
func (c *campaign) kcatRead(ctx context.Context, topic string, want []record, times bool) error {
	out, err := c.kcatRun(ctx, nil, "-C", "-t", topic, "-e", "-q", "-f", "%p %T %K %S\n%k%s%h\x1e\n")
	if err != nil {
		return err
	}
	seen := map[int32]int{}
	byPartition := map[int32][]record{}
	for _, r := range want {
		byPartition[r.partition] = append(byPartition[r.partition], r)
	}
	n := 0
	for ; len(out) > 0; n++ {
		var p int32
		var t int64
		var keyLen, valueLen int
		line, rest, ok := bytes.Cut(out, []byte("\n"))
		if !ok {
			return fmt.Errorf("cannot read kcat's output: %.60q", out)
		}
		if _, err := fmt.Sscan(string(line), &p, &t, &keyLen, &valueLen); err != nil {
			return fmt.Errorf("cannot read kcat's line %q: %w", line, err)
		}
		i := seen[p]
		seen[p]++
		if i >= len(byPartition[p]) {
			return fmt.Errorf("partition %d has more than %d records", p, i)
		}
		r := byPartition[p][i]
		key, value, rest, err := kcatSplit(rest, keyLen, valueLen)
		if err != nil {
			return err
		}
		heads, rest, ok := bytes.Cut(rest, []byte("\x1e\n"))
		if !ok {
			return errors.New("kcat's output ends within a record")
		}
		out = rest
		switch {
		case !bytes.Equal(key, r.key) || keyLen == -1 != (r.key == nil):
			return fmt.Errorf("partition %d record %d: key %.60q, want %.60q", p, i, key, r.key)
		case !bytes.Equal(value, r.value) || valueLen == -1 != (r.value == nil):
			return fmt.Errorf("partition %d record %d: value of %d bytes, want %d", p, i,
				valueLen, len(r.value))
		case times && t != r.timestamp:
			return fmt.Errorf("partition %d record %d: time %d, want %d", p, i, t, r.timestamp)
		}
		for _, h := range r.headers {
			text, _, _ := bytes.Cut(h.value, []byte{0}) // kcat prints up to the first NUL
			if !bytes.Contains(heads, append([]byte(h.name+"="), text...)) {
				return fmt.Errorf("partition %d record %d: no header %s in %.80q", p, i, h.name, heads)
			}
		}
	}
	if n != len(want) {
		return fmt.Errorf("read %d records, want %d", n, len(want))
	}
	return nil
}

// kcatSplit takes key and value off; kcat prints NULL for a null where the length is -1.
func kcatSplit(out []byte, keyLen, valueLen int) (key, value, rest []byte, err error) {
	take := func(n int) []byte {
		null := n < 0
		if null {
			n = 0
			if bytes.HasPrefix(out, []byte("NULL")) {
				n = 4
			}
		}
		if n > len(out) {
			err = errors.New("kcat's output ends within a record")
			return nil
		}
		b := out[:n]
		out = out[n:]
		if null {
			return nil
		}
		return b
	}
	key = take(keyLen)
	value = take(valueLen)
	return key, value, out, err
}

// kcatGroup reads with a balanced consumer, twice: the second one goes on where the first ended.
func (c *campaign) kcatGroup(ctx context.Context) error {
	topic := c.stamp + "kcat.group"
	if err := createTopics(ctx, c.broker.bootstrap(), map[string]int32{topic: 2}); err != nil {
		return err
	}
	for _, round := range []string{"first", "second"} {
		var in, want bytes.Buffer
		for i := range 50 {
			fmt.Fprintf(&in, "%s-%02d\n", round, i)
		}
		want.Write(in.Bytes())
		if _, err := c.kcatRun(ctx, in.Bytes(), "-P", "-t", topic); err != nil {
			return err
		}
		out, err := c.kcatRun(ctx, nil, "-G", c.stamp+"kcat-group", "-q", "-c", "50",
			"-X", "auto.offset.reset=earliest", topic)
		if err != nil {
			return err
		}
		got := strings.Fields(string(out))
		seen := map[string]bool{}
		for _, line := range got {
			if !strings.HasPrefix(line, round+"-") {
				return fmt.Errorf("the %s reader got %q", round, line)
			}
			seen[line] = true
		}
		if len(seen) != 50 || len(got) != 50 {
			return fmt.Errorf("the %s reader got %d lines, %d different", round, len(got), len(seen))
		}
	}
	return nil
}

// kcatOffsets asks for offsets by time and reads between two of them.
func (c *campaign) kcatOffsets(ctx context.Context) error {
	r := c.records[20] // partition 0
	out, err := c.kcatRun(ctx, nil, "-Q", "-t", fmt.Sprintf("%snone:0:%d", c.foreign, r.timestamp))
	if err != nil {
		return err
	}
	if want := c.foreign + "none [0] offset 20"; strings.TrimSpace(string(out)) != want {
		return fmt.Errorf("kcat -Q says %q, want %q", out, want)
	}
	out, err = c.kcatRun(ctx, nil, "-C", "-t", c.foreign+"none", "-p", "0", "-q", "-e",
		"-o", fmt.Sprintf("s@%d", r.timestamp), "-f", "%o\n")
	if err != nil {
		return err
	}
	last := len(c.records)/partitions - 1
	got := strings.Fields(string(out))
	if len(got) == 0 || got[0] != "20" || got[len(got)-1] != strconv.Itoa(last) {
		return fmt.Errorf("reading from a time gave offsets %.80q, want 20..%d", got, last)
	}
	return nil
}
