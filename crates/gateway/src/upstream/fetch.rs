//! A small GET for documents that the gateway itself needs, such as an issuer's keys, and a POST for those it sends: over
//! HTTPS, or over HTTP on loopback alone; capped, with a deadline, without redirects.
//!
//! The locations come from the configuration and never from a token. What the document says is its caller's business.

use std::pin::pin;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use kernel::secret::Secret;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::tls::UpstreamTls;
use crate::upstream::dial::{Address, DialError, Dialler};
use crate::upstream::origin::{InvalidOrigin, Origin, Scheme};

/// The longest head of an answer, in bytes.
const LONGEST_HEAD: usize = 32 * 1024;

/// A location that may be fetched: `https://…`, or `http://…` on loopback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    address: Address,
    authority: String,
    path: String,
    encrypted: bool,
}

/// Why a text is no location that may be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLocation {
    /// Not a URL with a scheme and a host.
    #[error("not a URL")]
    NotUrl,
    /// Another scheme than `https` or `http`.
    #[error("the scheme is not `https`")]
    Scheme,
    /// `http` to somewhere else.
    #[error("`http` is allowed on loopback only; use `https`")]
    Clear,
    /// A user name or password in the URL.
    #[error("a user name or password does not belong in the URL")]
    UserInfo,
}

impl FromStr for Location {
    type Err = InvalidLocation;

    fn from_str(text: &str) -> Result<Self, InvalidLocation> {
        let uri = text.parse::<Uri>().map_err(|_invalid| InvalidLocation::NotUrl)?;
        let origin = Origin::of(&uri).map_err(|invalid| match invalid {
            InvalidOrigin::Scheme => InvalidLocation::Scheme,
            InvalidOrigin::UserInfo => InvalidLocation::UserInfo,
            InvalidOrigin::NotUrl | InvalidOrigin::Path => InvalidLocation::NotUrl,
        })?;
        let encrypted = origin.scheme() == Scheme::Https;
        if !encrypted && !origin.is_loopback() {
            return Err(InvalidLocation::Clear);
        }
        Ok(Self {
            address: origin.address(),
            authority: origin.authority(),
            path: uri.path_and_query().map_or_else(|| "/".to_owned(), |path| path.as_str().to_owned()),
            encrypted,
        })
    }
}

/// How much is read of an answer that says no, in bytes.
const LONGEST_COMPLAINT: usize = 16 * 1024;

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status of HTTP.
    pub status: u16,
    /// The document beside it, perhaps cut where the status is no success.
    pub body: Vec<u8>,
}

/// A document that could not be fetched. The other side, or what leads to it, is at fault, unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// No connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The gateway was given no authorities to trust; its own configuration is at fault.
    #[error("there are no certificate authorities for `https`")]
    NoAuthorities,
    /// `localhost` turned out to be elsewhere.
    #[error("`http` is allowed on loopback only, and the name led elsewhere")]
    NotLoopback,
    /// The answer is not proper HTTP/1.1, or was cut off.
    #[error("the answer is not complete and proper HTTP")]
    Malformed,
    /// The answer has another status than 200. Redirects are not followed.
    #[error("the answer has status {0}; redirects are not followed")]
    Status(u16),
    /// The document is too large.
    #[error("the document is larger than {0} bytes")]
    TooLarge(usize),
    /// The deadline came first.
    #[error("the document did not arrive within {} ms", .0.as_millis())]
    TimedOut(Duration),
}

/// Fetches documents.
#[derive(Clone, Debug)]
pub struct Fetcher {
    dialler: Dialler,
    tls: Option<UpstreamTls>,
}

impl Fetcher {
    /// Fetches over `dialler`; over HTTPS with what `tls` trusts.
    pub const fn new(dialler: Dialler, tls: Option<UpstreamTls>) -> Self {
        Self { dialler, tls }
    }

    /// The same, over HTTPS with what this trusts.
    #[must_use]
    pub fn with_tls(self, tls: UpstreamTls) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// Fetches a document of at most `cap` bytes within a deadline that covers all.
    pub async fn fetch(&self, location: &Location, cap: usize, within: Duration) -> Result<Vec<u8>, FetchError> {
        let fetched = tokio::time::timeout(within, self.fetch_at_leisure(location, cap, within));
        fetched.await.map_err(|_elapsed| FetchError::TimedOut(within))?
    }

