"""The aiokafka suite."""

import asyncio
import time

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.structs import OffsetAndMetadata

from suite import BOOTSTRAP, FOREIGN, PREFIX, Record, Suite, check, compare, equal, fixture

PARTITIONS, RECORDS = fixture()


def producer(**kw):
    return AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, **kw)


def consumer(*topics, **kw):
    kw.setdefault("auto_offset_reset", "earliest")
    kw.setdefault("enable_auto_commit", False)
    return AIOKafkaConsumer(*topics, bootstrap_servers=BOOTSTRAP, **kw)


async def eventually(what, ok, limit=30.0):
    end = time.monotonic() + limit
    while True:
        value = ok()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        check(time.monotonic() < end, f"not within {limit:.0f} s: {what}")
        await asyncio.sleep(0.1)


async def read_all(topic, partitions):
    async with consumer() as c:
        tps = [TopicPartition(topic, p) for p in range(partitions)]
        c.assign(tps)
        await c.seek_to_beginning(*tps)
        end, got, limit = await c.end_offsets(tps), [], time.monotonic() + 60
        position = {tp: 0 for tp in tps}
        while any(position[tp] < end[tp] for tp in tps):
            check(time.monotonic() < limit, f"{topic}: {len(got)} records within 60 s")
            for tp, rs in (await c.getmany(timeout_ms=500)).items():
                got += [Record(r.partition, r.key, r.value, r.headers, r.timestamp) for r in rs]
                position[tp] = rs[-1].offset + 1
        return got


async def codec(name):
    topic = f"{PREFIX}.{name}"
    async with producer(compression_type=None if name == "none" else name, linger_ms=20) as p:
        futures = [await p.send(topic, value=r.value, key=r.key, headers=r.headers,
                                partition=r.partition, timestamp_ms=r.timestamp)
                   for r in RECORDS]
        await p.flush()
        for f in futures:
            await f
    compare(RECORDS, await read_all(topic, PARTITIONS))


async def foreign(name):
    compare(RECORDS, await read_all(FOREIGN + name, PARTITIONS))


async def rebalance():
    topic, everything = f"{PREFIX}.balance", set(range(6))
    seen, written = set(), set()

    async def join():
        c = consumer(topic, group_id=f"{PREFIX}-balance", session_timeout_ms=10000,
                     heartbeat_interval_ms=500)
        await c.start()

        async def loop():
            while True:
                got = await c.getmany(timeout_ms=200)
                if got:
                    seen.update(r.value for rs in got.values() for r in rs)
                    await c.commit()

        return c, asyncio.create_task(loop())

    async def leave(member):
        member[1].cancel()
        try:
            await member[1]
        except asyncio.CancelledError:
            pass
        await member[0].stop()

    def parts(member):
        return {tp.partition for tp in member[0].assignment()}

    async def write(round):
        async with producer() as p:
            for i in range(300):
                value = b"%d-%d" % (round, i)
                await p.send(topic, value=value, partition=i % 6)
                written.add(value)
            await p.flush()

    a = await join()
    await eventually("the only member owns everything", lambda: parts(a) == everything)
    await write(0)
    b = await join()
    await eventually("two members share the partitions",
                     lambda: parts(a) and parts(b) and not parts(a) & parts(b)
                     and parts(a) | parts(b) == everything)
    await write(1)
    await eventually("both rounds are read", lambda: written <= seen)
    await leave(b)
    await eventually("the one that stays owns everything", lambda: parts(a) == everything)
    await write(2)
    await eventually("nothing is lost", lambda: written <= seen)
    await leave(a)


async def take(c, n):
    got, limit = [], time.monotonic() + 30
    while len(got) < n:
        check(time.monotonic() < limit, f"{len(got)} of {n} records within 30 s")
        for rs in (await c.getmany(timeout_ms=500, max_records=n - len(got))).values():
            got += rs
    return got


async def resume():
    topic, group = f"{PREFIX}.resume", f"{PREFIX}-resume"
    async with producer() as p:
        for i in range(100):
            await p.send(topic, value=b"%d" % i, partition=0)
        await p.flush()
    tp = TopicPartition(topic, 0)
    async with consumer(topic, group_id=group) as c:
        first = await take(c, 40)
        await c.commit({tp: OffsetAndMetadata(40, "halfway")})
    async with consumer(topic, group_id=group) as c:
        equal(await c.committed(tp), 40, "committed offset")
        rest = await take(c, 60)
    equal([r.value for r in first + rest], [b"%d" % i for i in range(100)], "values")


