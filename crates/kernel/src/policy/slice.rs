//! The policies that can apply to one workload, one upstream, one action and one kind of resource: the few that a judgement
//! evaluates. A slice only ever leaves out what its scope rules out for certain.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use cedar_policy::{ActionConstraint, Effect, Entity, EntityUid, PolicySet, PrincipalConstraint, ResourceConstraint};

use crate::circumstances::Circumstances;
use crate::facts::Facts;
use crate::operation::{Action, Operation};
use crate::policy::entities;
use crate::policy::evaluate::Matches;
use crate::policy::load::{Bundle, LoadedPolicy};
use crate::policy::reads::{Depends, Reads, Seen};
use crate::policy::schema::{Vocabulary, uid};
use crate::policy::snapshot::Upstream;
use crate::resource::{Resource, ResourceKind};
use crate::workload::Workload;

/// Policies that can apply, by effect: so that Cedar reports the permits that match even where a forbid does.
#[derive(Debug)]
pub(crate) struct Slice {
    /// The workload that it is for.
    pub(crate) principal: Entity,
    pub(crate) permits: PolicySet,
    pub(crate) forbids: PolicySet,
    /// What they read of the circumstances.
    pub(crate) reads: Reads,
    /// What else their answers depend on.
    depends: Depends,
    /// What was found for resources: it follows from the rest. Never held across an evaluation.
    found: Mutex<HashMap<Resource, Vec<Found>>>,
}

/// What was found for a resource, under which circumstances and, where policies read them, for which facts.
#[derive(Debug)]
struct Found {
    seen: Seen,
    facts: Option<Arc<Facts>>,
    matches: Arc<Matches>,
}

/// Whom and what a slice is for.
pub(crate) struct Cut<'a> {
    pub(crate) workload: &'a Workload,
    pub(crate) upstream: &'a Upstream,
    pub(crate) action: Action,
    pub(crate) kind: ResourceKind,
}

impl Slice {
    /// Cuts a bundle. `None` if a policy cannot be taken over, which nothing but a defect can cause.
    pub(crate) fn new(bundle: &Bundle, cut: &Cut<'_>) -> Option<Self> {
        let principal = entities::principal(&bundle.vocabulary, cut.workload).ok()?;
        let (permits, forbids) = (PolicySet::new(), PolicySet::new());
        let depends = Depends { facts: false, others: false };
        let mut slice = Self { principal, permits, forbids, reads: Reads::NOTHING, depends, found: Mutex::default() };
        let reach = Reach::new(&bundle.vocabulary, cut)?;
        for policy in bundle.policies().iter().filter(|policy| reach.may_apply(policy)) {
            let set = match policy.cedar.effect() {
                Effect::Permit => &mut slice.permits,
                Effect::Forbid => &mut slice.forbids,
            };
            set.add(policy.cedar.clone()).ok()?;
            slice.reads = slice.reads | policy.reads;
            slice.depends = slice.depends | policy.depends;
        }
        Some(slice)
    }

    /// Does an answer about one operation follow from its resource, its facts and the circumstances that are read, whatever
    /// session asks and whatever else is asked with it?
    fn may_keep(&self) -> bool {
        !self.depends.others && !self.reads.has(Reads::TASK) && !self.reads.has(Reads::PROVENANCE)
    }

    /// What was found before for an operation, if the circumstances that its policies read are the same.
    pub(crate) fn known(&self, operation: &Operation, around: &Circumstances) -> Option<Arc<Matches>> {
        if !self.may_keep() {
            return None;
        }
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let candidates = found.get(&*operation.resource)?;
        let seen = Seen::new(self.reads, around);
        let same = |facts: &Option<Arc<Facts>>| facts.as_ref().is_none_or(|facts| *facts == operation.facts);
        candidates.iter().find(|known| known.seen == seen && same(&known.facts)).map(|known| known.matches.clone())
    }

    /// Keeps what was found for an operation.
    pub(crate) fn keep(&self, operation: &Operation, around: &Circumstances, matches: &Arc<Matches>) {
        // The columns that a workload uses, each under a few circumstances.
        const MOST: usize = 512;
        const EACH: usize = 4;
        if !self.may_keep() {
            return;
        }
        let facts = self.depends.facts.then(|| operation.facts.clone());
        let one = Found { seen: Seen::new(self.reads, around), facts, matches: matches.clone() };
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.len() >= MOST && !found.contains_key(&*operation.resource) {
            found.clear();
        }
        let candidates = found.entry((*operation.resource).clone()).or_default();
        if candidates.len() >= EACH {
            candidates.remove(0);
        }
        candidates.push(one);
    }
}

/// The cut in Cedar's words.
struct Reach<'a> {
    vocabulary: &'a Vocabulary,
    kind: &'a cedar_policy::EntityTypeName,
    principal: EntityUid,
    groups: Vec<EntityUid>,
    action: &'a EntityUid,
    action_group: &'a EntityUid,
    upstream: EntityUid,
    environment: EntityUid,
}

impl<'a> Reach<'a> {
    fn new(vocabulary: &'a Vocabulary, cut: &Cut<'_>) -> Option<Self> {
        let action = vocabulary.action(cut.action)?;
        Some(Self {
            vocabulary,
            kind: vocabulary.kind(cut.kind)?,
            principal: uid(&vocabulary.workload, cut.workload.name.as_str()),
            groups: cut.workload.groups.iter().map(|group| uid(&vocabulary.group, group.as_str())).collect(),
            action: &action.uid,
            action_group: &action.group,
            upstream: uid(vocabulary.kind(ResourceKind::Upstream)?, cut.upstream.name.as_str()),
            environment: uid(&vocabulary.environment, cut.upstream.environment.as_str()),
        })
    }

    fn may_apply(&self, policy: &LoadedPolicy) -> bool {
        self.principal(&policy.cedar.principal_constraint())
            && self.action(&policy.cedar.action_constraint())
            && self.resource(&policy.cedar.resource_constraint())
    }

    fn principal(&self, constraint: &PrincipalConstraint) -> bool {
        let within = |uid: &EntityUid| *uid == self.principal || self.groups.contains(uid);
        match constraint {
            PrincipalConstraint::Any => true,
            PrincipalConstraint::Eq(uid) => *uid == self.principal,
            PrincipalConstraint::In(uid) => within(uid),
            PrincipalConstraint::Is(name) => *name == self.vocabulary.workload,
            PrincipalConstraint::IsIn(name, uid) => *name == self.vocabulary.workload && within(uid),
        }
    }

    fn action(&self, constraint: &ActionConstraint) -> bool {
        match constraint {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(uid) => uid == self.action,
            ActionConstraint::In(uids) => uids.iter().any(|uid| uid == self.action || uid == self.action_group),
        }
    }

    fn resource(&self, constraint: &ResourceConstraint) -> bool {
        match constraint {
            ResourceConstraint::Any => true,
            ResourceConstraint::Eq(uid) => uid.type_name() == self.kind,
            ResourceConstraint::In(uid) => self.may_hold(uid),
            ResourceConstraint::Is(name) => name == self.kind,
            ResourceConstraint::IsIn(name, uid) => name == self.kind && self.may_hold(uid),
        }
    }

    /// May `uid` be above a resource of this upstream? Of what lies below the upstream only Cedar decides.
    fn may_hold(&self, uid: &EntityUid) -> bool {
        if *uid.type_name() == self.vocabulary.environment {
            *uid == self.environment
        } else if uid.type_name() == self.upstream.type_name() {
            *uid == self.upstream
        } else {
            true
        }
    }
}

#[cfg(test)]
mod tests;
