//! What follows a change to WebSocket: messages both ways between client and upstream, until either closes, or the gateway does.
//!
//! It was judged and entered as the request that asked for it. Its messages have no decisions of their own, but what they bring about has:
//! before one passes, the policies that have changed are asked again, and so is what counts rows (`Talk::may_go_on`). Whatever
//! the gateway ends, it ends by a close that says why.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use kernel::verdict::{Content, Deny, Limits, Mask, Undecidable};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use wire::http::classify::Classified;
use wire::http::json_mask::{Detect, Masks};
use wire::http::json_path::JsonPath;
use wire::http::seek::Sought;
use wire::http::websocket::{FrameFault, Frames, Passed, Pings, Side, close};
use wire::refusal;

use super::HttpGateway;
use super::masking::Findings;
use super::slot::Slot;
use super::watch::Pulse;
use super::{echo, refuse};
use crate::session::Session;
use crate::sessions::Cut;

/// How much is moved at a time, in bytes.
const CHUNK: usize = 16 * 1024;
/// How long either side may take to change over.
const CHANGE: Duration = Duration::from_secs(10);
/// How long a side may take to answer the other's close.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// How long both may take to hear the gateway's.
const FAREWELL: Duration = Duration::from_millis(500);

/// A change of protocol that the upstream has agreed to.
pub(super) struct Change {
    pub(super) slot: Arc<Slot>,
    pub(super) gateway: Arc<HttpGateway>,
    pub(super) client: OnUpgrade,
    pub(super) upstream: OnUpgrade,
    pub(super) classified: Classified,
    /// What is replaced in the upstream's messages.
    pub(super) paths: Vec<(JsonPath, Mask)>,
    /// What of messages may leave towards the client, each of which is a row.
    pub(super) limits: Limits,
}

/// Why it ends.
enum End {
    /// The sides have closed it.
    Closed,
    /// A side is gone without a word.
    Gone(Side),
    Cut(Cut),
    Stopping,
    Idle(Duration),
    /// A side sent what ends it; the line that stands in the log, if it is a denial.
    Fault(Side, FrameFault, Option<String>),
    TooMuch(String),
    /// Policy denies it now.
    Denied(String),
    /// Policy masks something else now.
    Changed,
}

impl End {
    /// What the client is told.
    fn to_client(&self) -> Option<(u16, Cow<'static, str>)> {
        Some(match self {
            Self::Closed | Self::Gone(Side::Client) => return None,
            Self::Gone(Side::Server) => (1014, "the upstream is gone".into()),
            Self::Cut(cut) => (1008, format!("blocked, the session is cut: {}", cut.as_str()).into()),
            Self::Stopping => (1001, "the gateway stops".into()),
            Self::Idle(idle) => (1001, format!("neither side said anything for {} s", idle.as_secs()).into()),
            Self::Fault(_, fault, Some(line)) => (fault.code(), line.clone().into()),
            Self::Fault(_, fault @ (FrameFault::Unmaskable | FrameFault::TooLong), None) => {
                (fault.code(), fault.to_string().into())
            }
            Self::Fault(_, fault, None) => (1014, fault.to_string().into()),
            Self::TooMuch(most) => (1008, format!("blocked, more than {most}").into()),
            Self::Denied(line) => (1008, line.clone().into()),
            Self::Changed => (1012, "the policies have changed, connect again".into()),
        })
    }

    /// What the upstream is told: nothing that concerns the client alone.
    fn to_upstream(&self) -> Option<(u16, Cow<'static, str>)> {
        Some(match self {
            Self::Closed | Self::Gone(Side::Server) => return None,
            Self::Fault(Side::Server, fault, _) => (fault.code(), fault.to_string().into()),
            _ => (1001, "".into()),
        })
    }
}

/// Moves messages until it ends.
pub(super) async fn tunnel(change: Change) {
    let Change { slot, gateway, client, upstream, classified, paths, limits } = change;
    let changed = tokio::select! {
        biased;
        _cut = slot.gone() => return,
        changed = tokio::time::timeout(CHANGE, async { tokio::try_join!(client, upstream) }) => changed,
    };
    let Ok(Ok((client, upstream))) = changed else {
        tracing::debug!("a change of protocol was not completed");
        return;
    };
    let (from_client, to_client) = split(TokioIo::new(client));
    let (from_upstream, to_upstream) = split(TokioIo::new(upstream));
    let longest = slot.upstream.limits.message;
    let (said, heard) = directions(&slot, &paths, longest);
    let mut up = Way::new(Side::Client, from_client, to_upstream, said, Limits::default());
    let mut down = Way::new(Side::Server, from_upstream, to_client, heard, limits);
    let mut stopping = gateway.tasks.stopping();
    let idle = slot.upstream.limits.idle;
    let talk = Talk {
        pulse: gateway.watch.pulse(),
        epoch: AtomicU64::new(gateway.parts.snapshots.current().epoch()),
        idle,
        slot,
        gateway,
        classified,
        paths,
    };
    talk.pulse.expect(idle);
    let end = tokio::select! {
        biased;
        cut = talk.slot.gone() => End::Cut(cut),
        () = stopping.begun() => End::Stopping,
        () = talk.pulse.late() => End::Idle(idle),
        end = talk.both(&mut up, &mut down) => end,
    };
    let findings = Findings { slot: Arc::clone(&talk.slot), template: Arc::clone(&talk.classified.template) };
    findings.tell("message", down.frames.found());
    echo::tell(&talk.slot, "message", &talk.classified.template, down.frames.overwritten());
    if !matches!(end, End::Closed) {
        let told = end.to_client();
        tracing::info!(session = %talk.slot.live.start().id, told = ?told, "a websocket is ended");
    }
    talk.part(end, up, down).await;
}