    /// Posts a document and reads an answer of at most `cap` bytes within a deadline that covers all. Every status is an
    /// answer; redirects are not followed.
    pub async fn post(
        &self,
        location: &Location,
        kind: &'static str,
        bearer: Option<&Secret<String>>,
        document: Bytes,
        cap: usize,
        within: Duration,
    ) -> Result<Answer, FetchError> {
        let mut request = Request::post(&location.path).header(CONTENT_TYPE, kind);
        if let Some(bearer) = bearer {
            let text = zeroize::Zeroizing::new(format!("Bearer {}", bearer.expose()));
            let mut value = HeaderValue::from_str(&text).map_err(|_invalid| FetchError::Malformed)?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let request = request.body(Full::new(document)).map_err(|_invalid| FetchError::Malformed)?;
        let asked = tokio::time::timeout(within, self.ask(location, request, cap, within));
        asked.await.map_err(|_elapsed| FetchError::TimedOut(within))?
    }

    /// Posts a form with an `Authorization` of its own, as to a token endpoint. Otherwise as [`Self::post`].
    pub async fn post_form(
        &self,
        location: &Location,
        authorization: HeaderValue,
        form: Bytes,
        cap: usize,
        within: Duration,
    ) -> Result<Answer, FetchError> {
        let request = Request::post(&location.path)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(AUTHORIZATION, authorization)
            .body(Full::new(form))
            .map_err(|_invalid| FetchError::Malformed)?;
        let asked = tokio::time::timeout(within, self.ask(location, request, cap, within));
        asked.await.map_err(|_elapsed| FetchError::TimedOut(within))?
    }

    async fn fetch_at_leisure(&self, location: &Location, cap: usize, within: Duration) -> Result<Vec<u8>, FetchError> {
        let request = Request::get(&location.path).body(Full::default()).map_err(|_invalid| FetchError::Malformed)?;
        match self.ask(location, request, cap, within).await? {
            Answer { status: 200, body } => Ok(body),
            Answer { status, .. } => Err(FetchError::Status(status)),
        }
    }

    async fn ask(
        &self,
        location: &Location,
        request: Request<Full<Bytes>>,
        cap: usize,
        within: Duration,
    ) -> Result<Answer, FetchError> {
        let stream = self.dialler.dial(&location.address, within).await?;
        if location.encrypted {
            let tls = self.tls.as_ref().ok_or(FetchError::NoAuthorities)?;
            return exchange(tls.connect(stream, &location.address).await?, location, request, cap).await;
        }
        if !stream.peer().is_some_and(|peer| peer.is_loopback()) {
            return Err(FetchError::NotLoopback);
        }
        exchange(stream, location, request, cap).await
    }
}

async fn exchange<Io>(
    stream: Io,
    location: &Location,
    mut request: Request<Full<Bytes>>,
    cap: usize,
) -> Result<Answer, FetchError>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let host = HeaderValue::from_str(&location.authority).map_err(|_invalid| FetchError::Malformed)?;
    let headers = request.headers_mut();
    headers.insert(HOST, host);
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("parapet/", env!("CARGO_PKG_VERSION"))));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(LONGEST_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_error| FetchError::Malformed)?;
    let mut exchange = pin!(async move {
        let response = sender.send_request(request).await.map_err(|_error| FetchError::Malformed)?;
        let status = response.status().as_u16();
        // What stands beside another status is nobody's document.
        let cap = if response.status().is_success() { cap } else { cap.min(LONGEST_COMPLAINT) };
        let mut body = response.into_body();
        let mut document = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_error| FetchError::Malformed)?;
            let Ok(data) = frame.into_data() else { continue };
            if document.len() + data.len() > cap {
                return if status == 200 {
                    Err(FetchError::TooLarge(cap))
                } else {
                    Ok(Answer { status, body: document })
                };
            }
            document.extend_from_slice(&data);
        }
        Ok(Answer { status, body: document })
    });
    // The connection is driven here instead of in a task of its own: it ends with the fetch. Should it end first, what it
    // has read still waits in the exchange.
    let mut connection = pin!(connection);
    let mut open = true;
    loop {
        tokio::select! {
            biased;
            document = &mut exchange => return document,
            _ended = &mut connection, if open => open = false,
        }
    }
}

#[cfg(test)]
mod tests;
