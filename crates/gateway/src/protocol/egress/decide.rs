//! May this workload go there? A session begins, the destination is judged as a resource, and the receipt stands in the log
//! before the name is even looked up: a name is a message, too. Then it is dialled.

use std::sync::Arc;

use kernel::verdict::{Ask, Content, Deny, Permit, Receipt, Undecidable, Verdict};
use tokio::io::AsyncWrite;
use tokio::sync::OwnedSemaphorePermit;
use wire::http::refuse::{Refusal, Waiting};
use wire::refusal::Desk;

use super::login::Unproved;
use super::question::Question;
use super::tunnel::cut;
use super::{Client, EgressGateway, PROTOCOL};
use crate::session::{BeginError, NotGranted, Session};
use crate::sessions::Cut;
use crate::upstream::address::{Pinned, ReachError};
use crate::upstream::dial::{DialError, Stream};

/// A session that may go on.
pub(super) struct Begun {
    pub(super) session: Session,
    /// That the workload may connect stands in the log.
    _right: Receipt,
    _place: OwnedSemaphorePermit,
}

impl Begun {
    /// Ends the session. What cut it, if anything did, is why.
    pub(super) async fn end(self, why: &'static str) {
        let why = self.session.live().is_cut().map_or(why, Cut::as_str);
        self.session.end(why).await;
    }
}

/// Why it goes no further.
pub(super) enum Stopped {
    /// It was not proved who it is, after all.
    Unproved(Unproved),
    /// The client is told so.
    Refused(Box<Refusal>),
}

impl From<Refusal> for Stopped {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl EgressGateway {
    /// Begins a session, judges a destination and dials it. What goes no further is said to the client, and has ended.
    pub(super) async fn admit(
        &self,
        stream: &mut (impl AsyncWrite + Unpin),
        client: &Client,
        question: &Question<'_>,
    ) -> Option<(Begun, Stream, Receipt)> {
        let mut begun = match self.begin(client).await {
            Ok(begun) => begun,
            Err(stopped) => {
                self.stop(stream, client, stopped).await;
                return None;
            }
        };
        let opened = match self.decide(&mut begun, question).await {
            Ok(receipt) => {
                let live = Arc::clone(begun.session.live());
                tokio::select! {
                    biased;
                    why = cut(&live) => Err(Refusal::blocked(&format!("blocked, the session is cut: {why}")).into()),
                    opened = self.open(&mut begun, question, receipt) => opened,
                }
            }
            Err(stopped) => Err(stopped),
        };
        match opened {
            Ok((upstream, receipt)) => Some((begun, upstream, receipt)),
            Err(stopped) => {
                self.stop(stream, client, stopped).await;
                begun.end("refused").await;
                None
            }
        }
    }

    /// Begins a session: connecting is judged and entered like everything else.
    async fn begin(&self, client: &Client) -> Result<Begun, Stopped> {
        let url = &self.parts.public_url;
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            let line = format!("the egress has as many sessions as it may [{}]", client.arrival.id);
            return Err(Refusal::blocked(&line).into());
        };
        let who = client.proved.who.clone();
        match Session::begin(self.parts.clone(), client.arrival, who, self.name.clone(), PROTOCOL).await {
            Ok((session, right)) => {
                self.logins.watch(&session);
                Ok(Begun { session, _right: right, _place: place })
            }
            Err(BeginError::Identity(error)) => {
                Err(Stopped::Unproved(Unproved::identity(client.proved.claimed.as_deref(), &error)))
            }
            Err(BeginError::Denied(deny)) => {
                Err(Refusal::blocked(&format!("blocked [{}]", deny.subject().decision())).into())
            }
            Err(BeginError::Audit(_)) => Err(Refusal::undecided(Undecidable::AuditUnavailable, None, url).into()),
        }
    }