/// What is looked at in the messages of client and upstream.
fn directions(slot: &Slot, paths: &[(JsonPath, Mask)], longest: u64) -> (Frames, Frames) {
    let (mut said, mut heard) = (Frames::new(Side::Client, longest), Frames::new(Side::Server, longest));
    if let Some(search) = slot.upstream.credential.as_ref().and_then(|credential| credential.search()) {
        // What is overwritten in a ping, the client's pong could not repeat.
        let pings = Pings::default();
        (said, heard) = (said.hiding(pings.clone()), heard.overwriting(search).hiding(pings));
    }
    let key = &slot.upstream.mask_keys;
    let detect = slot.upstream.detect.as_ref().filter(|(what, _)| *what != Detect::Signal || slot.looks());
    let (detect, detector) = detect.map_or((Detect::Off, None), |(what, with)| (*what, Some(Arc::clone(with))));
    let masks = Masks::new(paths, Arc::clone(key), detect, detector);
    if masks.is_idle() {
        return (said, heard);
    }
    if paths.is_empty() {
        // Detectors are a signal: what they cannot read passes. What policy masks does not.
        let heard = if detect == Detect::Signal { heard.looking(masks) } else { heard.masking(masks, true) };
        return (said, heard);
    }
    let sought = Sought::in_fields(paths.iter().map(|(path, _)| path), key);
    let pings = Pings::default();
    (said.seeking(sought.places().clone()).hiding(pings.clone()), heard.masking(masks, false).hiding(pings))
}

/// What both directions share.
struct Talk {
    slot: Arc<Slot>,
    gateway: Arc<HttpGateway>,
    classified: Classified,
    paths: Vec<(JsonPath, Mask)>,
    /// The snapshot that it was last judged under.
    epoch: AtomicU64,
    pulse: Arc<Pulse>,
    idle: Duration,
}

type Io = TokioIo<Upgraded>;

/// One direction.
struct Way {
    side: Side,
    from: ReadHalf<Io>,
    to: WriteHalf<Io>,
    frames: Frames,
    /// Whole frames, of which so many bytes have left.
    out: Vec<u8>,
    sent: usize,
    limits: Limits,
    /// What has been counted.
    rows: u64,
    bytes: u64,
}

impl Talk {
    /// Passes messages both ways, until either way ends.
    async fn both(&self, up: &mut Way, down: &mut Way) -> End {
        let (up, down) = (up.pass(self), down.pass(self));
        tokio::pin!(up, down);
        let (end, other) = tokio::select! {
            end = &mut up => (end, down),
            end = &mut down => (end, up),
        };
        if matches!(end, End::Closed) {
            // The other closes too, or has lost its chance.
            drop(tokio::time::timeout(LAST_WORDS, other).await);
        }
        end
    }

    /// Asks again before a message passes, if the answer may be another: the policies have changed, or rows and uses are counted.
    async fn may_go_on(&self) -> Result<(), End> {
        let epoch = self.gateway.parts.snapshots.current().epoch();
        let changed = self.epoch.swap(epoch, Ordering::Relaxed) != epoch;
        let mut session = self.slot.session().await;
        let Some(session) = session.as_mut() else { return Err(End::Cut(Cut::Revoked)) };
        if !changed && session.who().task().is_none() && !session.step_is_due(0) {
            return Ok(());
        }
        let content = Content { template: Arc::clone(&self.classified.template), ..Content::default() };
        let (operations, shape) = (Arc::clone(&self.classified.operations), self.classified.shape);
        match session.terms_now(operations, shape, content) {
            Ok(Some(terms)) if self.classified.masks(&terms.masks) != self.paths => Err(End::Changed),
            Ok(_) => Ok(()),
            Err(deny) => Err(End::Denied(enter(session, *deny).await)),
        }
    }

