//! Opens a connection to the upstream with the gateway's own credential: TLS with verification, SCRAM-SHA-256 with
//! channel binding where there is TLS, and pinned settings. Never a password in clear or MD5.

use std::collections::BTreeMap;
use std::time::Duration;

use kernel::verdict::Receipt;
use kernel::workload::Name;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wire::postgres::message::{
    Authentication, AuthenticationResponse, BackendMessage, CancelRequest, DecodeError, EncodeError, ProtocolVersion,
    SaslInitialResponse, StartupMessage, StartupPacket,
};

use super::channel::{Channel, ChannelError, Message};
use crate::tls::UpstreamTls;
use crate::upstream::dial::{Address, DialError, Dialler};
use crate::upstream::secret::{SecretError, SecretSource};

/// The longest message that an upstream may send during login.
const LOGIN_CAP: u32 = 64 * 1024;
/// So long it is waited for an upstream to close behind a cancel request.
const CLOSES_WITHIN: Duration = Duration::from_secs(1);
/// The longest SCRAM message that is read (PW09).
const LONGEST_SCRAM: usize = 4096;

/// A PostgreSQL upstream and how to reach it.
#[derive(Debug)]
pub struct PostgresUpstream {
    /// Its name.
    pub name: Name,
    /// Where it listens.
    pub address: Address,
    /// The database that sessions use.
    pub database: String,
    /// The gateway's login there.
    pub user: String,
    /// Its password; none where the server asks for none.
    pub password: Option<SecretSource>,
    /// TLS to it; none only on loopback or a Unix socket.
    pub tls: Option<UpstreamTls>,
    /// Refuse to log in without channel binding.
    pub require_channel_binding: bool,
    /// How long opening a connection may take.
    pub connect_timeout: Duration,
    /// How long a held statement waits where the client shows notices.
    pub hold: Duration,
    /// The longest message of a client, in bytes.
    pub max_message: u32,
    /// How many sessions may be open at once.
    pub max_sessions: usize,
    /// Providers of security labels whose labels name classes.
    pub label_providers: Vec<String>,
    /// What is done about values in results that look sensitive, in columns without a class.
    pub detect: Detect,
}

/// What is done about values that look sensitive, in columns that carry no class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detect {
    /// Nothing is looked at.
    Off,
    /// Some rows are looked at; what is found is entered and suggested.
    #[default]
    Signal,
    /// Every row is looked at, and what is found is replaced.
    Mask,
}

/// Who opens the connection, and by which right.
#[derive(Debug)]
pub(super) enum Right {
    /// A workload, whose connecting stands in the audit log.
    Session(Receipt),
    /// The gateway itself, which sends nothing but its own constant catalogue queries.
    Catalogue,
}

/// Why a connection could not be opened. Shown to operators; clients learn only that the upstream is not available.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// It cannot be reached.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The gateway's own credential cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// It does not speak TLS, which is configured.
    #[error("the upstream does not speak TLS, but the configuration requires it")]
    NoTls,
    /// It asks for a login method that the gateway does not use.
    #[error("the upstream asks for {0}; the gateway logs in by SCRAM-SHA-256 only")]
    Method(&'static str),
    /// It does not offer channel binding, which is configured.
    #[error("the upstream does not offer channel binding, but the configuration requires it")]
    NoChannelBinding,
    /// It asks for a password, and none is configured.
    #[error("the upstream asks for a password, and the configuration names none")]
    NoPassword,
    /// SCRAM failed: the password is wrong, or the server could not prove that it knows it.
    #[error("the SCRAM exchange failed")]
    Scram,
    /// The upstream refused the login.
    #[error("the upstream refused the login with SQLSTATE {0}")]
    Refused(String),
    /// A setting that must be pinned has another value.
    #[error("the upstream runs with {0}, which cannot be guarded")]
    Unpinned(&'static str),
    /// It sent something that the protocol does not allow here.
    #[error("the upstream sent something out of place during login")]
    Protocol,
    /// The connection failed.
    #[error("the connection to the upstream failed: {0}")]
    Channel(String),
}

impl From<ChannelError> for ConnectError {
    fn from(error: ChannelError) -> Self {
        Self::Channel(error.to_string())
    }
}

impl From<DecodeError> for ConnectError {
    fn from(_: DecodeError) -> Self {
        Self::Protocol
    }
}

impl From<EncodeError> for ConnectError {
    fn from(_: EncodeError) -> Self {
        Self::Protocol
    }
}

/// An open and logged-in connection.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) stream: super::stream::UpstreamStream,
    pub(super) read_ahead: Vec<u8>,
    pub(super) process_id: u32,
    pub(super) secret: Vec<u8>,
    pub(super) parameters: BTreeMap<String, Vec<u8>>,
}

