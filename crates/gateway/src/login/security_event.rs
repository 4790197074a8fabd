//! Security Event Tokens (RFC 8417) of configured streams, as SSF 1.0 and CAEP 1.0 profile them: RS256 alone, one event, no
//! `sub` and no `exp`, the stream's own `iss` and `aud`. They prove nothing about who calls, and no login takes one (`typ`).
//!
//! Of whom an event may be is the kernel's `signal::Mapping`; that each counts once is the store's business.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::ports::Clock;
use kernel::risk::Level;
use kernel::signal::{CAEP, Kind, RISC, SecurityEvent, Subject};
use kernel::time::Timestamp;
use kernel::workload::Name;

use super::json::{self, Json, Object};
use super::jwks::{Freshness, JwksSource, Keys, KeysError, KeysHealth, SignatureAlgorithm};
use crate::tasks::together;
use crate::upstream::fetch::{Fetcher, InvalidLocation};

/// The longest token, in bytes.
pub const LONGEST_SET: usize = 64 * 1024;
/// How far the other side's clock may be ahead of ours.
const SKEW: Duration = Duration::from_secs(60);
/// The longest `jti`, subject or other text that is kept, in bytes.
const LONGEST_TEXT: usize = 512;
/// 9999-12-31T23:59:59Z.
const LAST_SECOND: i128 = 253_402_300_799;
/// What the URIs of SSF's own events begin with.
const SSF: &str = "https://schemas.openid.net/secevent/ssf/event-type/";
/// Header members that say where a key comes from or change what is signed: never heeded.
const UNWELCOME: [&str; 8] = ["crit", "jku", "x5u", "jwk", "x5c", "b64", "enc", "zip"];

/// A stream as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSettings {
    /// Its name here.
    pub name: Name,
    /// The exact `iss` of its SETs.
    pub issuer: String,
    /// The `aud` that they must have, alone.
    pub audience: String,
    /// Where its keys are.
    pub jwks: JwksSource,
    /// Members of subjects that an event must not be acted on without understanding.
    pub critical: BTreeSet<String>,
    /// Events that were issued longer ago are refused.
    pub oldest: Duration,
}

/// Where the keys of an SSF transmitter stand, as its own configuration says (SSF 1.0, section 6.2): the well-known part
/// comes between the host and the path of the issuer.
pub fn discovery(issuer: &str) -> Result<JwksSource, InvalidLocation> {
    let (scheme, rest) = issuer.split_once("://").ok_or(InvalidLocation::NotUrl)?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = path.trim_end_matches('/');
    let slash = if path.is_empty() { "" } else { "/" };
    let metadata = format!("{scheme}://{host}/.well-known/ssf-configuration{slash}{path}");
    Ok(JwksSource::Discovery { issuer: issuer.to_owned(), metadata: metadata.parse()? })
}

/// Why a SET is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetRefusal {
    /// No stream of that name.
    #[error("there is no such stream")]
    NoStream,
    /// Not a SET as CAEP profiles them.
    #[error("it is no security event token: {0}")]
    Request(&'static str),
    /// Not signed by a key of the stream.
    #[error("it is not signed by a key of the stream: {0}")]
    Key(&'static str),
    /// Another issuer's.
    #[error("its issuer is not the stream's")]
    Issuer,
    /// For another audience, or for several.
    #[error("its audience is not the stream's alone")]
    Audience,
    /// The stream's keys cannot be had. The event must come again.
    #[error("the keys of the stream cannot be had: {0}")]
    Keys(KeysError),
}

impl SetRefusal {
    /// The error code of RFC 8935, section 2.4; none where the other side is not at fault and must try again.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::Request(_) => Some("invalid_request"),
            Self::Key(_) => Some("invalid_key"),
            Self::Issuer => Some("invalid_issuer"),
            Self::Audience => Some("invalid_audience"),
            Self::NoStream => Some("access_denied"),
            Self::Keys(_) => None,
        }
    }
}

/// The streams whose events are taken.
pub struct Streams {
    streams: Vec<Stream>,
    clock: Arc<dyn Clock>,
}

struct Stream {
    settings: StreamSettings,
    keys: Keys,
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.streams.iter().map(|stream| &stream.settings.name).collect();
        f.debug_struct("Streams").field("streams", &names).finish_non_exhaustive()
    }
}

