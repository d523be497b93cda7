package configdef

// Type is a config's type, as in DescribeConfigs.
type Type int8

// Types.
const (
	Unknown  Type = 0
	Boolean  Type = 1
	String   Type = 2
	Int      Type = 3
	Short    Type = 4
	Long     Type = 5
	Double   Type = 6
	List     Type = 7
	Class    Type = 8
	Password Type = 9
)

func (t Type) String() string {
	return [...]string{"UNKNOWN", "BOOLEAN", "STRING", "INT", "SHORT", "LONG", "DOUBLE", "LIST",
		"CLASS", "PASSWORD"}[t]
}

// Source says where a value comes from, as in DescribeConfigs.
type Source int8

// Sources.
const (
	SourceTopic         Source = 1
	SourceBroker        Source = 2 // dynamic, of one broker
	SourceDefaultBroker Source = 3 // dynamic, of all brokers
	SourceStatic        Source = 4
	SourceDefault       Source = 5
	SourceLogger        Source = 6
	SourceClientMetrics Source = 7
	SourceGroup         Source = 8
)

// unset is the default of a name that has none (null on the wire). No value can hold it.
const unset = "\x00"

// flags of a row.
type flags uint8

const (
	fixed       flags = 0 // not changed while the broker runs
	perBroker   flags = 1 << iota
	clusterWide       // per broker or for all at once
	internal          // never described
)

// row is a line of the tables.
type row struct {
	name  string
	typ   Type
	def   string
	rule  rule
	flags flags
}

// Def describes one name.
type Def struct {
	row
	doc string
}

// Name, Type and Internal are what they say; internal names are never described.
func (d *Def) Name() string   { return d.name }
func (d *Def) Type() Type     { return d.typ }
func (d *Def) Internal() bool { return d.flags&internal != 0 }

// Doc is a sentence about the name.
func (d *Def) Doc() string { return d.doc }

// Default is the value when nothing is set; false means null.
func (d *Def) Default() (string, bool) {
	if d.def == unset {
		return "", false
	}
	return d.def, true
}

// Sensitive values are never shown.
func (d *Def) Sensitive() bool { return d.typ == Password }

// Dynamic says whether a broker config may change while the broker runs.
func (d *Def) Dynamic() bool { return d.flags&(perBroker|clusterWide) != 0 }

// registry is one kind of resource: its names in the order of Kafka's answers.
type registry struct {
	list []*Def
	by   map[string]*Def
}

func register(rows []row, doc func(name string) string) registry {
	r := registry{by: make(map[string]*Def, len(rows))}
	for i := range rows {
		d := &Def{row: rows[i], doc: doc(rows[i].name)}
		r.list = append(r.list, d)
		r.by[d.name] = d
	}
	return r
}

var (
	topics  = register(topicTable, words(topicDocs))
	brokers = register(brokerTable, docOf)
	groups  = register(groupTable, words(groupDocs))
	metrics = register(metricsTable, words(metricsDocs))
)

// throttles are dynamic broker configs that no properties file knows.
var throttles = register([]row{
	{"leader.replication.throttled.rate", Long, "9223372036854775807", atLeast(0), perBroker},
	{"follower.replication.throttled.rate", Long, "9223372036854775807", atLeast(0), perBroker},
	{"replica.alter.log.dirs.io.max.bytes.per.second", Long, "9223372036854775807", atLeast(0),
		perBroker},
}, docOf)

func words(docs map[string]string) func(string) string {
	return func(name string) string { return docs[name] }
}

// Topic, Broker, Group and ClientMetrics find a name, nil if Kafka 4.3.1 does not know it.
func Topic(name string) *Def         { return topics.by[name] }
func Broker(name string) *Def        { return brokers.by[name] }
func Group(name string) *Def         { return groups.by[name] }
func ClientMetrics(name string) *Def { return metrics.by[name] }

// TopicNames lists the names of topic configs that are described, in Kafka's order.
func TopicNames() []string { return topics.names() }

// BrokerNames lists the names of broker configs that are described, in Kafka's order.
func BrokerNames() []string { return brokers.names() }

func (r registry) names() []string {
	names := make([]string, 0, len(r.list))
	for _, d := range r.list {
		if !d.Internal() {
			names = append(names, d.name)
		}
	}
	return names
}

// synonym is a broker config that another config falls back to; factor turns its unit.
type synonym struct {
	name   string
	factor int64
}

// brokerSynonyms are broker configs of one meaning, the strongest first.
var brokerSynonyms = map[string][]string{
	"log.roll.ms":           {"log.roll.ms", "log.roll.hours"},
	"log.roll.hours":        {"log.roll.ms", "log.roll.hours"},
	"log.roll.jitter.ms":    {"log.roll.jitter.ms", "log.roll.jitter.hours"},
	"log.roll.jitter.hours": {"log.roll.jitter.ms", "log.roll.jitter.hours"},
	"log.retention.ms":      retentionNames,
	"log.retention.minutes": retentionNames,
	"log.retention.hours":   retentionNames,
	"log.flush.interval.ms": {"log.flush.interval.ms", "log.flush.scheduler.interval.ms"},
}

var retentionNames = []string{"log.retention.ms", "log.retention.minutes", "log.retention.hours"}
