package workload

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

func TestEveryModeIsRightByDefault(t *testing.T) {
	for _, m := range Modes {
		w := New(m)
		if err := w.Check(); err != nil {
			t.Errorf("%s: %v", m, err)
		}
	}
}

// TestTextsComeBack is W2: what an option prints, it reads.
func TestTextsComeBack(t *testing.T) {
	texts := map[string][]string{
		"rate": {"max", "20k", "0.5", "2M", "80% of other"}, "size": {"0", "1KiB", "uniform:5-80", "10=1,2000=0.25"},
		"keys": {"none", "seq", "seq:9", "random:10k", "zipf:100", "zipf:100:1.5"}, "batch": {"1", "16KiB", "1000KB", "77B"},
		"acks": {"0", "1", "all", "-1"}, "brokers": {"a:1,b:2", "[::1]:9092"}, "topic-config": {"a=b,c=d,e", "x="},
		"duration": {"0", "90s", "1.5h"}, "from": {"start", "end", "17"}, "sasl": {"none", "PLAIN", "scram-sha-512"},
		"fetch-bytes": {"1", "1MiB", "5MB"}, "backlog": {"0", "2GiB", "7"}, "messages": {"0", "10M"}, "seed": {"0", "18446744073709551615"},
		"create": {"true", "false"}, "random-bytes": {"0", "0.25", "1"}, "codec": Codecs, "arrival": {Constant, Poisson},
	}
	for name, list := range texts {
		o, ok := Find(name)
		if !ok {
			t.Fatalf("no option %s", name)
		}
		for _, text := range list {
			a, b := New(EndToEnd), New(EndToEnd)
			if err := a.Set(name, text); err != nil {
				t.Errorf("%s %s: %v", name, text, err)
				continue
			}
			shown := o.Text(&a)
			if err := b.Set(name, shown); err != nil || o.Text(&b) != shown {
				t.Errorf("%s: %q printed as %q, read again as %q: %v", name, text, shown, o.Text(&b), err)
			}
		}
	}
	for _, o := range Options() {
		if o.Name == "password" {
			continue
		}
		a, b := New(Mixed), New(Mixed)
		if err := o.Set(&b, o.Text(&a)); err != nil || o.Text(&a) != o.Text(&b) {
			t.Errorf("default of %s: %q became %q: %v", o.Name, o.Text(&a), o.Text(&b), err)
		}
	}
}

func TestWrongTexts(t *testing.T) {
	for name, list := range map[string][]string{
		"rate": {"", "fast", "-1", "80%", "80% of ", "0% of x", "1e30", "NaN", "Inf"}, "size": {"", "-1", "1.5", "uniform:9-5", "uniform:1", "1=0", "1=x", "100GB", "10=1,"},
		"keys": {"", "none:1", "random", "random:0", "zipf:10:1", "zipf:10:NaN", "seq:1:2"}, "batch": {"0", "", "xB", "-1B", "2.5"},
		"acks": {"2", "", "leader"}, "duration": {"5", "-1s", "1y"}, "from": {"-1", "middle"}, "sasl": {"gssapi"},
		"threads": {"x", "-1", "1.5", "99999999999"}, "codec": {"brotli"}, "topic-config": {"a", "=b"}, "messages": {"1.5", "-2"},
	} {
		for _, text := range list {
			w := New(Produce)
			err := w.Set(name, text)
			var p *Problem
			if !errors.As(err, &p) || p.Option != name || !strings.Contains(err.Error(), "--"+name) {
				t.Errorf("%s %q: %v", name, text, err)
			}
		}
	}
	w := New(Produce)
	if err := w.Set("partition", "3"); err == nil || !strings.Contains(err.Error(), "did you mean partitions?") {
		t.Errorf("a misspelt option: %v", err)
	}
	if err := w.Set("password", "s3cret"); err != nil {
		t.Error(err)
	}
	for name, v := range w.Map() {
		if text, isText := v.(string); isText && strings.Contains(text, "s3cret") {
			t.Errorf("%s tells the password", name)
		}
	}
}

