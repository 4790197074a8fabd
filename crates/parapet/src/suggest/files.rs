//! The tests that go with proposed permits: `tests.yaml`, and the `fixtures.yaml` and `schema.sql` that they assume.
//!
//! Each statement or request that passed must pass again, by the proposed permits alone; what was never done must not. Columns
//! have the type `text`: the log knows their names, and the permits ask for no more. Names go into YAML as JSON, which is YAML.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use kernel::operation::{Action, ActionGroup};
use kernel::policy::Snapshot;
use kernel::resource::{Resource, ResourceKind};
use kernel::workload::Name;
use serde_json::json;

use crate::cli::style::plain;
use crate::config::Configuration;
use crate::suggest::requests::{self, Question, System};
use crate::suggest::usage::{Deed, Sent, Usage};

/// The most statements or requests that are tested for one workload and upstream, the first in alphabetical order.
const MOST_QUESTIONS: usize = 200;

/// Files by their names. `labels` knows the classes of fields.
pub(crate) fn all(usage: &Usage, configuration: &Configuration, labels: &Snapshot) -> Vec<(&'static str, String)> {
    let mut all = vec![("fixtures.yaml", fixtures(usage, configuration, labels)), ("tests.yaml", tests(usage))];
    // APIs have no tables.
    if pairs(usage).iter().any(|(_, upstream)| requests::system(usage, upstream) == System::Database) {
        all.push(("schema.sql", schema(usage)));
    }
    all
}

/// Who and what was seen, together.
fn pairs(usage: &Usage) -> BTreeSet<(&Name, &Name)> {
    usage.permitted.keys().map(|deed| (&deed.workload, &deed.resource.upstream)).collect()
}

fn fixtures(usage: &Usage, configuration: &Configuration, labels: &Snapshot) -> String {
    let workloads: BTreeSet<&Name> = pairs(usage).into_iter().map(|(workload, _)| workload).collect();
    let upstreams: BTreeSet<&Name> = pairs(usage).into_iter().map(|(_, upstream)| upstream).collect();
    let mut text = String::from("# What the tests of `tests.yaml` assume. JSON is YAML.\n\n");
    if workloads.is_empty() {
        // Nothing that passed: what was seen is a person's to decide, and has no tests.
        return text + "workloads: {}\nupstreams: {}\n";
    }
    text.push_str("workloads:\n");
    for name in workloads {
        let known = configuration.workloads.iter().find(|workload| workload.name == *name);
        let entry = known.map_or_else(
            || json!({}),
            |workload| {
                json!({
                    "kind": workload.kind,
                    "owner": workload.owner,
                    "environment": workload.environment,
                    "groups": workload.groups,
                })
            },
        );
        let _infallible = writeln!(text, "  {}: {entry}", json!(name));
    }
    text.push_str("\nupstreams:\n");
    for name in upstreams {
        let system = requests::system(usage, name);
        if system != System::Database {
            let known = configuration.guarded().find(|upstream| upstream.name == *name);
            let (key, value) = match system {
                System::Egress => ("egress", json!(true)),
                System::Api | System::Database => ("http", requests::api(usage, name, labels)),
            };
            let entry = json!({ "environment": known.map(|upstream| &upstream.environment), key: value });
            let _infallible = writeln!(text, "  {}: {entry}", json!(name));
            continue;
        }
        let known = configuration.upstreams.iter().find(|entry| entry.upstream.name == *name);
        let mut classes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (pattern, class) in known.iter().flat_map(|entry| &entry.upstream.classes) {
            classes.entry(class).or_default().push(pattern);
        }
        let functions: BTreeMap<String, &str> = resources(usage, name, ResourceKind::Function)
            .filter_map(|function| Some((function.path.get(1..)?.join("."), "volatile")))
            .collect();
        let entry = json!({
            "database": database(usage, name).unwrap_or_else(|| name.to_string()),
            "environment": known.map(|entry| &entry.upstream.environment),
            "classes": classes,
            "functions": functions,
        });
        let _infallible = writeln!(text, "  {}: {entry}", json!(name));
    }
    text
}

fn resources<'u>(usage: &'u Usage, upstream: &'u Name, kind: ResourceKind) -> impl Iterator<Item = &'u Resource> {
    let all = usage.permitted.keys().map(|deed| &deed.resource);
    all.filter(move |resource| resource.upstream == *upstream && resource.kind == kind)
}

