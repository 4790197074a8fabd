//! A plain HTTP proxy of hyper alone, the floor that the benchmark compares with: `forward LISTEN UPSTREAM`. HTTP/1.1 and
//! HTTP/2 in clear come in, HTTP/1.1 goes out over connections that are kept. It knows nothing. Not part of the product.
#![expect(clippy::disallowed_methods, reason = "a benchmark's floor: it dials and spawns by itself, on loopback")]

use std::io::{Error, Result};
use std::sync::{Arc, Mutex, PoisonError};

use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response, Uri, Version, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

/// Connections to the upstream that wait for a request.
type Idle = Arc<Mutex<Vec<SendRequest<Incoming>>>>;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(listen), Some(upstream)) = (arguments.next(), arguments.next()) else {
        return Err(Error::other("usage: forward LISTEN UPSTREAM"));
    };
    let (listener, upstream, idle) = (TcpListener::bind(listen).await?, Arc::<str>::from(upstream), Idle::default());
    loop {
        let (client, _) = listener.accept().await?;
        client.set_nodelay(true)?;
        let (upstream, idle) = (Arc::clone(&upstream), Arc::clone(&idle));
        tokio::spawn(async move {
            let service = service_fn(move |request| forward(request, Arc::clone(&upstream), Arc::clone(&idle)));
            let mut first = [0; 3];
            // The preface of HTTP/2 is no method of HTTP/1.1.
            let count = client.peek(&mut first).await.map_err(Error::other)?;
            let client = TokioIo::new(client);
            if first.get(..count) == Some(b"PRI") {
                http2::Builder::new(TokioExecutor::new()).serve_connection(client, service).await.map_err(Error::other)
            } else {
                http1::Builder::new().serve_connection(client, service).await.map_err(Error::other)
            }
        });
    }
}

async fn forward(mut request: Request<Incoming>, upstream: Arc<str>, idle: Idle) -> Result<Response<Incoming>> {
    if request.version() == Version::HTTP_2 {
        // HTTP/1.1 has the path in its first line, and the authority in a field.
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        if let Some(authority) = request.uri().authority().and_then(|name| name.as_str().parse().ok()) {
            request.headers_mut().insert(header::HOST, authority);
        }
        *request.uri_mut() = path.parse::<Uri>().map_err(Error::other)?;
        *request.version_mut() = Version::HTTP_11;
    }
    let mut sender = match kept(&idle) {
        Some(sender) => sender,
        None => dial(&upstream).await?,
    };
    sender.ready().await.map_err(Error::other)?;
    let response = sender.send_request(request).await.map_err(Error::other)?;
    idle.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
    Ok(response)
}

/// One whose last answer has come whole.
fn kept(idle: &Idle) -> Option<SendRequest<Incoming>> {
    let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
    idle.retain(|sender| !sender.is_closed());
    let ready = idle.iter().rposition(SendRequest::is_ready)?;
    Some(idle.swap_remove(ready))
}

async fn dial(upstream: &str) -> Result<SendRequest<Incoming>> {
    let stream = TcpStream::connect(upstream).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(Error::other)?;
    tokio::spawn(connection);
    Ok(sender)
}
