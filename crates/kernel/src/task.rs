//! The task: what a run was started for, as a narrow and expiring scope (RFC 9396, type `parapet_task`; standards §2.1).
//!
//! A task only narrows: an operation needs policy and task. What was narrowed again keeps every link, and an operation must
//! lie inside each of them. Who may issue a task, and whether a token that carries one is genuine, is not known here.

mod details;

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

pub use details::{Details, InvalidDetails, Limits, MOST_SCOPES, Scope};

use crate::id::TaskId;
use crate::operation::{ActionGroup, Operation};
use crate::time::Timestamp;

/// The most links of a chain: the token that Parapet issued, and what its holders made of it.
pub const MOST_LINKS: usize = 5;
/// The most actors of a chain.
const MOST_ACTORS: usize = 10;

/// One narrowing: by Parapet when it issued the token, or by a holder of the token later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Stands for this link alone: SHA-256 of what was signed. What is used is counted under it.
    pub mark: [u8; 32],
    /// What it allows.
    pub details: Details,
    /// When it ends.
    pub expires: Timestamp,
}

/// A task as its token proves it. Its links only ever narrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    id: TaskId,
    /// Who acts for whom: the origin first, the one that acts last.
    chain: Vec<Arc<str>>,
    links: Vec<Link>,
}

/// Which bound of a task an operation breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Its time is over.
    Expired,
    /// Its uses are used up.
    Uses,
    /// Its rows are used up.
    Rows,
    /// Another upstream.
    Location,
    /// Another action.
    Action,
    /// Another resource.
    Resource,
}

impl Bound {
    /// What it is about, for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "its time",
            Self::Uses => "its uses",
            Self::Rows => "its rows",
            Self::Location => "its upstreams",
            Self::Action => "its actions",
            Self::Resource => "its resources",
        }
    }
}

/// Links that do not make a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTask {
    /// None, or more than may be.
    #[error("a task has 1 to {MOST_LINKS} links and at most {MOST_ACTORS} actors")]
    Length,
    /// A link allows what the one before it does not (hazard ID20).
    #[error("a link is wider than the one that it narrows: {0}")]
    Wider(Wider),
}

/// In what a link is wider than the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wider {
    /// It lives longer.
    Life,
    /// Its upstreams, actions or resources.
    Scope,
    /// Its limits.
    Limits,
    /// It says that it is of another run or commit.
    Run,
}

impl fmt::Display for Wider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Life => "it lives longer",
            Self::Scope => "its upstreams, actions or resources",
            Self::Limits => "its limits",
            Self::Run => "it says that it is of another run or commit",
        })
    }
}

impl Task {
    /// A task of its links, the issued one first. Each must lie within the one before it.
    pub fn new(id: TaskId, chain: Vec<Arc<str>>, links: Vec<Link>) -> Result<Self, InvalidTask> {
        if links.is_empty() || links.len() > MOST_LINKS || chain.len() > MOST_ACTORS {
            return Err(InvalidTask::Length);
        }
        for (parent, child) in links.iter().zip(links.iter().skip(1)) {
            if child.expires > parent.expires {
                return Err(InvalidTask::Wider(Wider::Life));
            }
            child.details.within(&parent.details).map_err(InvalidTask::Wider)?;
        }
        Ok(Self { id, chain, links })
    }

    /// A task as an audit entry states it: without its bounds, so that it narrows nothing. For explanations alone.
    pub fn recorded(id: TaskId, goal: Option<Arc<str>>, chain: Vec<Arc<str>>) -> Self {
        let details = Details { goal, ..Details::default() };
        Self { id, chain, links: vec![Link { mark: [0; 32], details, expires: Timestamp::from_millis(i64::MAX) }] }
    }

    /// Its id, which correlates everything that the run does.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// Who acts for whom: the origin first, the one that acts last.
    pub fn chain(&self) -> &[Arc<str>] {
        &self.chain
    }

    /// Its links, the issued one first.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// What it is for, as said by the last who said it.
    pub fn goal(&self) -> Option<&Arc<str>> {
        self.links.iter().rev().find_map(|link| link.details.goal.as_ref())
    }

    /// The run that it belongs to.
    pub fn run(&self) -> Option<&Arc<str>> {
        self.links.iter().find_map(|link| link.details.run.as_ref())
    }

    /// The commit that the run is of.
    pub fn commit(&self) -> Option<&Arc<str>> {
        self.links.iter().find_map(|link| link.details.commit.as_ref())
    }

    /// When its last link ends, which is the earliest end of all.
    pub fn expires(&self) -> Option<Timestamp> {
        self.links.iter().map(|link| link.expires).min()
    }

    /// Which bound an operation breaks; none if it lies inside every link.
    pub fn outside(&self, operation: &Operation) -> Option<Bound> {
        self.links.iter().find_map(|link| link.details.outside(operation))
    }

    /// Which bound the task as a whole has reached at `now`; none if it goes on. What only opens and steers a session costs
    /// nothing, so that a transaction can end after the last use.
    pub fn ended(&self, operations: &[Operation], left: Left, now: Timestamp) -> Option<Bound> {
        if self.expires().is_none_or(|expires| expires <= now) {
            return Some(Bound::Expired);
        }
        if !costs(operations) {
            return None;
        }
        match left {
            Left { uses: Some(0), .. } => Some(Bound::Uses),
            Left { rows: Some(0), .. } => Some(Bound::Rows),
            Left { .. } => None,
        }
    }
}

/// Does a request count as a use? Not what only opens and steers a session.
pub fn costs(operations: &[Operation]) -> bool {
    operations.iter().any(|operation| operation.action.group() != ActionGroup::Connect)
}

/// What is left of a task's limits, over all its sessions; none where there is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Rows that may still leave.
    pub rows: Option<u64>,
    /// Requests that may still pass.
    pub uses: Option<u64>,
}

#[derive(Serialize)]
struct Told<'t> {
    id: TaskId,
    #[serde(skip_serializing_if = "Option::is_none")]
    goal: Option<&'t Arc<str>>,
    chain: &'t [Arc<str>],
}

/// As audit entries state it: who it is, what it is for, and who acts for whom.
impl Serialize for Task {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Told { id: self.id, goal: self.goal(), chain: &self.chain }.serialize(serializer)
    }
}

#[cfg(test)]
mod tests;
