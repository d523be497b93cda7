"""The confluent-kafka suite (librdkafka)."""

import time

import confluent_kafka
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer
from confluent_kafka import TopicPartition
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource,
                                   NewPartitions, NewTopic, OffsetSpec, ResourceType)

from suite import (BOOTSTRAP, FOREIGN, PREFIX, Record, Suite, balance, check, compare, equal,
                   eventually, fixture)

PARTITIONS, RECORDS = fixture()


def producer(**kw):
    return Producer({"bootstrap.servers": BOOTSTRAP, **{k.replace("_", "."): v
                                                        for k, v in kw.items()}})


def consumer(group, **kw):
    return Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": group,
                     "auto.offset.reset": "earliest", "enable.auto.commit": False,
                     **{k.replace("_", "."): v for k, v in kw.items()}})


def send(p, topic, **kw):
    def delivered(err, _):
        if err:
            errors.append(err)
    errors = send.errors
    p.produce(topic, on_delivery=delivered, **kw)
    p.poll(0)


send.errors = []


def flush(p):
    equal(p.flush(30), 0, "records not delivered")
    if send.errors:
        raise KafkaException(send.errors.pop())


def read_all(topic, partitions):
    c = consumer(f"{PREFIX}-read")
    ends = {}
    for part in range(partitions):
        ends[part] = c.get_watermark_offsets(TopicPartition(topic, part), timeout=10)[1]
    c.assign([TopicPartition(topic, part, 0) for part in range(partitions)])
    got, next_offset, limit = [], {p: 0 for p in ends}, time.monotonic() + 60
    while any(next_offset[p] < ends[p] for p in ends):
        check(time.monotonic() < limit, f"{topic}: {len(got)} records within 60 s")
        m = c.poll(1.0)
        if m is None:
            continue
        if m.error():
            raise KafkaException(m.error())
        got.append(Record(m.partition(), m.key(), m.value(), m.headers() or [],
                          m.timestamp()[1]))
        next_offset[m.partition()] = m.offset() + 1
    c.close()
    return got


def codec(name):
    topic = f"{PREFIX}.{name}"
    p = producer(compression_type=name, linger_ms=20)
    for r in RECORDS:
        send(p, topic, value=r.value, key=r.key, headers=r.headers or None,
             partition=r.partition, timestamp=r.timestamp)
    flush(p)
    compare(RECORDS, read_all(topic, PARTITIONS))


def foreign(name):
    compare(RECORDS, read_all(FOREIGN + name, PARTITIONS))


def rebalance(strategy):
    p = producer()
    topic = f"{PREFIX}.balance"

    class Member:
        def __init__(self, _):
            self.c = consumer(f"{PREFIX}-balance-{strategy}", session_timeout_ms=10000,
                              heartbeat_interval_ms=500,
                              partition_assignment_strategy=strategy)
            self.c.subscribe([topic])
            self.owned = set()

        def poll(self):
            got = []
            for m in self.c.consume(100, timeout=0.2):
                check(not m.error(), str(m.error()))
                got.append(m.value())
            if got:
                self.c.commit(asynchronous=False)
            self.owned = {tp.partition for tp in self.c.assignment()}  # only from this thread
            return got

        def assignment(self):
            return self.owned

        def close(self):
            self.c.close()

    def produce(topic, partition, value):
        if topic is None:
            flush(p)
        else:
            send(p, topic, value=value, partition=partition)

    balance(Member, produce, topic, 6)


def take(c, n):
    got, limit = [], time.monotonic() + 30
    while len(got) < n:
        check(time.monotonic() < limit, f"{len(got)} of {n} records within 30 s")
        got += [m for m in c.consume(n - len(got), timeout=1.0) if not m.error()]
    return got


def resume():
    topic, group = f"{PREFIX}.resume", f"{PREFIX}-resume"
    p = producer()
    for i in range(100):
        send(p, topic, value=b"%d" % i, partition=0)
    flush(p)
    c = consumer(group)
    c.subscribe([topic])
    first = take(c, 40)
    c.commit(offsets=[TopicPartition(topic, 0, 40, metadata="halfway")], asynchronous=False)
    c.close()
    c = consumer(group)
    kept = c.committed([TopicPartition(topic, 0)], timeout=10)[0]
    equal((kept.offset, kept.metadata), (40, "halfway"), "committed offset")
    c.subscribe([topic])
    rest = take(c, 60)
    c.close()
    equal([m.value() for m in first + rest], [b"%d" % i for i in range(100)], "values")


