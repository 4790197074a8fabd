//! What Cedar is told for one judgement: the workload, the resources with everything above them, and the context.
//!
//! Only what the request is about is built; nothing else of the upstream exists for the policies that are evaluated.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use cedar_policy::{Context, Entities, Entity, EntityUid, RestrictedExpression};

use crate::circumstances::{Circumstances, rounded};
use crate::facts::{Facts, HttpFacts};
use crate::operation::Operation;
use crate::policy::reads::Reads;
use crate::policy::schema::{Vocabulary, uid};
use crate::policy::snapshot::KnownUpstream;
use crate::provenance::Provenance;
use crate::resource::{Resource, ResourceKind};
use crate::time::Timestamp;
use crate::workload::Workload;

/// Cedar could not take what it was told. Nothing can then be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the entities of the request could not be built")]
pub(crate) struct Unbuildable;

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

fn texts<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> RestrictedExpression {
    RestrictedExpression::new_set(values.into_iter().map(|value| text(value.as_ref())))
}

/// Numbers beyond Cedar's range count as its largest: counters and limits only ever grow dangerous upwards.
fn long(value: u64) -> RestrictedExpression {
    RestrictedExpression::new_long(i64::try_from(value).unwrap_or(i64::MAX))
}

/// The Cedar id of a resource: as it is shown, but a name that could be taken for several stands in double quotes, so that
/// no two resources have one id.
pub fn resource_id(resource: &Resource) -> String {
    let mut id = resource.upstream.as_str().to_owned();
    if let Some(below) = resource.as_asked() {
        return id + &below;
    }
    for (i, name) in resource.path.iter().enumerate() {
        id.push(if i == 0 { '/' } else { '.' });
        if name.is_empty() || name.contains(['.', '/', '"']) {
            id.push('"');
            id.push_str(&name.replace('"', "\"\""));
            id.push('"');
        } else {
            id.push_str(name);
        }
    }
    id
}

/// The resource directly above; none above an upstream.
fn above(resource: &Resource) -> Option<Resource> {
    let (kind, depth) = match resource.kind {
        ResourceKind::Upstream => return None,
        ResourceKind::Database | ResourceKind::Endpoint | ResourceKind::Host | ResourceKind::Secret => {
            (ResourceKind::Upstream, 0)
        }
        ResourceKind::Field => (ResourceKind::Endpoint, 1),
        ResourceKind::Schema | ResourceKind::Object => (ResourceKind::Database, 1),
        ResourceKind::Table | ResourceKind::Function => (ResourceKind::Schema, 2),
        ResourceKind::Column => (ResourceKind::Table, 3),
    };
    let path = resource.path.get(..depth).unwrap_or(&resource.path).to_vec();
    // A table is the same entity whether it is named itself or stands above a column.
    let kin = resource.kin.clone().filter(|_| kind == ResourceKind::Table);
    Some(Resource { kind, upstream: resource.upstream.clone(), path, kin })
}

/// A workload as Cedar sees it.
pub(crate) fn principal(vocabulary: &Vocabulary, workload: &Workload) -> Result<Entity, Unbuildable> {
    let attributes = HashMap::from([
        ("name".to_owned(), text(workload.name.as_str())),
        ("kind".to_owned(), text(workload.kind.as_str())),
        ("environment".to_owned(), text(workload.environment.as_str())),
        ("purpose".to_owned(), text(&workload.purpose)),
        ("owner".to_owned(), text(&workload.owner.0)),
        ("groups".to_owned(), texts(workload.groups.iter().map(|group| group.as_str()))),
        ("risk".to_owned(), long(workload.risk.into())),
        ("status".to_owned(), text(workload.status.as_str())),
    ]);
    let groups = workload.groups.iter().map(|group| uid(&vocabulary.group, group.as_str())).collect();
    let name = uid(&vocabulary.workload, workload.name.as_str());
    Entity::new(name, attributes, groups).map_err(|_| Unbuildable)
}

/// Builds entities once each.
pub(crate) struct Building<'s> {
    vocabulary: &'s Vocabulary,
    upstream: &'s KnownUpstream,
    entities: HashMap<Resource, Entity>,
}

impl<'s> Building<'s> {
    pub(crate) fn new(vocabulary: &'s Vocabulary, upstream: &'s KnownUpstream) -> Self {
        Self { vocabulary, upstream, entities: HashMap::new() }
    }

