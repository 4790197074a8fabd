//! What proxies pass on of their clients' requests: the request line in headers, and the client's certificate in
//! `X-Forwarded-Client-Cert`. Read strictly, because what a proxy does not set itself its client may have.

use std::net::IpAddr;

use axum::http::HeaderMap;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::parts::HttpAsked;

/// The headers by which a proxy passes on a request line. Those of the other family are not looked at: a client could have
/// sent them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderFamily {
    /// `X-Original-Method`, and `X-Original-URI` with `X-Original-Host` or the whole `X-Original-URL`.
    #[default]
    Original,
    /// `X-Forwarded-Method`, `X-Forwarded-Uri` and `X-Forwarded-Host`.
    Forwarded,
}

/// The request that `auth_request` is about; none if a header is missing, stands there twice, or is no text.
pub(super) fn request(headers: &HeaderMap, family: HeaderFamily) -> Option<HttpAsked> {
    let (method, scheme, authority, target) = match family {
        HeaderFamily::Original => {
            let method = one(headers, "x-original-method")??;
            let (url, uri) = (one(headers, "x-original-url")?, one(headers, "x-original-uri")?);
            match (url, uri) {
                (None, Some(uri)) => {
                    let host = one(headers, "x-original-host")??;
                    (method, one(headers, "x-original-proto")?, host, uri)
                }
                (Some(url), None) => {
                    let (scheme, rest) = url.split_once("://")?;
                    let (authority, target) = rest.split_at_checked(rest.find('/')?)?;
                    (method, Some(scheme), authority, target)
                }
                // Which of them is it?
                (Some(_), Some(_)) | (None, None) => return None,
            }
        }
        HeaderFamily::Forwarded => {
            let method = one(headers, "x-forwarded-method")??;
            let (host, uri) = (one(headers, "x-forwarded-host")??, one(headers, "x-forwarded-uri")??);
            (method, one(headers, "x-forwarded-proto")?, host, uri)
        }
    };
    let asked = HttpAsked {
        method: method.to_owned(),
        authority: authority.to_owned(),
        target: target.to_owned(),
        headers: passed_on(headers),
        body: None,
        tls: scheme == Some("https"),
    };
    Some(asked)
}

/// The headers of the client's request: without those of this hop, and of our own.
pub(super) fn passed_on(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    const OURS: [&str; 9] = [
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "parapet-caller",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    let is_ours = |name: &str| {
        OURS.contains(&name)
            || name.starts_with("x-original-")
            || name.starts_with("x-forwarded-")
            || name.starts_with("x-envoy-")
    };
    let passed = headers.iter().filter(|(name, _)| !is_ours(name.as_str()));
    passed.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}

/// A header that stands there once at most: none if it does not, and nothing at all if it cannot be read in one way.
pub(super) fn one<'h>(headers: &'h HeaderMap, name: &str) -> Option<Option<&'h str>> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Some(None) };
    match (value.to_str(), values.next()) {
        (Ok(text), None) => Some(Some(text)),
        _ => None,
    }
}

/// The client's address: the last that was added, which is the proxy's own word.
pub(super) fn client(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
    last.rsplit(',').next()?.trim().parse().ok()
}

/// The certificates of `X-Forwarded-Client-Cert`, leaf first: those of `Chain`, or that of `Cert`. None if there are several
/// elements, of which only one can be the proxy's word, or none has a certificate: a name alone proves nothing.
pub(super) fn client_certificates(text: &str) -> Option<Vec<Vec<u8>>> {
    let (mut certificate, mut chain) = (None, None);
    for pair in pairs(text)? {
        let (name, value) = pair;
        let place = match name.to_ascii_lowercase().as_str() {
            "cert" => &mut certificate,
            "chain" => &mut chain,
            _ => continue,
        };
        if place.replace(value).is_some() {
            return None;
        }
    }
    pem(&chain.or(certificate)?)
}

/// The pairs of one element: `name=value` with semicolons between, values perhaps in quotes.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    let mut letters = text.chars().peekable();
    loop {
        let mut name = String::new();
        loop {
            match letters.next()? {
                '=' => break,
                letter => name.push(letter),
            }
        }
        let mut value = String::new();
        if letters.next_if_eq(&'"').is_some() {
            loop {
                match letters.next()? {
                    '"' => break,
                    '\\' => value.push(letters.next()?),
                    letter => value.push(letter),
                }
            }
        } else {
            while let Some(letter) = letters.next_if(|letter| !matches!(letter, ';' | ',' | '"')) {
                value.push(letter);
            }
        }
        pairs.push((name.trim().to_owned(), value));
        match letters.next() {
            None => return Some(pairs),
            Some(';') => {}
            Some(_) => return None,
        }
    }
}

/// Certificates in PEM that is encoded as in a URL, in DER.
pub(super) fn pem(encoded: &str) -> Option<Vec<Vec<u8>>> {
    const MOST: usize = 8;
    let mut text = Vec::with_capacity(encoded.len());
    let mut bytes = encoded.bytes();
    while let Some(byte) = bytes.next() {
        text.push(match byte {
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                digit(bytes.next()?)? * 16 + digit(bytes.next()?)?
            }
            byte => byte,
        });
    }
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).take(MOST).collect();
    let all = all.ok()?;
    (!all.is_empty()).then(|| all.into_iter().map(|certificate| certificate.to_vec()).collect())
}
