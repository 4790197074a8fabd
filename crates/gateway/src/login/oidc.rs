//! JSON Web Tokens of configured issuers (OIDC workload tokens; RFC 7519, RFC 8725), read more strictly than the RFCs
//! demand: whatever two readers could take differently is refused. Which workload a token proves, the trust rules say.
//!
//! A token that is shown again is accepted, since a workload reconnects with the token that it has; where its trust rule says
//! `once`, the session spends it. A token with a confirmation (`cnf`, RFC 8705) counts only beside the certificate that it
//! names, on the connection that TLS protects here.
//!
//! A signature that was found right is not verified again by the same key (`verified.rs`); everything else is, each time.
//!
//! JWT-SVIDs (SPIFFE) are tokens without `iss`: the trust domain of `sub` says whose bundle must verify them.

mod verified;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::ports::Clock;
use kernel::time::Timestamp;
use kernel::trust::{Claims, Sender, VerifiedAttestation};
use rustls::pki_types::CertificateDer;

use super::claims::flattened;
use super::json::{self, Json, Object};
use super::jwks::{Freshness, JwksSource, Keys, KeysError, KeysHealth, SignatureAlgorithm};
use super::shortened;
use super::spiffe::SpiffeId;
use super::trust_domains::TrustDomains;
use crate::tasks::together;
use crate::upstream::fetch::Fetcher;
use verified::Verified;

/// The longest token, in bytes.
const LONGEST_TOKEN: usize = 16 * 1024;
/// How far the issuer's clock may be ahead of ours. The end of a token gets no such leeway: a session must not outlive it.
const SKEW: Duration = Duration::from_secs(60);
/// 9999-12-31T23:59:59Z, the last time that can be shown.
const LAST_SECOND: i128 = 253_402_300_799;
/// Header members that say where a key comes from, change what is signed, or belong to encryption. None is ever heeded, and
/// a token that wants them heeded is refused (RFC 8725, section 3; hazards ID07, ID08).
const UNWELCOME: [&str; 8] = ["crit", "jku", "x5u", "jwk", "x5c", "b64", "enc", "zip"];

/// An issuer whose tokens are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerSettings {
    /// The exact `iss`.
    pub issuer: String,
    /// The `aud` that its tokens must have, alone.
    pub audience: String,
    /// The algorithms that are accepted.
    pub algorithms: BTreeSet<SignatureAlgorithm>,
    /// Where its keys are.
    pub jwks: JwksSource,
    /// The longest life of a token, from `iat` to `exp`. 24 hours is a good default.
    pub max_lifetime: Duration,
    /// How its keys are kept fresh.
    pub freshness: Freshness,
}

/// Settings that would let in what nobody meant to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssuersError {
    /// Without an audience, a token for somebody else would do.
    #[error("issuer `{0}` has no audience")]
    NoAudience(String),
    /// Without an algorithm, none would do.
    #[error("issuer `{0}` has no algorithm")]
    NoAlgorithm(String),
    /// Two sets of rules for one issuer.
    #[error("issuer `{0}` stands twice")]
    Repeated(String),
    /// An issuer without a name.
    #[error("an issuer is empty")]
    NoIssuer,
    /// A bundle endpoint that cannot be known by its SVID.
    #[error(
        "the bundle endpoint of trust domain `{0}` has no SPIFFE id, or one of a trust domain that is not configured"
    )]
    Endpoint(String),
    /// A bundle to begin with that is none.
    #[error("the bundle that trust domain `{0}` begins with is none")]
    Bootstrap(String),
}

