//! Everything that a judgement reads, frozen: policies, workloads, upstreams, trust rules. Swapped as a whole; read afresh
//! for every operation.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use cedar_policy::Entity;
use serde::{Deserialize, Serialize};

use crate::operation::Action;
use crate::policy::class::{ClassPattern, ClassSource, Classes, DeclaredClass};
use crate::policy::http_reads::{self, HttpReads};
use crate::policy::load::{Bundle, LoadedPolicy, PolicyFile};
use crate::policy::problem::Problem;
use crate::policy::slice::{Cut, Slice};
use crate::resource::{Resource, ResourceKind};
use crate::signal::Revocations;
use crate::threats::Threats;
use crate::trust::Trust;
use crate::workload::{Name, Workload, WorkloadStatus};

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
    /// Classes of resources: a glob over `schema.table.column` (or `schema.table`), and the class that it gives. Read by
    /// [`ClassPattern::new`]; a snapshot with a pattern that cannot be read is refused.
    pub classes: Vec<(String, String)>,
}

/// What a snapshot is made of.
#[derive(Clone, Debug, Default)]
pub struct SnapshotParts {
    /// Counts up with every change.
    pub epoch: u64,
    /// The policy files, in order.
    pub policies: Vec<PolicyFile>,
    /// The registered workloads.
    pub workloads: Vec<Workload>,
    /// The protected systems.
    pub upstreams: Vec<Upstream>,
    /// The trust rules.
    pub trust: Trust,
}

/// An upstream with its classes read.
#[derive(Debug)]
pub(crate) struct KnownUpstream {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) classes: Classes,
    /// Entities that were built for its resources: what they hold follows from the rest.
    built: Mutex<HashMap<Resource, Entity>>,
}

impl KnownUpstream {
    /// As many as the columns of a large catalogue that are in use.
    const MOST_BUILT: usize = 8192;

    pub(crate) fn new(upstream: Upstream, classes: Vec<ClassPattern>) -> Self {
        Self { upstream: Arc::new(upstream), classes: Classes::new(classes), built: Mutex::default() }
    }

    fn declaring(&self, declared: &[DeclaredClass]) -> Self {
        let classes = self.classes.declaring(declared);
        Self { upstream: self.upstream.clone(), classes, built: Mutex::default() }
    }

    /// The entity of a resource, if it was built before.
    pub(crate) fn built(&self, resource: &Resource) -> Option<Entity> {
        self.built.lock().unwrap_or_else(PoisonError::into_inner).get(resource).cloned()
    }

    /// Keeps an entity that was built.
    pub(crate) fn keep(&self, resource: &Resource, entity: &Entity) {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if built.len() >= Self::MOST_BUILT {
            built.clear();
        }
        built.insert(resource.clone(), entity.clone());
    }
}

/// Whom and what a slice of the policies is for.
type SliceKey = (Name, Name, Action, ResourceKind);

/// Everything that a judgement reads.
pub struct Snapshot {
    epoch: u64,
    trust: Trust,
    bundle: Arc<Bundle>,
    workloads: BTreeMap<Name, Arc<Workload>>,
    upstreams: BTreeMap<Name, Arc<KnownUpstream>>,
    threats: Arc<Threats>,
    revocations: Arc<Revocations>,
    /// Slices that were cut: what they hold follows from the rest, so keeping them changes no answer. Looked at only where
    /// a session's memo does not know the answer; never held across an evaluation.
    slices: Mutex<HashMap<SliceKey, Arc<Slice>>>,
    /// What policies read of HTTP requests, for each upstream; found when first asked for.
    http_reads: OnceLock<BTreeMap<Name, Arc<HttpReads>>>,
    /// Stands for this snapshot and no other, so that a memo can tell even those of one epoch apart.
    mark: Arc<()>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("epoch", &self.epoch)
            .field("bundle", &self.bundle.short_digest())
            .field("workloads", &self.workloads.len())
            .field("upstreams", &self.upstreams.len())
            .finish_non_exhaustive()
    }
}

