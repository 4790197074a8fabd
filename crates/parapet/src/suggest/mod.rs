//! Least privilege from use: permits for what a workload was seen to do, and no more, with policy tests to match.
//!
//! What is made wider than it was seen, and by which rule:
//! 1. sessions, transactions and settings stand for the whole upstream; destinations of the egress never do;
//! 2. columns stand for their table, and fields of an answer for their endpoint, unless one of them is labelled or was masked:
//!    then each stands for itself;
//! 3. tables stand for their schema only where `--schema-from` says from how many on, and none of them is of rule 2.
//!
//! Actions are never widened, paths stand for their template. Denials become no permits: they are listed for a person to look at, and
//! drafted in comments where no policy of an API or of the egress permitted what was asked.

pub(crate) mod cedar;
pub(crate) mod files;
mod requests;
pub(crate) mod usage;

use std::collections::{BTreeMap, BTreeSet};

use kernel::operation::{Action, ActionGroup};
use kernel::policy::Snapshot;
use kernel::resource::{Resource, ResourceKind};
use kernel::workload::Name;

use crate::suggest::usage::{Deed, Tally, Usage};

/// How far a rule reaches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    /// The resource and what is below it.
    Below(Resource),
    /// The resource alone.
    Exactly(Resource),
    /// These columns of a table, or fields of an endpoint's answers, and no other.
    Parts(Resource, BTreeSet<Resource>),
}

impl Reach {
    /// What it is about: a resource that is not above anything else that it permits.
    pub(crate) fn resource(&self) -> &Resource {
        match self {
            Self::Below(resource) | Self::Exactly(resource) | Self::Parts(resource, _) => resource,
        }
    }
}

/// What a rule was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ground {
    /// Of what a policy permits.
    Permitted,
    /// Of what passed without one: the upstream observes.
    Observed,
    /// Of what was denied for want of one.
    Denied,
}

/// One permit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Its `@id`.
    pub(crate) id: String,
    pub(crate) workload: Name,
    pub(crate) actions: BTreeSet<Action>,
    pub(crate) reach: Reach,
    pub(crate) tally: Tally,
    /// What it was made of: only what was permitted is proposed, the rest is a person's to decide.
    pub(crate) ground: Ground,
}

/// How rules are made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    /// From how many tables of a schema with the same actions on the schema is proposed; never where it is absent.
    pub(crate) schema_from: Option<usize>,
}

/// The rules for what was seen; `snapshot` tells which columns are labelled.
pub(crate) fn rules(usage: &Usage, snapshot: &Snapshot, options: Options) -> Vec<Rule> {
    let sensitive = sensitive(usage, snapshot);
    let mut rules = Vec::new();
    let grounds = [
        (&usage.permitted, Ground::Permitted),
        (&usage.unpermitted, Ground::Observed),
        (&usage.wanted, Ground::Denied),
    ];
    for (deeds, ground) in grounds {
        // What some policy permits needs no second rule for the time before it did.
        let new = deeds.iter().filter(|(deed, _)| match ground {
            Ground::Permitted => true,
            Ground::Observed => !usage.permitted.contains_key(deed),
            Ground::Denied => !usage.permitted.contains_key(deed) && !usage.unpermitted.contains_key(deed),
        });
        let reaches = reaches(new, &sensitive);
        let reaches = match options.schema_from {
            Some(from) => with_schemas(reaches, from, &sensitive),
            None => reaches,
        };
        for ((workload, reach), (actions, tally)) in reaches {
            rules.push(Rule { id: String::new(), workload, actions, reach, tally, ground });
        }
    }
    name(&mut rules);
    rules
}

/// Tables of which a column is labelled, or has left masked; endpoints with such fields.
fn sensitive(usage: &Usage, snapshot: &Snapshot) -> BTreeSet<Resource> {
    let seen = usage.permitted.keys().chain(usage.unpermitted.keys()).chain(usage.wanted.keys());
    let labelled =
        seen.map(|deed| &deed.resource).filter(|resource| is_part(resource) && !snapshot.classes(resource).is_empty());
    labelled.chain(&usage.masked).map(whole_of).collect()
}

fn is_part(resource: &Resource) -> bool {
    matches!(resource.kind, ResourceKind::Column | ResourceKind::Field)
}

/// The table of a column, the endpoint of a field; anything else is itself.
fn whole_of(resource: &Resource) -> Resource {
    let whole = |kind, path| Resource::new(kind, &resource.upstream, path);
    match (resource.kind, resource.path.as_slice()) {
        (ResourceKind::Column, [database, schema, table, _]) => whole(ResourceKind::Table, [database, schema, table]),
        (ResourceKind::Field, [template, ..]) => Resource::new(ResourceKind::Endpoint, &resource.upstream, [template]),
        _ => resource.clone(),
    }
}