/// Why a token proves nothing. For the log alone: strangers are told none of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// Longer than any token.
    #[error("it is longer than {LONGEST_TOKEN} bytes")]
    TooLong,
    /// Not three parts of base64url.
    #[error("it is not a JSON Web Token in three parts")]
    NotToken,
    /// A header that is no JSON object, or has a member twice.
    #[error("its header is not JSON, or has a member twice")]
    Header,
    /// A header member that must not be there.
    #[error("its header has `{0}`")]
    Unwelcome(&'static str),
    /// It is a token for another use.
    #[error("its `typ` is `{found}`, not `JWT`")]
    Type {
        /// Its `typ`, shortened.
        found: String,
    },
    /// An algorithm that is not accepted from anyone.
    #[error("its `alg` is `{found}`, which is not accepted")]
    Algorithm {
        /// Its `alg`, shortened.
        found: String,
    },
    /// An algorithm that is not accepted from this issuer.
    #[error("its `alg` is {found:?}, which issuer `{issuer}` may not use")]
    AlgorithmOfIssuer {
        /// Its `alg`.
        found: SignatureAlgorithm,
        /// The issuer.
        issuer: Arc<str>,
    },
    /// No `kid`.
    #[error("its header has no `kid`")]
    NoKeyId,
    /// Claims that are no JSON object, or have a member twice.
    #[error("its claims are not JSON, or have a member twice")]
    Claims,
    /// Nobody's `iss`.
    #[error("its issuer `{found}` is not configured")]
    Issuer {
        /// Its `iss`, shortened.
        found: String,
    },
    /// The issuer's keys cannot be had. Not the client's fault.
    #[error("issuer `{issuer}`: {error}")]
    Keys {
        /// The issuer.
        issuer: Arc<str>,
        /// Why.
        error: KeysError,
    },
    /// The issuer has no such key.
    #[error("issuer `{issuer}` has no key `{kid}`")]
    UnknownKey {
        /// The issuer.
        issuer: Arc<str>,
        /// The `kid`, shortened.
        kid: String,
    },
    /// The key is for another algorithm.
    #[error("key `{kid}` of issuer `{issuer}` is not for {found:?}")]
    OtherKey {
        /// The issuer.
        issuer: Arc<str>,
        /// The `kid`, shortened.
        kid: String,
        /// The token's `alg`.
        found: SignatureAlgorithm,
    },
    /// The signature is wrong.
    #[error("its signature is wrong")]
    Signature,
    /// A time that is absent or is not an integer in range.
    #[error("its `{0}` is absent, or not a time in whole seconds")]
    Time(&'static str),
    /// Past its end.
    #[error("it expired at {at}")]
    Expired {
        /// When.
        at: Timestamp,
    },
    /// Before its beginning.
    #[error("it is not valid before {from}")]
    Early {
        /// From when.
        from: Timestamp,
    },
    /// Its end is not after its beginning.
    #[error("it ends before it was issued")]
    Backwards,
    /// It lives longer than configured.
    #[error("it lives for {seconds} s, longer than issuer `{issuer}` may give")]
    Lifetime {
        /// From `iat` to `exp`.
        seconds: u64,
        /// The issuer.
        issuer: Arc<str>,
    },
    /// It is bound to a key, and this connection does not show it.
    #[error("it is bound to a certificate (`cnf`) that this connection does not show")]
    NotSender,
    /// It is bound in a way that cannot be proved here.
    #[error("it is bound (`cnf`) in another way than by a certificate, which cannot be proved on this connection")]
    Confirmation,
    /// A JWT-SVID whose `sub` is no id.
    #[error("its `sub` is no SPIFFE id")]
    NotSpiffeId,
    /// It is for another audience, or for several.
    #[error("its audience is {found}, not `{expected}` alone")]
    Audience {
        /// What it has, shortened.
        found: String,
        /// As configured.
        expected: String,
    },
}

/// The issuers whose tokens are accepted.
pub struct Issuers {
    issuers: Vec<Issuer>,
    trust_domains: Arc<TrustDomains>,
    clock: Arc<dyn Clock>,
    verified: Verified,
}

struct Issuer {
    name: Arc<str>,
    form: Form,
    audience: String,
    algorithms: BTreeSet<SignatureAlgorithm>,
    max_lifetime: Duration,
    keys: Arc<Keys>,
}

/// What sort of tokens it signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Oidc,
    JwtSvid,
}

/// A token in hand, examined for its owner: its signature is right, whatever else is wrong with it.
#[derive(Debug)]
pub struct Examined {
    /// Whose it is, as trust rules name it.
    pub issuer: Arc<str>,
    /// Its claims, flat.
    pub claims: Claims,
    /// Is it bound to a certificate?
    pub sender: Sender,
    /// Why it would be refused all the same: its times or its audience.
    pub refusal: Option<TokenRefusal>,
}

/// How the keys of an issuer are, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerHealth {
    /// Whose.
    pub issuer: Arc<str>,
    /// How its keys are.
    pub keys: KeysHealth,
}

impl Issuers {
    /// Issuers as configured. No key is fetched yet.
    pub fn new(settings: Vec<IssuerSettings>, fetcher: &Fetcher, clock: Arc<dyn Clock>) -> Result<Self, IssuersError> {
        let trust_domains = Arc::new(TrustDomains::none(Arc::clone(&clock)));
        let (known, verified) = (Vec::with_capacity(settings.len()), Verified::default());
        let mut issuers = Self { issuers: known, trust_domains, clock, verified };
        for IssuerSettings { issuer, audience, algorithms, jwks, max_lifetime, freshness } in settings {
            let keys = Arc::new(Keys::new(jwks, fetcher.clone(), freshness, Arc::clone(&issuers.clock)));
            let form = Form::Oidc;
            issuers.add(Issuer { name: issuer.into(), form, audience, algorithms, max_lifetime, keys })?;
        }
        Ok(issuers)
    }

