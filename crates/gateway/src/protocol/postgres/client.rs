//! The client's messages: each is decoded whole, judged, and encoded anew; what policy saw is what the upstream gets.
//!
//! Messages that run nothing (Describe, Close, Flush, Sync) go under the session's own receipt. A Parse and a Bind wait for
//! their Execute, so that what runs is judged once, with its values, before the upstream sees any of it; if the client
//! flushes in between, they are judged by themselves as preparation.

use std::sync::Arc;

use kernel::verdict::{Ask, Content, Deny, Permit, Undecidable, Verdict};
use wire::postgres::frame::{self, FrameError, Framing, HEADER};
use wire::postgres::message::{DecodeError, FrontendMessage, Query};
use wire::postgres::state::{Answer, Asked, NotNow};
use wire::reader::ReadError;
use wire::sql::{Analysis, Control as SqlControl, Refused, Statement, characters_before};

use super::control::Control;
use super::prepared::{Due, Portal, Prepared, Running};
use super::request::Effective;
use super::serve::{Conversation, End, Skipping};
use super::server;
use super::watch::Watchers;
use crate::lanes;
use crate::session::NotGranted;

/// Longer texts are analysed on the blocking pool: a statement of this size can take some milliseconds.
const LONG_TEXT: usize = 16 * 1024;

/// What goes upstream next, in order: the gateway's own encodings of control messages, and between them the contents of
/// permits that wait to be entered.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pub(super) items: Vec<Item>,
    /// Parse, Bind and what follows them, until Execute says what becomes of them.
    pub(super) staged: Staged,
}

#[derive(Debug)]
pub(super) enum Item {
    /// Messages that run nothing.
    Control(Control),
    /// The content of the next permit.
    Permitted,
}

/// A Parse that waits for its Bind, or a Bind that waits for its Execute: what a client sends in one go is judged once, by
/// what it will run.
#[derive(Debug, Default)]
pub(super) struct Staged {
    pub(super) wire: Vec<u8>,
    pub(super) due: Vec<(Asked, Due)>,
    /// The statement of the Parse, and its name.
    pub(super) parse: Option<(Arc<Prepared>, String)>,
    /// The portal of the Bind.
    pub(super) portal: Option<Arc<Portal>>,
}

impl Staged {
    /// Where its first message stands, if there is any.
    pub(super) fn place(&self) -> Option<Place> {
        match (&self.parse, &self.portal) {
            (Some((_, name)), _) => Some(Place::Parse(name.clone())),
            (None, Some(_)) => Some(Place::Bind),
            (None, None) => None,
        }
    }

    /// Is it the Bind of this portal that waits?
    pub(super) fn awaits(&self, portal: &Arc<Portal>) -> bool {
        self.portal.as_ref().is_some_and(|staged| Arc::ptr_eq(staged, portal))
    }
}

/// Where in the protocol a refusal stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A simple query, or a function call.
    Query,
    /// A Parse under this name.
    Parse(String),
    /// A Bind.
    Bind,
    /// An Execute, or a Describe or Close that cannot be.
    Execute,
}

/// What to do when a message cannot simply be forwarded.
pub(super) enum Stop {
    /// There is no whole message left.
    Drained,
    /// The upstream must answer first; then the message is looked at again.
    Settle,
    /// COPY may begin; the client's next messages depend on whether it does.
    CopyBegins,
    /// The catalogue does not know a name; it is read again, once.
    Refresh,
    /// A text is so long that its analysis would hold up others.
    Long(Arc<str>),
    /// The message is denied.
    Refuse(Place, Box<Deny>),
    /// What waited before the message is denied; the message is looked at again, and left out or answered.
    RefuseStaged(Place, Box<Deny>),
    /// A COPY that runs is denied.
    RefuseCopy(Box<Deny>),
    /// The client named a statement or portal that does not exist.
    NoSuchName(Place),
    /// The message waits for people.
    Hold(Place, Box<Ask>),
    /// The session ends.
    End(End),
}

impl From<End> for Stop {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}

