package millstream.bench;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashSet;
import java.util.Set;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.api.common.functions.FlatMapFunction;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.functions.KeySelector;
import org.apache.flink.api.java.functions.NullByteKeySelector;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.MetricOptions;
import org.apache.flink.configuration.PipelineOptions;
import org.apache.flink.configuration.RestartStrategyOptions;
import org.apache.flink.configuration.StateBackendOptions;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.KafkaSourceOptions;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.core.execution.CheckpointingMode;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.DataStreamUtils;
import org.apache.flink.streaming.api.datastream.KeyedStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.windowing.ProcessAllWindowFunction;
import org.apache.flink.streaming.api.functions.windowing.ProcessWindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.types.LongValue;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * The jobs of the benchmark in Apache Flink, to compare with: the DataStream API, all in one JVM, with parallelism 1.
 *
 * <p>What is tuned, and why; jvm.options has the JVM's share:
 *
 * <ul>
 *   <li>Object reuse: no defensive copy between chained operators.
 *   <li>One chain: the windowed jobs but the textbook one take their stream as keyed already, which at parallelism 1 it is, so that a
 *       record meets no exchange, no serializer and no second thread on its way from Kafka to Kafka.
 *   <li>JSON is parsed in the source's deserializer, which keeps two fields of a record in an object that it uses again.
 *   <li>Windows aggregate as records come, in accumulators of types that Flink serializes itself: nothing goes through Kryo.
 *   <li>The hashmap state backend: the state fits in memory, and RocksDB would serialize at each access.
 *   <li>Checkpoints each second, in files of the state folder.
 *   <li>Watermarks each 20 ms rather than 200 ms: windows fire sooner, at no cost that can be measured.
 *   <li>Kafka's consumer: fetches up to 8 MiB of a partition, polls up to 10,000 records, and like librdkafka checks no CRC.
 *   <li>Kafka's producer: batches of 256 KiB that linger 5 ms.
 *   <li>No metrics of Kafka's clients bridged into Flink's, no latency markers, no look for new partitions.
 *   <li>No restart: a failure ends the process.
 * </ul>
 */
public final class FlinkPeer {
    private static final Duration WINDOW = Duration.ofMillis(Clicks.WINDOW_MS);

    private FlinkPeer() {}

    public static void main(String[] words) {
        try {
            run(Arguments.parse(words));
        } catch (Throwable failure) {
            failure.printStackTrace();
            System.exit(1);
        }
        System.err.println("the job has ended, though its source has no end");
        System.exit(1);
    }

    private static void run(Arguments arguments) throws Exception {
        StreamExecutionEnvironment flink =
                StreamExecutionEnvironment.createLocalEnvironment(1, configuration(arguments));
        DataStream<byte[]> rows =
                switch (arguments.job()) {
                    case "identity" -> values(flink, arguments);
                    case "filter-map" -> values(flink, arguments).flatMap(new FilterMap());
                    case "headline" -> headline(visits(flink, arguments, "user_id", true));
                    case "headline-textbook" -> textbook(visits(flink, arguments, "user_id", false));
                    case "keyed" -> keyed(visits(flink, arguments, "url", true));
                    default -> throw new IllegalArgumentException("no such job: " + arguments.job());
                };
        rows.sinkTo(sink(arguments));
        flink.execute(arguments.job());
    }

    private static Configuration configuration(Arguments arguments) {
        Configuration configuration = new Configuration();
        configuration.set(PipelineOptions.OBJECT_REUSE, true);
        configuration.set(PipelineOptions.GENERIC_TYPES, false);
        configuration.set(PipelineOptions.AUTO_WATERMARK_INTERVAL, Duration.ofMillis(20));
        configuration.set(MetricOptions.LATENCY_INTERVAL, Duration.ZERO);
        configuration.set(RestartStrategyOptions.RESTART_STRATEGY, "none");
        configuration.set(StateBackendOptions.STATE_BACKEND, "hashmap");
        configuration.set(CheckpointingOptions.CHECKPOINT_STORAGE, "filesystem");
        configuration.set(
                CheckpointingOptions.CHECKPOINTS_DIRECTORY,
                Path.of(arguments.state()).toAbsolutePath().toUri().toString());
        configuration.set(CheckpointingOptions.CHECKPOINTING_INTERVAL, Duration.ofSeconds(1));
        configuration.set(
                CheckpointingOptions.CHECKPOINTING_CONSISTENCY_MODE,
                arguments.exactlyOnce()
                        ? CheckpointingMode.EXACTLY_ONCE
                        : CheckpointingMode.AT_LEAST_ONCE);
        return configuration;
    }

