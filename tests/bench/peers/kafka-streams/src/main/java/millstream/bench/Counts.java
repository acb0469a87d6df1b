package millstream.bench;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.function.Consumer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/** The counts of a window. The store's cache lets one write of a count go to the changelog for each commit. */
final class Counts extends Windows<Map<String, Counts.Entry>> {
    /** A count, and where it is in the store. */
    static final class Entry {
        final Bytes key;
        long count;

        Entry(Bytes key, long count) {
            this.key = key;
            this.count = count;
        }
    }

    private KeyValueStore<Bytes, Long> store;

    Counts(int partitions) {
        super(partitions);
    }

    static StoreBuilder<?> store() {
        return Stores.keyValueStoreBuilder(
                        Stores.inMemoryKeyValueStore(OPEN), Serdes.Bytes(), Serdes.Long())
                .withCachingEnabled();
    }

    @Override
    protected void restore(ProcessorContext<byte[], byte[]> context) {
        store = context.getStateStore(OPEN);
        try (KeyValueIterator<Bytes, Long> all = store.all()) {
            while (all.hasNext()) {
                KeyValue<Bytes, Long> each = all.next();
                ByteBuffer key = ByteBuffer.wrap(each.key.get());
                long window = key.getLong();
                String url = StandardCharsets.UTF_8.decode(key).toString();
                counts(window).put(url, new Entry(each.key, each.value));
            }
        }
    }

    @Override
    protected void add(long window, String url) {
        Map<String, Entry> counts = counts(window);
        Entry entry = counts.get(url);
        if (entry == null) {
            entry = new Entry(key(window, url), 0);
            counts.put(url, entry);
        }
        entry.count++;
        store.put(entry.key, entry.count);
    }

    @Override
    protected void fire(long window, Map<String, Entry> counts, Consumer<byte[]> rows)
            throws IOException {
        for (Map.Entry<String, Entry> each : counts.entrySet()) {
            rows.accept(Clicks.count(window, each.getKey(), each.getValue().count));
            store.delete(each.getValue().key);
        }
    }

    private Map<String, Entry> counts(long window) {
        return open.computeIfAbsent(window, start -> new HashMap<>());
    }

    private static Bytes key(long window, String url) {
        byte[] text = url.getBytes(StandardCharsets.UTF_8);
        return Bytes.wrap(
                ByteBuffer.allocate(Long.BYTES + text.length).putLong(window).put(text).array());
    }
}
