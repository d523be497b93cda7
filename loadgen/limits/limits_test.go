package limits

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millrace/loadgen/result"
)

func TestMeasure(t *testing.T) {
	dir := t.TempDir()
	var said []string
	begin := time.Now()
	l, err := Measure(context.Background(), Options{Dir: dir, Budget: 3 * time.Second, Rounds: 1,
		Progress: func(what string) { said = append(said, what) }})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("took %v with a budget of 3 s", took)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left in the directory: %v, %v", left, err)
	}
	if len(said) == 0 || l.Seconds <= 0 || l.Host.Cores == 0 {
		t.Errorf("progress %d, %g s, host %+v", len(said), l.Seconds, l.Host)
	}
	seen := map[string]bool{}
	for _, f := range l.Figures {
		if seen[f.Key] {
			t.Errorf("%s is there twice", f.Key)
		}
		seen[f.Key] = true
		if !(f.Value > 0) || math.IsInf(f.Value, 0) || f.Low > f.Value || f.High < f.Value {
			t.Errorf("%+v", f)
		}
	}
	for _, key := range []string{"memcpy.4K", "crc32c.16K", "syscall", "fault", "futex", "pipe"} {
		if !seen[key] {
			t.Errorf("%s was not measured: %v", key, l.Skipped)
		}
	}
	for key, most := range map[string]float64{"syscall": 1e6, "fault": 1e7, "futex": 1e5, "pipe": 1e5} {
		if f, _ := l.Figure(key); f.Value > most {
			t.Errorf("%s takes %g %s", key, f.Value, f.Unit)
		}
	}
	path := filepath.Join(dir, "limits.json")
	if err := l.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	again, err := ReadFile(path)
	if err != nil || len(again.Figures) != len(l.Figures) {
		t.Fatalf("read again: %v", err)
	}
	var b strings.Builder
	if err := again.Text(&b); err != nil || !strings.Contains(b.String(), "CRC-32C of 16KiB") {
		t.Errorf("%v\n%s", err, b.String())
	}
}

func TestMeasureEnds(t *testing.T) {
	dir := t.TempDir()
	l, err := Measure(context.Background(), Options{Dir: dir, Budget: 10 * time.Millisecond, Rounds: 1})
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Skipped) < 10 || l.Skipped[len(l.Skipped)-1].Why != "no time left" {
		t.Errorf("skipped: %v", l.Skipped)
	}
	ctx, cancel := context.WithCancel(context.Background())
	_, err = Measure(ctx, Options{Dir: dir, Budget: time.Minute,
		Progress: func(string) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("after a cancel: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left in the directory: %v", left)
	}
	if _, err := Measure(context.Background(), Options{Dir: filepath.Join(dir, "none")}); err == nil {
		t.Error("measured in a directory that does not exist")
	}
}

// known is a host with round figures: receive 0.5 s/GB at 16K and more, CRC 10 GB/s, write 0.4
// s/GB, sendfile 0.25 s/GB.
func known() *Limits {
	l := &Limits{Format: Format}
	put := func(key string, v float64) {
		l.Figures = append(l.Figures, Figure{Key: key, Value: v, Low: v, High: v})
	}
	put("tcp.128.2cores.receive", 2.5)
	put("tcp.1K.2cores.receive", 1)
	put("tcp.16K.2cores.receive", 0.5)
	put("tcp.64K.2cores.receive", 0.5)
	put("tcp.1M.2cores.receive", 0.5)
	for _, n := range crcSizes {
		put("crc32c."+sizeName(n), 10)
	}
	for _, n := range writeSizes {
		put(writeKey(n)+".cpu", 0.4)
	}
	for _, n := range sendfileSizes {
		put("sendfile."+sizeName(n)+".send", 0.25)
	}
	return l
}

func TestShare(t *testing.T) {
	l := known()
	r := &result.Run{Load: "produce", Seconds: 10, Requests: 100_000, AckedBytes: 100_000 * 16 << 10,
		Broker: &result.Cost{CPUSeconds: 4}}
	s := l.Share(r)
	if s == nil {
		t.Fatal("no share")
	}
	gb := float64(r.AckedBytes) / 1e9
	if want := gb * (0.5 + 0.1 + 0.4) / 4; math.Abs(s.Fraction-want) > 1e-9 {
		t.Errorf("fraction %g, want %g", s.Fraction, want)
	}
	if math.Abs(s.Limit-1000) > 1e-6 || math.Abs(s.Reached-gb*1e3/4) > 1e-6 || len(s.Parts) != 3 {
		t.Errorf("%+v", s)
	}
	r = &result.Run{Load: "consume", Seconds: 10, Requests: 1000, ReceivedBytes: 10e9,
		Broker: &result.Cost{CPUSeconds: 5}}
	if s := l.Share(r); s == nil || math.Abs(s.Fraction-0.5) > 1e-9 || math.Abs(s.Limit-4000) > 1e-6 {
		t.Errorf("consume: %+v", s)
	}
	r = &result.Run{Load: "e2e", Seconds: 10, Acked: 1, Received: 1, AckedBytes: 1e9, ReceivedBytes: 2e9,
		Broker: &result.Cost{CPUSeconds: 3}}
	if s := l.Share(r); s == nil || math.Abs(s.Fraction-0.5) > 1e-9 || len(s.Parts) != 4 {
		t.Errorf("e2e: %+v", s)
	}
	r.Broker.CPUSeconds = 1.6
	if s := l.Share(r); s == nil || !strings.Contains(s.Note, "doubt the limit") {
		t.Errorf("above nine tenths: %+v", s)
	}
	r.Broker, r.Host.Cores = nil, 2
	if s := l.Share(r); s == nil || math.Abs(s.Fraction-1.5/20) > 1e-9 || s.Note == "" {
		t.Errorf("unknown cost: %+v", s)
	}
	for name, r := range map[string]*result.Run{"nothing": {Seconds: 10}, "no time": {AckedBytes: 5}} {
		if s := l.Share(r); s != nil {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if s := (&Limits{}).Share(&result.Run{Seconds: 1, AckedBytes: 5}); s != nil {
		t.Errorf("of no limits: %+v", s)
	}
}

func TestBetween(t *testing.T) {
	l := known()
	key := func(n int) string { return tcpKey(n, 2) + ".receive" }
	for bytes, want := range map[float64]float64{1: 2.5, 128: 2.5, 1024: 1, 4096: 0.75, 1e9: 0.5} {
		if got, ok := l.between(tcpSizes, bytes, key); !ok || math.Abs(got-want) > 1e-9 {
			t.Errorf("at %g: %g, want %g", bytes, got, want)
		}
	}
	if _, ok := l.between(tcpSizes, 1, func(int) string { return "none" }); ok {
		t.Error("a figure out of nothing")
	}
}

func TestReadFileRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"json": "{", "format": `{"format":"loadgen/1"}`,
		"figure": `{"format":"loadgen-limits/1","figures":[{"key":"a","value":-1}]}`,
		"long":   strings.Repeat(" ", maxFile+1),
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if l, err := ReadFile(path); err == nil {
			t.Errorf("%s: read: %+v", name, l)
		}
	}
	if _, err := ReadFile(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}
