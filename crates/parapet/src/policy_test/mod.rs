//! Policy tests: raw requests with the verdict that is expected of them, run against the policies beside them without a
//! gateway or a database.
//!
//! A folder of policies may hold `tests.yaml`, the tests; `fixtures.yaml`, the workloads and upstreams that they assume; and
//! `schema.sql`, the tables of those upstreams.
//! The analysis and the evaluation are those of the wire; what comes out is a description, never a permit.

mod apis;
mod catalogue;
mod ddl;
mod file;
mod formats;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kernel::circumstances::{Circumstances, SessionHistory};
use kernel::id::TaskId;
use kernel::policy::{Evaluation, PolicyFile, Problem, Snapshot, SnapshotParts};
use kernel::provenance::Provenance;
use kernel::task::{Details, Link, Task};
use kernel::time::Timestamp;
use kernel::trust::Trust;
use kernel::verdict::DenyReason;
use kernel::workload::{Name, Workload};
use wire::postgres::refuse::Sqlstate;
use wire::sql::Catalogue;

use crate::dry_run;
use crate::policy_test::apis::Api;
use crate::policy_test::file::{Expected, Fixtures, Question, Test};
pub(crate) use crate::policy_test::formats::ReportForm;
pub(crate) use crate::policy_test::report::Report;

/// The name of a folder's tests.
pub(crate) const TESTS: &str = "tests.yaml";
/// The workloads and upstreams that they assume.
const FIXTURES: &str = "fixtures.yaml";
/// The tables that they assume.
const SCHEMA: &str = "schema.sql";

/// A test file that cannot be run at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TestFileError {
    /// It cannot be read.
    #[error("{}: {why}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: std::io::ErrorKind,
    },
    /// It is not what a test file is.
    #[error("{}: {why}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Place and reason.
        why: String,
    },
    /// The policies do not load.
    #[error("the policies have {} problems", .0.len())]
    Policies(Vec<Problem>),
}

/// What came of one test.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// The test's name.
    pub(crate) name: String,
    /// The file.
    pub(crate) file: PathBuf,
    /// The line, from 1.
    pub(crate) line: u64,
    /// What was expected and did not come; empty if it passed.
    pub(crate) differences: Vec<Difference>,
    /// What came, in a line.
    pub(crate) came: String,
}

/// One expectation that was not met.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Difference {
    /// Of what: `verdict`, `by`, `code`, `masks`, `limits`.
    pub(crate) of: &'static str,
    /// What the test says.
    pub(crate) expected: String,
    /// What came.
    pub(crate) came: String,
}

/// Reads the policy files below the given folders and files, in order of name.
pub(crate) fn policy_files(paths: &[PathBuf]) -> std::io::Result<Vec<PolicyFile>> {
    let mut files = Vec::new();
    for path in paths {
        // The operating system does not say which path it means.
        let at = |path: &Path, error: std::io::Error| {
            std::io::Error::new(error.kind(), format!("{}: {}", path.display(), error.kind()))
        };
        let mut found = Vec::new();
        if path.is_dir() {
            for entry in std::fs::read_dir(path).map_err(|error| at(path, error))? {
                let path = entry?.path();
                if path.extension().is_some_and(|extension| extension == "cedar") {
                    found.push(path);
                }
            }
            found.sort();
        } else {
            found.push(path.clone());
        }
        for path in found {
            let text = std::fs::read_to_string(&path).map_err(|error| at(&path, error))?;
            files.push(PolicyFile { name: path.display().to_string().into(), text: text.into() });
        }
    }
    Ok(files)
}

/// Runs the tests beside the policies whose names contain `only`. Folders are one bundle, as the gateway loads them.
pub(crate) fn run(folders: &[PathBuf], only: Option<&str>) -> Result<Report, TestFileError> {
    let mut report = Report::default();
    report.partial = only.is_some();
    for folder in folders {
        if folder.is_dir() && folder.join(TESTS).is_file() {
            run_folder(folder, folders, only, &mut report)?;
        }
    }
    Ok(report)
}

