//! The one normal form of a request: what policy sees is what is sent.
//!
//! [`Head::read`] takes a parsed head, of HTTP/1 or HTTP/2, and gives method, host, path, query and headers each in one form,
//! or a [`Violation`]. The caller's credential is taken out and kept aside. [`Head::for_upstream`] writes the head that goes
//! on. Not here: which endpoint it is (`endpoint`), and bodies.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Request, Uri, Version};
use kernel::secret::Secret;

use crate::http::authority::{self, Authority, Scheme};
use crate::http::headers;
use crate::http::letters::trim;
use crate::http::path::CanonicalPath;
use crate::http::query::Query;
use crate::http::secret_store::Profile;
use crate::http::violation::Violation;

/// How a request came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Arrived<'a> {
    /// By HTTP/2.
    pub h2: bool,
    /// The name that the TLS handshake asked for, if it asked for one.
    pub sni: Option<&'a str>,
    /// Under TLS.
    pub tls: bool,
}

/// Where a request goes on to, by which version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination<'a> {
    /// Of the upstream's origin.
    pub scheme: Scheme,
    /// The upstream's host as `Host` says it: with its port, if that is not the scheme's own.
    pub host: &'a str,
    /// Of the connection. Under HTTP/2 the target is a whole URL, as `:scheme` and `:authority` need.
    pub version: Version,
}

/// How a caller's credential is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CredentialScheme {
    /// `Bearer`. RFC 6750.
    Bearer,
    /// `DPoP`. RFC 9449.
    Dpop,
    /// `Basic`: the token is the base64 of name and password. RFC 7617.
    Basic,
    /// Any other.
    Other,
}

/// What a caller shows for itself. It never goes upstream.
#[derive(Debug)]
pub struct CallerCredential {
    /// Its scheme.
    pub scheme: CredentialScheme,
    /// What stands behind the scheme.
    pub token: Secret<String>,
    /// The proof that the token's key is at hand: the header `DPoP`.
    pub proof: Option<String>,
}

impl CallerCredential {
    /// Reads the value of `Authorization` or `Proxy-Authorization`.
    ///
    /// # Errors
    /// [`Violation::Credential`] if it is not a scheme and one more word or list.
    fn read(value: &HeaderValue) -> Result<Self, Violation> {
        let text = value.to_str().map_err(|_| Violation::Credential)?;
        let (scheme, token) = text.split_once(' ').ok_or(Violation::Credential)?;
        let token = token.trim_matches(' ');
        if token.is_empty() {
            return Err(Violation::Credential);
        }
        let is = |known: &str| scheme.eq_ignore_ascii_case(known);
        let scheme = match scheme {
            _ if is("bearer") => CredentialScheme::Bearer,
            _ if is("dpop") => CredentialScheme::Dpop,
            _ if is("basic") => CredentialScheme::Basic,
            _ => CredentialScheme::Other,
        };
        Ok(Self { scheme, token: Secret::new(token.to_owned()), proof: None })
    }

    /// The credential for a proxy, of a CONNECT or a request in absolute form.
    ///
    /// # Errors
    /// [`Violation::RepeatedHeader`] or [`Violation::Credential`].
    pub fn for_proxy(headers: &HeaderMap) -> Result<Option<Self>, Violation> {
        Self::of(headers, &header::PROXY_AUTHORIZATION)
    }

    fn of(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Self>, Violation> {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(_), Some(_)) => Err(Violation::RepeatedHeader),
            (Some(value), None) => {
                let mut credential = Self::read(value)?;
                let proof = headers.get("dpop").map(|proof| proof.to_str().map_err(|_| Violation::Credential));
                credential.proof = proof.transpose()?.map(str::to_owned);
                Ok(Some(credential))
            }
        }
    }
}

/// What a caller prefers while a request is held. RFC 7240.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Prefers {
    /// `wait=n`: seconds. The gateway caps it.
    pub wait: Option<u32>,
    /// `respond-async`.
    pub respond_async: bool,
}

/// In which form a refusal is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Accepts {
    /// A person's browser asks.
    pub html: bool,
    /// The call is gRPC, or gRPC-Web.
    pub grpc: bool,
    /// The call is gRPC-Web.
    pub grpc_web: bool,
    /// What is asked is a secret store of this sort. A head does not say so: whoever finds its upstream fills it in.
    pub store: Option<Profile>,
}

