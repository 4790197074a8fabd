//! AWS Signature Version 4: signs a request with an access key. Bodies are covered by their digest; for S3, whose uploads
//! are large, they need not be, since TLS protects them.
//!
//! The source is the AWS documentation, "Signature Version 4 signing process" and "Authenticating Requests (AWS Signature
//! Version 4)" of Amazon S3. Presigned URLs and chunks signed one by one are not made here.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{self, HMAC_SHA256, Key};
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use kernel::approval::hex;
use kernel::time::Timestamp;
use zeroize::Zeroizing;

use super::{CredentialError, decode, encode, sensitive};
use crate::upstream::origin::Origin;
use crate::upstream::secret::SecretSource;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const SESSION: HeaderName = HeaderName::from_static("x-amz-security-token");
const CONTENT: HeaderName = HeaderName::from_static("x-amz-content-sha256");
/// The body is not covered.
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
/// The body comes in chunks with a checksum at its end, and without signatures.
const UNSIGNED_TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

/// An access key, and what it signs for.
#[derive(Clone, Debug)]
pub struct AccessKey {
    /// Its id, which is no secret.
    pub id: String,
    /// Its secret.
    pub secret: SecretSource,
    /// The session token of temporary keys.
    pub session_token: Option<SecretSource>,
    /// The region, such as `eu-central-1`.
    pub region: String,
    /// The service, such as `s3` or `execute-api`.
    pub service: String,
}

impl AccessKey {
    /// Every service but S3 wants the body covered.
    pub(super) fn signs_bodies(&self) -> bool {
        !self.is_s3()
    }

    fn is_s3(&self) -> bool {
        matches!(self.service.as_str(), "s3" | "s3-object-lambda" | "s3express" | "s3-outposts")
    }
}

/// Signs a request whose method, URI and headers are final. Headers beside `host`, `content-type`, `content-md5` and
/// `x-amz-*` are not covered, since a proxy on the way may change them.
pub(super) fn sign(
    key: &AccessKey,
    secret: &str,
    session: Option<&str>,
    parts: &mut Parts,
    origin: &Origin,
    body_digest: Option<[u8; 32]>,
    now: Timestamp,
) -> Result<(), CredentialError> {
    let content = content(key, parts, body_digest)?;
    let (date_time, date) = times(now);
    let plain = |text: &str| HeaderValue::from_str(text).map_err(|_invalid| CredentialError::Characters);
    parts.headers.insert(DATE, plain(&date_time)?);
    parts.headers.remove(SESSION);
    if let Some(token) = session {
        parts.headers.insert(SESSION, sensitive(token)?);
    }
    parts.headers.remove(CONTENT);
    if key.is_s3() {
        parts.headers.insert(CONTENT, plain(&content)?);
    }
    let (canonical, signed) = canonical_request(key, parts, origin, &content)?;
    let scope = format!("{date}/{}/{}/aws4_request", key.region, key.service);
    let text = format!("{ALGORITHM}\n{date_time}\n{scope}\n{}", hex(digest(&SHA256, canonical.as_bytes()).as_ref()));
    let signature = hex(mac(&signing_key(secret, &date, &key.region, &key.service), &text).as_ref());
    let value = format!("{ALGORITHM} Credential={}/{scope}, SignedHeaders={signed}, Signature={signature}", key.id);
    parts.headers.insert(AUTHORIZATION, sensitive(&value)?);
    Ok(())
}

/// What the signature says about the body.
fn content(key: &AccessKey, parts: &Parts, body_digest: Option<[u8; 32]>) -> Result<String, CredentialError> {
    let declared = parts.headers.get(CONTENT).map(HeaderValue::as_bytes).unwrap_or_default();
    match body_digest {
        _ if declared == UNSIGNED_TRAILER.as_bytes() && key.is_s3() => Ok(UNSIGNED_TRAILER.to_owned()),
        _ if declared.starts_with(b"STREAMING-") => Err(CredentialError::SignedChunks),
        Some(digest) => Ok(hex(&digest)),
        None if key.is_s3() => Ok(UNSIGNED.to_owned()),
        None => Err(CredentialError::BodyUnread),
    }
}

/// `20150830T123600Z` and `20150830`.
fn times(now: Timestamp) -> (String, String) {
    let text = now.to_string();
    // 2015-08-30T12:36:00.000Z
    let seconds = text.split('.').next().unwrap_or_default();
    let date_time: String = seconds.chars().filter(|char| !matches!(char, '-' | ':')).chain(['Z']).collect();
    let date = date_time.split('T').next().unwrap_or_default().to_owned();
    (date_time, date)
}

fn mac(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&Key::new(HMAC_SHA256, key), text.as_bytes())
}

fn signing_key(secret: &str, date: &str, region: &str, service: &str) -> Zeroizing<Vec<u8>> {
    let first = Zeroizing::new(format!("AWS4{secret}"));
    let mut key = Zeroizing::new(mac(first.as_bytes(), date).as_ref().to_vec());
    for step in [region, service, "aws4_request"] {
        key = Zeroizing::new(mac(&key, step).as_ref().to_vec());
    }
    key
}

/// The canonical request, and the names of the headers that it covers.
fn canonical_request(
    key: &AccessKey,
    parts: &Parts,
    origin: &Origin,
    content: &str,
) -> Result<(Zeroizing<String>, String), CredentialError> {
    let mut headers: Vec<(&str, String)> = vec![("host", origin.authority())];
    for name in parts.headers.keys() {
        let name = name.as_str();
        if matches!(name, "content-type" | "content-md5") || name.starts_with("x-amz-") {
            let values = parts.headers.get_all(name).iter().map(|value| value.to_str().map(collapsed));
            let values = values.collect::<Result<Vec<_>, _>>().map_err(|_| CredentialError::Characters)?;
            headers.push((name, values.join(",")));
        }
    }
    headers.sort_unstable();
    let signed = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    // It holds the session token, if there is one.
    let mut text = Zeroizing::new(format!("{}\n", parts.method));
    canonical_path(key, parts.uri.path(), &mut text);
    text.push('\n');
    text.push_str(&canonical_query(parts.uri.query().unwrap_or_default()));
    text.push('\n');
    for (name, value) in &headers {
        text.extend([name, ":", value, "\n"]);
    }
    text.extend(["\n", &signed, "\n", content]);
    Ok((text, signed))
}

/// S3 takes the path as it was before encoding, and encodes it once; others encode what was sent once more.
fn canonical_path(key: &AccessKey, path: &str, into: &mut String) {
    if !key.is_s3() {
        return encode(if path.is_empty() { b"/" } else { path.as_bytes() }, true, into);
    }
    for segment in path.strip_prefix('/').unwrap_or(path).split('/') {
        into.push('/');
        encode(&decode(segment), false, into);
    }
}

fn canonical_query(query: &str) -> String {
    let encoded = |text: &str| {
        let mut encoded = String::new();
        encode(&decode(text), false, &mut encoded);
        encoded
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<_> = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (encoded(name), encoded(value)))
        .collect();
    pairs.sort_unstable();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// A header's value without white space around it, and with one space for several.
fn collapsed(value: &str) -> String {
    value.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
