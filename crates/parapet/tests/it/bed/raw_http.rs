//! A client of HTTP/1.1 that sends bytes as they are, and reads until the other side has closed.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::tripwire::find;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came back before the connection was closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The first answer's status; 0 if none came.
    pub(crate) status: u16,
    /// The first answer's head, as it came.
    pub(crate) head: String,
    /// What came after it.
    pub(crate) rest: Vec<u8>,
    /// Was the connection closed by the other side?
    pub(crate) closed: bool,
}

impl Answer {
    fn read(bytes: &[u8], closed: bool) -> Self {
        let end = find(bytes, b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(0);
        Self { status, head, rest: bytes[end..].to_vec(), closed }
    }

    /// A field of the head.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// The rest as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.rest).into_owned()
    }

    /// How many answers came: heads that begin so.
    pub(crate) fn answers(&self) -> usize {
        1 + self.rest.windows(9).filter(|window| window == b"HTTP/1.1 ").count()
    }
}

/// Sends the bytes and reads until the other side closes, or nothing comes any more.
pub(crate) fn send(port: u16, bytes: &[u8]) -> Answer {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // What is refused half way may be answered, and closed, before all is written.
    let _refused_early = (&stream).write_all(bytes);
    let (bytes, closed) = read_all(&stream);
    Answer::read(&bytes, closed)
}

/// The same, with the sending side closed once all is sent.
pub(crate) fn send_half_closed(port: u16, bytes: &[u8]) -> Answer {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    (&stream).write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let (bytes, closed) = read_all(&stream);
    Answer::read(&bytes, closed)
}

/// Everything until the end, and whether there was one.
pub(crate) fn read_all(mut stream: impl Read) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    let mut bytes = [0; 65_536];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return (all, true),
            Ok(count) => all.extend_from_slice(&bytes[..count]),
            // A reset is an end too; a time-out is none.
            Err(error) => return (all, error.kind() == std::io::ErrorKind::ConnectionReset),
        }
    }
}

/// A connection that is kept, for requests one after the other.
#[derive(Debug)]
pub(crate) struct Kept {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Kept {
    /// Connects.
    pub(crate) fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    /// Sends bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Reads until these bytes came, and gives everything up to and with them.
    pub(crate) fn until(&mut self, what: &[u8]) -> Vec<u8> {
        let mut bytes = [0; 65_536];
        loop {
            if let Some(at) = find(&self.buffer, what) {
                return self.buffer.drain(..at + what.len()).collect();
            }
            let count = self.stream.read(&mut bytes).unwrap_or(0);
            assert!(count > 0, "the end came first: {}", String::from_utf8_lossy(&self.buffer));
            self.buffer.extend_from_slice(&bytes[..count]);
        }
    }

    /// Reads one answer with a length.
    pub(crate) fn answer(&mut self) -> Answer {
        let head = self.until(b"\r\n\r\n");
        let mut answer = Answer::read(&head, false);
        let length = answer.field("content-length").map_or(0, |length| length.parse::<usize>().unwrap());
        let mut bytes = [0; 65_536];
        while self.buffer.len() < length {
            let count = self.stream.read(&mut bytes).unwrap();
            assert!(count > 0, "the body ended early: {}", answer.head);
            self.buffer.extend_from_slice(&bytes[..count]);
        }
        answer.rest = self.buffer.drain(..length).collect();
        answer
    }

    /// Everything until the other side closes, and whether it did.
    pub(crate) fn rest(mut self) -> (Vec<u8>, bool) {
        let (more, closed) = read_all(&self.stream);
        self.buffer.extend(more);
        (self.buffer, closed)
    }
}
