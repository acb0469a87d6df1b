//! The network between hosts and broker: a TCP proxy that cuts connections, slows them down, and does as it is told to
//! one commit: loses or holds back the broker's answer, or delivers the request after its sender has gone.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::frames::Frame;

/// What is done to the next request to commit that comes by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Trap {
    /// It is passed on; the answer is not, and the connection ends.
    LoseAnswer,
    /// It is passed on; the answer comes so much later.
    HoldAnswer(Duration),
    /// The connection to the host ends at once; the broker gets the request so much later.
    DeliverLate(Duration),
}

/// How connections are now.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Weather {
    #[default]
    Clear,
    /// None is made.
    Cut,
    /// Whatever is sent takes so much longer, both ways.
    Slow(Duration),
}

#[derive(Default)]
struct State {
    /// The broker's port, once it is known.
    target: u16,
    weather: Weather,
    trap: Option<Trap>,
    /// How often a trap has done its work.
    sprung: u64,
    /// How many pieces were slowed down.
    slowed: u64,
    /// The connections that are open, and some that have ended.
    links: Vec<Arc<Link>>,
}

/// The proxy. It ends with the process.
#[derive(Clone)]
pub(crate) struct Proxy {
    state: Arc<Mutex<State>>,
    port: u16,
}

/// A host's connection and its continuation to the broker.
struct Link {
    host: TcpStream,
    broker: TcpStream,
    /// What is to be done to the broker's next answer.
    answer: Mutex<Option<Trap>>,
    /// Whether the host's side has ended and the broker's is kept open for a late request.
    is_late: AtomicBool,
}

impl Link {
    fn end(&self) {
        // Either side may have ended it already.
        let _ = self.host.shutdown(Shutdown::Both);
        let _ = self.broker.shutdown(Shutdown::Both);
    }
}

impl Proxy {
    /// Listens on a free port.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let proxy = Self { state, port };
        let accepting = proxy.clone();
        std::thread::spawn(move || {
            for host in listener.incoming().flatten() {
                // One that can't be continued ends, as it would without a proxy.
                let _ = accepting.connect(host);
            }
        });
        proxy
    }

    /// The port that hosts come to.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Says where connections lead.
    pub(crate) fn lead_to(&self, port: u16) {
        self.state().target = port;
    }

    /// Ends all connections and refuses new ones until [`Proxy::clear`]. Returns how many it ended.
    pub(crate) fn cut(&self) -> usize {
        let mut state = self.state();
        state.weather = Weather::Cut;
        let links = std::mem::take(&mut state.links);
        drop(state);
        let open = links.iter().filter(|link| Arc::strong_count(link) > 1);
        open.map(|link| link.end()).count()
    }

    /// Slows everything down until [`Proxy::clear`].
    pub(crate) fn slow(&self, by: Duration) {
        self.state().weather = Weather::Slow(by);
    }

    /// Back to normal. Returns how many pieces have been slowed down since the last time.
    pub(crate) fn clear(&self) -> u64 {
        let mut state = self.state();
        state.weather = Weather::Clear;
        std::mem::take(&mut state.slowed)
    }

    /// Sets a trap for the next commit, in place of one that has not done its work.
    pub(crate) fn set(&self, trap: Option<Trap>) {
        self.state().trap = trap;
    }

    /// How many traps have done their work so far.
    pub(crate) fn sprung(&self) -> u64 {
        self.state().sprung
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn connect(&self, host: TcpStream) -> io::Result<()> {
        let target = self.state().target;
        let broker = TcpStream::connect(("127.0.0.1", target))?;
        host.set_nodelay(true)?;
        broker.set_nodelay(true)?;
        let link = Arc::new(Link {
            host,
            broker,
            answer: Mutex::new(None),
            is_late: AtomicBool::new(false),
        });
        let mut state = self.state();
        if state.weather == Weather::Cut {
            link.end();
            return Ok(());
        }
        state.links.retain(|link| Arc::strong_count(link) > 1);
        state.links.push(Arc::clone(&link));
        drop(state);
        for pump in [Proxy::requests, Proxy::answers] {
            let (proxy, link) = (self.clone(), Arc::clone(&link));
            std::thread::spawn(move || {
                // An error of one side is the end for both.
                let _ = pump(&proxy, &link);
                link.end();
            });
        }
        Ok(())
    }

    /// Passes requests on, whole.
    fn requests(&self, link: &Link) -> io::Result<()> {
        while let Some(request) = Frame::read(&mut &link.host)? {
            self.weather();
            let trap = request.is_commit().then(|| self.state().trap.take());
            match trap.flatten() {
                Some(Trap::DeliverLate(by)) => {
                    link.is_late.store(true, Ordering::SeqCst);
                    link.host.shutdown(Shutdown::Both)?;
                    rest(by);
                    (&link.broker).write_all(request.bytes())?;
                    self.state().sprung += 1;
                    // Time for the broker to read it before the connection ends.
                    rest(Duration::from_millis(200));
                    return Ok(());
                }
                answer @ Some(_) => *link.answer.lock().unwrap() = answer,
                None => {}
            }
            (&link.broker).write_all(request.bytes())?;
        }
        Ok(())
    }

    /// Passes answers on, as they come.
    fn answers(&self, link: &Link) -> io::Result<()> {
        let mut piece = vec![0; 64 << 10];
        loop {
            let length = (&link.broker).read(&mut piece)?;
            if length == 0 {
                return Ok(());
            }
            self.weather();
            let trap = link.answer.lock().unwrap().take();
            if trap.is_some() {
                self.state().sprung += 1;
            }
            match trap {
                Some(Trap::LoseAnswer) => return Ok(()),
                Some(Trap::HoldAnswer(by)) => rest(by),
                _ => {}
            }
            let passed = (&link.host).write_all(&piece[..length]);
            if !link.is_late.load(Ordering::SeqCst) {
                passed?;
            }
        }
    }

    /// Waits as long as the weather says.
    fn weather(&self) {
        let mut state = self.state();
        if let Weather::Slow(by) = state.weather {
            state.slowed += 1;
            drop(state);
            rest(by);
        }
    }
}

/// Rests for this long.
pub(crate) fn rest(time: Duration) {
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
}
