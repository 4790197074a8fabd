//! What follows a change of protocol: bytes both ways between client and upstream, until either ends, or the session is cut.
//!
//! It was judged and entered as the request that asked for it, and only protocols that the configuration names come so far.

use std::sync::Arc;
use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use wire::http::websocket::{FrameLimits, Frames, Side};

use super::slot::Slot;
use crate::tasks::Stopping;

/// How much is moved at a time, in bytes.
const CHUNK: usize = 16 * 1024;
/// How long either side may take to change over.
const CHANGE: Duration = Duration::from_secs(10);
/// How long what is left of one direction may take when the other has ended.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Moves bytes until either side ends.
pub(super) async fn tunnel(
    slot: Arc<Slot>,
    client: OnUpgrade,
    upstream: OnUpgrade,
    websocket: bool,
    mut stopping: Stopping,
) {
    let changed = tokio::time::timeout(CHANGE, async { tokio::try_join!(client, upstream) }).await;
    let Ok(Ok((client, upstream))) = changed else {
        tracing::debug!("a change of protocol was not completed");
        return;
    };
    let (from_client, to_client) = split(TokioIo::new(client));
    let (from_upstream, to_upstream) = split(TokioIo::new(upstream));
    let moved = async {
        let frames = |side| websocket.then(|| Frames::new(side, FrameLimits::default()));
        let up = pass(from_client, to_upstream, frames(Side::Client), None);
        let down = pass(from_upstream, to_client, frames(Side::Server), Some(&slot));
        tokio::pin!(up, down);
        tokio::select! {
            () = &mut up => drop(tokio::time::timeout(LAST_WORDS, down).await),
            () = &mut down => drop(tokio::time::timeout(LAST_WORDS, up).await),
        }
    };
    tokio::select! {
        biased;
        _cut = slot.gone() => {}
        () = stopping.begun() => {}
        () = moved => {}
    }
}

type Io = TokioIo<Upgraded>;

/// Passes one direction to its end. What fails ends it, and so does a frame that is none.
async fn pass(mut from: ReadHalf<Io>, mut to: WriteHalf<Io>, mut frames: Option<Frames>, counted: Option<&Slot>) {
    let mut buffer = vec![0; CHUNK];
    while let Ok(many @ 1..) = from.read(&mut buffer).await {
        let bytes = buffer.get(..many).unwrap_or_default();
        if let Some(Err(violation)) = frames.as_mut().map(|frames| frames.feed(bytes, |_seen| {})) {
            tracing::info!(%violation, "a websocket is ended");
            break;
        }
        if to.write_all(bytes).await.is_err() {
            return;
        }
        if let Some(slot) = counted {
            slot.count(many);
        }
    }
    if let Err(error) = to.shutdown().await {
        tracing::debug!(%error, "a tunnel's end did not reach the other side");
    }
}
