package millstream.bench;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.util.ByteArrayBuilder;
import java.io.IOException;

/**
 * The clicks of the source and the rows of the sinks, with Jackson's streaming parser and generator: no tree and no data binding.
 * A parser stops as soon as it has the fields that its job needs; what follows them is not looked at.
 */
final class Clicks {
    static final long WINDOW_MS = 60_000;
    static final long DISORDER_MS = 1_000;

    private static final int STATUS_OK = 200;
    private static final JsonFactory JSON = new JsonFactory();

    private Clicks() {}

    /** Takes the event time and one other field of a click. */
    interface Use {
        void accept(long eventTime, String field);
    }

    static void eventTimeAnd(String field, byte[] json, Use use) throws IOException {
        try (JsonParser parser = JSON.createParser(json)) {
            parser.nextToken();
            long eventTime = Long.MIN_VALUE;
            String value = null;
            for (String name; (name = parser.nextFieldName()) != null; ) {
                if (name.equals("event_time")) {
                    eventTime = parser.nextLongValue(Long.MIN_VALUE);
                } else if (name.equals(field)) {
                    value = parser.nextTextValue();
                } else {
                    parser.nextToken();
                    parser.skipChildren();
                    continue;
                }
                if (value != null && eventTime != Long.MIN_VALUE) {
                    use.accept(eventTime, value);
                    return;
                }
            }
        }
        throw new IOException("a click lacks its event_time or its " + field);
    }

    /** The row that filter-map makes of a click, or null for a click that it drops. */
    static byte[] filterMap(byte[] json) throws IOException {
        long eventTime = 0;
        int status = 0;
        String userId = null;
        String url = null;
        try (JsonParser parser = JSON.createParser(json)) {
            parser.nextToken();
            for (int missing = 4; missing > 0; ) {
                String name = parser.nextFieldName();
                if (name == null) {
                    throw new IOException("a click lacks a field");
                }
                missing--;
                switch (name) {
                    case "event_time" -> eventTime = parser.nextLongValue(0);
                    case "user_id" -> userId = parser.nextTextValue();
                    case "url" -> url = parser.nextTextValue();
                    case "status" -> {
                        status = parser.nextIntValue(0);
                        if (status != STATUS_OK) {
                            return null;
                        }
                    }
                    default -> {
                        missing++;
                        parser.nextToken();
                        parser.skipChildren();
                    }
                }
            }
        }
        ByteArrayBuilder row = new ByteArrayBuilder(128);
        try (JsonGenerator generator = JSON.createGenerator(row)) {
            generator.writeStartObject();
            generator.writeNumberField("event_time", eventTime);
            generator.writeStringField("user_id", userId);
            generator.writeStringField("url", url);
            generator.writeEndObject();
        }
        return row.toByteArray();
    }

    static byte[] visitors(long windowStart, long uniqueVisitors) throws IOException {
        ByteArrayBuilder row = new ByteArrayBuilder(128);
        try (JsonGenerator generator = JSON.createGenerator(row)) {
            generator.writeStartObject();
            generator.writeNumberField("window_start_ms", windowStart);
            generator.writeNumberField("unique_visitors", uniqueVisitors);
            generator.writeEndObject();
        }
        return row.toByteArray();
    }

    static byte[] count(long windowStart, String url, long count) throws IOException {
        ByteArrayBuilder row = new ByteArrayBuilder(128);
        try (JsonGenerator generator = JSON.createGenerator(row)) {
            generator.writeStartObject();
            generator.writeNumberField("window_start_ms", windowStart);
            generator.writeStringField("url", url);
            generator.writeNumberField("count", count);
            generator.writeEndObject();
        }
        return row.toByteArray();
    }
}