    /// Judges a destination, and enters the verdict.
    async fn decide(&self, begun: &mut Begun, question: &Question<'_>) -> Result<Receipt, Stopped> {
        let session = &mut begun.session;
        let text = question.text();
        let content =
            Content { wire: Vec::new(), text: text.as_str().into(), template: text.into(), values: Vec::new() };
        let verdict = session.judge([question.operation(&self.name)].into(), question.shape(), content);
        let undecided = |why: Undecidable| Stopped::from(Refusal::undecided(why, None, &self.parts.public_url));
        match verdict {
            Verdict::Permit(permit) => session.add_permit(permit),
            Verdict::Deny(deny) => return Err(self.deny(session, deny).await),
            Verdict::Ask(ask) => {
                let permit = self.ask(session, ask).await?;
                session.add_permit(permit);
            }
        }
        let mut entered = session.enter().await.map_err(|_error| undecided(Undecidable::AuditUnavailable))?;
        entered.receipts.pop().ok_or_else(|| undecided(Undecidable::AuditUnavailable))
    }

    /// Opens a request for approval, or takes a use of one that was granted. Nothing is held: a client of a proxy shows
    /// nothing while it waits.
    async fn ask(&self, session: &mut Session, ask: Ask) -> Result<Permit, Stopped> {
        let approval = match session.ask(&ask).await {
            Ok(approval) => approval,
            Err(deny) => return Err(self.deny(session, deny).await),
        };
        let ask = match session.grant_at_hand(approval).await {
            Ok(Some(grant)) => match session.granted(ask, grant) {
                Ok(permit) => return Ok(permit),
                Err(NotGranted::OverBudget(deny)) => return Err(self.deny(session, *deny).await),
                Err(NotGranted::Mismatch(ask, mismatch)) => {
                    tracing::info!(session = %session.id(), %mismatch, "a grant does not cover its request");
                    *ask
                }
            },
            Ok(None) | Err(_) => ask,
        };
        session.add_ask(&ask, approval);
        if session.enter().await.is_err() {
            return Err(Refusal::undecided(Undecidable::AuditUnavailable, None, &self.parts.public_url).into());
        }
        let snapshot = session.snapshot();
        let workload = snapshot.workload(session.who().workload()).map(|workload| &**workload);
        let waiting = Waiting { approval, expires: None };
        Err(Refusal::asked(&ask, waiting, workload, desk(session)).into())
    }

    /// Enters a denial, and says it.
    pub(super) async fn deny(&self, session: &mut Session, deny: Deny) -> Stopped {
        let snapshot = session.snapshot();
        let workload = snapshot.workload(session.who().workload()).map(|workload| &**workload);
        let refusal = Refusal::denied(&deny, workload, desk(session));
        session.add_denial(deny);
        match session.enter().await {
            Ok(_entered) => refusal.into(),
            Err(_error) => Refusal::undecided(Undecidable::AuditUnavailable, None, &self.parts.public_url).into(),
        }
    }

    /// Dials a destination that was judged.
    async fn open(
        &self,
        begun: &mut Begun,
        question: &Question<'_>,
        receipt: Receipt,
    ) -> Result<(Stream, Receipt), Stopped> {
        let pinned = self.find(begun, question, &receipt).await?;
        match self.dialler.connect_pinned(&pinned, super::CONNECT).await {
            Ok(stream) => Ok((stream, receipt)),
            Err(error) => Err(self.unreached(begun, &error, &receipt)),
        }
    }

    /// Finds the addresses of a destination that may be, and checks them.
    async fn find(&self, begun: &mut Begun, question: &Question<'_>, why: &Receipt) -> Result<Pinned, Stopped> {
        let to = question.to;
        let found = self.reach.resolve(&self.dialler, &to.host, to.port, super::CONNECT).await;
        match found {
            Ok(pinned) => Ok(pinned),
            Err(error @ (ReachError::Literal | ReachError::Forbidden(_))) => {
                tracing::warn!(session = %begun.session.id(), %error, "a destination is refused");
                let deny = begun.session.refuse(Undecidable::ForbiddenAddress, &question.text());
                Err(self.deny(&mut begun.session, deny).await)
            }
            Err(ReachError::Dial(error)) => Err(self.unreached(begun, &error, why)),
        }
    }

    fn unreached(&self, begun: &Begun, error: &DialError, why: &Receipt) -> Stopped {
        tracing::info!(session = %begun.session.id(), %error, "a destination cannot be reached");
        Refusal::upstream_failed(Some(why.decision()), &self.parts.public_url).into()
    }
}

fn desk(session: &Session) -> Desk<'_> {
    Desk { url: session.public_url(), disclosure: session.disclosure() }
}