    private static <T> KafkaSource<T> source(
            Arguments arguments, KafkaRecordDeserializationSchema<T> deserializer) {
        return KafkaSource.<T>builder()
                .setBootstrapServers(arguments.bootstrap())
                .setTopics(arguments.source())
                .setGroupId(Arguments.fresh())
                .setStartingOffsets(OffsetsInitializer.earliest())
                .setDeserializer(deserializer)
                .setProperty(ConsumerConfig.MAX_POLL_RECORDS_CONFIG, "10000")
                .setProperty(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG, "8388608")
                .setProperty(ConsumerConfig.CHECK_CRCS_CONFIG, "false")
                .setProperty(KafkaSourceOptions.PARTITION_DISCOVERY_INTERVAL_MS.key(), "0")
                .setProperty(KafkaSourceOptions.REGISTER_KAFKA_CONSUMER_METRICS.key(), "false")
                .build();
    }

    private static KafkaSink<byte[]> sink(Arguments arguments) {
        String topic = arguments.sink();
        return KafkaSink.<byte[]>builder()
                .setBootstrapServers(arguments.bootstrap())
                .setRecordSerializer((row, context, timestamp) -> new ProducerRecord<>(topic, row))
                .setDeliveryGuarantee(
                        arguments.exactlyOnce()
                                ? DeliveryGuarantee.EXACTLY_ONCE
                                : DeliveryGuarantee.AT_LEAST_ONCE)
                .setTransactionalIdPrefix(Arguments.fresh())
                // The broker allows 15 minutes at most; the sink's own default is an hour.
                .setProperty(ProducerConfig.TRANSACTION_TIMEOUT_CONFIG, "600000")
                .setProperty(ProducerConfig.BATCH_SIZE_CONFIG, "262144")
                .setProperty(ProducerConfig.LINGER_MS_CONFIG, "5")
                .setProperty("register.producer.metrics", "false")
                .build();
    }

    /** The values as they are. */
    private static DataStream<byte[]> values(StreamExecutionEnvironment flink, Arguments arguments) {
        return flink.fromSource(
                source(arguments, KafkaRecordDeserializationSchema.valueOnly(ByteArrayDeserializer.class)),
                WatermarkStrategy.noWatermarks(),
                "clicks",
                PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO);
    }

    private static DataStream<Visit> visits(
            StreamExecutionEnvironment flink, Arguments arguments, String field, boolean reuse) {
        // A watermark of Flink's is that timestamp before which nothing comes: hence a window fires at exactly its end here.
        WatermarkStrategy<Visit> watermarks =
                WatermarkStrategy.<Visit>forBoundedOutOfOrderness(Duration.ofMillis(Clicks.DISORDER_MS))
                        .withTimestampAssigner((visit, kafkaTimestamp) -> visit.eventTime);
        return flink.fromSource(source(arguments, new VisitSchema(field, reuse)), watermarks, "clicks");
    }

    private static <K> KeyedStream<Visit, K> alreadyKeyed(
            DataStream<Visit> visits, KeySelector<Visit, K> key, TypeInformation<K> type) {
        return DataStreamUtils.reinterpretAsKeyedStream(visits, key, type);
    }

    /**
     * One set of users per window, filled as records come. A first stage per partition or per hash of the user, which spreads this job
     * over cores, has nothing to give here: all partitions are read by the one thread that also owns the set.
     */
    private static DataStream<byte[]> headline(DataStream<Visit> visits) {
        return alreadyKeyed(visits, new NullByteKeySelector<>(), Types.BYTE)
                .window(TumblingEventTimeWindows.of(WINDOW))
                .aggregate(
                        new DistinctUsers(),
                        new VisitorsRow(),
                        Types.SET(Types.STRING),
                        Types.LONG,
                        PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO)
                .name("windows");
    }