    /// Everything that the operations are about, and who asks for them.
    pub(crate) fn all(mut self, principal: Entity, operations: &[Operation]) -> Result<Entities, Unbuildable> {
        let mut entities = vec![principal];
        let mut actions = BTreeSet::new();
        for operation in operations {
            self.add(&operation.resource)?;
            actions.insert(operation.action);
        }
        for (place, facts) in apart(operations) {
            entities.extend(named(self.vocabulary, facts, place)?);
        }
        entities.extend(
            actions.into_iter().filter_map(|action| self.vocabulary.action(action)).map(|action| action.entity.clone()),
        );
        entities.extend(self.entities.into_values());
        Entities::from_entities(entities, None).map_err(|_| Unbuildable)
    }

    /// Adds a resource and everything above it. What an upstream holds is the same for everybody, so it is built once.
    fn add(&mut self, resource: &Resource) -> Result<(), Unbuildable> {
        if self.entities.contains_key(resource) {
            return Ok(());
        }
        let above = above(resource);
        let entity = match self.upstream.built(resource) {
            Some(entity) => entity,
            None => {
                let entity = self.build(resource, above.as_ref())?;
                self.upstream.keep(resource, &entity);
                entity
            }
        };
        self.entities.insert(resource.clone(), entity);
        above.map_or(Ok(()), |above| self.add(&above))
    }

    fn build(&self, resource: &Resource, above: Option<&Resource>) -> Result<Entity, Unbuildable> {
        let name = |resource: &Resource| {
            self.vocabulary.kind(resource.kind).map(|kind| uid(kind, &resource_id(resource))).ok_or(Unbuildable)
        };
        let upstream = &self.upstream.upstream;
        let parent = match above {
            Some(above) => name(above)?,
            None => uid(&self.vocabulary.environment, upstream.environment.as_str()),
        };
        let attributes = HashMap::from([
            ("name".to_owned(), text(resource.name())),
            ("upstream".to_owned(), text(upstream.name.as_str())),
            ("environment".to_owned(), text(upstream.environment.as_str())),
            ("classes".to_owned(), texts(self.upstream.classes.of(resource))),
        ]);
        Entity::new(name(resource)?, attributes, HashSet::from([parent])).map_err(|_| Unbuildable)
    }
}

/// The facts of HTTP requests among the operations, each once, with the place of the first operation that has them.
fn apart(operations: &[Operation]) -> impl Iterator<Item = (usize, &HttpFacts)> {
    let mut last: Option<&Arc<Facts>> = None;
    operations.iter().enumerate().filter_map(move |(place, operation)| {
        let again = last.is_some_and(|facts| Arc::ptr_eq(facts, &operation.facts));
        last = Some(&operation.facts);
        Some((place, &**operation.facts.http.as_ref().filter(|_| !again)?))
    })
}

/// The parts of a request that hold names with values, in the order of [`named`].
const NAMED: [&str; 4] = ["parameters", "query", "body", "amounts"];

/// The entities whose tags are what a request holds by name. What holds nothing needs none: it has no tag either way.
fn named(vocabulary: &Vocabulary, facts: &HttpFacts, place: usize) -> Result<Vec<Entity>, Unbuildable> {
    let [parameters, query, body, amounts] = NAMED.map(|part| named_uid(vocabulary, part, place));
    let mut entities = Vec::new();
    for (uid, texts) in [(parameters, &facts.parameters), (query, &facts.query), (body, &facts.texts)] {
        if !texts.is_empty() {
            let tags = texts.iter().map(|(name, value)| (name.as_ref().to_owned(), text(value)));
            entities.push(Entity::new_with_tags(uid, [], [], tags).map_err(|_| Unbuildable)?);
        }
    }
    if !facts.numbers.is_empty() {
        let number = |value: &i64| RestrictedExpression::new_long(*value);
        let tags = facts.numbers.iter().map(|(name, value)| (name.as_ref().to_owned(), number(value)));
        entities.push(Entity::new_with_tags(amounts, [], [], tags).map_err(|_| Unbuildable)?);
    }
    Ok(entities)
}

fn named_uid(vocabulary: &Vocabulary, part: &str, place: usize) -> EntityUid {
    let kind = if part == "amounts" { &vocabulary.numbers } else { &vocabulary.texts };
    uid(kind, &format!("{part} {place}"))
}

