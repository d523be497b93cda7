package main

import (
	"errors"
	"math"
	"strings"
	"testing"

	"millrace/internal/cli"
	"millrace/segment"
)

// given makes settings of "name=value" words.
func given(words ...string) settings {
	s := make(settings)
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		s.add(map[string]string{name: value}, "test")
	}
	return s
}

func wantUsage(t *testing.T, err error, words ...string) {
	t.Helper()
	var e *cli.Error
	if !errors.As(err, &e) || e.Code != cli.ExitUsage {
		t.Errorf("%v: not refused as wrong use", err)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q lacks %q", err, w)
		}
	}
}

func TestDefaults(t *testing.T) {
	o, err := given().options()
	if err != nil {
		t.Fatal(err)
	}
	c := &o.engine
	if len(c.Listeners) != 1 || c.Listeners[0].Bind != defaultBind || !c.Listeners[0].Loopback || o.admin != defaultAdmin {
		t.Errorf("%+v, admin %s", c.Listeners, o.admin)
	}
	if c.NodeID != 1 || c.DataDir != "data" || c.Cores < 1 || c.IO != "auto" || c.Durability != segment.Fsync {
		t.Errorf("%+v", c)
	}
	if c.MemoryBytes < leastMemory || c.CacheBytes > c.MemoryBytes || c.CacheBytes < c.MemoryBytes/2 {
		t.Errorf("memory %d, cache %d", c.MemoryBytes, c.CacheBytes)
	}
	if len(o.idle) != 0 || len(c.Static) != 0 {
		t.Errorf("idle %v, static %v", o.idle, c.Static)
	}
}

func TestSettingsReachTheEngine(t *testing.T) {
	o, err := given("broker.id=7", "broker.rack=r1", "log.dir=/d", "num.partitions=12", "max.connections.per.ip=5",
		"auto.create.topics.enable=false", "group.initial.rebalance.delay.ms=0", "offsets.retention.minutes=1",
		"durability=write", "millrace.io=epoll", "cores=3", "memory.bytes=1073741824", "millrace.cache.bytes=1000",
		"journal.max.bytes=134217728", "admin.listener=none", "socket.request.max.bytes=1000000").options()
	if err != nil {
		t.Fatal(err)
	}
	c := &o.engine
	if c.NodeID != 7 || c.Rack != "r1" || c.DataDir != "/d" || c.NumPartitions != 12 || c.MaxConnectionsPerIP != 5 ||
		c.AutoCreate || c.Groups.InitialRebalanceDelayMs != 0 || c.Groups.OffsetsRetentionMinutes != 1 {
		t.Errorf("%+v", c)
	}
	if c.Durability != segment.Write || c.IO != "epoll" || c.Cores != 3 || c.MemoryBytes != 1<<30 ||
		c.CacheBytes != 1000 || c.JournalMaxBytes != 128<<20 || o.admin != "" || c.RequestMaxBytes != 1000000 {
		t.Errorf("%+v", c)
	}
	if c.Static["num.partitions"] != "12" || c.Static["cores"] != "" || c.Static["cache.bytes"] != "" {
		t.Errorf("static %v", c.Static)
	}
	o, err = given("node.id=3", "broker.id=7", "log.dirs=/a", "log.dir=/b").options()
	if err != nil || o.engine.NodeID != 3 || o.engine.DataDir != "/a" {
		t.Errorf("node.id and log.dirs do not win: %+v, %v", o.engine, err)
	}
}

func TestImpossibleValues(t *testing.T) {
	for _, c := range []struct{ setting, want string }{
		{"node.id=-1", "at least 0"}, {"node.id=abc", "not a whole number"}, {"node.id=2147483648", "at most"},
		{"log.dirs=/a,/a/", "twice"}, {"log.dirs=/a,", "no directory"}, {"process.roles=controller", "only a broker"},
		{"io=kqueue", "want auto, uring, epoll"}, {"durability=none", "want fsync, write"},
		{"cores=0", "at least 1"}, {"cores=9999", "at most 1024"}, {"memory.bytes=1", "at least"},
		{"cache.bytes=9223372036854775807", "more than memory.bytes"}, {"journal.max.bytes=5", "at least"},
		{"auto.create.topics.enable=yes", "want true or false"}, {"allow.insecure=1", "want true or false"},
		{"admin.listener=9644", "want HOST:PORT"}, {"admin.listener=0.0.0.0:9644", "allow.insecure"},
		{"group.max.session.timeout.ms=1", "group.min.session.timeout.ms (6000)"},
	} {
		_, err := given(c.setting).options()
		wantUsage(t, err, strings.Split(c.setting, "=")[0], c.want)
	}
	_, err := given("memory.bytes=268435456", "socket.request.max.bytes=268435456").options()
	wantUsage(t, err, "more than half of memory.bytes")
	if o, err := given("connections.max.idle.ms=-1").options(); err != nil || o.engine.IdleMillis != -1 {
		t.Errorf("%v", err)
	}
	var n int64
	if err := number(given("x=5"), "x", &n, 0, math.MaxInt64); err != nil || n != 5 {
		t.Errorf("%d %v", n, err)
	}
}