/// A request's head in its one normal form.
pub struct Head {
    /// GET, HEAD, OPTIONS, POST, PUT, PATCH or DELETE.
    pub method: Method,
    /// The host that is asked for; target, `Host`, `:authority` and the TLS handshake agree on it.
    pub authority: Authority,
    /// The path.
    pub path: CanonicalPath,
    /// The query.
    pub query: Query,
    /// The headers that go on: none of a connection, none about where the caller is, none that overrides, no credential.
    pub headers: HeaderMap,
    /// What the caller shows for itself.
    pub credential: Option<CallerCredential>,
    /// The caller's cookies, in one line. They do not go on by themselves.
    pub cookies: Option<HeaderValue>,
    /// What it prefers while it is held.
    pub prefers: Prefers,
    /// How it wants to read a refusal.
    pub accepts: Accepts,
    /// It waits for `100 Continue` before its body.
    pub expects_continue: bool,
    /// The protocol that it wants to change to, in lower case. Never `h2c`.
    pub upgrade: Option<String>,
    /// What the caller says it was granted before: `Parapet-Approval`.
    pub approval: Option<String>,
}

impl std::fmt::Debug for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Path, query and headers hold literals.
        f.debug_struct("Head").field("method", &self.method).field("authority", &self.authority).finish_non_exhaustive()
    }
}

impl Head {
    /// Reads a head.
    ///
    /// # Errors
    /// A [`Violation`] for whatever could be read in two ways.
    pub fn read(parts: &Parts, arrived: Arrived<'_>) -> Result<Self, Violation> {
        Self::build(parts, parts.headers.clone(), arrived)
    }

    /// Reads a head, and takes its headers, which saves a copy of them.
    ///
    /// # Errors
    /// As [`Head::read`].
    pub fn take(mut parts: Parts, arrived: Arrived<'_>) -> Result<Self, Violation> {
        let headers = std::mem::take(&mut parts.headers);
        Self::build(&parts, headers, arrived)
    }

    fn build(parts: &Parts, mut headers: HeaderMap, arrived: Arrived<'_>) -> Result<Self, Violation> {
        let method = match parts.method {
            Method::GET
            | Method::HEAD
            | Method::OPTIONS
            | Method::POST
            | Method::PUT
            | Method::PATCH
            | Method::DELETE => parts.method.clone(),
            _ => return Err(Violation::Method),
        };
        headers::check(&headers, arrived.h2)?;
        let authority = authority::of_request(&parts.uri, &headers, Scheme::of_connection(arrived.tls), arrived.sni)?;
        let target = parts.uri.path_and_query().ok_or(Violation::TargetForm)?;
        let path = CanonicalPath::read(target.path())?;
        let query = Query::read(target.query())?;
        let upgrade = read_upgrade(&headers, &method)?;
        let expects_continue = match headers.get(header::EXPECT) {
            None => false,
            Some(value) if value.as_bytes().eq_ignore_ascii_case(b"100-continue") => true,
            Some(_) => return Err(Violation::Expectation),
        };
        let credential = CallerCredential::of(&headers, &header::AUTHORIZATION)?;
        let cookies = read_cookies(&headers);
        let accepts = read_accepts(&headers);
        let approval = headers.get("parapet-approval").and_then(|id| id.to_str().ok()).map(str::to_owned);
        let prefers = take_prefers(&mut headers);
        headers::for_upstream(&mut headers)?;
        Ok(Self {
            method,
            authority,
            path,
            query,
            headers,
            credential,
            cookies,
            prefers,
            accepts,
            expects_continue,
            upgrade,
            approval,
        })
    }

    /// What is sent behind the method: the path, and the query where there is one.
    pub fn target(&self) -> String {
        match self.query.as_str() {
            Some(query) => format!("{}?{query}", self.path.as_str()),
            None => self.path.as_str().to_owned(),
        }
    }

    /// Takes out what would make a masked answer come in parts, or tell whether a value has changed (HT14).
    pub fn ask_for_the_whole(&mut self) {
        headers::for_masked_route(&mut self.headers, &self.method);
    }

    /// The length that the caller said for its body.
    pub fn content_length(&self) -> Option<u64> {
        self.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }

    /// The head for the upstream: the very path and query that were judged, `Host` from its origin, and nothing that
    /// [`Head::headers`] does not hold. The gateway adds the credential afterwards.
    ///
    /// # Errors
    /// [`Violation::TargetTooLong`] if the target is longer in its normal form than a target may be.
    pub fn for_upstream(&self, to: Destination<'_>) -> Result<Parts, Violation> {
        let target = self.target();
        let target = PathAndQuery::try_from(target).map_err(|_| Violation::TargetTooLong)?;
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = self.method.clone();
        parts.version = to.version;
        parts.headers.clone_from(&self.headers);
        if to.version == Version::HTTP_2 {
            let uri = Uri::builder().scheme(to.scheme.as_str()).authority(to.host).path_and_query(target).build();
            parts.uri = uri.map_err(|_| Violation::Authority)?;
        } else {
            parts.headers.insert(header::HOST, HeaderValue::try_from(to.host).map_err(|_| Violation::Authority)?);
            parts.uri = Uri::from(target);
        }
        Ok(parts)
    }
}

