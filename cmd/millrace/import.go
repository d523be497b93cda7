package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"millrace/engine"
	"millrace/internal/cli"
	"millrace/internal/kafkadir"
	"millrace/internal/vfs"
	"millrace/protocol"
	"millrace/raftmeta"
	"millrace/raftmeta/configdef"
	"millrace/raftmeta/hraft"
	"millrace/segment"

	"github.com/spf13/cobra"
)

// importer is one run of `millrace import`.
type importer struct {
	from, to string
	node     int32
	recover  bool
	out      io.Writer

	src   *kafkadir.Source
	copy  *kafkadir.Copy
	notes []string
}

func importCommand() *cobra.Command {
	i := &importer{}
	cmd := &cobra.Command{
		Use:   "import DIR",
		Short: "Take over the data of a stopped Apache Kafka",
		Long: "Make a data directory from the log directory of a stopped Apache Kafka (one node, KRaft): topics\n" +
			"with their ids, partitions and configs, records with their offsets and timestamps, producers'\n" +
			"sequences, and what groups committed. The source is only read; every batch is checked on the way.\n" +
			"Start the broker on the new directory afterwards.",
		Example: "  millrace import /var/lib/kafka --data /var/lib/millrace",
		Args:    cobra.ExactArgs(1),
	}
	f := cmd.Flags()
	f.StringVar(&i.to, "data", "data", "data directory to make: empty, or not there yet")
	f.Int32Var(&i.node, "node-id", 1, "node.id that the broker will have")
	f.BoolVar(&i.recover, "recover", false, "take an unclean source; of a last segment that is damaged, what is whole")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		i.from, i.out = args[0], cmd.OutOrStdout()
		if err := i.run(cmd.Context()); err != nil {
			return cli.Failed("%w", err)
		}
		return nil
	}
	return cmd
}

func (i *importer) run(context.Context) error {
	unlock, err := i.locks()
	if err != nil {
		return err
	}
	defer unlock()
	if i.src, err = kafkadir.Open(i.from, i.recover); err != nil {
		return err
	}
	if i.src.Cluster == "" {
		return fmt.Errorf("%s/meta.properties has no cluster.id", i.from)
	}
	i.copy = &kafkadir.Copy{To: i.to, Recover: i.recover, Now: time.Now().UnixMilli(), Files: vfs.OS()}
	if err := i.copy.Run(i.src); err != nil {
		return err
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails, says its documentation
	if err := segment.Found(vfs.OS(), i.to, id, i.copy.Logs); err != nil {
		return err
	}
	if err := i.agree(); err != nil {
		return err
	}
	text := fmt.Sprintf("version=1\ncluster.id=%s\nnode.id=%d\ndirectory.id=%s\n", i.src.Cluster, i.node,
		protocol.TopicID(id))
	if err := vfs.OS().WriteFile(filepath.Join(i.to, "meta.properties"), []byte(text)); err != nil {
		return err
	}
	i.report()
	return nil
}

// locks keeps Kafka off the source and brokers off the target, which must be empty.
func (i *importer) locks() (unlock func(), err error) {
	entries, err := os.ReadDir(i.to)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("%s is not empty: import makes a data directory of its own", i.to)
	}
	if _, err := os.Stat(i.from); err != nil {
		return nil, err
	}
	if err := vfs.OS().MkdirAll(i.to); err != nil {
		return nil, err
	}
	mine, err := vfs.OS().Lock(filepath.Join(i.to, "lock"))
	if err != nil {
		return nil, err
	}
	busy, err := kafkadir.InUse(i.from)
	if err == nil && busy {
		err = fmt.Errorf("%s is in use: stop Kafka first", i.from)
	}
	if err != nil {
		return nil, errors.Join(err, mine())
	}
	return func() { _ = mine() }, nil
}

// agree founds the cluster with the source's id and topics.
func (i *importer) agree() error {
	q, err := hraft.Open(hraft.Options{
		Dir: filepath.Join(i.to, "raft"), Node: protocol.NodeID(i.node),
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	commands := []raftmeta.Command{
		raftmeta.InitCluster{ClusterID: i.src.Cluster, Features: engine.Features()},
		raftmeta.RegisterBroker{ID: i.node},
	}
	for n := range i.src.Topics {
		commands = append(commands, raftmeta.CreateTopics{Topics: []raftmeta.NewTopic{i.topic(&i.src.Topics[n])}})
	}
	// New batches must have a later leader epoch than the old ones, and new producers
	// other ids.
	for range i.copy.Epoch + 1 {
		commands = append(commands, raftmeta.RegisterBroker{ID: i.node, NewEpochs: true})
	}
	const block = 1 << 30
	for left := i.copy.NextPID; left > 0; left -= block {
		commands = append(commands, raftmeta.AllocateProducerIDs{Count: int32(min(left, block))})
	}
	for _, c := range commands {
		done := make(chan error, 1)
		q.Propose(c, func(o raftmeta.Outcome, err error) {
			for _, item := range o.Items {
				if err == nil && item.Code != protocol.None {
					err = fmt.Errorf("%w: %s", item.Code, item.Message)
				}
			}
			done <- err
		})
		if err := <-done; err != nil {
			return errors.Join(fmt.Errorf("%T: %w", c, err), q.Close())
		}
	}
	return q.Close()
}

// topic is a topic as it is created here. A config that this program does not take is told.
func (i *importer) topic(t *kafkadir.Topic) raftmeta.NewTopic {
	out := raftmeta.NewTopic{ID: t.ID, Name: t.Name}
	for range t.Partitions {
		out.Replicas = append(out.Replicas, []protocol.NodeID{i.node})
	}
	for _, name := range slices.Sorted(maps.Keys(t.Configs)) {
		value := t.Configs[name]
		list, item := configdef.PlanTopic([]configdef.Wanted{{Name: name, Value: &value}})
		if item.Code != protocol.None || len(list) == 0 {
			i.notes = append(i.notes, fmt.Sprintf("topic %s: %s=%s is not taken over: %s", t.Name, name,
				value, item.Message))
			continue
		}
		out.Configs = append(out.Configs, list...)
	}
	return out
}

func (i *importer) report() {
	partitions := 0
	for _, t := range i.src.Topics {
		partitions += len(t.Partitions)
	}
	fmt.Fprintf(i.out, "%d topics, %d partitions, %d batches, %d bytes from %s are in %s\n", len(i.src.Topics),
		partitions, i.copy.Batches, i.copy.Bytes, i.from, i.to)
	for _, n := range slices.Concat(i.src.Notes, i.notes) {
		fmt.Fprintln(i.out, "note:", n)
	}
	for _, c := range i.copy.Cut {
		fmt.Fprintln(i.out, "note: left behind:", c)
	}
	if i.copy.Aborted > 0 {
		fmt.Fprintf(i.out, "note: the data has %d aborted transactions. Transactions are not served yet: "+
			"their records are shown to consumers with isolation.level=read_committed, too\n", i.copy.Aborted)
	}
}
