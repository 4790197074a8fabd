//! Approvals as a pure state machine: asked → granted | rejected | expired | withdrawn, and granted → used | expired | revoked.
//!
//! An approval binds one workload, one upstream and the exact content. Nobody approves their own request, and a quorum
//! counts distinct people. A [`Grant`] is the proof that one use was taken from a granted approval; it is not `Clone`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{ApprovalId, DecisionId, GrantId, SessionId};
use crate::time::Timestamp;
use crate::workload::{Name, Person};

/// Who must approve, and what their approval is worth. From the `@approve` annotations of the policies that ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalTerms {
    /// Each of these groups must be represented among the approvers.
    pub groups: BTreeSet<Name>,
    /// How many distinct people must approve. At least 1.
    pub quorum: u32,
    /// How long the request waits for an answer.
    #[serde(with = "millis")]
    pub open_for: Duration,
    /// How long the grant can be used, counted from the approval.
    #[serde(with = "millis")]
    pub valid_for: Duration,
    /// How many times the grant can be used. At least 1.
    pub uses: u32,
    /// The policies that ask; the grant lifts exactly these.
    pub policies: BTreeSet<Arc<str>>,
}

mod millis {
    //! Durations as integers of milliseconds.
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

/// What is asked of people: the immutable part of an approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The decision that asks.
    pub decision: DecisionId,
    /// The session that waits; none for what a person asks ahead.
    pub session: Option<SessionId>,
    /// Who asks.
    pub workload: Name,
    /// The human who answers for the workload; never an approver of its requests unless a group names someone else too.
    pub owner: Person,
    /// The human who started the run, if known, or who asks ahead: never an approver of it.
    pub started_by: Option<Person>,
    /// The upstream that is asked.
    pub upstream: Name,
    /// SHA-256 of the exact content, in hexadecimal: see `verdict::Content::digest`.
    pub digest: String,
    /// The message line without ids: `DROP TABLE on shop-db/shop.public.orders`.
    pub summary: String,
    /// The statement as the client wrote it.
    pub text: String,
    /// The statement with its constants replaced.
    pub template: String,
    /// Who must approve.
    pub terms: ApprovalTerms,
    /// Why, in the words of the person who asks ahead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was asked.
    pub at: Timestamp,
}

/// Where an approval stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ApprovalState {
    /// Waits for people.
    Asked,
    /// Approved by enough people; can be used.
    Granted {
        /// The grant.
        grant: GrantId,
        /// When the last approval came; its time counts from then.
        at: Timestamp,
        /// How often it has been used.
        used: u32,
    },
    /// A person said no.
    Rejected {
        /// Who.
        by: Person,
        /// Their words for the requester.
        reason: String,
    },
    /// Nobody answered in time, or the grant was not used in time.
    Expired,
    /// The requester cancelled.
    Withdrawn,
    /// Every use was taken.
    Used,
    /// A person took the grant back.
    Revoked {
        /// Who.
        by: Person,
    },
}

impl ApprovalState {
    /// The word for lists.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Granted { .. } => "granted",
            Self::Rejected { .. } => "rejected",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::Used => "used",
            Self::Revoked { .. } => "revoked",
        }
    }
}

/// One request for approval, from asking to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Its id.
    pub id: ApprovalId,
    /// What is asked.
    pub asked: Asked,
    /// Who has approved so far, in which of the required groups they are, and when.
    pub votes: BTreeMap<Person, (BTreeSet<Name>, Timestamp)>,
    /// Where it stands.
    #[serde(flatten)]
    pub state: ApprovalState,
}

/// Why an approval does not change as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalRefusal {
    /// It is no longer open.
    #[error("the approval is {0} already")]
    NotOpen(&'static str),
    /// Nobody approves their own request.
    #[error("nobody approves their own request: {0} answers for the workload or started the run")]
    OwnRequest(Person),
    /// The person is in none of the groups that the policy names.
    #[error("{0} is in none of the groups that must approve")]
    NotInGroup(Person),
    /// The person has approved before; a quorum counts distinct people.
    #[error("{0} has approved already; a quorum counts distinct people")]
    Twice(Person),
}

/// A person who acts on an approval, with the groups that they are in.
#[derive(Clone, Debug)]
pub struct Approver {
    /// Who.
    pub person: Person,
    /// Their groups.
    pub groups: BTreeSet<Name>,
}

impl Approval {
    /// A new request that waits for people.
    pub fn ask(id: ApprovalId, asked: Asked) -> Self {
        Self { id, asked, votes: BTreeMap::new(), state: ApprovalState::Asked }
    }

    /// When it ends by itself, if nothing happens: the request, or the grant.
    pub fn expires(&self) -> Option<Timestamp> {
        match self.state {
            ApprovalState::Asked => Some(self.asked.at.after(self.asked.terms.open_for)),
            ApprovalState::Granted { at, .. } => Some(at.after(self.asked.terms.valid_for)),
            _ => None,
        }
    }

    /// Lets time pass: true if it has expired just now.
    pub fn expire(&mut self, now: Timestamp) -> bool {
        let over = self.expires().is_some_and(|end| end <= now);
        if over {
            self.state = ApprovalState::Expired;
        }
        over
    }

