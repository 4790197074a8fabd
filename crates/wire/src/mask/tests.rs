//! Plans from statements, and rows under them; each leak of hazards §3 beside what passes.

use std::sync::Arc;

use kernel::verdict::{Mask, Undecidable};
use proptest::prelude::*;

use super::{DescribedField, MaskKey, MaskPlan, check_description};
use crate::sql::tests::understood;
use crate::sql::{Analysis, Outputs};

const TEXT: u32 = 25;

fn field(table_oid: u32, column: i16, type_oid: u32) -> DescribedField {
    DescribedField { table_oid, column, type_oid, type_modifier: -1, binary: false }
}

fn key() -> Arc<MaskKey> {
    Arc::new(MaskKey::new(&[7; 32]))
}

/// Masks every operation on `users.ssn`, as a policy on the column does.
fn masks(analysis: &Analysis, mask: Mask) -> Vec<(usize, Mask, Arc<str>)> {
    let is_ssn = |path: &[Arc<str>]| path.get(2..).is_some_and(|path| path == ["users".into(), "ssn".into()]);
    let places = analysis.operations.iter().enumerate().filter(|(_, operation)| is_ssn(&operation.resource.path));
    places.map(|(place, _)| (place, mask, Arc::from("pii"))).collect()
}

fn plan(sql: &str, mask: Mask) -> Result<Option<MaskPlan>, Undecidable> {
    let analysis = understood(sql);
    let last = analysis.statements.last().unwrap_or_else(|| panic!("{sql}"));
    MaskPlan::new(&analysis, last, &masks(&analysis, mask))
}

fn row(values: &[Option<&str>]) -> Vec<u8> {
    let mut body = u16::try_from(values.len()).unwrap_or(0).to_be_bytes().to_vec();
    for value in values {
        match value {
            None => body.extend((-1i32).to_be_bytes()),
            Some(value) => {
                body.extend(i32::try_from(value.len()).unwrap_or(0).to_be_bytes());
                body.extend(value.as_bytes());
            }
        }
    }
    body
}

/// The masked row, with all columns described as text without origin.
fn masked(sql: &str, mask: Mask, values: &[Option<&str>]) -> Vec<u8> {
    let plan = plan(sql, mask).unwrap_or_else(|why| panic!("{sql}: {why:?}")).unwrap_or_else(|| panic!("{sql}"));
    let fields = vec![field(0, 0, TEXT); values.len()];
    let rows = plan.described(&fields, &key()).unwrap_or_else(|why| panic!("{sql}: {why:?}"));
    let mut out = Vec::new();
    rows.apply_row(&row(values), &mut out).unwrap_or_else(|why| panic!("{sql}: {why:?}"));
    out
}

#[test]
fn cells_follow_lineage() {
    let secret = Some("123-45-6789");
    for (sql, values, expect) in [
        ("SELECT id, ssn FROM users", vec![Some("1"), secret], vec![Some("1"), Some("[redacted]")]),
        ("SELECT ssn AS name FROM users", vec![secret], vec![Some("[redacted]")]),
        ("SELECT upper(ssn), name FROM users", vec![secret, Some("x")], vec![None, Some("x")]),
        ("SELECT count(*), max(ssn) FROM users", vec![Some("2"), secret], vec![Some("2"), None]),
        ("SELECT row_to_json(u) FROM users u", vec![secret], vec![None]),
        ("SELECT deepest FROM deep", vec![secret], vec![Some("[redacted]")]),
        ("SELECT shout FROM active_users, users WHERE users.ssn = 'x'", vec![Some("X")], vec![Some("X")]),
        ("SELECT ssn FROM users UNION ALL SELECT name FROM guess", vec![secret], vec![None]),
        ("SELECT risky('x'), ssn FROM users", vec![secret, secret], vec![None, Some("[redacted]")]),
        (
            "DELETE FROM users WHERE id = 1 RETURNING ssn, id",
            vec![secret, Some("1")],
            vec![Some("[redacted]"), Some("1")],
        ),
        ("EXPLAIN ANALYZE SELECT ssn FROM users", vec![secret], vec![None]),
    ] {
        assert_eq!(masked(sql, Mask::Redact, &values), row(&expect), "{sql}");
    }
}

