//! What workers log: whether guests have run short of memory, which nobody else is told; and all of it in a trace.

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

/// Listens from now on; in a trace everything is shown.
pub(crate) fn listen(is_traced: bool) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let only = Targets::new().with_target(WHERE, Level::DEBUG);
        tracing_subscriber::registry()
            .with(Counter.with_filter(only))
            .with(is_traced.then(|| {
                let layer = tracing_subscriber::fmt::layer().without_time();
                let ours = Targets::new().with_target("millstream", Level::INFO);
                layer.with_writer(std::io::stderr).with_filter(ours)
            }))
            .init();
    });
}

/// How often accumulators have been put away in this process.
pub(crate) fn times_put_away() -> u64 {
    TIMES.load(Ordering::Relaxed)
}