    /** What the documentation shows first: all rows of the window in state, and a set made of them when it fires. */
    private static DataStream<byte[]> textbook(DataStream<Visit> visits) {
        return visits.windowAll(TumblingEventTimeWindows.of(WINDOW)).process(new CountUsers()).name("windows");
    }

    private static DataStream<byte[]> keyed(DataStream<Visit> visits) {
        return alreadyKeyed(visits, visit -> visit.field, Types.STRING)
                .window(TumblingEventTimeWindows.of(WINDOW))
                .aggregate(
                        new Count(),
                        new CountRow(),
                        Types.VALUE(LongValue.class),
                        Types.LONG,
                        PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO)
                .name("windows");
    }

    /** Of a click, its time and the field that the job is about. */
    public static final class Visit {
        public long eventTime;
        public String field;
    }

    private static final class VisitSchema implements KafkaRecordDeserializationSchema<Visit> {
        private final String field;
        private final boolean reuse;
        private transient Visit last;

        VisitSchema(String field, boolean reuse) {
            this.field = field;
            this.reuse = reuse;
        }

        @Override
        public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<Visit> out)
                throws IOException {
            if (last == null || !reuse) {
                last = new Visit();
            }
            Visit visit = last;
            Clicks.eventTimeAnd(
                    field,
                    record.value(),
                    (eventTime, value) -> {
                        visit.eventTime = eventTime;
                        visit.field = value;
                    });
            out.collect(visit);
        }

        @Override
        public TypeInformation<Visit> getProducedType() {
            return Types.POJO(Visit.class);
        }
    }

    private static final class FilterMap implements FlatMapFunction<byte[], byte[]> {
        @Override
        public void flatMap(byte[] json, Collector<byte[]> out) throws IOException {
            byte[] row = Clicks.filterMap(json);
            if (row != null) {
                out.collect(row);
            }
        }
    }

    private static final class DistinctUsers implements AggregateFunction<Visit, Set<String>, Long> {
        @Override
        public Set<String> createAccumulator() {
            return new HashSet<>();
        }

        @Override
        public Set<String> add(Visit visit, Set<String> users) {
            users.add(visit.field);
            return users;
        }

        @Override
        public Long getResult(Set<String> users) {
            return (long) users.size();
        }

        @Override
        public Set<String> merge(Set<String> users, Set<String> others) {
            users.addAll(others);
            return users;
        }
    }

    private static final class VisitorsRow
            extends ProcessWindowFunction<Long, byte[], Byte, TimeWindow> {
        @Override
        public void process(
                Byte key, Context context, Iterable<Long> visitors, Collector<byte[]> out)
                throws IOException {
            out.collect(Clicks.visitors(context.window().getStart(), visitors.iterator().next()));
        }
    }

    private static final class CountUsers
            extends ProcessAllWindowFunction<Visit, byte[], TimeWindow> {
        @Override
        public void process(Context context, Iterable<Visit> visits, Collector<byte[]> out)
                throws IOException {
            Set<String> users = new HashSet<>();
            for (Visit visit : visits) {
                users.add(visit.field);
            }
            out.collect(Clicks.visitors(context.window().getStart(), users.size()));
        }
    }

    private static final class Count implements AggregateFunction<Visit, LongValue, Long> {
        @Override
        public LongValue createAccumulator() {
            return new LongValue();
        }

        @Override
        public LongValue add(Visit visit, LongValue count) {
            count.setValue(count.getValue() + 1);
            return count;
        }

        @Override
        public Long getResult(LongValue count) {
            return count.getValue();
        }

        @Override
        public LongValue merge(LongValue count, LongValue other) {
            count.setValue(count.getValue() + other.getValue());
            return count;
        }
    }

    private static final class CountRow
            extends ProcessWindowFunction<Long, byte[], String, TimeWindow> {
        @Override
        public void process(
                String url, Context context, Iterable<Long> counts, Collector<byte[]> out)
                throws IOException {
            out.collect(Clicks.count(context.window().getStart(), url, counts.iterator().next()));
        }
    }
}
