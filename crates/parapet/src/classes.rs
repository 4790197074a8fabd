//! Classes of columns, joined: what is declared goes into the snapshots, what is found becomes suggestions, and people see
//! both beside the policies that mask.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use control::{ClassView, SampleRefusal};
use gateway::protocol::postgres::{Guarded, SampleError};
use kernel::policy::{ClassSource, DeclaredClass, NO_CLASS, Snapshot, evaluate};
use kernel::ports::{AuditLog, Classes, Clock, Detection, PortFuture, Snapshots as _};
use kernel::resource::{Resource, ResourceKind};
use kernel::workload::Name;
use serde_json::{Value, json};
use store::classes::{ClassDecisions, Decided, Origin, Publish, Subject, Suggested};
use store::copied::CopiedLabels;
use store::database::Database;
use wire::detect::Suggestion;
use wire::sql::{Catalogue, Relation, RelationKind, analyse};

use crate::recorded;
use crate::snapshots::{Publisher, Teller};
use crate::wiring::House;

/// Policies are asked of at most so many tables and workloads, multiplied: beyond it, a list says nothing of masks.
const MOST_ASKED: usize = 5_000;

/// Takes what the gateway learns of columns.
struct Learned {
    publisher: Arc<Publisher>,
    decisions: Arc<ClassDecisions>,
    copied: CopiedLabels,
}

/// What people decided and where labelled values were copied, put into force; and who takes what the gateway learns.
pub(crate) async fn open(
    publisher: &Arc<Publisher>,
    database: &Database,
    log: Arc<dyn AuditLog>,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<(Arc<ClassDecisions>, Arc<dyn Classes>)> {
    let into = Arc::clone(publisher);
    let publish: Publish = Box::new(move |upstream, declared| into.declare(Teller::People, upstream, declared));
    let decisions = Arc::new(ClassDecisions::open(database.clone(), log, clock, publish).await?);
    let (copied, known) = CopiedLabels::open(database.clone()).await?;
    known.into_iter().for_each(|(upstream, labels)| publisher.declare(Teller::Copies, &upstream, labels));
    let learned = Learned { publisher: Arc::clone(publisher), decisions: Arc::clone(&decisions), copied };
    Ok((decisions, Arc::new(learned)))
}

impl Classes for Learned {
    fn declare(&self, upstream: &Name, declared: Vec<DeclaredClass>) {
        self.publisher.declare(Teller::Catalogue, upstream, declared);
    }

    fn detected(&self, detection: Detection) {
        self.decisions.detected(detection);
    }

    fn copied(&self, upstream: &Name, labels: &[DeclaredClass]) -> bool {
        if let Some(all) = self.copied.add(upstream, labels) {
            self.publisher.declare(Teller::Copies, upstream, all);
        }
        true
    }

    fn keep_copied(&self) -> PortFuture<'_, bool> {
        Box::pin(async move { self.copied.keep().await.is_ok() })
    }
}

