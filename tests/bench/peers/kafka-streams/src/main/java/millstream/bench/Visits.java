package millstream.bench;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.HashSet;
import java.util.Set;
import java.util.TreeMap;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;

/** The first stage of a windowed job, one for each partition: parses clicks and follows the partition's watermark. */
final class Visits implements Processor<byte[], byte[], byte[], Visit> {
    /** A repartition topic takes no record without a key. */
    private static final byte[] KEY = {};

    private final String field;
    /**
     * What the partition has already had, by window, where a field is to be passed on once in a window; else null. It is in no store:
     * after a restart some fields are passed on again, and the second stage knows them.
     */
    private final TreeMap<Long, Set<String>> had;

    private ProcessorContext<byte[], Visit> context;
    private int partition;
    private long highest;
    private long complete;
    private long eventTime;
    private String value;

    Visits(String field, boolean once) {
        this.field = field;
        this.had = once ? new TreeMap<>() : null;
    }

    @Override
    public void init(ProcessorContext<byte[], Visit> context) {
        this.context = context;
        partition = context.taskId().partition();
        // A task that starts again after a failure has its processors called again, and reads again what it had not committed.
        highest = Long.MIN_VALUE;
        complete = Long.MIN_VALUE;
        if (had != null) {
            had.clear();
        }
    }

    @Override
    public void process(Record<byte[], byte[]> click) {
        try {
            Clicks.eventTimeAnd(field, click.value(), this::take);
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
        if (eventTime > highest) {
            highest = eventTime;
            long reached = windowOf(highest - Clicks.DISORDER_MS);
            if (reached > complete) {
                complete = reached;
                if (had != null) {
                    had.headMap(reached).clear();
                }
                forward(click, reached, null);
            }
        }
        long window = windowOf(eventTime);
        if (had == null || had.computeIfAbsent(window, start -> new HashSet<>()).add(value)) {
            forward(click, window, value);
        }
    }

    private void forward(Record<byte[], byte[]> click, long window, String field) {
        context.forward(new Record<>(KEY, new Visit(partition, window, field), click.timestamp()));
    }

    private void take(long eventTime, String value) {
        this.eventTime = eventTime;
        this.value = value;
    }

    private static long windowOf(long time) {
        return time - Math.floorMod(time, Clicks.WINDOW_MS);
    }
}
