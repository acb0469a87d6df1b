package millstream.bench;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.processor.api.ProcessorSupplier;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/**
 * The jobs of the benchmark in Kafka Streams, to compare with: its Processor API, one stream thread; and keyed-dsl, which is keyed in
 * its DSL ({@link KeyedDsl}).
 *
 * <p>What is tuned, and why; jvm.options has the JVM's share:
 *
 * <ul>
 *   <li>The Processor API where there are windows: suppress() and windowed count() of the DSL cost several store accesses and a second
 *       changelog.
 *   <li>Windows in plain maps with stores behind them that only log: see {@link Windows}.
 *   <li>Stores in memory: RocksDB would serialize at each access, and a changelog makes both durable.
 *   <li>With one partition both stages are one task, and no repartition topic lies between. With more there is one, of one partition, and
 *       the first stage passes on each user of a window once.
 *   <li>Event time is read by the first stage with the rest of the JSON; a timestamp extractor would have to parse it besides.
 *   <li>Commits each second under both guarantees (the defaults: 100 ms for exactly once, 30 s for at least once).
 *   <li>A cache of 64 MiB, so that it writes at commits alone.
 *   <li>Consumer: fetches up to 8 MiB of a partition, polls up to 10,000 records, holds as many as two polls bring, and like librdkafka
 *       checks no CRC.
 *   <li>Producer: batches of 256 KiB that linger 5 ms.
 *   <li>No push of client metrics to the broker.
 * </ul>
 */
public final class StreamsPeer {
    private StreamsPeer() {}

    public static void main(String[] words) {
        try {
            run(Arguments.parse(words));
        } catch (Throwable failure) {
            failure.printStackTrace();
            System.exit(1);
        }
    }

    private static void run(Arguments arguments) throws InterruptedException {
        if (arguments.job().equals("keyed-dsl") && arguments.partitions() > 1) {
            System.err.println("keyed-dsl is for clicks in one partition alone");
            System.exit(2);
        }
        CountDownLatch ended = new CountDownLatch(1);
        KafkaStreams streams = new KafkaStreams(topology(arguments), properties(arguments));
        streams.setUncaughtExceptionHandler(
                failure -> {
                    failure.printStackTrace();
                    return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
                });
        streams.setStateListener(
                (now, before) -> {
                    if (now == KafkaStreams.State.ERROR) {
                        ended.countDown();
                    }
                });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(5))));
        streams.start();
        ended.await();
        System.err.println("the streams have failed");
        System.exit(1);
    }

    private static Properties properties(Arguments arguments) {
        Properties properties = new Properties();
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, Arguments.fresh());
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments.bootstrap());
        properties.put(StreamsConfig.STATE_DIR_CONFIG, arguments.state());
        properties.put(
                StreamsConfig.PROCESSING_GUARANTEE_CONFIG,
                arguments.exactlyOnce()
                        ? StreamsConfig.EXACTLY_ONCE_V2
                        : StreamsConfig.AT_LEAST_ONCE);
        properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 1_000);
        properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        properties.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64L << 20);
        properties.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 20_000);
        properties.put(StreamsConfig.ENABLE_METRICS_PUSH_CONFIG, false);
        properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 10_000);
        properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), 8 << 20);
        properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.CHECK_CRCS_CONFIG), false);
        properties.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 256 << 10);
        properties.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 5);
        return properties;
    }

    private static Topology topology(Arguments arguments) {
        StreamsBuilder builder = new StreamsBuilder();
        if (arguments.job().equals("keyed-dsl")) {
            return to(arguments, KeyedDsl.rows(builder, arguments.source()), builder);
        }
        KStream<byte[], byte[]> clicks =
                builder.stream(
                        arguments.source(), Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()));
        int partitions = arguments.partitions();
        KStream<byte[], byte[]> rows =
                switch (arguments.job()) {
                    case "identity" -> clicks;
                    case "filter-map" -> clicks.flatMapValues(StreamsPeer::filterMap);
                    case "headline" -> windowed(
                            builder,
                            clicks.process(() -> new Visits("user_id", partitions > 1)),
                            () -> new DistinctUsers(partitions),
                            DistinctUsers.store(partitions),
                            partitions);
                    case "keyed" -> windowed(
                            builder,
                            clicks.process(() -> new Visits("url", false)),
                            () -> new Counts(partitions),
                            Counts.store(),
                            partitions);
                    default -> throw new IllegalArgumentException("no such job: " + arguments.job());
                };
        return to(arguments, rows, builder);
    }

    private static Topology to(
            Arguments arguments, KStream<byte[], byte[]> rows, StreamsBuilder builder) {
        rows.to(arguments.sink(), Produced.with(Serdes.ByteArray(), Serdes.ByteArray()));
        return builder.build();
    }

    private static KStream<byte[], byte[]> windowed(
            StreamsBuilder builder,
            KStream<byte[], Visit> visits,
            ProcessorSupplier<byte[], Visit, byte[], byte[]> windows,
            StoreBuilder<?> open,
            int partitions) {
        builder.addStateStore(open);
        builder.addStateStore(
                Stores.keyValueStoreBuilder(
                        Stores.inMemoryKeyValueStore(Windows.PROGRESS),
                        Serdes.Integer(),
                        Serdes.Long()));
        KStream<byte[], Visit> together =
                partitions == 1
                        ? visits
                        : visits.repartition(
                                Repartitioned.with(Serdes.ByteArray(), Visit.SERDE)
                                        .withName("visits")
                                        .withNumberOfPartitions(1));
        return together.process(windows, Windows.OPEN, Windows.PROGRESS);
    }

    private static List<byte[]> filterMap(byte[] json) {
        try {
            byte[] row = Clicks.filterMap(json);
            return row == null ? List.of() : List.of(row);
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
    }
}
