//! How a kept request, and the answer to it, are written down before they are encrypted: JSON, with bytes in base64.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, StatusCode};
use kernel::time::Timestamp;
use kernel::workload::Name;
use serde::{Deserialize, Serialize};
use wire::http::head::{Arrived, Head};

/// Headers of an answer that belong to the moment or the connection in which it came.
const OF_THE_MOMENT: [&str; 5] = ["connection", "content-length", "set-cookie", "trailer", "transfer-encoding"];

/// A request in its one form, who asked it and from where.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeptForm {
    pub(super) upstream: Name,
    method: String,
    host: String,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
    pub(super) source: IpAddr,
    pub(super) tls: bool,
    /// When the proof ends.
    until_ms: Option<i64>,
    /// The proof, as the kernel writes it.
    who: String,
}

/// Who asked whom, and from where.
pub(super) struct Asker {
    pub(super) upstream: Name,
    pub(super) source: IpAddr,
    pub(super) tls: bool,
    pub(super) until: Option<Timestamp>,
    pub(super) who: Vec<u8>,
}

fn written(headers: &HeaderMap, left_out: &[&str]) -> Vec<(String, String)> {
    let stays = |(name, _): &(&HeaderName, &HeaderValue)| !left_out.contains(&name.as_str());
    let text = |(name, value): (&HeaderName, &HeaderValue)| (name.as_str().to_owned(), STANDARD.encode(value));
    headers.iter().filter(stays).map(text).collect()
}

fn read(headers: &[(String, String)]) -> Option<HeaderMap> {
    let mut read = HeaderMap::with_capacity(headers.len() + 1);
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(&STANDARD.decode(value).ok()?).ok()?;
        read.append(HeaderName::from_bytes(name.as_bytes()).ok()?, value);
    }
    Some(read)
}

impl KeptForm {
    /// Writes a request down. None if that cannot be.
    pub(super) fn write(head: &Head, body: &[u8], asker: Asker) -> Option<Vec<u8>> {
        let form = Self {
            upstream: asker.upstream,
            method: head.method.to_string(),
            host: head.authority.to_string(),
            target: head.target(),
            headers: written(&head.headers, &[]),
            body: STANDARD.encode(body),
            source: asker.source,
            tls: asker.tls,
            until_ms: asker.until.map(Timestamp::millis),
            who: STANDARD.encode(asker.who),
        };
        serde_json::to_vec(&form).ok()
    }

    /// Reads it back.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    pub(super) fn until(&self) -> Option<Timestamp> {
        self.until_ms.map(Timestamp::from_millis)
    }

    pub(super) fn who(&self) -> Option<Vec<u8>> {
        STANDARD.decode(&self.who).ok()
    }

    pub(super) fn body(&self) -> Option<Bytes> {
        STANDARD.decode(&self.body).ok().map(Bytes::from)
    }

    /// The head, brought to its one form again: what is in it already stays as it is.
    pub(super) fn head(&self) -> Option<Head> {
        let mut request = Request::builder().method(self.method.as_str()).uri(&self.target).body(()).ok()?;
        *request.headers_mut() = read(&self.headers)?;
        request.headers_mut().insert(HOST, HeaderValue::from_str(&self.host).ok()?);
        let (parts, ()) = request.into_parts();
        Head::take(parts, Arrived { h2: false, sni: None, tls: self.tls }).ok()
    }
}

/// An answer: what its workload is given.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AnswerForm {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl AnswerForm {
    /// Writes an answer down. None if that cannot be.
    pub(super) fn write(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<Vec<u8>> {
        let form =
            Self { status: status.as_u16(), headers: written(headers, &OF_THE_MOMENT), body: STANDARD.encode(body) };
        serde_json::to_vec(&form).ok()
    }

    /// Reads it back.
    pub(super) fn read(bytes: &[u8]) -> Option<(StatusCode, HeaderMap, Bytes)> {
        let form: Self = serde_json::from_slice(bytes).ok()?;
        let status = StatusCode::from_u16(form.status).ok()?;
        Some((status, read(&form.headers)?, STANDARD.decode(&form.body).ok()?.into()))
    }
}

#[cfg(test)]
mod tests {
    use wire::http::bound::Bound;

    use super::*;

    #[test]
    fn a_request_is_read_back_as_it_was() {
        let request = Request::builder()
            .method("POST")
            .uri("/v1/a%3Ab/?x=1&y=%20")
            .header(HOST, "payments.internal:8080")
            .header("content-type", "application/json")
            .header("x-tenant", "gr\u{fc}n")
            .header("x-tenant", "two")
            .header("content-length", "3")
            .header("cookie", "a=b")
            .body(())
            .unwrap();
        let (parts, ()) = request.into_parts();
        let arrived = Arrived { h2: false, sni: None, tls: true };
        let mut head = Head::read(&parts, arrived).unwrap();
        // As an upstream with cookies has it.
        head.headers.insert("cookie", head.cookies.take().unwrap());
        let asker = Asker {
            upstream: "payments".parse().unwrap(),
            source: [192, 0, 2, 7].into(),
            tls: true,
            until: Some(Timestamp::from_millis(5)),
            who: b"who".to_vec(),
        };
        let form = KeptForm::read(&KeptForm::write(&head, b"{}\n", asker).unwrap()).unwrap();
        let mut again = form.head().unwrap();
        again.headers.insert("cookie", again.cookies.take().unwrap());
        assert_eq!(Bound::of(&again, b"{}\n"), Bound::of(&head, b"{}\n"));
        assert_eq!((again.authority.to_string(), again.target()), (head.authority.to_string(), head.target()));
        assert_eq!((form.body().unwrap().as_ref(), form.who().unwrap().as_slice()), (&b"{}\n"[..], &b"who"[..]));
        assert_eq!(
            (form.until(), form.source, form.tls),
            (Some(Timestamp::from_millis(5)), [192, 0, 2, 7].into(), true)
        );
    }

    #[test]
    fn an_answer_keeps_what_is_the_answers() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("content-type", "text/plain"), ("set-cookie", "a=b"), ("content-length", "2"), ("x-a", "1"), ("x-a", "2")]
        {
            headers.append(name, HeaderValue::from_static(value));
        }
        let written = AnswerForm::write(StatusCode::CREATED, &headers, b"ok").unwrap();
        let (status, kept, body) = AnswerForm::read(&written).unwrap();
        assert_eq!((status, body.as_ref(), kept.len()), (StatusCode::CREATED, &b"ok"[..], 3));
        assert!(!kept.contains_key("set-cookie") && !kept.contains_key("content-length"));
    }
}
