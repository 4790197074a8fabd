//! As much of gRPC as the Workload API takes: one empty request, then a stream of messages (gRPC over HTTP/2). The HTTP/2 is
//! hyper's own, driven by its caller instead of by tasks of its own.

use std::future::Future;
use std::marker::PhantomData;

use bytes::{Buf as _, Bytes, BytesMut};
use h2::RecvStream;
use h2::client::SendRequest;
use hyper::Request;
use hyper::header::{CONTENT_TYPE, HeaderMap, TE, USER_AGENT};
use prost::Message;

use super::WorkloadApiError;
use crate::upstream::dial::Stream;

/// The longest message, in bytes.
const LONGEST_MESSAGE: usize = 4 << 20;
/// The longest header list, in bytes.
const LONGEST_HEADERS: u32 = 16 * 1024;
/// A byte that says whether the message is compressed, and its length.
const PREFIX: usize = 5;
/// `PERMISSION_DENIED`: the agent has no identity for the caller.
const PERMISSION_DENIED: u32 = 7;

/// An HTTP/2 connection. Nothing moves unless `driving` is polled.
pub(super) struct Connection<Driving> {
    pub(super) requests: SendRequest<Bytes>,
    pub(super) driving: Driving,
}

impl Connection<()> {
    pub(super) async fn open(stream: Stream) -> Result<Connection<impl Future<Output = ()>>, WorkloadApiError> {
        let opened = h2::client::Builder::new()
            .enable_push(false)
            .max_header_list_size(LONGEST_HEADERS)
            .handshake::<Stream, Bytes>(stream)
            .await;
        let (requests, connection) = opened.map_err(|_not_http| WorkloadApiError::Broken)?;
        let driving = async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection to the SPIFFE agent ended");
            }
        };
        Ok(Connection { requests, driving })
    }
}

/// The messages that answer a request.
pub(super) struct Responses<M> {
    body: RecvStream,
    held: BytesMut,
    message: PhantomData<M>,
}

impl<M: Message + Default> Responses<M> {
    /// Asks for a stream by the name of its method. The header `workload.spiffe.io` shows that no other program was tricked into
    /// asking (section 4.1).
    pub(super) async fn of(requests: SendRequest<Bytes>, method: &str) -> Result<Self, WorkloadApiError> {
        let broken = |_error: h2::Error| WorkloadApiError::Broken;
        let request = Request::post(format!("http://localhost/SpiffeWorkloadAPI/{method}"))
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers")
            .header(USER_AGENT, concat!("parapet/", env!("CARGO_PKG_VERSION")))
            .header("workload.spiffe.io", "true")
            .body(())
            .map_err(|_invalid| WorkloadApiError::Broken)?;
        let mut requests = requests.ready().await.map_err(broken)?;
        let (response, mut sending) = requests.send_request(request, false).map_err(broken)?;
        // An empty message, uncompressed.
        sending.send_data(Bytes::from_static(&[0; PREFIX]), true).map_err(broken)?;
        let response = response.await.map_err(broken)?;
        // An answer without messages has its status in its head.
        if let Some(error) = failure(response.headers()) {
            return Err(error);
        }
        if response.status() != hyper::StatusCode::OK {
            return Err(WorkloadApiError::Broken);
        }
        Ok(Self { body: response.into_body(), held: BytesMut::new(), message: PhantomData })
    }

    /// The next message. A stream that ends is an error: the agent is to send whatever changes.
    pub(super) async fn next(&mut self) -> Result<M, WorkloadApiError> {
        loop {
            if let Some(message) = self.held_message()? {
                return M::decode(message).map_err(|_undecodable| WorkloadApiError::Message);
            }
            match self.body.data().await {
                Some(Ok(data)) => {
                    self.held.extend_from_slice(&data);
                    let released = self.body.flow_control().release_capacity(data.len());
                    released.map_err(|_closed| WorkloadApiError::Broken)?;
                }
                Some(Err(_)) => return Err(WorkloadApiError::Broken),
                None => {
                    let trailers = self.body.trailers().await.map_err(|_closed| WorkloadApiError::Broken)?;
                    return Err(trailers.as_ref().and_then(failure).unwrap_or(WorkloadApiError::Broken));
                }
            }
        }
    }

    /// A whole message, if it has come.
    fn held_message(&mut self) -> Result<Option<Bytes>, WorkloadApiError> {
        let Some(prefix) = self.held.get(..PREFIX) else { return Ok(None) };
        let (mut compressed, mut length) = prefix.split_at(1);
        if compressed.get_u8() != 0 {
            // No compression was offered.
            return Err(WorkloadApiError::Message);
        }
        let length = usize::try_from(length.get_u32()).map_err(|_huge| WorkloadApiError::Message)?;
        if length > LONGEST_MESSAGE {
            return Err(WorkloadApiError::Message);
        }
        if self.held.len() < PREFIX + length {
            return Ok(None);
        }
        self.held.advance(PREFIX);
        Ok(Some(self.held.split_to(length).freeze()))
    }
}

/// The status of a call, if it failed.
fn failure(headers: &HeaderMap) -> Option<WorkloadApiError> {
    let status = headers.get("grpc-status")?;
    match status.to_str().ok().and_then(|status| status.parse().ok()) {
        Some(0) => None,
        Some(PERMISSION_DENIED) => Some(WorkloadApiError::NoIdentity),
        Some(other) => Some(WorkloadApiError::Status(other)),
        None => Some(WorkloadApiError::Broken),
    }
}
