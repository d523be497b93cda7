package engine

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"millrace/protocol"
	"millrace/raftmeta"
)

// meta.properties ties a data directory to a cluster and a node, in Kafka's names.

// identity reads or writes every meta.properties, founds the cluster on first start, and
// returns the first directory's id.
func (b *Broker) identity() (dir [16]byte, err error) {
	if dir, err = b.firstIdentity(); err != nil {
		return dir, err
	}
	cluster := b.quorum.Image().ClusterID()
	for _, also := range b.cfg.AlsoDirs {
		if err := b.alsoIdentity(also, cluster); err != nil {
			return dir, err
		}
	}
	return dir, nil
}

// alsoIdentity ties a further data directory to the cluster and the node.
func (b *Broker) alsoIdentity(dir, cluster string) error {
	name := filepath.Join(dir, "meta.properties")
	have, err := b.readIdentity(name)
	if err != nil {
		return err
	}
	if have != nil {
		return b.mustBeOurs(dir, have, cluster)
	}
	if entries, err := b.cfg.FS.List(filepath.Join(dir, "log")); err == nil && len(entries) > 0 {
		return fmt.Errorf("engine: %s has partitions but no meta.properties", dir)
	}
	_, err = b.writeIdentity(name, cluster)
	return err
}

// mustBeOurs refuses a directory of another node or cluster.
func (b *Broker) mustBeOurs(dir string, have map[string]string, cluster string) error {
	if id := have["node.id"]; id != strconv.Itoa(int(b.cfg.NodeID)) {
		return fmt.Errorf("engine: %s belongs to node %s, this is node %d",
			filepath.Join(dir, "meta.properties"), id, b.cfg.NodeID)
	}
	if cluster == "" {
		return fmt.Errorf("engine: %s has data but the raft/ of %s is empty or missing: "+
			"its topics are unknown", dir, b.cfg.DataDir)
	}
	if have["cluster.id"] != cluster {
		return fmt.Errorf("engine: %s is of cluster %s, the raft directory of %s of cluster %s",
			filepath.Join(dir, "meta.properties"), have["cluster.id"], b.cfg.DataDir, cluster)
	}
	return nil
}

func (b *Broker) firstIdentity() (dir [16]byte, err error) {
	name := filepath.Join(b.cfg.DataDir, "meta.properties")
	have, err := b.readIdentity(name)
	if err != nil {
		return dir, err
	}
	cluster := b.quorum.Image().ClusterID()
	if have == nil {
		return b.found(name, cluster)
	}
	if err := b.mustBeOurs(b.cfg.DataDir, have, cluster); err != nil {
		return dir, err
	}
	id, err := protocol.ParseTopicID(have["directory.id"])
	if err != nil {
		return dir, fmt.Errorf("engine: %s: directory.id: %w", name, err)
	}
	return id, nil
}

func (b *Broker) readIdentity(name string) (map[string]string, error) {
	text, err := b.cfg.FS.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	m := make(map[string]string)
	for _, line := range strings.Split(string(text), "\n") {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(k, "#") {
			m[k] = v
		}
	}
	if m["version"] != "1" {
		return nil, fmt.Errorf("engine: %s: version %q is not one that this program reads", name, m["version"])
	}
	return m, nil
}

// found makes a new identity. The cluster is agreed on first: a crash in between leaves
// a cluster without meta.properties, which the next start completes.
func (b *Broker) found(name, cluster string) (dir [16]byte, err error) {
	if entries, err := b.cfg.FS.List(filepath.Join(b.cfg.DataDir, "journal")); err == nil && len(entries) > 0 {
		return dir, fmt.Errorf("engine: %s has journals but no meta.properties", b.cfg.DataDir)
	}
	if cluster == "" {
		cluster = newID()
		if err := b.ask(raftmeta.InitCluster{ClusterID: cluster, Features: features()}); err != nil {
			return dir, err
		}
	}
	return b.writeIdentity(name, cluster)
}

// writeIdentity gives a directory an id of its own.
func (b *Broker) writeIdentity(name, cluster string) (dir [16]byte, err error) {
	_, _ = rand.Read(dir[:]) // never fails, says its documentation
	text := fmt.Sprintf("version=1\ncluster.id=%s\nnode.id=%d\ndirectory.id=%s\n",
		cluster, b.cfg.NodeID, protocol.TopicID(dir))
	return dir, b.cfg.FS.WriteFile(name, []byte(text))
}

// newID is a random id in Kafka's form: 22 characters, no leading dash.
func newID() string {
	for {
		var raw [16]byte
		_, _ = rand.Read(raw[:]) // never fails, says its documentation
		if s := base64.RawURLEncoding.EncodeToString(raw[:]); s[0] != '-' {
			return s
		}
	}
}

// ask proposes a command and waits: for the time before the cores run.
func (b *Broker) ask(cmd raftmeta.Command) error {
	done := make(chan error, 1)
	b.quorum.Propose(cmd, func(o raftmeta.Outcome, err error) {
		if err == nil && o.Code() != protocol.None {
			err = o.Code()
		}
		done <- err
	})
	select {
	case err := <-done:
		return err
	case <-time.After(30 * time.Second):
		return errors.New("engine: the metadata quorum does not answer")
	}
}

// register tells the cluster that this broker is here, and where.
func (b *Broker) register() error {
	var inc [16]byte
	_, _ = rand.Read(inc[:])
	eps := make([]raftmeta.Endpoint, 0, len(b.bound))
	for _, l := range b.bound {
		eps = append(eps, raftmeta.Endpoint{Listener: l.Name, Host: l.Host, Port: l.Port})
	}
	return b.ask(raftmeta.RegisterBroker{
		ID: b.cfg.NodeID, Incarnation: inc, Rack: b.cfg.Rack, Endpoints: eps,
		NewEpochs: b.mayHaveLost,
	})
}

// purge tells the cluster that nothing is left here of topics deleted before this start:
// opening storage removed it.
func (b *Broker) purge() error {
	var ids []protocol.TopicID
	for _, d := range b.quorum.Image().DeletedTopics() {
		ids = append(ids, d.ID)
	}
	if len(ids) == 0 {
		return nil
	}
	return b.ask(raftmeta.Purged{Broker: b.cfg.NodeID, IDs: ids})
}

func deletedTopics(img *raftmeta.Image) map[protocol.TopicID]bool {
	m := make(map[protocol.TopicID]bool)
	for _, d := range img.DeletedTopics() {
		m[d.ID] = true
	}
	return m
}
