//! A proof that outlives its connection: what is kept of it beside a request that the gateway carries out later, and how it
//! counts again. It proves nothing more than it did, and for no longer.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Authenticated, Claims, Evidence, IdentityRefusal};
use crate::approval::hex;
use crate::id::TaskId;
use crate::provenance::Provenance;
use crate::task::{Details, Link, Task};
use crate::time::Timestamp;
use crate::workload::{Name, Person, Standing, Workload};

/// Why a kept proof does not count any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotResumed {
    /// It is not in the form in which proofs are kept.
    #[error("the kept proof cannot be read")]
    Unreadable,
    /// Its time is over.
    #[error("the proof has ended")]
    Ended,
    /// Another person answers for the workload than when it proved itself (hazard ID21).
    #[error("another person answers for the workload")]
    OtherOwner,
    /// The workload may not act.
    #[error(transparent)]
    Identity(#[from] IdentityRefusal),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    workload: Name,
    owner: Person,
    evidence: Evidence,
    until_ms: Option<i64>,
    issued_ms: Option<i64>,
    accepted: Claims,
    provenance: Option<Provenance>,
    task: Option<KeptTask>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptTask {
    id: TaskId,
    chain: Vec<Arc<str>>,
    /// Mark, what it allows, end.
    links: Vec<(String, serde_json::Value, i64)>,
}

impl Authenticated {
    /// Writes down what must be known to count it again, and who answers for the workload now. Whoever keeps it encrypts it:
    /// it holds claims, and whoever could change it could be anybody.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep(&self, owner: &Person) -> Result<Vec<u8>, NotResumed> {
        let task = self.task().map(|task| KeptTask {
            id: task.id(),
            chain: task.chain().to_vec(),
            links: task
                .links()
                .iter()
                .map(|link| (hex(&link.mark), link.details.value(), link.expires.millis()))
                .collect(),
        });
        let kept = Kept {
            workload: self.workload.clone(),
            owner: owner.clone(),
            evidence: self.evidence.clone(),
            until_ms: self.until.map(Timestamp::millis),
            issued_ms: self.issued.map(Timestamp::millis),
            accepted: Claims::clone(&self.accepted),
            provenance: self.provenance.as_deref().cloned(),
            task,
        };
        serde_json::to_vec(&kept).map_err(|_| NotResumed::Unreadable)
    }

    /// Counts a kept proof again, as long as it would have counted: it has not ended, the workload may act, and the same
    /// person answers for it. What was spent by it stays spent. Whether it was revoked is asked as for every other.
    ///
    /// # Errors
    /// Why not.
    pub fn resume<'w>(
        kept: &[u8],
        find: impl Fn(&Name) -> Option<&'w Workload>,
        now: Timestamp,
    ) -> Result<Self, NotResumed> {
        let kept: Kept = serde_json::from_slice(kept).map_err(|_| NotResumed::Unreadable)?;
        let unregistered = || IdentityRefusal::Unregistered { workload: kept.workload.clone() };
        let workload = find(&kept.workload).ok_or_else(unregistered)?;
        if workload.owner != kept.owner {
            return Err(NotResumed::OtherOwner);
        }
        let standing = workload.standing(now);
        if standing != Standing::Good {
            return Err(IdentityRefusal::Standing { workload: kept.workload, standing }.into());
        }
        let until = match (kept.until_ms.map(Timestamp::from_millis), workload.expires) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        if until.is_some_and(|until| until <= now) {
            return Err(NotResumed::Ended);
        }
        let task = kept.task.map(read_task).transpose()?.map(Arc::new);
        let provenance = match (kept.provenance, task) {
            (None, None) => None,
            (known, task) => Some(Arc::new(Provenance { task, ..known.unwrap_or_default() })),
        };
        Ok(Self {
            workload: kept.workload,
            evidence: kept.evidence,
            until,
            accepted: Arc::new(kept.accepted),
            once: Vec::new(),
            provenance,
            issued: kept.issued_ms.map(Timestamp::from_millis),
            task_life: None,
        })
    }
}

fn read_task(kept: KeptTask) -> Result<Task, NotResumed> {
    let link = |(mark, details, expires): (String, serde_json::Value, i64)| {
        let details = Details::read(&details).map_err(|_| NotResumed::Unreadable)?;
        Ok(Link {
            mark: unhex(&mark).ok_or(NotResumed::Unreadable)?,
            details,
            expires: Timestamp::from_millis(expires),
        })
    };
    let links = kept.links.into_iter().map(link).collect::<Result<Vec<_>, NotResumed>>()?;
    Task::new(kept.id, kept.chain, links).map_err(|_| NotResumed::Unreadable)
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = [0; 32];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != bytes.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = (nibble(*high)? << 4) | nibble(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