    /// A person approves. With the last needed voice it becomes granted under `grant`.
    pub fn approve(&mut self, by: &Approver, grant: GrantId, now: Timestamp) -> Result<(), ApprovalRefusal> {
        self.must_be_open(now)?;
        if by.person == self.asked.owner || self.asked.started_by.as_ref() == Some(&by.person) {
            return Err(ApprovalRefusal::OwnRequest(by.person.clone()));
        }
        let groups: BTreeSet<Name> = self.asked.terms.groups.intersection(&by.groups).cloned().collect();
        if groups.is_empty() {
            return Err(ApprovalRefusal::NotInGroup(by.person.clone()));
        }
        if self.votes.contains_key(&by.person) {
            return Err(ApprovalRefusal::Twice(by.person.clone()));
        }
        self.votes.insert(by.person.clone(), (groups, now));
        if self.missing().is_none() {
            self.state = ApprovalState::Granted { grant, at: now, used: 0 };
        }
        Ok(())
    }

    /// What is still missing: how many people, and which groups; `None` when nothing is.
    pub fn missing(&self) -> Option<(u32, BTreeSet<Name>)> {
        let voices = u32::try_from(self.votes.len()).unwrap_or(u32::MAX);
        let represented: BTreeSet<&Name> = self.votes.values().flat_map(|(groups, _)| groups).collect();
        let groups: BTreeSet<Name> =
            self.asked.terms.groups.iter().filter(|group| !represented.contains(group)).cloned().collect();
        let people = self.asked.terms.quorum.max(1).saturating_sub(voices);
        (people > 0 || !groups.is_empty()).then_some((people, groups))
    }

    /// A person says no. The owner may: saying no is never a conflict of interest.
    pub fn reject(&mut self, by: &Approver, reason: &str, now: Timestamp) -> Result<(), ApprovalRefusal> {
        self.must_be_open(now)?;
        if by.groups.is_disjoint(&self.asked.terms.groups) && by.person != self.asked.owner {
            return Err(ApprovalRefusal::NotInGroup(by.person.clone()));
        }
        self.state = ApprovalState::Rejected { by: by.person.clone(), reason: reason.to_owned() };
        Ok(())
    }

    /// The requester cancels.
    pub fn withdraw(&mut self, now: Timestamp) -> Result<(), ApprovalRefusal> {
        self.must_be_open(now)?;
        self.state = ApprovalState::Withdrawn;
        Ok(())
    }

    /// A person takes the grant back before it is used up.
    pub fn revoke(&mut self, by: &Person) -> Result<(), ApprovalRefusal> {
        match self.state {
            ApprovalState::Granted { .. } => {
                self.state = ApprovalState::Revoked { by: by.clone() };
                Ok(())
            }
            _ => Err(ApprovalRefusal::NotOpen(self.state.as_str())),
        }
    }

    /// Takes one use, which mints the proof. Only a store that has made the resulting state durable, in one conditional
    /// change that no one else can have made, may hand the proof on.
    pub fn take_use(&mut self, now: Timestamp) -> Result<Grant, ApprovalRefusal> {
        self.expire(now);
        let ApprovalState::Granted { grant, at, used } = self.state else {
            return Err(ApprovalRefusal::NotOpen(self.state.as_str()));
        };
        let used = used.saturating_add(1);
        self.state = if used >= self.asked.terms.uses.max(1) {
            ApprovalState::Used
        } else {
            ApprovalState::Granted { grant, at, used }
        };
        Ok(Grant {
            id: grant,
            approval: self.id,
            workload: self.asked.workload.clone(),
            upstream: self.asked.upstream.clone(),
            digest: self.asked.digest.clone(),
            policies: self.asked.terms.policies.clone(),
        })
    }

    fn must_be_open(&mut self, now: Timestamp) -> Result<(), ApprovalRefusal> {
        self.expire(now);
        match self.state {
            ApprovalState::Asked => Ok(()),
            _ => Err(ApprovalRefusal::NotOpen(self.state.as_str())),
        }
    }
}

/// One use of an approved answer to an Ask. Not `Clone`.
#[derive(Debug)]
pub struct Grant {
    id: GrantId,
    approval: ApprovalId,
    workload: Name,
    upstream: Name,
    digest: String,
    policies: BTreeSet<Arc<str>>,
}

/// Why a grant does not answer an ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantMismatch {
    /// It was given to another workload.
    #[error("the grant is for another workload")]
    Workload,
    /// It was given for another upstream.
    #[error("the grant is for another upstream")]
    Upstream,
    /// The content has changed.
    #[error("the content has changed since the approval")]
    Content,
    /// A policy asks that the approvers were not asked for.
    #[error("a policy asks that the grant was not given for")]
    Policy,
    /// Nothing is left of the task that the workload acts in.
    #[error("no use of the task is left")]
    Task,
}

impl Grant {
    /// Its id.
    pub fn id(&self) -> GrantId {
        self.id
    }

    /// The approval that it was taken from.
    pub fn approval(&self) -> ApprovalId {
        self.approval
    }

    pub(crate) fn covers(
        &self,
        workload: &Name,
        upstream: &Name,
        digest: &[u8; 32],
        terms: &ApprovalTerms,
    ) -> Result<(), GrantMismatch> {
        if self.workload != *workload {
            Err(GrantMismatch::Workload)
        } else if self.upstream != *upstream {
            Err(GrantMismatch::Upstream)
        } else if self.digest != hex(digest) {
            Err(GrantMismatch::Content)
        } else if !terms.policies.is_subset(&self.policies) {
            Err(GrantMismatch::Policy)
        } else {
            Ok(())
        }
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
        text
    })
}

#[cfg(test)]
mod tests;
