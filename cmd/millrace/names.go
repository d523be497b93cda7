package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"millrace/internal/cli"
	"millrace/raftmeta/configdef"
)

// readProperties reads a file of server properties.
func readProperties(name string) (map[string]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, cli.Usage("--config: %w", err)
	}
	defer f.Close()
	values, err := configdef.LoadProperties(f)
	if err != nil {
		return nil, cli.Usage("--config %s: %w", name, err)
	}
	return values, nil
}

// checkNames refuses names that neither Kafka nor this program knows and values that
// Kafka refuses, all of them at once. idle are names that are known and change nothing.
func (s settings) checkNames() (idle []string, err error) {
	var faults []string
	for _, name := range s.names() {
		if own[name] {
			continue
		}
		none, err := configdef.CheckStatic(map[string]string{name: s[name].value})
		for _, i := range none {
			idle = append(idle, i.Name)
		}
		switch {
		case errors.Is(err, configdef.ErrUnknownName):
			why := strings.TrimPrefix(err.Error(), "configdef: "+name+": ")
			faults = append(faults, fmt.Sprintf("%s (%s): %s", name, s[name].origin, why))
		case err != nil:
			why := strings.TrimPrefix(err.Error(), "configdef: ")
			faults = append(faults, fmt.Sprintf("%s=%s (%s): %s", name, s[name].value, s[name].origin, why))
		}
	}
	if len(faults) > 0 {
		return nil, cli.Usage("%s", strings.Join(faults, "\n"))
	}
	return idle, nil
}
