//! Requests that the gateway keeps while people are asked, and carries out itself once they have said yes: only where the
//! client asked for that and the upstream's configuration allows it.
//!
//! A request is sent at most once. Whoever sends it has made [`KeptState::Sending`] durable first, in one conditional change;
//! what is found in that state after a restart becomes [`KeptState::Unknown`], and is never sent again. The port is
//! `ports::KeptRequests`; how a request is written down is the protocol's business.

use crate::id::{ApprovalId, DecisionId, SessionId, TaskId};
use crate::time::Timestamp;
use crate::workload::Name;

/// Where a kept request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptState {
    /// Waits for people.
    Waiting,
    /// Granted, judged again, entered: its first byte may leave at any moment.
    Sending,
    /// The upstream has answered, and the answer is kept.
    Answered,
    /// The upstream has answered, and the answer is not kept: it is too long, cannot be masked, or broke off.
    Lost,
    /// It ended without being sent.
    Ended(KeptEnd),
    /// It was being sent when the gateway or the connection stopped: whether the upstream had it is unknown.
    Unknown,
}

/// Why a kept request was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptEnd {
    /// People said no.
    Rejected,
    /// Nobody answered in time.
    Expired,
    /// Whoever asked took it back.
    Withdrawn,
    /// The grant was taken back.
    Revoked,
    /// The grant's uses were taken: by the same request that was sent again, or by this one just before the gateway stopped.
    Used,
    /// Judged again, it is denied, or what people were asked is not what is asked now.
    Denied,
    /// The proof by which it was asked has ended, or was revoked.
    Proof,
    /// The upstream could not be reached: nothing was sent.
    Unreachable,
    /// What was kept cannot be read.
    Unreadable,
}

impl KeptEnd {
    /// Every end.
    pub const ALL: [Self; 9] = [
        Self::Rejected,
        Self::Expired,
        Self::Withdrawn,
        Self::Revoked,
        Self::Used,
        Self::Denied,
        Self::Proof,
        Self::Unreachable,
        Self::Unreadable,
    ];
}

impl KeptState {
    /// The word in the store and in the audit log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sending => "sending",
            Self::Answered => "answered",
            Self::Lost => "answer_lost",
            Self::Unknown => "unknown",
            Self::Ended(end) => match end {
                KeptEnd::Rejected => "rejected",
                KeptEnd::Expired => "expired",
                KeptEnd::Withdrawn => "withdrawn",
                KeptEnd::Revoked => "revoked",
                KeptEnd::Used => "used",
                KeptEnd::Denied => "denied",
                KeptEnd::Proof => "proof_ended",
                KeptEnd::Unreachable => "unreachable",
                KeptEnd::Unreadable => "unreadable",
            },
        }
    }

    /// Reads the word.
    pub fn from_word(word: &str) -> Option<Self> {
        let others = [Self::Waiting, Self::Sending, Self::Answered, Self::Lost, Self::Unknown];
        others.into_iter().chain(KeptEnd::ALL.map(Self::Ended)).find(|state| state.as_str() == word)
    }

    /// Is it still under way?
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::Sending)
    }
}

/// A request to be kept.
#[derive(Clone, Copy, Debug)]
pub struct NewKept<'a> {
    /// The approval that it waits for; no two wait for one.
    pub approval: ApprovalId,
    /// Who asked.
    pub workload: &'a Name,
    /// Whom it is for.
    pub upstream: &'a Name,
    /// The session that asked.
    pub session: SessionId,
    /// The task for which it was asked.
    pub task: Option<TaskId>,
    /// The request and the proof, as the protocol writes them. They stand nowhere in clear.
    pub request: &'a [u8],
    /// The most requests of this upstream that are kept at a time, with those whose answers are.
    pub most: u32,
}

/// A kept request, without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptRequest {
    /// The approval.
    pub approval: ApprovalId,
    /// Who asked.
    pub workload: Name,
    /// Whom it is for.
    pub upstream: Name,
    /// The task for which it was asked.
    pub task: Option<TaskId>,
    /// Where it stands.
    pub state: KeptState,
    /// The decision under which it was sent or denied.
    pub decision: Option<DecisionId>,
    /// The status of the upstream's answer.
    pub status: Option<u16>,
    /// When it, and its answer, is forgotten; none while it is under way.
    pub until: Option<Timestamp>,
}

/// A step of a kept request.
#[derive(Clone, Copy, Debug)]
pub struct KeptStep<'a> {
    /// From there, or nothing happens.
    pub from: KeptState,
    /// To there.
    pub to: KeptState,
    /// The decision that goes with it.
    pub decision: Option<DecisionId>,
    /// The upstream's status.
    pub status: Option<u16>,
    /// The upstream's answer, as the protocol writes it.
    pub answer: Option<&'a [u8]>,
    /// Until when it is remembered, if it is over.
    pub until: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back() {
        let ends = KeptEnd::ALL.map(KeptState::Ended);
        let others = [KeptState::Waiting, KeptState::Sending, KeptState::Answered, KeptState::Lost, KeptState::Unknown];
        for state in ends.into_iter().chain(others) {
            assert_eq!(KeptState::from_word(state.as_str()), Some(state));
        }
        assert_eq!(KeptState::from_word("done"), None);
        assert!(KeptState::Sending.is_open() && !KeptState::Unknown.is_open());
    }
}
