//! What a client shows of itself at its login: a certificate, if a trust rule matches that alone, or else a token, as its password
//! or by OAUTHBEARER. Verified here; which workload it is, the trust rules say.

use kernel::trust::VerifiedAttestation;
use wire::postgres::message::{Authentication, EncodeError, FrontendMessage};
use zeroize::Zeroizing;

use super::PostgresGateway;
use super::channel::{Channel, ChannelError};
use super::login::PATIENCE;
use super::stream::ClientStream;
use crate::login::bearer::{self, BearerLogins, BearerMessage};
use crate::login::task::ShownBeside;
use crate::session::Arrival;

/// The longest password or SASL message: a token of 16 KiB and what is around it.
const PASSWORD_CAP: u32 = 16 * 1024 + 128;
/// The client's answer to a challenge is one byte (RFC 7628, section 3.2.3).
const ANSWER_CAP: u32 = 64;

/// What is wrong with a proof.
pub(super) enum Unproved {
    Client(ChannelError),
    Encode(EncodeError),
    Refused(String),
}

/// How a client was asked for its token, which says how it is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Asked {
    /// It was not, or for a password: an error ends it.
    #[default]
    Plainly,
    /// By OAUTHBEARER: whatever is wrong, a challenge comes before the error.
    Bearer,
}

/// A client that is logging in.
pub(super) struct Caller<'l> {
    pub(super) arrival: &'l Arrival,
    /// The name that it claims.
    pub(super) name: &'l str,
    pub(super) certificates: &'l [rustls_pki_types::CertificateDer<'static>],
}

/// Verifies what the client shows. A token may be bound to the certificate beside it.
pub(super) async fn prove(
    gateway: &PostgresGateway,
    caller: &Caller<'_>,
    channel: &mut Channel<ClientStream>,
    asked: &mut Asked,
    mut out: Vec<u8>,
) -> Result<Vec<VerifiedAttestation>, Unproved> {
    let certificates = caller.certificates;
    let snapshot = gateway.parts.snapshots.current();
    let attested = gateway.logins.attest_certificates(&snapshot, certificates).map_err(Unproved::Refused)?;
    if let Some(attestation) = attested {
        if !out.is_empty() {
            channel.send(&out, PATIENCE).await.map_err(Unproved::Client)?;
        }
        return Ok(vec![attestation]);
    }
    let by_bearer = gateway.bearer.as_ref().is_some_and(|bearer| bearer.is_for(caller.name));
    if by_bearer && !caller.arrival.tls {
        return Err(Unproved::Refused("OAUTHBEARER needs TLS".to_owned()));
    }
    let request =
        if by_bearer { Authentication::Sasl(vec![bearer::MECHANISM]) } else { Authentication::CleartextPassword };
    request.encode(&mut out).map_err(Unproved::Encode)?;
    channel.send(&out, PATIENCE).await.map_err(Unproved::Client)?;
    let message = match channel.receive(PASSWORD_CAP, PATIENCE).await {
        Ok(message) => message,
        Err(error) if certificates.is_empty() => return Err(Unproved::Client(error)),
        Err(_) => {
            let why = "no trust rule matches the client certificate alone, and no token came with it";
            return Err(Unproved::Refused(why.to_owned()));
        }
    };
    // A token is a secret: it is wiped when the login is over.
    let body = Zeroizing::new(message.body);
    let Ok(FrontendMessage::Authentication(response)) = FrontendMessage::decode(message.tag, &body) else {
        return Err(Unproved::Refused("another message where the password was due".to_owned()));
    };
    let token = if by_bearer {
        let refused = |why: &str| Unproved::Refused(why.to_owned());
        let initial = response.sasl_initial().map_err(|_malformed| refused("the SASL message is malformed"))?;
        if initial.mechanism != bearer::MECHANISM {
            return Err(refused("the client chose a SASL mechanism that was not offered"));
        }
        *asked = Asked::Bearer;
        match bearer::read(initial.data.unwrap_or_default()) {
            Ok(BearerMessage::Token(token)) => token,
            Ok(BearerMessage::Discovery) => return Err(refused("no token: the client asks where to get one")),
            Err(error) => return Err(refused(&error.to_string())),
        }
    } else {
        let password = response.password().ok().and_then(|password| std::str::from_utf8(password).ok());
        password.ok_or_else(|| Unproved::Refused("the password is not text".to_owned()))?
    };
    let beside = ShownBeside { certificate: certificates.first(), key: None };
    let attested = gateway.logins.attest_token(token, beside, caller.arrival.source).await;
    attested.map(|attestation| vec![attestation]).map_err(Unproved::Refused)
}

/// Tells a client that its bearer token is refused, and takes its answer. The error that ends the login comes after. What the
/// client answers does not matter any more, nor whether it does.
pub(super) async fn challenge(bearer: &BearerLogins, channel: &mut Channel<ClientStream>) -> Result<(), Unproved> {
    let mut out = Vec::new();
    Authentication::SaslContinue(bearer.challenge()).encode(&mut out).map_err(Unproved::Encode)?;
    channel.send(&out, PATIENCE).await.map_err(Unproved::Client)?;
    drop(channel.receive(ANSWER_CAP, PATIENCE).await.map_err(Unproved::Client)?);
    Ok(())
}
