import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.LongDeserializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.common.utils.AppInfoParser;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.errors.InvalidStateStoreException;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.processor.StateRestoreListener;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.QueryableStoreTypes;

/**
 * Kafka Streams' word count: state in RocksDB, a compacted changelog, a repartition topic.
 * It stops, loses its state directory, and restores the state from the changelog.
 * At least once: transactions are not served. Report lines as in python/suite.py.
 */
public class WordCount {
    static final String BOOTSTRAP = System.getenv("BOOTSTRAP");
    static final String PREFIX = System.getenv("PREFIX");
    static final String LINES = PREFIX + ".lines";
    static final String COUNTS = PREFIX + ".counts";
    static final String APP = PREFIX + "-wordcount";
    static final String STORE = "words";
    static final String CHANGELOG = APP + "-" + STORE + "-changelog";
    static final String REPARTITION = APP + "-by-word-repartition";
    static final int PARTITIONS = 3;
    static final int LIMIT_SECONDS = 40;

    static final Map<String, Long> want = new HashMap<>();
    static final Random random = new Random(7);
    static int failed;
    static Admin admin;

    interface Body { String run() throws Exception; }
    interface Condition { boolean met() throws Exception; }

    static void check(boolean ok, String text) {
        if (!ok) throw new AssertionError(text);
    }

    static void eventually(String what, Condition c) throws Exception {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(LIMIT_SECONDS);
        while (!c.met()) {
            check(System.nanoTime() < end, "not within " + LIMIT_SECONDS + " s: " + what);
            Thread.sleep(50);
        }
    }

    /** One running instance of the application, with a state directory of its own. */
    static class Instance implements StateRestoreListener {
        final Path state;
        final KafkaStreams streams;
        final AtomicLong restored = new AtomicLong();
        final AtomicReference<Throwable> died = new AtomicReference<>();

        Instance(Path state) {
            this.state = state;
            StreamsBuilder b = new StreamsBuilder();
            b.stream(LINES, Consumed.with(Serdes.String(), Serdes.String()))
                    .flatMapValues(v -> Arrays.asList(v.split(" ")))
                    .groupBy((k, word) -> word, Grouped.with("by-word", Serdes.String(), Serdes.String()))
                    .count(Materialized.<String, Long, KeyValueStore<Bytes, byte[]>>as(STORE)
                            .withKeySerde(Serdes.String()).withValueSerde(Serdes.Long())
                            .withLoggingEnabled(Map.of("segment.ms", "1000", "min.cleanable.dirty.ratio", "0.01")))
                    .toStream().to(COUNTS, Produced.with(Serdes.String(), Serdes.Long()));
            Properties p = new Properties();
            p.put("application.id", APP);
            p.put("bootstrap.servers", BOOTSTRAP);
            p.put("state.dir", state.toString());
            p.put("processing.guarantee", "at_least_once");
            p.put("num.stream.threads", "2");
            p.put("commit.interval.ms", "200");
            p.put("statestore.cache.max.bytes", "0"); // every change goes to the changelog
            p.put("repartition.purge.interval.ms", "500");
            p.put("consumer.session.timeout.ms", "10000");
            p.put("consumer.heartbeat.interval.ms", "500");
            p.put("auto.offset.reset", "earliest");
            streams = new KafkaStreams(b.build(), p);
            streams.setGlobalStateRestoreListener(this);
            streams.setUncaughtExceptionHandler(e -> {
                died.set(e);
                return StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
            });
        }

        Instance start() throws Exception {
            streams.start();
            eventually("the application runs", () -> {
                check(died.get() == null, "a stream thread died: " + died.get());
                return streams.state() == KafkaStreams.State.RUNNING;
            });
            return this;
        }

        void stop() {
            check(streams.close(Duration.ofSeconds(20)), "the application did not close within 20 s");
            check(died.get() == null, "a stream thread died: " + died.get());
        }