impl Streams {
    /// Streams as configured. No key is fetched yet.
    pub fn new(settings: Vec<StreamSettings>, fetcher: &Fetcher, clock: Arc<dyn Clock>) -> Self {
        let stream = |settings: StreamSettings| {
            let keys = Keys::new(settings.jwks.clone(), fetcher.clone(), Freshness::default(), Arc::clone(&clock));
            Stream { settings, keys }
        };
        Self { streams: settings.into_iter().map(stream).collect(), clock: Arc::clone(&clock) }
    }

    /// Keeps every stream's keys fresh for as long as the gateway runs.
    pub async fn keep_fresh(&self) {
        together(self.streams.iter().map(|stream| stream.keys.keep_fresh())).await;
    }

    /// How the keys of each stream are.
    pub fn health(&self) -> Vec<(Name, KeysHealth)> {
        self.streams.iter().map(|stream| (stream.settings.name.clone(), stream.keys.health())).collect()
    }

    /// Verifies a SET that came by a stream.
    pub async fn verify(&self, stream: &Name, set: &str) -> Result<SecurityEvent, SetRefusal> {
        let known = self.streams.iter().find(|known| known.settings.name == *stream).ok_or(SetRefusal::NoStream)?;
        let unverified = Unverified::parse(set)?;
        let settings = &known.settings;
        // Told apart first, so that the other side learns what to mend; nothing is believed before the signature.
        if text(&unverified.claims, "iss") != Some(&settings.issuer) {
            return Err(SetRefusal::Issuer);
        }
        let key = known.keys.find(&unverified.kid).await.map_err(SetRefusal::Keys)?;
        let key = key.ok_or(SetRefusal::Key("no such key"))?;
        if !key.verifies(SignatureAlgorithm::Rs256, unverified.message.as_bytes(), unverified.signature) {
            return Err(SetRefusal::Key("wrong signature"));
        }
        event(settings, &unverified.claims, self.clock.now())
    }
}

/// A SET that is well-formed, and nothing more.
struct Unverified<'t> {
    kid: String,
    claims: Object,
    message: &'t str,
    signature: &'t str,
}

impl<'t> Unverified<'t> {
    fn parse(set: &'t str) -> Result<Self, SetRefusal> {
        if set.len() > LONGEST_SET {
            return Err(SetRefusal::Request("it is too long"));
        }
        let parts = || {
            let (message, signature) = set.rsplit_once('.')?;
            let (header, claims) = message.split_once('.')?;
            let decoded = |part| URL_SAFE_NO_PAD.decode(part).ok();
            decoded(signature)?;
            Some((json::object(&decoded(header)?)?, json::object(&decoded(claims)?)?, message, signature))
        };
        let (header, claims, message, signature) =
            parts().ok_or(SetRefusal::Request("not three parts of base64url and JSON without repeated members"))?;
        if UNWELCOME.iter().any(|member| header.contains_key(*member)) {
            return Err(SetRefusal::Request("its header says where a key is, or changes what is signed"));
        }
        match text(&header, "typ").map(str::to_ascii_lowercase).as_deref() {
            Some("secevent+jwt" | "application/secevent+jwt") => {}
            _ => return Err(SetRefusal::Request("its `typ` is not `secevent+jwt`")),
        }
        if text(&header, "alg") != Some("RS256") {
            return Err(SetRefusal::Key("its `alg` is not `RS256`"));
        }
        let kid = text(&header, "kid").ok_or(SetRefusal::Key("it names no key"))?.to_owned();
        Ok(Self { kid, claims, message, signature })
    }
}

