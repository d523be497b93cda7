package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// soakTopic is kept short by retention: its segments come and go.
var soakTopic = topicPlan{"chaos-kept-short", 4, map[string]string{
	"segment.bytes": "1048576", "retention.bytes": "4194304", "retention.ms": "60000"}}

const (
	soakSample = time.Second
	// lifeOfSoak is how long a life of the broker is: it ends with SIGTERM.
	lifeOfSoak = 100 * time.Second
	// warmUp is what is left out at a life's begin: caches fill, buffers find their size.
	warmUp = 30 * time.Second
	// What the end of a life may have more than its begin, and a life more than the one
	// before, of each kind.
	moreMemory = 24 << 20
	moreOthers = 12
)

// usage is what the broker's process holds at one moment.
type usage struct {
	RSS        int64
	Heap       int64 // of Go
	FDs        int64 // but for those of segments, of which many may be kept open
	Segments   int64 // such
	Goroutines int64
	Threads    int64
}

// soak runs a mixed load for minutes, with a clean restart now and then, and looks for
// what grows.
func (t *trial) soak(ctx context.Context) error {
	t.cores = 2 // so that lives can be compared
	until := time.Now().Add(time.Duration(t.rounds) * time.Minute)
	b, err := newBroker(t.bin, t.scratch, t.durability,
		append([]string{"memory.bytes=" + strconv.Itoa(256<<20)}, smallest...)...)
	if err != nil {
		return err
	}
	w, err := t.open(ctx, b, soakTopic)
	if err != nil {
		return err
	}
	w.others = nil // what retention keeps short is counted, not read
	defer w.figures()
	churn, err := startChurn(ctx, b.addr)
	if err != nil {
		return err
	}
	defer churn.close()
	t.figure["minutes"] = t.rounds
	var lives [][2]usage // at the begin, after the warm-up, and at the end
	for life := 0; time.Now().Before(until); life++ {
		if life > 0 {
			if err := b.stop(); err != nil {
				return err
			}
			if err := b.start(ctx, t.life(life)); err != nil {
				return err
			}
		}
		ends, err := t.oneLife(ctx, w, life, until)
		if err != nil {
			return err
		}
		if ends != nil {
			lives = append(lives, *ends)
		}
		if err := errors.Join(w.errors(), churn.err()); err != nil {
			return err
		}
		if err := w.back(ctx, life); err != nil {
			return err
		}
		if !t.judged(fmt.Sprintf("life %d", life), t.h.Anomalies()) {
			return errors.New("chaos: ended at the first finding")
		}
	}
	churn.close()
	if err := t.keptShort(b.data); err != nil {
		return err
	}
	t.figure["produced_and_dropped"] = churn.written.Load()
	t.figure["lives"] = lives
	t.grown(lives)
	if err := w.finish(ctx, 0); err != nil {
		return err
	}
	if len(t.findings) == 0 {
		t.passed = t.rounds
	}
	return nil
}

// oneLife watches a life of the broker and gives its begin and its end; nil if it was
// too short to tell.
func (t *trial) oneLife(ctx context.Context, w *world, number int, until time.Time) (*[2]usage, error) {
	end := time.Now().Add(lifeOfSoak)
	if end.After(until) {
		end = until
	}
	warm := time.Now().Add(warmUp)
	var early, late []usage
	for tick := time.NewTicker(soakSample); time.Now().Before(end); {
		select {
		case <-ctx.Done():
			tick.Stop()
			return nil, ctx.Err()
		case <-tick.C:
		}
		u, err := w.b.usage()
		if err != nil {
			return nil, errors.Join(err, w.b.gone())
		}
		switch now := time.Now(); {
		case now.Before(warm):
		case now.Before(warm.Add(end.Sub(warm) / 3)):
			early = append(early, u)
		case now.After(end.Add(-end.Sub(warm) / 3)):
			late = append(late, u)
		}
	}
	if len(early) < 5 || len(late) < 5 {
		return nil, nil
	}
	ends := [2]usage{least(early), least(late)}
	t.detail("life %d: %+v, then %+v", number, ends[0], ends[1])
	return &ends, nil
}