impl From<DecodeError> for Stop {
    fn from(_: DecodeError) -> Self {
        Self::End(End::ClientProtocol("a message is malformed"))
    }
}

impl Conversation<'_> {
    /// Handles every whole message that the client has sent.
    pub(super) async fn on_client(&mut self) -> Result<(), End> {
        if self.replies.waiting() == 0 {
            // Whatever was asked to be cancelled is over: what comes next must not be hit (PW10).
            self.cancels_seen = self.session.live().cancels();
        }
        loop {
            let taken = self.relay.client.take_inbound();
            let mut consumed = 0;
            let stop = self.scan(taken.bytes(), &mut consumed);
            // A message that is refused is consumed with its stop; one that must wait is looked at again.
            self.relay.client.put_back(taken, consumed);
            self.dispatch().await?;
            match stop {
                Stop::Drained => return Ok(()),
                Stop::Settle => self.settle().await?,
                Stop::CopyBegins => self.until_copy_begins().await?,
                Stop::Refresh => {
                    Box::pin(self.read_catalogue()).await?;
                    self.refreshed = true;
                }
                Stop::Long(text) => Box::pin(self.analyse_aside(text)).await?,
                // What is rare stands in a box, so that a session which waits does not hold a place for it.
                Stop::Refuse(place, deny) | Stop::RefuseStaged(place, deny) => {
                    Box::pin(self.refuse(place, *deny)).await?;
                }
                Stop::RefuseCopy(deny) => Box::pin(self.refuse_copy(*deny)).await?,
                Stop::NoSuchName(place) => Box::pin(self.refuse_name(place)).await?,
                Stop::Hold(place, ask) => Box::pin(self.hold(place, *ask)).await?,
                Stop::End(end) => return Err(end),
            }
        }
    }

    /// Looks at whole messages until one stops. `consumed` counts what is done with.
    fn scan(&mut self, bytes: &[u8], consumed: &mut usize) -> Stop {
        loop {
            let dropped = self.discarding.min(bytes.len() - *consumed);
            self.discarding -= dropped;
            *consumed += dropped;
            let rest = bytes.get(*consumed..).unwrap_or_default();
            let frame = match frame::frame(rest, self.guarded.upstream.max_message) {
                Framing::Complete(frame) => frame,
                Framing::Incomplete { .. } => return Stop::Drained,
                Framing::Malformed(FrameError::Length) => {
                    return End::ClientProtocol("the length of a message is out of range").into();
                }
                Framing::Malformed(FrameError::Oversize { tag, total }) => {
                    self.discarding = total;
                    return self.oversize(tag);
                }
            };
            let total = frame.whole.len();
            match self.step(frame.tag, frame.body) {
                Ok(()) => {}
                Err(
                    stop @ (Stop::Settle | Stop::Refresh | Stop::Long(_) | Stop::RefuseStaged(..) | Stop::Hold(..)),
                ) => return stop,
                Err(stop) => {
                    *consumed += total;
                    self.refreshed = false;
                    return stop;
                }
            }
            *consumed += total;
            self.refreshed = false;
        }
    }

    /// A message longer than the gateway takes is refused where it stands, and its bytes are dropped as they come.
    fn oversize(&mut self, tag: u8) -> Stop {
        let place = match tag {
            b'Q' | b'F' => Place::Query,
            b'P' => Place::Parse(String::new()),
            b'B' => Place::Bind,
            _ => return End::ClientProtocol("a message is longer than the gateway takes").into(),
        };
        Stop::Refuse(place, Box::new(self.session.refuse(Undecidable::TooLarge, "")))
    }

    /// Handles one message.
    fn step(&mut self, tag: u8, body: &[u8]) -> Result<(), Stop> {
        let message = match FrontendMessage::decode(tag, body) {
            Ok(message) => message,
            Err(DecodeError::UnknownTag(_)) => {
                return Err(End::ClientProtocol("a message is of an unknown type").into());
            }
            Err(error) => return self.undecodable(tag, error),
        };
        if self.skipping != Skipping::No {
            return self.skip(&message);
        }
        match message {
            FrontendMessage::Query(query) => self.query(query),
            FrontendMessage::Parse(parse) => self.parse(&parse),
            FrontendMessage::Bind(bind) => self.bind(&bind, body),
            FrontendMessage::Execute(execute) => self.execute(execute),
            FrontendMessage::Describe(name) => self.describe(name),
            FrontendMessage::Close(name) => self.close_name(name),
            FrontendMessage::Sync => self.sync(),
            FrontendMessage::Flush => {
                self.unstage()?;
                self.outgoing.control(Control::flush());
                Ok(())
            }
            FrontendMessage::CopyData(data) => self.copy_data(data),
            FrontendMessage::CopyDone => {
                self.copy_end(Control::copy_done());
                Ok(())
            }
            FrontendMessage::CopyFail(fail) => {
                self.copy_end(Control::copy_fail(fail)?);
                Ok(())
            }
            FrontendMessage::Terminate => Err(End::Client.into()),
            FrontendMessage::FunctionCall(_) => {
                let deny = self.session.refuse(Undecidable::UnsupportedMessage, "");
                Err(Stop::Refuse(Place::Query, Box::new(deny)))
            }
            FrontendMessage::Authentication(_) => {
                Err(End::ClientProtocol("a password was sent after the login").into())
            }
        }
    }

    /// A message whose body cannot be read. Text that is not UTF-8 is refused in place; anything else ends the session,
    /// because client and gateway no longer agree on what is said.
    fn undecodable(&mut self, tag: u8, error: DecodeError) -> Result<(), Stop> {
        let place = match tag {
            b'Q' => Place::Query,
            b'P' => Place::Parse(String::new()),
            _ => return Err(error.into()),
        };
        if error != DecodeError::Layout(ReadError::NotUtf8) {
            return Err(error.into());
        }
        if self.skipping != Skipping::No {
            return Ok(());
        }
        let deny = self.session.refuse(Undecidable::NotUtf8, "");
        Err(Stop::Refuse(place, Box::new(deny)))
    }

    /// After a refusal everything up to the client's Sync is left out, as the server does after an error.
    fn skip(&mut self, message: &FrontendMessage<'_>) -> Result<(), Stop> {
        match message {
            FrontendMessage::Sync => match std::mem::replace(&mut self.skipping, Skipping::No) {
                Skipping::Upstream => self.sync(),
                Skipping::Alone | Skipping::No => {
                    server::write_idle(self.relay.client.queue());
                    Ok(())
                }
            },
            FrontendMessage::Terminate => Err(End::Client.into()),
            _ => Ok(()),
        }
    }

    fn query(&mut self, query: Query<'_>) -> Result<(), Stop> {
        self.unstage()?;
        self.may_judge()?;
        let epoch = self.epoch();
        let analysis = self.analyse(query.text, Place::Query)?;
        if analysis.statements.is_empty() {
            // Nothing is asked: an empty query of our own goes up, none of the client's bytes.
            let wire = Control::empty_query()?;
            self.push(Asked::Query, Due::Other(None))?;
            self.answers_due += 1;
            self.outgoing.control(wire);
            self.names.simple_query();
            self.names.end_unit();
            return Ok(());
        }
        self.names.simple_query();
        let mut effective = self.effective(&analysis, epoch, Place::Query)?;
        let mut content = Content {
            wire: Vec::with_capacity(HEADER + query.text.len() + 1),
            text: query.text.into(),
            template: Arc::clone(&analysis.template),
            values: Vec::new(),
        };
        encode(query.encode(&mut content.wire))?;
        let verdict = self.session.judge(Arc::clone(&effective.operations), effective.shape, content);
        let permitted = self.permit(verdict, Place::Query, &analysis, &mut effective);
        let running = permitted.map_err(|stop| self.located(stop, query.text))?;
        let begins_copy = effective.begins_copy;
        self.push(Asked::Query, Due::Running(running))?;
        self.answers_due += 1;
        self.outgoing.items.push(Item::Permitted);
        self.names.end_unit();
        if begins_copy { Err(Stop::CopyBegins) } else { Ok(()) }
    }

    fn copy_end(&mut self, end: Control) {
        if self.replies.end_copy_in(Answer::Upstream).is_ok() {
            self.outgoing.control(end);
        }
    }

    /// Messages that did not go up after all change no names.
    pub(super) fn forget(&mut self, due: Vec<(Asked, Due)>) {
        for (_, due) in due {
            if let Due::Other(Some(change)) = due {
                self.names.cancel(change);
            }
        }
    }

    /// Leaves out what comes until the client's Sync, and what was staged.
    pub(super) fn begin_skipping(&mut self, how: Skipping) {
        self.skipping = how;
        let staged = std::mem::take(&mut self.outgoing.staged);
        self.forget(staged.due);
    }

    /// After a definition, nothing is judged until its answer has come and the catalogue has been read again (PW11).
    pub(super) fn may_judge(&self) -> Result<(), Stop> {
        if self.is_stale() { Err(Stop::Settle) } else { Ok(()) }
    }

    /// What a text asks for, by the current catalogue.
    pub(super) fn analyse(&mut self, text: &str, place: Place) -> Result<Arc<Analysis>, Stop> {
        let result = match self.analysed_aside.take() {
            Some((known, result)) if *known == *text => result,
            _ if text.len() > LONG_TEXT => return Err(Stop::Long(text.into())),
            _ => match self.own.view(&self.guarded) {
                Some(view) => view.analyse(text),
                None => self.guarded.analyse(text),
            },
        };
        match result {
            Ok(analysis) => Ok(analysis),
            Err(Refused { why: Undecidable::UnknownRelation | Undecidable::NoCatalogue, .. }) if !self.refreshed => {
                Err(Stop::Refresh)
            }
            Err(Refused { why, position }) => {
                let deny = self.session.refuse(why, "");
                self.refused_at = position.map(|position| characters_before(text, position));
                Err(Stop::Refuse(place, Box::new(deny)))
            }
        }
    }

    /// Analyses a long text where it holds up nobody else, for the message that is looked at again.
    async fn analyse_aside(&mut self, text: Arc<str>) -> Result<(), End> {
        let (guarded, view) = (Arc::clone(&self.guarded), self.own.view(&self.guarded));
        let analysing = lanes::home().spawn_blocking(move || {
            let result = view.map_or_else(|| guarded.analyse(&text), |view| view.analyse(&text));
            (text, result)
        });
        self.analysed_aside = match self.unless_cut(analysing).await? {
            Ok(analysed) => Some(analysed),
            Err(error) => {
                tracing::error!(session = %self.session.id(), %error, "an analysis did not end");
                None
            }
        };
        Ok(())
    }

    /// Adds a permit's content to what goes up, or says how the request stops.
    pub(super) fn permit(
        &mut self,
        verdict: Verdict,
        place: Place,
        analysis: &Arc<Analysis>,
        effective: &mut Effective,
    ) -> Result<Box<Running>, Stop> {
        let verdict = if effective.writes { self.unless_mask_comes_back(verdict) } else { verdict };
        let stop = match (verdict, self.grant.take()) {
            (Verdict::Permit(permit), _) => return self.permitted(permit, place, analysis, effective),
            (Verdict::Ask(ask), Some(grant)) => match self.session.granted(ask, grant) {
                Ok(permit) => return self.permitted(permit, place, analysis, effective),
                Err(NotGranted::Mismatch(ask, mismatch)) => {
                    tracing::info!(session = %self.session.id(), %mismatch, "a grant does not cover its request");
                    Stop::Hold(place, ask)
                }
                Err(NotGranted::OverBudget(deny)) => Stop::Refuse(place, deny),
            },
            (Verdict::Ask(ask), None) => Stop::Hold(place, Box::new(ask)),
            (Verdict::Deny(deny), _) => Stop::Refuse(place, Box::new(deny)),
        };
        effective.cancel_changes(&mut self.names);
        Err(stop)
    }

    /// Makes a permit's request ready to run.
    fn permitted(
        &mut self,
        permit: Permit,
        place: Place,
        analysis: &Arc<Analysis>,
        effective: &mut Effective,
    ) -> Result<Box<Running>, Stop> {
        let plans = effective.plans(analysis, &permit.terms().masks);
        let plans = match plans.and_then(|plans| self.note_copies(analysis, effective.named()).map(|()| plans)) {
            Ok(plans) => plans,
            Err(why) => {
                effective.cancel_changes(&mut self.names);
                return Err(Stop::Refuse(place, Box::new(self.session.withhold(permit, why))));
            }
        };
        let running = Box::new(Running {
            decision: permit.subject().decision(),
            operations: Arc::clone(&effective.operations),
            shape: effective.shape,
            plans,
            statement: 0,
            rewriting: None,
            copying: None,
            portal: None,
            rows: 0,
            rows_sent: 0,
            bytes_sent: 0,
            limits: permit.terms().limits,
            analysis: Arc::clone(analysis),
            named: effective.take_named(),
            failed: false,
            changes: std::mem::take(&mut effective.changes),
            changes_catalogue: effective.changes_catalogue,
            writes: effective.writes,
            watch: self.guarded.watchers().map(Watchers::next).unwrap_or_default(),
        });
        self.wrote |= running.writes;
        let ends = |statement: &Statement| {
            matches!(statement.control, SqlControl::Commit { .. } | SqlControl::Rollback { .. })
        };
        self.catalogue_changes |= running.changes_catalogue || (self.defined && analysis.statements.iter().any(ends));
        self.defined |= running.changes_catalogue;
        self.session.add_permit(permit);
        Ok(running)
    }

    pub(super) fn push(&mut self, asked: Asked, due: Due) -> Result<(), Stop> {
        self.replies.push(asked, Answer::Upstream, due).map_err(|error| match error {
            NotNow::Full => End::ClientProtocol("too many requests wait for an answer").into(),
            NotNow::CopyIn | NotNow::Refused => End::ClientProtocol("a message is out of place").into(),
        })
    }

    pub(super) fn push_all(&mut self, due: &mut Vec<(Asked, Due)>) -> Result<(), Stop> {
        due.drain(..).try_for_each(|(asked, due)| self.push(asked, due))
    }

    /// Enters what was permitted and hands it to the upstream in one write.
    pub(super) async fn dispatch(&mut self) -> Result<(), End> {
        if self.outgoing.items.is_empty() && self.session.nothing_pending() {
            return Ok(());
        }
        self.keep_labels().await?;
        let entered = self.session.enter().await?;
        let mut receipts = entered.receipts.into_iter();
        for item in self.outgoing.items.drain(..) {
            match item {
                Item::Control(control) => self.relay.control(&control),
                // A permit without a receipt cannot be: `enter` yields one each, in order.
                Item::Permitted => match receipts.next() {
                    Some(receipt) => self.relay.admit(receipt),
                    None => return Err(End::Audit(kernel::audit::AppendError::Unwritable)),
                },
            }
        }
        Ok(())
    }

    /// Leaves out the client's next message, which was held and is refused now.
    pub(super) fn drop_head(&mut self) {
        let taken = self.relay.client.take_inbound();
        let total = match frame::frame(taken.bytes(), self.guarded.upstream.max_message) {
            Framing::Complete(frame) => frame.whole.len(),
            Framing::Incomplete { .. } | Framing::Malformed(_) => 0,
        };
        self.relay.client.put_back(taken, total);
    }
}

impl Outgoing {
    pub(super) fn control(&mut self, control: Control) {
        match self.items.last_mut() {
            Some(Item::Control(last)) => last.append(control),
            _ => self.items.push(Item::Control(control)),
        }
    }
}

pub(super) fn too_many() -> Stop {
    End::ClientProtocol("too many prepared statements or portals").into()
}

pub(super) fn encode<E>(result: Result<(), E>) -> Result<(), Stop> {
    result.map_err(|_unencodable| End::ClientProtocol("a message cannot be written").into())
}
