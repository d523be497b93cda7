package broker

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// mover brings partitions from core to core while others work.
type mover struct {
	t     testing.TB
	p     *Process
	moved int
	slow  time.Duration // the longest that one took
}

// moveTo asks for one move; false when the broker could not do it now, or is gone.
func (m *mover) moveTo(topic string, part, core int) bool {
	began := time.Now()
	body := fmt.Sprintf(`{"topic":%q,"partition":%d,"core":%d}`, topic, part, core)
	resp, err := http.Post("http://"+m.p.Admin+"/v1/partitions/move", "application/json", strings.NewReader(body))
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	switch resp.StatusCode {
	case http.StatusOK:
		m.moved++
		m.slow = max(m.slow, time.Since(began))
		return true
	case http.StatusConflict, http.StatusServiceUnavailable:
		return false
	}
	m.t.Errorf("a move answers %s: %s", resp.Status, text)
	return false
}

// cores says where each partition of a topic is.
func (m *mover) cores(topic string) []int {
	m.t.Helper()
	resp, err := http.Get("http://" + m.p.Admin + "/v1/partitions?topic=" + topic)
	if err != nil {
		m.t.Fatal(err)
	}
	defer resp.Body.Close()
	var list []struct{ Partition, Core int }
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		m.t.Fatal(err)
	}
	at := make([]int, len(list))
	for _, x := range list {
		at[x.Partition] = x.Core
	}
	return at
}

// stream is what one producer of one life wrote to one partition: 0, 1, 2, … in order.
type stream struct {
	acked []int64 // offsets by number
}

// movedWorld is the producers and consumers of a life, and what they know from earlier ones.
type movedWorld struct {
	t       *testing.T
	mu      sync.Mutex
	streams map[string]*stream
}

const movedParts = 4

// produce writes with an idempotent producer until ctx ends, or the broker does.
func (w *movedWorld) produce(ctx context.Context, p *Process, name string, size int) {
	c := client(w.t, p, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic("t"),
		kgo.MaxBufferedRecords(200), kgo.ProducerLinger(time.Millisecond))
	pad := strings.Repeat("x", size)
	for n := 0; ctx.Err() == nil; n++ {
		for part := range int32(movedParts) {
			key := fmt.Sprintf("%s/%d", name, part)
			r := &kgo.Record{Partition: part, Value: fmt.Appendf(nil, "%s/%d %s", key, n, pad)}
			c.Produce(ctx, r, func(r *kgo.Record, err error) {
				if err != nil {
					return // the life is over
				}
				w.mu.Lock()
				defer w.mu.Unlock()
				s := w.streams[key]
				if s == nil {
					s = &stream{}
					w.streams[key] = s
				}
				if len(s.acked) != n {
					w.t.Errorf("%s: %d is acknowledged behind %d", key, n, len(s.acked))
				}
				s.acked = append(s.acked, r.Offset)
			})
		}
	}
	c.CloseAllowingRebalance()
}

// consume reads everything: offsets follow one another, numbers of a stream, too. It stops
// when all that was acknowledged before stop was read.
func (w *movedWorld) consume(ctx context.Context, p *Process, goal func() map[string]int) {
	c := client(w.t, p, kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(500*time.Millisecond))
	defer c.CloseAllowingRebalance()
	next := [movedParts]int64{}
	seen := map[string]int{}
	for {
		poll, stop := context.WithTimeout(ctx, 200*time.Millisecond)
		f := c.PollFetches(poll)
		stop()
		f.EachRecord(func(r *kgo.Record) {
			if r.Offset != next[r.Partition] {
				w.t.Errorf("partition %d: offset %d after %d", r.Partition, r.Offset, next[r.Partition]-1)
			}
			next[r.Partition] = r.Offset + 1
			value, _, _ := bytes.Cut(r.Value, []byte(" "))
			at := bytes.LastIndexByte(value, '/')
			key, number := string(value[:at]), string(value[at+1:])
			if number != fmt.Sprint(seen[key]) {
				w.t.Errorf("%s: %s after %d", key, number, seen[key]-1)
			}
			w.mu.Lock()
			if s := w.streams[key]; s != nil && seen[key] < len(s.acked) && s.acked[seen[key]] != r.Offset {
				w.t.Errorf("%s/%s was acknowledged at %d, is at %d", key, number, s.acked[seen[key]], r.Offset)
			}
			w.mu.Unlock()
			seen[key]++
		})
		if w.t.Failed() || ctx.Err() != nil {
			return
		}
		want := goal()
		if want == nil {
			continue
		}
		missing := ""
		for key, n := range want {
			if seen[key] < n {
				missing = fmt.Sprintf("%s: %d of %d", key, seen[key], n)
			}
		}
		if missing == "" {
			return
		}
	}
}