def offsets():
    topic = f"{PREFIX}.offsets"
    base = int(time.time() * 1000) - 60000
    p = producer()
    for i in range(100):
        send(p, topic, value=b"%d" % i, partition=0, timestamp=base + 10 * i)
    flush(p)
    c = consumer(f"{PREFIX}-offsets")
    tp = TopicPartition(topic, 0)
    equal(c.get_watermark_offsets(tp, timeout=10), (0, 100), "watermarks")
    found = c.offsets_for_times([TopicPartition(topic, 0, base + 495)], timeout=10)[0]
    equal(found.offset, 50, "offset by time")
    late = c.offsets_for_times([TopicPartition(topic, 0, base + 5000)], timeout=10)[0]
    equal(late.offset, -1, "offset after the last")
    c.assign([TopicPartition(topic, 0, found.offset)])
    equal(take(c, 1)[0].value(), b"50", "record at the offset")
    c.seek(TopicPartition(topic, 0, 10))
    equal(take(c, 1)[0].value(), b"10", "record after a seek")
    c.close()
    a = AdminClient({"bootstrap.servers": BOOTSTRAP})
    for spec, want in ((OffsetSpec.earliest(), 0), (OffsetSpec.latest(), 100),
                       (OffsetSpec.max_timestamp(), 99)):
        equal(a.list_offsets({tp: spec})[tp].result(10).offset, want, str(spec))


def idempotent():
    topic = f"{PREFIX}.idempotent"
    p = producer(enable_idempotence=True)
    for i in range(1000):
        send(p, topic, value=b"%d" % i, partition=i % 3)
    flush(p)
    got = read_all(topic, 3)
    for part in range(3):
        equal([r.value for r in got if r.partition == part],
              [b"%d" % i for i in range(part, 1000, 3)], f"partition {part}")


def done(futures):
    return {k: f.result(30) for k, f in futures.items()}


def admin():
    a = AdminClient({"bootstrap.servers": BOOTSTRAP})
    topic, group = f"{PREFIX}.admin", f"{PREFIX}-admin"
    done(a.create_topics([NewTopic(topic, num_partitions=2, replication_factor=1,
                                   config={"retention.ms": "7200000"})]))
    eventually("the topic is listed", lambda: topic in a.list_topics(timeout=10).topics)
    try:
        done(a.create_topics([NewTopic(topic, num_partitions=2, replication_factor=1)]))
        check(False, "a topic was created twice")
    except KafkaException as e:
        equal(e.args[0].name(), "TOPIC_ALREADY_EXISTS", "creating it twice")
    resource = ConfigResource(ResourceType.TOPIC, topic)

    def value(name):
        return done(a.describe_configs([resource]))[resource][name].value

    equal(value("retention.ms"), "7200000", "retention.ms as created")
    equal(value("cleanup.policy"), "delete", "cleanup.policy by default")
    entry = ConfigEntry("retention.ms", "3600000", incremental_operation=AlterConfigOpType.SET)
    done(a.incremental_alter_configs(
        [ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])]))
    eventually("retention.ms altered", lambda: value("retention.ms") == "3600000")
    done(a.create_partitions([NewPartitions(topic, 4)]))
    eventually("four partitions",
               lambda: len(a.list_topics(topic, timeout=10).topics[topic].partitions) == 4)

    p = producer()
    for i in range(40):
        send(p, topic, value=b"%d" % i, partition=i % 4)
    flush(p)
    c = consumer(group)
    c.subscribe([topic])
    take(c, 40)
    c.commit(asynchronous=False)
    described = a.describe_consumer_groups([group])[group].result(10)
    equal((described.state.name, len(described.members)), ("STABLE", 1), "described group")
    c.close()
    listed = a.list_consumer_groups().result(10)
    check(group in [g.group_id for g in listed.valid], "the group is not listed")
    request = ConsumerGroupTopicPartitions(group)
    kept = done(a.list_consumer_group_offsets([request]))[group].topic_partitions
    equal(sorted((tp.partition, tp.offset) for tp in kept), [(i, 10) for i in range(4)],
          "offsets of the group")
    done(a.alter_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 3)])]))
    c = consumer(group)
    equal(c.committed([TopicPartition(topic, 0)], timeout=10)[0].offset, 3, "after a reset")
    c.close()
    done(a.delete_consumer_groups([group]))
    eventually("the group is gone", lambda: group not in
               [g.group_id for g in a.list_consumer_groups().result(10).valid])
    cut = TopicPartition(topic, 1, 4)
    equal(done(a.delete_records([cut]))[cut].low_watermark, 4, "low watermark")
    c = consumer(f"{PREFIX}-after")
    equal(c.get_watermark_offsets(cut, timeout=10), (4, 10), "after deleting records")
    c.close()
    cluster = a.describe_cluster().result(10)
    check(cluster.cluster_id and len(cluster.nodes) >= 1, f"cluster {cluster}")
    done(a.delete_topics([topic]))
    eventually("the topic is gone", lambda: topic not in a.list_topics(timeout=10).topics)


s = Suite(f"{confluent_kafka.__version__} (librdkafka {confluent_kafka.libversion()[0]})")
for name in ("none", "gzip", "snappy", "lz4", "zstd"):
    s.case(f"codec {name}", codec, name)
for name in ("none", "gzip", "snappy", "lz4", "zstd"):
    s.case(f"foreign {name}", foreign, name)
s.case("rebalance", rebalance, "range,roundrobin")
s.case("rebalance cooperative", rebalance, "cooperative-sticky")
s.case("resume", resume)
s.case("offsets", offsets)
s.case("idempotent", idempotent)
s.case("admin", admin)
s.end()
