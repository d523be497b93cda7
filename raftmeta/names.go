package raftmeta

import (
	"slices"
	"strings"
)

// maxNameLength leaves room for "-2147483647.xyz" in a file name of 255 bytes.
const maxNameLength = 249

// InvalidTopicName says why a topic cannot have this name, "" if it can.
func InvalidTopicName(name string) string {
	why := ""
	switch {
	case name == "":
		why = "the empty string is not allowed"
	case name == ".":
		why = "'.' is not allowed"
	case name == "..":
		why = "'..' is not allowed"
	case len(name) > maxNameLength:
		why = "the length of '" + name + "' is longer than the max allowed length 249"
	case strings.ContainsFunc(name, illegalRune):
		why = "'" + name + "' contains one or more characters other than ASCII " +
			"alphanumerics, '.', '_' and '-'"
	default:
		return ""
	}
	return "Topic name is invalid: " + why
}

// ValidTopicName says whether a topic can have this name.
func ValidTopicName(name string) bool { return InvalidTopicName(name) == "" }

func illegalRune(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
		r == '.' || r == '_' || r == '-')
}

// InternalTopic says whether the name belongs to the brokers' own bookkeeping.
func InternalTopic(name string) bool {
	switch name {
	case "__consumer_offsets", "__transaction_state", "__share_group_state":
		return true
	}
	return false
}

// clash lists topics whose metric names would be the same: '.' and '_' look alike there.
type clash struct{ names []string }

func clashKey(name string) (string, bool) {
	return strings.ReplaceAll(name, ".", "_"), strings.ContainsAny(name, "._")
}

// collides finds an existing topic whose name differs only in '.' and '_'.
func (b *builder) collides(name string) string {
	key, may := clashKey(name)
	if !may {
		return ""
	}
	if c, ok := b.m.collisions.get(key); ok {
		for _, other := range c.names {
			if other != name {
				return other
			}
		}
	}
	return ""
}

func (b *builder) noteName(name string) {
	if key, may := clashKey(name); may {
		names := []string{name}
		if c, ok := b.m.collisions.get(key); ok {
			names = append(slices.Clone(c.names), name)
		}
		b.m.collisions = b.m.collisions.set(key, &clash{names})
	}
}

func (b *builder) forgetName(name string) {
	key, may := clashKey(name)
	c, ok := b.m.collisions.get(key)
	if !may || !ok {
		return
	}
	left := slices.DeleteFunc(slices.Clone(c.names), func(o string) bool { return o == name })
	if len(left) == 0 {
		b.m.collisions = b.m.collisions.delete(key)
	} else {
		b.m.collisions = b.m.collisions.set(key, &clash{left})
	}
}
