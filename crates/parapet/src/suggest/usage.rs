//! What workloads have done, counted from the decisions of the audit log: by workload, upstream, action and resource.
//!
//! Denials are counted apart: they are evidence for a person, and nothing is proposed of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use kernel::operation::Action;
use kernel::resource::{Resource, ResourceKind};
use kernel::time::Timestamp;
use kernel::workload::Name;
use serde::Deserialize;
use serde_json::Value;
use store::log::{ContentReader, Filter, Order, SearchError};

/// The name under which it is recorded that no policy would have permitted what an observing upstream let pass.
const NO_PERMIT: &str = "(no permit)";

/// The most statements that are kept, for tests.
const MOST_SHAPES: usize = 100_000;

/// Which decisions are counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    /// Of this workload alone.
    pub(crate) workload: Option<String>,
    /// Of this upstream alone.
    pub(crate) upstream: Option<String>,
    /// Not earlier than this.
    pub(crate) since: Option<Timestamp>,
}

/// Who did what with what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deed {
    pub(crate) workload: Name,
    /// Its kind and path name the upstream, too.
    pub(crate) resource: Resource,
    pub(crate) action: Action,
}

/// How often, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) count: u64,
    /// RFC 3339; both are set as soon as something was counted.
    pub(crate) first: String,
    pub(crate) last: String,
    /// A statement with its constants replaced.
    pub(crate) example: Option<String>,
    /// Policies that would have stopped it, had they or the upstream not observed, with how often.
    pub(crate) would_be: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts one more at `at`.
    pub(crate) fn add(&mut self, at: &str, example: Option<&str>) {
        self.count += 1;
        // The one form of a time in an entry sorts as text.
        if self.first.is_empty() || at < self.first.as_str() {
            self.first = at.to_owned();
        }
        if at > self.last.as_str() {
            self.last = at.to_owned();
        }
        // The shortest says the same in fewer words.
        if let Some(example) = example
            && self.example.as_ref().is_none_or(|known| example.len() < known.len())
        {
            self.example = Some(example.to_owned());
        }
    }

    /// Takes the tally of something else in that came with the same requests, such as another column: how often both came
    /// together is not known, so the greater count stands.
    pub(crate) fn merge(&mut self, other: &Self) {
        let count = self.count.max(other.count);
        for at in [&other.first, &other.last] {
            self.add(at, other.example.as_deref());
        }
        self.count = count;
        for (policy, times) in &other.would_be {
            let known = self.would_be.entry(policy.clone()).or_default();
            *known = (*known).max(*times);
        }
    }
}

/// What was not let pass: whose, where, and by which policy or for which reason.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Denied {
    pub(crate) workload: Name,
    pub(crate) upstream: Name,
    pub(crate) why: String,
}

/// A statement that passed, with its constants replaced.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shape {
    pub(crate) workload: Name,
    pub(crate) upstream: Name,
    pub(crate) statement: String,
}

/// Everything that was counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    /// Decisions that were looked at.
    pub(crate) decisions: u64,
    /// What passed because a policy permits it.
    pub(crate) permitted: BTreeMap<Deed, Tally>,
    /// What passed although no policy permits it: the upstream observes.
    pub(crate) unpermitted: BTreeMap<Deed, Tally>,
    /// What was denied, or asked of people and not granted.
    pub(crate) denied: BTreeMap<Denied, Tally>,
    /// Columns that left masked: they hold what not everybody may see.
    pub(crate) masked: BTreeSet<Resource>,
    /// The statements that passed, and whether a policy permits each.
    pub(crate) shapes: BTreeMap<Shape, bool>,
    /// Decisions of more operations than an entry holds: what is beyond is not known.
    pub(crate) cut: u64,
}

#[derive(Deserialize)]
struct Entry {
    at: String,
    workload: Name,
    upstream: Name,
    verdict: String,
    #[serde(default)]
    grant: Option<String>,
    #[serde(default)]
    terms: Terms,
    #[serde(default)]
    reason: Option<Reason>,
    #[serde(default)]
    by: Option<Deciding>,
    #[serde(default)]
    operations: Vec<Asked>,
    #[serde(default)]
    statement: Option<String>,
}

