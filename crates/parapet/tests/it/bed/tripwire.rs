//! An upstream on loopback that records every byte which it gets, on whichever connection, and answers whole requests.
//!
//! What a refused request must not do is reach it. As bytes may come late, a test sends a harmless request after the refused
//! one: whatever had been let through would stand before it.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::wait;

/// What it answers unless a test says otherwise.
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
/// What a test says to it itself: that is answered with a byte, and recorded nowhere.
const ARE_YOU_THERE: &[u8] = b"are you there?";

/// The tripwire; its threads end with the tests' process.
#[derive(Debug)]
pub(crate) struct Tripwire {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    got: Mutex<Vec<u8>>,
    answer: Mutex<Vec<u8>>,
    /// Of each connection, in the order of their coming.
    connections: Mutex<Vec<Connection>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connection {
    /// Nothing was read of it yet, or a part of a request.
    Busy,
    /// All that was read of it is answered.
    Idle,
    Ended,
}

impl Shared {
    fn is(&self, place: usize, connection: Connection) {
        self.connections.lock().unwrap()[place] = connection;
    }
}

impl Tripwire {
    /// Starts it.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared =
            Arc::new(Shared { got: Mutex::default(), answer: Mutex::new(OK.to_vec()), connections: Mutex::default() });
        let recording = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let place = {
                    let mut connections = recording.connections.lock().unwrap();
                    connections.push(Connection::Busy);
                    connections.len() - 1
                };
                let recording = Arc::clone(&recording);
                std::thread::spawn(move || {
                    serve(stream, &recording, place);
                    recording.is(place, Connection::Ended);
                });
            }
        });
        Self { port, shared }
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Every byte that came since it was asked last.
    pub(crate) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.shared.got.lock().unwrap())
    }

    /// Waits until it has read all that was sent to it so far: of what was broken off, too.
    pub(crate) fn settle(&self) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(ARE_YOU_THERE).unwrap();
        // Whoever connected before has been accepted before.
        stream.read_exact(&mut [0]).unwrap();
        wait::until("the tripwire's connections to rest", Duration::from_secs(20), || {
            let connections = self.shared.connections.lock().unwrap();
            connections.iter().all(|connection| *connection != Connection::Busy).then_some(())
        });
    }

    /// What it answers from now on, byte for byte.
    pub(crate) fn answer(&self, bytes: &[u8]) {
        *self.shared.answer.lock().unwrap() = bytes.to_vec();
    }
}

fn serve(mut stream: TcpStream, shared: &Shared, place: usize) {
    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    let mut buffer = Vec::new();
    let mut bytes = [0; 65_536];
    while let Ok(count @ 1..) = stream.read(&mut bytes) {
        if &bytes[..count] == ARE_YOU_THERE {
            let _gone = stream.write_all(b".");
            return;
        }
        shared.is(place, Connection::Busy);
        shared.got.lock().unwrap().extend_from_slice(&bytes[..count]);
        buffer.extend_from_slice(&bytes[..count]);
        while let Some(length) = whole(&buffer) {
            buffer.drain(..length);
            let answer = shared.answer.lock().unwrap().clone();
            // Before the answer: who has it may ask at once.
            if buffer.is_empty() {
                shared.is(place, Connection::Idle);
            }
            if stream.write_all(&answer).is_err() {
                return;
            }
        }
    }
}

/// The length of the first request if it has come whole. Only what a gateway should send is understood: one length, or chunks.
fn whole(bytes: &[u8]) -> Option<usize> {
    let head = find(bytes, b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    if let Some(length) = field("content-length:") {
        let length = head + length.parse::<usize>().unwrap();
        return (bytes.len() >= length).then_some(length);
    }
    if field("transfer-encoding:").is_some() {
        return find(&bytes[head - 2..], b"\r\n0\r\n\r\n")
            .map(|at| head - 2 + at + 7)
            .or_else(|| bytes[head..].starts_with(b"0\r\n\r\n").then_some(head + 5));
    }
    Some(head)
}

/// Where these bytes begin.
pub(crate) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
