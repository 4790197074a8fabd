//! Parapet's own tokens: access tokens (RFC 9068) that carry a task (RFC 9396), signed by its own key, and what their holders
//! narrowed them to. Verified here without asking anybody: signature, chain, times, binding, and whether the task was ended.
//!
//! `keys.rs` keeps the keys, `chain.rs` is narrowing, `exchange.rs` turns attestations into tokens, `jose.rs` is the form.

mod chain;
pub mod exchange;
pub(in crate::login) mod jose;
mod keys;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::id::TaskId;
use kernel::ports::{Clock, TaskRecords};
use kernel::provenance::Provenance;
use kernel::secret::Secret;
use kernel::task::{Details, InvalidDetails, InvalidTask, Link, Task};
use kernel::time::Timestamp;
use kernel::trust::{Authenticated, Sender, VerifiedAttestation};
use kernel::workload::Name;
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::sessions::{Cut, Live};

pub use self::chain::{Narrowing, Shown, narrow, shown};
use self::jose::Signed;
pub use self::jose::{KeyError, KeyPair, PublicKey};
pub use self::keys::{Envelope, KeysUnusable, SigningKeys, close_anew};

/// The `typ` of a token that Parapet issued (RFC 9068, section 2.1).
const ISSUED: &str = "at+jwt";
/// The longest life of a token.
pub const LONGEST_LIFE: Duration = Duration::from_secs(3600);
/// The life of a token unless its trust rule says otherwise.
pub const USUAL_LIFE: Duration = Duration::from_secs(15 * 60);
/// How far a holder's clock may be ahead.
const SKEW: Duration = Duration::from_secs(60);
/// The longest id of a token, in bytes.
const LONGEST_ID: usize = 128;

/// Why a token of Parapet proves nothing. For the log alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskRefusal {
    /// Its form.
    #[error("it is not a signed token in the form of Parapet's")]
    Form,
    /// Its claims.
    #[error("its claims are not those of a Parapet token")]
    Claims,
    /// Signed by no key of ours.
    #[error("it is not signed by a key of this Parapet")]
    Signature,
    /// For another issuer or audience.
    #[error("it is of another Parapet, or for another audience")]
    Audience,
    /// A time that makes no sense.
    #[error("its times make no sense, or it is not valid yet")]
    Time,
    /// Past its end.
    #[error("it has expired")]
    Expired,
    /// Its task was revoked, or is not known.
    #[error("its task was revoked, or is not known here")]
    Revoked,
    /// A link that the one before it does not vouch for.
    #[error("a narrowed token is not signed by the key that the one before it is bound to")]
    NotHolder,
    /// Too many links.
    #[error("its chain is too long")]
    TooMany,
    /// Details that are no task.
    #[error("its task cannot be read: {0}")]
    Details(#[from] InvalidDetails),
    /// A link that widens.
    #[error("{0}")]
    Task(#[from] InvalidTask),
    /// It is bound to a certificate that this connection does not show.
    #[error("it is bound to a certificate (`cnf`) that this connection does not show")]
    NotSender,
    /// It is bound to a key, and is shown bare.
    #[error(
        "it is bound to a key (`cnf`) whose possession was not proved; narrow it with the key, or show a DPoP proof"
    )]
    NotBearer,
}

/// How a token is bound to who shows it (RFC 7800): to a key by its thumbprint, or to a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// The thumbprint of a key (RFC 9449, section 6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jkt: Option<String>,
    /// SHA-256 of a certificate (RFC 8705, section 3.1).
    #[serde(default, rename = "x5t#S256", skip_serializing_if = "Option::is_none")]
    pub x5t: Option<String>,
}

impl Confirmation {
    /// To a key.
    pub fn of_key(thumbprint: &str) -> Self {
        Self { jkt: Some(thumbprint.to_owned()), x5t: None }
    }

    /// To a certificate.
    pub fn of_certificate(certificate: &CertificateDer<'_>) -> Self {
        Self { jkt: None, x5t: Some(URL_SAFE_NO_PAD.encode(jose::sha256(certificate))) }
    }

