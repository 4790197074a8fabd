//! One plain `http://` request through the proxy: judged by its destination, passed on in its one normal form, and its answer
//! streamed back. The connection ends behind it, so that nothing on it can be for somebody else.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONNECTION, COOKIE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use wire::http::authority::Scheme;
use wire::http::head::{Destination as Sent, Head};
use wire::http::headers::{self, ResponseRules};
use wire::http::refuse::{DECISION, Form, Refusal};

use super::head::{Asked, Destination};
use super::moved::{Counted, Rewound};
use super::question::{Question, normal_form};
use super::tunnel::cut;
use super::{Client, EgressGateway};
use crate::protocol::http::Given;
use crate::upstream::dial::Stream;

impl EgressGateway {
    /// Passes a request on, if policy lets it be.
    pub(super) async fn pass_on<S>(&self, mut stream: S, client: Client, asked: Asked, to: Destination)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let host = to.host.to_string();
        if let Some(through) = self.interception.as_ref().filter(|through| to.port == 80 && through.http.names(&host)) {
            let given = Given {
                peer: client.peer,
                tls: false,
                sni: None,
                h2: false,
                ahead: asked.bytes,
                certificates: Vec::new(),
                proofs: Some(Arc::clone(&client.proved.proofs)),
                claimed: client.proved.claimed.clone(),
            };
            return through.http.serve_stream(stream, given).await;
        }
        let head = match normal_form(&asked.parts) {
            Ok(head) => head,
            Err(violation) => return self.malformed(&mut stream, violation).await,
        };
        let question = Question::request(&to, &head);
        let Some((mut begun, upstream, receipt)) = self.admit(&mut stream, &client, &question).await else { return };
        let moved = self.idle.watch(receipt.terms().limits.bytes);
        let decision = receipt.decision().to_string();
        drop(receipt);
        let stream = Rewound::new(asked.bytes, stream);
        let upstream = Counted::new(upstream, Arc::clone(&moved));
        let why = tokio::select! {
            biased;
            why = cut(begun.session.live()) => why,
            () = moved.idle() => "idle",
            why = exchange(stream, upstream, &head, &asked.parts, &to, &decision) => why,
        };
        begun.session.count_rows(0, moved.received());
        begun.end(why).await;
    }
}

/// Sends the head that was judged with the body that follows it, and the answer back.
async fn exchange<S>(
    client: Rewound<S>,
    upstream: Counted<Stream>,
    head: &Head,
    asked: &hyper::http::request::Parts,
    to: &Destination,
    decision: &str,
) -> &'static str
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let default = to.port == Scheme::Http.default_port();
    let authority = if default { to.host.to_string() } else { to.named() };
    let sent = Sent { scheme: Scheme::Http, host: &authority, version: Version::HTTP_11 };
    let Ok(mut parts) = head.for_upstream(sent) else { return "client_protocol_violation" };
    // What it shows to the destination is its own: no credential of ours is added here.
    for name in [AUTHORIZATION, COOKIE] {
        for value in asked.headers.get_all(&name) {
            parts.headers.append(name.clone(), value.clone());
        }
    }
    let handshake = hyper::client::conn::http1::Builder::new().handshake(TokioIo::new(upstream)).await;
    let Ok((sender, connection)) = handshake else { return "upstream_closed" };
    // One request: the sender is taken by it.
    let once = Mutex::new(Some((sender, parts)));
    let service = service_fn(|request: Request<Incoming>| {
        let taken = once.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move {
            let Some((mut sender, parts)) = taken else { return Ok(failed()) };
            let asked = sender.send_request(Request::from_parts(parts, request.into_body())).await;
            let Ok(response) = asked else { return Ok(failed()) };
            let mut response = response.map(Either::Left);
            headers::from_upstream(response.headers_mut(), ResponseRules { cookies: true, masked: false });
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            if let Ok(decision) = HeaderValue::from_str(decision) {
                response.headers_mut().insert(DECISION, decision);
            }
            Ok::<Response<Body>, Infallible>(response)
        }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    let mut serving =
        pin!(server.keep_alive(false).header_read_timeout(None).serve_connection(TokioIo::new(client), service));
    let mut connection = pin!(connection);
    let mut open = true;
    loop {
        tokio::select! {
            biased;
            served = &mut serving => return if served.is_ok() { "closed" } else { "connection_failed" },
            _ended = &mut connection, if open => open = false,
        }
    }
}

/// An answer of the destination's, or of our own.
type Body = Either<Incoming, Full<Bytes>>;

/// The destination failed before its answer.
fn failed() -> Response<Body> {
    let reply = Refusal::upstream_failed(None, "").closing().reply(Form::Problem);
    reply.into_response(false).map(|body| Either::Right(Full::new(Bytes::from(body))))
}
