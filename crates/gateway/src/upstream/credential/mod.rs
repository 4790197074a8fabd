//! What the gateway adds to a request so that an HTTP upstream takes it for its own: the workload never holds it.
//!
//! A credential belongs to one exact origin, and is added to a request for no other (hazard HT13). It is read from its
//! source, kept for a moment, wiped, and never logged; whatever of the kind the caller sent is taken out first.

mod held;
mod oauth;
mod sigv4;

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Uri;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION};
use hyper::http::request::Parts;
use hyper::http::uri::PathAndQuery;
use kernel::ports::Clock;
use kernel::secret::Secret;
use wire::http::echo::{Echoes, Search};
use wire::http::headers::without_echo;
use zeroize::Zeroizing;

use self::held::{Held, Kept};
use crate::tls::{self, TlsError, UpstreamTls};
use crate::upstream::fetch::{FetchError, Fetcher};
use crate::upstream::origin::{Origin, Scheme};
use crate::upstream::secret::{SecretError, SecretSource};

pub use self::oauth::ClientCredentials;
pub use self::sigv4::AccessKey;

/// What kind of credential it is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer(SecretSource),
    /// `Authorization: Basic …` (RFC 7617).
    Basic {
        /// The user.
        user: String,
        /// Its password.
        password: SecretSource,
    },
    /// A header of its own, such as `X-Api-Key`.
    Header {
        /// Which.
        name: HeaderName,
        /// Its whole value.
        value: SecretSource,
    },
    /// A parameter of the query.
    Query {
        /// Its name.
        name: String,
        /// Its value, as it is before encoding.
        value: SecretSource,
    },
    /// A client certificate, shown in the TLS handshake.
    Mtls {
        /// PEM file of the chain, leaf first.
        certificate: PathBuf,
        /// The leaf's key, as PEM.
        key: SecretSource,
    },
    /// An access token by OAuth 2 client credentials (RFC 6749, section 4.4).
    OAuth2(ClientCredentials),
    /// A signature by AWS Signature Version 4.
    SigV4(AccessKey),
}

impl Kind {
    /// Can it be sent to an origin at all?
    ///
    /// # Errors
    /// [`InvalidCredential`] says why not.
    pub fn fits(&self, origin: &Origin) -> Result<(), InvalidCredential> {
        let encrypted = origin.scheme() == Scheme::Https;
        match self {
            Self::Mtls { .. } if !encrypted => return Err(InvalidCredential::CertificateInClear),
            Self::Header { name, .. } if RESERVED.contains(&name.as_str()) => {
                return Err(InvalidCredential::Reserved(name.clone()));
            }
            Self::Query { name, .. } if name.is_empty() || !name.bytes().all(is_unreserved) => {
                return Err(InvalidCredential::ParameterName(name.clone()));
            }
            Self::Basic { user, .. } if user.contains(|char: char| char == ':' || char.is_control()) => {
                return Err(InvalidCredential::User);
            }
            _ if !encrypted && !origin.is_loopback() => return Err(InvalidCredential::Clear(origin.clone())),
            _ => {}
        }
        Ok(())
    }
}

/// A credential that cannot be as it is configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCredential {
    /// It would travel in clear.
    #[error("`{0}` is not encrypted; a credential is sent over `https`, or on loopback")]
    Clear(Origin),
    /// A header that means something else.
    #[error("the header `{0}` cannot carry a credential")]
    Reserved(HeaderName),
    /// A client certificate needs TLS.
    #[error("a client certificate needs an `https` upstream")]
    CertificateInClear,
    /// A name that is empty, or would have to be encoded.
    #[error("`{0}` cannot be the name of a query parameter here")]
    ParameterName(String),
    /// A user name with a colon cannot be told from its password.
    #[error("the user of a basic credential contains a colon or a control character")]
    User,
}