/// `context.http`, and the parts that hold names with values.
fn http(
    vocabulary: &Vocabulary,
    facts: &HttpFacts,
    place: usize,
) -> Result<Vec<(&'static str, RestrictedExpression)>, Unbuildable> {
    let mut record = vec![
        ("method", text(&facts.method)),
        ("host", text(&facts.host)),
        ("path", text(&facts.path)),
        ("template", text(&facts.template)),
    ];
    record.extend(facts.operation.as_ref().map(|operation| ("operation", text(operation))));
    record.extend(facts.size.map(|size| ("size", long(size))));
    record.extend(facts.content_type.as_ref().map(|kind| ("type", text(kind))));
    record.extend(facts.upgrade.as_ref().map(|upgrade| ("upgrade", text(upgrade))));
    record.extend(facts.depth.map(|depth| ("depth", long(depth.into()))));
    record.extend(facts.cost.map(|cost| ("cost", long(cost))));
    let record = record.into_iter().map(|(name, value)| (name.to_owned(), value));
    let record = RestrictedExpression::new_record(record).map_err(|_| Unbuildable)?;
    let mut members = vec![("http", record)];
    members.extend(NAMED.map(|part| (part, RestrictedExpression::new_entity_uid(named_uid(vocabulary, part, place)))));
    Ok(members)
}

/// Facts and circumstances as Cedar sees them; `place` is that of the first operation with these facts. A circumstance that is not among `reads` is left out: no policy that is
/// evaluated asks for it, and if one did, it would fail to evaluate, which never lets anything through.
pub(crate) fn context(
    vocabulary: &Vocabulary,
    facts: &Facts,
    place: usize,
    around: &Circumstances,
    reads: Reads,
) -> Result<Context, Unbuildable> {
    let mut members: Vec<(&str, RestrictedExpression)> = Vec::with_capacity(16);
    record(
        &mut members,
        "source",
        reads,
        [
            // Cedar does not read IPv4 inside IPv6.
            ("address", Reads::ADDRESS, &|| RestrictedExpression::new_ip(around.source.to_canonical().to_string())),
            ("threats", Reads::THREATS, &|| texts(around.threats.iter())),
            ("stale", Reads::STALE, &|| texts(around.stale.iter())),
        ],
    )?;
    record(
        &mut members,
        "time",
        reads,
        [
            ("hour", Reads::HOUR, &|| long(around.now.hour().into())),
            ("weekday", Reads::WEEKDAY, &|| long(around.now.weekday().into())),
            ("now", Reads::NOW, &|| RestrictedExpression::new_datetime(within_cedar(around.now).to_string())),
        ],
    )?;
    let session = &around.session;
    record(
        &mut members,
        "session",
        reads,
        [
            ("rows_read", Reads::ROWS, &|| long(rounded(session.rows_read))),
            ("bytes_read", Reads::BYTES, &|| long(rounded(session.bytes_read))),
            ("decisions", Reads::DECISIONS, &|| long(rounded(session.decisions))),
            ("denials", Reads::DENIALS, &|| long(rounded(session.denials))),
        ],
    )?;
    if reads.has(Reads::TLS) {
        members.push(("tls", RestrictedExpression::new_bool(around.tls)));
    }
    if reads.has(Reads::IN_TRANSACTION) {
        members.push(("in_transaction", RestrictedExpression::new_bool(around.in_transaction)));
    }
    if let Some(provenance) = &around.provenance {
        members.extend(origin(provenance, reads)?);
    }
    members.extend([
        ("statements", long(facts.statements.into())),
        ("explain_only", RestrictedExpression::new_bool(facts.explain_only)),
        ("tables_read", texts(facts.tables_read.iter())),
        ("tables_written", texts(facts.tables_written.iter())),
        ("functions", texts(facts.functions.iter())),
    ]);
    members.extend(facts.bounded.map(|bounded| ("bounded", RestrictedExpression::new_bool(bounded))));
    members.extend(facts.limit.map(|limit| ("limit", long(limit))));
    members.extend(facts.object.as_ref().map(|object| ("object", text(object))));
    members.extend(facts.copy.map(|copy| ("copy", text(copy.as_str()))));
    members.extend(facts.inference.map(|inference| ("inference", text(inference.as_str()))));
    if let Some(facts) = &facts.http {
        members.extend(http(vocabulary, facts, place)?);
    }
    Context::from_pairs(members.into_iter().map(|(name, value)| (name.to_owned(), value))).map_err(|_| Unbuildable)
}

