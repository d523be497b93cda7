package workload

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Scenario is a file of loads that are run one after the other.
type Scenario struct {
	Name  string
	About string
	Loads []Workload
}

// maxScenario bounds a file: one of a megabyte is no scenario.
const maxScenario = 1 << 20

// ReadScenario reads a scenario file, or a workload file of the OpenMessaging Benchmark. The
// overrides (option → text) win over what the file says.
func ReadScenario(path string, overrides map[string]string) (*Scenario, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("loadgen: scenario: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxScenario+1))
	if err != nil {
		return nil, fmt.Errorf("loadgen: scenario %s: %w", path, err)
	}
	if len(data) > maxScenario {
		return nil, fmt.Errorf("loadgen: scenario %s: over %d bytes", path, maxScenario)
	}
	s, err := Parse(data, filepath.Dir(path), overrides)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if s.Name == "" {
		s.Name = strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	}
	return s, nil
}

// Parse reads a scenario, in our form or the OpenMessaging Benchmark's. Files that it names are
// looked for from dir on. Every load has passed Check, apart from a rate that is a share of
// another load's.
func Parse(data []byte, dir string, overrides map[string]string) (*Scenario, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	if len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("want names with values (mode: produce …), or a list of loads")
	}
	root := doc.Content[0]
	if isOMB(root) {
		return parseOMB(root, dir, overrides)
	}
	p := &parser{dir: dir, overrides: overrides}
	s, err := p.scenario(root)
	if err != nil {
		return nil, err
	}
	return s, s.check(overrides)
}

// parser of our own form.
type parser struct {
	dir       string
	overrides map[string]string
}

func (p *parser) scenario(root *yaml.Node) (*Scenario, error) {
	s := &Scenario{}
	var common, loads *yaml.Node
	rest := &yaml.Node{Kind: yaml.MappingNode, Line: root.Line}
	for k, v := range pairs(root) {
		switch k.Value {
		case "scenario":
			s.Name = v.Value
		case "about":
			s.About = v.Value
		case "common":
			common = v
		case "loads":
			loads = v
		default:
			rest.Content = append(rest.Content, k, v)
		}
	}
	if loads == nil {
		w, err := p.load(common, rest)
		if err != nil {
			return nil, err
		}
		s.Loads = []Workload{w}
		return s, nil
	}
	if len(rest.Content) > 0 {
		return nil, at(rest.Content[0], &Problem{Option: rest.Content[0].Value,
			Why: "beside loads only scenario, about and common are known; options of all loads go " +
				"below common"})
	}
	if loads.Kind != yaml.SequenceNode || len(loads.Content) == 0 {
		return nil, at(loads, errors.New("loads: want a list with at least one load"))
	}
	for _, n := range loads.Content {
		w, err := p.load(common, n)
		if err != nil {
			return nil, err
		}
		s.Loads = append(s.Loads, w)
	}
	return s, nil
}

// load reads one load: the defaults of its mode, then what is common, then its own.
func (p *parser) load(common, own *yaml.Node) (Workload, error) {
	mode, where := Mode(""), own
	for _, n := range []*yaml.Node{common, own} {
		if n == nil {
			continue
		}
		if n.Kind != yaml.MappingNode {
			return Workload{}, at(n, errors.New("want names with values"))
		}
		for k, v := range pairs(n) {
			if k.Value == "mode" {
				mode, where = Mode(v.Value), v
			}
		}
	}
	if !slices.Contains(Modes, mode) {
		return Workload{}, at(where, &Problem{Option: "mode", Why: fmt.Sprintf("%q is none of %v",
			mode, Modes)})
	}
	w := New(mode)
	for _, n := range []*yaml.Node{common, own} {
		if n == nil {
			continue
		}
		if err := p.options(&w, n, n == own); err != nil {
			return Workload{}, err
		}
	}
	return w, nil
}

func (p *parser) options(w *Workload, n *yaml.Node, own bool) error {
	for k, v := range pairs(n) {
		switch k.Value {
		case "mode":
			continue
		case "name":
			w.Name = v.Value
			continue
		case "about":
			w.About = v.Value
			continue
		}
		o, ok := Find(k.Value)
		if !ok {
			return at(k, &Problem{Option: k.Value, Why: "there is no such option" + nearest(k.Value)})
		}
		if !o.For(w.Mode) {
			if !own { // what is common to all loads need not fit each
				continue
			}
			return at(k, &Problem{Option: k.Value, Why: fmt.Sprintf("has no meaning in mode %s", w.Mode)})
		}
		text, err := nodeText(v)
		if err == nil {
			err = o.Set(w, p.resolve(k.Value, text))
		}
		if err != nil {
			return at(v, err)
		}
	}
	return nil
}

