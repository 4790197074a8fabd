//! What a session has been answered before. An answer is given again only for the same shape of request, in the same
//! snapshot, for the same workload and upstream, under circumstances that no policy it depends on can tell apart.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;

use crate::audit::DecisionBody;
use crate::circumstances::Circumstances;
use crate::policy::KnownUpstream;
use crate::policy::Snapshot;
use crate::policy::evaluate::Finding;
use crate::policy::reads::{Reads, Seen};
use crate::provenance::Provenance;
use crate::trust::Authenticated;
use crate::verdict::{DenyReason, Terms};
use crate::workload::{Name, Workload};

/// An answer, with the constant part of its audit entry.
#[derive(Clone, Debug)]
pub(super) struct Remembered {
    pub(super) finding: Finding,
    pub(super) terms: Arc<Terms>,
    pub(super) deciding_operation: usize,
    pub(super) reads: Reads,
    pub(super) template: Arc<str>,
    pub(super) body: Arc<DecisionBody>,
}

/// For whom and by what the answers were found.
#[derive(Debug)]
struct Bound {
    mark: Arc<()>,
    workload: Arc<Workload>,
    upstream: Arc<KnownUpstream>,
    /// Another run may have another task, which narrows otherwise and which policies read.
    provenance: Option<Arc<Provenance>>,
}

/// The answers to one shape, under the circumstances that they depend on. The latest come last.
type Answers = Vec<(Seen, Arc<Remembered>)>;

/// A session's memory of verdicts. Bounded; empty until the first request.
#[derive(Debug, Default)]
pub struct Memo {
    bound: Option<Bound>,
    answers: HashMap<u128, Answers, FixedState>,
}

impl Memo {
    /// Shapes that are remembered before everything is forgotten: a client that sends more has no common case.
    const MOST_SHAPES: usize = 512;
    /// Different circumstances that are remembered for one shape.
    const MOST_CIRCUMSTANCES: usize = 4;

    /// An empty memo.
    pub fn new() -> Self {
        Self::default()
    }

    /// The workload and the upstream in this snapshot. Forgets everything that was found for others, or in another one.
    pub(super) fn look_up(
        &mut self,
        snapshot: &Snapshot,
        who: &Authenticated,
        upstream: &Name,
    ) -> Option<(Arc<Workload>, Arc<KnownUpstream>)> {
        if let Some(bound) = &self.bound
            && Arc::ptr_eq(&bound.mark, snapshot.mark())
            && bound.workload.name == *who.workload()
            && bound.upstream.upstream.name == *upstream
            && super::same_run(bound.provenance.as_ref(), who.provenance())
        {
            return Some((bound.workload.clone(), bound.upstream.clone()));
        }
        self.answers.clear();
        self.bound = None;
        let workload = snapshot.workload(who.workload())?.clone();
        let upstream = snapshot.known_upstream(upstream)?.clone();
        self.bound = Some(Bound {
            mark: snapshot.mark().clone(),
            workload: workload.clone(),
            upstream: upstream.clone(),
            provenance: who.provenance().cloned(),
        });
        Some((workload, upstream))
    }

    /// The answer to this shape under these circumstances, if it is known.
    pub(super) fn recall(&self, shape: u128, around: &Circumstances) -> Option<&Remembered> {
        let answers = self.answers.get(&shape)?;
        // All answers to one shape come from the same policies, so they read the same.
        let seen = Seen::new(answers.first()?.1.reads, around);
        answers.iter().find(|(other, _)| *other == seen).map(|(_, known)| &**known)
    }

    /// Keeps an answer. What could not be decided is not kept.
    pub(super) fn remember(&mut self, shape: u128, known: &Arc<Remembered>, around: &Circumstances) {
        if matches!(known.finding, Finding::Deny(DenyReason::CannotDecide(_) | DenyReason::Standing)) {
            return;
        }
        if self.answers.len() >= Self::MOST_SHAPES && !self.answers.contains_key(&shape) {
            self.answers.clear();
        }
        let answers = self.answers.entry(shape).or_default();
        let seen = Seen::new(known.reads, around);
        answers.retain(|(other, _)| *other != seen);
        if answers.len() >= Self::MOST_CIRCUMSTANCES {
            answers.remove(0);
        }
        answers.push((seen, known.clone()));
    }
}