/// Which workloads see a column masked: by policy and mask.
type Masked = BTreeMap<(Arc<str>, &'static str), BTreeSet<Name>>;

/// What is known of an upstream's columns; none for an upstream that is not there or whose catalogue is not loaded.
pub(crate) fn list(house: &House, upstream: &Name, view: ClassView) -> Option<Vec<Value>> {
    let guarded = guarded(house, upstream)?;
    let catalogue = guarded.catalogue()?;
    let snapshot = house.publisher.current();
    let decided: BTreeMap<Subject, Decided> = house.classes.decided(upstream).into_iter().collect();
    let mut suggested: BTreeMap<[Arc<str>; 3], Vec<(Subject, Suggested)>> = BTreeMap::new();
    for (subject, one) in house.classes.suggested(upstream) {
        suggested.entry(subject.column.clone()).or_default().push((subject, one));
    }
    let listed: Vec<&Relation> = catalogue.relations().iter().filter(|relation| is_listed(relation)).collect();
    let asks = listed.len().saturating_mul(snapshot.workloads().count()) <= MOST_ASKED;
    let mut items = Vec::new();
    for relation in listed {
        let mut found = Vec::new();
        for column in &relation.columns {
            let resource = resource(&catalogue, upstream, relation, &column.name);
            let sources = snapshot.class_sources(&resource);
            let key = [relation.schema.clone(), relation.name.clone(), column.name.clone()];
            let mut suggestions = suggested.remove(&key).unwrap_or_default();
            if suggestions.is_empty() {
                suggestions.extend(by_name(upstream, &key));
            }
            suggestions.retain(|(subject, _)| !is_settled(&sources, &decided, subject));
            if view == ClassView::All || !sources.is_empty() || !suggestions.is_empty() {
                found.push((key, &column.type_name, sources, suggestions));
            }
        }
        if found.is_empty() {
            continue;
        }
        let masked = if asks { masks(house, &snapshot, &catalogue, upstream, relation) } else { BTreeMap::new() };
        for (key, type_name, sources, suggestions) in found {
            let of_it = decided.iter().filter(|(subject, _)| subject.column == key);
            items.push(json!({
                "column": key.join("."),
                "names": key,
                "type": type_name,
                "classes": sources.iter().map(|(class, source)| json!({ "class": class, "source": source })).collect::<Vec<_>>(),
                "masks": masked.get(&key[2]).map(mask_views),
                "suggestions": suggestions.iter().map(|(subject, one)| json!({
                    "class": subject.class,
                    "origin": one.origin,
                    "detector": one.detector,
                    "confidence": one.confidence,
                    "hits": one.hits,
                    "samples": one.samples,
                    "at": one.at.to_string(),
                })).collect::<Vec<_>>(),
                "decisions": of_it.map(|(subject, one)| json!({
                    "class": subject.class,
                    "confirmed": one.confirmed,
                    "by": one.by,
                    "at": one.at.to_string(),
                    "reason": one.reason,
                })).collect::<Vec<_>>(),
            }));
        }
    }
    Some(items)
}

/// Samples an upstream's columns that carry no class, and keeps what is suggested; what was looked at.
pub(crate) async fn scan(house: &House, upstream: &Name) -> Result<Value, SampleRefusal> {
    let guarded = guarded(house, upstream).ok_or(SampleRefusal::NoUpstream)?;
    let catalogue = guarded.catalogue().ok_or(SampleRefusal::Unavailable)?;
    let snapshot = house.publisher.current();
    let wanted = |relation: &Relation, column: &str| {
        snapshot.class_sources(&resource(&catalogue, upstream, relation, column)).is_empty()
    };
    let sample = guarded.sample(&house.dialler, wanted).await.map_err(|error| match error {
        SampleError::NoCatalogue | SampleError::Unreachable | SampleError::Detectors => SampleRefusal::Unavailable,
    })?;
    let found: Vec<(Subject, Suggested)> = sample
        .found
        .iter()
        .map(|one| {
            let subject =
                Subject { upstream: upstream.clone(), column: one.column.clone(), class: one.suggestion.class.into() };
            (subject, suggested(house, &one.suggestion))
        })
        .collect();
    let count = found.len();
    house.classes.scanned(upstream, found).await.map_err(|_unavailable| SampleRefusal::NotStored)?;
    Ok(json!({
        "suggestions": count,
        "tables": sample.tables,
        "unreadable": sample.unreadable,
        "left_out": sample.left_out,
    }))
}

/// Does an upstream's catalogue have that column?
pub(crate) fn knows(house: &House, upstream: &Name, column: &[Arc<str>; 3]) -> bool {
    let [schema, table, name] = column;
    guarded(house, upstream)
        .and_then(|guarded| guarded.catalogue())
        .and_then(|catalogue| Some(catalogue.relation(schema, table)?.columns.iter().any(|known| known.name == *name)))
        .unwrap_or(false)
}

fn guarded<'h>(house: &'h House, upstream: &Name) -> Option<&'h Arc<Guarded>> {
    house.upstreams.iter().find(|guarded| guarded.upstream.name == *upstream)
}

