package raftmeta

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"millrace/protocol"
)

func (c SetConfigs) apply(b *builder) Outcome {
	out := Outcome{Items: make([]Item, len(c.Resources))}
	for i := range c.Resources {
		out.Items[i] = b.edit(&c.Resources[i])
	}
	return out
}

func (b *builder) edit(e *ResourceEdits) Item {
	if it := b.resourceExists(e.Resource); it.Code != protocol.None {
		return it
	}
	values := map[string]string{}
	if !e.Replace {
		values = b.m.Configs(e.Resource).Map()
	}
	for _, edit := range e.Edits {
		editValue(values, edit)
	}
	list := make([]Config, 0, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		list = append(list, Config{name, values[name]})
	}
	if slices.Equal(list, b.m.Configs(e.Resource).list) {
		return Item{}
	}
	b.setConfigs(e.Resource, list)
	return Item{}
}

func (b *builder) resourceExists(r Resource) Item {
	switch r.Type {
	case ResourceTopic:
		if b.m.Topic(r.Name) == nil {
			return Item{Code: protocol.UnknownTopicOrPartition,
				Message: "The topic '" + r.Name + "' does not exist."}
		}
	case ResourceBroker:
		if r.Name == "" {
			break
		}
		id, err := strconv.ParseInt(r.Name, 10, 32)
		if err != nil {
			return Item{Code: protocol.InvalidRequest,
				Message: "Node id must be an integer, but it is: " + r.Name}
		}
		if b.m.Broker(protocol.NodeID(id)) == nil {
			return Item{Code: protocol.BrokerIdNotRegistered,
				Message: "No node with id " + r.Name + " found."}
		}
	}
	return Item{}
}

func editValue(values map[string]string, e ConfigEdit) {
	switch e.Op {
	case OpSet:
		values[e.Name] = e.Value
	case OpDelete:
		delete(values, e.Name)
	case OpAppend, OpSubtract:
		now, ok := values[e.Name]
		if !ok {
			now = e.Default
		}
		values[e.Name] = EditList(now, e.Op, e.Value)
	}
}

// EditList is Append and Subtract on a comma-separated list: the order stays, what is
// already there is not added twice.
func EditList(list string, op ConfigOp, items string) string {
	have := splitList(list)
	for _, it := range splitList(items) {
		if op == OpSubtract {
			have = slices.DeleteFunc(have, func(o string) bool { return o == it })
		} else if !slices.Contains(have, it) {
			have = append(have, it)
		}
	}
	return strings.Join(have, ",")
}

func splitList(s string) []string {
	var list []string
	for _, it := range strings.Split(s, ",") {
		if it = strings.TrimSpace(it); it != "" {
			list = append(list, it)
		}
	}
	return list
}

// newConfigs takes list over, sorts it, and keeps the last of equal names.
func (b *builder) newConfigs(list []Config) *Configs {
	slices.Reverse(list)
	slices.SortStableFunc(list, func(x, y Config) int { return strings.Compare(x.Name, y.Name) })
	list = slices.CompactFunc(list, func(x, y Config) bool { return x.Name == y.Name })
	return &Configs{list: list, index: b.index}
}

func (b *builder) setConfigs(r Resource, list []Config) {
	c := b.newConfigs(list)
	if r.Type != ResourceTopic {
		if len(list) == 0 {
			b.m.configs = b.m.configs.delete(r)
		} else {
			b.m.configs = b.m.configs.set(r, c)
		}
		return
	}
	n := *b.m.Topic(r.Name)
	n.Configs = c
	b.put(&n)
}
