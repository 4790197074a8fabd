//! Everything that a judgement reads, frozen: policies, workloads, upstreams, trust rules. Swapped as a whole; read afresh
//! for every operation.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::trust::Trust;
use crate::workload::{Name, Workload};

/// What an upstream does with verdicts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Verdicts bind.
    #[default]
    Enforce,
    /// Nothing is blocked or held; what would have been is recorded. Login, framing, masks and quarantine still bind.
    Observe,
}

/// How much a refusal tells the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Disclosure {
    /// Policy, reason, hint and URL.
    #[default]
    Full,
    /// The policy's id alone.
    Policy,
    /// The decision's id alone.
    Id,
}

/// A protected system, as policies see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Upstream {
    /// Its name.
    pub name: Name,
    /// The environment that it stands in.
    pub environment: Name,
    /// What it does with verdicts.
    pub mode: Mode,
    /// How much its refusals tell.
    pub disclosure: Disclosure,
    /// Classes of resources: a glob over `schema.table.column` (or `schema.table`), and the class that it gives.
    pub classes: Vec<(String, String)>,
}

/// Everything that a judgement reads.
#[derive(Debug)]
pub struct Snapshot {
    epoch: u64,
    trust: Trust,
    workloads: BTreeMap<Name, Arc<Workload>>,
    upstreams: BTreeMap<Name, Arc<Upstream>>,
}

impl Snapshot {
    /// Counts up with every change.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The trust rules.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// A workload by name.
    pub fn workload(&self, name: &Name) -> Option<&Arc<Workload>> {
        self.workloads.get(name)
    }

    /// An upstream by name.
    pub fn upstream(&self, name: &Name) -> Option<&Arc<Upstream>> {
        self.upstreams.get(name)
    }
}
