//! The form of `tests.yaml`, a list of tests, and of `fixtures.yaml`, the workloads and upstreams that they assume. Strict:
//! an unknown key is a mistake, since a misspelt expectation would otherwise be none.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use kernel::policy::{Disclosure, Mode, Upstream};
use kernel::workload::{Name, Person, Workload, WorkloadKind, WorkloadStatus};
use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::dry_run;
use crate::policy_test::TestFileError;
use crate::policy_test::apis::{Api, ApiEntry};

/// One `fixtures.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fixtures {
    workloads: BTreeMap<String, WorkloadEntry>,
    pub(super) upstreams: BTreeMap<String, UpstreamEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkloadEntry {
    #[serde(default = "service")]
    kind: WorkloadKind,
    #[serde(default = "owner")]
    owner: String,
    environment: Option<Name>,
    #[serde(default)]
    groups: Vec<Name>,
    #[serde(default = "active")]
    status: WorkloadStatus,
    #[serde(default)]
    risk: u8,
}

const fn service() -> WorkloadKind {
    WorkloadKind::Service
}

const fn active() -> WorkloadStatus {
    WorkloadStatus::Active
}

fn owner() -> String {
    "owner@example.com".to_owned()
}

/// The environment of what names none.
fn environment(named: Option<&Name>) -> Result<Name, String> {
    let production = || "production".parse().map_err(|invalid: kernel::workload::InvalidName| invalid.to_string());
    named.cloned().map_or_else(production, Ok)
}

/// An upstream, and what is in its database, or what its API has; the egress has nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UpstreamEntry {
    /// Of a database: its name.
    #[serde(default)]
    pub(super) database: String,
    /// Of an API: what may be asked of it.
    http: Option<ApiEntry>,
    /// Is it the egress?
    #[serde(default)]
    pub(super) egress: bool,
    /// What is said of the API, understood.
    #[serde(skip)]
    pub(super) api: Option<Arc<Api>>,
    environment: Option<Name>,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    classes: BTreeMap<String, Vec<String>>,
    /// Functions beyond PostgreSQL's own: `schema.name`, or `name` in `public`, and its volatility.
    #[serde(default)]
    pub(super) functions: BTreeMap<String, Volatility>,
}

/// How constant a function says it is.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Volatility {
    Immutable,
    Stable,
    Volatile,
}

/// One test.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Test {
    pub(super) name: Spanned<String>,
    #[serde(rename = "as")]
    pub(super) workload: String,
    pub(super) on: String,
    sql: Option<String>,
    /// A request's line, such as `POST /v1/refunds`.
    http: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// A body: a text as it is, anything else as JSON.
    body: Option<serde_json::Value>,
    #[serde(default)]
    pub(super) given: Given,
    pub(super) expect: Expected,
}

/// What a test asks.
pub(super) enum Question<'t> {
    Statement(&'t str),
    Request(dry_run::Question),
}

impl Test {
    /// What it asks: a statement or a request.
    pub(super) fn question(&self) -> Result<Question<'_>, String> {
        match (&self.sql, &self.http) {
            (Some(sql), None) if self.headers.is_empty() && self.body.is_none() => Ok(Question::Statement(sql)),
            (Some(_), None) => Err("`headers` and `body` are of `http`, not of `sql`".to_owned()),
            (None, Some(line)) => Ok(Question::Request(dry_run::Question {
                line: line.clone(),
                headers: self.headers.clone().into_iter().collect(),
                body: self.body.as_ref().map(|body| match body {
                    serde_json::Value::String(text) => text.clone().into_bytes(),
                    other => other.to_string().into_bytes(),
                }),
            })),
            _ => Err("it asks by `sql` or by `http`".to_owned()),
        }
    }
}

