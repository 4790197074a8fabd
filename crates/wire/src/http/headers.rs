//! Which headers go on, in both directions: nothing that belongs to one connection, nothing that says who the caller is, and
//! nothing that would make an upstream read another request than policy saw (HT06, HT07, HT13, HT14).
//!
//! What goes on is what is left; what the gateway adds, it adds afterwards. Names with an underscore go, because what follows
//! the CGI reads `_` and `-` as one letter. Sources: RFC 9110, §6.5.1, §7.6, §13.1, §14.2; RFC 9113, §8.2.2.

use http::Method;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::http::echo::Echoes;
use crate::http::letters::trim;
use crate::http::violation::Violation;

/// Headers that belong to one connection. `te: trailers` is added again where it was. RFC 9110, §7.6.1.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authentication-info",
    "te",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// The caller's credentials, which no upstream gets.
const CREDENTIALS: &[&str] = &["authorization", "proxy-authorization", "cookie", "cookie2", "dpop"];

/// Headers that say from where and through whom a request came.
const FORWARDING: &[&str] = &[
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-originating-ip",
    "x-anonymous-consumer",
    "x-client-verify",
    "x-client-dn",
    "x-host",
    "x-scheme",
    "x-url-scheme",
    "x-original-host",
    "x-original-forwarded-for",
    "x-proxyuser-ip",
    "x-azure-clientip",
    "x-azure-socketip",
    "x-appengine-user-ip",
];

/// The same, of names that do not begin with `x-`.
const PLAIN_FORWARDING: &[&str] = &[
    "forwarded",
    "via",
    "max-forwards",
    "client-ip",
    "true-client-ip",
    "fastly-client-ip",
    "front-end-https",
    "cdn-loop",
    "proxy",
];

/// What many headers of the same sort begin with: those of proxies, of what stands before an application and says who its
/// user is (oauth2-proxy, Authelia, Authentik, Pomerium, Kong, Grafana's and the clouds'), and of Kubernetes, where they would act in
/// another's name by the gateway's right (hazards KU07).
const FORWARDING_PREFIXES: &[&str] = &[
    "x-forwarded",
    "x-ssl-",
    "x-tls-client-",
    "x-client-cert",
    "x-remote-",
    "x-authenticated-",
    "x-auth-request-",
    "x-authentik-",
    "x-webauth-",
    "x-pomerium-",
    "x-consumer-",
    "x-credential-",
    "x-envoy-",
    "x-goog-authenticated-user-",
    "x-goog-iap-",
    "x-ms-client-principal",
    "x-arr-",
    "x-amzn-oidc-",
    "x-amzn-mtls-",
    "x-parapet-",
    "parapet-",
];

/// The same, of names that do not begin with `x-`.
const PLAIN_PREFIXES: &[&str] = &["remote-", "impersonate-", "ssl-client-", "cf-", "tailscale-user-"];

/// Headers that make a framework or a server take another method or path than the request line says.
const OVERRIDES: &[&str] = &[
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-http-path-override",
    "x-original-url",
    "x-original-uri",
    "x-original-path",
    "x-original-method",
    "x-rewrite-url",
    "x-rewrite-uri",
    "x-override-url",
    "x-request-uri",
    "x-script-name",
    "x-waws-unencoded-url",
    "x-middleware-subrequest",
    "x-middleware-rewrite",
    "x-accel-redirect",
    "x-sendfile",
];

/// What `Connection` may not name: a next hop that believed it would read another message (HT07).
const NEVER_NOMINATED: &[&str] = &[
    "host",
    "content-length",
    "transfer-encoding",
    "content-type",
    "content-encoding",
    "authorization",
    "cookie",
    "expect",
    "range",
    "cache-control",
    "if-match",
    "if-unmodified-since",
    "accept-encoding",
];

/// Headers that may stand once: of two, one parser takes the first and another the last (HT08).
const ONCE: [HeaderName; 11] = [
    header::AUTHORIZATION,
    header::PROXY_AUTHORIZATION,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::EXPECT,
    header::RANGE,
    header::HOST,
    header::UPGRADE,
    header::COOKIE,
    HeaderName::from_static("dpop"),
];

