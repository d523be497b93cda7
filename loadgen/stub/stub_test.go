package stub

import (
	"context"
	"fmt"
	"testing"
	"time"

	"millrace/protocol"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A real client library takes the stub for a broker.
func TestAClientLibraryIsServed(t *testing.T) {
	s, err := Start(Options{Listen: []string{"127.0.0.1:0", "127.0.0.1:0"}, Keep: 1 << 20, Partitions: 3,
		Topics: []string{"t"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.Addr(0)), kgo.DefaultProduceTopic("t"),
		kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	want := map[string]bool{}
	for i := range 300 {
		text := fmt.Sprint("message ", i)
		want[text] = true
		cl.Produce(ctx, &kgo.Record{Key: []byte(fmt.Sprint(i)), Value: []byte(text)}, nil)
	}
	if err := cl.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	for len(want) > 0 {
		got := cl.PollFetches(ctx)
		if err := got.Err(); err != nil {
			t.Fatal(err)
		}
		got.EachRecord(func(r *kgo.Record) { delete(want, string(r.Value)) })
	}
	if _, messages, _ := s.Counts(); messages != 300 || s.End("t", 0)+s.End("t", 1)+s.End("t", 2) != 300 {
		t.Errorf("%d messages counted", messages)
	}
}

func TestKeepIsBounded(t *testing.T) {
	s, err := Start(Options{Keep: 1000, Partitions: 1, Topics: []string{"t"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.Addr(0)), kgo.DefaultProduceTopic("t"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for range 50 {
		if err := cl.ProduceSync(context.Background(), kgo.SliceRecord(make([]byte, 100))).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	p := s.topics["t"].parts[0]
	if p.end != 50 || p.start == 0 || p.bytes > 1000 {
		t.Errorf("from %d to %d with %d bytes", p.start, p.end, p.bytes)
	}
	if _, _, _, code := p.read(nil, 0, 100); code != protocol.OffsetOutOfRange {
		t.Errorf("what is gone is answered with %v", code)
	}
	if b, _, _, code := p.read(nil, p.start+1, 1); code != protocol.None || len(b) == 0 {
		t.Errorf("%d bytes, %v", len(b), code)
	}
}

func TestStallsComeAndGo(t *testing.T) {
	s := &Stub{o: Options{Every: 10 * time.Second, Stall: time.Second}, started: time.Now()}
	if d := s.stalled(); d != 0 {
		t.Errorf("stalled for %v at the begin", d)
	}
	s.started = time.Now().Add(-20500 * time.Millisecond)
	if d := s.stalled(); d < 400*time.Millisecond || d > 500*time.Millisecond {
		t.Errorf("half a second into a stall it has %v left", d)
	}
	s.started = time.Now().Add(-22 * time.Second)
	if d := s.stalled(); d != 0 {
		t.Errorf("%v after the stall", d)
	}
	s.Hold(time.Hour)
	if d := s.stalled(); d < 59*time.Minute {
		t.Errorf("held for %v", d)
	}
}
