//! The reading of a catalogue, captured from PostgreSQL 15 and 18 by the queries themselves.

use super::{Catalogue, CatalogueQuery, CatalogueRow, CatalogueRows, RelationKind, TypeKind};

const CAPTURED: [(u32, &str); 2] = [
    (15, include_str!("../../../testdata/catalogue/planted15.tsv")),
    (18, include_str!("../../../testdata/catalogue/planted18.tsv")),
];

fn query(heading: &str) -> CatalogueQuery {
    match heading {
        "RELATIONS" => CatalogueQuery::Relations,
        "VIEWS" => CatalogueQuery::Views,
        "FUNCTIONS" => CatalogueQuery::Functions,
        "INHERITANCE" => CatalogueQuery::Inheritance,
        "GENERATED" => CatalogueQuery::Generated,
        "DELAYED" => CatalogueQuery::Delayed,
        "TYPES" => CatalogueQuery::Types,
        "FIELDS" => CatalogueQuery::Fields,
        "OPERATORS" => CatalogueQuery::Operators,
        "CASTS" => CatalogueQuery::Casts,
        "COERCIONS" => CatalogueQuery::Coercions,
        other => panic!("{other}"),
    }
}

pub(in crate::sql) fn rows(text: &str) -> CatalogueRows {
    let unescape =
        |value: &str| value.replace("\\n", "\n").replace("\\t", "\t").replace("\\x1f", "\u{1f}").replace("\\\\", "\\");
    let mut rows = CatalogueRows::new();
    for part in text.split("# ").filter(|part| !part.is_empty()) {
        let (heading, lines) = part.split_once('\n').unwrap();
        let read = |line: &str| -> CatalogueRow {
            line.split('\t').map(|value| (value != "\\N").then(|| unescape(value))).collect()
        };
        rows.put(query(heading), lines.lines().map(read).collect());
    }
    rows
}

/// The captured catalogues, by major version.
pub(in crate::sql) fn captured() -> Vec<Catalogue> {
    let read = |(major, text): (u32, &str)| Catalogue::read("planted", major, 1, &rows(text)).unwrap();
    CAPTURED.into_iter().map(read).collect()
}

#[test]
fn every_query_has_a_text_for_every_version() {
    for major in 12..=18 {
        for query in CatalogueQuery::ALL {
            let text = query.text(major);
            assert!(text.starts_with("SELECT "), "{query:?}");
            assert!(major >= 14 || !text.contains("sqlbody"), "{query:?} on {major}");
        }
    }
}

#[test]
fn relations_know_their_kin_and_what_their_columns_are_made_of() {
    for catalogue in captured() {
        let names = |places: &[usize]| {
            let mut names: Vec<&str> = places.iter().map(|place| &*catalogue.at(*place).unwrap().name).collect();
            names.sort_unstable();
            names
        };
        let people = catalogue.relation("public", "people").unwrap();
        assert_eq!(people.kind, RelationKind::Partitioned);
        assert_eq!(names(&people.descendants), ["people_1", "people_1a", "people_2"]);
        assert_eq!(names(&people.ancestors), [""; 0]);
        let deep = catalogue.relation("public", "people_1a").unwrap();
        assert_eq!(names(&deep.ancestors), ["people", "people_1"]);
        let cats = catalogue.relation("public", "cats").unwrap();
        assert_eq!(names(&cats.ancestors), ["animals"]);
        let again = catalogue.relation("public", "own_copy").unwrap().columns.last().unwrap();
        assert_eq!(again.expression.as_deref(), Some("('x'::text || ssn)"));
        assert_eq!(catalogue.relation("public", "watched").unwrap().delayed.len(), 2);
        assert_eq!(catalogue.relation("public", "quiet").unwrap().delayed.len(), 0);
    }
}

#[test]
fn functions_are_told_apart_by_signature() {
    for catalogue in captured() {
        let lower: Vec<(&str, Vec<u32>)> = catalogue
            .functions("lower")
            .iter()
            .map(|function| (&*function.schema, function.signature.as_ref().unwrap().arguments.to_vec()))
            .collect();
        assert!(lower.contains(&("pg_catalog", vec![25])) && lower.contains(&("public", vec![1043])));
        let [ssn_of] = catalogue.functions("ssn_of") else { panic!() };
        assert_eq!(ssn_of.body.as_ref().unwrap().names.iter().map(|name| &**name).collect::<Vec<_>>(), ["wanted"]);
        assert_eq!(ssn_of.body_hash.as_ref().unwrap().len(), 64);
        assert!(!ssn_of.has_settings && catalogue.functions("with_path")[0].has_settings);
        let [standard] = catalogue.functions("standard_body") else { panic!() };
        assert!(standard.body.as_ref().unwrap().standard);
        let citext = catalogue.functions("citext_eq").first().unwrap();
        assert_eq!(citext.extension.as_deref(), Some("citext"));
        let oid = ssn_of.signature.as_ref().unwrap().oid;
        assert_eq!(catalogue.function(oid).map(|(name, _)| &**name), Some("ssn_of"));
    }
}

#[test]
fn types_resolve_by_name_and_have_fields() {
    for catalogue in captured() {
        let kind = |name: &str| catalogue.type_of(catalogue.type_named(None, name).unwrap()).unwrap().kind;
        assert_eq!(kind("mood"), TypeKind::Enum);
        assert_eq!(kind("short"), TypeKind::Domain(25));
        assert_eq!(kind("_text"), TypeKind::Array(25));
        assert_eq!(kind("int4range"), TypeKind::Range(23));
        assert_eq!(catalogue.base_type(catalogue.type_named(Some("public"), "short").unwrap()), 25);
        assert_eq!(catalogue.type_named(Some("pg_catalog"), "short"), None);
        let fields = |name: &str| catalogue.fields(catalogue.type_named(None, name).unwrap()).unwrap();
        assert_eq!(fields("pair"), [("first".into(), 25), ("second".into(), 23)]);
        assert_eq!(fields("animals"), [("id".into(), 23), ("tag".into(), 25)]);
        assert!(catalogue.coerces(1043, 25) && !catalogue.coerces(25, 23));
    }
}

#[test]
fn a_row_of_another_form_is_an_error() {
    for query in CatalogueQuery::ALL {
        let mut rows = rows(CAPTURED[0].1);
        let mut broken = rows.get(query).to_vec();
        broken.push(vec![None]);
        let row = broken.len() - 1;
        rows.put(query, broken);
        if query == CatalogueQuery::Views {
            continue;
        }
        let error = Catalogue::read("planted", 15, 1, &rows).unwrap_err();
        assert_eq!((error.query, error.row), (query, row));
    }
}
