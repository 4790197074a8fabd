//! The accept loop that all listeners share: no single error ends it, it never holds more than its limit of connections,
//! and it stops when the process does. What is done with a connection is its caller's matter.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::lanes::{self, Lanes};
use crate::tasks::Tasks;

/// The first pause after an error that time may heal, such as too many open files. It doubles with each further error.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How often a full listener says so, at most.
const QUIET: Duration = Duration::from_secs(1);

/// What connections come from: a listener, or a script in tests.
trait Arrivals: Send + 'static {
    type Connection: Send + 'static;

    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Connection, SocketAddr)>> + Send;
}

impl Arrivals for TcpListener {
    // Bound to no runtime yet: the connection is served by another than the listener's.
    type Connection = std::net::TcpStream;

    async fn accept(&mut self) -> io::Result<(std::net::TcpStream, SocketAddr)> {
        let (stream, peer) = TcpListener::accept(self).await?;
        // A gateway adds a hop; it must not add Nagle's delay too. A failure costs time only, and shows up again when the
        // connection is used.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        Ok((stream.into_std()?, peer))
    }
}

/// Where tasks of the connections go.
#[derive(Clone, Debug)]
pub struct Host {
    /// Owns them.
    pub tasks: Tasks,
    /// Runs them.
    pub lanes: Arc<Lanes>,
}

#[cfg(test)]
impl Host {
    /// One lane.
    pub(crate) fn small(tasks: &Tasks) -> Self {
        let lanes = Lanes::start(std::num::NonZeroUsize::MIN, 1 << 20, &tokio::runtime::Handle::current()).unwrap();
        Self { tasks: tasks.clone(), lanes: Arc::new(lanes) }
    }
}

/// Accepts connections until the process stops, and runs `handler` for each as a task called `name`. Beyond `limit` open
/// connections, further ones are closed at once and counted in the log.
pub async fn accept_loop<Handler, Handling>(
    listener: TcpListener,
    limit: usize,
    host: Host,
    name: &'static str,
    handler: Handler,
) where
    Handler: Fn(TcpStream, SocketAddr) -> Handling + Send + Sync + 'static,
    Handling: Future<Output = ()> + Send + 'static,
{
    let handler = Arc::new(handler);
    let on_its_lane = move |connection, peer| {
        let handler = Arc::clone(&handler);
        async move {
            match lanes::at_home(async { TcpStream::from_std(connection) }).await {
                Ok(stream) => handler(stream, peer).await,
                Err(error) => tracing::warn!(listener = name, %error, "a connection cannot be served"),
            }
        }
    };
    accept_from(listener, limit, host, name, on_its_lane).await;
}

async fn accept_from<Source, Handler, Handling>(
    mut source: Source,
    limit: usize,
    host: Host,
    name: &'static str,
    handler: Handler,
) where
    Source: Arrivals,
    Handler: Fn(Source::Connection, SocketAddr) -> Handling + Send + Sync + 'static,
    Handling: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS)));
    let mut stopping = host.tasks.stopping();
    let mut overflow = Overflow::new(name);
    let mut pause = FIRST_PAUSE;
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopping.begun() => return,
            () = overflow.quiet_ended() => continue,
            accepted = source.accept() => accepted,
        };
        match accepted {
            Ok((connection, peer)) => {
                pause = FIRST_PAUSE;
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                    // Dropped here, which closes it: a client that waits for nothing would cost what the limit saves.
                    overflow.count();
                    continue;
                };
                // In a box: every future around it would hold a place for it, and one that takes it as an argument two.
                let handling = Box::pin(handler(connection, peer));
                let (lane, seat) = host.lanes.least_busy();
                host.tasks.spawn_on(lane, name, async move {
                    let (_place, _seat) = (place, seat);
                    handling.await;
                });
            }
            Err(error) if is_of_one_connection(&error) => {
                tracing::debug!(listener = name, %error, "a client left early")
            }
            Err(error) => {
                tracing::warn!(listener = name, %error, pause_ms = pause.as_millis(), "cannot accept; trying again");
                tokio::select! {
                    () = stopping.begun() => return,
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                }
            }
        }
    }
}

/// Errors that are about the connection that was to be accepted, not about the listener (`accept(2)`): the next may succeed
/// at once.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
            | io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
    )
}

/// Says that a listener is full: at once, then at most once a second with the count since.
struct Overflow {
    listener: &'static str,
    closed: u64,
    quiet: Option<std::pin::Pin<Box<tokio::time::Sleep>>>,
}

impl Overflow {
    const fn new(listener: &'static str) -> Self {
        Self { listener, closed: 0, quiet: None }
    }

    fn count(&mut self) {
        self.closed += 1;
        if self.quiet.is_none() {
            self.say();
        }
    }

    fn say(&mut self) {
        tracing::warn!(
            listener = self.listener,
            closed = self.closed,
            "the connection limit is reached; closed at once"
        );
        self.closed = 0;
        self.quiet = Some(Box::pin(tokio::time::sleep(QUIET)));
    }

    /// Resolves when the second after the last line has passed, and has then said what came since. Never, if nothing was said.
    async fn quiet_ended(&mut self) {
        match &mut self.quiet {
            None => std::future::pending().await,
            Some(quiet) => quiet.as_mut().await,
        }
        self.quiet = None;
        if self.closed > 0 {
            self.say();
        }
    }
}

impl fmt::Debug for Overflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overflow")
            .field("listener", &self.listener)
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