/// A credential that cannot be added. Nothing may be sent then. The gateway is at fault, or the token endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The secret cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Certificate(#[from] TlsError),
    /// The secret holds what a header or a query cannot.
    #[error("the secret has characters that its place in a request cannot carry")]
    Characters,
    /// The request goes elsewhere.
    #[error("the request is not for the origin that the credential belongs to")]
    ForeignOrigin,
    /// The token endpoint cannot be asked.
    #[error("no access token: {0}")]
    TokenEndpoint(#[from] FetchError),
    /// It says no.
    #[error("the token endpoint refused with status {0}")]
    TokenRefused(u16),
    /// Its answer is no bearer token.
    #[error("the token endpoint's answer is not a bearer token")]
    TokenMalformed,
    /// The signature covers the body, which was not read.
    #[error("the signature covers the body, whose digest is not known")]
    BodyUnread,
    /// The body's chunks are signed with the caller's own key.
    #[error("the body's chunks are signed by the caller, whose key is not the upstream's")]
    SignedChunks,
    /// It failed a moment ago and is not tried again yet, or the gateway stops.
    #[error("the credential is not available")]
    Unavailable,
}

/// Headers whose meaning is fixed; a credential in one of them would break the request, or be dropped on the way.
const RESERVED: [&str; 11] = [
    "host",
    "connection",
    "content-length",
    "content-type",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "keep-alive",
    "proxy-authorization",
    "expect",
];

/// So many secrets that were replaced are looked for in answers.
const SHOWN: usize = 8;

/// A part of a header that is a key is at least so long, in bytes.
const KEY: usize = 16;

/// A credential, bound to its origin.
pub struct Credential {
    origin: Origin,
    kind: Kind,
    clock: Arc<dyn Clock>,
    fetcher: Fetcher,
    secret: Held<Secret<String>>,
    second: Held<Secret<String>>,
    tls: Held<UpstreamTls>,
    shown: ArcSwap<Shown>,
}

/// What was added to requests of late: an answer may repeat what is no longer held.
#[derive(Default)]
struct Shown {
    /// The last first.
    secrets: Vec<Arc<Secret<String>>>,
    echoes: Arc<Echoes>,
}

impl Credential {
    /// A credential for `origin` alone. Access tokens are fetched by `fetcher`.
    pub fn new(origin: Origin, kind: Kind, clock: Arc<dyn Clock>, fetcher: Fetcher) -> Result<Self, InvalidCredential> {
        kind.fits(&origin)?;
        Ok(Self {
            origin,
            kind,
            clock,
            fetcher,
            secret: Held::default(),
            second: Held::default(),
            tls: Held::default(),
            shown: ArcSwap::default(),
        })
    }

    /// The origin that it belongs to.
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Must the body be read before the request can be sent, because the credential covers it?
    pub fn needs_body_digest(&self) -> bool {
        matches!(&self.kind, Kind::SigV4(key) if key.signs_bodies())
    }

    /// The name of the query parameter that it adds, if that is its kind: logs and answers must not repeat it.
    pub fn query_parameter(&self) -> Option<&str> {
        match &self.kind {
            Kind::Query { name, .. } => Some(name),
            _ => None,
        }
    }

    /// Adds it to a request whose URI and `Host` are final. `body_digest` is the SHA-256 of the whole body (of nothing, if
    /// there is none), where the body was read.
    ///
    /// # Errors
    /// Then the request must not be sent; its parts may be changed already.
    pub async fn apply(&self, parts: &mut Parts, body_digest: Option<[u8; 32]>) -> Result<(), CredentialError> {
        self.check_destination(parts)?;
        parts.headers.remove(AUTHORIZATION);
        parts.headers.remove(PROXY_AUTHORIZATION);
        match &self.kind {
            Kind::Bearer(source) => {
                let secret = self.secret(source).await?;
                let text = Zeroizing::new(format!("Bearer {}", secret.expose()));
                parts.headers.insert(AUTHORIZATION, sensitive(&text)?);
            }
            Kind::Basic { user, password } => {
                let secret = self.secret(password).await?;
                parts.headers.insert(AUTHORIZATION, sensitive(&basic(user, secret.expose()))?);
            }
            Kind::Header { name, value } => {
                let secret = self.secret(value).await?;
                parts.headers.insert(name.clone(), sensitive(secret.expose())?);
            }
            Kind::Query { name, value } => {
                let secret = self.secret(value).await?;
                parts.uri = with_parameter(&parts.uri, name, secret.expose())?;
            }
            // Shown in the handshake.
            Kind::Mtls { .. } => {}
            Kind::OAuth2(settings) => {
                let (fetcher, clock) = (&self.fetcher, &*self.clock);
                let token = self.secret.get(clock, || oauth::fetch(settings, fetcher, clock)).await?;
                self.show(&token);
                let text = Zeroizing::new(format!("Bearer {}", token.expose()));
                parts.headers.insert(AUTHORIZATION, sensitive(&text)?);
            }
            Kind::SigV4(key) => {
                // It is not sent, and cannot come back.
                let secret = self.secret.get(&*self.clock, || held::read(&key.secret, &*self.clock)).await?;
                let session = match &key.session_token {
                    None => None,
                    Some(source) => Some(self.second.get(&*self.clock, || held::read(source, &*self.clock)).await?),
                };
                session.iter().for_each(|token| self.show(token));
                let session = session.as_ref().map(|token| token.expose().as_str());
                sigv4::sign(key, secret.expose(), session, parts, &self.origin, body_digest, self.clock.now())?;
            }
        }
        Ok(())
    }

