//! Search (Authorization API 1.0, section 8): which workloads, which resources, which actions. Each candidate is asked about as
//! in a dry run; what is found is told under the same rule as a decision: only a permit without unmet remedy is found.
//!
//! Searched are the registered workloads, the resources that are configured or known, and the actions of the taxonomy.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use kernel::circumstances::Circumstances;
use kernel::operation::Action;
use kernel::policy::{Snapshot, evaluate, resource_id};
use kernel::resource::ResourceKind;
use serde_json::{Map, Value, json};

use super::caller::{Authorization, Caller, Use, admit};
use super::decide::enter;
use super::disclose::Obeys;
use super::entities::{self, ActionAsked, Asked, Entity};
use super::evaluate::{Body, json_of, object};
use super::parts::{KinOf, Settings};
use super::vocabulary::{around, entity, is_workload, kind_named, understand};
use super::{Arrived, Point, Shared};
use crate::problem::Problem;

/// As many candidates are asked about for one page; the next page goes on from there.
const MOST_ASKED: usize = 2000;
/// Results of a page, where nobody says.
const PAGE: usize = 100;
/// Results of a page, at most.
const MOST_RESULTS: usize = 1000;

/// Which member is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Subjects,
    Resources,
    Actions,
}

impl Wanted {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Subjects => "subjects",
            Self::Resources => "resources",
            Self::Actions => "actions",
        }
    }
}

/// `POST /access/v1/search/subject`
pub(super) async fn subject(
    State(point): Shared,
    Extension(arrived): Extension<Arrived>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    search(point, &arrived, &headers, body, Wanted::Subjects).await
}

/// `POST /access/v1/search/resource`
pub(super) async fn resource(
    State(point): Shared,
    Extension(arrived): Extension<Arrived>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    search(point, &arrived, &headers, body, Wanted::Resources).await
}

/// `POST /access/v1/search/action`
pub(super) async fn action(
    State(point): Shared,
    Extension(arrived): Extension<Arrived>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    search(point, &arrived, &headers, body, Wanted::Actions).await
}

/// Where a page begins, and how long it is.
#[derive(Clone, Debug)]
struct Page {
    limit: usize,
    /// The candidate that the page before ended with.
    after: Option<String>,
}

impl Page {
    fn read(members: &Map<String, Value>) -> Result<Self, Problem> {
        let Some(page) = members.get("page") else { return Ok(Self { limit: PAGE, after: None }) };
        let Value::Object(page) = page else { return Err(Problem::Unreadable("`page` is not an object")) };
        let limit = match page.get("limit") {
            None => PAGE,
            Some(limit) => limit
                .as_u64()
                .and_then(|limit| usize::try_from(limit).ok())
                .filter(|limit| *limit > 0)
                .ok_or(Problem::Unreadable("`page.limit` is no number above zero"))?
                .min(MOST_RESULTS),
        };
        let after = match page.get("token") {
            None => None,
            Some(Value::String(token)) => Some(token.clone()).filter(|token| !token.is_empty()),
            Some(_) => return Err(Problem::Unreadable("`page.token` is not a text")),
        };
        Ok(Self { limit, after })
    }
}

/// The question with the searched member open.
fn read(members: &Map<String, Value>, wanted: Wanted) -> Result<Asked, Problem> {
    let subject = match wanted {
        Wanted::Subjects => entities::of_type(members, "subject")?,
        Wanted::Resources | Wanted::Actions => entities::subject(members)?,
    };
    let resource = match wanted {
        Wanted::Resources => entities::of_type(members, "resource")?,
        Wanted::Subjects | Wanted::Actions => entities::resource(members)?,
    };
    let action = match wanted {
        Wanted::Actions => ActionAsked::default(),
        Wanted::Subjects | Wanted::Resources => entities::action(members.get("action"))?,
    };
    Ok(Asked { subject, action, resource, context: entities::context(members)? })
}

async fn search(
    point: Arc<Point>,
    arrived: &Arrived,
    headers: &HeaderMap,
    body: Body,
    wanted: Wanted,
) -> Result<Response, Problem> {
    let caller = admit(&point, arrived, headers, Authorization::Own, Use::Search).await?;
    let members = object(headers, body)?;
    let (asked, page) = (read(&members, wanted)?, Page::read(&members)?);
    enter(&point, &caller, "pdp search", wanted.as_str()).await?;
    let _turn = point.searches.acquire().await.map_err(|_| Problem::Failed)?;
    let searching = Arc::clone(&point);
    let found = tokio::task::spawn_blocking(move || found(&searching, &caller, asked, wanted, &page));
    let body = found.await.map_err(|_| Problem::Failed)??;
    Ok(json_of(StatusCode::OK, &body))
}

