//! What a session waits on: a bell that any thread may ring, beside sockets.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A bell. Rung while nobody waits, it ends the next wait at once.
pub(super) struct Bell {
    rope: UnixStream,
    ear: UnixStream,
    is_rung: AtomicBool,
}

/// A socket to wait for.
#[derive(Clone, Copy)]
pub(super) struct Watched<'a> {
    pub(super) socket: BorrowedFd<'a>,
    /// Whether there is something to write, so that it matters when that goes on.
    pub(super) writes: bool,
}

impl Bell {
    /// A bell that has not been rung.
    ///
    /// # Errors
    /// If the system has no more sockets.
    pub(super) fn new() -> io::Result<Arc<Self>> {
        let (rope, ear) = UnixStream::pair()?;
        rope.set_nonblocking(true)?;
        ear.set_nonblocking(true)?;
        Ok(Arc::new(Self {
            rope,
            ear,
            is_rung: AtomicBool::new(false),
        }))
    }

    /// Rings it.
    pub(super) fn ring(&self) {
        if !self.is_rung.swap(true, Ordering::SeqCst) {
            // A rope that takes no more bytes has been pulled often enough.
            let _ = (&self.rope).write(&[0]);
        }
    }

    /// Waits until it is rung, one of these sockets has something to say, or the time is over.
    pub(super) fn wait<'a>(
        &'a self,
        sockets: impl IntoIterator<Item = Watched<'a>>,
        at_most: Duration,
    ) {
        let mut watched = vec![PollFd::from_borrowed_fd(self.ear.as_fd(), PollFlags::IN)];
        watched.extend(sockets.into_iter().map(|one| {
            let flags = match one.writes {
                true => PollFlags::IN | PollFlags::OUT,
                false => PollFlags::IN,
            };
            PollFd::from_borrowed_fd(one.socket, flags)
        }));
        // What can't be expressed is longer than anybody waits; an interrupted wait is only a shorter one.
        let at_most = Timespec::try_from(at_most).ok();
        let _ = poll(&mut watched, at_most.as_ref());
        // Taken down before it is listened to, so that who rings now is heard by the next wait at the latest.
        self.is_rung.store(false, Ordering::SeqCst);
        let mut sounds = [0; 16];
        while (&self.ear).read(&mut sounds).is_ok_and(|heard| heard > 0) {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

    use std::time::Instant;

    use super::*;

    /// Longer than any of these tests takes.
    const LONG: Duration = Duration::from_secs(60);

    fn waits(bell: &Bell, sockets: &[Watched<'_>]) -> bool {
        let begun = Instant::now();
        bell.wait(sockets.iter().copied(), Duration::from_millis(20));
        begun.elapsed() >= Duration::from_millis(20)
    }

    #[test]
    fn a_ring_is_heard_once_by_who_waits_or_will() {
        let bell = Bell::new().unwrap();
        assert!(waits(&bell, &[]));
        bell.ring();
        bell.ring();
        bell.wait([], LONG);
        assert!(waits(&bell, &[]));
        let rings = Arc::clone(&bell);
        let thread = std::thread::spawn(move || rings.ring());
        bell.wait([], LONG);
        thread.join().unwrap();
    }

    #[test]
    fn a_socket_is_waited_for_until_there_is_something_to_read_or_room_to_write() {
        let bell = Bell::new().unwrap();
        let (here, mut there) = UnixStream::pair().unwrap();
        let watched = |writes| {
            let socket = here.as_fd();
            [Watched { socket, writes }]
        };
        assert!(waits(&bell, &watched(false)));
        bell.wait(watched(true), LONG);
        there.write_all(b"x").unwrap();
        bell.wait(watched(false), LONG);
    }
}