    /// Exactly one of them.
    fn checked(self) -> Result<Self, TaskRefusal> {
        if self.jkt.is_some() == self.x5t.is_some() { Err(TaskRefusal::Claims) } else { Ok(self) }
    }
}

/// What a client proved besides a token.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShownBeside<'a> {
    /// The certificate whose key the TLS handshake proved.
    pub certificate: Option<&'a CertificateDer<'static>>,
    /// The thumbprint of a key that a DPoP proof proved.
    pub key: Option<&'a str>,
}

/// Who acts for whom (RFC 8693, section 4.1). The outermost is the workload; those inside are for the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Act {
    sub: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    act: Option<Box<Act>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims<'t> {
    iss: String,
    aud: String,
    sub: String,
    client_id: Name,
    iat: i64,
    exp: i64,
    jti: String,
    tsk: TaskId,
    #[serde(default)]
    cnf: Option<Confirmation>,
    #[serde(default)]
    act: Option<Act>,
    #[serde(default)]
    provenance: Provenance,
    /// The links of the token that it was exchanged for: what they use is counted under them still.
    #[serde(default)]
    above: Vec<Above>,
    #[serde(borrow)]
    authorization_details: &'t RawValue,
}

/// A link of a token that was exchanged.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Above {
    mark: String,
    exp: i64,
    authorization_details: Value,
}

impl Above {
    fn of(link: &Link) -> Self {
        Self {
            mark: URL_SAFE_NO_PAD.encode(link.mark),
            exp: link.expires.millis() / 1000,
            authorization_details: link.details.value(),
        }
    }

    fn link(&self) -> Result<Link, TaskRefusal> {
        let mark = URL_SAFE_NO_PAD.decode(&self.mark).ok().and_then(|mark| mark.try_into().ok());
        Ok(Link {
            mark: mark.ok_or(TaskRefusal::Claims)?,
            details: Details::read(&self.authorization_details)?,
            expires: Timestamp::from_secs(self.exp),
        })
    }
}

/// The token at the root of a chain.
pub(super) struct Root {
    pub(super) id: String,
    pub(super) workload: Name,
    pub(super) task: TaskId,
    pub(super) actors: Vec<Arc<str>>,
    pub(super) provenance: Provenance,
    pub(super) confirmation: Option<Confirmation>,
    /// Its links: those of the tokens that were exchanged for it, and its own.
    pub(super) links: Vec<Link>,
}

/// A verified token, before it is bound to who shows it.
#[derive(Debug)]
pub struct Verified {
    /// The id of its last link.
    pub id: String,
    /// Whose it is.
    pub workload: Name,
    /// Its task.
    pub task: Task,
    /// From what run it comes.
    pub provenance: Provenance,
    /// How it is bound.
    pub confirmation: Option<Confirmation>,
    /// When it ends.
    pub expires: Timestamp,
}

impl Verified {
    /// What it proves, shown by who may show it.
    fn attested(&self, sender: Sender) -> VerifiedAttestation {
        let Self { id, workload, task, provenance, expires, confirmation: _ } = self;
        let (workload, task, provenance) = (workload.clone(), task.clone(), provenance.clone());
        #[expect(clippy::disallowed_methods, reason = "signature, chain, times, task and sender were verified")]
        let attestation = VerifiedAttestation::by_parapet_token(id, workload, task, provenance, *expires, sender);
        attestation
    }
}

/// A token to be signed.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Whose it will be.
    pub workload: Name,
    /// Its task.
    pub task: TaskId,
    /// What the task allows.
    pub details: Details,
    /// The links of the token that is exchanged for it.
    pub above: Vec<Link>,
    /// Who acts for whom: the origin first, the workload last.
    pub chain: Vec<Arc<str>>,
    /// From what run it comes.
    pub provenance: Provenance,
    /// How it is bound.
    pub confirmation: Option<Confirmation>,
    /// Until when.
    pub expires: Timestamp,
}

/// A signed token.
#[derive(Debug)]
pub struct Issued {
    /// The token.
    pub token: Secret<String>,
    /// Its `jti`.
    pub id: String,
    /// When it ends, to the second.
    pub expires: Timestamp,
}