/// Does it never go upstream? Any name with an underscore does not.
fn is_taken_out(name: &str) -> bool {
    if name.as_bytes().contains(&b'_') {
        return true;
    }
    // Most names are of the first sort, so they are asked the fewest questions.
    if name.starts_with("x-") || name.starts_with("parapet-") {
        return FORWARDING.contains(&name)
            || OVERRIDES.contains(&name)
            || FORWARDING_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    }
    HOP_BY_HOP.contains(&name)
        || CREDENTIALS.contains(&name)
        || PLAIN_FORWARDING.contains(&name)
        || PLAIN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || matches!(name, "request-uri")
}

/// May a field of this name stand in trailers? Nothing that frames, routes, authenticates or describes the content may.
/// RFC 9110, §6.5.1.
pub(super) fn may_trail(name: &[u8]) -> bool {
    const HEAD_ONLY: &[&str] = &[
        "host",
        "content-length",
        "content-type",
        "content-encoding",
        "content-range",
        "trailer",
        "expect",
        "range",
        "cache-control",
        "prefer",
        "set-cookie",
        "age",
        "date",
        "expires",
        "location",
        "retry-after",
        "vary",
        "warning",
        "www-authenticate",
        "pragma",
        "accept-encoding",
        "if-match",
        "if-none-match",
        "if-modified-since",
        "if-unmodified-since",
        "if-range",
    ];
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    !HEAD_ONLY.contains(&name.as_str()) && !is_taken_out(&name)
}

/// Takes out of a request's trailers what may not stand there; HTTP/2 does not let `framing` see them.
///
/// # Errors
/// [`Violation::Trailer`] if there is anything of the sort.
pub fn request_trailers(trailers: &HeaderMap) -> Result<(), Violation> {
    if trailers.keys().all(|name| may_trail(name.as_str().as_bytes())) { Ok(()) } else { Err(Violation::Trailer) }
}

/// Takes out of a response's trailers what may not stand there, and on masked routes everything but gRPC's status.
pub fn response_trailers(trailers: &mut HeaderMap, masked: bool) {
    let gone: Vec<HeaderName> = trailers
        .keys()
        .filter(|name| {
            !may_trail(name.as_str().as_bytes()) || masked && !matches!(name.as_str(), "grpc-status" | "grpc-message")
        })
        .cloned()
        .collect();
    for name in gone {
        trailers.remove(name);
    }
}

/// What `Connection` names, in lower case, but for `keep-alive`, which almost every one names, and which goes anyway. Names that
/// are no tokens cannot match a header, and go with `Connection`.
fn nominated(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| std::str::from_utf8(trim(name)).ok())
        .filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("keep-alive"))
        .map(str::to_ascii_lowercase)
        .collect()
}

/// Looks at what may stand once, and at what HTTP/2 has no place for (HT02, HT08).
pub(super) fn check(headers: &HeaderMap, h2: bool) -> Result<(), Violation> {
    // As many names as lines: nothing is repeated.
    let repeats = headers.keys_len() < headers.len();
    let twice = |name: &HeaderName| headers.get_all(name).iter().nth(1).is_some();
    // RFC 9113, §8.2.3 lets HTTP/2 split one cookie header into several.
    if repeats && ONCE.iter().any(|name| twice(name) && !(h2 && name == header::COOKIE)) {
        return Err(Violation::RepeatedHeader);
    }
    if h2 {
        let trailers_only = headers.get_all(header::TE).iter().all(|value| value.as_bytes() == b"trailers");
        let connection = HOP_BY_HOP.iter().filter(|name| **name != "te").any(|name| headers.contains_key(*name));
        if connection || !trailers_only {
            return Err(Violation::ConnectionHeader);
        }
    }
    Ok(())
}

