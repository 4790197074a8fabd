//! Refuses a message in the protocol's own words and leaves the transaction as a native error would.
//!
//! Where the upstream may have a transaction open, it must itself learn that a statement failed: the refusal probe stands
//! in for the denied message, under the denial's receipt, and its error is replaced by ours. Elsewhere the gateway answers
//! alone, and the upstream sees nothing at all.

use kernel::policy::Snapshot;
use kernel::task::Bound;
use kernel::verdict::{Deny, DenyReason, RefusalReceipt, Undecidable};
use wire::postgres::message::EncodeError;
use wire::postgres::refuse::{Probe, Refusal, Severity, Sqlstate};
use wire::postgres::state::{Answer, Asked, NotNow};
use wire::refusal::{self, Desk, Refused};

use super::client::{Place, Stop};
use super::prepared::Due;
use super::serve::{Conversation, End, Skipping};
use super::server;

/// Names the policy with the beginning of the bundle's digest, as `explain` shows it: which policies those were.
pub(super) fn versioned(told: Refused, snapshot: &Snapshot) -> Refused {
    let version: String = snapshot.bundle().digest().chars().take(12).collect();
    Refused { policy: told.policy.map(|policy| format!("policy \"{policy}\" at version {version}")), ..told }
}

impl Conversation<'_> {
    /// Refuses a message that was denied.
    pub(super) async fn refuse(&mut self, place: Place, deny: Deny) -> Result<(), End> {
        let sqlstate = match deny.reason() {
            DenyReason::OutsideTask { bound: Bound::Rows | Bound::Uses, .. } => Sqlstate::LIMIT,
            DenyReason::Policy(_) | DenyReason::NoPermit | DenyReason::OutsideTask { .. } => Sqlstate::DENIED,
            DenyReason::Quarantine(_) | DenyReason::Standing => Sqlstate::QUARANTINED,
            DenyReason::CannotDecide(_) => Sqlstate::CANNOT_DECIDE,
            DenyReason::NotApproved(_) => Sqlstate::APPROVAL_REQUIRED,
            DenyReason::OverBudget(_) => Sqlstate::LIMIT,
        };
        let mut told = self.describe_denial(&deny);
        // An analysis that texts share knows no places, so the text was looked at again. Who is told only a decision's id
        // is told no place either.
        let at = self.refused_at.take();
        if told.reason.is_some() || told.policy.is_some() {
            told.at = at;
        }
        self.refuse_as(place, deny, sqlstate, &told).await
    }

    /// Refuses a message that names a statement or portal which does not exist: natively, as the server would.
    pub(super) async fn refuse_name(&mut self, place: Place) -> Result<(), End> {
        let deny = self.session.refuse(Undecidable::UnknownForm, "");
        let decision = deny.subject().decision();
        let (sqlstate, what) = match place {
            Place::Execute => (Sqlstate::NO_SUCH_PORTAL, "portal"),
            Place::Bind | Place::Query | Place::Parse(_) => (Sqlstate::NO_SUCH_STATEMENT, "prepared statement"),
        };
        let line = format!("the {what} does not exist in this session [{decision}]");
        let told = Refused { line, reason: None, next: None, policy: None, at: None };
        self.refuse_as(place, deny, sqlstate, &told).await
    }

    /// Notes where in its text a denied request offends. Off the hot path: only a denial is looked at again.
    pub(super) fn located(&mut self, stop: Stop, text: &str) -> Stop {
        if let Stop::Refuse(_, deny) | Stop::RefuseStaged(_, deny) = &stop {
            self.refused_at = deny.subject().deciding_operation().and_then(|meant| self.guarded.locate(text, meant));
        }
        stop
    }

    /// What the client is told of a denial.
    pub(super) fn describe_denial(&self, deny: &Deny) -> Refused {
        let snapshot = self.session.snapshot();
        let workload = snapshot.workload(self.session.who().workload());
        let desk = Desk { url: self.session.public_url(), disclosure: self.session.disclosure() };
        versioned(refusal::denied(deny, workload.map(|workload| &**workload), desk), &snapshot)
    }

    /// Enters a denial and answers the message with the given error.
    pub(super) async fn refuse_as(
        &mut self,
        place: Place,
        deny: Deny,
        sqlstate: Sqlstate,
        told: &Refused,
    ) -> Result<(), End> {
        // Whoever refuses alone must keep the order of replies: everything owed before comes first. Within a unit of the
        // extended protocol the probe keeps it.
        if !self.unit_begun {
            while self.replies.waiting() > 0 {
                self.turn(false).await?;
            }
        }
        if self.skipping != Skipping::No {
            // The unit failed meanwhile: what comes until Sync gets no answer. The denial is entered all the same.
            self.session.add_denial(deny);
            self.session.enter().await?;
            return Ok(());
        }
        self.session.add_denial(deny);
        let entered = self.session.enter().await?;
        let Some((_, receipt)) = entered.refusals.into_iter().next_back() else {
            return Err(End::Audit(kernel::audit::AppendError::Unwritable));
        };
        let error = error(sqlstate, told);
        if self.replies.may_be_open() {
            self.probe(place, &receipt, error)
        } else {
            self.answer_alone(&place, &error);
            Ok(())
        }
    }

    fn answer_alone(&mut self, place: &Place, error: &[u8]) {
        let out = self.relay.client.queue();
        out.extend_from_slice(error);
        match place {
            Place::Query => server::write_idle(out),
            Place::Parse(_) | Place::Bind | Place::Execute => self.begin_skipping(Skipping::Alone),
        }
    }

    /// Sends the fixed refusal probe in the denied message's place.
    fn probe(&mut self, place: Place, receipt: &RefusalReceipt, error: Vec<u8>) -> Result<(), End> {
        let asked = match &place {
            Place::Query => Asked::Query,
            Place::Parse(_) => Asked::Parse,
            Place::Bind => Asked::Bind,
            Place::Execute => Asked::Execute,
        };
        self.replies.push(asked, Answer::Refusal, Due::Refusal(error)).map_err(|error| match error {
            NotNow::Full => End::ClientProtocol("too many requests wait for an answer"),
            NotNow::CopyIn | NotNow::Refused => End::ClientProtocol("a message is out of place"),
        })?;
        let written: Result<(), EncodeError> = self.relay.admit_probe(receipt, |decision, out| {
            let probe = Probe::new(decision);
            match &place {
                Place::Query => probe.write_query(out),
                Place::Parse(name) => probe.write_parse(name, out),
                Place::Bind => probe.write_bind(out),
                Place::Execute => probe.write_execute(out),
            }
        });
        written.map_err(|_unencodable| End::ClientProtocol("a message cannot be written"))?;
        if place == Place::Query {
            self.answers_due += 1;
        } else {
            self.begin_skipping(Skipping::Upstream);
        }
        Ok(())
    }

    /// The last words to a client whose running request may not go on.
    pub(super) fn stop_line(&self, deny: &Deny) -> String {
        self.describe_denial(deny).line
    }
}

/// An `ErrorResponse` from what people read.
pub(super) fn error(sqlstate: Sqlstate, told: &Refused) -> Vec<u8> {
    let mut out = Vec::new();
    refusal_of(Severity::Error, sqlstate, told).write_error(crate::VERSION, &mut out);
    out
}

pub(super) fn refusal_of<'a>(severity: Severity, sqlstate: Sqlstate, told: &'a Refused) -> Refusal<'a> {
    Refusal {
        detail: told.reason.as_deref(),
        hint: told.next.as_deref(),
        context: told.policy.as_deref(),
        // Characters, not bytes, and from 1.
        position: told.at.map(|at| at.saturating_add(1)),
        ..Refusal::new(severity, sqlstate, &told.line)
    }
}
