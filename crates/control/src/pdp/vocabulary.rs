//! From the callers' words to operations. A subject is a workload; an action is Cedar's (`sql:update`) and a resource Cedar's
//! type with its id (`Table`, `shop-db/shop.public.orders`), facts and circumstances in `context`. Or they are words of the
//! callers' own that the configuration lays upon endpoints of an upstream.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use kernel::circumstances::Circumstances;
use kernel::facts::{Facts, HttpFacts, Texts};
use kernel::operation::{Action, ActionGroup, Operation};
use kernel::policy::Snapshot;
use kernel::resource::{Resource, ResourceKind};
use kernel::time::Timestamp;
use kernel::verdict::Undecidable;
use kernel::workload::Name;
use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::entities::{Asked, Entity, Malformed};
use super::parts::{KinOf, Settings, TypeEntry};

/// As many properties of an entity are facts; policies name single ones.
const MOST_PROPERTIES: usize = 64;

/// What is asked, in policy's words.
#[derive(Debug)]
pub(super) struct Understood {
    pub(super) workload: Name,
    pub(super) upstream: Name,
    /// Why it cannot be decided, if it names what there is not.
    pub(super) operations: Result<Arc<[Operation]>, Undecidable>,
}

/// What names nobody and nothing that there could be: denied without a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nameless {
    Subject,
    Resource,
}

/// Is the type one of workloads?
pub(super) fn is_workload(settings: &Settings, kind: &str) -> bool {
    kind == "workload" || kind == "Workload" || settings.subjects.contains(kind)
}

/// Finds what a question is about.
pub(super) fn understand(
    settings: &Settings,
    kin: &KinOf,
    asked: &Asked,
) -> Result<Result<Understood, Nameless>, Malformed> {
    let subject = asked.subject.id.parse::<Name>().ok().filter(|_| is_workload(settings, &asked.subject.kind));
    let Some(workload) = subject else { return Ok(Err(Nameless::Subject)) };
    if let Some(own) = settings.types.get(&asked.resource.kind) {
        let operations = operations_of(own, asked);
        return Ok(Ok(Understood { workload, upstream: own.upstream.clone(), operations }));
    }
    let Some(kind) = kind_named(&asked.resource.kind) else { return Ok(Err(Nameless::Resource)) };
    let Some((upstream, path)) = names(kind, &asked.resource.id) else { return Ok(Err(Nameless::Resource)) };
    let facts = facts(&asked.context)?;
    let resource = Resource::new(kind, &upstream, path);
    let operations = Action::named(&asked.action.name).ok_or(Undecidable::UnknownForm).and_then(|action| {
        let resource = Arc::new(with_kin(kin, action, resource)?);
        Ok([Operation { action, resource, facts: Arc::new(facts), verb: action.as_str(), span: None }].into())
    });
    Ok(Ok(Understood { workload, upstream, operations }))
}

/// A table or a column with what it shares its classes with. One that is not there can only be made.
fn with_kin(kin: &KinOf, action: Action, resource: Resource) -> Result<Resource, Undecidable> {
    if !matches!(resource.kind, ResourceKind::Table | ResourceKind::Column) {
        return Ok(resource);
    }
    match kin(&resource) {
        Ok(kin) => Ok(Resource { kin, ..resource }),
        Err(Undecidable::UnknownRelation) if action.group() == ActionGroup::Define => Ok(resource),
        Err(why) => Err(why),
    }
}

/// The kind with Cedar's name.
pub(super) fn kind_named(name: &str) -> Option<ResourceKind> {
    ResourceKind::ALL.into_iter().find(|kind| kind.as_str() == name)
}

/// The question in the callers' own words, as a request to an endpoint.
fn operations_of(own: &TypeEntry, asked: &Asked) -> Result<Arc<[Operation]>, Undecidable> {
    let endpoint = own.actions.get(&asked.action.name).ok_or(Undecidable::UnknownEndpoint)?;
    let (mut texts, mut numbers) = (Texts::new(), BTreeMap::new());
    let entities = [
        ("", &asked.resource.properties),
        ("subject.", &asked.subject.properties),
        ("action.", &asked.action.properties),
    ];
    for (prefix, properties) in entities {
        add(prefix, properties, &mut texts, &mut numbers)?;
    }
    let id: Arc<str> = asked.resource.id.as_str().into();
    let http = HttpFacts {
        method: Arc::clone(&endpoint.method),
        path: endpoint.template.replace("{id}", &id).into(),
        template: Arc::clone(&endpoint.template),
        operation: endpoint.operation.clone(),
        parameters: Texts::from([("id".into(), id)]),
        texts,
        numbers,
        ..HttpFacts::default()
    };
    let resource = Arc::new(Resource::new(ResourceKind::Endpoint, &own.upstream, [&endpoint.template]));
    let facts = Arc::new(Facts { http: Some(Arc::new(http)), ..Facts::default() });
    let operation = |action: Action, resource| Operation {
        action,
        resource,
        facts: Arc::clone(&facts),
        verb: action.as_str(),
        span: None,
    };
    let fields = endpoint.fields.iter().map(|field| operation(Action::HttpField, Arc::clone(field)));
    Ok(std::iter::once(operation(endpoint.action, resource)).chain(fields).collect())
}