type Reaches = BTreeMap<(Name, Reach), (BTreeSet<Action>, Tally)>;
/// Columns of one table, or fields of one endpoint, that a workload does the same things with.
type Together = BTreeMap<(Name, Resource, BTreeSet<Action>), (BTreeSet<Resource>, Tally)>;

/// Rules 1 and 2.
fn reaches<'u>(deeds: impl Iterator<Item = (&'u Deed, &'u Tally)>, sensitive: &BTreeSet<Resource>) -> Reaches {
    let mut reaches = Reaches::new();
    let mut parts: BTreeMap<(Name, Resource), (BTreeSet<Action>, Tally)> = BTreeMap::new();
    for (deed, tally) in deeds {
        let Deed { workload, resource, action } = deed;
        let whole = whole_of(resource);
        let reach = if action.group() == ActionGroup::Connect && !action.is_http() {
            Reach::Below(Resource::new(ResourceKind::Upstream, &resource.upstream, [""; 0]))
        } else if is_part(resource) && sensitive.contains(&whole) {
            let (actions, counted) = parts.entry((workload.clone(), resource.clone())).or_default();
            actions.insert(*action);
            counted.merge(tally);
            continue;
        } else if matches!(whole.kind, ResourceKind::Table | ResourceKind::Endpoint) && !sensitive.contains(&whole) {
            Reach::Below(whole)
        } else {
            Reach::Exactly(resource.clone())
        };
        let (actions, counted) = reaches.entry((workload.clone(), reach)).or_default();
        actions.insert(*action);
        counted.merge(tally);
    }
    // Columns of one table with the same actions are one rule.
    let mut together = Together::new();
    for ((workload, part), (actions, tally)) in parts {
        let (members, counted) = together.entry((workload, whole_of(&part), actions)).or_default();
        members.insert(part);
        counted.merge(&tally);
    }
    for ((workload, whole, actions), (members, tally)) in together {
        reaches.insert((workload, Reach::Parts(whole, members)), (actions, tally));
    }
    reaches
}

/// Rule 3. What removes or changes tables stays with the table.
fn with_schemas(reaches: Reaches, from: usize, sensitive: &BTreeSet<Resource>) -> Reaches {
    let schema = |resource: &Resource| {
        let path = resource.path.get(..2).filter(|_| resource.kind == ResourceKind::Table)?;
        Some(Resource::new(ResourceKind::Schema, &resource.upstream, path))
    };
    let spared: BTreeSet<Resource> = sensitive.iter().filter_map(schema).collect();
    let may_widen = |actions: &BTreeSet<Action>| {
        actions.iter().all(|action| matches!(action.group(), ActionGroup::Read | ActionGroup::Write))
    };
    let mut tables: BTreeMap<(Name, Resource, BTreeSet<Action>), usize> = BTreeMap::new();
    for ((workload, reach), (actions, _)) in &reaches {
        if let (Reach::Below(resource), true) = (reach, may_widen(actions))
            && let Some(schema) = schema(resource).filter(|schema| !spared.contains(schema))
        {
            *tables.entry((workload.clone(), schema, actions.clone())).or_default() += 1;
        }
    }
    let mut widened = Reaches::new();
    for ((workload, reach), (actions, tally)) in reaches {
        let wide = schema(reach.resource()).map(|schema| (workload.clone(), schema, actions.clone()));
        let reach = match wide.filter(|wide| matches!(reach, Reach::Below(_)) && tables.get(wide) >= Some(&from)) {
            Some((_, schema, _)) => Reach::Below(schema),
            None => reach,
        };
        let (all, counted) = widened.entry((workload, reach)).or_default();
        all.extend(actions);
        counted.merge(&tally);
    }
    widened
}

/// Gives each rule an id of its own: the workload, and what it is about.
fn name(rules: &mut [Rule]) {
    // An `@id` has 63 characters at most; what tells equal ones apart must fit, too.
    const LONGEST: usize = 56;
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    for rule in rules {
        let resource = rule.reach.resource();
        let what = match resource.path.as_slice() {
            [] => "connect".to_owned(),
            [database] => database.to_string(),
            [_database, below @ ..] => below.join("."),
        };
        let text = format!("{}-{}-{what}", rule.workload, resource.upstream);
        let clean = |letter: char| if letter.is_ascii_alphanumeric() || "-_.".contains(letter) { letter } else { '_' };
        let id: String = text.chars().map(clean).take(LONGEST).collect();
        let times = taken.entry(id.clone()).or_default();
        *times += 1;
        rule.id = if *times == 1 { id } else { format!("{id}-{times}") };
    }
}

#[cfg(test)]
mod tests;
