package millstream.bench;

import java.io.IOException;
import java.time.Duration;
import java.util.HashSet;
import java.util.Set;
import java.util.function.Consumer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.WindowStore;

/**
 * The users of a window, each written to the store once. A window store forgets windows by their age: a key-value store would want a
 * tombstone in the changelog for each user.
 */
final class DistinctUsers extends Windows<Set<String>> {
    private static final byte[] PRESENT = {1};

    private WindowStore<String, byte[]> store;

    DistinctUsers(int partitions) {
        super(partitions);
    }

    /** A partition may be ahead of another by as much as the clicks span; within one, two windows are open at most. */
    static StoreBuilder<?> store(int partitions) {
        Duration retention = partitions == 1 ? Duration.ofMinutes(3) : Duration.ofHours(2);
        // No cache: what is written once has no earlier write to take the place of.
        return Stores.windowStoreBuilder(
                        Stores.inMemoryWindowStore(
                                OPEN, retention, Duration.ofMillis(Clicks.WINDOW_MS), false),
                        Serdes.String(),
                        Serdes.ByteArray())
                .withCachingDisabled();
    }

    @Override
    protected void restore(ProcessorContext<byte[], byte[]> context) {
        store = context.getStateStore(OPEN);
        try (KeyValueIterator<Windowed<String>, byte[]> all = store.all()) {
            while (all.hasNext()) {
                KeyValue<Windowed<String>, byte[]> each = all.next();
                users(each.key.window().start()).add(each.key.key());
            }
        }
    }

    @Override
    protected void add(long window, String user) {
        if (users(window).add(user)) {
            store.put(user, PRESENT, window);
        }
    }

    @Override
    protected void fire(long window, Set<String> users, Consumer<byte[]> rows) throws IOException {
        rows.accept(Clicks.visitors(window, users.size()));
    }

    private Set<String> users(long window) {
        return open.computeIfAbsent(window, start -> new HashSet<>());
    }
}
