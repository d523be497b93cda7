package raftmeta

import "millrace/protocol"

// commandVersion is written into every command. A reader refuses what is newer.
const commandVersion = 1

// kind numbers are part of the log format: never reuse one.
type kind uint8

const (
	kindInitCluster kind = iota + 1
	kindSetFeatures
	kindCreateTopics
	kindDeleteTopics
	kindAddPartitions
	kindSetConfigs
	kindAllocateProducerIDs
	kindRegisterBroker
	kindPurged
)

func (InitCluster) kind() kind         { return kindInitCluster }
func (SetFeatures) kind() kind         { return kindSetFeatures }
func (CreateTopics) kind() kind        { return kindCreateTopics }
func (DeleteTopics) kind() kind        { return kindDeleteTopics }
func (AddPartitions) kind() kind       { return kindAddPartitions }
func (SetConfigs) kind() kind          { return kindSetConfigs }
func (AllocateProducerIDs) kind() kind { return kindAllocateProducerIDs }
func (RegisterBroker) kind() kind      { return kindRegisterBroker }
func (Purged) kind() kind              { return kindPurged }

// Encode makes the bytes of a log entry.
func Encode(c Command) ([]byte, error) {
	b := c.appendBody([]byte{commandVersion, byte(c.kind())})
	if len(b) > MaxCommandBytes {
		return nil, formatError("command of %d bytes exceeds %d", len(b), MaxCommandBytes)
	}
	return b, nil
}

// Decode reads what Encode wrote, and refuses everything else.
func Decode(p []byte) (Command, error) {
	if len(p) < 2 || len(p) > MaxCommandBytes {
		return nil, formatError("command of %d bytes", len(p))
	}
	if p[0] != commandVersion {
		return nil, formatError("command version %d; this binary knows %d", p[0],
			commandVersion)
	}
	read := bodies[kind(p[1])]
	if read == nil {
		return nil, formatError("command kind %d unknown", p[1])
	}
	r := reader{p: p[2:]}
	c := read(&r)
	if err := r.end(); err != nil {
		return nil, err
	}
	return c, nil
}

var bodies = [256]func(*reader) Command{
	kindInitCluster: func(r *reader) Command {
		return InitCluster{ClusterID: r.str(), Features: many(r, 2, readFeature)}
	},
	kindSetFeatures: func(r *reader) Command {
		return SetFeatures{Features: many(r, 2, readFeature)}
	},
	kindCreateTopics: func(r *reader) Command {
		return CreateTopics{Topics: many(r, 19, readNewTopic)}
	},
	kindDeleteTopics: func(r *reader) Command { return DeleteTopics{IDs: readIDs(r)} },
	kindAddPartitions: func(r *reader) Command {
		return AddPartitions{Topics: many(r, 18, readMore)}
	},
	kindSetConfigs: func(r *reader) Command {
		return SetConfigs{Resources: many(r, 4, readEdits)}
	},
	kindAllocateProducerIDs: func(r *reader) Command {
		return AllocateProducerIDs{Count: r.varint32()}
	},
	kindRegisterBroker: func(r *reader) Command {
		return RegisterBroker{ID: r.varint32(), Incarnation: r.id(), Rack: r.str(),
			Endpoints: many(r, 4, readEndpoint), NewEpochs: r.boolean()}
	},
	kindPurged: func(r *reader) Command {
		return Purged{Broker: r.varint32(), IDs: readIDs(r)}
	},
}

func (c InitCluster) appendBody(b []byte) []byte {
	return putMany(putStr(b, c.ClusterID), c.Features, putFeature)
}

func (c SetFeatures) appendBody(b []byte) []byte { return putMany(b, c.Features, putFeature) }

func (c CreateTopics) appendBody(b []byte) []byte { return putMany(b, c.Topics, putNewTopic) }

func (c DeleteTopics) appendBody(b []byte) []byte { return putMany(b, c.IDs, putID) }