/// What is true around the request.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Given {
    pub(super) at: Option<String>,
    pub(super) source: Option<IpAddr>,
    pub(super) threats: Vec<String>,
    pub(super) tls: Option<bool>,
    pub(super) in_transaction: bool,
    pub(super) session: GivenSession,
    /// The workload's risk, instead of the fixture's.
    pub(super) risk: Option<u8>,
    /// Groups that the workload is in besides the fixture's.
    pub(super) groups: Vec<Name>,
    /// The task of its token: an object of `authorization_details`, or a list of them.
    pub(super) task: Option<serde_json::Value>,
}

/// What the session has done so far.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct GivenSession {
    pub(super) rows_read: u64,
    pub(super) bytes_read: u64,
    pub(super) decisions: u64,
    pub(super) denials: u64,
}

/// What must come.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expected {
    pub(super) verdict: Verdict,
    pub(super) by: Option<String>,
    pub(super) code: Option<String>,
    pub(super) masks: Option<BTreeMap<String, String>>,
    pub(super) rows: Option<u64>,
    /// What it draws on which policy's budget.
    pub(super) budgets: Option<BTreeMap<String, u64>>,
    pub(super) quarantine: Option<bool>,
}

/// A verdict's word.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Permit,
    Ask,
    Deny,
}

impl Verdict {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Ask => "ask",
            Self::Deny => "deny",
        }
    }
}

/// Reads a YAML file, strictly.
pub(super) fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, TestFileError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| TestFileError::Unreadable { path: path.to_owned(), why: error.kind() })?;
    serde_saphyr::from_str(&text)
        .map_err(|error| TestFileError::Malformed { path: path.to_owned(), why: error.to_string() })
}

impl Fixtures {
    /// Is there an upstream that needs tables?
    pub(super) fn has_databases(&self) -> bool {
        self.upstreams.values().any(|entry| entry.http.is_none() && !entry.egress)
    }

    /// Understands what is said of APIs. Documents are named relative to `folder`.
    pub(super) fn read_apis(&mut self, folder: &Path) -> Result<(), String> {
        for (name, entry) in &mut self.upstreams {
            let at = |why: String| format!("upstream `{name}`: {why}");
            let said = [entry.http.is_some(), !entry.database.is_empty(), entry.egress];
            if said.iter().filter(|said| **said).count() != 1 {
                return Err(at("it has a `database`, `http` or `egress: true`".to_owned()));
            }
            if let Some(api) = &entry.http {
                let upstream = name.parse().map_err(|_| at("it is not an upstream's name".to_owned()))?;
                entry.api = Some(Arc::new(Api::new(&upstream, api, folder).map_err(at)?));
            }
        }
        Ok(())
    }

    pub(super) fn workloads(&self) -> Result<Vec<Workload>, String> {
        let workload = |(name, entry): (&String, &WorkloadEntry)| {
            Ok(Workload {
                name: name.parse().map_err(|_| format!("`{name}` is not a workload's name"))?,
                owner: Person(entry.owner.as_str().into()),
                kind: entry.kind,
                environment: environment(entry.environment.as_ref())?,
                purpose: String::new(),
                groups: entry.groups.iter().cloned().collect(),
                expires: None,
                status: entry.status,
                risk: entry.risk,
            })
        };
        self.workloads.iter().map(workload).collect()
    }

    pub(super) fn upstreams(&self) -> Result<Vec<Upstream>, String> {
        let upstream = |(name, entry): (&String, &UpstreamEntry)| {
            let globs = |(class, globs): (&String, &Vec<String>)| {
                globs.iter().map(|glob| (glob.clone(), class.clone())).collect::<Vec<_>>()
            };
            Ok(Upstream {
                name: name.parse().map_err(|_| format!("`{name}` is not an upstream's name"))?,
                environment: environment(entry.environment.as_ref())?,
                mode: entry.mode,
                disclosure: Disclosure::Full,
                classes: match &entry.api {
                    Some(api) => api.classes.clone(),
                    None => entry.classes.iter().flat_map(globs).collect(),
                },
            })
        };
        self.upstreams.iter().map(upstream).collect()
    }
}