/// Properties as facts: texts, whole numbers and truth values. What is neither is passed over, so that a policy which reads
/// it finds it absent.
fn add(
    prefix: &str,
    properties: &Map<String, Value>,
    texts: &mut Texts,
    numbers: &mut BTreeMap<Arc<str>, i64>,
) -> Result<(), Undecidable> {
    if properties.len() > MOST_PROPERTIES {
        return Err(Undecidable::TooLarge);
    }
    for (name, value) in properties {
        let name: Arc<str> = format!("{prefix}{name}").into();
        match value {
            Value::String(text) => drop(texts.insert(name, text.as_str().into())),
            Value::Bool(truth) => drop(texts.insert(name, truth.to_string().into())),
            Value::Number(number) => {
                if let Some(number) = number.as_i64() {
                    numbers.insert(name, number);
                }
            }
            Value::Null | Value::Array(_) | Value::Object(_) => {}
        }
    }
    Ok(())
}

/// An upstream and the names below it, from a resource's id as policies write it.
pub(super) fn names(kind: ResourceKind, id: &str) -> Option<(Name, Vec<String>)> {
    let (upstream, below) = id.split_once('/').map_or((id, None), |(upstream, below)| (upstream, Some(below)));
    let upstream = upstream.parse().ok()?;
    let path = match (kind, below) {
        (ResourceKind::Upstream, None) => Vec::new(),
        (ResourceKind::Upstream, Some(_)) | (_, None) => return None,
        (ResourceKind::Endpoint, Some(below)) => vec![format!("/{below}")],
        (ResourceKind::Field, Some(below)) => {
            let (template, field) = below.split_once(' ')?;
            vec![format!("/{template}"), field.to_owned()]
        }
        (ResourceKind::Host, Some(below)) => vec![below.to_owned()],
        (ResourceKind::Secret, Some(below)) => {
            let (mount, path) = below.split_once('/')?;
            vec![mount.to_owned(), path.to_owned()]
        }
        (_, Some(below)) => quoted(below)?,
    };
    let whole = path.len() == kind.depth() && path.iter().all(|name| !name.is_empty());
    whole.then_some((upstream, path))
}

/// Names with dots between them; one that holds a dot, a slash or a quote stands in quotes.
fn quoted(text: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = text;
    loop {
        let (name, after) = match rest.strip_prefix('"') {
            None => {
                let end = rest.find('.').unwrap_or(rest.len());
                let (name, after) = rest.split_at_checked(end)?;
                if name.contains(['"', '/']) {
                    return None;
                }
                (name.to_owned(), after)
            }
            Some(inner) => {
                let mut name = String::new();
                let mut inner = inner;
                loop {
                    let (before, after) = inner.split_once('"')?;
                    name.push_str(before);
                    match after.strip_prefix('"') {
                        Some(more) => {
                            name.push('"');
                            inner = more;
                        }
                        None => break (name, after),
                    }
                }
            }
        };
        names.push(name);
        if after.is_empty() {
            return Some(names);
        }
        rest = after.strip_prefix('.')?;
    }
}

const FACTS: Malformed = Malformed("a fact in `context` is of another type");

/// The facts that the caller gives, by the names that policies know them by.
fn facts(context: &Map<String, Value>) -> Result<Facts, Malformed> {
    let mut known = context.clone();
    let http = known.remove("http");
    let mut facts = Facts::deserialize(Value::Object(known)).map_err(|_| FACTS)?;
    facts.http = http_facts(http, context)?.map(Arc::new);
    Ok(facts)
}

fn http_facts(http: Option<Value>, context: &Map<String, Value>) -> Result<Option<HttpFacts>, Malformed> {
    let given = ["parameters", "query", "body", "amounts"].iter().any(|name| context.contains_key(*name));
    if http.is_none() && !given {
        return Ok(None);
    }
    let path = http.as_ref().and_then(|http| http.get("path")).and_then(Value::as_str).unwrap_or_default().into();
    let http = HttpFacts::deserialize(http.unwrap_or_else(|| Value::Object(Map::new()))).map_err(|_| FACTS)?;
    let texts = |name: &str| match context.get(name) {
        None => Ok(Texts::new()),
        Some(value) => Texts::deserialize(value).map_err(|_| FACTS),
    };
    let numbers = match context.get("amounts") {
        None => BTreeMap::new(),
        Some(value) => BTreeMap::deserialize(value).map_err(|_| FACTS)?,
    };
    let (parameters, query) = (texts("parameters")?, texts("query")?);
    Ok(Some(HttpFacts { path, parameters, query, texts: texts("body")?, numbers, ..http }))
}

/// The circumstances that the caller gives: `source.address` (or `ip`), `tls`, `in_transaction`. The time is ours. An address
/// that is not given is none, `0.0.0.0`: the caller's own would be another's.
pub(super) fn around(
    context: &Map<String, Value>,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Result<Circumstances, Malformed> {
    const ADDRESS: Malformed = Malformed("`context.source.address` is no address");
    let source = match (context.get("source"), context.get("ip")) {
        (Some(Value::Object(source)), _) => source.get("address"),
        // What is no object is a word of the caller's own.
        (_, ip) => ip,
    };
    let address = match source {
        None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Some(text) => text.as_str().and_then(|text| text.parse().ok()).ok_or(ADDRESS)?,
    };
    let truth = |name: &str| context.get(name).and_then(Value::as_bool).unwrap_or(false);
    let around = Circumstances::beginning(now, address, truth("tls")).under(snapshot.threats());
    Ok(Circumstances { in_transaction: truth("in_transaction"), ..around })
}

/// A resource in the callers' words: its type and id.
pub(super) fn entity(kind: &str, id: impl Into<String>) -> Entity {
    Entity { kind: kind.to_owned(), id: id.into(), properties: Map::new() }
}
