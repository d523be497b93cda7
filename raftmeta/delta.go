package raftmeta

import (
	"cmp"
	"slices"

	"millrace/protocol"
)

// Delta is what changed between two images; lists are sorted by name.
type Delta struct {
	Created []*Topic
	Deleted []*Topic // as they were
	// Changed topics kept their id: partitions, epochs, replicas or configs are new.
	Changed []TopicChange
	// Configs are the changed resources other than topics.
	Configs []Resource
	Brokers bool // the list of brokers is another
}

// TopicChange is one topic before and after.
type TopicChange struct{ Old, New *Topic }

// Diff compares two images, in time proportional to what is different.
func Diff(old, to *Image) Delta {
	var d Delta
	old.ids.diff(to.ids, func(_ protocol.TopicID, a, b *Topic, had, has bool) {
		switch {
		case !had:
			d.Created = append(d.Created, b)
		case !has:
			d.Deleted = append(d.Deleted, a)
		default:
			d.Changed = append(d.Changed, TopicChange{a, b})
		}
	})
	old.configs.diff(to.configs, func(r Resource, _, _ *Configs, _, _ bool) {
		d.Configs = append(d.Configs, r)
	})
	// A recreated topic has the name of a deleted one: Created orders it among the new.
	order := func(a, b *Topic) int { return cmp.Or(byName(a, b), cmp.Compare(a.Created, b.Created)) }
	slices.SortFunc(d.Created, order)
	slices.SortFunc(d.Deleted, order)
	slices.SortFunc(d.Changed, func(a, b TopicChange) int { return byName(a.New, b.New) })
	slices.SortFunc(d.Configs, byResource)
	d.Brokers = !slices.EqualFunc(old.brokers, to.brokers, func(a, b Broker) bool {
		return a.ID == b.ID && a.Epoch == b.Epoch && a.Fenced == b.Fenced &&
			a.Rack == b.Rack && slices.Equal(a.Endpoints, b.Endpoints)
	})
	return d
}