    /// The same, and the SVIDs of these trust domains.
    pub fn with_trust_domains(mut self, domains: Arc<TrustDomains>) -> Result<Self, IssuersError> {
        for domain in domains.all() {
            let Some(audience) = domain.audience.clone() else { continue };
            self.add(Issuer {
                name: Arc::clone(&domain.issuer),
                form: Form::JwtSvid,
                audience,
                // JWT-SVID, section 2.1: RS*, PS* and ES*. EdDSA is none of them.
                algorithms: [SignatureAlgorithm::Rs256, SignatureAlgorithm::Ps256, SignatureAlgorithm::Es256].into(),
                max_lifetime: domain.max_lifetime,
                keys: Arc::clone(&domain.keys),
            })?;
        }
        self.trust_domains = domains;
        Ok(self)
    }

    /// The trust domains, whose X.509-SVIDs are verified there.
    pub fn trust_domains(&self) -> &Arc<TrustDomains> {
        &self.trust_domains
    }

    fn add(&mut self, issuer: Issuer) -> Result<(), IssuersError> {
        let name = issuer.name.to_string();
        if name.is_empty() {
            return Err(IssuersError::NoIssuer);
        }
        if issuer.audience.is_empty() {
            return Err(IssuersError::NoAudience(name));
        }
        if issuer.algorithms.is_empty() {
            return Err(IssuersError::NoAlgorithm(name));
        }
        if self.issuers.iter().any(|known| *known.name == name) {
            return Err(IssuersError::Repeated(name));
        }
        self.issuers.push(issuer);
        Ok(())
    }

    /// Verifies a token: its form, its issuer, its signature, its times and its audience, in this order.
    pub async fn verify(&self, token: &str) -> Result<VerifiedAttestation, TokenRefusal> {
        self.verify_beside(token, None).await
    }

    /// Verifies a token on a connection whose client has shown this certificate and proved its key. A token that is bound
    /// to a certificate must be bound to this one (RFC 8705, section 3).
    pub async fn verify_beside(
        &self,
        token: &str,
        certificate: Option<&CertificateDer<'_>>,
    ) -> Result<VerifiedAttestation, TokenRefusal> {
        let token = Unverified::parse(token)?;
        let issuer = self.issuer_of(&token)?;
        issuer.verify_signature(&token, &self.verified).await?;
        let expires = issuer.verify_claims(&token.claims, self.clock.now())?;
        let sender = sender(&token.claims, certificate)?;
        let claims = flattened(token.claims);
        #[expect(
            clippy::disallowed_methods,
            reason = "signature, issuer, audience, times and sender are verified above"
        )]
        let attestation = match (issuer.form, sender) {
            (Form::Oidc, Sender::Bearer) => VerifiedAttestation::by_signature(&issuer.name, claims, expires),
            (Form::Oidc, Sender::Bound) => {
                VerifiedAttestation::by_signature(&issuer.name, claims, expires).bound_to_sender()
            }
            (Form::JwtSvid, Sender::Bearer) => VerifiedAttestation::by_jwt_svid(&issuer.name, claims, expires),
            (Form::JwtSvid, Sender::Bound) => {
                VerifiedAttestation::by_jwt_svid(&issuer.name, claims, expires).bound_to_sender()
            }
        };
        Ok(attestation)
    }

    /// Examines a token for its owner. Its claims are told only if its issuer did sign them.
    pub async fn examine(&self, token: &str) -> Result<Examined, TokenRefusal> {
        let token = Unverified::parse(token)?;
        let issuer = self.issuer_of(&token)?;
        issuer.verify_signature(&token, &self.verified).await?;
        let refusal = issuer.verify_claims(&token.claims, self.clock.now()).err();
        let sender = if token.claims.contains_key("cnf") { Sender::Bound } else { Sender::Bearer };
        Ok(Examined { issuer: Arc::clone(&issuer.name), claims: flattened(token.claims), sender, refusal })
    }

    /// Keeps every issuer's keys fresh for as long as the gateway runs. Each has its own pace: one that is slow or gone
    /// delays no other. Trust domains keep their own. Never returns.
    pub async fn keep_fresh(&self) {
        let of_issuers = self.issuers.iter().filter(|issuer| issuer.form == Form::Oidc);
        together(of_issuers.map(|issuer| issuer.keys.keep_fresh())).await;
        std::future::pending().await
    }

    /// How the keys of each issuer are.
    pub fn health(&self) -> Vec<IssuerHealth> {
        let view = |issuer: &Issuer| IssuerHealth { issuer: Arc::clone(&issuer.name), keys: issuer.keys.health() };
        let of_issuers = self.issuers.iter().filter(|issuer| issuer.form == Form::Oidc);
        of_issuers.map(view).chain(self.trust_domains.health()).collect()
    }

    /// The issuer is found by the exact string (hazard ID09). It is believed only once its own key verifies.
    fn issuer_of(&self, token: &Unverified<'_>) -> Result<&Issuer, TokenRefusal> {
        let named =
            |form: Form, name: &str| self.issuers.iter().find(|issuer| issuer.form == form && *issuer.name == *name);
        let found = text(&token.claims, "iss").unwrap_or_default();
        let issuer = match token.claims.get("iss") {
            Some(_) => named(Form::Oidc, found),
            // A JWT-SVID names no issuer: its subject's own trust domain, and no other, can vouch for it (hazard ID13).
            None => {
                text(&token.claims, "sub").and_then(SpiffeId::parse).and_then(|id| named(Form::JwtSvid, &id.issuer()))
            }
        };
        issuer.ok_or_else(|| TokenRefusal::Issuer { found: shortened(found) })
    }
}

