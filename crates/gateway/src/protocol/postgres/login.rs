//! From a client's greeting to a session that is ready: prove the workload, judge the connection, open the upstream.
//!
//! A stranger learns nothing: whatever is wrong with a proof, a name or an upstream, the answer is the same line with the
//! session's id, and the log holds the reason.

use std::sync::Arc;
use std::time::Duration;

use kernel::verdict::{DenyReason, Receipt};
use tokio::sync::OwnedSemaphorePermit;
use wire::postgres::message::{
    Authentication, BackendKeyData, EncodeError, ParameterStatus, ReadyForQuery, TransactionStatus,
};
use wire::postgres::refuse::{Refusal, Severity, Sqlstate};
use wire::postgres::startup::{Setting, StartupRequest};

use super::cancel::Issued;
use super::channel::{Channel, ChannelError};
use super::connect::{ConnectError, Opened, Right};
use super::prove::{Asked, Caller, Unproved, challenge, prove};
use super::serve::words;
use super::stream::ClientStream;
use super::{Guarded, PostgresGateway};
use crate::session::{Arrival, BeginError, Session};

/// How long a client may take for each step of its login.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A session that is ready to serve.
pub(super) struct Ready {
    pub(super) session: Session,
    pub(super) client: ClientStream,
    pub(super) client_read_ahead: Vec<u8>,
    pub(super) upstream: Opened,
    pub(super) guarded: Arc<Guarded>,
    pub(super) cancel_key: Issued,
    pub(super) application: String,
    pub(super) place: OwnedSemaphorePermit,
}

