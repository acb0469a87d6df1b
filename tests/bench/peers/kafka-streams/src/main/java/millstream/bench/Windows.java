package millstream.bench;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.HashMap;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * The second stage of a windowed job: one for all partitions. Open windows are held in plain maps, because a map of Java's is several
 * times as fast as a store; what changes in them goes into a store besides, whose changelog brings them back after a restart.
 *
 * @param <W> what is held of an open window
 */
abstract class Windows<W> implements Processor<byte[], Visit, byte[], byte[]> {
    /** The store of how far each partition is. */
    static final String PROGRESS = "progress";
    /** The store of what is in the open windows. */
    static final String OPEN = "open";

    protected final TreeMap<Long, W> open = new TreeMap<>();

    private final int partitions;
    private final Map<Integer, Long> reached = new HashMap<>();
    private KeyValueStore<Integer, Long> progress;
    private ProcessorContext<byte[], byte[]> context;
    /** Windows that end here or before have fired. */
    private long closed = Long.MIN_VALUE;

    Windows(int partitions) {
        this.partitions = partitions;
    }

    /** Fills {@link #open} with what the store holds. */
    protected abstract void restore(ProcessorContext<byte[], byte[]> context);

    protected abstract void add(long window, String field);

    /** Emits the rows of a window, and takes it out of the store. */
    protected abstract void fire(long window, W held, Consumer<byte[]> rows) throws IOException;

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
        this.context = context;
        progress = context.getStateStore(PROGRESS);
        reached.clear();
        open.clear();
        try (KeyValueIterator<Integer, Long> all = progress.all()) {
            while (all.hasNext()) {
                KeyValue<Integer, Long> each = all.next();
                reached.put(each.key, each.value);
            }
        }
        closed = lowest();
        restore(context);
        open.headMap(closed).clear();
    }

    @Override
    public void process(Record<byte[], Visit> record) {
        Visit visit = record.value();
        if (visit.field() != null) {
            if (visit.windowStart() >= closed) {
                add(visit.windowStart(), visit.field());
            }
            return;
        }
        Long before = reached.get(visit.partition());
        if (before != null && before >= visit.windowStart()) {
            return;
        }
        reached.put(visit.partition(), visit.windowStart());
        progress.put(visit.partition(), visit.windowStart());
        closed = lowest();
        try {
            while (!open.isEmpty() && open.firstKey() < closed) {
                Map.Entry<Long, W> window = open.pollFirstEntry();
                fire(
                        window.getKey(),
                        window.getValue(),
                        row -> context.forward(new Record<>(null, row, record.timestamp())));
            }
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
    }

    private long lowest() {
        return reached.size() < partitions
                ? Long.MIN_VALUE
                : reached.values().stream().mapToLong(Long::longValue).min().getAsLong();
    }
}
