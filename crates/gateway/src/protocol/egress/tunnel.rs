//! A tunnel: TLS between a client and a destination, passed on unread once its first message says that it is for the host
//! that was judged. Bytes are counted; a kill, a quarantine or a revocation cuts it.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use kernel::verdict::{Receipt, Undecidable};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::decide::Begun;
use super::head::Destination;
use super::hello::{self, NoHello};
use super::moved::{Counted, Moved};
use super::question::Question;
use super::{Client, EgressGateway, GREETING, UNRECOGNIZED_NAME, say};
use crate::sessions::{Cut, Live};
use crate::upstream::dial::Stream;
use crate::word::Heard;

/// Bytes of one receive: what a tunnel holds for each direction.
const CHUNK: usize = 16 * 1024;
/// How long a tunnel may go on when the gateway shuts down.
const DRAIN: Duration = Duration::from_secs(5);

impl EgressGateway {
    /// Opens a tunnel, if policy lets it be, and passes bytes until it ends.
    pub(super) async fn tunnel<S>(&self, mut stream: S, client: Client, to: Destination)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let question = Question::tunnel(&to);
        let Some((mut begun, upstream, receipt)) = self.admit(&mut stream, &client, &question).await else { return };
        let why = self.relay(&mut stream, upstream, receipt, &mut begun, &to).await;
        begun.end(why).await;
    }

    async fn relay<S>(
        &self,
        stream: &mut S,
        upstream: Stream,
        receipt: Receipt,
        begun: &mut Begun,
        to: &Destination,
    ) -> &'static str
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let yes = format!("HTTP/1.1 200 Connection established\r\nParapet-Decision: {}\r\n\r\n", receipt.decision());
        let greeted = async {
            stream.write_all(yes.as_bytes()).await.map_err(|_gone| NoHello::Gone)?;
            stream.flush().await.map_err(|_gone| NoHello::Gone)?;
            hello::read(stream).await
        };
        let greeted = tokio::select! {
            biased;
            why = cut(begun.session.live()) => return why,
            greeted = tokio::time::timeout(GREETING, greeted) => greeted,
        };
        let hello = match greeted {
            Ok(Ok(hello)) if hello::is_for(&hello, &to.host) => hello,
            Ok(Ok(_)) | Ok(Err(NoHello::NotTls)) => {
                // Another name, or something that cannot be known to be for this host: not a byte of it goes on.
                let deny = begun.session.refuse(Undecidable::AmbiguousAuthority, &format!("CONNECT {}", to.named()));
                let _told = self.deny(&mut begun.session, deny).await;
                say(stream, UNRECOGNIZED_NAME).await;
                return "client_protocol_violation";
            }
            Ok(Err(NoHello::Gone)) => return "closed",
            Err(_elapsed) => return "deadline",
        };
        let moved = self.idle.watch(receipt.terms().limits.bytes);
        let why = pass(stream, upstream, &hello.bytes, receipt, &moved, begun.session.live()).await;
        tracing::debug!(session = %begun.session.id(), sent = moved.sent(), received = moved.received(), why, "tunnel ended");
        begun.session.count_rows(0, moved.received());
        why
    }
}

/// Passes bytes both ways until both sides have closed, or it is cut. The receipt is used up by it.
async fn pass<S>(
    client: &mut S,
    upstream: Stream,
    first: &[u8],
    receipt: Receipt,
    moved: &Arc<Moved>,
    live: &Live,
) -> &'static str
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    drop(receipt);
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_upstream, mut to_upstream) = tokio::io::split(Counted::new(upstream, Arc::clone(moved)));
    let up = async {
        to_upstream.write_all(first).await?;
        copy(&mut from_client, &mut to_upstream).await
    };
    let down = copy(&mut from_upstream, &mut to_client);
    let both = async { tokio::try_join!(up, down) };
    tokio::select! {
        biased;
        why = cut(live) => why,
        () = moved.idle() => "idle",
        ended = both => match ended {
            Ok(_) => "closed",
            Err(_) if moved.is_full() => "limit",
            Err(_) => "connection_failed",
        },
    }
}

/// Resolves when the session must end. A drain lets a tunnel go on for a moment.
pub(super) async fn cut(live: &Live) -> &'static str {
    let mut heard = Heard::default();
    loop {
        match live.is_cut() {
            Some(Cut::Drained) => {
                tokio::time::sleep(DRAIN).await;
                return Cut::Drained.as_str();
            }
            Some(cut) => return cut.as_str(),
            None => poll_fn(|context| live.poll_word(&mut heard, context)).await,
        }
    }
}

/// Copies one direction to its end, and closes it there: what comes the other way goes on.
async fn copy(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let many = from.read(&mut buffer).await?;
        if many == 0 {
            return to.shutdown().await;
        }
        to.write_all(buffer.get(..many).unwrap_or_default()).await?;
        to.flush().await?;
    }
}
