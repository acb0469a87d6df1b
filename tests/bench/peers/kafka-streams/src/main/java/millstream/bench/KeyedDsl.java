package millstream.bench;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.Suppressed.BufferConfig;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.Stores;

/**
 * The job keyed as the documentation shows it: the DSL's windowed count, and suppress() until a window closes. Event time is the time of
 * the records here, and streams advance by what comes through them, so all clicks must be in one partition.
 */
final class KeyedDsl {
    private static final Duration WINDOW = Duration.ofMillis(Clicks.WINDOW_MS);
    private static final Duration GRACE = Duration.ofMillis(Clicks.DISORDER_MS);
    private static final byte[] NOTHING = {0};

    private KeyedDsl() {}

    private record Click(long eventTime, String url) {
        static final Serde<Click> SERDE =
                Serdes.serdeFrom(
                        (topic, click) -> {
                            throw new UnsupportedOperationException();
                        },
                        (topic, json) -> parse(json));

        private static Click parse(byte[] json) {
            Click[] click = new Click[1];
            try {
                Clicks.eventTimeAnd("url", json, (eventTime, url) -> click[0] = new Click(eventTime, url));
            } catch (IOException failure) {
                throw new UncheckedIOException(failure);
            }
            return click[0];
        }
    }

    static KStream<byte[], byte[]> rows(StreamsBuilder builder, String source) {
        return builder.stream(
                        source,
                        Consumed.with(Serdes.ByteArray(), Click.SERDE)
                                .withTimestampExtractor(
                                        (record, before) -> ((Click) record.value()).eventTime()))
                .map((none, click) -> KeyValue.pair(click.url(), NOTHING))
                .groupByKey(Grouped.with(Serdes.String(), Serdes.ByteArray()))
                .windowedBy(TimeWindows.ofSizeAndGrace(WINDOW, GRACE))
                .count(
                        Materialized.<String, Long>as(
                                        Stores.inMemoryWindowStore(
                                                "counts", WINDOW.multipliedBy(2), WINDOW, false))
                                .withKeySerde(Serdes.String())
                                .withValueSerde(Serdes.Long())
                                .withCachingEnabled())
                .suppress(Suppressed.untilWindowCloses(BufferConfig.unbounded()).withName("closed"))
                .toStream()
                .process(Rows::new);
    }

    /** Writes rows, of the time when they are written: the sink's topic shall not take them for old. */
    private static final class Rows
            extends ContextualProcessor<Windowed<String>, Long, byte[], byte[]> {
        @Override
        public void process(Record<Windowed<String>, Long> count) {
            long window = count.key().window().start();
            try {
                byte[] row = Clicks.count(window, count.key().key(), count.value());
                context().forward(new Record<>(null, row, context().currentSystemTimeMs()));
            } catch (IOException failure) {
                throw new UncheckedIOException(failure);
            }
        }
    }
}
