//! The first packets of a client: TLS or not, a cancel request or a session. Nothing is read ahead of a packet's end, so
//! that no byte sent in clear can ever count as sent under TLS (CVE-2021-23214).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use wire::postgres::frame::STARTUP_CAP;
use wire::postgres::message::StartupPacket;
use wire::postgres::startup::{StartupRefusal, StartupRequest};

use super::stream::ClientStream;

/// The ALPN name of the protocol; direct TLS must offer it (PW03).
const ALPN: &[u8] = b"postgresql";
/// The first byte of a TLS record that holds a handshake.
const TLS_HANDSHAKE: u8 = 0x16;

/// What a client wants.
#[derive(Debug)]
pub(super) enum Greeting {
    /// A session.
    Session(ClientStream, Box<Result<StartupRequest, StartupRefusal>>),
    /// To cancel what another connection runs.
    Cancel { process_id: u32, secret: Vec<u8> },
}

/// Why there is no greeting. The connection is closed without a word.
#[derive(Debug, thiserror::Error)]
pub(super) enum GreetingError {
    #[error("the connection failed")]
    Io(#[from] io::Error),
    #[error("the client did not finish its greeting in time")]
    TimedOut,
    #[error("the client sent something that is no startup packet")]
    Malformed,
    #[error("direct TLS without ALPN `postgresql`")]
    NoAlpn,
    #[error("the client asked twice for the same thing")]
    Repeated,
}

/// Reads a client's greeting, with TLS as configured.
pub(super) async fn greet(
    stream: TcpStream,
    tls: Option<&Arc<rustls::ServerConfig>>,
    patience: Duration,
) -> Result<Greeting, GreetingError> {
    tokio::time::timeout(patience, greet_at_leisure(stream, tls)).await.map_err(|_elapsed| GreetingError::TimedOut)?
}

async fn greet_at_leisure(
    mut stream: TcpStream,
    tls: Option<&Arc<rustls::ServerConfig>>,
) -> Result<Greeting, GreetingError> {
    let (mut asked_tls, mut asked_gss) = (false, false);
    let mut first = [0; 1];
    if let Some(config) = tls
        && stream.peek(&mut first).await? == 1
        && first == [TLS_HANDSHAKE]
    {
        let stream = TlsAcceptor::from(Arc::clone(config)).accept(stream).await?;
        if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
            return Err(GreetingError::NoAlpn);
        }
        return inside_tls(stream).await;
    }
    loop {
        let body = read_packet(&mut stream).await?;
        match StartupPacket::decode(&body).map_err(|_undecodable| GreetingError::Malformed)? {
            StartupPacket::SslRequest if asked_tls => return Err(GreetingError::Repeated),
            StartupPacket::SslRequest => {
                asked_tls = true;
                let Some(config) = tls else {
                    stream.write_all(b"N").await?;
                    continue;
                };
                stream.write_all(b"S").await?;
                return inside_tls(TlsAcceptor::from(Arc::clone(config)).accept(stream).await?).await;
            }
            StartupPacket::GssEncRequest if asked_gss => return Err(GreetingError::Repeated),
            StartupPacket::GssEncRequest => {
                asked_gss = true;
                stream.write_all(b"N").await?;
            }
            StartupPacket::Cancel(cancel) => {
                return Ok(Greeting::Cancel { process_id: cancel.process_id, secret: cancel.secret.to_vec() });
            }
            StartupPacket::Startup(message) => {
                let request = Box::new(StartupRequest::check(&message));
                return Ok(Greeting::Session(ClientStream::Plain(stream), request));
            }
        }
    }
}

async fn inside_tls(mut stream: tokio_rustls::server::TlsStream<TcpStream>) -> Result<Greeting, GreetingError> {
    let body = read_packet(&mut stream).await?;
    match StartupPacket::decode(&body).map_err(|_undecodable| GreetingError::Malformed)? {
        StartupPacket::Startup(message) => {
            let request = Box::new(StartupRequest::check(&message));
            Ok(Greeting::Session(ClientStream::Tls(Box::new(stream)), request))
        }
        StartupPacket::Cancel(cancel) => {
            Ok(Greeting::Cancel { process_id: cancel.process_id, secret: cancel.secret.to_vec() })
        }
        StartupPacket::SslRequest | StartupPacket::GssEncRequest => Err(GreetingError::Repeated),
    }
}

/// Reads exactly one packet, and not a byte more; yields its body.
async fn read_packet(stream: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, GreetingError> {
    let length = stream.read_u32().await?;
    if !(8..=STARTUP_CAP).contains(&length) {
        return Err(GreetingError::Malformed);
    }
    let mut body = vec![0; length as usize - 4];
    stream.read_exact(&mut body).await?;
    Ok(body)
}