/// Settings under which the gateway reads statements as the server does (PL05, PL06, PL14). The client cannot change them.
const PINNED: [(&str, &str); 4] = [
    ("client_encoding", "UTF8"),
    ("standard_conforming_strings", "on"),
    ("search_path", "public"),
    ("backslash_quote", "safe_encoding"),
];

impl PostgresUpstream {
    /// Opens a connection. `settings` are what the client may choose, from the checked startup packet.
    pub(super) async fn open(
        &self,
        dialler: &Dialler,
        right: Right,
        settings: &[(String, String)],
    ) -> Result<Opened, ConnectError> {
        match right {
            // The receipt of connecting admits this connection and is spent by it; it holds no bytes of the client's.
            Right::Session(receipt) => debug_assert!(receipt.into_wire().is_empty()),
            Right::Catalogue => {}
        }
        tokio::time::timeout(self.connect_timeout, self.open_at_leisure(dialler, settings))
            .await
            .map_err(|_elapsed| ConnectError::from(ChannelError::TimedOut))?
    }

    async fn open_at_leisure(&self, dialler: &Dialler, settings: &[(String, String)]) -> Result<Opened, ConnectError> {
        let (stream, binding) = self.dial(dialler).await?;
        let mut channel = Channel::new(stream);
        let mut parameters = vec![("user", self.user.as_str()), ("database", self.database.as_str())];
        parameters.extend(settings.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        parameters.extend(PINNED);
        let mut out = Vec::new();
        StartupPacket::Startup(StartupMessage { version: ProtocolVersion::V3_0, parameters }).encode(&mut out)?;
        channel.send(&out, self.connect_timeout).await?;
        self.authenticate(&mut channel, binding).await?;
        self.become_ready(channel).await
    }

    /// Dials and negotiates TLS; yields what SCRAM binds to.
    async fn dial(&self, dialler: &Dialler) -> Result<(super::stream::UpstreamStream, Option<Vec<u8>>), ConnectError> {
        let mut stream = dialler.dial(&self.address, self.connect_timeout).await?;
        let Some(tls) = &self.tls else {
            return Ok((super::stream::UpstreamStream::Plain(stream), None));
        };
        let mut request = Vec::new();
        StartupPacket::SslRequest.encode(&mut request)?;
        let answer = async {
            stream.write_all(&request).await?;
            // Exactly one byte: anything behind it belongs to TLS, or is an injection that TLS will refuse (PW03).
            stream.read_u8().await
        };
        match answer.await.map_err(ChannelError::Io)? {
            b'S' => {}
            _ => return Err(ConnectError::NoTls),
        }
        let stream = tls.connect(stream, &self.address).await?;
        let binding = tls.server_end_point(&stream);
        Ok((super::stream::UpstreamStream::Tls(Box::new(stream)), binding))
    }

    async fn authenticate(
        &self,
        channel: &mut Channel<super::stream::UpstreamStream>,
        binding: Option<Vec<u8>>,
    ) -> Result<(), ConnectError> {
        let message = self.next(channel).await?;
        match decode_authentication(&message)? {
            // Trust or a client certificate: the server wants nothing from us.
            Authentication::Ok => Ok(()),
            Authentication::Sasl(mechanisms) => {
                let plus = mechanisms.contains(&SCRAM_SHA_256_PLUS);
                let plain = mechanisms.contains(&SCRAM_SHA_256);
                self.scram(channel, binding, plus, plain).await
            }
            Authentication::CleartextPassword => Err(ConnectError::Method("a password in clear")),
            Authentication::Md5Password { .. } => Err(ConnectError::Method("MD5")),
            Authentication::KerberosV5 => Err(ConnectError::Method("Kerberos V5")),
            Authentication::Gss | Authentication::GssContinue(_) => Err(ConnectError::Method("GSSAPI")),
            Authentication::Sspi => Err(ConnectError::Method("SSPI")),
            Authentication::SaslContinue(_) | Authentication::SaslFinal(_) => Err(ConnectError::Protocol),
        }
    }

    async fn scram(
        &self,
        channel: &mut Channel<super::stream::UpstreamStream>,
        binding: Option<Vec<u8>>,
        plus: bool,
        plain: bool,
    ) -> Result<(), ConnectError> {
        let (mechanism, binding) = match binding {
            Some(hash) if plus => (SCRAM_SHA_256_PLUS, ChannelBinding::tls_server_end_point(hash)),
            _ if self.require_channel_binding => return Err(ConnectError::NoChannelBinding),
            Some(_) if plain => (SCRAM_SHA_256, ChannelBinding::unrequested()),
            None if plain => (SCRAM_SHA_256, ChannelBinding::unsupported()),
            _ => return Err(ConnectError::Method("an unknown SASL mechanism")),
        };
        let Some(password) = &self.password else {
            return Err(ConnectError::NoPassword);
        };
        let password = password.read().await?;
        let mut scram = ScramSha256::new(password.expose().as_bytes(), binding);
        let mut out = Vec::new();
        SaslInitialResponse { mechanism, data: Some(scram.message()) }.encode(&mut out)?;
        channel.send(&out, self.connect_timeout).await?;

        let challenge = self.next(channel).await?;
        let Authentication::SaslContinue(data) = decode_authentication(&challenge)? else {
            return Err(ConnectError::Protocol);
        };
        if data.len() > LONGEST_SCRAM {
            return Err(ConnectError::Scram);
        }
        scram.update(data).map_err(|_unproved| ConnectError::Scram)?;
        out.clear();
        AuthenticationResponse::encode_data(scram.message(), &mut out)?;
        channel.send(&out, self.connect_timeout).await?;

        let last = self.next(channel).await?;
        let Authentication::SaslFinal(data) = decode_authentication(&last)? else {
            return Err(ConnectError::Protocol);
        };
        scram.finish(data).map_err(|_unproved| ConnectError::Scram)?;
        let done = self.next(channel).await?;
        match decode_authentication(&done)? {
            Authentication::Ok => Ok(()),
            _ => Err(ConnectError::Protocol),
        }
    }

    /// Reads until the server is ready, and checks that the pinned settings hold.
    async fn become_ready(&self, mut channel: Channel<super::stream::UpstreamStream>) -> Result<Opened, ConnectError> {
        let mut parameters = BTreeMap::new();
        let mut key = (0, Vec::new());
        loop {
            let message = self.next(&mut channel).await?;
            match BackendMessage::decode(message.tag, &message.body)? {
                BackendMessage::ParameterStatus(status) => {
                    parameters.insert(status.name.to_owned(), status.value.to_vec());
                }
                BackendMessage::BackendKeyData(data) => key = (data.process_id, data.secret.to_vec()),
                BackendMessage::NoticeResponse(_) => {}
                BackendMessage::ReadyForQuery(_) => break,
                _ => return Err(ConnectError::Protocol),
            }
        }
        let holds = |name: &str, value: &[u8]| parameters.get(name).is_some_and(|found| found == value);
        if !holds("standard_conforming_strings", b"on") {
            return Err(ConnectError::Unpinned("standard_conforming_strings off"));
        }
        if !holds("client_encoding", b"UTF8") {
            return Err(ConnectError::Unpinned("a client_encoding other than UTF8"));
        }
        let (stream, read_ahead) = channel.into_parts();
        Ok(Opened { stream, read_ahead, process_id: key.0, secret: key.1, parameters })
    }

    /// The next message of the login; an error of the server ends it.
    async fn next(&self, channel: &mut Channel<super::stream::UpstreamStream>) -> Result<Message, ConnectError> {
        let message = channel.receive(LOGIN_CAP, self.connect_timeout).await?;
        if let BackendMessage::ErrorResponse(fields) = BackendMessage::decode(message.tag, &message.body)? {
            // The text is the upstream's and could hold anything; the code is enough for operators.
            return Err(ConnectError::Refused(fields.sqlstate().unwrap_or("?????").to_owned()));
        }
        Ok(message)
    }

    /// Asks the upstream to cancel what another connection runs there, and waits a little until it has closed: the signal is out
    /// then, and a statement that is sent later is not hit by it.
    pub(super) async fn cancel(&self, dialler: &Dialler, process_id: u32, secret: &[u8]) -> Result<(), ConnectError> {
        let mut out = Vec::new();
        StartupPacket::Cancel(CancelRequest { process_id, secret }).encode(&mut out)?;
        // With the answer about TLS: the session waits for all of it.
        let send = async {
            let (mut stream, _binding) = self.dial(dialler).await?;
            stream.write_all(&out).await.map_err(ChannelError::Io)?;
            // How it closes says nothing. The session hears nothing but a cut meanwhile.
            let mut nowhere = tokio::io::sink();
            let _closed = tokio::time::timeout(CLOSES_WITHIN, tokio::io::copy(&mut stream, &mut nowhere)).await;
            Ok(())
        };
        tokio::time::timeout(self.connect_timeout, send)
            .await
            .unwrap_or_else(|_elapsed| Err(ChannelError::TimedOut.into()))
    }
}

fn decode_authentication(message: &Message) -> Result<Authentication<'_>, ConnectError> {
    match BackendMessage::decode(message.tag, &message.body)? {
        BackendMessage::Authentication(authentication) => Ok(authentication),
        _ => Err(ConnectError::Protocol),
    }
}

#[cfg(test)]
mod tests;
