//! Serves the endpoints of security events. Wiring says how a connection is accepted: with TLS, or as it is on loopback.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use super::{SsfParts, router};
use crate::serve::{Accept, Ends, serve_accepted};

/// How long a connection may live: no transmitter needs one for longer.
const LONGEST: Duration = Duration::from_secs(300);

/// Serves until `stop` resolves. One connection's failure ends no other.
pub async fn serve(listener: TcpListener, accept: Accept, parts: SsfParts, stop: impl Future<Output = ()> + Send) {
    // What is cut at the end comes again: transmitters repeat what was not acknowledged.
    let ends = Ends { what: "a connection for security events", longest: Some(LONGEST), drain: Duration::ZERO };
    serve_accepted(listener, accept, router(&Arc::new(parts)), ends, stop).await;
}
