package configdef

import (
	_ "embed"
	"strings"
)

//go:embed docs.txt
var docsText string

// The words by kind of resource, from docs.txt.
var (
	allDocs     = readDocs(docsText)
	topicDocs   = allDocs["topic"]
	brokerDocs  = allDocs["broker"]
	groupDocs   = allDocs["group"]
	metricsDocs = allDocs["metrics"]
)

func readDocs(text string) map[string]map[string]string {
	all := map[string]map[string]string{}
	section := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			section = map[string]string{}
			all[strings.Trim(line, "[]")] = section
		default:
			name, words, _ := strings.Cut(line, " ")
			section[name] = words
		}
	}
	return all
}

// families words the names of which there are many alike.
var families = []struct{ prefix, doc string }{
	{"controller.quorum.", "Of Kafka's own metadata quorum; the quorum here is another."},
	{"internal.metadata.", "Of Kafka's own metadata quorum; the quorum here is another."},
	{"controller.performance.", "Of Kafka's controller."},
	{"remote.", "Of tiered storage, which is not served."},
	{"log.local.", "Of tiered storage, which is not served."},
	{"share.", "Of the share coordinator."},
	{"group.share.", "Limit or default of the configs of share groups."},
	{"group.streams.", "Limit or default of the configs of streams groups."},
	{"group.consumer.", "Limit or default of the configs of consumer groups."},
	{"sasl.oauthbearer.", "Of SASL OAUTHBEARER."},
	{"sasl.kerberos.", "Of SASL GSSAPI (Kerberos)."},
	{"sasl.login.", "Of logins that SASL makes."},
	{"sasl.", "Of SASL authentication."},
	{"ssl.", "Of TLS."},
	{"unstable.", "Whether unfinished versions are offered."},
}

// purgatories hold waiting requests; Kafka cleans them from time to time.
const purgatory = ".purgatory.purge.interval.requests"

// docOf finds the words for a broker config: its own, those of the topic's or group's
// config that it is the default of, or those of its family.
func docOf(name string) string {
	if doc := brokerDocs[name]; doc != "" {
		return doc
	}
	for topic, list := range topicSynonyms {
		if list[0].name == name {
			return topicDocs[topic]
		}
	}
	if rest, ok := strings.CutPrefix(name, "group."); ok && groupDocs[rest] != "" {
		return groupDocs[rest]
	}
	if strings.HasSuffix(name, purgatory) {
		return "How many waiting requests may be done before Kafka cleans up behind them."
	}
	for _, f := range families {
		if strings.HasPrefix(name, f.prefix) {
			return f.doc
		}
	}
	return ""
}
