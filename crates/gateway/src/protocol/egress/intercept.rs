//! A look into what goes to a configured upstream: TLS ends here, with a certificate that the gateway's own authority vouches
//! for, and the requests are served as if they had come to that upstream.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::StartHandshake;

use super::head::Destination;
use super::hello::{self, NoHello};
use super::{Client, EgressGateway, GREETING, Interception, UNRECOGNIZED_NAME, say};
use crate::protocol::http::Given;

impl EgressGateway {
    /// Ends TLS, and gives the requests to those who know the upstream. They begin the session, and judge.
    pub(super) async fn intercept<S>(&self, mut stream: S, client: Client, to: Destination, through: &Interception)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let greeted = async {
            let yes = b"HTTP/1.1 200 Connection established\r\n\r\n";
            stream.write_all(yes).await.map_err(|_gone| NoHello::Gone)?;
            stream.flush().await.map_err(|_gone| NoHello::Gone)?;
            hello::read(&mut stream).await
        };
        let host = to.host.to_string();
        let hello = match tokio::time::timeout(GREETING, greeted).await {
            Ok(Ok(hello)) if hello::is_for(&hello, &to.host) => hello,
            Ok(Ok(_) | Err(NoHello::NotTls)) => {
                let why = "the TLS handshake in the tunnel is for another host than was asked for";
                let claimed = client.proved.who.workload().as_str();
                if self.parts.enter_login_refused(&client.arrival, claimed, why).await.is_err() {
                    tracing::error!(session = %client.arrival.id, "a refusal could not be entered");
                }
                return say(&mut stream, UNRECOGNIZED_NAME).await;
            }
            Ok(Err(NoHello::Gone)) | Err(_) => return,
        };
        let config = match through.authority.server(&host) {
            Ok(config) => config,
            Err(error) => {
                tracing::error!(%error, "no certificate for a configured host");
                return;
            }
        };
        let handshake = StartHandshake::from_parts(hello.accepted, stream).into_stream(config);
        let Ok(Ok(stream)) = tokio::time::timeout(GREETING, handshake).await else {
            // Most often a client that does not trust the authority.
            tracing::info!(session = %client.arrival.id, host, "a client did not take the egress's certificate");
            return;
        };
        let h2 = stream.get_ref().1.alpn_protocol() == Some(crate::tls::ALPN_HTTP2);
        let given = Given {
            peer: client.peer,
            tls: true,
            sni: Some(host),
            h2,
            ahead: Vec::new(),
            certificates: Vec::new(),
            proofs: Some(Arc::clone(&client.proved.proofs)),
            claimed: client.proved.claimed.clone(),
        };
        through.http.serve_stream(stream, given).await;
    }
}