    /// A side sent what ends the connection. If it was the client, that is a denial.
    async fn fault(&self, side: Side, fault: FrameFault) -> End {
        if side == Side::Server {
            return End::Fault(side, fault, None);
        }
        let why = match fault {
            FrameFault::Malformed | FrameFault::Unmaskable => Undecidable::AmbiguousFraming,
            FrameFault::NotUtf8 => Undecidable::NotUtf8,
            FrameFault::TooLong => Undecidable::TooLarge,
            FrameFault::MaskedValue => Undecidable::MaskedValue,
        };
        let mut session = self.slot.session().await;
        let Some(session) = session.as_mut() else { return End::Cut(Cut::Revoked) };
        let deny = session.refuse(why, &self.classified.template);
        End::Fault(side, fault, Some(enter(session, deny).await))
    }

    /// Tells both sides why, and ends it.
    async fn part(&self, end: End, mut up: Way, mut down: Way) {
        if matches!(end, End::Cut(_)) {
            up.withdraw();
            down.withdraw();
        }
        if let Some((code, reason)) = end.to_client() {
            down.out.extend(close(code, &reason, None));
        }
        if let Some((code, reason)) = end.to_upstream() {
            let [_, _, _, _, mask @ ..] = self.gateway.parts.clock.random().to_be_bytes();
            up.out.extend(close(code, &reason, Some(mask)));
        }
        let told = async {
            tokio::join!(up.end(), down.end());
            // A socket that is closed with bytes unread takes the last words back.
            let mut rest = vec![0; CHUNK];
            while let Ok(1..) = up.from.read(&mut rest).await {}
        };
        if tokio::time::timeout(FAREWELL, told).await.is_err() {
            tracing::debug!("a websocket's end was not heard");
        }
    }
}

/// Enters a denial, and gives the line that tells of it.
async fn enter(session: &mut Session, deny: Deny) -> String {
    let snapshot = session.snapshot();
    let workload = snapshot.workload(session.who().workload());
    let line = refusal::denied(&deny, workload.map(|workload| &**workload), refuse::desk(session)).line;
    session.add_denial(deny);
    if let Err(error) = session.enter().await {
        tracing::error!(session = %session.id(), %error, "a denial could not be entered");
    }
    line
}

impl Way {
    fn new(side: Side, from: ReadHalf<Io>, to: WriteHalf<Io>, frames: Frames, limits: Limits) -> Self {
        Self { side, from, to, frames, out: Vec::new(), sent: 0, limits, rows: 0, bytes: 0 }
    }

    /// Passes messages to the end of the direction.
    async fn pass(&mut self, talk: &Talk) -> End {
        let mut buffer = vec![0; CHUNK];
        loop {
            let many = self.from.read(&mut buffer).await.unwrap_or(0);
            let Some(bytes) = buffer.get(..many).filter(|bytes| !bytes.is_empty()) else {
                return End::Gone(self.side);
            };
            talk.pulse.expect(talk.idle);
            if let Err(end) = talk.may_go_on().await {
                return end;
            }
            let fed = self.frames.feed(bytes, &mut self.out);
            if let Ok(passed) = fed
                && let Err(end) = self.count(talk, passed)
            {
                return end;
            }
            if self.flush().await.is_err() {
                return End::Gone(if self.side == Side::Client { Side::Server } else { Side::Client });
            }
            if let Err(fault) = fed {
                return talk.fault(self.side, fault).await;
            }
            if self.frames.is_closed() {
                return End::Closed;
            }
        }
    }

    /// Counts what is about to leave towards the client.
    fn count(&mut self, talk: &Talk, passed: Passed) -> Result<(), End> {
        if self.side == Side::Client {
            return Ok(());
        }
        (self.rows, self.bytes) = (self.rows + passed.messages, self.bytes + passed.bytes);
        for (count, most, unit) in [(self.rows, self.limits.rows, "messages"), (self.bytes, self.limits.bytes, "bytes")]
        {
            if let Some(most) = most.filter(|most| count > *most) {
                self.withdraw();
                return Err(End::TooMuch(format!("{most} {unit}")));
            }
        }
        talk.slot.count_messages(passed.messages, passed.bytes);
        Ok(())
    }

    /// Writes what waits. Whoever drops this in the middle can go on with it.
    async fn flush(&mut self) -> std::io::Result<()> {
        while let Some(rest) = self.out.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match self.to.write(rest).await? {
                0 => return Err(std::io::ErrorKind::WriteZero.into()),
                many => self.sent += many,
            }
        }
        self.out.clear();
        self.sent = 0;
        self.to.flush().await
    }

    /// Takes back what waits, unless a part of it has left.
    fn withdraw(&mut self) {
        if self.sent == 0 {
            self.out.clear();
        }
    }

    /// Writes what waits, and closes the direction.
    async fn end(&mut self) {
        let ended = match self.flush().await {
            Ok(()) => self.to.shutdown().await,
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a websocket's end did not reach a side");
        }
    }
}
