//! Laws that lineage obeys whatever the query: a wrapper changes nothing, and nothing that was seen is lost.

use proptest::prelude::*;

use super::super::analysis::{Flow, Outputs};
use super::analyse;

const COLUMNS: &[&str] = &["u.id", "u.name", "u.ssn", "g.id", "g.ssn", "g.name", "u.note", "u.tags[1]"];

/// A value over `users u, guess g`, and the columns that are in it.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => prop::sample::select(COLUMNS).prop_map(str::to_owned),
        1 => prop::sample::select(&["'x'", "$1", "1", "NULL"][..]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let one = inner.clone();
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            (prop::sample::select(FORMS), one).prop_map(|(form, value)| form.replace('%', &value)),
            two.prop_map(|(a, b)| format!("concat({a}, {b})")),
            (inner.clone(), inner.clone(), inner)
                .prop_map(|(a, b, c)| { format!("CASE WHEN {a} IS NULL THEN {b}::text ELSE {c}::text END") }),
        ]
    })
}

/// What can be made of one value.
const FORMS: &[&str] = &[
    "(%)::text",
    "coalesce((%)::text, 'x')",
    "upper((%)::text)",
    "ARRAY[%]",
    "(ARRAY[%])[1]",
    "ROW(%)",
    "to_jsonb(%)",
    "json_build_object('a', %)",
    "(SELECT %)",
    "ARRAY(SELECT %)",
    "xmlelement(name a, %)",
    "greatest(%, NULL)",
    "nullif(%, NULL)",
    "((%) IS NULL)",
    "(SELECT x FROM (SELECT % AS x) s)",
    "(SELECT max(x::text) FROM (VALUES (%)) v (x))",
    "(SELECT string_agg(x::text, ',') FROM unnest(ARRAY[%]) x)",
    "(WITH c AS (SELECT % AS x) SELECT x FROM c)",
    "((%)::text || '')",
];

/// The columns that flow into each output.
fn columns(sql: &str) -> Result<Vec<Option<Vec<String>>>, TestCaseError> {
    let analysis = analyse(sql).map_err(|refused| TestCaseError::fail(format!("{sql}: {refused:?}")))?;
    let Some(Outputs::Columns(outputs)) = analysis.statements.last().map(|statement| &statement.outputs) else {
        return Err(TestCaseError::fail(sql.to_owned()));
    };
    let name = |place: &usize| analysis.operations.get(*place).map(|found| found.resource.path[2..].join("."));
    let flow = |flow: &Flow| match flow {
        Flow::Clear => Some(Vec::new()),
        Flow::Bare(places) | Flow::Derived(places) => Some(places.iter().filter_map(name).collect()),
        Flow::Unknown => None,
    };
    Ok(outputs.iter().map(|output| flow(&output.flow)).collect())
}

/// Queries that return what `% AS a, % AS b FROM …` does, column by column.
const WRAPPERS: &[&str] = &[
    "SELECT * FROM (%) s",
    "SELECT s.a, s.b FROM (%) s",
    "SELECT (s).a, (s).b FROM (%) s",
    "WITH c AS (%) SELECT * FROM c",
    "WITH c (x, y) AS MATERIALIZED (%) SELECT x, y FROM c",
    "% UNION ALL %",
    "(%) LIMIT 3",
    "SELECT l.* FROM (VALUES (1)) v, LATERAL (%) l",
    "SELECT q.a, q.b FROM (VALUES (1)) v (k) LEFT JOIN (%) q ON true",
    "TABLE c",
    "WITH RECURSIVE r AS (% UNION ALL SELECT a, b FROM r WHERE false) SELECT * FROM r",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Every column that the text names is in what flows into the value.
    #[test]
    fn no_column_is_lost(value in value()) {
        let found = columns(&format!("SELECT {value} FROM users u, guess g"))?;
        if let [Some(found)] = found.as_slice() {
            for column in COLUMNS.iter().filter(|column| value.contains(**column)) {
                let (table, name) = column.split_once('.').unwrap_or_default();
                let table = if table == "u" { "users" } else { "guess" };
                let wanted = format!("{table}.{}", name.trim_end_matches("[1]"));
                prop_assert!(found.contains(&wanted), "{value}: {found:?} lacks {wanted}");
            }
        }
    }

    /// A subquery, a CTE, a UNION with itself, a recursion, LATERAL change no column's lineage.
    #[test]
    fn wrappers_change_nothing(a in value(), b in value(), wrapper in prop::sample::select(WRAPPERS)) {
        let plain = format!("SELECT {a} AS a, {b} AS b FROM users u, guess g");
        let wrapped = if wrapper == "TABLE c" {
            format!("WITH c AS ({plain}) TABLE c")
        } else {
            wrapper.replace('%', &plain)
        };
        prop_assert_eq!(columns(&wrapped)?, columns(&plain)?, "{}", wrapped);
    }
}
