//! Publishes snapshots: built from the configuration, the policy files and the standings of workloads; swapped as a whole;
//! a bundle that does not validate never replaces one that does.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use kernel::audit::AppendError;
use kernel::policy::{DeclaredClass, PolicyFile, Problem, Snapshot, SnapshotParts};
use kernel::ports::{PortFuture, Snapshots};
use kernel::signal::Revocations;
use kernel::threats::Threats;
use kernel::trust::Trust;
use kernel::workload::{Name, Person, Workload, WorkloadStatus};
use store::workloads::Standings;
use tokio::sync::watch;

use crate::config::Configuration;

/// Why policies were not loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// A file cannot be read.
    #[error("{} cannot be read: {kind}", .path.display())]
    Unreadable { path: PathBuf, kind: std::io::ErrorKind },
    /// The policies are wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Problems(Vec<Problem>),
    /// The log does not take that they are loaded.
    #[error(transparent)]
    Unentered(#[from] AppendError),
}

/// The current snapshot, and what the next is built from.
#[derive(Debug)]
pub(crate) struct Publisher {
    current: ArcSwap<Snapshot>,
    epoch: watch::Sender<u64>,
    /// The workloads as configured; their standing is applied to each snapshot.
    configured: Mutex<Vec<Workload>>,
    /// The classes of upstreams' columns beyond the configuration's, by who told of them. Taken after `configured`.
    declared: Mutex<BTreeMap<Name, BTreeMap<Teller, Vec<DeclaredClass>>>>,
    /// The scores of risk that are not zero. Taken after `configured`.
    scores: Mutex<BTreeMap<Name, u8>>,
}

/// Who tells of classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Teller {
    /// The database's catalogue: comments and security labels.
    Catalogue,
    /// People, who confirmed suggestions.
    People,
    /// Copies of labelled values that passed through the gateway.
    Copies,
}

impl Publisher {
    /// Builds the first snapshot.
    pub(crate) fn new(configuration: &Configuration, standings: &Standings) -> Result<Self, LoadError> {
        let snapshot = build(1, configuration, standings)?;
        Ok(Self {
            current: ArcSwap::from_pointee(snapshot),
            epoch: watch::Sender::new(1),
            configured: Mutex::new(owned(configuration)),
            declared: Mutex::default(),
            scores: Mutex::default(),
        })
    }

    /// Builds anew from a configuration and the policy files as they are now, with other threat lists if there are some: a policy
    /// that names a new list is never in force without it. What is in force is entered before: `enter` runs when nothing else can
    /// fail any more.
    pub(crate) fn reload(
        &self,
        configuration: &Configuration,
        standings: &Standings,
        threats: Option<Arc<Threats>>,
        enter: impl FnOnce() -> Result<(), AppendError>,
    ) -> Result<(), LoadError> {
        // Held throughout, so that two changes cannot take the same epoch.
        let mut configured = self.configured.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = build(self.next_epoch(), configuration, standings)?;
        let snapshot = snapshot.with_declared_classes(snapshot.epoch(), &self.declared());
        enter()?;
        configured.clone_from(&owned(configuration));
        // What signals have brought outlives a change of policies.
        let (before, epoch) = (self.current.load(), snapshot.epoch());
        let workloads = self.standing(&configured, standings);
        let threats = threats.unwrap_or_else(|| Arc::clone(before.threats()));
        let snapshot = snapshot.with_workloads(epoch, workloads).with_threats(epoch, threats);
        let snapshot = snapshot.with_revocations(epoch, Arc::clone(before.revocations()));
        self.publish(snapshot);
        Ok(())
    }

    /// Applies new standings to the current policies.
    pub(crate) fn restand(&self, standings: &Standings) {
        let configured = self.configured.lock().unwrap_or_else(PoisonError::into_inner);
        let workloads = self.standing(&configured, standings);
        let snapshot = self.current.load().with_workloads(self.next_epoch(), workloads);
        self.publish(snapshot);
    }

    /// Puts the scores of risk and the revocations into force, if any has changed.
    /// What is heard is asked for here, so that of two callers the later one does not publish what is older.
    pub(crate) fn hear(
        &self,
        standings: impl Fn() -> Arc<Standings>,
        heard: impl Fn() -> (BTreeMap<Name, u8>, Revocations),
    ) {
        let configured = self.configured.lock().unwrap_or_else(PoisonError::into_inner);
        let (scores, revocations) = heard();
        let current = self.current.load();
        {
            let mut known = self.scores.lock().unwrap_or_else(PoisonError::into_inner);
            if *known == scores && **current.revocations() == revocations {
                return;
            }
            *known = scores;
        }
        let workloads = self.standing(&configured, &standings());
        let snapshot = current.with_workloads(self.next_epoch(), workloads);
        self.publish(snapshot.with_revocations(snapshot.epoch(), Arc::new(revocations)));
    }