func TestChecks(t *testing.T) {
	for _, c := range []struct {
		mode   Mode
		set    string // option=text, separated by spaces
		option string // that is found, or "" for none
	}{
		{Produce, "brokers=nowhere", "brokers"},
		{Produce, "brokers=a:0", "brokers"},
		{Produce, "topic=a/b", "topic"},
		{Produce, "topics=2000 partitions=2000", "partitions"},
		{Produce, "topic-config=a=b", "topic-config"},
		{Produce, "topic-config=a=b create=true", ""},
		{Produce, "duration=0", "duration"},
		{Produce, "arrival=poisson", "arrival"},
		{Produce, "arrival=poisson rate=10", ""},
		{Produce, "threads=8", "threads"},
		{Produce, "batch=100B", "batch"},
		{Produce, "idempotence=true client=franz", "acks"},
		{Produce, "idempotence=true acks=all in-flight=5", "idempotence"},
		{Produce, "idempotence=true acks=all in-flight=5 client=franz", ""},
		{Produce, "acks=0", ""},
		{Produce, "acks=0 client=franz", "acks"},
		{Produce, "tls=true", "tls"},
		{Produce, "tls-insecure=true client=franz", "tls"},
		{Produce, "tls=true tls-ca=/none client=franz", "tls-ca"},
		{Produce, "sasl=plain client=franz", "user"},
		{Produce, "sasl=plain user=u client=franz", "password"},
		{Produce, "user=u client=franz", "sasl"},
		{Produce, "stamp=true size=10", "size"},
		{Produce, "payload-file=/none", "payload-file"},
		{Produce, "broker-pid=1 admin=a:1", "admin"},
		{EndToEnd, "size=31", "size"},
		{EndToEnd, "size=uniform:10-100", "size"},
		{EndToEnd, "stamp=false", "stamp"},
		{EndToEnd, "consumers=2", "consumers"},
		{EndToEnd, "assign=group", "assign"},
		{EndToEnd, "assign=group client=franz commit=5s", ""},
		{EndToEnd, "assign=direct client=franz commit=5s", "commit"},
		{Consume, "again=true from=end", "from"},
		{Consume, "from=10 to=10", "to"},
		{Txn, "client=raw", "client"},
		{Txn, "txn-abort=2", "txn-abort"},
		{Connections, "idle=0", "idle"},
		{Connections, "client=franz", "client"},
		{Verify, "read-only=true from=end", "from"},
	} {
		w := New(c.mode)
		for _, pair := range strings.Fields(c.set) {
			name, text, _ := strings.Cut(pair, "=")
			if err := w.Set(name, text); err != nil {
				t.Fatalf("%s: %v", c.set, err)
			}
		}
		err := w.Check()
		var p *Problem
		switch {
		case c.option == "" && err != nil:
			t.Errorf("%s %s: %v", c.mode, c.set, err)
		case c.option != "" && (!errors.As(err, &p) || p.Option != c.option):
			t.Errorf("%s %s: %v, want --%s", c.mode, c.set, err, c.option)
		}
	}
}

func TestScheduleKeepsTheRate(t *testing.T) {
	w := New(Produce)
	for _, arrival := range []string{Constant, Poisson} {
		w.Arrival = arrival
		const producers, rate = 4, 1000.0
		count, last := 0, time.Duration(0)
		var first []time.Duration
		for i := range producers {
			s, again := w.NewSchedule(i, producers, rate), w.NewSchedule(i, producers, rate)
			for s.Peek() < 10*time.Second {
				at := s.Take()
				if at < last && count > 0 && i == 0 {
					t.Fatalf("%s: %v behind %v", arrival, at, last)
				}
				if i == 0 {
					last = at
				}
				if at != again.Take() {
					t.Fatalf("%s: the same seed gave another schedule", arrival)
				}
				count++
			}
			first = append(first, w.NewSchedule(i, producers, rate).Take())
		}
		if count < 9700 || count > 10300 {
			t.Errorf("%s: %d messages in 10 s at 1000/s", arrival, count)
		}
		if arrival == Constant && (first[1]-first[0] != time.Millisecond || first[3] != 3*time.Millisecond) {
			t.Errorf("producers are not shifted evenly: %v", first)
		}
	}
}