fn database(usage: &Usage, upstream: &Name) -> Option<String> {
    let seen = usage.permitted.keys().filter(|deed| deed.resource.upstream == *upstream);
    seen.filter_map(|deed| deed.resource.path.first()).map(ToString::to_string).next()
}

/// The tables that were touched, with the columns that were.
fn schema(usage: &Usage) -> String {
    let mut tables: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for resource in usage.permitted.keys().map(|deed| &deed.resource) {
        if let (ResourceKind::Table | ResourceKind::Column, [_database, schema, table, column @ ..]) =
            (resource.kind, resource.path.as_slice())
        {
            let columns = tables.entry((schema.to_string(), table.to_string())).or_default();
            columns.extend(column.iter().map(ToString::to_string));
        }
    }
    let mut text =
        String::from("-- The tables that were touched. Types are not in the audit log, and do not matter here.\n");
    for ((schema, table), columns) in tables {
        // A name with a quote has no place in this small language: its statements are not tested.
        if [&schema, &table].into_iter().chain(&columns).any(|name| name.contains('"')) {
            continue;
        }
        let columns: Vec<String> = columns.iter().map(|column| format!("  \"{column}\" text")).collect();
        let columns = if columns.is_empty() { "  unseen text".to_owned() } else { columns.join(",\n") };
        let _infallible = write!(text, "\nCREATE TABLE \"{schema}\".\"{table}\" (\n{columns}\n);\n");
    }
    text
}

fn tests(usage: &Usage) -> String {
    let mut text = String::from("# What passed, with its constants replaced; and what was never done.\n");
    for (workload, upstream) in pairs(usage) {
        let shapes = usage
            .shapes
            .iter()
            .filter(|(shape, permitted)| **permitted && shape.workload == *workload && shape.upstream == *upstream);
        // A request that cannot be made up again has no test.
        let asked = shapes.filter_map(|(shape, _)| match &shape.sent {
            Sent::Statement(statement) => Some(Question::statement(statement)),
            Sent::Request(request) => Question::request(request),
        });
        for (number, question) in asked.take(MOST_QUESTIONS).enumerate() {
            let short: String = plain(&question.text).chars().take(60).collect();
            let name = format!("{workload} at {upstream}, {}: {short}", number + 1);
            test(&mut text, &name, (workload, upstream), &question, "permit");
        }
        for (question, what) in requests::never(usage, workload, upstream) {
            let name = format!("{workload} at {upstream} does not {what}");
            test(&mut text, &name, (workload, upstream), &question, "deny");
        }
        for (sql, what) in never(usage, workload, upstream) {
            let name = format!("{workload} at {upstream} does not {what}");
            test(&mut text, &name, (workload, upstream), &Question::statement(&sql), "deny");
        }
    }
    if !text.contains("- name:") {
        text.push_str("[]\n");
    }
    text
}

fn test(text: &mut String, name: &str, (workload, upstream): (&Name, &Name), question: &Question, verdict: &str) {
    let _infallible = write!(
        text,
        "\n- name: {}\n  as: {}\n  on: {}\n{}  expect: {{verdict: {verdict}}}\n",
        json!(name),
        json!(workload),
        json!(upstream),
        question.lines(),
    );
}

/// What the workload never did, with a table that it knows.
fn never(usage: &Usage, workload: &Name, upstream: &Name) -> Vec<(String, &'static str)> {
    let ours = |deed: &&Deed| deed.workload == *workload && deed.resource.upstream == *upstream;
    let did = |group: ActionGroup| usage.permitted.keys().filter(ours).any(|deed| deed.action.group() == group);
    let table = usage.permitted.keys().filter(ours).find(|deed| {
        let plain = deed.resource.path.iter().all(|name| !name.contains('"'));
        matches!(deed.action, Action::SqlSelect | Action::SqlInsert)
            && deed.resource.kind == ResourceKind::Table
            && plain
    });
    let Some([_database, schema, table]) = table.map(|deed| deed.resource.path.as_slice()) else { return Vec::new() };
    let named = format!("\"{schema}\".\"{table}\"");
    let mut never = Vec::new();
    for (group, sql, what) in [
        (ActionGroup::Delete, format!("delete from {named}"), "delete rows"),
        (ActionGroup::Define, format!("alter table {named} rename to renamed"), "change tables"),
        (ActionGroup::Destroy, format!("drop table {named}"), "drop tables"),
    ] {
        if !did(group) {
            never.push((sql, what));
        }
    }
    never
}