func TestListeners(t *testing.T) {
	for _, c := range []struct {
		words string // settings, separated by spaces
		want  string // NAME bind host:port, separated by spaces
	}{
		{"", "PLAINTEXT 127.0.0.1:9092 :0"},
		{"listeners=localhost:1", "PLAINTEXT localhost:1 :0"},
		{"listeners=[::1]:1", "PLAINTEXT [::1]:1 :0"},
		{"listeners=127.0.0.1:1,127.0.0.1:2", "PLAINTEXT 127.0.0.1:1 :0 PLAINTEXT_2 127.0.0.1:2 :0"},
		{"listeners=127.0.0.1:0,127.0.0.1:0", "PLAINTEXT 127.0.0.1:0 :0 PLAINTEXT_2 127.0.0.1:0 :0"},
		{"listeners=in://127.0.0.1:1 advertised.listeners=IN://h:2", "IN 127.0.0.1:1 h:2"},
		{"listeners=127.0.0.1:1 advertised.listeners=h:2", "PLAINTEXT 127.0.0.1:1 h:2"},
		{
			"allow.insecure=true listeners=IN://:1,OUT://0.0.0.0:2 advertised.listeners=OUT://localhost:9 " +
				"listener.security.protocol.map=IN:PLAINTEXT,OUT:PLAINTEXT,CONTROLLER:PLAINTEXT",
			"IN :1 :0 OUT 0.0.0.0:2 localhost:9",
		},
		{
			"listeners=PLAINTEXT://127.0.0.1:1,CONTROLLER://:9093 controller.listener.names=CONTROLLER " +
				"advertised.listeners=PLAINTEXT://h:1,CONTROLLER://h:9093 process.roles=broker,controller",
			"PLAINTEXT 127.0.0.1:1 h:1",
		},
	} {
		o, err := given(strings.Fields(c.words)...).options()
		if err != nil {
			t.Errorf("%s: %v", c.words, err)
			continue
		}
		var got []string
		for _, l := range o.engine.Listeners {
			got = append(got, l.Name, l.Bind, l.Host+":"+itoa(l.Port))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: got %v, want %s", c.words, got, c.want)
		}
		if strings.Contains(c.words, "CONTROLLER://") && (len(o.idle) != 1 || o.idle[0] != "CONTROLLER://:9093") {
			t.Errorf("idle %v", o.idle)
		}
	}
}

func itoa(n int32) string { return endpoint{port: n}.String()[1:] }

func TestRefusedListeners(t *testing.T) {
	for _, c := range []struct{ words, want string }{
		{"listeners=9092", "want HOST:PORT"},
		{"listeners=,", "no listener in"},
		{"listeners=127.0.0.1:port", "not a number"},
		{"listeners=127.0.0.1:70000", "not a number from 0"},
		{"listeners=://127.0.0.1:1", "no listener name"},
		{"listeners=A!://127.0.0.1:1", "no listener name"},
		{"listeners=A://127.0.0.1:1,A://127.0.0.1:2", "once only"},
		{"listeners=A://127.0.0.1:1,B://127.0.0.1:1", "once only"},
		{"listeners=0.0.0.0:9092", "--set allow.insecure=true"},
		{"listeners=PLAINTEXT://:9092", "KAFKA_ALLOW_INSECURE=true"},
		{"listeners=192.0.2.1:9092", "allow.insecure"},
		{"listeners=[::]:9092", "allow.insecure"},
		{"listeners=SSL://127.0.0.1:1", "TLS and SASL are not served"},
		{"listeners=A://127.0.0.1:1 listener.security.protocol.map=A:SASL_SSL", "listener A wants SASL_SSL"},
		{"listeners=A://127.0.0.1:1 listener.security.protocol.map=A:PLAIN", "no security protocol"},
		{"listener.security.protocol.map=A", "want NAME:PROTOCOL"},
		{"listeners=C://127.0.0.1:1 controller.listener.names=C", "no listener is left"},
		{"advertised.listeners=OUT://h:1", "no listener of that name"},
		{"advertised.listeners=0.0.0.0:1", "clients cannot connect"},
		{"advertised.listeners=:1", "clients cannot connect"},
		{"advertised.listeners=h:0", "port 0"},
		{"advertised.listeners=PLAINTEXT://a:1,PLAINTEXT://b:1", "one advertised address"},
		{"advertised.listeners=a:1,b:1", "no listener of that name"},
	} {
		_, err := given(strings.Fields(c.words)...).options()
		if err == nil {
			t.Errorf("%s: accepted", c.words)
			continue
		}
		wantUsage(t, err, c.want)
	}
}

// Each core can take the largest request by default, as far as the host has memory.
func TestDefaultMemory(t *testing.T) {
	const gb = int64(1) << 30
	for _, c := range []struct {
		usable int64
		cores  int
		floor  int64
		most   int64
	}{
		{24 * gb, 1, 3 * gb, 12 * gb}, {8 * gb, 7, 7 * leastMemory, 4 * gb}, {2 * gb, 7, gb, gb},
		{gb / 4, 1, leastMemory, leastMemory},
	} {
		floor, most := memoryFloor(c.usable, c.cores), defaultMemory(c.usable, c.cores)
		if floor != c.floor || most != c.most {
			t.Errorf("%d GB, %d cores: %d to %d MB, want %d to %d", c.usable/gb, c.cores,
				floor>>20, most>>20, c.floor>>20, c.most>>20)
		}
	}
}
