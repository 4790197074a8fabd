//! Who can call: the registered non-human identities, each with exactly one accountable owner.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// A name that a person chose for a workload, an upstream, a group or an environment: 1 to 63 of `a-z A-Z 0-9 - _ .`,
/// beginning with a letter or digit. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

/// A name that breaks the rule of [`Name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name has 1 to 63 letters, digits, `-`, `_` or `.`, and begins with a letter or digit")]
pub struct InvalidName;

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let rest = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        if first && rest && text.len() <= 63 { Ok(Self(text.into())) } else { Err(InvalidName) }
    }
}

impl TryFrom<String> for Name {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// A human being, named by an address that is unique to them. Owners, approvers and administrators are people.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Person(pub Arc<str>);

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What sort of program a workload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkloadKind {
    /// A long-running program.
    Service,
    /// A continuous-integration job.
    Ci,
    /// An AI agent.
    Agent,
    /// An automation script or chat bot.
    Bot,
    /// A device.
    Device,
}

impl WorkloadKind {
    /// The word that policies and people see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Ci => "ci",
            Self::Agent => "agent",
            Self::Bot => "bot",
            Self::Device => "device",
        }
    }
}

/// Where a workload stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkloadStatus {
    /// May call, as policy permits.
    Active,
    /// May call; its behaviour is being learnt.
    Observed,
    /// Everything is denied and live sessions are cut, until a person releases it.
    Quarantined,
    /// Gone for good.
    Retired,
    /// Nobody answers for it: its owner has left. Denied until it has another.
    Unowned,
}

impl WorkloadStatus {
    /// The word that policies and people see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Observed => "observed",
            Self::Quarantined => "quarantined",
            Self::Retired => "retired",
            Self::Unowned => "unowned",
        }
    }
}

/// A registered workload, as it stands in one snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Workload {
    /// Unique name; the database user, the SSH user and so on must equal it.
    pub name: Name,
    /// The human who answers for it.
    pub owner: Person,
    /// What sort of program it is.
    pub kind: WorkloadKind,
    /// The environment that it belongs to, such as `production`.
    pub environment: Name,
    /// What it is for, in a sentence.
    pub purpose: String,
    /// Groups that policies may name.
    pub groups: BTreeSet<Name>,
    /// From then on every login and operation is denied.
    pub expires: Option<Timestamp>,
    /// Where it stands.
    pub status: WorkloadStatus,
    /// 0 to 100.
    pub risk: u8,
}

/// Why a workload may not act at all, whatever policy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may act, as policy permits.
    Good,
    /// Quarantined until a person releases it.
    Quarantined,
    /// Retired for good.
    Retired,
    /// Past its expiry.
    Expired,
    /// Its owner has left.
    Unowned,
}

impl Workload {
    /// Whether it may act at all at `now`.
    pub fn standing(&self, now: Timestamp) -> Standing {
        match self.status {
            WorkloadStatus::Quarantined => Standing::Quarantined,
            WorkloadStatus::Retired => Standing::Retired,
            WorkloadStatus::Unowned => Standing::Unowned,
            WorkloadStatus::Active | WorkloadStatus::Observed => match self.expires {
                Some(expires) if expires <= now => Standing::Expired,
                _ => Standing::Good,
            },
        }
    }
}