/// Takes out what must not go upstream: hop-by-hop and nominated headers, who the caller is, where it came from, overrides.
/// `Host` too: it is written from the upstream's origin.
///
/// # Errors
/// [`Violation::Nominated`] if `Connection` names what must reach the end.
pub(super) fn for_upstream(headers: &mut HeaderMap) -> Result<(), Violation> {
    let trailers = headers.get_all(header::TE).iter().any(|value| {
        value.as_bytes().split(|byte| *byte == b',').any(|coding| trim(coding).eq_ignore_ascii_case(b"trailers"))
    });
    if headers.contains_key(header::CONNECTION) {
        for name in nominated(headers) {
            if NEVER_NOMINATED.contains(&name.replace('_', "-").as_str()) {
                return Err(Violation::Nominated);
            }
            headers.remove(name.as_str());
        }
    }
    // Those of almost every request go by themselves, so that the list of others is empty.
    for name in [header::HOST, header::EXPECT, header::AUTHORIZATION, header::CONNECTION] {
        headers.remove(name);
    }
    let gone: Vec<HeaderName> = headers.keys().filter(|name| is_taken_out(name.as_str())).cloned().collect();
    for name in gone {
        headers.remove(name);
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    Ok(())
}

/// What of a response may not reach the client, whatever the route.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResponseRules {
    /// `Set-Cookie` passes: the client keeps a session of its own with the upstream. Its cookies never go there, though.
    pub cookies: bool,
    /// Values of the response are replaced, so nothing may tell of the bytes that they had (HT14).
    pub masked: bool,
}

/// Takes out of a response what belongs to the upstream's connection, what leads around the gateway, and what only the
/// gateway says (`Parapet-…`).
pub fn from_upstream(headers: &mut HeaderMap, rules: ResponseRules) {
    for name in nominated(headers) {
        headers.remove(name.as_str());
    }
    headers.remove(header::CONNECTION);
    let ours = |name: &str| name.starts_with("parapet-") || name.starts_with("x-parapet-");
    let elsewhere = ["alt-svc", "x-accel-redirect", "x-sendfile", "x-accel-buffering", "x-middleware-rewrite"];
    let gone: Vec<HeaderName> = headers
        .keys()
        .filter(|name| {
            let name = name.as_str();
            HOP_BY_HOP.contains(&name)
                || ours(name)
                || elsewhere.contains(&name)
                || !rules.cookies && matches!(name, "set-cookie" | "set-cookie2")
        })
        .cloned()
        .collect();
    for name in gone {
        headers.remove(name);
    }
    if rules.masked {
        for name in MASKED_RESPONSE {
            headers.remove(*name);
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// Lengths, digests and validators are of the unmasked bytes; parts cannot be masked.
const MASKED_RESPONSE: &[&str] = &[
    "content-length",
    "etag",
    "last-modified",
    "accept-ranges",
    "content-range",
    "content-md5",
    "digest",
    "content-digest",
    "repr-digest",
    "expires",
    "age",
    "pragma",
    "trailer",
    "signature",
    "signature-input",
];

/// Takes out of a request what would make a masked route answer with a part of a value, or say whether one has changed: the
/// upstream answers with the whole, and it is masked (HT14). The preconditions of a write stay, because a write without them is
/// another write.
pub(super) fn for_masked_route(headers: &mut HeaderMap, method: &Method) {
    for name in ["range", "if-range", "want-digest", "want-content-digest", "want-repr-digest", "a-im"] {
        headers.remove(name);
    }
    if method.is_safe() {
        for name in [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE, header::IF_MATCH, header::IF_UNMODIFIED_SINCE] {
            headers.remove(name);
        }
    }
}

/// Takes out headers of a response that echo what the gateway added to the request (HT13). Gives how many.
pub fn without_echo(headers: &mut HeaderMap, echoes: &Echoes) -> u32 {
    let gone: Vec<HeaderName> =
        headers.iter().filter(|(_, value)| echoes.are_in(value.as_bytes())).map(|(name, _)| name.clone()).collect();
    for name in &gone {
        headers.remove(name);
    }
    u32::try_from(gone.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
