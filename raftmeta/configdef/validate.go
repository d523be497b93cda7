package configdef

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"millrace/protocol"
	"millrace/raftmeta"
)

func bad(code protocol.Code, message string) raftmeta.Item {
	return raftmeta.Item{Code: code, Message: message}
}

// sorted makes the first refusal the same every time.
func sorted(values map[string]string) []string { return slices.Sorted(maps.Keys(values)) }

// ValidateTopic judges the overrides of a topic, all of them together.
func ValidateTopic(values map[string]string) raftmeta.Item {
	for _, name := range sorted(values) {
		if removedTopic[name] != "" {
			continue
		}
		d := Topic(name)
		if d == nil {
			return bad(protocol.InvalidConfig, "Unknown topic config name: "+name)
		}
		if _, why := d.Parse(values[name]); why != "" {
			return bad(protocol.InvalidConfig, why)
		}
	}
	if strings.EqualFold(strings.TrimSpace(values["remote.storage.enable"]), "true") {
		return bad(protocol.InvalidConfig, "Tiered Storage functionality is disabled in the "+
			"broker. Topic cannot be configured with remote log storage.")
	}
	least, most := topicLong(values, "min.compaction.lag.ms"),
		topicLong(values, "max.compaction.lag.ms")
	if least > most {
		return bad(protocol.InvalidConfig, "conflict topic config setting "+
			"min.compaction.lag.ms ("+strconv.FormatInt(least, 10)+") > "+
			"max.compaction.lag.ms ("+strconv.FormatInt(most, 10)+")")
	}
	return raftmeta.Item{}
}

func topicLong(values map[string]string, name string) int64 {
	v, given := values[name]
	if !given {
		v = Topic(name).def
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
	return n
}

// ValidateBroker judges dynamic broker configs: of one broker, or of all.
func ValidateBroker(values map[string]string, one bool) raftmeta.Item {
	var static, single, security []string
	for _, name := range sorted(values) {
		d := dynamicBroker(name)
		switch {
		case d == nil: // unknown: Kafka keeps it, for plug-ins
		case strings.HasPrefix(name, listenerPrefix):
			if !one {
				single = append(single, name)
			}
		case !d.Dynamic():
			static = append(static, name)
		case d.flags&perBroker != 0 && !one && throttles.by[name] == nil:
			single = append(single, name)
		case securityPerListener[name]:
			security = append(security, name)
		}
	}
	for _, r := range []struct {
		names []string
		why   string
	}{
		{static, "Cannot update these configs dynamically: "},
		{security, "These security configs can be dynamically updated only per-listener " +
			"using the listener prefix: "},
		{single, "Cannot update these configs at default cluster level, broker id must be " +
			"specified: "},
	} {
		if len(r.names) > 0 {
			return bad(protocol.InvalidRequest, r.why+"["+strings.Join(r.names, ", ")+"]")
		}
	}
	for _, name := range sorted(values) {
		if d := dynamicBroker(name); d != nil {
			if _, why := d.Parse(values[name]); why != "" {
				return bad(protocol.InvalidRequest, why)
			}
		}
	}
	return raftmeta.Item{}
}

// dynamicBroker finds the definition of a broker config, also under a listener's prefix.
func dynamicBroker(name string) *Def {
	if d := throttles.by[name]; d != nil {
		return d
	}
	return anyBroker(name)
}

const listenerPrefix = "listener.name."

// anyBroker finds a name, or what it overrides for one listener, nil if it is unknown:
// listener.name.LISTENER.NAME or listener.name.LISTENER.MECHANISM.NAME.
func anyBroker(name string) *Def {
	if d := Broker(name); d != nil {
		return d
	}
	rest, prefixed := strings.CutPrefix(name, listenerPrefix)
	for range 2 {
		if !prefixed {
			return nil
		}
		_, rest, prefixed = strings.Cut(rest, ".")
		if d := Broker(rest); d != nil {
			return d
		}
	}
	return nil
}

var securityPerListener = map[string]bool{
	"ssl.key.password": true, "ssl.keystore.certificate.chain": true, "ssl.keystore.key": true,
	"ssl.keystore.location": true, "ssl.keystore.password": true, "ssl.keystore.type": true,
	"ssl.truststore.certificates": true, "ssl.truststore.location": true,
	"ssl.truststore.password": true, "ssl.truststore.type": true,
}

// ValidateGroup judges the configs of a group; broker gives the broker's own limits.
func ValidateGroup(values map[string]string, broker func(name string) int64) raftmeta.Item {
	for _, name := range sorted(values) {
		d := Group(name)
		if d == nil {
			return bad(protocol.InvalidConfig, "Unknown group config name: "+name)
		}
		v, why := d.Parse(values[name])
		if why == "" && name == "share.auto.offset.reset" {
			why = offsetReset(v)
		}
		if why != "" {
			return bad(protocol.InvalidConfig, why)
		}
		if why := groupLimit(name, v, broker); why != "" {
			return bad(protocol.InvalidConfig, why)
		}
	}
	return raftmeta.Item{}
}

// groupLimit holds a group's value against the broker's group.KIND.min.… and .max.….
func groupLimit(name, v string, broker func(string) int64) string {
	kind, rest, _ := strings.Cut(name, ".")
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return ""
	}
	if least := "group." + kind + ".min." + rest; Broker(least) != nil && n < broker(least) {
		return name + " must be greater than or equal to " + least
	}
	most := "group." + kind + ".max." + rest
	if name == "streams.num.standby.replicas" {
		most = "group.streams.max.standby.replicas"
	}
	if Broker(most) != nil && n > broker(most) {
		return name + " must be less than or equal to " + most
	}
	return ""
}

func offsetReset(v string) string {
	if v == "latest" || v == "earliest" || strings.HasPrefix(v, "by_duration:P") {
		return ""
	}
	return invalid("share.auto.offset.reset", v,
		"must be latest, earliest or by_duration:PnDTnHnMn.nS")
}

// matchers are the client fields that a metrics subscription may select by.
var matchers = []string{"client_instance_id", "client_id", "client_software_name",
	"client_software_version", "client_source_address", "client_source_port"}

// ValidateClientMetrics judges a metrics subscription.
func ValidateClientMetrics(values map[string]string) raftmeta.Item {
	for _, name := range sorted(values) {
		d := ClientMetrics(name)
		if d == nil {
			return bad(protocol.InvalidRequest, "Unknown client metrics configuration: "+name)
		}
		v, why := d.Parse(values[name])
		if why != "" {
			return bad(protocol.InvalidRequest, why)
		}
		switch name {
		case "interval.ms":
			if n, _ := strconv.ParseInt(v, 10, 64); n < 100 || n > 3600000 {
				return bad(protocol.InvalidRequest, "Invalid value "+v+" for interval.ms, "+
					"interval must be between 100 and 3600000 (1 hour)")
			}
		case "match":
			for _, m := range splitList(v) {
				field, _, ok := strings.Cut(m, "=")
				if !ok || !slices.Contains(matchers, strings.TrimSpace(field)) {
					return bad(protocol.InvalidConfig, "Illegal client matching pattern: "+m)
				}
			}
		}
	}
	return raftmeta.Item{}
}