/// From what run the session comes, and its task, as far as they are known and read.
fn origin(provenance: &Provenance, reads: Reads) -> Result<Vec<(&'static str, RestrictedExpression)>, Unbuildable> {
    let known = |parts: &[(&str, Option<&Arc<str>>)]| -> Vec<(String, RestrictedExpression)> {
        parts.iter().filter_map(|(name, part)| Some(((*name).to_owned(), text((*part)?)))).collect()
    };
    let recorded = |members| RestrictedExpression::new_record(members).map_err(|_| Unbuildable);
    let mut records = Vec::new();
    if reads.has(Reads::PROVENANCE) && !provenance.names_no_run() {
        let Provenance { run, commit, workflow, actor, pod, task: _ } = provenance;
        let parts = [("run", run), ("commit", commit), ("workflow", workflow), ("actor", actor), ("pod", pod)];
        records.push(("provenance", recorded(known(&parts.map(|(name, part)| (name, part.as_ref()))))?));
    }
    if let Some(task) = provenance.task.as_ref().filter(|_| reads.has(Reads::TASK)) {
        let mut members = known(&[("goal", task.goal()), ("run", task.run()), ("commit", task.commit())]);
        members.extend([
            ("id".to_owned(), text(&task.id().to_string())),
            ("chain".to_owned(), texts(task.chain())),
            ("links".to_owned(), long(task.links().len() as u64)),
        ]);
        records.push(("task", recorded(members)?));
    }
    Ok(records)
}

/// Adds a record with those of its members that are read; nothing if none is.
fn record<'m, const N: usize>(
    members: &mut Vec<(&'m str, RestrictedExpression)>,
    name: &'m str,
    reads: Reads,
    parts: [(&str, Reads, &dyn Fn() -> RestrictedExpression); N],
) -> Result<(), Unbuildable> {
    let read: Vec<(String, RestrictedExpression)> = parts
        .into_iter()
        .filter(|(_, one, _)| reads.has(*one))
        .map(|(part, _, value)| (part.to_owned(), value()))
        .collect();
    if !read.is_empty() {
        members.push((name, RestrictedExpression::new_record(read).map_err(|_| Unbuildable)?));
    }
    Ok(())
}

/// Cedar writes years with four digits.
fn within_cedar(now: Timestamp) -> Timestamp {
    const YEAR_1: i64 = -62_135_596_800_000;
    const END_OF_9999: i64 = 253_402_300_799_999;
    Timestamp::from_millis(now.millis().clamp(YEAR_1, END_OF_9999))
}

/// Contexts that were built, by the facts that they hold: operations of one statement share theirs.
pub(crate) struct Contexts<'a> {
    vocabulary: &'a Vocabulary,
    around: &'a Circumstances,
    reads: Reads,
    /// The facts of the operation before, and where they stood first.
    last: Option<(&'a Arc<Facts>, usize)>,
    built: Option<Context>,
}

impl<'a> Contexts<'a> {
    pub(crate) fn new(vocabulary: &'a Vocabulary, around: &'a Circumstances, reads: Reads) -> Self {
        Self { vocabulary, around, reads, last: None, built: None }
    }

    /// Notes the facts of the operation at `place`. Asked for each operation, in order, as [`apart`] counts.
    pub(crate) fn next(&mut self, facts: &'a Arc<Facts>, place: usize) {
        if !self.last.is_some_and(|(known, _)| Arc::ptr_eq(known, facts)) {
            (self.last, self.built) = (Some((facts, place)), None);
        }
    }

    /// The context for the facts that were noted last.
    pub(crate) fn current(&mut self) -> Result<Context, Unbuildable> {
        if let Some(context) = &self.built {
            return Ok(context.clone());
        }
        let (facts, place) = self.last.ok_or(Unbuildable)?;
        let context = context(self.vocabulary, facts, place, self.around, self.reads)?;
        self.built = Some(context.clone());
        Ok(context)
    }
}

#[cfg(test)]
mod tests;
