package configdef

import (
	"slices"
	"strings"
)

// notSettings are KAFKA_ variables that Kafka's scripts and images read themselves.
var notSettings = []string{"KAFKA_VERSION", "KAFKA_HEAP_OPTS", "KAFKA_OPTS",
	"KAFKA_LOG4J_OPTS", "KAFKA_JVM_PERFORMANCE_OPTS", "KAFKA_GC_LOG_OPTS",
	"KAFKA_LOG4J_ROOT_LOGLEVEL", "KAFKA_LOG4J_LOGGERS", "KAFKA_TOOLS_LOG4J_LOGLEVEL",
	"KAFKA_HOME", "KAFKA_DEBUG", "KAFKA_DEBUG_SUSPEND_FLAG", "KAFKA_CLASSPATH",
	"KAFKA_CREATE_TOPICS", "KAFKA_DATA_DIR", "KAFKA_LOG_DIR", "KAFKA_CONF_DIR",
	"KAFKA_MODE", "KAFKA_USER", "KAFKA_SCALA_VERSION"}

// notSettingsWith begin names of which there are many; the second line is what Kubernetes
// puts beside the pods of a namespace that has a service called kafka.
var notSettingsWith = []string{"KAFKA_JMX_",
	"KAFKA_PORT_", "KAFKA_SERVICE_HOST", "KAFKA_SERVICE_PORT"}

// FromEnv finds settings in the environment (NAME=value, as os.Environ gives them) the way
// Kafka's container image does: KAFKA_A_B is a.b, __ stands for _ and ___ for -. The names
// of KAFKA_ variables that are no settings come back sorted, for one warning.
func FromEnv(environ []string) (values map[string]string, ignored []string) {
	values = map[string]string{}
	for _, e := range environ {
		name, value, ok := strings.Cut(e, "=")
		rest, ours := strings.CutPrefix(name, "KAFKA_")
		if !ok || !ours || rest == "" {
			continue
		}
		if scriptVariable(name, value) {
			ignored = append(ignored, name)
			continue
		}
		values[envName(rest)] = value
	}
	slices.Sort(ignored)
	return values, ignored
}

func scriptVariable(name, value string) bool {
	if slices.Contains(notSettings, name) {
		return true
	}
	if name == "KAFKA_PORT" { // a service's address, or the port of old brokers
		return strings.Contains(value, "://")
	}
	return slices.ContainsFunc(notSettingsWith,
		func(p string) bool { return strings.HasPrefix(name, p) })
}

// envName turns the runs of underscores: one is a dot, two one underscore, three a dash.
func envName(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		if s[i] != '_' {
			b.WriteByte(s[i])
			i++
			continue
		}
		run := len(s[i:]) - len(strings.TrimLeft(s[i:], "_"))
		switch {
		case i == 0 || i+run == len(s) || run > 3:
			b.WriteString(s[i : i+run])
		case run == 1:
			b.WriteByte('.')
		case run == 2:
			b.WriteByte('_')
		default:
			b.WriteByte('-')
		}
		i += run
	}
	return strings.ToLower(b.String())
}