#[derive(Default, Deserialize)]
struct Terms {
    #[serde(default)]
    masks: Vec<(usize, Value, String)>,
    #[serde(default)]
    observed: Vec<Deciding>,
}

#[derive(Deserialize)]
struct Deciding {
    policy: String,
}

#[derive(Deserialize)]
struct Reason {
    why: String,
    #[serde(default)]
    policy: Option<String>,
}

#[derive(Deserialize)]
struct Asked {
    action: String,
    kind: ResourceKind,
    resource: String,
    #[serde(default)]
    path: Option<Vec<Arc<str>>>,
}

impl Asked {
    /// None for what a later version may have written, and for the note that operations were cut off.
    fn read(&self, upstream: &Name) -> Option<(Action, Resource)> {
        let action = Action::named(&self.action)?;
        let below = self.resource.strip_prefix(upstream.as_str())?;
        let path: Vec<Arc<str>> = match (&self.path, below.strip_prefix('/')) {
            (Some(path), _) => path.clone(),
            (None, Some(path)) => path.split('.').map(Arc::from).collect(),
            (None, None) => Vec::new(),
        };
        (path.len() == self.kind.depth()).then(|| (action, Resource::new(self.kind, upstream, path)))
    }
}

impl Usage {
    /// Counts the decisions of a log. Without `contents` there are no statements, and so no examples and fewer tests.
    pub(crate) fn read(log: &Path, contents: Option<ContentReader>, window: &Window) -> Result<Self, SearchError> {
        let filter = Filter {
            kind: Some("decision".to_owned()),
            workload: window.workload.clone(),
            upstream: window.upstream.clone(),
            since: window.since,
            ..Filter::default()
        };
        let mut usage = Self::default();
        let search = store::log::search(log, filter, Order::OldestFirst)?;
        for found in search.with_contents(contents) {
            // What is not understood is not counted, and so not proposed.
            if let Ok(entry) = Entry::deserialize(&found?.entry) {
                usage.add(&entry);
            }
        }
        Ok(usage)
    }

    fn add(&mut self, entry: &Entry) {
        self.decisions += 1;
        let passed = entry.verdict == "permit" || (entry.verdict == "ask" && entry.grant.is_some());
        let permitted = !entry.terms.observed.iter().any(|deciding| deciding.policy == NO_PERMIT);
        let statement = entry.statement.as_deref();
        let refused = entry.reason.as_ref().map(|reason| reason.policy.clone().unwrap_or_else(|| reason.why.clone()));
        let asked: Vec<_> = entry.operations.iter().map(|asked| asked.read(&entry.upstream)).collect();
        if asked.iter().any(Option::is_none) {
            self.cut += 1;
        }
        for (index, _mask, _policy) in &entry.terms.masks {
            if let Some(Some((_, resource))) = asked.get(*index) {
                self.masked.insert(resource.clone());
            }
        }
        if !passed {
            // An ask that is not answered yet, or was not granted, is no permission either.
            let asks = || entry.by.as_ref().map(|by| format!("{} asks", by.policy));
            let why = refused.or_else(asks).unwrap_or_default();
            let denied = Denied { workload: entry.workload.clone(), upstream: entry.upstream.clone(), why };
            self.denied.entry(denied).or_default().add(&entry.at, statement);
            return;
        }
        if let Some(statement) = statement {
            let (workload, upstream) = (entry.workload.clone(), entry.upstream.clone());
            let shape = Shape { workload, upstream, statement: statement.to_owned() };
            if let Some(known) = self.shapes.get_mut(&shape) {
                *known = *known || permitted;
            } else if self.shapes.len() < MOST_SHAPES {
                self.shapes.insert(shape, permitted);
            }
        }
        for (action, resource) in asked.into_iter().flatten() {
            let deed = Deed { workload: entry.workload.clone(), resource, action };
            let deeds = if permitted { &mut self.permitted } else { &mut self.unpermitted };
            let tally = deeds.entry(deed).or_default();
            tally.add(&entry.at, statement);
            for deciding in entry.terms.observed.iter().filter(|deciding| deciding.policy != NO_PERMIT) {
                *tally.would_be.entry(deciding.policy.clone()).or_default() += 1;
            }
        }
    }
}
