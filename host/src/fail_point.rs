//! Points at which a process can be made to die, so that tests on a real log see what a crash there leaves.
//!
//! `MILLSTREAM_FAIL_AT=produced:17` kills the process, as `kill -9` would, when it comes to the point `produced` for the 17th
//! time. Without the variable a point costs the reading of one atomic.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// The variable that names a point and how often it is passed.
pub const VARIABLE: &str = "MILLSTREAM_FAIL_AT";

/// A point on the way of a commit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum FailPoint {
    /// Everything is staged in memory, nothing has been sent.
    Staged = 2,
    /// The log has acknowledged all records; without offsets, and not committed.
    Produced,
    /// The offsets are part of the transaction, which is not committed.
    OffsetsSent,
    /// The log has committed, the local store knows nothing of it.
    Committed,
    /// The local store has it too.
    Applied,
}

/// All of them by name, in the order of a commit.
pub const FAIL_POINTS: [(&str, FailPoint); 5] = [
    ("staged", FailPoint::Staged),
    ("produced", FailPoint::Produced),
    ("offsets-sent", FailPoint::OffsetsSent),
    ("committed", FailPoint::Committed),
    ("applied", FailPoint::Applied),
];

/// The environment has not been looked at.
const UNREAD: u8 = 0;
/// No point is armed.
const OFF: u8 = 1;

/// The point that is armed, or one of the two values above.
static ARMED: AtomicU8 = AtomicU8::new(UNREAD);
/// How often it is still passed.
static LEFT: AtomicU64 = AtomicU64::new(0);

/// Passes a point, or ends the process there.
pub fn reach(point: FailPoint) {
    let armed = match ARMED.load(Ordering::Relaxed) {
        OFF => return,
        UNREAD => arm(),
        armed => armed,
    };
    if armed == point as u8 && LEFT.fetch_sub(1, Ordering::Relaxed) == 1 {
        // Nothing is flushed and no destructor runs, as in a crash.
        let _ = signal_hook::low_level::raise(signal_hook::consts::SIGKILL);
        std::process::abort();
    }
}

/// Reads the environment. Of two threads that do so at once, one arms.
fn arm() -> u8 {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let armed = match std::env::var(VARIABLE).ok().map(|text| parse(&text)) {
            None => OFF,
            Some(Ok((point, times))) => {
                LEFT.store(times, Ordering::Relaxed);
                point as u8
            }
            Some(Err(why)) => {
                tracing::error!("{VARIABLE}: {why}");
                OFF
            }
        };
        ARMED.store(armed, Ordering::Relaxed);
    });
    ARMED.load(Ordering::Relaxed)
}

fn parse(text: &str) -> Result<(FailPoint, u64), String> {
    let (name, times) = text
        .split_once(':')
        .ok_or_else(|| format!("{text:?} is not of the form point:times"))?;
    let point = FAIL_POINTS.iter().find(|(known, _)| *known == name);
    let (_, point) = point.ok_or_else(|| {
        let known = FAIL_POINTS.map(|(name, _)| name).join(", ");
        format!("there is no point {name:?}: there are {known}")
    })?;
    match times.parse() {
        Ok(times) if times > 0 => Ok((*point, times)),
        _ => Err(format!("{times:?} is not a number from 1 up")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_point_is_known_by_its_name() {
        for (name, point) in FAIL_POINTS {
            assert_eq!(parse(&format!("{name}:17")), Ok((point, 17)));
        }
    }

    #[test]
    fn what_names_no_point_is_told() {
        for (text, why) in [
            ("produced", "point:times"),
            ("elsewhere:1", "staged, produced, offsets-sent"),
            ("staged:0", "from 1 up"),
            ("staged:-1", "from 1 up"),
        ] {
            let told = parse(text).expect_err(text);
            assert!(told.contains(why), "{told}");
        }
    }
}