    /// Takes out of an answer the headers that repeat what was added to the request, however it is escaped (hazard HT13).
    /// Gives how many these were.
    pub fn take_out_of(&self, headers: &mut HeaderMap) -> u32 {
        without_echo(headers, &self.shown.load().echoes)
    }

    /// The search of the bytes of an answer for what was added to the request (hazard HT13). None where nothing was.
    pub fn search(&self) -> Option<Search> {
        Search::new(&self.shown.load().echoes)
    }

    /// Is it of a kind that an answer could repeat? A certificate's key and a key that signs are not sent.
    pub fn may_come_back(&self) -> bool {
        match &self.kind {
            Kind::Mtls { .. } => false,
            Kind::SigV4(key) => key.session_token.is_some(),
            Kind::Bearer(_) | Kind::Basic { .. } | Kind::Header { .. } | Kind::Query { .. } | Kind::OAuth2(_) => true,
        }
    }

    /// Looks for a secret as it is, and as a request carries it.
    fn seek(&self, secret: &Secret<String>, echoes: &mut Echoes) {
        let text = secret.expose();
        echoes.add(text);
        match &self.kind {
            Kind::Basic { user, .. } => {
                echoes.add(basic(user, text).trim_start_matches("Basic ").trim_end_matches('='));
            }
            Kind::Header { .. } => {
                // Behind a scheme, such as `Token`.
                text.split_once(' ').iter().for_each(|(_, rest)| echoes.add(rest));
                // An API may take it apart, and say no more than the key: `Token token="…"`, `session=…; …`.
                text.split([' ', ',', ';', '=', '"']).filter(|part| is_key(part)).for_each(|key| echoes.add(key));
            }
            Kind::Bearer(_) | Kind::Query { .. } | Kind::Mtls { .. } | Kind::OAuth2(_) | Kind::SigV4(_) => {}
        }
    }

    /// TLS to the upstream: `base`, with the client certificate if the credential is one.
    pub async fn tls(&self, base: &UpstreamTls) -> Result<UpstreamTls, CredentialError> {
        let Kind::Mtls { certificate, key } = &self.kind else { return Ok(base.clone()) };
        let made = self.tls.get(&*self.clock, || async {
            let key = key.read().await?;
            let text = tokio::fs::read(certificate)
                .await
                .map_err(|error| TlsError::Unreadable { path: certificate.clone(), kind: error.kind() })?;
            let chain = tls::certificates(&text)?;
            let tls = base.showing(chain, tls::private_key(key.expose().as_bytes())?)?;
            Ok(Kept::briefly(tls, self.clock.now()))
        });
        Ok(UpstreamTls::clone(&*made.await?))
    }

    /// The upstream answered 401: what is held is read, or fetched, anew for the next request.
    pub fn rejected(&self) {
        self.secret.forget();
        self.second.forget();
        self.tls.forget();
    }

    async fn secret(&self, source: &SecretSource) -> Result<Arc<Secret<String>>, CredentialError> {
        let secret = self.secret.get(&*self.clock, || held::read(source, &*self.clock)).await?;
        self.show(&secret);
        Ok(secret)
    }

