import java.io.File;
import java.nio.file.*;
import java.util.*;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.server.util.KafkaScheduler;
import org.apache.kafka.storage.internals.log.*;
import org.apache.kafka.storage.internals.utils.Throttler;
import org.apache.kafka.storage.log.metrics.BrokerTopicStats;

/**
 * Runs Kafka's own log cleaner once over each of several partition directories: a line of
 * the file named by the argument is "dir firstDirty now deleteRetention segmentBytes slots".
 * Answers one line each: the new first dirty offset.
 */
public class Clean {
    public static void main(String[] args) throws Exception {
        KafkaScheduler scheduler = new KafkaScheduler(1);
        scheduler.startup();
        for (String line : Files.readAllLines(Path.of(args[0]))) {
            String[] f = line.split(" ");
            Map<String, Object> p = new HashMap<>();
            p.put("cleanup.policy", "compact");
            p.put("internal.segment.bytes", f[4]);
            p.put("index.interval.bytes", "512");
            p.put("delete.retention.ms", f[3]);
            p.put("file.delete.delay.ms", "3600000");
            UnifiedLog log = UnifiedLog.create(new File(f[0]), new LogConfig(p), 0, 0, scheduler,
                new BrokerTopicStats(), Time.SYSTEM, 60000,
                new ProducerStateManagerConfig(Integer.MAX_VALUE, false), 3600000,
                new LogDirFailureChannel(1), false, Optional.empty());
            log.updateHighWatermark(log.logEndOffset());
            Cleaner cleaner = new Cleaner(0, new SkimpyOffsetMap(Integer.parseInt(f[5]) * 24, "MD5"),
                1 << 19, 1 << 20, 0.9,
                new Throttler(Double.MAX_VALUE, 300, "cleaner", "bytes", Time.SYSTEM), Time.SYSTEM, tp -> { });
            LogToClean what = new LogToClean(log, Long.parseLong(f[1]),
                log.activeSegment().baseOffset(), false);
            System.out.println("cleaned " + cleaner.doClean(what, Long.parseLong(f[2])).getKey());
            log.close();
        }
        System.exit(0);
    }
}