func (c AddPartitions) appendBody(b []byte) []byte { return putMany(b, c.Topics, putMore) }

func (c SetConfigs) appendBody(b []byte) []byte { return putMany(b, c.Resources, putEdits) }

func (c AllocateProducerIDs) appendBody(b []byte) []byte { return putVarint(b, int64(c.Count)) }

func (c RegisterBroker) appendBody(b []byte) []byte {
	b = append(putVarint(b, int64(c.ID)), c.Incarnation[:]...)
	return putBool(putMany(putStr(b, c.Rack), c.Endpoints, putEndpoint), c.NewEpochs)
}

func (c Purged) appendBody(b []byte) []byte {
	return putMany(putVarint(b, int64(c.Broker)), c.IDs, putID)
}

func readIDs(r *reader) []protocol.TopicID {
	return many(r, 16, func(r *reader) protocol.TopicID { return r.id() })
}

func putID(b []byte, id protocol.TopicID) []byte { return append(b, id[:]...) }

func readFeature(r *reader) Feature { return Feature{Name: r.str(), Level: r.varint16()} }

func putFeature(b []byte, f Feature) []byte {
	return putVarint(putStr(b, f.Name), int64(f.Level))
}

func readConfig(r *reader) Config { return Config{Name: r.str(), Value: r.str()} }

func putConfig(b []byte, c Config) []byte { return putStr(putStr(b, c.Name), c.Value) }

func readReplicas(r *reader) [][]protocol.NodeID { return many(r, 1, (*reader).nodes) }

func readNewTopic(r *reader) NewTopic {
	return NewTopic{ID: r.id(), Name: r.str(), Replicas: readReplicas(r),
		Configs: many(r, 2, readConfig)}
}

func putNewTopic(b []byte, t NewTopic) []byte {
	b = putMany(putStr(putID(b, t.ID), t.Name), t.Replicas, putNodes)
	return putMany(b, t.Configs, putConfig)
}

func readMore(r *reader) MorePartitions {
	return MorePartitions{Topic: r.id(), From: r.varint32(), Replicas: readReplicas(r)}
}

func putMore(b []byte, m MorePartitions) []byte {
	return putMany(putVarint(putID(b, m.Topic), int64(m.From)), m.Replicas, putNodes)
}

func readEdits(r *reader) ResourceEdits {
	e := ResourceEdits{Resource: readResource(r), Replace: r.boolean()}
	e.Edits = many(r, 4, func(r *reader) ConfigEdit {
		return ConfigEdit{Op: ConfigOp(r.u8()), Name: r.str(), Value: r.str(),
			Default: r.str()}
	})
	for _, edit := range e.Edits {
		if edit.Op < OpSet || edit.Op > OpSubtract {
			r.fail("config operation unknown")
		}
	}
	return e
}

func putEdits(b []byte, e ResourceEdits) []byte {
	b = putBool(putResource(b, e.Resource), e.Replace)
	return putMany(b, e.Edits, func(b []byte, c ConfigEdit) []byte {
		return putStr(putStr(putStr(append(b, byte(c.Op)), c.Name), c.Value), c.Default)
	})
}

func readResource(r *reader) Resource {
	res := Resource{Type: ResourceType(r.u8()), Name: r.str()}
	switch res.Type {
	case ResourceTopic, ResourceBroker, ResourceBrokerLogger, ResourceClientMetrics,
		ResourceGroup:
	default:
		r.fail("resource type unknown")
	}
	return res
}

func putResource(b []byte, r Resource) []byte { return putStr(append(b, byte(r.Type)), r.Name) }

func readEndpoint(r *reader) Endpoint {
	return Endpoint{Listener: r.str(), Host: r.str(), Port: r.varint32(),
		SecurityProtocol: r.varint16()}
}

func putEndpoint(b []byte, e Endpoint) []byte {
	b = putVarint(putStr(putStr(b, e.Listener), e.Host), int64(e.Port))
	return putVarint(b, int64(e.SecurityProtocol))
}