#[test]
fn types_and_formats_are_those_of_the_description_mk11_mk12() {
    let plan = plan("SELECT ssn FROM users", Mask::Partial).unwrap().unwrap();
    let one = |rows: super::RowMask, value: &[u8]| {
        let body = [&1_u16.to_be_bytes()[..], &u32::try_from(value.len()).unwrap().to_be_bytes(), value].concat();
        let mut out = Vec::new();
        rows.apply_row(&body, &mut out).unwrap();
        out.get(6..).map(<[u8]>::to_vec)
    };
    // An int4 in binary, as a driver asks for it.
    let int4 = DescribedField { binary: true, ..field(0, 0, 23) };
    let number = 45_300_i32.to_be_bytes();
    let masked = 40_000_i32.to_be_bytes().to_vec();
    assert_eq!(one(plan.described(&[int4], &key()).unwrap(), &number), Some(masked.clone()));
    // Described earlier as text; this Bind asks for binary.
    let earlier = [field(0, 0, 23)];
    assert_eq!(one(plan.undescribed(Some(&earlier), &[true], &key()), &number), Some(masked));
    assert_eq!(one(plan.undescribed(Some(&earlier), &[], &key()), b"45300"), Some(b"40000".to_vec()));
    // Never described: the catalogue says text.
    assert_eq!(one(plan.undescribed(None, &[], &key()), b"Marie"), Some(b"M***".to_vec()));
    // A type that nothing is known of.
    assert_eq!(one(plan.described(&[field(0, 0, 99_999)], &key()).unwrap(), b"Marie"), Some(Vec::new()));
}

#[test]
fn what_cannot_be_masked_is_refused_mk08_mk09() {
    for sql in [
        "INSERT INTO guess (ssn) SELECT ssn FROM users",
        "CREATE TABLE c AS SELECT ssn FROM users",
        "SELECT ssn INTO c FROM users",
        "UPDATE users SET note = ssn",
        "UPDATE guess SET ssn = u.ssn FROM users u",
        "INSERT INTO guess (name) SELECT upper(ssn) FROM users",
        "SELECT risky(ssn) FROM users",
        "INSERT INTO guess (name) SELECT deepest FROM deep",
        "INSERT INTO guess (name) SELECT risky('x') FROM users",
        "SELECT id FROM users WHERE ssn LIKE '1%'",
        "SELECT id FROM users WHERE ssn > '1'",
        "SELECT id FROM users ORDER BY ssn",
        "SELECT count(*) FROM users GROUP BY ssn",
        "SELECT 1 FROM users u JOIN guess g ON g.ssn = u.ssn",
        "SELECT id FROM users WHERE substring(ssn, 1, 1) = '1'",
        "SELECT id FROM users WHERE ssn IN ('1', '2')",
        "SELECT 1 FROM deep WHERE deepest > '1'",
        "COPY users TO '/tmp/x'",
        "EXPLAIN ANALYZE SELECT 1 FROM users WHERE ssn > '1'",
        "COPY users TO STDOUT (FORMAT binary)",
        "MERGE INTO guess g USING users u ON g.id = u.id WHEN MATCHED THEN UPDATE SET ssn = u.ssn",
        "WITH x AS (INSERT INTO guess (ssn) SELECT ssn FROM users) SELECT 1",
    ] {
        assert_eq!(plan(sql, Mask::Redact).err(), Some(Undecidable::CannotMask), "{sql}");
    }
    for sql in [
        "SELECT id FROM users WHERE ssn = '1'",
        "SELECT ssn FROM users",
        "COPY users TO STDOUT",
        "COPY users TO STDOUT (FORMAT csv)",
        "COPY users TO STDOUT (HEADER)",
        "COPY users TO STDOUT (DELIMITER ';')",
        "COPY users TO STDOUT (FORMAT csv, FORCE_QUOTE (ssn), HEADER, ENCODING 'utf8')",
        "UPDATE users SET ssn = upper(ssn)",
        "SELECT id FROM users WHERE ssn = $1",
        "COPY (SELECT id FROM users) TO STDOUT (FORMAT csv)",
        "CREATE VIEW v AS SELECT ssn FROM users",
        "INSERT INTO guess (id) SELECT id FROM users WHERE ssn = '1'",
    ] {
        assert!(plan(sql, Mask::Redact).is_ok(), "{sql}");
    }
    assert!(plan("SELECT id FROM users", Mask::Redact).unwrap().is_none());
}