    /// Remembers what is about to be shown to the upstream.
    fn show(&self, secret: &Arc<Secret<String>>) {
        if self.shown.load().secrets.iter().any(|shown| Arc::ptr_eq(shown, secret)) {
            return;
        }
        self.shown.rcu(|shown| {
            // Read again, it is most often the same.
            let others = shown.secrets.iter().filter(|other| other.expose() != secret.expose());
            let secrets: Vec<_> = std::iter::once(secret).chain(others).take(SHOWN).cloned().collect();
            let mut echoes = Echoes::default();
            secrets.iter().for_each(|secret| self.seek(secret, &mut echoes));
            Shown { secrets, echoes: Arc::new(echoes) }
        });
    }

    /// The request must say where it goes, and everything in it that says so must agree.
    fn check_destination(&self, parts: &Parts) -> Result<(), CredentialError> {
        let foreign = CredentialError::ForeignOrigin;
        let mut named = false;
        if parts.uri.scheme_str().is_some_and(|scheme| scheme != self.origin.scheme().as_str()) {
            return Err(foreign);
        }
        let hosts = parts.headers.get_all(HOST).iter().map(|host| host.to_str().ok());
        for authority in parts.uri.authority().map(|authority| Some(authority.as_str())).into_iter().chain(hosts) {
            if !authority.is_some_and(|authority| self.origin.is_named_by(authority)) {
                return Err(foreign);
            }
            named = true;
        }
        if named { Ok(()) } else { Err(foreign) }
    }
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").field("origin", &self.origin).field("kind", &self.kind).finish_non_exhaustive()
    }
}

fn basic(user: &str, password: &str) -> Zeroizing<String> {
    let pair = Zeroizing::new(format!("{user}:{password}"));
    let encoded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
    Zeroizing::new(format!("Basic {}", *encoded))
}

/// Is this part of a header a key, and not a word that answers may well hold?
fn is_key(part: &str) -> bool {
    part.len() >= KEY
        && part.bytes().any(|byte| byte.is_ascii_digit())
        && part.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// A header value that `Debug` does not show and HPACK does not index.
fn sensitive(text: &str) -> Result<HeaderValue, CredentialError> {
    let mut value = HeaderValue::from_str(text).map_err(|_invalid| CredentialError::Characters)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The URI with a parameter; the caller's of the same name are taken out, however they are written.
fn with_parameter(uri: &Uri, name: &str, value: &str) -> Result<Uri, CredentialError> {
    let mut text = Zeroizing::new(String::from(uri.path()));
    let theirs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let kept = theirs.filter(|pair| {
        let (written, _) = pair.split_once('=').unwrap_or((pair, ""));
        decode(written) != name.as_bytes()
    });
    let mut mark = '?';
    for pair in kept {
        text.push(mark);
        text.push_str(pair);
        mark = '&';
    }
    text.push(mark);
    text.push_str(name);
    text.push('=');
    encode(value.as_bytes(), false, &mut text);
    let mut changed = uri.clone().into_parts();
    changed.path_and_query = Some(PathAndQuery::try_from(text.as_str()).map_err(|_| CredentialError::Characters)?);
    Uri::from_parts(changed).map_err(|_| CredentialError::Characters)
}

/// The characters that RFC 3986, section 2.3, never encodes.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Percent-encodes all but unreserved characters, and slashes if they are to be kept.
fn encode(bytes: &[u8], keep_slashes: bool, into: &mut String) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    for byte in bytes {
        if is_unreserved(*byte) || keep_slashes && *byte == b'/' {
            into.push(char::from(*byte));
        } else {
            into.push('%');
            for digit in [byte >> 4, byte & 15] {
                into.extend(HEX.get(usize::from(digit)));
            }
        }
    }
}

/// Percent-decodes; what is no escape stays as it is.
fn decode(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let escape = (byte == b'%').then(|| Some((hex(ahead.next()?)?, hex(ahead.next()?)?))).flatten();
        match escape {
            Some((high, low)) => {
                decoded.push(high << 4 | low);
                bytes = ahead;
            }
            None => decoded.push(byte),
        }
    }
    decoded
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
