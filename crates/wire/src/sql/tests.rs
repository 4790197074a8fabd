//! The analysis against the catalogue of a real PostgreSQL 15, captured by the catalogue queries themselves.

mod bounded;
mod copies;
mod flows;
mod hazards;
mod introspection;
mod laws;
mod operations;
mod planted;
mod refusals;
mod selection;
mod templates;

use std::sync::LazyLock;

use kernel::operation::Operation;
use kernel::workload::Name;

use super::analysis::{Analysis, Flow, Outputs, Refused};
use super::catalogue::{Catalogue, CatalogueRow};

/// Rows as `COPY … TO STDOUT` wrote them.
fn rows(text: &str) -> Vec<CatalogueRow> {
    let unescape = |value: &str| value.replace("\\n", "\n").replace("\\t", "\t").replace("\\\\", "\\");
    text.lines().map(|line| line.split('\t').map(|value| (value != "\\N").then(|| unescape(value))).collect()).collect()
}

pub(super) fn catalogue_at(epoch: u64) -> Catalogue {
    let relations = rows(include_str!("../../testdata/catalogue/postgres15_relations.tsv"));
    let views = rows(include_str!("../../testdata/catalogue/postgres15_views.tsv"));
    let functions = rows(include_str!("../../testdata/catalogue/postgres15_functions.tsv"));
    Catalogue::from_rows("shop", 15, epoch, &relations, &views, &functions).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| catalogue_at(1));

pub(super) fn upstream() -> Name {
    "shop-db".parse().unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn analyse(sql: &str) -> Result<Analysis, Refused> {
    super::analyse(sql, &CATALOGUE, &upstream())
}

pub(crate) fn understood(sql: &str) -> Analysis {
    analyse(sql).unwrap_or_else(|refused| panic!("{sql}: {refused:?}"))
}

/// `sql:select shop.public.users.id`, without `sql:` and the database; with the way of an inference.
pub(super) fn show(operation: &Operation) -> String {
    let path = operation.resource.path.get(1..).unwrap_or_default().join(".");
    let action = operation.action.as_str().trim_start_matches("sql:");
    let path = if path.is_empty() { "DATABASE".to_owned() } else { path };
    match operation.facts.inference {
        Some(how) => format!("{action} {path} {}", how.as_str()),
        None => format!("{action} {path}"),
    }
}

pub(super) fn operations(sql: &str) -> Vec<String> {
    understood(sql).operations.iter().map(show).collect()
}

/// Each result column of the last statement: `-` clear, `=t.c` bare, `~t.c,t.d` derived, `?` unknown.
pub(super) fn flows_of(analysis: &Analysis) -> Vec<String> {
    let name = |place: &usize| {
        let path =
            &analysis.operations.get(*place).map(|operation| operation.resource.path.clone()).unwrap_or_default();
        path.get(2..).unwrap_or_default().join(".")
    };
    let list = |places: &Vec<usize>| places.iter().map(name).collect::<Vec<_>>().join(",");
    match analysis.statements.last().map(|statement| &statement.outputs) {
        Some(Outputs::Columns(columns)) => columns
            .iter()
            .map(|output| match &output.flow {
                Flow::Clear => "-".to_owned(),
                Flow::Bare(places) => format!("={}", list(places)),
                Flow::Derived(places) => format!("~{}", list(places)),
                Flow::Unknown => "?".to_owned(),
            })
            .collect(),
        Some(Outputs::None) => vec!["none".to_owned()],
        Some(Outputs::Named) => vec!["named".to_owned()],
        Some(Outputs::Text) => vec!["text".to_owned()],
        None => Vec::new(),
    }
}

pub(super) fn flows(sql: &str) -> Vec<String> {
    flows_of(&understood(sql))
}
