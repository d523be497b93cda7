package configdef

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestLoadProperties(t *testing.T) {
	got, err := LoadProperties(strings.NewReader("# comment\n! comment\r\n" +
		"a=1\nb : 2\rc 3\r\n  d\t=\t x y \n" +
		"long=one,\\\n   two,\\\r\n\tthree\n" +
		"esc\\=aped\\ key=v\\u00e9\\n\\q\\\\\n" +
		"empty=\nbare\n  \\#hash=5\na=last\nend=x\\\\\\\n  y\ntail=z\\"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a": "last", "b": "2", "c": "3", "d": "x y ",
		"long": "one,two,three", "esc=aped key": "vé\nq\\", "empty": "", "bare": "",
		"#hash": "5", "end": `x\y`, "tail": "z"}
	if !maps.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if _, err := LoadProperties(strings.NewReader("\n\na=\\u12g4\n")); err == nil ||
		!strings.Contains(err.Error(), "line 3") {
		t.Error(err)
	}
}

func FuzzLoadProperties(f *testing.F) {
	f.Add("a=1\n\\\nb\\u0041:2\r\n#x")
	f.Add("\\")
	f.Add("=\n:\n \\u")
	f.Fuzz(func(t *testing.T, s string) {
		values, err := LoadProperties(strings.NewReader(s))
		if err != nil {
			return
		}
		// What was read can be written and read again.
		var b strings.Builder
		for k, v := range values {
			b.WriteString(escape(k) + "=" + escape(v) + "\n")
		}
		again, err := LoadProperties(strings.NewReader(b.String()))
		if err != nil || !maps.Equal(values, again) {
			t.Fatalf("%q → %q %v", values, again, err)
		}
	})
}

func escape(s string) string {
	r := strings.NewReplacer("\\", "\\\\", "\n", "\\n", "\r", "\\r", "\t", "\\t", "\f", "\\f",
		" ", "\\ ", "=", "\\=", ":", "\\:", "#", "\\#", "!", "\\!")
	return r.Replace(s)
}

func FuzzParse(f *testing.F) {
	f.Add("1")
	f.Add("compact, delete")
	f.Add("-9223372036854775808")
	f.Fuzz(func(t *testing.T, v string) {
		for _, reg := range []registry{topics, groups, metrics} {
			for _, d := range reg.list {
				s, why := d.Parse(v)
				if why != "" {
					continue
				}
				if again, why := d.Parse(s); why != "" || again != s {
					t.Fatalf("%s: %q → %q → %q %s", d.name, v, s, again, why)
				}
			}
		}
	})
}

func TestFromEnv(t *testing.T) {
	values, ignored := FromEnv([]string{"PATH=/bin", "KAFKA_NUM_PARTITIONS=3",
		"KAFKA_LISTENER_NAME_SASL__SSL_SCRAM___SHA___256_SASL_JAAS_CONFIG=x=y",
		"KAFKA_HEAP_OPTS=-Xmx1G", "KAFKA_JMX_PORT=9999", "KAFKA_ADVERTISED_LISTENERS=",
		"KAFKA_PORT=tcp://10.0.0.1:9092", "KAFKA_PORT_9092_TCP=tcp://10.0.0.1:9092",
		"KAFKA_SERVICE_HOST=10.0.0.1", "KAFKA_=1", "KAFKA_LOG4J_OPTS=x", "KAFKA_A____B=1"})
	want := map[string]string{"num.partitions": "3", "advertised.listeners": "",
		"listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config": "x=y", "a____b": "1"}
	if !maps.Equal(values, want) {
		t.Errorf("got %q", values)
	}
	if !slices.Equal(ignored, []string{"KAFKA_HEAP_OPTS", "KAFKA_JMX_PORT", "KAFKA_LOG4J_OPTS",
		"KAFKA_PORT", "KAFKA_PORT_9092_TCP", "KAFKA_SERVICE_HOST"}) {
		t.Errorf("ignored %q", ignored)
	}
}
