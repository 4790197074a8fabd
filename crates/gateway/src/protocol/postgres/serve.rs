//! Runs a session: what the client sends is judged and forwarded, what the upstream answers is masked and passed back,
//! until either side ends it or it is cut.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use kernel::approval::Grant;
use kernel::audit::AppendError;
use kernel::trust::IdentityRefusal;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;
use wire::postgres::message::TransactionStatus;
use wire::postgres::refuse::{Refusal, Severity, Sqlstate};
use wire::postgres::state::{OutOfState, Replies};
use wire::sql::{Analysis, Refused};

use super::PostgresGateway;
use super::cancel::Issued;
use super::catalogue::Guarded;
use super::client::Outgoing;
use super::control::Control;
use super::copies::Own;
use super::login::Ready;
use super::prepared::{Due, MOST_NAMES, Names};
use super::stream::{ClientStream, UpstreamStream};
use crate::relay::{News, Relay, RelayError, Side};
use crate::session::Session;
use crate::sessions::Cut;
use crate::word::Heard;

/// How long what runs may go on when the gateway shuts down.
const DRAIN: Duration = Duration::from_secs(10);
/// How long the last words to a client may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Why a session ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    /// The client is done.
    #[error("closed")]
    Client,
    /// The upstream closed the connection, in the middle of an answer or not.
    #[error("upstream_closed")]
    Upstream,
    /// The upstream sent a FATAL, which has been passed on.
    #[error("upstream_fatal")]
    UpstreamFatal,
    /// A connection failed.
    #[error("connection_failed")]
    Relay(#[from] RelayError),
    /// It is cut.
    #[error("{}", .0.as_str())]
    Cut(Cut),
    /// A running request may not go on: the message line says why.
    #[error("stopped")]
    Stopped(String),
    /// The audit log does not take entries.
    #[error("audit_unavailable")]
    Audit(#[from] AppendError),
    /// The client broke the protocol.
    #[error("client_protocol_violation")]
    ClientProtocol(&'static str),
    /// The upstream broke the protocol.
    #[error("upstream_protocol_violation")]
    UpstreamProtocol,
    /// What the upstream returns is not what the analysis says: masks could sit on the wrong columns.
    #[error("catalogue_drift")]
    Drift,
    /// The workload may no longer act.
    #[error("revoked")]
    Identity(#[from] IdentityRefusal),
}

impl From<OutOfState> for End {
    fn from(error: OutOfState) -> Self {
        tracing::warn!(%error, "the upstream broke the protocol");
        Self::UpstreamProtocol
    }
}

/// A text, and what it asks for.
pub(super) type Analysed = (Arc<str>, Result<Arc<Analysis>, Refused>);

/// How messages are skipped after a refusal, until the client's Sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skipping {
    /// Nothing is skipped.
    No,
    /// The refusal probe went upstream, so the Sync does too.
    Upstream,
    /// The gateway answered alone, so it answers the Sync, too.
    Alone,
}

/// What ends a wait for news.
enum Woken {
    News(News),
    /// Word was left for the session.
    Word,
    /// What ran when the gateway began to shut down has run long enough.
    Deadline,
}

/// One session's state between messages.
pub(super) struct Conversation<'g> {
    pub(super) gateway: &'g PostgresGateway,
    pub(super) session: Session,
    pub(super) guarded: Arc<Guarded>,
    pub(super) relay: Relay<ClientStream, UpstreamStream>,
    pub(super) replies: Replies<Due>,
    pub(super) names: Names,
    /// What goes upstream next, in order.
    pub(super) outgoing: Outgoing,
    pub(super) skipping: Skipping,
    /// Something of the extended protocol was forwarded since the last Sync.
    pub(super) unit_begun: bool,
    /// How many `ReadyForQuery` are due.
    pub(super) answers_due: usize,
    /// The catalogue was read again for the message that is looked at now.
    pub(super) refreshed: bool,
    /// The characters before what a denied text offends with, for the error that is about to be written.
    pub(super) refused_at: Option<u32>,
    /// The open transaction has written.
    pub(super) wrote: bool,
    /// A statement that may change the catalogue is on its way, or the catalogue must be read again.
    pub(super) catalogue_changes: bool,
    /// What may have changed the catalogue is not committed yet, so that no other connection can see it.
    pub(super) defined: bool,
    /// How many bytes of a message of the client's are still dropped.
    pub(super) discarding: usize,
    /// The rest of a message of the upstream's that is passed on unread: how many bytes.
    pub(super) passing: usize,
    /// The session's own tables.
    pub(super) own: Own,
    /// Labels of copies are to be made durable before anything is forwarded.
    pub(super) labels_due: bool,
    /// A long text and what it asks for, for the message that is looked at again.
    pub(super) analysed_aside: Option<Analysed>,
    /// A use of an approval, for the message that is looked at again.
    pub(super) grant: Option<Grant>,
    /// A request is held: a cancel request is about it.
    pub(super) holding: bool,
    /// The client has cancelled what is held.
    pub(super) cancelled: bool,
    /// The client shows notices while it waits (psql).
    pub(super) interactive: bool,
    process_id: u32,
    secret: Vec<u8>,
    /// How many cancel requests are dealt with.
    pub(super) cancels_seen: u64,
    heard: Heard,
    /// The gateway shuts down: the session ends when nothing runs, or then.
    deadline: Option<Pin<Box<Sleep>>>,
    _cancel_key: Issued,
    _place: OwnedSemaphorePermit,
}

/// Serves a session to its end. What waits for its client holds the conversation and nothing else.
pub(super) fn serve(gateway: &PostgresGateway, ready: Ready) -> impl Future<Output = ()> + Send {
    let mut conversation = Conversation::new(gateway, ready);
    async move {
        let end = match conversation.run().await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        Box::pin(conversation.close(end)).await;
    }
}

impl<'g> Conversation<'g> {
    fn new(gateway: &'g PostgresGateway, ready: Ready) -> Self {
        let Ready { session, client, client_read_ahead, upstream, guarded, cancel_key, application, place } = ready;
        Self {
            gateway,
            guarded,
            relay: Relay::new(Side::new(client, client_read_ahead), Side::new(upstream.stream, upstream.read_ahead)),
            replies: Replies::new(),
            names: Names::new(MOST_NAMES),
            outgoing: Outgoing::default(),
            skipping: Skipping::No,
            unit_begun: false,
            answers_due: 0,
            refreshed: false,
            refused_at: None,
            wrote: false,
            catalogue_changes: false,
            defined: false,
            discarding: 0,
            passing: 0,
            own: Own::default(),
            labels_due: false,
            analysed_aside: None,
            grant: None,
            holding: false,
            cancelled: false,
            interactive: application == "psql",
            process_id: upstream.process_id,
            secret: upstream.secret,
            cancels_seen: session.live().cancels(),
            heard: Heard::default(),
            deadline: None,
            _cancel_key: cancel_key,
            _place: place,
            session,
        }
    }

    async fn run(&mut self) -> Result<std::convert::Infallible, End> {
        loop {
            self.on_client().await?;
            if self.relay.client.is_closed() {
                return Err(End::Client);
            }
            // A client that has sent no whole message yet is read on, whatever waits.
            while self.turn(true).await? == News::Upstream {
                // Answers ask for nothing, but what was found in them is entered.
                self.dispatch().await?;
            }
        }
    }

    /// Waits for news of either side and handles the upstream's. The client's stay in its inbound.
    pub(super) async fn turn(&mut self, read_client: bool) -> Result<News, End> {
        match poll_fn(|context| self.poll_turn(context, read_client)).await? {
            Woken::Deadline => Err(End::Cut(Cut::Drained)),
            Woken::Word => {
                self.on_word().await?;
                // Whoever waits looks at its condition again; the client's bytes are still there.
                Ok(News::Client)
            }
            Woken::News(News::Upstream) => {
                self.on_upstream()?;
                if self.relay.upstream_is_done() {
                    return Err(End::Upstream);
                }
                if self.deadline.is_some() && !self.is_busy() {
                    return Err(End::Cut(Cut::Drained));
                }
                if self.is_stale() && self.replies.waiting() == 0 {
                    self.refresh_catalogue().await?;
                }
                Ok(News::Upstream)
            }
            Woken::News(News::Client) => Ok(News::Client),
        }
    }

    fn poll_turn(&mut self, context: &mut Context<'_>, read_client: bool) -> Poll<Result<Woken, RelayError>> {
        if self.session.live().poll_word(&mut self.heard, context).is_ready() {
            return Poll::Ready(Ok(Woken::Word));
        }
        if self.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(context).is_ready()) {
            return Poll::Ready(Ok(Woken::Deadline));
        }
        self.relay.poll_wait(context, read_client).map_ok(Woken::News)
    }

    /// Waits until the upstream owes no answer, or until the unit that the client is in has failed.
    pub(super) async fn settle(&mut self) -> Result<(), End> {
        if self.unit_begun {
            // Without a Flush the upstream may keep its answers until the Sync, which the client has not sent.
            self.outgoing.control(Control::flush());
            self.dispatch().await?;
        }
        while self.replies.waiting() > 0 && self.skipping == Skipping::No {
            self.turn(false).await?;
        }
        if self.is_stale() {
            self.refresh_catalogue().await?;
        }
        Ok(())
    }

    /// Waits for what neither side brings, such as the catalogue. A cut ends the wait; what else there is word of waits on.
    pub(super) async fn unless_cut<T>(&mut self, wait: impl Future<Output = T>) -> Result<T, End> {
        let mut wait = pin!(wait);
        let live = Arc::clone(self.session.live());
        loop {
            self.heed_cut()?;
            let drains = self.deadline.is_some();
            tokio::select! {
                biased;
                _cut = live.until_cut(|cut| !drains || cut != Cut::Drained) => {}
                () = expired(&mut self.deadline) => return Err(End::Cut(Cut::Drained)),
                done = &mut wait => return Ok(done),
            }
        }
    }

    /// Waits until the upstream asks for COPY data, or has answered otherwise.
    pub(super) async fn until_copy_begins(&mut self) -> Result<(), End> {
        while self.replies.waiting() > 0 && !self.replies.copy_in() && self.skipping == Skipping::No {
            self.turn(false).await?;
        }
        Ok(())
    }

    fn is_busy(&self) -> bool {
        self.replies.waiting() > 0 || self.replies.status() != TransactionStatus::Idle
    }

    /// Ends the session if it is cut. A drain lets what runs finish first.
    fn heed_cut(&mut self) -> Result<(), End> {
        match self.session.live().is_cut() {
            Some(Cut::Drained) if self.is_busy() => {
                self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(DRAIN)));
                Ok(())
            }
            Some(cut) => Err(End::Cut(cut)),
            None => Ok(()),
        }
    }

    async fn on_word(&mut self) -> Result<(), End> {
        self.heed_cut()?;
        let cancels = self.session.live().cancels();
        if cancels != self.cancels_seen {
            self.cancels_seen = cancels;
            // Only what runs can be cancelled; a late request must not hit the next statement (PW10).
            if self.holding {
                self.cancelled = true;
            } else if self.replies.waiting() > 0 {
                Box::pin(self.cancel_upstream()).await?;
            }
        }
        Ok(())
    }

    async fn cancel_upstream(&mut self) -> Result<(), End> {
        let cancelling = self.cancelling();
        self.unless_cut(cancelling).await
    }

    /// Asks the upstream to cancel what runs there.
    fn cancelling(&self) -> impl Future<Output = ()> + Send + use<'g> {
        let (gateway, guarded, session) = (self.gateway, Arc::clone(&self.guarded), self.session.id());
        let (process_id, secret) = (self.process_id, self.secret.clone());
        async move {
            if let Err(error) = guarded.upstream.cancel(&gateway.dialler, process_id, &secret).await {
                tracing::warn!(%session, %error, "a cancel request did not reach the upstream");
            }
        }
    }

    /// Whether the catalogue must be read again before anything is judged: a definition is on its way or has run, or the
    /// transaction of one has ended (hazards PL18).
    pub(super) fn is_stale(&self) -> bool {
        self.catalogue_changes || (self.defined && self.is_outside())
    }

    fn is_outside(&self) -> bool {
        !self.unit_begun && self.replies.status() == TransactionStatus::Idle
    }

    /// Reads the catalogue again after a definition, so that the next statement is judged by what is true now.
    async fn refresh_catalogue(&mut self) -> Result<(), End> {
        Box::pin(self.read_catalogue()).await?;
        self.catalogue_changes = false;
        self.defined &= !self.is_outside();
        Ok(())
    }

    /// Has the catalogue read again if it has changed.
    pub(super) async fn read_catalogue(&mut self) -> Result<(), End> {
        let (gateway, guarded) = (self.gateway, Arc::clone(&self.guarded));
        self.unless_cut(guarded.refresh(&gateway.dialler)).await
    }

    /// Tells the client why the session ends, as far as it may know, and enters the end in the log.
    async fn close(mut self, end: End) {
        let last_words = match &end {
            End::Client | End::UpstreamFatal | End::Relay(RelayError::Client(_)) => None,
            End::Upstream | End::Relay(RelayError::Upstream(_)) => {
                Some((Sqlstate::CONNECTION_FAILURE, "the upstream closed the connection".to_owned()))
            }
            End::Cut(cut) => Some((Sqlstate::KILLED, words(*cut).to_owned())),
            End::Identity(_) => Some((Sqlstate::KILLED, words(Cut::Revoked).to_owned())),
            End::Stopped(line) => Some((Sqlstate::DENIED, line.clone())),
            End::Audit(_) => Some((Sqlstate::CANNOT_DECIDE, "cannot decide (PAR0210)".to_owned())),
            End::ClientProtocol(what) => Some((Sqlstate::PROTOCOL_VIOLATION, (*what).to_owned())),
            End::UpstreamProtocol => Some((Sqlstate::CONNECTION_FAILURE, "the upstream broke the protocol".to_owned())),
            End::Drift => Some((
                Sqlstate::CANNOT_DECIDE,
                "cannot decide (PAR0212): the result does not have the expected columns".to_owned(),
            )),
        };
        if matches!(end, End::Drift) {
            // Either somebody changed the database past the gateway, or one of the two reads statements wrongly.
            tracing::warn!(session = %self.session.id(), upstream = %self.guarded.upstream.name,
                "the upstream describes another result than the analysis expects");
        }
        if let Some((sqlstate, words)) = last_words {
            let line = format!("{words} [{}]", self.session.id());
            Refusal::new(Severity::Fatal, sqlstate, &line).write_error(crate::VERSION, self.relay.client.queue());
        }
        if self.is_stale() {
            // A definition of this session is not known yet, and others' statements are judged by what is.
            self.guarded.read_soon();
        }
        let runs = matches!(end, End::Cut(_) | End::Stopped(_)) && self.replies.waiting() > 0;
        let cancelling = runs.then(|| self.cancelling());
        if !runs {
            self.relay.control(&Control::terminate());
            self.relay.push_upstream();
        }
        let Self { relay, session, .. } = self;
        let (mut client, upstream) = relay.part();
        if runs {
            upstream.reset();
        }
        let told = async {
            if tokio::time::timeout(LAST_WORDS, client.flush()).await.is_err() {
                tracing::debug!(session = %session.id(), "the client did not take the last words");
            }
            drop(client);
            tracing::info!(session = %session.id(), why = %end, "session ended");
            session.end(&end.to_string()).await;
        };
        match cancelling {
            // What runs there must not go on, not even while a client does not read.
            Some(cancelling) => drop(tokio::join!(cancelling, told)),
            None => told.await,
        }
    }
}

/// What a client is told of a cut.
pub(super) const fn words(cut: Cut) -> &'static str {
    match cut {
        Cut::Killed => "session killed by an operator",
        Cut::Quarantined => "session cut: the workload is quarantined",
        Cut::Revoked => "session cut: its proof or the workload's right has ended",
        Cut::Drained => "the gateway shuts down",
    }
}

async fn expired(deadline: &mut Option<Pin<Box<Sleep>>>) {
    match deadline {
        Some(sleep) => sleep.await,
        None => std::future::pending().await,
    }
}
