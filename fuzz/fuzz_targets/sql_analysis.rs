//! Any text as a statement, against a small catalogue of each major version: the analysis ends, in an answer or a refusal.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use wire::sql::{Catalogue, CatalogueRow, analyse, locate};

static CATALOGUES: LazyLock<Vec<Catalogue>> = LazyLock::new(|| [15, 18].map(catalogue).into_iter().collect());

fn row(values: &[&str]) -> CatalogueRow {
    values.iter().map(|value| Some((*value).to_owned())).collect()
}

/// `users (id int, ssn text)` and a view over it.
fn catalogue(major: u32) -> Catalogue {
    let relations = [
        row(&["public", "users", "16384", "r", "1", "id", "23", "int4", "t", "f"]),
        row(&["public", "users", "16384", "r", "2", "ssn", "25", "text", "f", "f"]),
        row(&["public", "v", "16385", "v", "1", "s", "25", "text", "f", "f"]),
    ];
    let views = [row(&["16385", "SELECT users.ssn AS s FROM public.users"])];
    Catalogue::from_rows("shop", major, 1, &relations, &views, &[]).expect("rows of the right form")
}

fuzz_target!(|text: &str| {
    // Longer texts take longer, and say no more.
    if text.len() > 4_096 {
        return;
    }
    let upstream = "shop-db".parse().expect("a name");
    for catalogue in CATALOGUES.iter() {
        if let Ok(analysis) = analyse(text, catalogue, &upstream)
            && let Some(operation) = analysis.operations.last()
        {
            let _place = locate(text, catalogue, &upstream, operation);
        }
    }
});