async def offsets():
    topic, base = f"{PREFIX}.offsets", int(time.time() * 1000) - 60000
    async with producer() as p:
        for i in range(100):
            await p.send(topic, value=b"%d" % i, partition=0, timestamp_ms=base + 10 * i)
        await p.flush()
    tp = TopicPartition(topic, 0)
    async with consumer() as c:
        c.assign([tp])
        equal((await c.beginning_offsets([tp]))[tp], 0, "earliest")
        equal((await c.end_offsets([tp]))[tp], 100, "latest")
        found = (await c.offsets_for_times({tp: base + 495}))[tp]
        equal((found.offset, found.timestamp), (50, base + 500), "offset by time")
        equal((await c.offsets_for_times({tp: base + 5000}))[tp], None, "after the last")
        c.seek(tp, found.offset)
        equal((await take(c, 1))[0].value, b"50", "record after a seek")


async def idempotent():
    topic = f"{PREFIX}.idempotent"
    async with producer(enable_idempotence=True, acks="all") as p:
        for i in range(1000):
            await p.send(topic, value=b"%d" % i, partition=i % 3)
        await p.flush()
    got = await read_all(topic, 3)
    for part in range(3):
        equal([r.value for r in got if r.partition == part],
              [b"%d" % i for i in range(part, 1000, 3)], f"partition {part}")


async def admin():
    a = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    await a.start()
    topic, group = f"{PREFIX}.admin", f"{PREFIX}-admin"
    try:
        await a.create_topics([NewTopic(name=topic, num_partitions=2, replication_factor=1,
                                        topic_configs={"retention.ms": "7200000"})])

        async def listed():
            return topic in await a.list_topics()

        await eventually("the topic is listed", listed)

        async def retention():
            answer = await a.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
            entries = answer[0].resources[0][4]
            return next(e[1] for e in entries if e[0] == "retention.ms")

        equal(await retention(), "7200000", "retention.ms as created")
        await a.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic,
                                              configs={"retention.ms": "3600000"})])

        async def altered():
            return await retention() == "3600000"

        await eventually("retention.ms altered", altered)
        await a.create_partitions({topic: NewPartitions(4)})

        async def four():
            return len((await a.describe_topics([topic]))[0]["partitions"]) == 4

        await eventually("four partitions", four)
        async with producer() as p:
            for i in range(40):
                await p.send_and_wait(topic, value=b"%d" % i, partition=i % 4)
        async with consumer(topic, group_id=group) as c:
            await take(c, 40)
            await c.commit()
            described = str(await a.describe_consumer_groups([group]))
            check("Stable" in described, f"described {described}")
        check(group in str(await a.list_consumer_groups()), "the group is not listed")
        kept = await a.list_consumer_group_offsets(group)
        equal(sorted((tp.partition, o.offset) for tp, o in kept.items()),
              [(i, 10) for i in range(4)], "offsets of the group")
        await a.delete_records({TopicPartition(topic, 1): a_records(4)})
        async with consumer() as c:
            tp = TopicPartition(topic, 1)
            c.assign([tp])
            equal((await c.beginning_offsets([tp]))[tp], 4, "start after deleting records")
        await a.delete_topics([topic])

        async def gone():
            return topic not in await a.list_topics()

        await eventually("the topic is gone", gone)
    finally:
        await a.close()


def a_records(offset):
    from aiokafka.admin import RecordsToDelete
    return RecordsToDelete(before_offset=offset)


def sync(fn, *args):
    asyncio.run(fn(*args))


s = Suite(aiokafka.__version__)
for name in ("none", "gzip", "snappy", "lz4", "zstd"):
    s.case(f"codec {name}", sync, codec, name)
for name in ("none", "gzip", "snappy", "lz4", "zstd"):
    s.case(f"foreign {name}", sync, foreign, name)
s.case("rebalance", sync, rebalance)
s.case("resume", sync, resume)
s.case("offsets", sync, offsets)
s.case("idempotent", sync, idempotent)
s.case("admin", sync, admin)
s.end()
