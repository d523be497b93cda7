package main

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"millrace/engine"
	"millrace/internal/cli"
)

// Listeners come as Kafka writes them, NAME://HOST:PORT separated by commas, or as a
// bare HOST:PORT from the command line.

// endpoint is one entry of listeners or advertised.listeners.
type endpoint struct {
	name string // "" when it was a bare HOST:PORT
	host string
	port int32
}

func (e endpoint) String() string {
	at := net.JoinHostPort(e.host, strconv.Itoa(int(e.port)))
	if e.name == "" {
		return at
	}
	return e.name + "://" + at
}

var listenerName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// parseEndpoints reads a list; every error names the entry.
func parseEndpoints(list string) ([]endpoint, error) {
	var out []endpoint
	for _, entry := range strings.Split(list, ",") {
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		name, at, named := strings.Cut(entry, "://")
		if !named {
			name, at = "", entry
		} else if !listenerName.MatchString(name) {
			return nil, fmt.Errorf("%q: %q is no listener name", entry, name)
		}
		host, ports, err := net.SplitHostPort(at)
		if err != nil {
			return nil, fmt.Errorf("%q: want HOST:PORT or NAME://HOST:PORT", entry)
		}
		port, err := strconv.ParseUint(ports, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("%q: port %q is not a number from 0 to 65535", entry, ports)
		}
		out = append(out, endpoint{strings.ToUpper(name), host, int32(port)})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no listener in %q", list)
	}
	return out, nil
}

// listenerPlan is what the settings say about listeners.
type listenerPlan struct {
	listeners []engine.Listener
	left      []string // listeners of the controller, which has none here
}

const (
	plaintext    = "PLAINTEXT"
	setListeners = "listeners"
	setAdvertise = "advertised.listeners"
	setProtocols = "listener.security.protocol.map"
	setCtlNames  = "controller.listener.names"
	defaultBind  = "127.0.0.1:9092"
)

// plan works out the listeners and holds them to the rules: unique names and addresses,
// plaintext only, nothing beyond loopback unless it is allowed.
func (s settings) plan(insecure bool) (listenerPlan, error) {
	var p listenerPlan
	entries, err := parseEndpoints(s.text(setListeners, plaintext+"://"+defaultBind))
	if err != nil {
		return p, s.refuse(setListeners, "%v", err)
	}
	protocols, err := s.protocols()
	if err != nil {
		return p, err
	}
	controllers := make(map[string]bool)
	for _, name := range strings.Split(s.text(setCtlNames, ""), ",") {
		if name = strings.ToUpper(strings.TrimSpace(name)); name != "" {
			controllers[name] = true
		}
	}
	var kept []endpoint
	for _, e := range nameAll(entries) {
		if controllers[e.name] {
			p.left = append(p.left, e.String())
			continue
		}
		kept = append(kept, e)
	}
	if len(kept) == 0 {
		return p, s.refuse(setListeners, "no listener is left for clients")
	}
	advertised, err := s.advertised(kept, controllers)
	if err != nil {
		return p, err
	}
	seen := make(map[string]bool)
	for _, e := range kept {
		bind := net.JoinHostPort(e.host, strconv.Itoa(int(e.port)))
		if seen[e.name] || e.port != 0 && seen[bind] {
			return p, s.refuse(setListeners, "%s: name and address may come once only", e)
		}
		seen[e.name], seen[bind] = true, true
		if err := s.plain(e.name, protocols); err != nil {
			return p, err
		}
		l := engine.Listener{Name: e.name, Bind: bind, Loopback: loopback(e.host)}
		if !l.Loopback && !insecure {
			return p, insecureRefusal(setListeners, e.String())
		}
		if a, given := advertised[e.name]; given {
			l.Host, l.Port = a.host, a.port
		}
		p.listeners = append(p.listeners, l)
	}
	return p, nil
}

