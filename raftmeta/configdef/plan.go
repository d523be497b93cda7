package configdef

import (
	"strconv"

	"millrace/protocol"
	"millrace/raftmeta"
)

// Wanted is a value that a client asks for; a nil Value is null on the wire.
type Wanted struct {
	Name  string
	Value *string
}

// Alter is one step of IncrementalAlterConfigs.
type Alter struct {
	Op int8 // as on the wire
	Wanted
}

// PlanTopic judges the configs of a topic to be created and makes what NewTopic takes.
// Names that older Kafkas had are dropped.
func PlanTopic(list []Wanted) ([]raftmeta.Config, raftmeta.Item) {
	values := map[string]string{}
	for _, w := range list {
		if w.Value == nil {
			return nil, bad(protocol.InvalidConfig,
				"Null value not supported for topic configs: "+w.Name)
		}
		values[w.Name] = *w.Value
	}
	if it := ValidateTopic(values); it.Code != protocol.None {
		return nil, it
	}
	var out []raftmeta.Config
	for _, name := range sorted(values) {
		if d := Topic(name); d != nil {
			v, _ := d.Parse(values[name])
			out = append(out, raftmeta.Config{Name: name, Value: v})
		}
	}
	return out, raftmeta.Item{}
}

// PlanAlter judges an incremental change of one resource against the image and makes the
// edits for raftmeta.SetConfigs.
func (r *Resolver) PlanAlter(m *raftmeta.Image, res raftmeta.Resource, list []Alter) (
	raftmeta.ResourceEdits, raftmeta.Item) {
	e := raftmeta.ResourceEdits{Resource: res}
	defs, it := r.editable(m, res)
	if it.Code != protocol.None {
		return e, it
	}
	after, touched, seen := m.Configs(res).Map(), map[string]string{}, map[string]bool{}
	for _, a := range list {
		if seen[a.Name] {
			return e, bad(protocol.InvalidRequest, "Error due to duplicate config keys")
		}
		seen[a.Name] = true
		edit, it := r.edit(m, res, defs, a)
		if it.Code != protocol.None {
			return e, it
		}
		if removedTopic[a.Name] != "" && res.Type == raftmeta.ResourceTopic {
			continue
		}
		switch edit.Op {
		case raftmeta.OpDelete:
			delete(after, a.Name)
		case raftmeta.OpSet:
			after[a.Name], touched[a.Name] = edit.Value, edit.Value
		default:
			now, ok := after[a.Name]
			if !ok {
				now = edit.Default
			}
			now = raftmeta.EditList(now, edit.Op, edit.Value)
			after[a.Name], touched[a.Name] = now, now
		}
		e.Edits = append(e.Edits, edit)
	}
	if res.Type == raftmeta.ResourceBroker {
		after = touched // what else is set was judged when it was set
	}
	return e, r.validate(res, after)
}

// edit turns one wire step into an edit.
func (r *Resolver) edit(m *raftmeta.Image, res raftmeta.Resource, defs finder, a Alter) (
	raftmeta.ConfigEdit, raftmeta.Item) {
	edit := raftmeta.ConfigEdit{Op: raftmeta.ConfigOp(a.Op), Name: a.Name}
	d := defs(a.Name)
	word := "APPEND"
	switch edit.Op {
	case raftmeta.OpDelete:
		return edit, raftmeta.Item{}
	case raftmeta.OpSet, raftmeta.OpAppend:
	case raftmeta.OpSubtract:
		word = "SUBTRACT"
	default:
		return edit, bad(protocol.InvalidRequest, "Unknown config operation "+
			strconv.Itoa(int(a.Op)))
	}
	if a.Value == nil {
		return edit, bad(protocol.InvalidRequest, "Null value not supported for : "+a.Name)
	}
	edit.Value = *a.Value
	if edit.Op == raftmeta.OpSet {
		if d != nil {
			if v, why := d.Parse(edit.Value); why == "" {
				edit.Value = v
			}
		}
		return edit, raftmeta.Item{}
	}
	if d == nil || d.typ != List {
		return edit, bad(protocol.InvalidConfig, "Can't "+word+" to key "+a.Name+
			" because its type is not LIST.")
	}
	edit.Default = r.listDefault(m, res, d)
	return edit, raftmeta.Item{}
}

// PlanReplace judges the full set of values of AlterConfigs.
func (r *Resolver) PlanReplace(m *raftmeta.Image, res raftmeta.Resource, list []Wanted) (
	raftmeta.ResourceEdits, raftmeta.Item) {
	e := raftmeta.ResourceEdits{Resource: res, Replace: true}
	defs, it := r.editable(m, res)
	if it.Code != protocol.None {
		return e, it
	}
	values := map[string]string{}
	for _, w := range list {
		if _, twice := values[w.Name]; twice {
			return e, bad(protocol.InvalidRequest, "Error due to duplicate config keys")
		}
		edit, it := r.edit(m, res, defs, Alter{int8(raftmeta.OpSet), w})
		if it.Code != protocol.None {
			return e, it
		}
		values[w.Name] = edit.Value
		if removedTopic[w.Name] == "" || res.Type != raftmeta.ResourceTopic {
			e.Edits = append(e.Edits, edit)
		}
	}
	return e, r.validate(res, values)
}

type finder func(name string) *Def

// editable says whether the resource can have configs, and how its names are found.
func (r *Resolver) editable(m *raftmeta.Image, res raftmeta.Resource) (finder, raftmeta.Item) {
	empty := func(kind string) raftmeta.Item {
		return bad(protocol.InvalidRequest, "Default "+kind+" resources are not allowed.")
	}
	switch res.Type {
	case raftmeta.ResourceTopic:
		if res.Name == "" {
			return nil, empty("topic")
		}
		return Topic, exists(m, res)
	case raftmeta.ResourceBroker:
		return dynamicBroker, exists(m, res)
	case raftmeta.ResourceGroup:
		if res.Name == "" {
			return nil, empty("group")
		}
		return Group, raftmeta.Item{}
	case raftmeta.ResourceClientMetrics:
		if res.Name == "" {
			return nil, empty("client metrics")
		}
		return ClientMetrics, raftmeta.Item{}
	}
	return nil, bad(protocol.InvalidRequest, "Unexpected resource type "+
		strconv.Itoa(int(res.Type)))
}

// exists asks raftmeta, whose Apply will judge the same.
func exists(m *raftmeta.Image, res raftmeta.Resource) raftmeta.Item {
	out := raftmeta.Check(m, raftmeta.SetConfigs{
		Resources: []raftmeta.ResourceEdits{{Resource: res}}})
	return out.Items[0]
}

func (r *Resolver) validate(res raftmeta.Resource, values map[string]string) raftmeta.Item {
	switch res.Type {
	case raftmeta.ResourceTopic:
		return ValidateTopic(values)
	case raftmeta.ResourceBroker:
		return ValidateBroker(values, res.Name != "")
	case raftmeta.ResourceGroup:
		return ValidateGroup(values, r.static64)
	}
	return ValidateClientMetrics(values)
}
