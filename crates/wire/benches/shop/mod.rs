//! The catalogue that the benchmarks analyse with: a small shop, captured from PostgreSQL 15.

use parapet_wire::sql::{Catalogue, CatalogueRow};

fn rows(text: &str) -> Vec<CatalogueRow> {
    let value = |value: &str| (value != "\\N").then(|| value.replace("\\n", "\n"));
    text.lines().map(|line| line.split('\t').map(value).collect()).collect()
}

pub(crate) fn catalogue() -> Catalogue {
    Catalogue::from_rows(
        "shop",
        15,
        1,
        &rows(include_str!("../../testdata/catalogue/postgres15_relations.tsv")),
        &rows(include_str!("../../testdata/catalogue/postgres15_views.tsv")),
        &rows(include_str!("../../testdata/catalogue/postgres15_functions.tsv")),
    )
    .unwrap()
}