impl Snapshot {
    /// Validates the policies and freezes everything, or says every problem there is; the caller then keeps what it has.
    pub fn build(parts: SnapshotParts) -> Result<Self, Vec<Problem>> {
        let SnapshotParts { epoch, policies, workloads, upstreams, trust } = parts;
        let bundle = Bundle::load(&policies);
        let (known, mut problems) = known_upstreams(upstreams);
        match bundle {
            Ok(bundle) if problems.is_empty() => {
                Ok(Self::of(epoch, Arc::new(bundle), by_name(workloads), known, trust))
            }
            Ok(_) => Err(problems),
            Err(more) => {
                problems.extend(more);
                Err(problems)
            }
        }
    }

    fn of(
        epoch: u64,
        bundle: Arc<Bundle>,
        workloads: BTreeMap<Name, Arc<Workload>>,
        upstreams: BTreeMap<Name, Arc<KnownUpstream>>,
        trust: Trust,
    ) -> Self {
        Self {
            epoch,
            trust,
            bundle,
            workloads,
            upstreams,
            threats: Arc::default(),
            revocations: Arc::default(),
            slices: Mutex::default(),
            http_reads: OnceLock::new(),
            mark: Arc::new(()),
        }
    }

    /// This snapshot's policies and the rest, with other workloads and all that signals have brought.
    fn again(&self, epoch: u64, workloads: BTreeMap<Name, Arc<Workload>>) -> Self {
        let (threats, revocations) = (self.threats.clone(), self.revocations.clone());
        let again = Self::of(epoch, self.bundle.clone(), workloads, self.upstreams.clone(), self.trust.clone());
        Self { threats, revocations, ..again }
    }

    /// The same with these threat lists.
    #[must_use]
    pub fn with_threats(&self, epoch: u64, threats: Arc<Threats>) -> Self {
        Self { threats, ..self.again(epoch, self.workloads.clone()) }
    }

    /// The same with these revocations.
    #[must_use]
    pub fn with_revocations(&self, epoch: u64, revocations: Arc<Revocations>) -> Self {
        Self { revocations, ..self.again(epoch, self.workloads.clone()) }
    }

    /// The same policies, upstreams and trust rules with other workloads; nothing is parsed again.
    #[must_use]
    pub fn with_workloads(&self, epoch: u64, workloads: Vec<Workload>) -> Self {
        self.again(epoch, by_name(workloads))
    }

    /// The same with one workload in another status; nothing is parsed again. `None` if it is not registered.
    #[must_use]
    pub fn with_workload_status(&self, epoch: u64, name: &Name, status: WorkloadStatus) -> Option<Self> {
        let workload = Workload { status, ..Workload::clone(self.workloads.get(name)?) };
        let mut workloads = self.workloads.clone();
        workloads.insert(name.clone(), Arc::new(workload));
        Some(self.again(epoch, workloads))
    }

    /// Counts up with every change.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The trust rules.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The threat lists.
    pub fn threats(&self) -> &Arc<Threats> {
        &self.threats
    }

    /// Which proofs were revoked.
    pub fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// The policies that validate together, and their digest.
    pub fn bundle(&self) -> &Arc<Bundle> {
        &self.bundle
    }

    /// The policies, in order.
    pub fn policies(&self) -> &[LoadedPolicy] {
        self.bundle.policies()
    }

    /// A workload by name.
    pub fn workload(&self, name: &Name) -> Option<&Arc<Workload>> {
        self.workloads.get(name)
    }

    /// Every workload, by name.
    pub fn workloads(&self) -> impl Iterator<Item = &Arc<Workload>> {
        self.workloads.values()
    }

    /// An upstream by name.
    pub fn upstream(&self, name: &Name) -> Option<&Arc<Upstream>> {
        self.upstreams.get(name).map(|known| &known.upstream)
    }