fn is_listed(relation: &Relation) -> bool {
    !relation.system && relation.kind != RelationKind::Sequence
}

/// A column as policies see it, with the tables whose rows are read through its own.
fn resource(catalogue: &Catalogue, upstream: &Name, relation: &Relation, column: &str) -> Resource {
    let path = [catalogue.database(), &relation.schema, &relation.name].map(|name| &**name).into_iter().chain([column]);
    Resource {
        kin: catalogue.kin(&relation.schema, &relation.name),
        ..Resource::new(ResourceKind::Column, upstream, path)
    }
}

fn by_name(upstream: &Name, column: &[Arc<str>; 3]) -> Option<(Subject, Suggested)> {
    let suggestion = Suggestion::of(&column[2], None)?;
    let subject = Subject { upstream: upstream.clone(), column: column.clone(), class: suggestion.class.into() };
    let suggested = Suggested {
        origin: Origin::Name,
        detector: None,
        confidence: suggestion.confidence.as_str().into(),
        hits: 0,
        samples: 0,
        at: kernel::time::Timestamp::from_millis(0),
    };
    Some((subject, suggested))
}

fn suggested(house: &House, suggestion: &Suggestion) -> Suggested {
    Suggested {
        origin: if suggestion.kind.is_some() { Origin::Scan } else { Origin::Name },
        detector: suggestion.kind.map(|kind| kind.as_str().into()),
        confidence: suggestion.confidence.as_str().into(),
        hits: suggestion.hits,
        samples: suggestion.samples,
        at: house.clock.now(),
    }
}

/// What needs no suggestion: the column carries the class, somebody has declared that it needs none, or a person has
/// decided.
fn is_settled(
    sources: &BTreeSet<(Arc<str>, ClassSource)>,
    decided: &BTreeMap<Subject, Decided>,
    subject: &Subject,
) -> bool {
    sources.iter().any(|(class, _)| *class == subject.class || **class == *NO_CLASS) || decided.contains_key(subject)
}

fn mask_views(masked: &Masked) -> Vec<Value> {
    let view = |((policy, mask), workloads): (&(Arc<str>, &'static str), &BTreeSet<Name>)| json!({ "policy": policy, "mask": mask, "workloads": workloads });
    masked.iter().map(view).collect()
}

/// Who would see which column of a relation masked, by the evaluation of the wire.
fn masks(
    house: &House,
    snapshot: &Snapshot,
    catalogue: &Catalogue,
    upstream: &Name,
    relation: &Relation,
) -> BTreeMap<Arc<str>, Masked> {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let columns: Vec<String> = relation.columns.iter().map(|column| quoted(&column.name)).collect();
    let text = format!("SELECT {} FROM {}.{}", columns.join(", "), quoted(&relation.schema), quoted(&relation.name));
    let Ok(analysis) = analyse(&text, catalogue, upstream) else { return BTreeMap::new() };
    let around = recorded::hypothetical(house.clock.now());
    let mut found: BTreeMap<Arc<str>, Masked> = BTreeMap::new();
    for workload in snapshot.workloads() {
        let evaluation = evaluate(snapshot, &workload.name, upstream, &analysis.operations, &around);
        for (place, mask, policy) in &evaluation.terms.masks {
            let Some(operation) = analysis.operations.get(*place) else { continue };
            let [_, schema, table, column] = operation.resource.path.as_slice() else { continue };
            if *schema == relation.schema && *table == relation.name {
                let masked = found.entry(column.clone()).or_default();
                masked.entry((policy.clone(), mask.as_str())).or_default().insert(workload.name.clone());
            }
        }
    }
    found
}
