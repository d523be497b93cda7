import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsSpec;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.AppInfoParser;

/** The suite of Kafka's own Java client; environment and report lines as in python/suite.py. */
public class Compat {
    static final String BOOTSTRAP = System.getenv("BOOTSTRAP");
    static final String PREFIX = System.getenv("PREFIX");
    static final String FOREIGN = System.getenv("FOREIGN");
    static final boolean ESSENTIAL = "1".equals(System.getenv("ESSENTIAL"));
    static final List<String> CODECS = List.of("none", "gzip", "snappy", "lz4", "zstd");
    static final List<Row> ROWS = new ArrayList<>();
    static int partitions;
    static int failed;

    record Row(int partition, byte[] key, byte[] value, List<Header> headers, long time) {
        String seen() {
            StringBuilder b = new StringBuilder(text(key)).append(' ').append(text(value));
            for (Header h : headers) b.append(' ').append(h.key()).append('=').append(text(h.value()));
            return b.append(" @").append(time).toString();
        }

        static String text(byte[] b) {
            return b == null ? "null" : "'" + Base64.getEncoder().encodeToString(b) + "'";
        }
    }

    interface Body { void run() throws Exception; }
    interface Condition { boolean met() throws Exception; }

    static void check(boolean ok, String text) {
        if (!ok) throw new AssertionError(text);
    }

    static void equal(Object got, Object want, String what) {
        if (!got.equals(want)) throw new AssertionError(what + ": got " + got + ", want " + want);
    }

    static void eventually(String what, Condition c) throws Exception {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
        while (!c.met()) {
            check(System.nanoTime() < end, "not within 30 s: " + what);
            Thread.sleep(100);
        }
    }

    static byte[] bytes(String s) { return s.getBytes(StandardCharsets.UTF_8); }

    static byte[] decode(JsonNode n) {
        return n.isNull() ? null : Base64.getDecoder().decode(n.asText());
    }

    static void load() throws Exception {
        JsonNode all = new ObjectMapper().readTree(Files.readAllBytes(Path.of(System.getenv("FIXTURE"))));
        partitions = all.get("partitions").asInt();
        for (JsonNode r : all.get("records")) {
            List<Header> headers = new ArrayList<>();
            for (JsonNode h : r.get("h")) headers.add(new RecordHeader(h.get(0).asText(), decode(h.get(1))));
            ROWS.add(new Row(r.get("p").asInt(), decode(r.get("k")), decode(r.get("v")), headers,
                    r.get("t").asLong()));
        }
    }

