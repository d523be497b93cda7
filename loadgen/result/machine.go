package result

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// MachineUsage is what the machine has done since it was started, in seconds of all its cores.
type MachineUsage struct {
	cores                        int
	busy, user, interrupt, steal float64
	waiting                      float64
}

// ReadMachine reads what the machine has done until now.
func ReadMachine() (MachineUsage, error) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return MachineUsage{}, fmt.Errorf("result: %w", err)
	}
	m, err := parseStat(string(data))
	if err != nil {
		return m, err
	}
	// Not every kernel tells of pressure: zero then.
	total := files{"/"}.field("proc/pressure/cpu", "some", " ")
	if _, micros, found := strings.Cut(total, "total="); found {
		v, _ := strconv.ParseFloat(micros, 64)
		m.waiting = v / 1e6
	}
	return m, nil
}

func parseStat(text string) (MachineUsage, error) {
	m := MachineUsage{cores: strings.Count(text, "\ncpu")}
	line, _, _ := strings.Cut(text, "\n")
	words := strings.Fields(line)
	if len(words) < 9 || words[0] != "cpu" {
		return m, fmt.Errorf("result: /proc/stat begins with %.60q", line)
	}
	for i, word := range words[1:9] { // guest time, behind these, is in user
		v, err := strconv.ParseFloat(word, 64)
		if err != nil {
			return m, fmt.Errorf("result: /proc/stat: %w", err)
		}
		v /= ticks
		switch i {
		case 3, 4: // idle, waiting for a disk
			continue
		case 7:
			m.steal = v
			continue
		case 0, 1: // user, nice
			m.user += v
		case 5, 6:
			m.interrupt += v
		}
		m.busy += v
	}
	return m, nil
}

// Since is what was done between two readings; broker and generator, over the same time, tell
// what was theirs. A broker that does not run on this machine, or does not tell its user time, is
// nil.
func (m MachineUsage) Since(from MachineUsage, broker, generator *Cost) *Machine {
	out := &Machine{Cores: m.cores, Busy: m.busy - from.busy, User: m.user - from.user,
		Interrupt: m.interrupt - from.interrupt, Steal: m.steal - from.steal,
		Waiting: m.waiting - from.waiting}
	out.Foreign = out.User
	for _, c := range []*Cost{broker, generator} {
		if c != nil {
			out.Foreign -= c.User
		}
	}
	out.Foreign = max(out.Foreign, 0)
	return out
}
