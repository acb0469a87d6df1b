package millstream.bench;

import java.util.HashMap;
import java.util.Map;
import java.util.UUID;

/** The command line of a peer: {@code --name value} for each component, in any order. */
record Arguments(
        String bootstrap,
        String source,
        String sink,
        String job,
        boolean exactlyOnce,
        int partitions,
        String state) {

    static Arguments parse(String[] words) {
        if (words.length % 2 != 0) {
            throw new IllegalArgumentException("flags come as --name value");
        }
        Map<String, String> flags = new HashMap<>();
        for (int i = 0; i < words.length; i += 2) {
            flags.put(words[i], words[i + 1]);
        }
        Arguments arguments =
                new Arguments(
                        take(flags, "--bootstrap"),
                        take(flags, "--source"),
                        take(flags, "--sink"),
                        take(flags, "--job"),
                        exactlyOnce(take(flags, "--guarantee")),
                        Integer.parseInt(take(flags, "--partitions")),
                        take(flags, "--state"));
        if (!flags.isEmpty()) {
            throw new IllegalArgumentException("no such flag: " + flags.keySet());
        }
        return arguments;
    }

    /** A name that no earlier run has had, for consumer groups and transactions. */
    static String fresh() {
        return "millstream-bench-" + UUID.randomUUID();
    }

    private static String take(Map<String, String> flags, String name) {
        String value = flags.remove(name);
        if (value == null) {
            throw new IllegalArgumentException(name + " is missing");
        }
        return value;
    }

    private static boolean exactlyOnce(String guarantee) {
        return switch (guarantee) {
            case "exactly-once" -> true;
            case "at-least-once" -> false;
            default -> throw new IllegalArgumentException("no such guarantee: " + guarantee);
        };
    }
}