/// Why a login ended early. The client has been told what it may know.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoginError {
    #[error(transparent)]
    Client(#[from] ChannelError),
    #[error("the login was refused: {0}")]
    Refused(String),
    #[error(transparent)]
    Upstream(#[from] ConnectError),
    #[error("a message could not be written")]
    Encode(#[from] EncodeError),
}

/// Brings a client from its startup packet to a session that is ready.
pub(super) async fn log_in(
    gateway: &PostgresGateway,
    arrival: Arrival,
    stream: ClientStream,
    request: StartupRequest,
) -> Result<Ready, LoginError> {
    let certificates = peer_certificates(&stream);
    let mut channel = Channel::new(stream);
    let mut out = Vec::new();
    if let Some(negotiation) = request.negotiation() {
        negotiation.encode(&mut out)?;
    }
    let mut asked = Asked::default();
    let caller = Caller { arrival: &arrival, name: &request.user, certificates: &certificates };
    let proofs = match prove(gateway, &caller, &mut channel, &mut asked, out).await {
        Ok(proofs) => proofs,
        Err(Unproved::Client(error)) => return Err(error.into()),
        Err(Unproved::Encode(error)) => return Err(error.into()),
        Err(Unproved::Refused(why)) => return refuse(gateway, &arrival, channel, &request, asked, &why).await,
    };
    let who = match gateway.parts.authenticate(&proofs, &request.user) {
        Ok(Some(who)) => who,
        Ok(None) => return refuse(gateway, &arrival, channel, &request, asked, "no attestation was shown").await,
        Err(error) => return refuse(gateway, &arrival, channel, &request, asked, &error.to_string()).await,
    };
    // Unknown and not permitted upstreams look the same (conformance 2).
    let Some(guarded) = gateway.resolve(&request.database) else {
        let why = format!("no upstream has the name or database `{}`", shortened(&request.database));
        return refuse(gateway, &arrival, channel, &request, asked, &why).await;
    };
    let Some(place) = guarded.place() else {
        let line = format!("upstream \"{}\" has as many sessions as it may [{}]", guarded.upstream.name, arrival.id);
        tell(&mut channel, Sqlstate::TOO_MANY_CONNECTIONS, &line, Some("close sessions, or raise max_sessions"))
            .await?;
        return Err(LoginError::Refused("too many sessions".to_owned()));
    };
    let begun = Session::begin(gateway.parts.clone(), arrival, who, guarded.upstream.name.clone(), super::PROTOCOL);
    let (session, receipt) = match begun.await {
        Ok(begun) => begun,
        Err(BeginError::Audit(_)) => return fail_audit(channel, &arrival).await,
        Err(BeginError::Identity(error)) => {
            return refuse(gateway, &arrival, channel, &request, asked, &error.to_string()).await;
        }
        Err(BeginError::Denied(deny)) => {
            let why = if matches!(deny.reason(), DenyReason::Standing) { "standing" } else { "policy" };
            return refuse(gateway, &arrival, channel, &request, asked, &format!("connecting is denied: {why}")).await;
        }
    };
    gateway.logins.watch(&session);
    let opened = Opening { session, receipt, guarded, place };
    welcome(gateway, opened, channel, request).await
}

/// A session that has begun, before its upstream is open.
struct Opening {
    session: Session,
    receipt: Receipt,
    guarded: Arc<Guarded>,
    place: OwnedSemaphorePermit,
}

/// Opens the upstream and tells the client that all is well.
async fn welcome(
    gateway: &PostgresGateway,
    opening: Opening,
    mut channel: Channel<ClientStream>,
    request: StartupRequest,
) -> Result<Ready, LoginError> {
    let Opening { session, receipt, guarded, place } = opening;
    let settings: Vec<(String, String)> = request
        .settings
        .iter()
        .filter(|(setting, _)| *setting != Setting::ClientEncoding)
        .map(|(setting, value)| (setting.name().to_owned(), value.clone()))
        .collect();
    let id = session.id();
    let opened = tokio::select! {
        biased;
        cut = session.live().until_cut(|_any| true) => {
            session.end(cut.as_str()).await;
            let line = format!("{} [{id}]", words(cut));
            tell(&mut channel, Sqlstate::KILLED, &line, None).await?;
            return Err(LoginError::Refused(format!("the session was cut: {}", cut.as_str())));
        }
        opened = guarded.upstream.open(&gateway.dialler, Right::Session(receipt), &settings) => opened,
    };
    let upstream = match opened {
        Ok(upstream) => upstream,
        Err(error) => {
            tracing::warn!(upstream = %guarded.upstream.name, session = %session.id(), %error, "cannot open the upstream");
            let line = format!("upstream \"{}\" is not available [{}]", guarded.upstream.name, session.id());
            let hint = format!("parapet upstreams test {}", guarded.upstream.name);
            tell(&mut channel, Sqlstate::CONNECTION_FAILURE, &line, Some(&hint)).await?;
            session.end("upstream_unavailable").await;
            return Err(error.into());
        }
    };
    let cancel_key = gateway.cancel_keys.issue(request.version, session.live(), session.clock());
    let mut out = Vec::new();
    Authentication::Ok.encode(&mut out)?;
    for (name, value) in &upstream.parameters {
        // Who the gateway is at the upstream, and with which rights, is not the client's business.
        let value: &[u8] = match name.as_str() {
            "session_authorization" => request.user.as_bytes(),
            "is_superuser" => b"off",
            _ => value,
        };
        ParameterStatus { name, value }.encode(&mut out)?;
    }
    let key = cancel_key.key();
    BackendKeyData { process_id: key.process_id, secret: &key.secret }.encode(&mut out)?;
    ReadyForQuery { status: TransactionStatus::Idle }.encode(&mut out);
    channel.send(&out, PATIENCE).await?;
    let application = request
        .settings
        .into_iter()
        .find_map(|(setting, value)| (setting == Setting::ApplicationName).then_some(value))
        .unwrap_or_default();
    let (client, client_read_ahead) = channel.into_parts();
    Ok(Ready { session, client, client_read_ahead, upstream, guarded, cancel_key, application, place })
}

/// Refuses a login: the log learns why, the client does not.
async fn refuse<T>(
    gateway: &PostgresGateway,
    arrival: &Arrival,
    mut channel: Channel<ClientStream>,
    request: &StartupRequest,
    asked: Asked,
    why: &str,
) -> Result<T, LoginError> {
    tracing::info!(session = %arrival.id, source = %arrival.source, why, "login refused");
    if gateway.parts.enter_login_refused(arrival, &request.user, why).await.is_err() {
        return fail_audit(channel, arrival).await;
    }
    if let Some(bearer) = gateway.bearer.as_ref().filter(|_| asked == Asked::Bearer) {
        match challenge(bearer, &mut channel).await {
            Ok(()) | Err(Unproved::Refused(_)) => {}
            Err(Unproved::Client(error)) => return Err(error.into()),
            Err(Unproved::Encode(error)) => return Err(error.into()),
        }
    }
    let line = format!("login refused [{}]", arrival.id);
    let hint = "the password is a workload's token; its operators find the reason by this id in the audit log";
    tell(&mut channel, Sqlstate::INVALID_AUTHORIZATION, &line, Some(hint)).await?;
    Err(LoginError::Refused(why.to_owned()))
}

async fn fail_audit<T>(mut channel: Channel<ClientStream>, arrival: &Arrival) -> Result<T, LoginError> {
    let line = format!("login refused, cannot decide (PAR0210) [{}]", arrival.id);
    tell(&mut channel, Sqlstate::INVALID_AUTHORIZATION, &line, None).await?;
    Err(LoginError::Refused("the audit log does not take entries".to_owned()))
}

/// Sends a FATAL.
pub(super) async fn tell(
    channel: &mut Channel<ClientStream>,
    sqlstate: Sqlstate,
    message: &str,
    hint: Option<&str>,
) -> Result<(), ChannelError> {
    let mut out = Vec::new();
    let refusal = Refusal { hint, ..Refusal::new(Severity::Fatal, sqlstate, message) };
    refusal.write_error(crate::VERSION, &mut out);
    channel.send(&out, PATIENCE).await
}

fn peer_certificates(stream: &ClientStream) -> Vec<rustls_pki_types::CertificateDer<'static>> {
    match stream {
        ClientStream::Plain(_) => Vec::new(),
        ClientStream::Tls(stream) => stream.get_ref().1.peer_certificates().map(<[_]>::to_vec).unwrap_or_default(),
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(63).filter(|letter| !letter.is_control()).collect()
}