/// Reads method, target and headers by hyper's own grammar, and gives the form of the target that is sent. For property tests
/// and fuzzing; none if hyper would not take it.
pub fn read_raw(
    method: &str,
    target: &str,
    fields: &[(&str, &[u8])],
    arrived: Arrived<'_>,
) -> Option<Result<String, Violation>> {
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = Method::from_bytes(method.as_bytes()).ok()?;
    parts.uri = Uri::try_from(target).ok()?;
    for (name, value) in fields {
        parts.headers.append(HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(value).ok()?);
    }
    Some(Head::read(&parts, arrived).map(|head| head.target()))
}

/// One protocol, asked for properly, and not HTTP/2: a server that took `h2c` would speak what nobody reads (HT11).
fn read_upgrade(headers: &HeaderMap, method: &Method) -> Result<Option<String>, Violation> {
    let Some(value) = headers.get(header::UPGRADE) else {
        return Ok(None);
    };
    let asked = headers.get_all(header::CONNECTION).iter().any(|value| {
        value.as_bytes().split(|byte| *byte == b',').any(|token| trim(token).eq_ignore_ascii_case(b"upgrade"))
    });
    let protocol = value.to_str().map_err(|_| Violation::Upgrade)?.to_ascii_lowercase();
    let plain = !protocol.is_empty()
        && protocol.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/'));
    let is_http = protocol.starts_with("h2") || protocol.starts_with("http") || protocol.starts_with("tls");
    if !asked || !plain || is_http || *method != Method::GET && protocol == "websocket" {
        return Err(Violation::Upgrade);
    }
    Ok(Some(protocol))
}

/// HTTP/2 may split the cookies into several lines; elsewhere two lines are read in two ways (RFC 9113, §8.2.3).
fn read_cookies(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut lines = headers.get_all(header::COOKIE).iter();
    let first = lines.next()?;
    let mut whole = first.as_bytes().to_vec();
    for line in lines {
        whole.extend_from_slice(b"; ");
        whole.extend_from_slice(line.as_bytes());
    }
    HeaderValue::from_bytes(&whole).ok()
}

/// Takes our own preferences out of `Prefer`; what else stands there is the upstream's.
fn take_prefers(headers: &mut HeaderMap) -> Prefers {
    const PREFER: HeaderName = HeaderName::from_static("prefer");
    let mut prefers = Prefers::default();
    if !headers.contains_key(PREFER) {
        return prefers;
    }
    let mut rest = Vec::new();
    for value in headers.get_all(PREFER) {
        for item in value.to_str().unwrap_or_default().split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let (name, value) = item.split_once('=').unwrap_or((item, ""));
            let name = name.trim();
            if name.eq_ignore_ascii_case("respond-async") {
                prefers.respond_async = true;
            } else if name.eq_ignore_ascii_case("wait") {
                // Of several, the first counts (RFC 7240, §2).
                let seconds = value.trim().trim_matches('"').parse().ok();
                prefers.wait = prefers.wait.or(seconds);
            } else {
                rest.push(item.to_owned());
            }
        }
    }
    headers.remove(PREFER);
    if !rest.is_empty()
        && let Ok(value) = HeaderValue::try_from(rest.join(", "))
    {
        headers.insert(PREFER, value);
    }
    prefers
}

/// Programs that take anything get problem+json; a browser names `text/html` before JSON.
fn read_accepts(headers: &HeaderMap) -> Accepts {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let place = |wanted: &str| {
        accept.split(',').position(|item| {
            let mut parts = item.split(';').map(str::trim);
            let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(wanted));
            named && !parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        })
    };
    let begins = |with: &[u8]| kind.get(..with.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(with));
    let html = if accept.contains("html") { place("text/html") } else { None };
    let json = || place("application/json").or_else(|| place("application/problem+json"));
    Accepts {
        html: html.is_some_and(|html| json().is_none_or(|json| html < json)),
        grpc: begins(b"application/grpc"),
        grpc_web: begins(b"application/grpc-web"),
        store: None,
    }
}

#[cfg(test)]
mod tests;