fn run_folder(
    folder: &Path,
    folders: &[PathBuf],
    only: Option<&str>,
    report: &mut Report,
) -> Result<(), TestFileError> {
    let path = folder.join(TESTS);
    let tests: Vec<Test> = file::read(&path)?;
    let mut fixtures: Fixtures = file::read(&folder.join(FIXTURES))?;
    let unreadable = |path: PathBuf| move |error: std::io::Error| TestFileError::Unreadable { path, why: error.kind() };
    let malformed = |file: &str| {
        let path = folder.join(file);
        move |why: String| TestFileError::Malformed { path, why }
    };
    let schema = folder.join(SCHEMA);
    // A folder whose upstreams are all APIs needs no tables.
    let tables = if schema.is_file() || fixtures.has_databases() {
        let text = std::fs::read_to_string(&schema).map_err(unreadable(schema))?;
        ddl::tables(&text).map_err(malformed(SCHEMA))?
    } else {
        Vec::new()
    };
    fixtures.read_apis(folder).map_err(malformed(FIXTURES))?;
    let mut systems: BTreeMap<String, System> = BTreeMap::new();
    let parts = SnapshotParts {
        epoch: 1,
        policies: policy_files(folders).map_err(unreadable(folder.to_owned()))?,
        workloads: fixtures.workloads().map_err(malformed(FIXTURES))?,
        upstreams: fixtures.upstreams().map_err(malformed(FIXTURES))?,
        trust: Trust::default(),
    };
    let snapshot = Snapshot::build(parts).map_err(TestFileError::Policies)?;
    report.policies(&snapshot);
    for test in tests {
        if only.is_some_and(|only| !test.name.value.contains(only)) {
            continue;
        }
        let in_test = |why: String| malformed(TESTS)(format!("test `{}`: {why}", test.name.value));
        let entry = fixtures.upstreams.get(&test.on);
        let entry = entry.ok_or_else(|| in_test(format!("upstream `{}` is not in {FIXTURES}", test.on)))?;
        let system = match systems.get(&test.on) {
            Some(known) => known,
            None => {
                let system = match &entry.api {
                    Some(api) => System::Api(api.clone()),
                    None if entry.egress => System::Egress,
                    None => System::Database(catalogue::build(entry, &tables).map_err(malformed(SCHEMA))?),
                };
                systems.entry(test.on.clone()).or_insert(system)
            }
        };
        let decided = decide(&snapshot, &test, system).map_err(in_test)?;
        report.count(&decided);
        report.outcomes.push(Outcome {
            name: test.name.value.clone(),
            file: path.clone(),
            line: test.name.referenced.line(),
            differences: differences(&test.expect, &decided),
            came: decided.to_string(),
        });
    }
    Ok(())
}

/// What a test's request is asked of.
#[derive(Debug)]
enum System {
    Database(Catalogue),
    Api(Arc<Api>),
    Egress,
}

/// What a test's request came to.
#[derive(Clone, Debug)]
pub(crate) struct Decided {
    /// What the policies say.
    pub(crate) evaluation: Evaluation,
    /// Name and mask of each masked column, by its full name.
    pub(crate) masks: Vec<(String, &'static str)>,
    /// What was asked that decided, in a line.
    pub(crate) what: String,
}

impl Decided {
    /// The policy that decided.
    pub(crate) fn by(&self) -> Option<&str> {
        self.evaluation.deciding.as_ref().map(|deciding| &*deciding.policy)
    }

    /// The codes that a client or a log would show.
    fn codes(&self) -> Vec<&'static str> {
        match (&self.evaluation.reason, self.evaluation.verdict) {
            (_, "ask") => vec![Sqlstate::APPROVAL_REQUIRED.code()],
            (Some(DenyReason::CannotDecide(why)), _) => vec![why.code(), Sqlstate::CANNOT_DECIDE.code()],
            (Some(DenyReason::Quarantine(_)), _) => vec![Sqlstate::QUARANTINED.code()],
            (Some(_), _) => vec![Sqlstate::DENIED.code()],
            (None, _) => Vec::new(),
        }
    }
}