func TestSizesAndKeys(t *testing.T) {
	w := New(Produce)
	w.Size, _ = ParseSizes("100=3,1000=1")
	z, counts := w.NewSizer(0), map[int]int{}
	for range 40_000 {
		counts[z.Next()]++
	}
	if len(counts) != 2 || math.Abs(float64(counts[100])/40_000-0.75) > 0.02 || w.Size.Mean() != 325 {
		t.Errorf("sizes %v, mean %v", counts, w.Size.Mean())
	}
	w.Size, _ = ParseSizes("uniform:10-12")
	z, counts = w.NewSizer(0), map[int]int{}
	for range 3000 {
		counts[z.Next()]++
	}
	if len(counts) != 3 || counts[10] < 800 || counts[12] < 800 {
		t.Errorf("sizes %v", counts)
	}
	w.Keys, _ = ParseKeys("seq:10")
	seen := map[int64]int{}
	for i := range 3 {
		k := w.NewKeyer(i, 3)
		for range 10 {
			n, _ := k.Next()
			seen[n]++
		}
	}
	if len(seen) != 10 || seen[0] != 3 {
		t.Errorf("sequential keys %v", seen)
	}
	w.Keys, _ = ParseKeys("zipf:100:1.2")
	k, hot := w.NewKeyer(0, 1), 0
	for range 1000 {
		n, _ := k.Next()
		if n < 0 || n > 99 {
			t.Fatalf("key %d of 100", n)
		}
		if n == 0 {
			hot++
		}
	}
	if hot < 150 {
		t.Errorf("the hottest of 100 zipf keys came %d of 1000 times", hot)
	}
	if key := string(w.AppendKey([]byte("x"), 1207)); key != "x0000000000001207" {
		t.Errorf("key %q", key)
	}
}

// TestPartitionOfIsKafkas holds murmur2 to values that Kafka's own test states.
func TestPartitionOfIsKafkas(t *testing.T) {
	for key, want := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
		"a-little-bit-longer-string": -1486304829, "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		if got := int32(murmur2([]byte(key))); got != want {
			t.Errorf("murmur2(%q) = %d, want %d", key, got, want)
		}
	}
}

func TestPayloads(t *testing.T) {
	w := New(Produce)
	w.Size = FixedSize(1000)
	for _, share := range []float64{0, 0.3, 1} {
		w.Payload.Random = share
		p, err := w.NewPool(2)
		if err != nil {
			t.Fatal(err)
		}
		zeros := 0
		for _, b := range p.Next(1000) {
			if b == 0 {
				zeros++
			}
		}
		if got := 1 - float64(zeros)/1000; math.Abs(got-share) > 0.03 {
			t.Errorf("%.2f of the bytes are random, want %.2f", got, share)
		}
	}
	a, _ := w.NewPool(0)
	b, _ := w.NewPool(0)
	c, _ := w.NewPool(1)
	one := string(a.Next(1000))
	if one != string(b.Next(1000)) || one == string(c.Next(1000)) || one == string(a.Next(1000)) {
		t.Error("pools: the same seed and producer give the same values, others do not")
	}
}

func TestStamps(t *testing.T) {
	value := []byte(strings.Repeat("content ", 10))
	s := Stamp{Stream: 3, Number: 1 << 40, Due: -5, Run: 77}
	s.Put(value, ContentSum(value))
	got, ok := Stamped(value)
	if !ok || got != s || !got.Intact(value) {
		t.Fatalf("%+v became %+v", s, got)
	}
	due := s
	due.Due = 99 // the due time is patched without a new sum
	due.Put(value, ContentSum(value))
	for i := range value {
		if i >= DueAt && i < DueAt+8 {
			continue
		}
		value[i] ^= 4
		if got, ok := Stamped(value); ok && got.Intact(value) {
			t.Errorf("a changed byte %d went unnoticed", i)
		}
		value[i] ^= 4
	}
	if _, ok := Stamped(value[:StampSize-1]); ok {
		t.Error("a short value has a stamp")
	}
}

func TestBatchRecords(t *testing.T) {
	w := New(Produce)
	w.Batch = Batch{Bytes: 16_000}
	if n := w.BatchRecords(); n < 140 || n > 150 {
		t.Errorf("16 KB hold %d messages of 100 B", n)
	}
	w.Batch = Batch{Records: 5}
	if b := w.BatchBytes(); b < 5*100 || b > 5*110+61 {
		t.Errorf("5 messages of 100 B are %d bytes", b)
	}
}
