//! A PostgreSQL client of bytes, for what stock clients do not do: chosen splits, pipelines, broken lengths.
//!
//! It shares no code with the gateway's codec, so that one mistake cannot hide in both.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::shop;

/// A message from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) tag: u8,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// A field of an ErrorResponse or NoticeResponse, such as `C` for the SQLSTATE.
    pub(crate) fn field(&self, code: u8) -> String {
        let fields = self.body.split(|byte| *byte == 0);
        fields
            .filter_map(|field| field.split_first())
            .find(|(first, _)| **first == code)
            .map(|(_, text)| String::from_utf8_lossy(text).into_owned())
            .unwrap_or_default()
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Raw {
    stream: TcpStream,
    /// BackendKeyData: process and key.
    key: Vec<u8>,
}

impl Raw {
    /// Connects and sends nothing.
    pub(crate) fn connect(port: u16) -> Self {
        Self::over(TcpStream::connect(("127.0.0.1", port)).unwrap())
    }

    /// Connects from another address of this machine, such as `127.0.9.1`, and logs in.
    pub(crate) fn log_in_from(source: &str, port: u16, user: &str, password: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let stream = runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
            socket.connect(format!("127.0.0.1:{port}").parse().unwrap()).await.unwrap().into_std().unwrap()
        });
        stream.set_nonblocking(false).unwrap();
        let parameters = [("user", user), ("database", shop::NAME)];
        Self::over(stream).proceed(&parameters, password).unwrap()
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, key: Vec::new() }
    }

    /// Logs in with a password, to the first ReadyForQuery.
    pub(crate) fn log_in(port: u16, user: &str, password: &str) -> Self {
        match Self::try_log_in(port, user, password) {
            Ok(raw) => raw,
            Err(error) => panic!("the login failed: {} {}", error.field(b'C'), error.field(b'M')),
        }
    }

    /// Logs in, or the error that refused it.
    pub(crate) fn try_log_in(port: u16, user: &str, password: &str) -> Result<Self, Message> {
        Self::try_log_in_with(port, &[("user", user), ("database", shop::NAME)], password)
    }

    /// Logs in with these parameters of the startup packet, or the error that refused it.
    pub(crate) fn try_log_in_with(port: u16, parameters: &[(&str, &str)], password: &str) -> Result<Self, Message> {
        Self::connect(port).proceed(parameters, password)
    }

    fn proceed(self, parameters: &[(&str, &str)], password: &str) -> Result<Self, Message> {
        let mut raw = self;
        raw.send(&startup(parameters));
        let asked = raw.expect();
        if asked.tag == b'E' {
            return Err(asked);
        }
        assert_eq!(
            (asked.tag, asked.body.as_slice()),
            (b'R', &[0, 0, 0, 3][..]),
            "expected to be asked for a password"
        );
        raw.send(&message(b'p', &[password.as_bytes(), b"\0"]));
        for reply in raw.until_ready() {
            match reply.tag {
                b'E' => return Err(reply),
                b'K' => raw.key = reply.body,
                _ => {}
            }
        }
        Ok(raw)
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends bytes; false if the connection is closed.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// The next message; `None` at the end of the connection.
    pub(crate) fn receive(&mut self) -> Option<Message> {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes(head[1..].try_into().unwrap());
        let mut body = vec![0; usize::try_from(length).unwrap() - 4];
        self.stream.read_exact(&mut body).ok()?;
        Some(Message { tag: head[0], body })
    }

    fn expect(&mut self) -> Message {
        self.receive().unwrap_or_else(|| panic!("the connection ended"))
    }

    /// Everything up to and with the next ReadyForQuery, or up to the end of the connection.
    pub(crate) fn until_ready(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(message) = self.receive() {
            let last = message.tag == b'Z';
            messages.push(message);
            if last {
                break;
            }
        }
        messages
    }

    /// A simple query, and its replies.
    pub(crate) fn query(&mut self, sql: &str) -> Vec<Message> {
        self.send(&query(sql));
        self.until_ready()
    }

    /// Sends a cancel request for what this connection is doing, over another one.
    pub(crate) fn cancel(&self, port: u16) {
        let mut other = Self::connect(port);
        let code = 80_877_102_u32.to_be_bytes();
        let length = u32::try_from(8 + self.key.len()).unwrap().to_be_bytes();
        other.send(&[&length, &code, self.key.as_slice()].concat());
        // The server answers by closing.
        assert_eq!(other.receive(), None);
    }

    /// Waits for the connection to end, and gives what came before.
    pub(crate) fn until_closed(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(message) = self.receive() {
            messages.push(message);
        }
        messages
    }
}

/// A startup packet of protocol 3.0.
pub(crate) fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = 196_608_u32.to_be_bytes().to_vec();
    for (name, value) in parameters {
        body.extend_from_slice(&[name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
    }
    body.push(0);
    [&u32::try_from(body.len() + 4).unwrap().to_be_bytes()[..], &body].concat()
}

/// A message with its tag and length.
pub(crate) fn message(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&[tag][..], &u32::try_from(body.len() + 4).unwrap().to_be_bytes(), &body].concat()
}

/// Query.
pub(crate) fn query(sql: &str) -> Vec<u8> {
    message(b'Q', &[sql.as_bytes(), b"\0"])
}

/// Parse, Bind without parameters, Execute of everything: no Sync.
pub(crate) fn extended(sql: &str) -> Vec<u8> {
    [
        message(b'P', &[b"\0", sql.as_bytes(), b"\0\0\0"]),
        message(b'B', &[b"\0\0\0\0\0\0\0\0"]),
        message(b'E', &[b"\0\0\0\0\0"]),
    ]
    .concat()
}

/// Sync.
pub(crate) fn sync() -> Vec<u8> {
    message(b'S', &[])
}

/// The tags of messages, as text.
pub(crate) fn tags(messages: &[Message]) -> String {
    messages.iter().map(|message| char::from(message.tag)).collect()
}

/// The SQLSTATEs of the errors among messages.
pub(crate) fn errors(messages: &[Message]) -> Vec<String> {
    messages.iter().filter(|message| message.tag == b'E').map(|message| message.field(b'C')).collect()
}

/// The transaction status of the last ReadyForQuery: `I`, `T` or `E`.
pub(crate) fn status(messages: &[Message]) -> char {
    messages.iter().rev().find(|message| message.tag == b'Z').map_or('?', |message| char::from(message.body[0]))
}
