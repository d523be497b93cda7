package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
)

// difference is what a picture lacks of the one that is known to be right.
type difference struct {
	wrong []string // served, and not what it was
	short []string // logs that end earlier, without an error
	none  bool     // the two are the same
}

func (d *difference) say(format string, args ...any) {
	if len(d.wrong) < 10 {
		d.wrong = append(d.wrong, fmt.Sprintf(format, args...))
	}
}

// compare judges what was served. What was answered with an error is not served.
func compare(want, got *picture) *difference {
	d := &difference{}
	failed := len(got.errors) > 0
	if got.cluster != want.cluster {
		d.say("cluster id %q, was %q", got.cluster, want.cluster)
	}
	for _, name := range slices.Sorted(maps.Keys(want.topics)) {
		if have, ok := got.topics[name]; !ok || have != want.topics[name] {
			if !failed {
				d.say("topic %s is %.200q, was %.200q", name, have, want.topics[name])
			}
		}
	}
	for name := range got.topics {
		if _, ok := want.topics[name]; !ok {
			d.say("topic %s was not there", name)
		}
	}
	for _, p := range want.places() {
		if l := got.logs[p]; l != nil {
			d.log(p, want.logs[p], l)
		} else if !failed {
			d.say("%s is not there", p)
		}
	}
	for name, g := range want.groups {
		have, ok := got.groups[name]
		if !ok {
			continue // answered with an error
		}
		for p, offset := range g {
			if have[p] != offset {
				d.say("group %s has committed %q of %s, was %q", name, have[p], p, offset)
			}
		}
	}
	d.none = !failed && len(d.wrong)+len(d.short) == 0
	return d
}

func (d *difference) log(p place, want, got *logPicture) {
	if got.refused {
		return
	}
	if got.start != want.start {
		d.say("%s starts at %d, was %d", p, got.start, want.start)
	}
	switch {
	case got.end > want.end:
		d.say("%s ends at %d, was %d", p, got.end, want.end)
	case got.end < want.end:
		d.short = append(d.short, fmt.Sprintf("%s ends at %d, was %d", p, got.end, want.end))
	}
	for base, b := range got.batches {
		if !bytes.Equal(b, want.batches[base]) {
			d.say("%s: batch %d is not what it was", p, base)
		}
	}
	for base, b := range want.batches {
		after := base + int64(int32(binary.BigEndian.Uint32(b[23:]))) + 1
		refused := slices.ContainsFunc(got.failed, func(at int64) bool { return base <= at && at < after })
		if _, ok := got.batches[base]; !ok && base < got.end && !refused {
			d.say("%s: batch %d is missing", p, base)
		}
	}
	if len(got.failed) > 0 || got.end < want.end {
		return // a search may end at what cannot be read
	}
	for at, found := range got.times {
		if want.times[at] != found {
			d.say("%s: the record of time %d is %s, was %s", p, at, found, want.times[at])
		}
	}
}