    /// Puts threat lists into force.
    pub(crate) fn threaten(&self, threats: Arc<Threats>) {
        let _one_at_a_time = self.configured.lock().unwrap_or_else(PoisonError::into_inner);
        self.publish(self.current.load().with_threats(self.next_epoch(), threats));
    }

    /// The configured workloads as they stand.
    fn standing(&self, configured: &[Workload], standings: &Standings) -> Vec<Workload> {
        let scores = self.scores.lock().unwrap_or_else(PoisonError::into_inner);
        let risky = |workload: &Workload| {
            let mut workload = standing(workload, standings);
            workload.risk = workload.risk.max(scores.get(&workload.name).copied().unwrap_or(0));
            workload
        };
        configured.iter().map(risky).collect()
    }

    /// Puts the classes that somebody tells of into force, in the place of those that they told of before.
    pub(crate) fn declare(&self, teller: Teller, upstream: &Name, classes: Vec<DeclaredClass>) {
        let _one_at_a_time = self.configured.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut declared = self.declared.lock().unwrap_or_else(PoisonError::into_inner);
            let told = declared.entry(upstream.clone()).or_default().entry(teller).or_default();
            if *told == classes {
                return;
            }
            *told = classes;
        }
        let snapshot = self.current.load().with_declared_classes(self.next_epoch(), &self.declared());
        self.publish(snapshot);
    }

    fn declared(&self) -> BTreeMap<Name, Vec<DeclaredClass>> {
        let declared = self.declared.lock().unwrap_or_else(PoisonError::into_inner);
        let all = |by: &BTreeMap<Teller, Vec<DeclaredClass>>| by.values().flatten().cloned().collect();
        declared.iter().map(|(upstream, by)| (upstream.clone(), all(by))).collect()
    }

    fn next_epoch(&self) -> u64 {
        self.current.load().epoch() + 1
    }

    fn publish(&self, snapshot: Snapshot) {
        let epoch = snapshot.epoch();
        self.current.store(Arc::new(snapshot));
        self.epoch.send_replace(epoch);
    }
}

impl Snapshots for Publisher {
    fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    fn changed(&self, seen: u64) -> PortFuture<'_, ()> {
        Box::pin(async move {
            let mut epoch = self.epoch.subscribe();
            // The sender lives as long as this publisher, so the wait cannot fail.
            let _changed = epoch.wait_for(|epoch| *epoch != seen).await;
        })
    }
}

/// The policy files of the configured folders, in order of their names.
pub(crate) fn policy_files(configuration: &Configuration) -> Result<Vec<PolicyFile>, LoadError> {
    let mut files = Vec::new();
    for folder in &configuration.policy_folders {
        let unreadable = |error: std::io::Error| LoadError::Unreadable { path: folder.clone(), kind: error.kind() };
        let mut paths: Vec<PathBuf> = fs::read_dir(folder)
            .map_err(unreadable)?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "cedar"))
            .collect();
        paths.sort();
        for path in paths {
            let text = fs::read_to_string(&path)
                .map_err(|error| LoadError::Unreadable { path: path.clone(), kind: error.kind() })?;
            files.push(PolicyFile { name: path.display().to_string().into(), text: text.into() });
        }
    }
    Ok(files)
}

fn build(epoch: u64, configuration: &Configuration, standings: &Standings) -> Result<Snapshot, LoadError> {
    let parts = SnapshotParts {
        epoch,
        policies: policy_files(configuration)?,
        workloads: owned(configuration).iter().map(|workload| standing(workload, standings)).collect(),
        upstreams: configuration.guarded().cloned().collect(),
        trust: Trust::new(configuration.trust.clone()),
    };
    Snapshot::build(parts).map_err(LoadError::Problems)
}

/// The configured workloads; for those whose owner has left nobody answers (NHI1).
fn owned(configuration: &Configuration) -> Vec<Workload> {
    let left: Vec<&Person> =
        configuration.people.iter().filter(|entry| entry.left).map(|entry| &entry.person).collect();
    let mut workloads = configuration.workloads.clone();
    for workload in workloads.iter_mut().filter(|workload| left.contains(&&workload.owner)) {
        workload.status = WorkloadStatus::Unowned;
    }
    workloads
}

/// A configured workload, as it stands.
fn standing(workload: &Workload, standings: &Standings) -> Workload {
    let mut workload = workload.clone();
    if let Some(change) = standings.workloads.get(&workload.name) {
        workload.status = change.status.unwrap_or(workload.status);
        workload.risk = change.risk;
    }
    workload
}