func insecureRefusal(name, address string) error {
	return cli.Usage("%s: %s can be reached from other machines, and whoever reaches it may read and write: "+
		"there is no TLS and no authentication yet.\n"+
		"Listen on 127.0.0.1, or allow it with --set %s=true (KAFKA_ALLOW_INSECURE=true in a container)",
		name, address, setInsecure)
}

// nameAll gives bare entries names: PLAINTEXT, PLAINTEXT_2, …
func nameAll(entries []endpoint) []endpoint {
	taken := make(map[string]bool)
	for _, e := range entries {
		taken[e.name] = true
	}
	for i := range entries {
		name := plaintext
		for n := 2; entries[i].name == "" && taken[name]; n++ {
			name = fmt.Sprintf("%s_%d", plaintext, n)
		}
		if entries[i].name == "" {
			entries[i].name = name
			taken[name] = true
		}
	}
	return entries
}

// advertised are the addresses to tell clients, by listener name. Bare entries belong
// to the listeners in order. Who has none tells the address the client came to.
func (s settings) advertised(kept []endpoint, controllers map[string]bool) (map[string]endpoint, error) {
	out := make(map[string]endpoint)
	text := s.text(setAdvertise, "")
	if text == "" {
		return out, nil
	}
	entries, err := parseEndpoints(text)
	if err != nil {
		return nil, s.refuse(setAdvertise, "%v", err)
	}
	known := make(map[string]bool)
	for _, e := range kept {
		known[e.name] = true
	}
	bare := 0
	for _, e := range entries {
		if e.name == "" && bare < len(kept) {
			e.name = kept[bare].name
			bare++
		}
		if controllers[e.name] {
			continue
		}
		switch ip, err := netip.ParseAddr(e.host); {
		case !known[e.name]:
			return nil, s.refuse(setAdvertise, "%s: no listener of that name in %s", e, setListeners)
		case e.host == "" || err == nil && ip.IsUnspecified():
			return nil, s.refuse(setAdvertise, "%s: clients cannot connect to that; leave it out, and they are told "+
				"the address they came to", e)
		case e.port == 0:
			return nil, s.refuse(setAdvertise, "%s: port 0 cannot be advertised", e)
		}
		if _, twice := out[e.name]; twice {
			return nil, s.refuse(setAdvertise, "%s: a listener has one advertised address", e)
		}
		out[e.name] = e
	}
	return out, nil
}

// protocols reads listener.security.protocol.map.
func (s settings) protocols() (map[string]string, error) {
	out := make(map[string]string)
	for _, entry := range strings.Split(s.text(setProtocols, ""), ",") {
		if strings.TrimSpace(entry) == "" {
			continue
		}
		name, protocol, found := strings.Cut(entry, ":")
		if !found {
			return nil, s.refuse(setProtocols, "%q: want NAME:PROTOCOL", entry)
		}
		out[strings.ToUpper(strings.TrimSpace(name))] = strings.ToUpper(strings.TrimSpace(protocol))
	}
	return out, nil
}

// plain refuses listeners that want what is not served. A name that is itself a
// protocol means it; any other name is plaintext unless the map says otherwise.
func (s settings) plain(name string, protocols map[string]string) error {
	protocol, mapped := protocols[name]
	if !mapped {
		protocol = plaintext
		if name == "SSL" || name == "SASL_SSL" || name == "SASL_PLAINTEXT" {
			protocol = name
		}
	}
	switch protocol {
	case plaintext:
		return nil
	case "SSL", "SASL_SSL", "SASL_PLAINTEXT":
		return cli.Usage("listener %s wants %s: TLS and SASL are not served yet, only PLAINTEXT", name, protocol)
	}
	return s.refuse(setProtocols, "%s is no security protocol", protocol)
}

// loopback says whether a host to bind can be reached from this machine only. A name
// must resolve to loopback addresses alone.
func loopback(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback()
	}
	if host == "" {
		return false
	}
	ips, err := net.LookupIP(host)
	if err != nil || len(ips) == 0 {
		return false
	}
	for _, ip := range ips {
		if !ip.IsLoopback() {
			return false
		}
	}
	return true
}