impl Issuer {
    async fn verify_signature(&self, token: &Unverified<'_>, verified: &Verified) -> Result<(), TokenRefusal> {
        let (issuer, found) = (|| Arc::clone(&self.name), token.algorithm);
        if !self.algorithms.contains(&found) {
            return Err(TokenRefusal::AlgorithmOfIssuer { found, issuer: issuer() });
        }
        let key = self
            .keys
            .find(&token.kid)
            .await
            .map_err(|error| TokenRefusal::Keys { issuer: issuer(), error })?
            .ok_or_else(|| TokenRefusal::UnknownKey { issuer: issuer(), kid: shortened(&token.kid) })?;
        if !key.fits(found) {
            return Err(TokenRefusal::OtherKey { issuer: issuer(), kid: shortened(&token.kid), found });
        }
        let digest = Verified::digest(token.message, token.signature);
        if verified.knows(&digest, &key) {
            return Ok(());
        }
        if !key.verifies(found, token.message.as_bytes(), token.signature) {
            return Err(TokenRefusal::Signature);
        }
        verified.remember(digest, &key);
        Ok(())
    }

    /// Verifies times and audience; when the token ends.
    fn verify_claims(&self, claims: &Object, now: Timestamp) -> Result<Timestamp, TokenRefusal> {
        let issued = match self.form {
            // A JWT-SVID need not say when it was issued: what is left of it is then its life.
            Form::JwtSvid if !claims.contains_key("iat") => now,
            Form::Oidc | Form::JwtSvid => time(claims, "iat")?,
        };
        let expires = time(claims, "exp")?;
        if expires <= now {
            return Err(TokenRefusal::Expired { at: expires });
        }
        let not_before = if claims.contains_key("nbf") { time(claims, "nbf")? } else { issued };
        let from = not_before.max(issued);
        if from > now.after(SKEW) {
            return Err(TokenRefusal::Early { from });
        }
        if expires <= issued {
            return Err(TokenRefusal::Backwards);
        }
        let lifetime = expires.since(issued);
        if lifetime > self.max_lifetime {
            return Err(TokenRefusal::Lifetime { seconds: lifetime.as_secs(), issuer: Arc::clone(&self.name) });
        }
        self.verify_audience(claims.get("aud"))?;
        // A domain's key must not sign another domain's id, nor what is no id at all (hazard ID13).
        if self.form == Form::JwtSvid
            && text(claims, "sub").and_then(SpiffeId::parse).is_none_or(|id| *id.issuer() != *self.name)
        {
            return Err(TokenRefusal::NotSpiffeId);
        }
        Ok(expires)
    }

    /// The audience must be ours alone: a token that others accept too, they could replay to us (hazard ID11).
    fn verify_audience(&self, audience: Option<&Json>) -> Result<(), TokenRefusal> {
        let found = match audience {
            Some(Json::Text(only)) if *only == self.audience => return Ok(()),
            Some(Json::Text(only)) => format!("`{}`", shortened(only)),
            Some(Json::Array(several)) => match several.as_slice() {
                [Json::Text(only)] if *only == self.audience => return Ok(()),
                [Json::Text(only)] => format!("`{}`", shortened(only)),
                several => format!("a list of {}", several.len()),
            },
            Some(_) => "no text".to_owned(),
            None => "absent".to_owned(),
        };
        Err(TokenRefusal::Audience { found, expected: self.audience.clone() })
    }
}

