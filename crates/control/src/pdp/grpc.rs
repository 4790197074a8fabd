//! Envoy's `ext_authz` over gRPC: `envoy.service.auth.v3.Authorization/Check`, one message each way over HTTP/2. The frame is
//! five bytes and the status stands in trailers; that is all of gRPC that is needed.

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;

use super::caller::{Authorization, Use, admit};
use super::check::{PassedOn, Reply, check as judge};
use super::evaluate::Body as Received;
use super::forwarded::pem;
use super::parts::HttpAsked;
use super::{Arrived, Point, Shared};
use crate::problem::Problem;

pub(crate) mod messages;

use messages::{CheckRequest, CheckResponse, Denied, HeaderOption, HeaderValue as Pair, HttpStatus, Passes, Status};

const CONTENT_TYPE: &str = "application/grpc";
/// Codes of gRPC.
const OK: i32 = 0;
const INVALID_ARGUMENT: i32 = 3;
const PERMISSION_DENIED: i32 = 7;
const RESOURCE_EXHAUSTED: i32 = 8;
const INTERNAL: i32 = 13;
const UNAUTHENTICATED: i32 = 16;

/// `Check`
pub(super) async fn check(
    State(point): Shared,
    Extension(arrived): Extension<Arrived>,
    headers: HeaderMap,
    body: Received,
) -> Response {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind != CONTENT_TYPE && kind != "application/grpc+proto" {
        return Problem::Unreadable("it is no call of gRPC").into_response();
    }
    match answered(&point, &arrived, &headers, body).await {
        Ok(reply) => answer(&reply),
        Err(problem) => failure(match problem {
            Problem::Unauthenticated => UNAUTHENTICATED,
            Problem::Forbidden => PERMISSION_DENIED,
            Problem::TooManyFailures => RESOURCE_EXHAUSTED,
            Problem::Unreadable(_) | Problem::TooLarge => INVALID_ARGUMENT,
            // Never UNAVAILABLE: clients try again by themselves.
            _ => INTERNAL,
        }),
    }
}

async fn answered(point: &Point, arrived: &Arrived, headers: &HeaderMap, body: Received) -> Result<Reply, Problem> {
    let caller = admit(point, arrived, headers, Authorization::Own, Use::Check).await?;
    let body = body.map_err(|_| Problem::TooLarge)?;
    let message = framed(&body).ok_or(Problem::Unreadable("it is not one plain message"))?;
    let request = CheckRequest::decode(message).map_err(|_| Problem::Unreadable("it is no `CheckRequest`"))?;
    let passed = passed(request).ok_or(Problem::Unreadable("it is about no HTTP request, or about two"))?;
    judge(point, arrived, &caller, passed).await
}

/// The message of a body that holds exactly one, uncompressed.
fn framed(body: &Bytes) -> Option<&[u8]> {
    let (head, message) = body.split_at_checked(5)?;
    let [0, length @ ..] = head else { return None };
    let length = u32::from_be_bytes(length.try_into().ok()?);
    (usize::try_from(length).ok()? == message.len()).then_some(message)
}

/// The request that is asked about.
fn passed(request: CheckRequest) -> Option<PassedOn> {
    let attributes = request.attributes?;
    let http = attributes.request?.http?;
    let headers = match (http.headers.is_empty(), http.header_map) {
        (_, None) => http.headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect(),
        (true, Some(map)) => map.headers.into_iter().map(|pair| (pair.key, pair.raw_value)).collect::<Vec<_>>(),
        (false, Some(_)) => return None,
    };
    // Pseudo-headers say again what the message says, and Envoy's own are not the client's.
    let all: Vec<(String, Vec<u8>)> = headers.into_iter().filter(|(name, _)| !name.starts_with(':')).collect();
    let one = |wanted: &str| {
        let mut values = all.iter().filter(|(name, _)| name == wanted);
        match (values.next(), values.next()) {
            (None, _) => Some(None),
            (Some((_, value)), None) => Some(Some(String::from_utf8(value.clone()).ok()?)),
            (Some(_), Some(_)) => None,
        }
    };
    let authorization = one("authorization")?;
    let whole = one("x-envoy-auth-partial-body")?.as_deref() == Some("false");
    let sent = if http.raw_body.is_empty() { http.body.into_bytes() } else { http.raw_body };
    // A wish to change the protocol stays: policies see it.
    let hop = |name: &str| matches!(name, "content-length" | "transfer-encoding" | "host" | "te");
    let ours = |name: &str| name.starts_with("x-envoy-") || name.starts_with("x-forwarded-");
    let headers = all.iter().filter(|(name, _)| !hop(name) && !ours(name)).cloned().collect();
    let source = attributes.source.unwrap_or_default();
    let address = source.address.and_then(|address| address.socket).map(|socket| socket.address);
    Some(PassedOn {
        http: HttpAsked {
            method: http.method,
            authority: http.host,
            target: http.path,
            headers,
            // An empty one is not taken for the client's: an Envoy that passes on no bodies says of them what its client says.
            body: Some(sent).filter(|sent| whole && !sent.is_empty()),
            tls: http.scheme == "https",
        },
        authorization,
        certificates: if source.certificate.is_empty() { Vec::new() } else { pem(&source.certificate)? },
        source: address.and_then(|address| address.parse().ok()),
    })
}

/// A reply as a message, with the status of the call in trailers.
fn answer(reply: &Reply) -> Response {
    let option = |(name, value): (&str, String)| HeaderOption {
        header: Some(Pair { key: name.to_owned(), value, raw_value: Vec::new() }),
        append_action: 2,
    };
    let headers: Vec<HeaderOption> = reply.headers().into_iter().map(option).collect();
    let message = match reply.passes() {
        true => CheckResponse {
            status: Some(Status { code: OK }),
            denied: None,
            ok: Some(Passes { response_headers: headers.iter().take(1).cloned().collect(), headers }),
        },
        false => {
            let kind = option(("content-type", "application/problem+json".to_owned()));
            CheckResponse {
                status: Some(Status {
                    code: if reply.status == StatusCode::UNAUTHORIZED { UNAUTHENTICATED } else { PERMISSION_DENIED },
                }),
                denied: Some(Denied {
                    status: Some(HttpStatus { code: i32::from(reply.status.as_u16()) }),
                    headers: headers.into_iter().chain([kind]).collect(),
                    body: reply.body().unwrap_or_default().as_ref().to_owned(),
                }),
                ok: None,
            }
        }
    };
    let encoded = message.encode_to_vec();
    let length = u32::try_from(encoded.len()).unwrap_or(u32::MAX);
    let mut frame = Vec::with_capacity(encoded.len() + 5);
    frame.push(0);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&encoded);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from(frame)).with_trailers(std::future::ready(Some(Ok(trailers))));
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], Body::new(body)).into_response()
}

/// A call that came to nothing: its status stands in the headers.
fn failure(code: i32) -> Response {
    ([
        (header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE)),
        (header::HeaderName::from_static("grpc-status"), HeaderValue::from(code)),
    ])
    .into_response()
}