// least is the lowest of each kind: what is held when nothing is under way.
func least(list []usage) usage {
	out := list[0]
	for _, u := range list[1:] {
		out.RSS, out.FDs = min(out.RSS, u.RSS), min(out.FDs, u.FDs)
		out.Goroutines, out.Threads = min(out.Goroutines, u.Goroutines), min(out.Threads, u.Threads)
		out.Heap, out.Segments = min(out.Heap, u.Heap), min(out.Segments, u.Segments)
	}
	return out
}

// grown reports what a life's end has more than its begin, and the last life more than
// the first.
func (t *trial) grown(lives [][2]usage) {
	compare := func(when string, a, b usage) {
		if b.RSS > a.RSS+moreMemory {
			t.finding("%s: resident memory grew from %d to %d MiB", when, a.RSS>>20, b.RSS>>20)
		}
		if b.Heap > a.Heap+moreMemory {
			t.finding("%s: the heap grew from %d to %d MiB", when, a.Heap>>20, b.Heap>>20)
		}
		if b.FDs > a.FDs+moreOthers {
			t.finding("%s: descriptors grew from %d to %d", when, a.FDs, b.FDs)
		}
		if b.Goroutines > a.Goroutines+moreOthers {
			t.finding("%s: goroutines grew from %d to %d", when, a.Goroutines, b.Goroutines)
		}
		if b.Threads > a.Threads+moreOthers {
			t.finding("%s: threads grew from %d to %d", when, a.Threads, b.Threads)
		}
	}
	for i, l := range lives {
		compare(fmt.Sprintf("life %d", i), l[0], l[1])
	}
	if n := len(lives); n > 1 {
		compare("first life to last", lives[0][1], lives[n-1][1])
	}
}

// keptShort judges what retention left on the disk.
func (t *trial) keptShort(data string) error {
	files, err := filepath.Glob(filepath.Join(data, "log", soakTopic.name+"-*", "*"))
	if err != nil {
		return err
	}
	bytes := int64(0)
	for _, f := range files {
		if st, err := os.Stat(f); err == nil {
			bytes += st.Size()
		}
	}
	t.figure["kept_bytes"] = bytes
	if most := int64(soakTopic.partitions) * (16 << 20); bytes > most {
		t.finding("retention leaves %d bytes in %d files, more than %d", bytes, len(files), most)
	}
	return nil
}

// usage asks the process.
func (b *broker) usage() (usage, error) {
	var u usage
	proc := filepath.Join("/proc", strconv.Itoa(b.cmd.Process.Pid))
	status, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		return u, err
	}
	for _, line := range strings.Split(string(status), "\n") {
		name, rest, _ := strings.Cut(line, ":")
		n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		switch name {
		case "VmRSS":
			u.RSS = n << 10
		case "Threads":
			u.Threads = n
		}
	}
	fds, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		return u, err
	}
	for _, fd := range fds {
		if to, err := os.Readlink(filepath.Join(proc, "fd", fd.Name())); err == nil && strings.HasSuffix(to, ".log") {
			u.Segments++
			continue
		}
		u.FDs++
	}
	resp, err := http.Get("http://" + b.admin + "/metrics")
	if err != nil {
		return u, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return u, err
	}
	u.Goroutines = metric(string(text), "go_goroutines")
	u.Heap = metric(string(text), "go_memstats_heap_inuse_bytes")
	return u, nil
}

// metric reads a figure without labels; 0 when there is none.
func metric(text, name string) int64 {
	for _, line := range strings.Split(text, "\n") {
		if rest, is := strings.CutPrefix(line, name+" "); is {
			f, _ := strconv.ParseFloat(rest, 64)
			return int64(f)
		}
	}
	return 0
}

// MarshalJSON gives MiB, which people read.
func (u usage) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]int64{"rss_mib": u.RSS >> 20, "heap_mib": u.Heap >> 20, "fds": u.FDs,
		"segment_fds": u.Segments, "goroutines": u.Goroutines, "threads": u.Threads})
}