    /// Every upstream, by name.
    pub fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.upstreams.values().map(|known| &known.upstream)
    }

    /// What the policies about an upstream read of an HTTP request: nothing else need be looked at, and facts that nobody
    /// reads are to be left empty. Everything for an upstream that is not known.
    pub fn http_reads(&self, upstream: &Name) -> Arc<HttpReads> {
        let all = self.http_reads.get_or_init(|| {
            let of = |known: &KnownUpstream| {
                http_reads::of_upstream(&self.bundle.vocabulary, self.bundle.policies(), &known.upstream)
            };
            self.upstreams.iter().map(|(name, known)| (name.clone(), Arc::new(of(known)))).collect()
        });
        all.get(upstream).cloned().unwrap_or_else(|| Arc::new(HttpReads::all()))
    }

    /// The classes that a table, a column or a field carries; none for anything else.
    pub fn classes(&self, resource: &Resource) -> BTreeSet<Arc<str>> {
        let known = self.known_upstream(&resource.upstream);
        known.map(|known| known.classes.of(resource)).unwrap_or_default()
    }

    /// The same classes with who declares them; [`crate::policy::NO_CLASS`] is among them where somebody says so.
    pub fn class_sources(&self, resource: &Resource) -> BTreeSet<(Arc<str>, ClassSource)> {
        let known = self.known_upstream(&resource.upstream);
        known.map(|known| known.classes.sources(resource)).unwrap_or_default()
    }

    /// The same with these classes of upstreams, each whole, besides those of the configuration; nothing is parsed again.
    #[must_use]
    pub fn with_declared_classes(&self, epoch: u64, declared: &BTreeMap<Name, Vec<DeclaredClass>>) -> Self {
        let mut upstreams = self.upstreams.clone();
        for (name, declared) in declared {
            if let Some(known) = upstreams.get_mut(name) {
                *known = Arc::new(known.declaring(declared));
            }
        }
        Self { upstreams, ..self.again(epoch, self.workloads.clone()) }
    }

    /// Could policy ever permit the workload an action, or any action of a group, on something of an upstream? False is sure;
    /// true only says that some permit is about it. On an observing upstream nothing is ruled out.
    pub fn may_ever(&self, workload: &Name, upstream: &Name, word: &str) -> bool {
        let (Some(workload), Some(known)) = (self.workloads.get(workload), self.upstreams.get(upstream)) else {
            return false;
        };
        if known.upstream.mode == Mode::Observe {
            return true;
        }
        let actions = Action::ALL.iter().filter(|action| action.as_str() == word || action.group().as_str() == word);
        actions.copied().any(|action| {
            ResourceKind::ALL.into_iter().any(|kind| {
                let cut = Cut { workload, upstream: &known.upstream, action, kind };
                self.slice(&cut).is_some_and(|slice| !slice.permits.is_empty())
            })
        })
    }

    pub(crate) fn known_upstream(&self, name: &Name) -> Option<&Arc<KnownUpstream>> {
        self.upstreams.get(name)
    }

    pub(crate) fn mark(&self) -> &Arc<()> {
        &self.mark
    }

    /// The policies that can apply. `None` only by a defect. For a workload or an upstream that is not this snapshot's own,
    /// as in a dry run with other groups, nothing is kept: its slice would answer for the real one.
    pub(crate) fn slice(&self, cut: &Cut<'_>) -> Option<Arc<Slice>> {
        let own = self.workloads.get(&cut.workload.name).is_some_and(|own| std::ptr::eq(&**own, cut.workload))
            && self.upstreams.get(&cut.upstream.name).is_some_and(|own| std::ptr::eq(&*own.upstream, cut.upstream));
        if !own {
            return Slice::new(&self.bundle, cut).map(Arc::new);
        }
        // As many as a large fleet needs at once; beyond it, cutting anew costs some microseconds.
        const MOST: usize = 8192;
        let key = (cut.workload.name.clone(), cut.upstream.name.clone(), cut.action, cut.kind);
        if let Some(slice) = self.slices.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Some(slice.clone());
        }
        let slice = Arc::new(Slice::new(&self.bundle, cut)?);
        let mut slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        if slices.len() >= MOST {
            slices.clear();
        }
        slices.insert(key, slice.clone());
        Some(slice)
    }
}

fn by_name(workloads: Vec<Workload>) -> BTreeMap<Name, Arc<Workload>> {
    workloads.into_iter().map(|workload| (workload.name.clone(), Arc::new(workload))).collect()
}

/// Reads the classes of every upstream.
fn known_upstreams(upstreams: Vec<Upstream>) -> (BTreeMap<Name, Arc<KnownUpstream>>, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut known = BTreeMap::new();
    for upstream in upstreams {
        let mut classes = Vec::new();
        for (pattern, class) in &upstream.classes {
            match ClassPattern::new(pattern, class) {
                Ok(pattern) => classes.push(pattern),
                Err(invalid) => problems.push(Problem::of_class(upstream.name.as_str(), pattern, &invalid)),
            }
        }
        known.insert(upstream.name.clone(), Arc::new(KnownUpstream::new(upstream, classes)));
    }
    (known, problems)
}

#[cfg(test)]
mod tests;
