"""What Schemathesis does not know by itself: bodies that are text or bytes go as they are."""

import schemathesis


@schemathesis.serializer("application/toml", "application/wasm")
def raw(_context, value):
    return value if isinstance(value, bytes) else str(value).encode()
