package raftmeta

import (
	"encoding/binary"
	"hash/crc32"

	"millrace/protocol"
)

// A snapshot is the whole image:
//
//	magic "MRIM" | version u8 | body | CRC-32C of all before, u32 big-endian
//
// Everything in the body is sorted, so equal images have equal bytes.
const (
	snapshotMagic   = "MRIM"
	snapshotVersion = 1
	// minPartition is the least a partition takes in a snapshot.
	minPartition = 7
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// EncodeImage makes the bytes of a snapshot.
func EncodeImage(m *Image) []byte {
	b := append([]byte(snapshotMagic), snapshotVersion)
	b = putUvarint(b, m.index)
	b = putStr(b, m.clusterID)
	b = putVarint(b, m.nextPID)
	b = putMany(b, m.features, putFeature)
	b = putMany(b, m.brokers, putBroker)
	b = putMany(b, m.Topics(), putTopic)
	b = putMany(b, m.DeletedTopics(), putDeleted)
	var res []Resource
	for _, t := range []ResourceType{ResourceBroker, ResourceBrokerLogger,
		ResourceClientMetrics, ResourceGroup} {
		res = append(res, resourcesOf(m.configs, t)...)
	}
	b = putMany(b, res, func(b []byte, r Resource) []byte {
		return putConfigs(putResource(b, r), m.Configs(r))
	})
	return seal(b)
}

// seal appends the CRC.
func seal(b []byte) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// DecodeImage reads what EncodeImage wrote, and refuses everything else (ErrFormat).
func DecodeImage(p []byte) (*Image, error) {
	n := len(p) - 4
	if n < len(snapshotMagic)+1 || string(p[:4]) != snapshotMagic {
		return nil, formatError("not a snapshot of the image")
	}
	if p[4] != snapshotVersion {
		return nil, formatError("snapshot version %d; this binary knows %d", p[4],
			snapshotVersion)
	}
	if crc32.Checksum(p[:n], castagnoli) != binary.BigEndian.Uint32(p[n:]) {
		return nil, formatError("snapshot damaged: its CRC does not match")
	}
	r := reader{p: p[5:n]}
	b := &builder{m: Empty()}
	b.m.index = r.uvarint()
	b.m.clusterID = r.str()
	b.m.nextPID = r.varint64()
	b.m.features = many(&r, 2, readFeature)
	b.m.brokers = many(&r, 21, readBroker)
	for _, t := range many(&r, 21, readTopic) {
		if b.m.Topic(t.Name) != nil || b.m.TopicByID(t.ID) != nil || len(t.Partitions) == 0 {
			r.fail("topic twice or without partitions")
			break
		}
		b.put(t)
		b.noteName(t.Name)
		b.m.partitions += len(t.Partitions)
	}
	for _, d := range many(&r, 18, readDeleted) {
		b.m.deleted = b.m.deleted.set(d.ID, d)
	}
	n = r.count(4)
	for range n {
		res := readResource(&r)
		b.m.configs = b.m.configs.set(res, readConfigs(&r))
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	return b.m, nil
}

func putBroker(b []byte, k Broker) []byte {
	b = append(putVarint(b, int64(k.ID)), k.Incarnation[:]...)
	b = putStr(putVarint(b, k.Epoch), k.Rack)
	return putMany(putBool(b, k.Fenced), k.Endpoints, putEndpoint)
}

func readBroker(r *reader) Broker {
	return Broker{ID: r.varint32(), Incarnation: r.id(), Epoch: r.varint64(), Rack: r.str(),
		Fenced: r.boolean(), Endpoints: many(r, 4, readEndpoint)}
}

func putTopic(b []byte, t *Topic) []byte {
	b = putUvarint(putStr(putID(b, t.ID), t.Name), t.Created)
	return putConfigs(putMany(b, t.Partitions, putPartition), t.Configs)
}

func readTopic(r *reader) *Topic {
	t := &Topic{ID: r.id(), Name: r.str(), Created: r.uvarint()}
	t.Internal = InternalTopic(t.Name)
	t.Partitions = many(r, minPartition, readPartition)
	t.Configs = readConfigs(r)
	return t
}

func putPartition(b []byte, p Partition) []byte {
	b = putVarint(putVarint(b, int64(p.Leader)), int64(p.LeaderEpoch))
	b = putVarint(b, int64(p.PartitionEpoch))
	return putNodes(putNodes(putNodes(putNodes(b, p.Replicas), p.ISR), p.ELR), p.LastKnownELR)
}

func readPartition(r *reader) Partition {
	return Partition{Leader: r.varint32(), LeaderEpoch: r.varint32(),
		PartitionEpoch: r.varint32(), Replicas: r.nodes(), ISR: r.nodes(), ELR: r.nodes(),
		LastKnownELR: r.nodes()}
}

func putConfigs(b []byte, c *Configs) []byte {
	return putMany(putUvarint(b, c.index), c.list, putConfig)
}

func readConfigs(r *reader) *Configs {
	c := &Configs{index: r.uvarint(), list: many(r, 2, readConfig)}
	for i := 1; i < len(c.list); i++ {
		if c.list[i-1].Name >= c.list[i].Name {
			r.fail("configs out of order")
		}
	}
	return c
}

func putDeleted(b []byte, d *Deleted) []byte {
	return putNodes(putStr(putID(b, d.ID), d.Name), d.Pending)
}

func readDeleted(r *reader) *Deleted {
	return &Deleted{ID: protocol.TopicID(r.id()), Name: r.str(), Pending: r.nodes()}
}
