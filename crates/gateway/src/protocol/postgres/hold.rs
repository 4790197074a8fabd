//! Holds a request that policy wants people to approve: with live notices while the client waits, until a person answers,
//! the client cancels or leaves, or patience ends. The approval stays open after that: approve, then run again.

use std::time::Duration;

use kernel::approval::ApprovalState;
use kernel::id::ApprovalId;
use kernel::ports::Answer;
use kernel::verdict::Ask;
use wire::postgres::message::TransactionStatus;
use wire::postgres::refuse::{Severity, Sqlstate};
use wire::refusal::{self, Desk, Refused};

use super::client::Place;
use super::refuse::{refusal_of, versioned};
use super::serve::{Conversation, End};

/// How often a waiting client hears that it still waits.
const NOTICE_EVERY: Duration = Duration::from_secs(15);
/// How long a request is held for a client that may not show notices, or within a transaction.
const SHORT_HOLD: Duration = Duration::from_secs(45);

/// How a hold ended.
enum Held {
    Answered(Answer),
    DeskFailed,
    Cancelled,
}

impl Conversation<'_> {
    /// Holds the request that the client's next message makes. With a grant, the message is looked at again, and judged
    /// again: policy, risk or the catalogue may have changed since it was asked. Otherwise it is refused.
    pub(super) async fn hold(&mut self, place: Place, ask: Ask) -> Result<(), End> {
        let approval = match self.session.ask(&ask).await {
            Ok(approval) => approval,
            Err(deny) => {
                self.drop_head();
                return self.refuse(place, deny).await;
            }
        };
        // An approval that was given before, for this very content: the request runs at once.
        if let Ok(Some(grant)) = self.session.grant_at_hand(approval).await {
            self.grant = Some(grant);
            return Ok(());
        }
        let told = self.describe_ask(&ask, approval);
        self.session.add_ask(&ask, approval);
        self.session.enter().await?;
        let patience = self.patience();
        let held = if patience.is_zero() {
            Held::Answered(Answer::StillWaiting)
        } else {
            self.wait_for_people(approval, &told, patience).await?
        };
        let (sqlstate, told) = match held {
            Held::Answered(Answer::Granted(grant)) => {
                self.grant = Some(grant);
                return Ok(());
            }
            Held::Answered(Answer::Ended(ended)) => ended_as(&ended.state, told),
            Held::Answered(Answer::StillWaiting) | Held::DeskFailed => (Sqlstate::APPROVAL_REQUIRED, told),
            Held::Cancelled => {
                if let Err(error) = self.session.desk().withdraw(approval).await {
                    tracing::warn!(%approval, %error, "a request could not be withdrawn");
                }
                let line = format!("canceling statement due to user request; request {approval} is withdrawn");
                (Sqlstate::QUERY_CANCELED, Refused { line, reason: None, next: None, policy: None, at: None })
            }
        };
        self.drop_head();
        self.refuse_as(place, ask.refused(), sqlstate, &told).await
    }

    fn describe_ask(&self, ask: &Ask, approval: ApprovalId) -> Refused {
        let snapshot = self.session.snapshot();
        let workload = snapshot.workload(self.session.who().workload());
        let desk = Desk { url: self.session.public_url(), disclosure: self.session.disclosure() };
        versioned(refusal::asked(ask, approval, workload.map(|workload| &**workload), desk), &snapshot)
    }

    /// How long this request may be held: a hold in a transaction that has written keeps others waiting for its locks.
    fn patience(&self) -> Duration {
        let in_transaction = self.replies.status() != TransactionStatus::Idle || self.unit_begun;
        match (in_transaction, self.wrote, self.interactive) {
            (true, true, _) => Duration::ZERO,
            (false, _, true) => self.guarded.upstream.hold,
            (true, false, _) | (false, _, false) => SHORT_HOLD.min(self.guarded.upstream.hold),
        }
    }

    async fn wait_for_people(&mut self, approval: ApprovalId, told: &Refused, patience: Duration) -> Result<Held, End> {
        // Whatever is owed to the client comes first; then it hears why it waits.
        self.cancelled = false;
        self.holding = true;
        let held = self.wait_at_desk(approval, told, patience).await;
        self.holding = false;
        held
    }

    async fn wait_at_desk(&mut self, approval: ApprovalId, told: &Refused, patience: Duration) -> Result<Held, End> {
        let desk = self.session.desk();
        let mut answer = desk.wait(approval, patience);
        let mut next_notice = Duration::ZERO;
        let begun = self.session.clock().now();
        loop {
            let waited = self.session.clock().now().since(begun);
            if waited >= next_notice {
                let mut notice = told.clone();
                let left = patience.saturating_sub(waited).as_secs();
                notice.next = notice.next.map(|next| format!("{next}   (waiting up to {left} s, Ctrl-C withdraws)"));
                refusal_of(Severity::Notice, Sqlstate::SUCCESS, &notice)
                    .write_notice(crate::VERSION, self.relay.client.queue());
                next_notice += NOTICE_EVERY;
            }
            tokio::select! {
                biased;
                answered = &mut answer => {
                    return Ok(answered.map_or_else(
                        |error| {
                            tracing::warn!(%approval, %error, "the approval desk failed during a hold");
                            Held::DeskFailed
                        },
                        Held::Answered,
                    ));
                }
                // Reading the client on tells us if it leaves; what it sends waits, up to a bound.
                turned = self.turn(self.relay.client.inbound().len() < crate::relay::HIGH_WATER) => {
                    turned?;
                    if self.relay.client.is_closed() {
                        return Err(End::Client);
                    }
                    if std::mem::take(&mut self.cancelled) {
                        return Ok(Held::Cancelled);
                    }
                }
                () = tokio::time::sleep(NOTICE_EVERY) => {}
            }
        }
    }
}

/// What a client is told of an approval that ended without a grant.
fn ended_as(state: &ApprovalState, told: Refused) -> (Sqlstate, Refused) {
    match state {
        ApprovalState::Rejected { by, reason } => {
            let reason = Some(format!("rejected by {by}: {}", printable(reason)));
            (Sqlstate::DENIED, Refused { reason, ..told })
        }
        ended => {
            let reason = Some(format!("the approval is {}", ended.as_str()));
            (Sqlstate::GRANT_VOID, Refused { reason, ..told })
        }
    }
}

/// The words of a person, made fit for a line.
fn printable(text: &str) -> String {
    text.chars().take(200).map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}
