//! The first message of TLS, looked at without taking part: which server the client wants. Its bytes are kept, to be passed
//! on as they are, and what rustls made of them, to go on with the handshake.
//!
//! rustls reads it, so that there is no second parser of TLS. A client that hides the name (ECH) shows the name of the one who
//! is to open it, and it is that one to whom it is sent.

use std::fmt;

use rustls::server::{Accepted, Acceptor};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::upstream::address::Host;

/// The longest first message, with its records' headers: a post-quantum key share and a list of protocols fit well.
const LONGEST: usize = 32 * 1024;

/// What a client has begun with.
pub(super) struct Hello {
    /// The server that it wants; none if it names none.
    pub(super) server: Option<String>,
    /// Every byte that was read.
    pub(super) bytes: Vec<u8>,
    /// The beginning of a handshake that has taken every one of them.
    pub(super) accepted: Accepted,
}

impl fmt::Debug for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hello").field("server", &self.server).finish_non_exhaustive()
    }
}

/// Why there is no first message of TLS.
#[derive(Debug)]
pub(super) enum NoHello {
    /// The client is gone.
    Gone,
    /// It is something else.
    NotTls,
}

/// Reads the first message.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Hello, NoHello> {
    let (mut acceptor, mut bytes) = (Acceptor::default(), Vec::with_capacity(4096));
    loop {
        let before = bytes.len();
        bytes.reserve(4096);
        if stream.read_buf(&mut bytes).await.map_err(|_gone| NoHello::Gone)? == 0 {
            return Err(NoHello::Gone);
        }
        if bytes.len() > LONGEST {
            return Err(NoHello::NotTls);
        }
        let mut fresh = bytes.get(before..).unwrap_or_default();
        while !fresh.is_empty() {
            acceptor.read_tls(&mut fresh).map_err(|_full| NoHello::NotTls)?;
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                let server = accepted.client_hello().server_name().map(str::to_ascii_lowercase);
                return Ok(Hello { server, bytes, accepted });
            }
            Ok(None) => {}
            Err((_error, _alert)) => return Err(NoHello::NotTls),
        }
    }
}

/// Does the client want the server that it asked the proxy for (hazard HT05)? An address is never named.
pub(super) fn is_for(hello: &Hello, host: &Host) -> bool {
    match (host, &hello.server) {
        (Host::Name(name), Some(server)) => server == name,
        (Host::Literal(_), None) => true,
        (Host::Name(_), None) | (Host::Literal(_), Some(_)) => false,
    }
}

#[cfg(test)]
mod tests;