/// Issues and verifies Parapet's tokens.
pub struct TaskTokens {
    issuer: Arc<str>,
    keys: Arc<SigningKeys>,
    records: Arc<dyn TaskRecords>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for TaskTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskTokens").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl TaskTokens {
    /// Under the name `issuer`, which is the tokens' `iss` and `aud`.
    pub fn new(issuer: &str, keys: Arc<SigningKeys>, records: Arc<dyn TaskRecords>, clock: Arc<dyn Clock>) -> Self {
        Self { issuer: issuer.into(), keys, records, clock }
    }

    /// The tokens' `iss`.
    pub fn issuer(&self) -> &Arc<str> {
        &self.issuer
    }

    /// The keys.
    pub fn keys(&self) -> &Arc<SigningKeys> {
        &self.keys
    }

    /// Is it meant to be a token of Parapet's? Then nothing else is tried with it.
    pub fn is_meant(token: &str) -> bool {
        jose::typ(token).is_some_and(|typ| typ == ISSUED || typ == chain::NARROWED)
    }

    /// Verifies a token that is shown as a password, or beside a proof.
    pub fn verify(&self, token: &str, beside: ShownBeside<'_>) -> Result<VerifiedAttestation, TaskRefusal> {
        let verified = self.verify_unbound(token)?;
        let sender = sender(verified.confirmation.as_ref(), beside)?;
        Ok(verified.attested(sender))
    }

    /// Verifies everything about a token but who shows it: for introspection, and before a proof is looked at.
    pub fn verify_unbound(&self, token: &str) -> Result<Verified, TaskRefusal> {
        let now = self.clock.now();
        let chain::Proven { root, links, actors, confirmation, id } = chain::verify(self, token, now)?;
        if !self.records.in_force(root.task) {
            return Err(TaskRefusal::Revoked);
        }
        let chain = root.actors.into_iter().chain(actors).collect();
        let task = Task::new(root.task, chain, links)?;
        let expires = task.expires().ok_or(TaskRefusal::Form)?;
        let provenance = Provenance {
            run: root.provenance.run.clone().or_else(|| task.run().cloned()),
            commit: root.provenance.commit.clone().or_else(|| task.commit().cloned()),
            ..root.provenance
        };
        Ok(Verified { id, workload: root.workload, task, provenance, confirmation, expires })
    }

    /// Verifies a token that Parapet issued itself.
    fn verify_root(&self, text: &str, now: Timestamp) -> Result<Root, TaskRefusal> {
        let signed = Signed::parse(text, ISSUED).ok_or(TaskRefusal::Form)?;
        let key = signed.kid.as_deref().and_then(|kid| self.keys.find(kid)).ok_or(TaskRefusal::Signature)?;
        if !signed.is_by(key.key()) {
            return Err(TaskRefusal::Signature);
        }
        let claims: Claims<'_> = serde_json::from_slice(signed.claims()).map_err(|_| TaskRefusal::Claims)?;
        if claims.iss != *self.issuer || claims.aud != *self.issuer {
            return Err(TaskRefusal::Audience);
        }
        let expires = lifetime(claims.iat, claims.exp, now)?;
        // Who acts is the outermost actor; without one, the subject (RFC 8693, section 4.1).
        let mut actors: Vec<Arc<str>> = Vec::new();
        let mut act = claims.act.as_ref();
        while let Some(one) = act {
            actors.push(one.sub.as_str().into());
            act = one.act.as_deref();
        }
        actors.push(claims.sub.as_str().into());
        actors.reverse();
        if actors.last().map(|last| &**last) != Some(claims.client_id.as_str()) || !is_id(&claims.jti) {
            return Err(TaskRefusal::Claims);
        }
        let details = Details::parse(claims.authorization_details.get())?;
        let mut links = claims.above.iter().map(Above::link).collect::<Result<Vec<_>, _>>()?;
        links.push(Link { mark: signed.mark(), details, expires });
        Ok(Root {
            links,
            id: claims.jti,
            workload: claims.client_id,
            task: claims.tsk,
            actors,
            provenance: claims.provenance,
            confirmation: claims.cnf.map(Confirmation::checked).transpose()?,
        })
    }