// resolve makes a file's path one from here.
func (p *parser) resolve(option, text string) string {
	switch option {
	case "payload-file", "tls-ca", "tls-cert", "tls-key":
		if text != "" && !filepath.IsAbs(text) {
			return filepath.Join(p.dir, text)
		}
	}
	return text
}

// check names the loads, lays the overrides over them and checks each.
func (s *Scenario) check(overrides map[string]string) error {
	seen := make(map[string]bool)
	for i := range s.Loads {
		w := &s.Loads[i]
		if w.Name == "" {
			w.Name = string(w.Mode)
			if len(s.Loads) > 1 {
				w.Name = fmt.Sprintf("%s-%d", w.Mode, i+1)
			}
		}
		if w.Rate.Share > 0 && !seen[w.Rate.Of] {
			return fmt.Errorf("load %s: --rate: no load before it is called %q", w.Name, w.Rate.Of)
		}
		if seen[w.Name] {
			return fmt.Errorf("two loads are called %q", w.Name)
		}
		seen[w.Name] = true
	}
	if err := s.override(overrides); err != nil {
		return err
	}
	for i := range s.Loads {
		w := s.Loads[i].Clone()
		if !w.Rate.Resolved() {
			w.Rate = Rate{PerSecond: 1000} // what it will be is checked when it is known
		}
		if err := w.Check(); err != nil {
			return fmt.Errorf("load %s: %w", w.Name, err)
		}
	}
	return nil
}

// override gives options new values in every load in whose mode they have a meaning.
func (s *Scenario) override(texts map[string]string) error {
	for name, text := range texts {
		o, ok := Find(name)
		if !ok {
			return &Problem{Option: name, Why: "there is no such option" + nearest(name)}
		}
		used := false
		for i := range s.Loads {
			if o.For(s.Loads[i].Mode) {
				used = true
				if err := o.Set(&s.Loads[i], text); err != nil {
					return err
				}
			}
		}
		if !used {
			return &Problem{Option: name, Why: "has no meaning in any load of this scenario"}
		}
	}
	return nil
}

// Resolve turns a share of another load's rate into messages per second.
func (w *Workload) Resolve(reached float64) error {
	if w.Rate.Resolved() {
		return nil
	}
	if !(reached > 0) {
		return &Problem{Option: "rate", Why: fmt.Sprintf("load %q has reached no rate", w.Rate.Of)}
	}
	w.Notes = append(w.Notes, fmt.Sprintf("the rate is %s, which reached %.0f messages/s", w.Rate,
		reached))
	w.Rate = Rate{PerSecond: w.Rate.Share * reached}
	return w.Check()
}

// pairs goes through a mapping; an alias stands for what it names.
func pairs(n *yaml.Node) func(func(k, v *yaml.Node) bool) {
	return func(yield func(k, v *yaml.Node) bool) {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i], target(n.Content[i+1])) {
				return
			}
		}
	}
}

func target(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

// nodeText is a value as on the command line: a list with commas, names as name=value.
func nodeText(n *yaml.Node) (string, error) {
	switch n.Kind {
	case yaml.ScalarNode:
		if n.Tag == "!!null" {
			return "", nil
		}
		return n.Value, nil
	case yaml.SequenceNode:
		parts := make([]string, 0, len(n.Content))
		for _, c := range n.Content {
			if target(c).Kind != yaml.ScalarNode {
				return "", errors.New("want a list of plain values")
			}
			parts = append(parts, target(c).Value)
		}
		return strings.Join(parts, ","), nil
	case yaml.MappingNode:
		var parts []string
		for k, v := range pairs(n) {
			if v.Kind != yaml.ScalarNode {
				return "", errors.New("want names with plain values")
			}
			parts = append(parts, k.Value+"="+v.Value)
		}
		return strings.Join(parts, ","), nil
	}
	return "", errors.New("want a value")
}

func at(n *yaml.Node, err error) error { return fmt.Errorf("line %d: %w", n.Line, err) }
