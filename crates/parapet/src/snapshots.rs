//! Publishes snapshots: built from the configuration, the policy files and the standings of workloads; swapped as a whole;
//! a bundle that does not validate never replaces one that does.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use kernel::policy::{PolicyFile, Problem, Snapshot, SnapshotParts};
use kernel::ports::{PortFuture, Snapshots};
use kernel::trust::Trust;
use kernel::workload::Workload;
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
}

/// The current snapshot, and what the next is built from.
#[derive(Debug)]
pub(crate) struct Publisher {
    current: ArcSwap<Snapshot>,
    epoch: watch::Sender<u64>,
    /// The workloads as configured; their standing is applied to each snapshot.
    configured: Mutex<Vec<Workload>>,
}

impl Publisher {
    /// Builds the first snapshot.
    pub(crate) fn new(configuration: &Configuration, standings: &Standings) -> Result<Self, LoadError> {
        let snapshot = build(1, configuration, standings)?;
        Ok(Self {
            current: ArcSwap::from_pointee(snapshot),
            epoch: watch::Sender::new(1),
            configured: Mutex::new(configuration.workloads.clone()),
        })
    }

    /// Builds anew from a configuration and the policy files as they are now.
    pub(crate) fn reload(&self, configuration: &Configuration, standings: &Standings) -> Result<(), LoadError> {
        // Held throughout, so that two changes cannot take the same epoch.
        let mut configured = self.configured.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = build(self.next_epoch(), configuration, standings)?;
        configured.clone_from(&configuration.workloads);
        self.publish(snapshot);
        Ok(())
    }

    /// Applies new standings to the current policies.
    pub(crate) fn restand(&self, standings: &Standings) {
        let configured = self.configured.lock().unwrap_or_else(PoisonError::into_inner);
        let workloads = configured.iter().map(|workload| standing(workload, standings)).collect();
        let snapshot = self.current.load().with_workloads(self.next_epoch(), workloads);
        self.publish(snapshot);
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
        workloads: configuration.workloads.iter().map(|workload| standing(workload, standings)).collect(),
        upstreams: configuration.upstreams.iter().map(|entry| entry.upstream.clone()).collect(),
        trust: Trust::new(configuration.trust.clone()),
    };
    Snapshot::build(parts).map_err(LoadError::Problems)
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
