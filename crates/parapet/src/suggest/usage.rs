//! What workloads have done, counted from the decisions of the audit log: by workload, upstream, action and resource.
//!
//! Denials are counted apart: they are evidence for a person, and no permit is made of them. What an API or the egress denied
//! because no policy permits it is kept by what was asked, so that it can be drafted. The word of a program that asked the
//! decision point about somebody is no evidence at all.

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
    /// The upstreams that are APIs, or the egress: whose denials for want of a permit are drafted.
    pub(crate) learnable: BTreeSet<Name>,
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

/// What passed, without its values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shape {
    pub(crate) workload: Name,
    pub(crate) upstream: Name,
    pub(crate) sent: Sent,
}

/// What was sent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sent {
    /// A statement with its constants replaced.
    Statement(String),
    /// A request of HTTP.
    Request(Requested),
}

/// A request of HTTP, as far as the log knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Requested {
    pub(crate) method: String,
    /// The template of its path; empty for what went out through the egress.
    pub(crate) template: String,
    /// The endpoint's id.
    pub(crate) operation: Option<String>,
    /// The protocol that it changed to.
    pub(crate) upgrade: Option<String>,
    /// What it asked for.
    pub(crate) asked: Vec<(Action, Resource)>,
}

impl Requested {
    /// In a line for people. No value is in it.
    pub(crate) fn line(&self) -> String {
        let host = self.asked.iter().find(|(action, _)| *action == Action::HttpTunnel);
        let of = host.map_or(self.template.as_str(), |(_, host)| host.name());
        format!("{} {of}", self.method)
    }
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
    /// What an API or the egress denied because no policy permits it.
    pub(crate) wanted: BTreeMap<Deed, Tally>,
    /// What was denied, or asked of people and not granted.
    pub(crate) denied: BTreeMap<Denied, Tally>,
    /// Columns that left masked: they hold what not everybody may see.
    pub(crate) masked: BTreeSet<Resource>,
    /// What passed, and whether a policy permits each.
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
    #[serde(default)]
    asked_by: Option<AskedBy>,
}

#[derive(Deserialize)]
struct AskedBy {
    subject: String,
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
    /// Those of the operation before, if there are none.
    #[serde(default)]
    facts: Option<AskedFacts>,
}

#[derive(Deserialize)]
struct AskedFacts {
    #[serde(default)]
    http: Option<HttpAsked>,
}

#[derive(Deserialize)]
struct HttpAsked {
    method: String,
    template: String,
    #[serde(default)]
    operation: Option<String>,
    #[serde(default)]
    upgrade: Option<String>,
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
                usage.add(&entry, &window.learnable);
            }
        }
        Ok(usage)
    }

    /// Counts the decisions of a log that stands nowhere.
    #[cfg(test)]
    pub(super) fn of(entries: &[Value], learnable: &BTreeSet<Name>) -> Self {
        let mut usage = Self::default();
        for entry in entries {
            usage.add(&Entry::deserialize(entry).unwrap(), learnable);
        }
        usage
    }

    fn add(&mut self, entry: &Entry, learnable: &BTreeSet<Name>) {
        self.decisions += 1;
        if entry.asked_by.as_ref().is_some_and(|asker| asker.subject == "named") {
            return;
        }
        let passed = entry.verdict == "permit" || (entry.verdict == "ask" && entry.grant.is_some());
        let permitted = !entry.terms.observed.iter().any(|deciding| deciding.policy == NO_PERMIT);
        let asked: Vec<_> = entry.operations.iter().map(|asked| asked.read(&entry.upstream)).collect();
        if asked.iter().any(Option::is_none) {
            self.cut += 1;
        }
        for (index, _mask, _policy) in &entry.terms.masks {
            if let Some(Some((_, resource))) = asked.get(*index) {
                self.masked.insert(resource.clone());
            }
        }
        let asked: Vec<(Action, Resource)> = asked.into_iter().flatten().collect();
        let sent = sent(entry, &asked);
        let example = sent.as_ref().map(|sent| match sent {
            Sent::Statement(statement) => statement.clone(),
            Sent::Request(request) => request.line(),
        });
        if !passed {
            return self.add_denied(entry, asked, example.as_deref(), learnable);
        }
        if let Some(sent) = sent {
            let shape = Shape { workload: entry.workload.clone(), upstream: entry.upstream.clone(), sent };
            if let Some(known) = self.shapes.get_mut(&shape) {
                *known = *known || permitted;
            } else if self.shapes.len() < MOST_SHAPES {
                self.shapes.insert(shape, permitted);
            }
        }
        let deeds = if permitted { &mut self.permitted } else { &mut self.unpermitted };
        for (action, resource) in asked {
            let tally = deeds.entry(Deed { workload: entry.workload.clone(), resource, action }).or_default();
            tally.add(&entry.at, example.as_deref());
            for deciding in entry.terms.observed.iter().filter(|deciding| deciding.policy != NO_PERMIT) {
                *tally.would_be.entry(deciding.policy.clone()).or_default() += 1;
            }
        }
    }

    fn add_denied(
        &mut self,
        entry: &Entry,
        asked: Vec<(Action, Resource)>,
        example: Option<&str>,
        learnable: &BTreeSet<Name>,
    ) {
        let reason = entry.reason.as_ref();
        if reason.is_some_and(|reason| reason.why == "no_permit") && learnable.contains(&entry.upstream) {
            for (action, resource) in asked {
                let deed = Deed { workload: entry.workload.clone(), resource, action };
                self.wanted.entry(deed).or_default().add(&entry.at, example);
            }
        }
        let refused = reason.map(|reason| reason.policy.clone().unwrap_or_else(|| reason.why.clone()));
        // An ask that is not answered yet, or was not granted, is no permission either.
        let asks = || entry.by.as_ref().map(|by| format!("{} asks", by.policy));
        let why = refused.or_else(asks).unwrap_or_default();
        let denied = Denied { workload: entry.workload.clone(), upstream: entry.upstream.clone(), why };
        self.denied.entry(denied).or_default().add(&entry.at, example);
    }
}

/// What an entry says was sent, if it was anything but a connection.
fn sent(entry: &Entry, asked: &[(Action, Resource)]) -> Option<Sent> {
    let http = entry.operations.iter().find_map(|asked| asked.facts.as_ref()?.http.as_ref());
    match http {
        Some(http) => Some(Sent::Request(Requested {
            method: http.method.clone(),
            template: http.template.clone(),
            operation: http.operation.clone(),
            upgrade: http.upgrade.clone(),
            // Connecting stands before it where somebody passed the request on.
            asked: asked.iter().filter(|(_, resource)| resource.kind.is_http()).cloned().collect(),
        })),
        // A path alone says nothing without its method.
        None if asked.iter().any(|(action, _)| action.is_http()) => None,
        None => entry.statement.clone().map(Sent::Statement),
    }
}