impl std::fmt::Display for Decided {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.evaluation.verdict)?;
        match (&self.evaluation.reason, self.by()) {
            (_, Some(policy)) => write!(f, " by \"{policy}\"")?,
            (Some(DenyReason::NoPermit), None) => f.write_str(", no policy permits")?,
            (Some(DenyReason::CannotDecide(why)), None) => write!(f, ", {} ({})", why.explanation(), why.code())?,
            (Some(_) | None, None) => {}
        }
        if !self.what.is_empty() {
            write!(f, ": {}", self.what)?;
        }
        Ok(())
    }
}

fn decide(snapshot: &Snapshot, test: &Test, system: &System) -> Result<Decided, String> {
    let asked = test.question()?;
    let workload: Name = test.workload.parse().map_err(|_| "`as` is not a name")?;
    let upstream: Name = test.on.parse().map_err(|_| "`on` is not a name")?;
    let known = snapshot.workload(&workload).ok_or("the workload in `as` is not in the fixtures")?;
    let mut given = Workload::clone(known);
    given.risk = test.given.risk.unwrap_or(given.risk);
    given.groups.extend(test.given.groups.iter().cloned());
    let others = snapshot.workloads().filter(|other| other.name != workload).map(|other| Workload::clone(other));
    let snapshot = &snapshot.with_workloads(2, others.chain([given]).collect());
    let around = circumstances(test)?;
    let dry_run::DryRun { evaluation, asked, .. } = match (asked, system) {
        (Question::Statement(sql), System::Database(catalogue)) => {
            dry_run::run(snapshot, catalogue, &workload, &upstream, sql, &around)
        }
        (Question::Request(question), System::Api(api)) => {
            api.of(&upstream).ask(snapshot, &workload, &question, &around)
        }
        (Question::Request(question), System::Egress) => {
            dry_run::egress::ask(&upstream, snapshot, &workload, &question, &around)
        }
        (Question::Statement(_), System::Api(_) | System::Egress) => {
            return Err("`sql` is asked of a database, and `on` is none".into());
        }
        (Question::Request(_), System::Database(_)) => {
            return Err("`http` is asked of an API, and `on` is none".into());
        }
    };
    let operations = asked.map(|asked| asked.operations).unwrap_or_default();
    let masked = |(index, mask, _): &(usize, kernel::verdict::Mask, Arc<str>)| {
        let resource = &operations.get(*index)?.resource;
        // A field is known by its path in the answer.
        let name = if resource.kind.is_http() { resource.name().to_owned() } else { resource.path.join(".") };
        Some((name, mask.as_str()))
    };
    let masks = evaluation.terms.masks.iter().filter_map(masked).collect();
    // What cannot be decided was decided by no operation.
    let decided = !matches!(evaluation.reason, Some(DenyReason::CannotDecide(_)));
    let deciding = operations.get(evaluation.operation).filter(|_| decided);
    let what = deciding.map(|operation| format!("{} on {}", operation.action.as_str(), operation.resource));
    Ok(Decided { masks, what: what.unwrap_or_default(), evaluation })
}

/// The task of a test: one object or a list of them, as in `authorization_details`.
fn task_of(details: &serde_json::Value, workload: &str, now: Timestamp) -> Result<Arc<Provenance>, &'static str> {
    let list = match details {
        serde_json::Value::Array(_) => details.clone(),
        one => serde_json::Value::Array(vec![one.clone()]),
    };
    let details = Details::read(&list).map_err(|_| "`task` has not the form of a task")?;
    let link = Link { mark: [0; 32], details, expires: now.after(Duration::from_secs(900)) };
    let task = Task::new(TaskId::new(now, 0), vec![workload.into()], vec![link]);
    let task = task.map_err(|_| "`task` has not the form of a task")?;
    Ok(Arc::new(Provenance { task: Some(Arc::new(task)), ..Provenance::default() }))
}