    /// Signs a token.
    pub fn sign(&self, new: &NewToken) -> Result<Issued, KeyError> {
        let now = self.clock.now();
        let id = format!("tok_{:016x}{:016x}", self.clock.random(), self.clock.random());
        // The origin is the subject; everybody after it acts, the last outermost.
        let subject = new.chain.first().map_or(new.workload.as_str(), |origin| origin);
        let act = new.chain.iter().skip(1).fold(None, |inner: Option<Act>, actor| {
            Some(Act { sub: actor.as_ref().to_owned(), act: inner.map(Box::new) })
        });
        let expires = Timestamp::from_secs(new.expires.millis() / 1000);
        let mut claims = json!({
            "iss": self.issuer,
            "aud": self.issuer,
            "sub": subject,
            "client_id": new.workload,
            "iat": now.millis() / 1000,
            "exp": expires.millis() / 1000,
            "jti": id,
            "tsk": new.task,
            "provenance": new.provenance,
            "authorization_details": new.details.value(),
        });
        if let Some(members) = claims.as_object_mut() {
            if !new.above.is_empty() {
                members.insert("above".to_owned(), json!(new.above.iter().map(Above::of).collect::<Vec<_>>()));
            }
            members.extend(act.map(|act| ("act".to_owned(), json!(act))));
            members.extend(new.confirmation.as_ref().map(|bound| ("cnf".to_owned(), json!(bound))));
        }
        let token = Secret::new(self.keys.signing().sign(ISSUED, false, &claims)?);
        Ok(Issued { token, id, expires })
    }

    /// Watches over a session that has begun: its task may have been ended while it began, and then nobody cut it.
    pub fn watch(&self, who: &Authenticated, live: &Live) {
        if who.task().is_some_and(|task| !self.records.in_force(task.id())) {
            live.cut(Cut::Revoked);
        }
    }

    /// What a token is, for who may ask (RFC 7662): `{"active": false}` for what is none, whatever is wrong with it.
    pub fn introspect(&self, token: &str) -> Value {
        match self.verify_unbound(token) {
            Err(_) => json!({ "active": false }),
            Ok(verified) => json!({
                "active": true,
                "iss": self.issuer,
                "aud": self.issuer,
                "client_id": verified.workload,
                "token_type": if verified.confirmation.as_ref().is_some_and(|bound| bound.jkt.is_some()) { "DPoP" } else { "Bearer" },
                "exp": verified.expires.millis() / 1000,
                "jti": verified.id,
                "tsk": verified.task.id(),
                "chain": verified.task.chain(),
                "cnf": verified.confirmation,
                "authorization_details": verified.task.links().last().map(|link| link.details.value()),
            }),
        }
    }
}

/// Who may show the token. One that is bound is never taken as a bare one.
fn sender(bound: Option<&Confirmation>, beside: ShownBeside<'_>) -> Result<Sender, TaskRefusal> {
    match bound {
        None => Ok(Sender::Bearer),
        Some(Confirmation { x5t: Some(_), .. }) => {
            let shown = beside.certificate.map(Confirmation::of_certificate);
            if shown.as_ref() == bound { Ok(Sender::Bound) } else { Err(TaskRefusal::NotSender) }
        }
        Some(Confirmation { jkt, .. }) => {
            if jkt.is_some() && jkt.as_deref() == beside.key {
                Ok(Sender::Bound)
            } else {
                Err(TaskRefusal::NotBearer)
            }
        }
    }
}

/// When a token ends, if its times make sense.
fn lifetime(issued: i64, expires: i64, now: Timestamp) -> Result<Timestamp, TaskRefusal> {
    const LAST_SECOND: i64 = 253_402_300_799;
    let possible = |seconds: i64| (1..=LAST_SECOND).contains(&seconds);
    if !possible(issued) || !possible(expires) || expires <= issued {
        return Err(TaskRefusal::Time);
    }
    let (issued, expires) = (Timestamp::from_secs(issued), Timestamp::from_secs(expires));
    if issued > now.after(SKEW) || expires.since(issued) > LONGEST_LIFE {
        return Err(TaskRefusal::Time);
    }
    if expires <= now { Err(TaskRefusal::Expired) } else { Ok(expires) }
}

fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= LONGEST_ID && id.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests;