    static KafkaProducer<byte[], byte[]> producer(String... settings) {
        Properties p = new Properties();
        p.put("bootstrap.servers", BOOTSTRAP);
        p.put("linger.ms", "20");
        for (int i = 0; i < settings.length; i += 2) p.put(settings[i], settings[i + 1]);
        return new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer());
    }

    static KafkaConsumer<byte[], byte[]> consumer(String group, String... settings) {
        Properties p = new Properties();
        p.put("bootstrap.servers", BOOTSTRAP);
        if (group != null) p.put("group.id", group);
        p.put("enable.auto.commit", "false");
        p.put("auto.offset.reset", "earliest");
        p.put("session.timeout.ms", "10000");
        p.put("heartbeat.interval.ms", "500");
        for (int i = 0; i < settings.length; i += 2) p.put(settings[i], settings[i + 1]);
        return new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    static void send(String topic, List<Row> rows, String... settings) throws Exception {
        try (KafkaProducer<byte[], byte[]> p = producer(settings)) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (Row r : rows) {
                sent.add(p.send(new ProducerRecord<>(topic, r.partition, r.time < 0 ? null : r.time,
                        r.key, r.value, r.headers)));
            }
            p.flush();
            for (Future<RecordMetadata> f : sent) f.get(30, TimeUnit.SECONDS);
        }
    }

    static List<Row> numbers(int n, int parts) {
        return IntStream.range(0, n)
                .mapToObj(i -> new Row(i % parts, null, bytes("" + i), List.of(), -1)).toList();
    }

    static List<Row> take(KafkaConsumer<byte[], byte[]> c, int n) {
        List<Row> got = new ArrayList<>();
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
        while (got.size() < n) {
            check(System.nanoTime() < end, got.size() + " of " + n + " records within 30 s");
            c.poll(Duration.ofMillis(200)).forEach(r -> got.add(new Row(r.partition(), r.key(),
                    r.value(), Arrays.asList(r.headers().toArray()), r.timestamp())));
        }
        return got;
    }

    static List<Row> readAll(String topic, int parts) {
        try (KafkaConsumer<byte[], byte[]> c = consumer(null)) {
            List<TopicPartition> tps =
                    IntStream.range(0, parts).mapToObj(i -> new TopicPartition(topic, i)).toList();
            c.assign(tps);
            c.seekToBeginning(tps);
            long n = c.endOffsets(tps).values().stream().mapToLong(Long::longValue).sum();
            return take(c, (int) n);
        }
    }

    static void compare(List<Row> want, List<Row> got) {
        for (int p = 0; p < partitions; p++) {
            int part = p;
            List<Row> w = want.stream().filter(r -> r.partition == part).toList();
            List<Row> g = got.stream().filter(r -> r.partition == part).toList();
            equal(g.size(), w.size(), "records of partition " + p);
            for (int i = 0; i < w.size(); i++) {
                String a = w.get(i).seen(), b = g.get(i).seen();
                check(a.equals(b), "partition " + p + " record " + i + ": wrote "
                        + a.substring(0, Math.min(120, a.length())) + ", read "
                        + b.substring(0, Math.min(120, b.length())));
            }
        }
    }

    static List<String> values(Collection<Row> rows) {
        return rows.stream().map(r -> new String(r.value, StandardCharsets.UTF_8)).toList();
    }

    static void codec(String name) throws Exception {
        String topic = PREFIX + "." + name;
        send(topic, ROWS, "compression.type", name);
        compare(ROWS, readAll(topic, partitions));
    }

    /** One member of a group, polled by a thread of its own. */
    static class Member implements Runnable {
        final KafkaConsumer<byte[], byte[]> consumer;
        final Set<String> seen;
        final Thread thread = new Thread(this);
        volatile Set<Integer> parts = Set.of();
        volatile boolean stop;
        volatile Exception error;

        Member(String topic, String group, Set<String> seen, String assignor) {
            this.consumer = consumer(group, "partition.assignment.strategy", assignor);
            this.seen = seen;
            consumer.subscribe(List.of(topic));
            thread.setDaemon(true);
            thread.start();
        }

        @Override public void run() {
            try (consumer) {
                while (!stop) {
                    var polled = consumer.poll(Duration.ofMillis(200));
                    polled.forEach(r -> seen.add(new String(r.value(), StandardCharsets.UTF_8)));
                    if (!polled.isEmpty()) consumer.commitAsync();
                    parts = consumer.assignment().stream().map(TopicPartition::partition)
                            .collect(Collectors.toSet());
                }
            } catch (Exception e) {
                error = e;
            }
        }

        Set<Integer> parts() throws Exception {
            if (error != null) throw error;
            return parts;
        }

        void close() throws Exception {
            stop = true;
            thread.join(30_000);
            check(!thread.isAlive(), "a member did not close");
            if (error != null) throw error;
        }
    }

    static void rebalance(Class<?> assignor) throws Exception {
        String topic = PREFIX + ".balance", group = PREFIX + "-" + assignor.getSimpleName();
        Set<String> seen = ConcurrentHashMap.newKeySet(), written = new HashSet<>();
        Set<Integer> all = Set.of(0, 1, 2, 3, 4, 5);
        class Write {
            void round(int n) throws Exception {
                List<Row> rows = IntStream.range(0, 300).mapToObj(i ->
                        new Row(i % 6, null, bytes(group + n + "-" + i), List.of(), -1)).toList();
                send(topic, rows);
                written.addAll(values(rows));
            }
        }
        Write write = new Write();
        Member a = new Member(topic, group, seen, assignor.getName());
        eventually("the only member owns everything", () -> a.parts().equals(all));
        write.round(0);
        Member b = new Member(topic, group, seen, assignor.getName());
        eventually("two members share the partitions", () -> {
            Set<Integer> union = new HashSet<>(a.parts());
            union.addAll(b.parts());
            return a.parts().size() == 3 && b.parts().size() == 3 && union.equals(all);
        });
        write.round(1);
        eventually("both rounds are read", () -> seen.containsAll(written));
        b.close();
        eventually("the one that stays owns everything", () -> a.parts().equals(all));
        write.round(2);
        eventually("nothing is lost", () -> seen.containsAll(written));
        a.close();
    }

    static void resume() throws Exception {
        String topic = PREFIX + ".resume", group = PREFIX + "-resume";
        send(topic, numbers(100, 1));
        TopicPartition tp = new TopicPartition(topic, 0);
        List<Row> all = new ArrayList<>();
        try (KafkaConsumer<byte[], byte[]> c = consumer(group, "max.poll.records", "40")) {
            c.subscribe(List.of(topic));
            all.addAll(take(c, 40));
            c.commitSync(Map.of(tp, new OffsetAndMetadata(40, "halfway")));
        }
        try (KafkaConsumer<byte[], byte[]> c = consumer(group)) {
            OffsetAndMetadata kept = c.committed(Set.of(tp)).get(tp);
            equal(kept.offset() + kept.metadata(), "40halfway", "committed offset");
            c.subscribe(List.of(topic));
            all.addAll(take(c, 60));
        }
        equal(values(all), values(numbers(100, 1)), "values");
    }

    static void offsets() throws Exception {
        String topic = PREFIX + ".offsets";
        long base = System.currentTimeMillis() - 60_000;
        send(topic, IntStream.range(0, 100).mapToObj(i ->
                new Row(0, null, bytes("" + i), List.of(), base + 10L * i)).toList());
        TopicPartition tp = new TopicPartition(topic, 0);
        try (KafkaConsumer<byte[], byte[]> c = consumer(null, "max.poll.records", "1")) {
            c.assign(List.of(tp));
            equal(c.beginningOffsets(List.of(tp)).get(tp), 0L, "earliest");
            equal(c.endOffsets(List.of(tp)).get(tp), 100L, "latest");
            equal(c.offsetsForTimes(Map.of(tp, base + 495)).get(tp).offset(), 50L, "by time");
            check(c.offsetsForTimes(Map.of(tp, base + 5000)).get(tp) == null, "after the last");
            c.seek(tp, 50);
            equal(values(take(c, 1)), List.of("50"), "record after a seek");
        }
        try (Admin a = admin()) {
            Map<OffsetSpec, Long> specs = new HashMap<>();
            specs.put(OffsetSpec.earliest(), 0L);
            specs.put(OffsetSpec.latest(), 100L);
            specs.put(OffsetSpec.maxTimestamp(), 99L);
            for (var e : specs.entrySet()) {
                equal(a.listOffsets(Map.of(tp, e.getKey())).partitionResult(tp).get().offset(),
                        e.getValue(), e.getKey().getClass().getSimpleName());
            }
        }
    }

    static void idempotent() throws Exception {
        String topic = PREFIX + ".idempotent";
        send(topic, numbers(1000, 3), "enable.idempotence", "true", "linger.ms", "0");
        List<Row> got = readAll(topic, 3);
        for (int p = 0; p < 3; p++) {
            int part = p;
            equal(values(got.stream().filter(r -> r.partition == part).toList()),
                    values(numbers(1000, 3).stream().filter(r -> r.partition == part).toList()),
                    "partition " + p);
        }
    }

    static Admin admin() {
        return Admin.create(Map.of("bootstrap.servers", (Object) BOOTSTRAP));
    }

    static void administer() throws Exception {
        String topic = PREFIX + ".admin", group = PREFIX + "-admin";
        try (Admin a = admin()) {
            a.createTopics(List.of(new NewTopic(topic, 2, (short) 1)
                    .configs(Map.of("retention.ms", "7200000")))).all().get();
            eventually("the topic is listed", () -> a.listTopics().names().get().contains(topic));
            ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
            var config = a.describeConfigs(List.of(resource)).all().get().get(resource);
            equal(config.get("retention.ms").value(), "7200000", "retention.ms as created");
            equal(config.get("segment.bytes").value(), "1073741824", "segment.bytes by default");
            check(config.entries().size() >= 30, "only " + config.entries().size() + " configs");
            a.incrementalAlterConfigs(Map.of(resource, List.of(new AlterConfigOp(
                    new ConfigEntry("retention.ms", "3600000"), AlterConfigOp.OpType.SET))))
                    .all().get();
            eventually("retention.ms altered", () -> a.describeConfigs(List.of(resource)).all()
                    .get().get(resource).get("retention.ms").value().equals("3600000"));
            ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, "1");
            check(a.describeConfigs(List.of(broker)).all().get().get(broker)
                    .get("num.partitions") != null, "no num.partitions among broker configs");
            a.createPartitions(Map.of(topic, NewPartitions.increaseTo(4))).all().get();
            eventually("four partitions", () -> a.describeTopics(List.of(topic)).allTopicNames()
                    .get().get(topic).partitions().size() == 4);
            send(topic, numbers(40, 4));
            try (KafkaConsumer<byte[], byte[]> c = consumer(group)) {
                c.subscribe(List.of(topic));
                take(c, 40);
                c.commitSync();
                equal(a.describeConsumerGroups(List.of(group)).all().get().get(group).members()
                        .size(), 1, "members of the group");
            }
            check(a.listConsumerGroups().all().get().stream()
                    .anyMatch(g -> g.groupId().equals(group)), "the group is not listed");
            var kept = a.listConsumerGroupOffsets(Map.of(group, new ListConsumerGroupOffsetsSpec()))
                    .partitionsToOffsetAndMetadata(group).get();
            equal(kept.values().stream().map(OffsetAndMetadata::offset).toList(),
                    List.of(10L, 10L, 10L, 10L), "offsets of the group");
            TopicPartition zero = new TopicPartition(topic, 0), one = new TopicPartition(topic, 1);
            a.alterConsumerGroupOffsets(group, Map.of(zero, new OffsetAndMetadata(3))).all().get();
            a.deleteConsumerGroupOffsets(group, Set.of(one)).all().get();
            kept = a.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
            equal(kept.get(zero).offset(), 3L, "after a reset");
            check(!kept.containsKey(one), "a deleted offset is still there");
            a.deleteConsumerGroups(List.of(group)).all().get();
            eventually("the group is gone", () -> a.listConsumerGroups().all().get().stream()
                    .noneMatch(g -> g.groupId().equals(group)));
            equal(a.deleteRecords(Map.of(one, RecordsToDelete.beforeOffset(4))).lowWatermarks()
                    .get(one).get().lowWatermark(), 4L, "low watermark");
            check(!a.describeCluster().clusterId().get().isEmpty(), "no cluster id");
            check(!a.describeLogDirs(List.of(1)).allDescriptions().get().get(1).isEmpty(), "log dirs");
            check(a.describeProducers(List.of(zero)).partitionResult(zero).get() != null, "producers");
            a.deleteTopics(List.of(topic)).all().get();
            eventually("the topic is gone", () -> !a.listTopics().names().get().contains(topic));
        }
    }

    static void test(String name, boolean essential, Body body) {
        if (ESSENTIAL && !essential) return;
        long start = System.nanoTime();
        var pool = Executors.newSingleThreadExecutor(r -> {
            Thread t = new Thread(r);
            t.setDaemon(true);
            return t;
        });
        String line = "PASS\t";
        try {
            pool.submit(() -> { body.run(); return null; }).get(90, TimeUnit.SECONDS);
        } catch (TimeoutException e) {
            line = "FAIL\tnot done within 90 s";
        } catch (Exception e) {
            Throwable cause = e.getCause() == null ? e : e.getCause();
            cause.printStackTrace();
            String text = cause.toString().replaceAll("[\\n\\t]", " ");
            line = "FAIL\t" + text.substring(0, Math.min(400, text.length()));
        }
        if (line.startsWith("FAIL")) failed++;
        pool.shutdownNow();
        System.out.println("CASE\t" + name + "\t" + line);
        System.err.printf("%s: %.2f s%n", name, (System.nanoTime() - start) / 1e9);
    }

    public static void main(String[] args) throws Exception {
        System.out.println("VERSION\t" + AppInfoParser.getVersion());
        load();
        for (String c : CODECS) test("codec " + c, true, () -> codec(c));
        for (String c : CODECS) test("foreign " + c, true, () -> compare(ROWS, readAll(FOREIGN + c, partitions)));
        test("rebalance", true, () -> rebalance(RangeAssignor.class));
        test("rebalance cooperative", false, () -> rebalance(CooperativeStickyAssignor.class));
        test("resume", true, Compat::resume);
        test("offsets", true, Compat::offsets);
        test("idempotent", true, Compat::idempotent);
        test("admin", true, Compat::administer);
        System.out.flush();
        Runtime.getRuntime().halt(failed == 0 ? 0 : 1);
    }
}
