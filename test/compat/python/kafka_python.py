"""The kafka-python suite."""

import time

import kafka
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic
from kafka.structs import OffsetAndMetadata

from suite import (BOOTSTRAP, FOREIGN, PREFIX, Record, Suite, balance, check, compare, equal,
                   eventually, fixture)

PARTITIONS, RECORDS = fixture()


def producer(**kw):
    return KafkaProducer(bootstrap_servers=BOOTSTRAP, **kw)


def consumer(**kw):
    kw.setdefault("auto_offset_reset", "earliest")
    kw.setdefault("enable_auto_commit", False)
    return KafkaConsumer(bootstrap_servers=BOOTSTRAP, **kw)


def read_all(topic, partitions):
    c = consumer()
    tps = [TopicPartition(topic, p) for p in range(partitions)]
    c.assign(tps)
    c.seek_to_beginning(*tps)
    end, got = c.end_offsets(tps), []
    limit = time.monotonic() + 60
    while any(c.position(tp) < end[tp] for tp in tps):
        check(time.monotonic() < limit, f"{topic}: {len(got)} records within 60 s")
        for rs in c.poll(timeout_ms=500).values():
            got += [Record(r.partition, r.key, r.value, r.headers, r.timestamp) for r in rs]
    c.close()
    return got


def codec(name):
    topic = f"{PREFIX}.{name}"
    p = producer(compression_type=None if name == "none" else name, linger_ms=20)
    futures = [
        p.send(topic, value=r.value, key=r.key, headers=r.headers, partition=r.partition,
               timestamp_ms=r.timestamp) for r in RECORDS
    ]
    p.flush(30)
    for f in futures:
        f.get(30)
    p.close()
    compare(RECORDS, read_all(topic, PARTITIONS))


def foreign(name):
    compare(RECORDS, read_all(FOREIGN + name, PARTITIONS))


def rebalance():
    p = producer()

    class Member:
        def __init__(self, _):
            self.c = consumer(group_id=f"{PREFIX}-balance", session_timeout_ms=10000,
                              heartbeat_interval_ms=500)
            self.c.subscribe([f"{PREFIX}.balance"])
            self.owned = set()

        def poll(self):
            got = [r.value for rs in self.c.poll(timeout_ms=200).values() for r in rs]
            self.owned = {tp.partition for tp in self.c.assignment()}
            if got:
                self.c.commit()
            return got

        def assignment(self):
            return self.owned

        def close(self):
            self.c.close()

    def produce(topic, partition, value):
        if topic is None:
            p.flush(30)
        else:
            p.send(topic, value=value, partition=partition)

    balance(Member, produce, f"{PREFIX}.balance", 6)
    p.close()


def take(c, n):
    got, limit = [], time.monotonic() + 30
    while len(got) < n:
        check(time.monotonic() < limit, f"{len(got)} of {n} records within 30 s")
        for rs in c.poll(timeout_ms=500, max_records=n - len(got)).values():
            got += rs
    return got


def resume():
    topic, group = f"{PREFIX}.resume", f"{PREFIX}-resume"
    p = producer()
    for i in range(100):
        p.send(topic, value=b"%d" % i, partition=0)
    p.flush(30)
    p.close()
    c = consumer(group_id=group)
    c.subscribe([topic])
    first = take(c, 40)
    tp = TopicPartition(topic, 0)
    c.commit({tp: OffsetAndMetadata(40, "halfway", -1)})
    c.close()
    c = consumer(group_id=group)
    c.subscribe([topic])
    equal(c.committed(tp), 40, "committed offset")
    rest = take(c, 60)
    c.close()
    equal([r.value for r in first + rest], [b"%d" % i for i in range(100)], "values")


def offsets():
    topic = f"{PREFIX}.offsets"
    base = int(time.time() * 1000) - 60000
    p = producer()
    for i in range(100):
        p.send(topic, value=b"%d" % i, partition=0, timestamp_ms=base + 10 * i)
    p.flush(30)
    p.close()
    tp = TopicPartition(topic, 0)
    c = consumer()
    c.assign([tp])
    equal(c.beginning_offsets([tp])[tp], 0, "earliest")
    equal(c.end_offsets([tp])[tp], 100, "latest")
    found = c.offsets_for_times({tp: base + 495})[tp]
    equal((found.offset, found.timestamp), (50, base + 500), "offset by time")
    equal(c.offsets_for_times({tp: base + 5000})[tp], None, "offset after the last")
    c.seek(tp, found.offset)
    equal(take(c, 1)[0].value, b"50", "record after a seek")
    c.close()


def idempotent():
    topic = f"{PREFIX}.idempotent"
    p = producer(enable_idempotence=True, acks="all")
    for i in range(1000):
        p.send(topic, value=b"%d" % i, partition=i % 3)
    p.flush(30)
    p.close()
    got = read_all(topic, 3)
    for part in range(3):
        equal([r.value for r in got if r.partition == part],
              [b"%d" % i for i in range(part, 1000, 3)], f"partition {part}")


def admin():
    a = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    topic, group = f"{PREFIX}.admin", f"{PREFIX}-admin"
    a.create_topics([NewTopic(name=topic, num_partitions=2, replication_factor=1,
                              topic_configs={"retention.ms": "7200000"})])
    eventually("the topic is listed", lambda: topic in a.list_topics())
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)

    def value(name):
        answer = a.describe_configs([resource], config_filter="all")
        return answer["topic"][topic][name]["value"] if isinstance(answer, dict) else answer

    equal(value("retention.ms"), "7200000", "retention.ms as created")
    a.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic,
                                    configs={"retention.ms": "3600000"})])
    eventually("retention.ms altered", lambda: value("retention.ms") == "3600000")
    a.create_partitions({topic: NewPartitions(4)})
    eventually("four partitions",
               lambda: len(a.describe_topics([topic])[0]["partitions"]) == 4)

    p = producer()
    for i in range(40):
        p.send(topic, value=b"%d" % i, partition=i % 4).get(30)
    p.close()
    c = consumer(group_id=group)
    c.subscribe([topic])
    take(c, 40)
    c.commit()
    described = a.describe_groups([group])
    check(group in str(described) and "Stable" in str(described), f"described {described}")
    c.close()
    check(group in str(a.list_groups()), "the group is not listed")
    tps = [TopicPartition(topic, i) for i in range(4)]
    committed = a.list_group_offsets({group: None})
    check(str(committed).count("offset=10") == 4, f"group offsets {committed}")
    a.alter_group_offsets(group, {tps[0]: OffsetAndMetadata(3, "", -1)})
    c = consumer(group_id=group)
    equal(c.committed(tps[0]), 3, "offset after a reset")
    c.close()
    a.delete_groups([group])
    eventually("the group is gone", lambda: group not in str(a.list_groups()))
    a.delete_records({tps[1]: 4})
    c = consumer()
    equal(c.beginning_offsets([tps[1]])[tps[1]], 4, "start after deleting records")
    c.close()
    check(a.describe_cluster()["cluster_id"], "no cluster id")
    check(a.describe_log_dirs(), "no log directories")
    a.delete_topics([topic])
    eventually("the topic is gone", lambda: topic not in a.list_topics())
    a.close()


s = Suite(kafka.__version__)
for name in ("none", "gzip", "snappy", "lz4", "zstd"):
    s.case(f"codec {name}", codec, name)
for name in ("none", "gzip", "snappy", "lz4", "zstd"):
    s.case(f"foreign {name}", foreign, name)
s.case("rebalance", rebalance)
s.case("resume", resume)
s.case("offsets", offsets)
s.case("idempotent", idempotent)
s.case("admin", admin)
s.end()