fn event(settings: &StreamSettings, claims: &Object, now: Timestamp) -> Result<SecurityEvent, SetRefusal> {
    let alone = match claims.get("aud") {
        Some(Json::Text(only)) => Some(only),
        Some(Json::Array(several)) => match several.as_slice() {
            [Json::Text(only)] => Some(only),
            _ => None,
        },
        _ => None,
    };
    if alone != Some(&settings.audience) {
        return Err(SetRefusal::Audience);
    }
    // What could be taken for an access or id token by another reader (SSF 1.0, section 4.1.7).
    if claims.contains_key("sub") || claims.contains_key("exp") {
        return Err(SetRefusal::Request("it has `sub` or `exp`"));
    }
    let issued = match claims.get("iat") {
        Some(Json::Integer(seconds)) if (1..=LAST_SECOND).contains(seconds) => i64::try_from(*seconds).ok(),
        _ => None,
    };
    let issued = issued.map(Timestamp::from_secs).ok_or(SetRefusal::Request("its `iat` is no time"))?;
    if issued > now.after(SKEW) {
        return Err(SetRefusal::Request("it was issued in the future"));
    }
    if now.since(issued) > settings.oldest {
        return Err(SetRefusal::Request("it was issued too long ago"));
    }
    let id = text(claims, "jti").filter(|id| !id.is_empty() && id.len() <= LONGEST_TEXT);
    let id = id.ok_or(SetRefusal::Request("its `jti` is absent or too long"))?;
    let Some(Json::Object(events)) = claims.get("events") else {
        return Err(SetRefusal::Request("it has no `events`"));
    };
    let mut events = events.iter();
    let (Some((uri, Json::Object(payload))), None) = (events.next(), events.next()) else {
        return Err(SetRefusal::Request("it does not have exactly one event"));
    };
    let kind = kind(uri, payload)?;
    let subject = match claims.get("sub_id") {
        Some(Json::Object(subject)) => Some(subject_of(subject, &settings.critical)?),
        Some(_) => return Err(SetRefusal::Request("its `sub_id` is no object")),
        None if kind.is_of_stream() => None,
        None => return Err(SetRefusal::Request("it has no `sub_id`")),
    };
    let subject = subject.filter(|_| !kind.is_of_stream());
    let (stream, issuer) = (settings.name.clone(), settings.issuer.as_str().into());
    Ok(SecurityEvent { stream, issuer, id: id.into(), issued, subject, kind })
}

fn kind(uri: &str, payload: &Object) -> Result<Kind, SetRefusal> {
    let said = |member: &str| text(payload, member);
    if let Some(name) = uri.strip_prefix(CAEP) {
        return match name {
            "session-revoked" => Ok(Kind::SessionRevoked),
            "token-claims-change" => Ok(Kind::TokenClaimsChange),
            "credential-change" => match said("change_type") {
                Some("revoke" | "delete") => Ok(Kind::CredentialChange { ends: true }),
                Some("create" | "update") => Ok(Kind::CredentialChange { ends: false }),
                _ => Err(SetRefusal::Request("its `change_type` is not known")),
            },
            "risk-level-change" => {
                let level = said("current_level").and_then(Level::named);
                let level = level.ok_or(SetRefusal::Request("its `current_level` is not known"))?;
                match said("principal") {
                    // About a whole organisation, which no single subject stands for.
                    Some("TENANT" | "ORG_UNIT" | "GROUP") => Ok(Kind::Other("risk-level-change of a group".into())),
                    _ => Ok(Kind::RiskLevelChange { level }),
                }
            }
            // What cannot be read counts as the worse of two.
            "assurance-level-change" => {
                Ok(Kind::AssuranceLevelChange { decreased: said("change_direction") != Some("increase") })
            }
            "device-compliance-change" => {
                Ok(Kind::DeviceComplianceChange { compliant: said("current_status") == Some("compliant") })
            }
            other => Ok(Kind::Other(super::shortened(other).into())),
        };
    }
    match uri.strip_prefix(SSF) {
        Some("verification") => Ok(Kind::Verification { state: said("state").map(Arc::from) }),
        Some("stream-updated") => Ok(Kind::StreamUpdated),
        Some(other) => Ok(Kind::Other(super::shortened(other).into())),
        None => match uri.strip_prefix(RISC) {
            Some("account-disabled" | "account-purged") => Ok(Kind::AccountDisabled),
            Some(other) => Ok(Kind::Other(super::shortened(other).into())),
            None => Ok(Kind::Other(super::shortened(uri).into())),
        },
    }
}

fn subject_of(subject: &Object, critical: &BTreeSet<String>) -> Result<Subject, SetRefusal> {
    // SSF 1.0, section 3.6: an event with a critical member that is not understood is not acted on.
    if subject.keys().any(|member| critical.contains(member)) {
        return Ok(Subject::Other("with a critical member".into()));
    }
    let member = |name: &'static str| {
        let said = text(subject, name).filter(|said| !said.is_empty() && said.len() <= LONGEST_TEXT);
        said.ok_or(SetRefusal::Request("a member of its `sub_id` is absent or too long"))
    };
    match text(subject, "format") {
        Some("iss_sub") => Ok(Subject::IssuerSubject { issuer: member("iss")?.into(), subject: member("sub")?.into() }),
        Some("email") => Ok(Subject::Email(member("email")?.into())),
        Some("opaque") => Ok(Subject::Opaque(member("id")?.to_owned())),
        Some(other) => Ok(Subject::Other(super::shortened(other).into())),
        None => Ok(Subject::Other("without a format".into())),
    }
}

fn text<'o>(object: &'o Object, member: &str) -> Option<&'o str> {
    match object.get(member) {
        Some(Json::Text(text)) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