/// Who may show the token: anybody, or whoever has the key of the certificate that it names (RFC 8705, section 3.1). A token
/// that is bound is never taken as a bare one.
fn sender(claims: &Object, certificate: Option<&CertificateDer<'_>>) -> Result<Sender, TokenRefusal> {
    let thumbprint = match claims.get("cnf") {
        None => return Ok(Sender::Bearer),
        Some(Json::Object(confirmation)) if confirmation.len() == 1 => text(confirmation, "x5t#S256"),
        Some(_) => None,
    };
    let thumbprint = thumbprint.ok_or(TokenRefusal::Confirmation)?;
    let shown = certificate.ok_or(TokenRefusal::NotSender)?;
    let own = URL_SAFE_NO_PAD.encode(digest(&SHA256, shown));
    if own == thumbprint { Ok(Sender::Bound) } else { Err(TokenRefusal::NotSender) }
}

impl fmt::Debug for Issuers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuers").field("issuers", &self.issuers).finish_non_exhaustive()
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("name", &self.name).field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// A token that is well-formed, and nothing more.
struct Unverified<'t> {
    algorithm: SignatureAlgorithm,
    kid: String,
    claims: Object,
    /// What is signed: header and claims in base64url, with the dot.
    message: &'t str,
    signature: &'t str,
}

impl<'t> Unverified<'t> {
    fn parse(token: &'t str) -> Result<Self, TokenRefusal> {
        if token.len() > LONGEST_TOKEN {
            return Err(TokenRefusal::TooLong);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(TokenRefusal::NotToken)?;
        let (header, claims) = message.split_once('.').ok_or(TokenRefusal::NotToken)?;
        // Five parts, as of an encrypted token, leave a dot in the claims, which is not base64url.
        let decoded = |part| URL_SAFE_NO_PAD.decode(part).map_err(|_invalid| TokenRefusal::NotToken);
        let (header, claims) = (decoded(header)?, decoded(claims)?);
        decoded(signature)?;
        let header = json::object(&header).ok_or(TokenRefusal::Header)?;
        if let Some(unwelcome) = UNWELCOME.into_iter().find(|member| header.contains_key(*member)) {
            return Err(TokenRefusal::Unwelcome(unwelcome));
        }
        verify_type(header.get("typ"))?;
        let found = text(&header, "alg").unwrap_or_default();
        let algorithm =
            SignatureAlgorithm::named(found).ok_or_else(|| TokenRefusal::Algorithm { found: shortened(found) })?;
        let kid = text(&header, "kid").ok_or(TokenRefusal::NoKeyId)?.to_owned();
        let claims = json::object(&claims).ok_or(TokenRefusal::Claims)?;
        Ok(Self { algorithm, kid, claims, message, signature })
    }
}

/// `typ` is absent, `JWT` or `JOSE`, in any case and with or without `application/` (RFC 7515, section 4.1.9). Access tokens
/// (`at+jwt`), logout tokens and the like were signed for another use (hazard ID02).
fn verify_type(typ: Option<&Json>) -> Result<(), TokenRefusal> {
    match typ {
        None => Ok(()),
        Some(Json::Text(found)) => {
            let lower = found.to_ascii_lowercase();
            match lower.strip_prefix("application/").unwrap_or(&lower) {
                "jwt" | "jose" => Ok(()),
                _ => Err(TokenRefusal::Type { found: shortened(found) }),
            }
        }
        Some(_) => Err(TokenRefusal::Type { found: "no text".to_owned() }),
    }
}

fn text<'o>(object: &'o Object, member: &str) -> Option<&'o str> {
    match object.get(member) {
        Some(Json::Text(text)) => Some(text),
        _ => None,
    }
}

fn time(claims: &Object, claim: &'static str) -> Result<Timestamp, TokenRefusal> {
    match claims.get(claim) {
        Some(Json::Integer(seconds)) if (1..=LAST_SECOND).contains(seconds) => {
            i64::try_from(*seconds).map(Timestamp::from_secs).map_err(|_impossible| TokenRefusal::Time(claim))
        }
        _ => Err(TokenRefusal::Time(claim)),
    }
}

#[cfg(test)]
mod tests;
