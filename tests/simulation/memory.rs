//! Whether guests have run short of memory: the worker tells nobody but its log.

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Where the worker says so; it has nothing else to say there.
const WHERE: &str = "millstream::worker::contents";

static TIMES: AtomicU64 = AtomicU64::new(0);

struct Counter;

impl<S: Subscriber> Layer<S> for Counter {
    fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
        TIMES.fetch_add(1, Ordering::Relaxed);
    }
}

/// Listens from now on.
pub(crate) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let only = Targets::new().with_target(WHERE, Level::DEBUG);
        tracing_subscriber::registry()
            .with(Counter.with_filter(only))
            .init();
    });
}

/// How often accumulators have been put away in this process.
pub(crate) fn times_put_away() -> u64 {
    TIMES.load(Ordering::Relaxed)
}
