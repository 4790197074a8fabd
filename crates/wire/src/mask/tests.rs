//! Plans from statements, and rows under them; each leak of hazards §3 beside what passes.

use std::sync::Arc;

use kernel::verdict::{Mask, Undecidable};
use proptest::prelude::*;

use super::{DescribedField, MaskKey, MaskPlan, check_description};
use crate::sql::tests::understood;
use crate::sql::{Analysis, Outputs};

const TEXT: u32 = 25;

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
    let fields = vec![DescribedField { table_oid: 0, column: 0, type_oid: TEXT }; values.len()];
    let rows = plan.described(&fields, &key()).unwrap_or_else(|why| panic!("{sql}: {why:?}"));
    let mut out = Vec::new();
    rows.apply_row(&row(values), &mut out).unwrap_or_else(|why| panic!("{sql}: {why:?}"));
    out
}

#[test]
fn each_mask_has_its_form() {
    for (mask, value, expect) in [
        (Mask::Null, "123-45-6789", None),
        (Mask::Redact, "123-45-6789", Some("[redacted]")),
        (Mask::Last4, "123-45-6789", Some("*******6789")),
        (Mask::Last4, "1234567", Some("*******")),
        (Mask::Last4, "äöüßäöüß", Some("****äöüß")),
        (Mask::Last4, "", Some("")),
        (Mask::Partial, "marie@example.com", Some("m***@e***.com")),
        (Mask::Partial, "ma@ex.org", Some("***@***.org")),
        (Mask::Partial, "marie@localhost", Some("m***@l***")),
        (Mask::Partial, "Marie Curie", Some("M***")),
        (Mask::Partial, "ab", Some("***")),
        (Mask::Partial, "a@b@c.de", Some("a***")),
        (Mask::Hash, "123-45-6789", Some("0f5ef9b1e42d23dc")),
    ] {
        let out = masked("SELECT ssn FROM users", mask, &[Some(value)]);
        if mask == Mask::Hash {
            let shown = String::from_utf8(out.get(6..).unwrap_or_default().to_vec()).unwrap_or_default();
            assert!(shown.len() == 16 && shown.bytes().all(|byte| byte.is_ascii_hexdigit()));
            assert_eq!(out, masked("SELECT ssn FROM users", mask, &[Some(value)]), "equal values, equal hashes");
            assert_ne!(out, masked("SELECT ssn FROM users", mask, &[Some("123-45-6780")]));
        } else {
            assert_eq!(out, row(&[expect]), "{mask:?} {value}");
        }
    }
    assert!(
        masked("SELECT ssn FROM users", Mask::Token, &[Some("x")]).get(6..).is_some_and(|out| out.starts_with(b"tok_"))
    );
    assert_eq!(masked("SELECT ssn FROM users", Mask::Redact, &[None]), row(&[None]), "NULL stays NULL");
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
        ("SELECT ssn FROM users UNION SELECT name FROM guess", vec![secret], vec![None]),
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
fn types_without_text_become_null_mk11() {
    let plan = plan("SELECT ssn FROM users", Mask::Partial).unwrap().unwrap();
    for type_oid in [20, 23, 114, 3802, 1082, 2950, 17, 1009, 18, 99_999] {
        let rows = plan.described(&[DescribedField { table_oid: 0, column: 0, type_oid }], &key()).unwrap();
        let mut out = Vec::new();
        rows.apply_row(&row(&[Some("abcdefgh")]), &mut out).unwrap();
        assert_eq!(out, row(&[None]), "{type_oid}");
    }
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
        "COPY users TO STDOUT (FORMAT csv)",
        "COPY users TO STDOUT (FORMAT binary)",
        "COPY users TO STDOUT (HEADER)",
        "COPY users TO STDOUT (DELIMITER ';')",
        "MERGE INTO guess g USING users u ON g.id = u.id WHEN MATCHED THEN UPDATE SET ssn = u.ssn",
        "WITH x AS (INSERT INTO guess (ssn) SELECT ssn FROM users) SELECT 1",
    ] {
        assert_eq!(plan(sql, Mask::Redact).err(), Some(Undecidable::CannotMask), "{sql}");
    }
    for sql in [
        "SELECT id FROM users WHERE ssn = '1'",
        "SELECT ssn FROM users",
        "COPY users TO STDOUT",
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
fn copy_lines_mk06() {
    let plan = plan(
        "COPY guess_source TO STDOUT".replace("guess_source", "(SELECT id, ssn, name FROM users)").as_str(),
        Mask::Last4,
    )
    .unwrap()
    .unwrap();
    let rows = plan.undescribed(&key());
    for (line, expect) in [
        ("1\t123-45-6789\tx\n", Some("1\t*******6789\tx\n")),
        ("1\t\\N\tx\n", Some("1\t\\N\tx\n")),
        ("1\t12345678\\ta\\\\b\tx\n", Some("1\t********\\ta\\\\b\tx\n")),
        ("1\t123-45-6789\n", None),
        ("1\t123\t4\t5\n", None),
    ] {
        let mut out = b"before".to_vec();
        let result = rows.apply_copy_text(line.as_bytes(), &mut out);
        match expect {
            Some(expect) => assert_eq!(String::from_utf8_lossy(&out), format!("before{expect}")),
            None => assert!(result.is_err() && out == b"before"),
        }
    }
}

#[test]
fn descriptions_are_held_against_lineage_mk13() {
    let outputs = |sql: &str| understood(sql).statements[0].outputs.clone();
    let origin = |sql: &str| match outputs(sql) {
        Outputs::Columns(columns) => columns[0].origins.clone(),
        other => panic!("{other:?}"),
    };
    let field = |table_oid, column| DescribedField { table_oid, column, type_oid: TEXT };
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
        let rows = plan.undescribed(&key());
        let mut out = vec![1];
        if rows.apply_row(&body, &mut out).is_err() {
            prop_assert_eq!(&out, &[1]);
        }
        let mut line = vec![1];
        if rows.apply_copy_text(&body, &mut line).is_err() {
            prop_assert_eq!(&line, &[1]);
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
                DescribedField { table_oid, column: column.unwrap_or(-1), type_oid }
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