fn found(point: &Point, caller: &Caller, asked: Asked, wanted: Wanted, page: &Page) -> Result<Value, Problem> {
    let (snapshot, settings) = (point.parts.snapshots.current(), (point.parts.settings)());
    let around = around(&asked.context, &snapshot, point.parts.clock.now())?;
    let mut candidates = candidates(point, &snapshot, &settings, &asked, wanted);
    candidates.sort();
    candidates.dedup();
    let begin = match &page.after {
        None => 0,
        Some(after) => candidates.partition_point(|candidate| candidate <= after),
    };
    let asking =
        Trying { snapshot: &snapshot, settings: &settings, kin: &point.parts.kin, caller, around: &around, wanted };
    let (mut results, mut next) = (Vec::new(), "");
    let mut left = candidates.iter().skip(begin).peekable();
    for number in 1.. {
        let Some(candidate) = left.next() else { break };
        if asking.is_permitted(&asked, candidate) {
            results.push(match wanted {
                Wanted::Subjects => json!({ "type": asked.subject.kind, "id": candidate }),
                Wanted::Resources => json!({ "type": asked.resource.kind, "id": candidate }),
                Wanted::Actions => json!({ "name": candidate }),
            });
        }
        if left.peek().is_some() && (results.len() >= page.limit || number >= MOST_ASKED) {
            next = candidate;
            break;
        }
    }
    Ok(json!({ "page": { "next_token": next, "count": results.len() }, "results": results }))
}

/// What the searched member could be.
fn candidates(point: &Point, snapshot: &Snapshot, settings: &Settings, asked: &Asked, wanted: Wanted) -> Vec<String> {
    let kind = kind_named(&asked.resource.kind);
    let own = settings.types.get(&asked.resource.kind);
    match wanted {
        Wanted::Subjects if is_workload(settings, &asked.subject.kind) => {
            snapshot.workloads().map(|workload| workload.name.as_str().to_owned()).collect()
        }
        Wanted::Subjects => Vec::new(),
        Wanted::Resources => match (own, kind) {
            (Some(own), _) => own.ids.iter().map(|id| id.as_ref().to_owned()).collect(),
            (None, Some(ResourceKind::Upstream)) => {
                snapshot.upstreams().map(|upstream| upstream.name.as_str().to_owned()).collect()
            }
            (None, Some(kind)) => (point.parts.known)(kind).iter().map(resource_id).collect(),
            (None, None) => Vec::new(),
        },
        Wanted::Actions => match (own, kind) {
            (Some(own), _) => own.actions.keys().cloned().collect(),
            (None, Some(kind)) => {
                let can = Action::ALL.iter().filter(|action| can_be_asked_of(**action, kind));
                can.map(|action| action.as_str().to_owned()).collect()
            }
            (None, None) => Vec::new(),
        },
    }
}

/// Does the action make sense for such a resource? An upstream may be of any protocol.
fn can_be_asked_of(action: Action, kind: ResourceKind) -> bool {
    let sql = action.as_str().starts_with("sql:");
    match kind {
        ResourceKind::Upstream => true,
        kind if kind.is_http() => !sql && action != Action::Connect,
        _ => sql,
    }
}

/// What all candidates of a search are tried by.
struct Trying<'a> {
    snapshot: &'a Snapshot,
    settings: &'a Settings,
    kin: &'a KinOf,
    caller: &'a Caller,
    around: &'a Circumstances,
    wanted: Wanted,
}

impl Trying<'_> {
    fn is_permitted(&self, asked: &Asked, candidate: &str) -> bool {
        let mut asked = asked.clone();
        let open = |known: &Entity| Entity { properties: known.properties.clone(), ..entity(&known.kind, candidate) };
        match self.wanted {
            Wanted::Subjects => asked.subject = open(&asked.subject),
            Wanted::Resources => asked.resource = open(&asked.resource),
            Wanted::Actions => asked.action.name = candidate.to_owned(),
        }
        let Ok(Ok(understood)) = understand(self.settings, self.kin, &asked) else { return false };
        let Ok(operations) = understood.operations else { return false };
        if !self.caller.may_ask_about(&understood.upstream) {
            return false;
        }
        let (workload, upstream) = (&understood.workload, &understood.upstream);
        let evaluation = evaluate(self.snapshot, workload, upstream, &operations, self.around);
        let terms = &evaluation.terms;
        let remedies = !terms.masks.is_empty() || terms.limits.rows.is_some() || terms.limits.bytes.is_some();
        evaluation.verdict == "permit" && (!remedies || Obeys::read(&asked.context) == Obeys::Custom)
    }
}
