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
pub(super) struct Bound {
    mark: Arc<()>,
    pub(super) workload: Arc<Workload>,
    pub(super) upstream: Arc<KnownUpstream>,
    /// Another run may have another task, which narrows otherwise and which policies read.
    provenance: Option<Arc<Provenance>>,
}

/// The answers to each shape, under the circumstances that they depend on. The latest come last.
#[derive(Debug, Default)]
pub(super) struct Answers(HashMap<u128, Vec<(Seen, Arc<Remembered>)>, FixedState>);

/// A session's memory of verdicts. Bounded; empty until the first request.
#[derive(Debug, Default)]
pub struct Memo {
    bound: Option<Bound>,
    answers: Answers,
}

impl Bound {
    fn holds(&self, snapshot: &Snapshot, who: &Authenticated, upstream: &Name) -> bool {
        Arc::ptr_eq(&self.mark, snapshot.mark())
            && self.workload.name == *who.workload()
            && self.upstream.upstream.name == *upstream
            && super::same_run(self.provenance.as_ref(), who.provenance())
    }
}

impl Memo {
    /// An empty memo.
    pub fn new() -> Self {
        Self::default()
    }

    /// The workload and the upstream in this snapshot, and the answers that were found for them in it. Forgets everything that
    /// was found for others, or in another one.
    pub(super) fn bound(
        &mut self,
        snapshot: &Snapshot,
        who: &Authenticated,
        upstream: &Name,
    ) -> Option<(&Bound, &mut Answers)> {
        if !self.bound.as_ref().is_some_and(|bound| bound.holds(snapshot, who, upstream)) {
            self.answers.0.clear();
            self.bound = None;
            self.bound = Some(Bound {
                mark: snapshot.mark().clone(),
                workload: snapshot.workload(who.workload())?.clone(),
                upstream: snapshot.known_upstream(upstream)?.clone(),
                provenance: who.provenance().cloned(),
            });
        }
        Some((self.bound.as_ref()?, &mut self.answers))
    }
}

impl Answers {
    /// Shapes that are remembered before everything is forgotten: a client that sends more has no common case.
    const MOST_SHAPES: usize = 512;
    /// Different circumstances that are remembered for one shape.
    const MOST_CIRCUMSTANCES: usize = 4;

    /// The answer to this shape under these circumstances, if it is known.
    pub(super) fn recall(&self, shape: u128, around: &Circumstances) -> Option<&Remembered> {
        let answers = self.0.get(&shape)?;
        // All answers to one shape come from the same policies, so they read the same.
        let seen = Seen::new(answers.first()?.1.reads, around);
        answers.iter().find(|(other, _)| *other == seen).map(|(_, known)| &**known)
    }

    /// Keeps an answer. What could not be decided is not kept.
    pub(super) fn remember(&mut self, shape: u128, known: &Arc<Remembered>, around: &Circumstances) {
        if matches!(known.finding, Finding::Deny(DenyReason::CannotDecide(_) | DenyReason::Standing)) {
            return;
        }
        if self.0.len() >= Self::MOST_SHAPES && !self.0.contains_key(&shape) {
            self.0.clear();
        }
        let answers = self.0.entry(shape).or_default();
        let seen = Seen::new(known.reads, around);
        answers.retain(|(other, _)| *other != seen);
        if answers.len() >= Self::MOST_CIRCUMSTANCES {
            answers.remove(0);
        }
        answers.push((seen, known.clone()));
    }
}
