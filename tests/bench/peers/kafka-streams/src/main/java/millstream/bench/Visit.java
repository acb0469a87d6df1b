package millstream.bench;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;

/**
 * What the first stage of a windowed job tells the second: that a click of a partition falls into a window, with the field that the job
 * is about; or, with no field, that all windows which end at {@code windowStart} or before are complete in that partition.
 */
record Visit(int partition, long windowStart, String field) {
    /** For the way through a topic: partition, window and field one after the other. */
    static final Serde<Visit> SERDE =
            Serdes.serdeFrom((topic, visit) -> visit.toBytes(), (topic, bytes) -> fromBytes(bytes));

    private static final int HEAD = Integer.BYTES + Long.BYTES;

    private byte[] toBytes() {
        byte[] text = field == null ? new byte[0] : field.getBytes(StandardCharsets.UTF_8);
        return ByteBuffer.allocate(HEAD + text.length)
                .putInt(partition)
                .putLong(windowStart)
                .put(text)
                .array();
    }

    private static Visit fromBytes(byte[] bytes) {
        ByteBuffer head = ByteBuffer.wrap(bytes);
        String field =
                bytes.length == HEAD
                        ? null
                        : new String(bytes, HEAD, bytes.length - HEAD, StandardCharsets.UTF_8);
        return new Visit(head.getInt(), head.getLong(), field);
    }
}