fn circumstances(test: &Test) -> Result<Circumstances, &'static str> {
    // A Wednesday noon: tests must not depend on the day they run on.
    const NOON: Timestamp = Timestamp::from_millis(1_767_787_200_000);
    let given = &test.given;
    let now = match &given.at {
        Some(text) => crate::config::timestamp(text)?,
        None => NOON,
    };
    Ok(Circumstances {
        now,
        source: given.source.unwrap_or(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))),
        threats: Arc::new(given.threats.iter().map(|threat| Arc::from(threat.as_str())).collect()),
        stale: Arc::default(),
        tls: given.tls.unwrap_or(true),
        in_transaction: given.in_transaction,
        session: SessionHistory {
            rows_read: given.session.rows_read,
            bytes_read: given.session.bytes_read,
            decisions: given.session.decisions,
            denials: given.session.denials,
        },
        provenance: given.task.as_ref().map(|task| task_of(task, &test.workload, now)).transpose()?,
        left: Default::default(),
    })
}

fn differences(expected: &Expected, decided: &Decided) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut differ = |of, expected: String, came: String| differences.push(Difference { of, expected, came });
    if expected.verdict.as_str() != decided.evaluation.verdict {
        differ("verdict", expected.verdict.as_str().to_owned(), decided.to_string());
    }
    if let Some(by) = &expected.by {
        let permits = &decided.evaluation.terms.permits;
        let permitted = decided.evaluation.verdict == "permit" && permits.iter().any(|permit| **permit == **by);
        if decided.by() != Some(by) && !permitted {
            let came = decided.by().map(str::to_owned).unwrap_or_else(|| permits.join(", "));
            differ("by", by.clone(), came);
        }
    }
    if let Some(code) = &expected.code {
        let codes = decided.codes();
        if !codes.iter().any(|came| came == code) {
            differ("code", code.clone(), codes.join(" "));
        }
    }
    if let Some(masks) = &expected.masks {
        // A column is named by its last name or in full; each that was masked must be named.
        let named = |full: &str, name: &str| full == name || full.ends_with(&format!(".{name}"));
        let all_came =
            masks.iter().all(|(name, mask)| decided.masks.iter().any(|(full, came)| named(full, name) && came == mask));
        let none_beyond =
            decided.masks.iter().all(|(full, came)| masks.iter().any(|(name, mask)| named(full, name) && came == mask));
        if !all_came || !none_beyond {
            let shown = |masks: &mut dyn Iterator<Item = String>| {
                masks.collect::<BTreeSet<String>>().into_iter().collect::<Vec<_>>().join(", ")
            };
            let expected = shown(&mut masks.iter().map(|(name, mask)| format!("{name}: {mask}")));
            differ("masks", expected, shown(&mut decided.masks.iter().map(|(name, mask)| format!("{name}: {mask}"))));
        }
    }
    if let Some(budgets) = &expected.budgets {
        let drawn = |budget: &kernel::verdict::Budget| (budget.by.policy.to_string(), budget.draws());
        let came: BTreeMap<String, u64> = decided.evaluation.terms.budgets.iter().map(drawn).collect();
        if came != *budgets {
            let shown = |all: &BTreeMap<String, u64>| {
                all.iter().map(|(policy, drawn)| format!("{policy}: {drawn}")).collect::<Vec<_>>().join(", ")
            };
            differ("budgets", shown(budgets), shown(&came));
        }
    }
    let quarantined = matches!(decided.evaluation.reason, Some(DenyReason::Quarantine(_)));
    if let Some(quarantine) = expected.quarantine
        && quarantine != quarantined
    {
        differ("quarantine", quarantine.to_string(), quarantined.to_string());
    }
    if let Some(rows) = expected.rows
        && decided.evaluation.terms.limits.rows != Some(rows)
    {
        let came = decided.evaluation.terms.limits.rows.map_or("no limit".to_owned(), |rows| rows.to_string());
        differ("rows", rows.to_string(), came);
    }
    differences
}

#[cfg(test)]
mod tests;