#[test]
fn descriptions_are_held_against_lineage_mk13() {
    let outputs = |sql: &str| understood(sql).statements[0].outputs.clone();
    let origin = |sql: &str| match outputs(sql) {
        Outputs::Columns(columns) => columns[0].origins.clone(),
        other => panic!("{other:?}"),
    };
    let field = |table_oid, column| field(table_oid, column, TEXT);
    let ssn = origin("SELECT ssn FROM users")[0];
    let view = origin("SELECT secret FROM active_users");
    assert!(view.contains(&ssn) && view.len() == 2);
    for (sql, fields, agrees) in [
        ("SELECT ssn FROM users", vec![field(ssn.table, ssn.column)], true),
        ("SELECT ssn FROM users", vec![field(ssn.table, ssn.column + 1)], false),
        ("SELECT ssn FROM users", vec![field(ssn.table + 1, ssn.column)], false),
        ("SELECT ssn FROM users", vec![], false),
        ("SELECT ssn FROM users", vec![field(0, 0), field(0, 0)], false),
        ("SELECT secret FROM active_users", vec![field(view[1].table, view[1].column)], true),
        ("SELECT 1", vec![field(0, 0)], true),
        ("SELECT 1", vec![field(ssn.table, ssn.column)], false),
        ("SELECT relname FROM pg_class", vec![field(1259, 2)], true),
        ("SELECT ctid FROM users", vec![field(ssn.table, -1)], true),
        ("DELETE FROM users", vec![field(0, 0)], false),
    ] {
        assert_eq!(check_description(&outputs(sql), &fields).is_ok(), agrees, "{sql} {fields:?}");
    }
}

proptest! {
    #[test]
    fn no_body_panics_and_errors_leave_nothing(body in prop::collection::vec(any::<u8>(), 0..60)) {
        let plan = plan("SELECT id, ssn FROM users", Mask::Last4).unwrap().unwrap();
        let rows = plan.undescribed(None, &[], &key());
        let mut out = vec![1];
        if rows.apply_row(&body, &mut out).is_err() {
            prop_assert_eq!(&out, &[1]);
        }
    }

    /// The secret is in no cell, whatever it is.
    #[test]
    fn the_secret_does_not_pass(secret in "[a-z]{12,20}", id in "[0-9]{1,5}") {
        for mask in [Mask::Null, Mask::Redact, Mask::Hash, Mask::Token, Mask::Last4, Mask::Partial] {
            let out = masked("SELECT id, ssn FROM users", mask, &[Some(&id), Some(&secret)]);
            prop_assert!(!out.windows(secret.len()).any(|part| part == secret.as_bytes()));
            prop_assert!(out.windows(id.len()).any(|part| part == id.as_bytes()));
        }
    }
}

/// What PostgreSQL 15 said of some hundred statements (`PQdescribePrepared`): table, column and type of each result column.
#[test]
fn lineage_agrees_with_a_real_server() {
    let captured = include_str!("../../testdata/catalogue/postgres15_descriptions.tsv");
    let mut bare = 0;
    for line in captured.lines() {
        let (sql, fields) = line.split_once('\t').unwrap_or_else(|| panic!("{line}"));
        let sql = sql.replace("\\n", "\n").replace("\\\\", "\\");
        let number =
            |text: Option<&str>| text.and_then(|text| text.parse::<u32>().ok()).unwrap_or_else(|| panic!("{line}"));
        let fields: Vec<DescribedField> = fields
            .split(',')
            .filter(|field| !field.is_empty())
            .map(|field| {
                let mut parts = field.split(':');
                let (table_oid, column, type_oid) = (number(parts.next()), parts.next(), number(parts.next()));
                // libpq shows the number unsigned.
                let column =
                    column.and_then(|text| text.parse::<i32>().ok()).and_then(|column| i16::try_from(column).ok());
                self::field(table_oid, column.unwrap_or(-1), type_oid)
            })
            .collect();
        let Ok(analysis) = crate::sql::tests::analyse(&sql) else {
            assert!(sql.contains("json_populate_record") || sql.contains("set_config"), "{sql} is refused");
            continue;
        };
        let outputs = &analysis.statements[0].outputs;
        assert_eq!(check_description(outputs, &fields), Ok(()), "{sql} {fields:?} {outputs:?}");
        let Outputs::Columns(columns) = outputs else { continue };
        for (output, field) in columns.iter().zip(&fields) {
            // Where the server knows the origin, so do we; but a column that its view computes is derived for us.
            let view = crate::sql::tests::CATALOGUE
                .relations()
                .iter()
                .any(|relation| relation.oid == field.table_oid && relation.definition.is_some());
            if field.table_oid >= 16_384 && field.column > 0 && !view {
                let known = output
                    .origins
                    .iter()
                    .any(|origin| origin.table == field.table_oid && origin.column == field.column);
                assert!(known, "{sql} {fields:?} {outputs:?}");
                bare += 1;
            }
        }
    }
    assert!(bare > 60, "{bare} columns of known origin");
}
