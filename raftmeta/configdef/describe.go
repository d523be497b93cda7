package configdef

import (
	"strconv"

	"millrace/protocol"
	"millrace/raftmeta"
)

// Synonym is one of the values that an entry was chosen from.
type Synonym struct {
	Name   string
	Value  *string // nil: hidden
	Source Source
}

// Entry is one line of a DescribeConfigs answer.
type Entry struct {
	Name      string
	Value     *string // nil: null, or hidden
	Source    Source
	Type      Type
	ReadOnly  bool
	Sensitive bool
	Synonyms  []Synonym // the one in force first; only when asked for
	Doc       string    // only when asked for
}

// Ask is what a client wants to know of one resource.
type Ask struct {
	Resource raftmeta.Resource
	Names    []string // nil: all
	Synonyms bool
	Docs     bool
}

// Describe answers in Kafka's order and with Kafka's synonyms. Broker loggers have no
// levels of their own here: the answer is the root alone.
func (r *Resolver) Describe(m *raftmeta.Image, a Ask) ([]Entry, raftmeta.Item) {
	if it := r.describable(m, a.Resource); it.Code != protocol.None {
		return nil, it
	}
	d := describer{r: r, m: m, v: r.view(m), ask: a}
	if a.Names != nil {
		d.only = make(map[string]bool, len(a.Names))
		for _, n := range a.Names {
			d.only[n] = true
		}
	}
	switch a.Resource.Type {
	case raftmeta.ResourceTopic:
		d.topic()
	case raftmeta.ResourceBroker:
		d.broker()
	case raftmeta.ResourceGroup:
		d.own(groups, SourceGroup, groupSynonym)
	case raftmeta.ResourceClientMetrics:
		d.own(metrics, SourceClientMetrics, nil)
	case raftmeta.ResourceBrokerLogger:
		level := "INFO"
		d.add(Entry{Name: "root", Value: &level, Source: SourceLogger})
	}
	return d.out, raftmeta.Item{}
}

func (r *Resolver) describable(m *raftmeta.Image, res raftmeta.Resource) raftmeta.Item {
	switch res.Type {
	case raftmeta.ResourceTopic:
		return r.describableTopic(m, res.Name)
	case raftmeta.ResourceBroker, raftmeta.ResourceBrokerLogger:
		if res.Name == "" {
			if res.Type == raftmeta.ResourceBroker {
				return raftmeta.Item{}
			}
			return bad(protocol.InvalidRequest, "Broker id must not be empty")
		}
		if _, err := strconv.ParseInt(res.Name, 10, 32); err != nil {
			return bad(protocol.InvalidRequest,
				"Broker id must be an integer, but it is: "+res.Name)
		}
		if res.Name != r.node {
			return bad(protocol.InvalidRequest, "Unexpected broker id, expected "+r.node+
				" or empty string, but received "+res.Name)
		}
	case raftmeta.ResourceGroup:
		if res.Name == "" {
			return bad(protocol.InvalidRequest, "Group name must not be empty")
		}
	case raftmeta.ResourceClientMetrics:
		if res.Name == "" {
			return bad(protocol.InvalidRequest,
				"Client metrics subscription name must not be empty")
		}
	default:
		return bad(protocol.InvalidRequest, "Unsupported resource type: "+
			strconv.Itoa(int(res.Type)))
	}
	return raftmeta.Item{}
}

func (r *Resolver) describableTopic(m *raftmeta.Image, name string) raftmeta.Item {
	if why := raftmeta.InvalidTopicName(name); why != "" {
		return bad(protocol.InvalidTopicException, why)
	}
	if m.Topic(name) == nil {
		return raftmeta.Item{Code: protocol.UnknownTopicOrPartition}
	}
	return raftmeta.Item{}
}

type describer struct {
	r    *Resolver
	m    *raftmeta.Image
	v    *view
	ask  Ask
	only map[string]bool
	out  []Entry
}

func (d *describer) wants(name string) bool { return d.only == nil || d.only[name] }

func (d *describer) add(e Entry) {
	if !d.wants(e.Name) {
		return
	}
	if !d.ask.Synonyms {
		e.Synonyms = nil
	}
	if !d.ask.Docs {
		e.Doc = ""
	}
	d.out = append(d.out, e)
}

func (d *describer) topic() {
	own := d.m.Configs(d.ask.Resource)
	for _, def := range topics.list {
		if def.Internal() || !d.wants(def.name) {
			continue
		}
		var syn []Synonym
		if list := topicSynonyms[def.name]; len(list) > 0 {
			names := make([]string, len(list))
			for i := range list {
				names[i] = list[i].name
			}
			syn = d.synonyms(names)
		}
		value, _, has := d.r.inherited(d.v, def)
		if s, ok := own.Get(def.name); ok {
			if s, why := def.Parse(s); why == "" {
				value, has = s, true
				syn = append([]Synonym{{def.name, &s, SourceTopic}}, syn...)
			}
		}
		d.entry(def, value, has, syn, false)
	}
}