        /** What its part of the store says. */
        Map<String, Long> counts() {
            Map<String, Long> out = new HashMap<>();
            try (var all = streams.store(StoreQueryParameters.fromNameAndType(STORE,
                    QueryableStoreTypes.<String, Long>keyValueStore())).all()) {
                all.forEachRemaining(e -> out.put(e.key, e.value));
            } catch (InvalidStateStoreException e) {
                return Map.of(); // its tasks move just now
            }
            return out;
        }

        @Override public void onRestoreStart(TopicPartition tp, String store, long from, long to) { }
        @Override public void onRestoreEnd(TopicPartition tp, String store, long n) { }
        @Override public void onBatchRestored(TopicPartition tp, String store, long to, long n) {
            restored.addAndGet(n);
        }
    }

    static void write(int lines) throws Exception {
        Properties p = new Properties();
        p.put("bootstrap.servers", BOOTSTRAP);
        p.put("linger.ms", "5");
        try (var producer = new KafkaProducer<>(p, new StringSerializer(), new StringSerializer())) {
            List<Future<?>> sent = new ArrayList<>();
            for (int i = 0; i < lines; i++) {
                String line = random.ints(8, 0, 200).mapToObj(n -> "word" + n * n % 311)
                        .collect(Collectors.joining(" "));
                for (String word : line.split(" ")) want.merge(word, 1L, Long::sum);
                sent.add(producer.send(new ProducerRecord<>(LINES, "k" + i, line)));
            }
            producer.flush();
            for (Future<?> f : sent) f.get(30, TimeUnit.SECONDS);
        }
    }

    static void counted(Instance... all) throws Exception {
        eventually("all words are counted", () -> {
            Map<String, Long> got = new HashMap<>();
            for (Instance a : all) {
                check(a.died.get() == null, "a stream thread died: " + a.died.get());
                got.putAll(a.counts());
            }
            for (var e : got.entrySet()) { // they only grow
                check(e.getValue() <= want.getOrDefault(e.getKey(), 0L),
                        e.getKey() + " was counted " + e.getValue() + " times, not " + want.get(e.getKey()));
            }
            return got.equals(want);
        });
    }

    static long sum(String topic, OffsetSpec spec) throws Exception {
        Map<TopicPartition, OffsetSpec> ask = IntStream.range(0, PARTITIONS).boxed()
                .collect(Collectors.toMap(i -> new TopicPartition(topic, i), i -> spec));
        return admin.listOffsets(ask).all().get(20, TimeUnit.SECONDS).values().stream()
                .mapToLong(r -> r.offset()).sum();
    }

    static Config config(String topic) throws Exception {
        ConfigResource r = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        return admin.describeConfigs(List.of(r)).all().get(20, TimeUnit.SECONDS).get(r);
    }

    static String internalTopics() throws Exception {
        check(config(CHANGELOG).get("cleanup.policy").value().equals("compact"), "the changelog is not compacted");
        check(config(REPARTITION).get("cleanup.policy").value().equals("delete"), "the repartition topic's policy");
        check(config(REPARTITION).get("retention.ms").value().equals("-1"), "the repartition topic's retention");
        eventually("what is processed is purged from the repartition topic",
                () -> sum(REPARTITION, OffsetSpec.earliest()) == sum(REPARTITION, OffsetSpec.latest()));
        return "purged " + sum(REPARTITION, OffsetSpec.earliest()) + " records";
    }

    static List<ConsumerRecord<String, Long>> readAll(String topic) throws Exception {
        Properties p = new Properties();
        p.put("bootstrap.servers", BOOTSTRAP);
        try (var c = new KafkaConsumer<>(p, new StringDeserializer(), new LongDeserializer())) {
            List<TopicPartition> all = IntStream.range(0, PARTITIONS)
                    .mapToObj(i -> new TopicPartition(topic, i)).toList();
            c.assign(all);
            c.seekToBeginning(all);
            Map<TopicPartition, Long> ends = c.endOffsets(all);
            List<ConsumerRecord<String, Long>> out = new ArrayList<>();
            eventually("the end of " + topic, () -> {
                c.poll(Duration.ofMillis(100)).forEach(out::add);
                return all.stream().allMatch(tp -> c.position(tp) >= ends.get(tp));
            });
            return out;
        }
    }

