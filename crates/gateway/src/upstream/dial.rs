//! The only place that opens outgoing sockets. It connects to addresses from the configuration, or to those that `address.rs`
//! has checked for a workload, within a deadline.
//!
//! Whether anything may be sent over the connection is decided before, in `session.rs`; TLS over it is `tls.rs`.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::lanes::at_home;
use crate::upstream::address::Pinned;

/// Where something listens, as configured.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A host by name or address, without brackets, and a port.
    Tcp {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// What is wrong with an upstream's certificate, or with the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsFault {
    /// It does not chain to a trusted authority.
    #[error("its certificate does not chain to a trusted authority")]
    Untrusted,
    /// It is for another name.
    #[error("its certificate is for another name")]
    OtherName,
    /// It is past its end, or not yet valid.
    #[error("its certificate is not valid at this time")]
    Time,
    /// It is wrong in another way.
    #[error("its certificate is not acceptable")]
    Certificate,
    /// The upstream ended the handshake with an alert.
    #[error("it refused the handshake")]
    Refused,
    /// No common version, cipher suite or application protocol.
    #[error("it has no TLS version, cipher suite or protocol in common with the gateway")]
    NothingInCommon,
    /// The configured host is neither a DNS name nor an address, so that no certificate can be for it.
    #[error("no certificate can be for this address")]
    Unnamed,
    /// What it sent is not TLS.
    #[error("it does not speak proper TLS")]
    Garbled,
    /// The connection broke in the handshake.
    #[error("the connection broke in the TLS handshake")]
    Broken,
}

/// A connection that could not be opened. The upstream, or what leads to it, is at fault; the address is the configured one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// The name has no address.
    #[error("the name in `{address}` cannot be resolved")]
    Unresolved {
        /// As configured.
        address: Address,
    },
    /// Nothing takes the connection.
    #[error("cannot connect to `{address}`: {}", reason(*.kind))]
    Unreachable {
        /// As configured.
        address: Address,
        /// What the operating system says.
        kind: io::ErrorKind,
    },
    /// The deadline came first.
    #[error("`{address}` did not take the connection within {} ms", .within.as_millis())]
    TimedOut {
        /// As configured.
        address: Address,
        /// How long it had.
        within: Duration,
    },
    /// TLS could not be established.
    #[error("no TLS with `{address}`: {fault}")]
    Tls {
        /// As configured.
        address: Address,
        /// What is wrong.
        fault: TlsFault,
    },
}

fn reason(kind: io::ErrorKind) -> String {
    match kind {
        io::ErrorKind::Other => "the operating system gives no reason".to_owned(),
        kind => kind.to_string(),
    }
}

/// Opens connections. Handed to whoever must dial, so that it is plain to see who can.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Dialler {}

impl Dialler {
    /// A dialler.
    pub const fn new() -> Self {
        Self {}
    }

    /// Connects within a deadline that includes resolving the name. Every address of a name is tried in turn.
    pub async fn dial(&self, address: &Address, within: Duration) -> Result<Stream, DialError> {
        let timed_out = |_elapsed| DialError::TimedOut { address: address.clone(), within };
        tokio::time::timeout(within, at_home(connect(address))).await.map_err(timed_out)?
    }

    /// The addresses of a name, for [`Reach`](super::address::Reach) to check. Nothing is dialled.
    pub(super) async fn resolve(&self, name: &str, port: u16, within: Duration) -> Result<Vec<IpAddr>, DialError> {
        let address = || Address::Tcp { host: name.to_owned(), port };
        let timed_out = |_elapsed| DialError::TimedOut { address: address(), within };
        let found = tokio::time::timeout(within, at_home(tokio::net::lookup_host((name, port))));
        let found = found.await.map_err(timed_out)?.map_err(|_none| DialError::Unresolved { address: address() })?;
        let found: Vec<_> = found.map(|found| found.ip()).collect();
        if found.is_empty() { Err(DialError::Unresolved { address: address() }) } else { Ok(found) }
    }

    /// Connects to the addresses that were checked, and to no other: the name is not resolved again (HT12).
    pub async fn connect_pinned(&self, pinned: &Pinned, within: Duration) -> Result<Stream, DialError> {
        let address = || Address::Tcp { host: pinned.host().to_string(), port: pinned.port() };
        let timed_out = |_elapsed| DialError::TimedOut { address: address(), within };
        tokio::time::timeout(within, at_home(connect_checked(pinned, &address()))).await.map_err(timed_out)?
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that opens outgoing sockets")]
async fn connect(address: &Address) -> Result<Stream, DialError> {
    let unreachable = |error: io::Error| DialError::Unreachable { address: address.clone(), kind: error.kind() };
    let (host, port) = match address {
        Address::Unix(path) => return UnixStream::connect(path).await.map(Stream::Unix).map_err(unreachable),
        Address::Tcp { host, port } => (host.as_str(), *port),
    };
    let unresolved = || DialError::Unresolved { address: address.clone() };
    let found = tokio::net::lookup_host((host, port)).await.map_err(|_no_address| unresolved())?;
    let mut last = unresolved();
    for candidate in found {
        match TcpStream::connect(candidate).await {
            Ok(stream) => {
                // As in listen.rs: no delay of Nagle's on top of the hop.
                stream.set_nodelay(true).map_err(unreachable)?;
                return Ok(Stream::Tcp(stream));
            }
            Err(error) => last = unreachable(error),
        }
    }
    Err(last)
}

#[expect(clippy::disallowed_methods, reason = "the one place that opens outgoing sockets")]
async fn connect_checked(pinned: &Pinned, address: &Address) -> Result<Stream, DialError> {
    let unreachable = |kind| DialError::Unreachable { address: address.clone(), kind };
    let mut last = DialError::Unresolved { address: address.clone() };
    for candidate in pinned.addresses() {
        match TcpStream::connect(candidate).await {
            Ok(stream) => {
                // A public address can still be this very machine's.
                let own = stream.local_addr().is_ok_and(|local| local.ip() == candidate.ip());
                if pinned.is_public() && own {
                    return Err(unreachable(io::ErrorKind::AddrNotAvailable));
                }
                stream.set_nodelay(true).map_err(|error| unreachable(error.kind()))?;
                return Ok(Stream::Tcp(stream));
            }
            Err(error) => last = unreachable(error.kind()),
        }
    }
    Err(last)
}

/// A connection to an upstream.
#[derive(Debug)]
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

impl Stream {
    /// The address at the other end; none for a Unix socket.
    pub fn peer(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok().map(|peer| peer.ip()),
            Self::Unix(_) => None,
        }
    }

    /// Has the peer fail at its next write once this is closed; over a Unix socket it does anyway.
    pub fn reset_on_close(&self) {
        if let Self::Tcp(stream) = self
            && let Err(error) = stream.set_zero_linger()
        {
            tracing::debug!(%error, "a connection is not reset");
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [one] = slices {
            // `send(2)` costs a third of a microsecond less than `writev(2)`.
            return self.poll_write(context, one);
        }
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests;