// entry adds what is common to all kinds; the source is that of the first synonym.
func (d *describer) entry(def *Def, value string, has bool, syn []Synonym, readOnly bool) {
	e := Entry{Name: def.name, Source: SourceDefault, Type: def.typ, ReadOnly: readOnly,
		Sensitive: def.Sensitive(), Synonyms: syn, Doc: def.doc}
	if len(syn) > 0 {
		e.Source = syn[0].Source
	}
	if has && !e.Sensitive {
		e.Value = &value
	}
	d.add(e)
}

// synonyms lists the values of names layer by layer. What comes before the first value of
// the first name is dropped, as Kafka does: so a topic whose retention comes from
// log.retention.hours alone shows no synonym.
func (d *describer) synonyms(names []string) []Synonym {
	var all []Synonym
	add := func(name, value string, src Source) {
		s := Synonym{Name: name, Source: src}
		if def := dynamicBroker(name); def != nil && !def.Sensitive() {
			s.Value = &value
		}
		all = append(all, s)
	}
	layers := []struct {
		get func(string) (string, bool)
		src Source
	}{
		{d.v.own.Get, SourceBroker},
		{d.v.all.Get, SourceDefaultBroker},
		{func(n string) (string, bool) { s, ok := d.r.static[n]; return s, ok }, SourceStatic},
		{brokerDefault, SourceDefault},
	}
	for _, l := range layers {
		for _, n := range names {
			if v, ok := l.get(n); ok {
				add(n, v, l.src)
			}
		}
	}
	for i := range all {
		if all[i].Name == names[0] {
			return all[i:]
		}
	}
	return nil
}

func brokerDefault(name string) (string, bool) {
	d := Broker(name)
	if d == nil {
		return "", false
	}
	return d.Default()
}

func (d *describer) broker() {
	if d.ask.Resource.Name == "" {
		for _, c := range d.v.all.List() {
			if d.wants(c.Name) {
				d.brokerEntry(c.Name, true)
			}
		}
		return
	}
	for _, c := range d.v.own.List() { // names that only plug-ins or one listener know
		if Broker(c.Name) == nil {
			d.brokerEntry(c.Name, false)
		}
	}
	for _, def := range brokers.list {
		if !def.Internal() && d.wants(def.name) {
			d.brokerEntry(def.name, false)
		}
	}
}

// brokerEntry describes one broker config; defaultOnly keeps the cluster-wide layer alone.
func (d *describer) brokerEntry(name string, defaultOnly bool) {
	names := []string{name}
	if list := brokerSynonyms[name]; list != nil {
		names = startWith(name, list)
	}
	def := dynamicBroker(name)
	if def != nil && def.name != name {
		names = append(names, def.name) // a listener's own value, then everybody's
	}
	syn := d.synonyms(names)
	if defaultOnly {
		kept := syn[:0]
		for _, s := range syn {
			if s.Source == SourceDefaultBroker {
				kept = append(kept, s)
			}
		}
		syn = kept
	}
	if def == nil { // nobody knows whether it is a secret
		d.add(Entry{Name: name, Source: syn[0].Source, ReadOnly: true, Sensitive: true,
			Synonyms: syn})
		return
	}
	value, has := "", false
	switch {
	case defaultOnly, def.name != name:
		value, has = valueOf(syn)
	default:
		value, _, has = d.r.broker(d.v, def)
	}
	shown := *def
	shown.name = name
	d.entry(&shown, value, has, syn, !def.Dynamic() || def.name != name)
}

// startWith gives list from name on, the way that Kafka drops the stronger ones.
func startWith(name string, list []string) []string {
	for i, n := range list {
		if n == name {
			return list[i:]
		}
	}
	return []string{name}
}

func valueOf(syn []Synonym) (string, bool) {
	if len(syn) == 0 || syn[0].Value == nil {
		return "", false
	}
	return *syn[0].Value, true
}

// own describes a resource that has values of its own and at most one broker synonym.
func (d *describer) own(reg registry, src Source, synonymOf func(string) string) {
	own := d.m.Configs(d.ask.Resource)
	for _, def := range reg.list {
		var syn []Synonym
		value, has := def.Default()
		if synonymOf != nil {
			if b := synonymOf(def.name); Broker(b) != nil {
				syn = d.synonyms([]string{b})
				value, _, has = d.r.broker(d.v, Broker(b))
			} else if has {
				s := value
				syn = []Synonym{{def.name, &s, SourceDefault}}
			}
		}
		if s, ok := own.Get(def.name); ok {
			value, has = s, true
			syn = append([]Synonym{{def.name, &s, src}}, syn...)
		}
		d.entry(def, value, has, syn, false)
	}
}

func groupSynonym(name string) string { return "group." + name }