    /** The last record of every key is its count: what a compacted log has to keep. */
    static String newest(String topic) throws Exception {
        Map<String, Long> last = new HashMap<>();
        List<ConsumerRecord<String, Long>> all = readAll(topic);
        all.forEach(r -> last.put(r.key(), r.value()));
        check(last.equals(want), "the newest records of " + topic + " are not the counts");
        return all.size() + " records of " + sum(topic, OffsetSpec.latest());
    }

    static void wipe(Path dir) throws IOException {
        try (Stream<Path> all = Files.walk(dir)) {
            for (Path p : all.sorted(Comparator.reverseOrder()).toList()) Files.delete(p);
        }
    }

    static void test(String name, Body body) {
        long start = System.nanoTime();
        String line;
        try {
            line = "PASS\t" + body.run();
        } catch (Throwable e) {
            failed++;
            e.printStackTrace();
            String text = e.toString().replaceAll("[\\n\\t]", " ");
            line = "FAIL\t" + text.substring(0, Math.min(400, text.length()));
        }
        System.out.println("CASE\t" + name + "\t" + line);
        System.err.printf("%s: %.2f s%n", name, (System.nanoTime() - start) / 1e9);
    }

    public static void main(String[] args) throws Exception {
        System.out.println("VERSION\t" + AppInfoParser.getVersion());
        Path one = Files.createTempDirectory("millrace-streams"), two = Files.createTempDirectory("millrace-streams");
        Properties p = new Properties();
        p.put("bootstrap.servers", BOOTSTRAP);
        admin = Admin.create(p);
        admin.createTopics(Stream.of(LINES, COUNTS).map(t -> new NewTopic(t, PARTITIONS, (short) 1)).toList())
                .all().get(30, TimeUnit.SECONDS);
        AtomicReference<Instance> first = new AtomicReference<>(), second = new AtomicReference<>();
        test("word count with a RocksDB store", () -> {
            write(2000);
            first.set(new Instance(one).start());
            counted(first.get());
            return want.size() + " words";
        });
        test("internal topics: compacted changelog, purged repartition", WordCount::internalTopics);
        test("the changelog is cleaned", () -> {
            Thread.sleep(1100); // segment.ms: what comes next goes to new segments
            write(200);
            counted(first.get());
            long all = sum(CHANGELOG, OffsetSpec.latest());
            AtomicLong left = new AtomicLong();
            eventually("fewer records than were written", () -> {
                left.set(readAll(CHANGELOG).size());
                return left.get() < all / 2;
            });
            return left.get() + " records of " + all;
        });
        test("state lost, restored from the changelog", () -> {
            first.get().stop();
            wipe(one);
            write(1000);
            first.set(new Instance(one).start());
            counted(first.get());
            long n = first.get().restored.get();
            check(n >= Math.min(want.size(), 150), "only " + n + " records were restored");
            return n + " records restored";
        });
        test("a second instance takes tasks, and gives them back", () -> {
            second.set(new Instance(two).start());
            eventually("both have tasks", () -> !first.get().counts().isEmpty() && !second.get().counts().isEmpty());
            write(1000);
            counted(first.get(), second.get());
            second.get().stop();
            write(500);
            counted(first.get());
            return "";
        });
        test("output and changelog end with the counts", () -> {
            first.get().stop();
            return "output " + newest(COUNTS) + ", changelog " + newest(CHANGELOG);
        });
        wipe(one);
        wipe(two);
        System.out.flush();
        Runtime.getRuntime().halt(failed == 0 ? 0 : 1);
    }
}