// goal is how many of each stream are acknowledged.
func (w *movedWorld) goal() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	want := map[string]int{}
	for key, s := range w.streams {
		want[key] = len(s.acked)
	}
	return want
}

// Partitions move between cores back and forth while idempotent producers write and consumers
// read; the broker is killed in the midst of it, again and again. Nothing is lost, twice there
// or out of order, and where a partition went it stays.
func TestPartitionsMove(t *testing.T) {
	for _, io := range engines {
		t.Run(io, func(t *testing.T) {
			w := &movedWorld{t: t, streams: map[string]*stream{}}
			dir := t.TempDir()
			m := &mover{t: t}
			var at []int
			for life := range 4 {
				m.p = Start(t, dir, "--cores", "2", "--set", "journal.count=2", "--io", io)
				if life == 0 {
					createTopic(t, client(t, m.p), "t", movedParts, map[string]string{"segment.bytes": "1048576"})
				} else if got := m.cores("t"); !slices.Equal(got, at) {
					t.Fatalf("life %d: partitions are on %v, they were on %v", life, got, at)
				}
				end := w.life(m, life)
				at = m.cores("t")
				if life == 2 {
					if code := m.p.Stop(t); code != 0 {
						t.Fatalf("exit code %d", code)
					}
				} else {
					m.p.Kill()
				}
				end()
				if t.Failed() {
					return
				}
			}
			m.p = Start(t, dir, "--cores", "2", "--set", "journal.count=2", "--io", io)
			w.consume(within(t, time.Minute), m.p, w.goal)
			if code := m.p.Stop(t); code != 0 {
				t.Fatalf("exit code %d", code)
			}
			if out, err := exec.Command(Binary(t), "dump", "--verify", dir).CombinedOutput(); err != nil {
				t.Errorf("dump --verify: %v\n%s", err, out)
			}
			total := 0
			for _, n := range w.goal() {
				total += n
			}
			t.Logf("%d moves, the longest in %v; %d records", m.moved, m.slow, total)
			if m.moved < 40 {
				t.Errorf("only %d moves", m.moved)
			}
		})
	}
}

// life moves partitions about for some seconds of load. In the even ones the load ends first,
// and all of it is read; end waits for what goes on when the broker is gone.
func (w *movedWorld) life(m *mover, life int) (end func()) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	writing, stop := context.WithCancel(ctx)
	var writers, readers sync.WaitGroup
	var over atomic.Bool
	for i := range 3 {
		writers.Go(func() { w.produce(writing, m.p, fmt.Sprintf("%d-%d", life, i), 10+400*i) })
	}
	for range 2 {
		readers.Go(func() {
			w.consume(ctx, m.p, func() map[string]int {
				if !over.Load() {
					return nil
				}
				return w.goal()
			})
		})
	}
	rng := rand.New(rand.NewPCG(uint64(life), 1))
	at := m.cores("t")
	for until := time.Now().Add(3 * time.Second); time.Now().Before(until); {
		if part := rng.IntN(movedParts); m.moveTo("t", part, 1-at[part]) {
			at[part] = 1 - at[part]
		}
	}
	if life%2 == 0 {
		stop()
		writers.Wait()
		over.Store(true)
		readers.Wait()
		if ctx.Err() != nil {
			w.t.Error("the readers do not come to the end")
		}
	}
	return func() {
		stop()
		cancel()
		writers.Wait()
		readers.Wait()
	}
}
