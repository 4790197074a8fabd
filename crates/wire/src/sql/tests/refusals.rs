//! What is refused before any policy is asked.

use super::super::analysis::{Flow, Outputs};
use kernel::verdict::Undecidable;
use proptest::prelude::*;

use super::{analyse, understood};

fn check(sql: &str, why: Undecidable) {
    assert_eq!(analyse(sql).err().map(|refused| refused.why), Some(why), "{sql}");
}

#[test]
fn unparseable() {
    for sql in ["SELEC 1", "SELECT 'a", "SELECT 1\0; DROP TABLE users", "SELECT $$a", "/* open"] {
        check(sql, Undecidable::Unparseable);
    }
    assert!(understood("").statements.is_empty());
    assert!(understood(" -- nothing\n;").statements.is_empty());
}

#[test]
fn pinned_settings() {
    for sql in [
        "SET standard_conforming_strings = off",
        "SET search_path = evil, public",
        "SET search_path TO ''",
        "SET client_encoding = 'SJIS'",
        "SET NAMES 'GBK'",
        "SET role = admin",
        "SET ROLE admin",
        "RESET ROLE",
        "SET SESSION AUTHORIZATION bob",
        "RESET SESSION AUTHORIZATION",
        "SET backslash_quote = on",
        "SET unheard.of = 1",
        "SELECT set_config('search_path', 'evil', false)",
        "RESET search_path",
        "SELECT set_config('ro' || 'le', 'admin', false)",
        "SELECT set_config($1, $2, false)",
        "SELECT set_config('standard_conforming_strings', 'off', false)",
        "SET session_replication_role = replica",
        "SET row_security = off",
        "SET default_tablespace = x",
        "SET SCHEMA 'evil'",
    ] {
        check(sql, Undecidable::PinnedSetting);
    }
}

#[test]
fn unknown_relations_and_columns() {
    for sql in [
        "SELECT 1 FROM nowhere",
        "SELECT nothing FROM users",
        "SELECT u.nothing FROM users u",
        "DELETE FROM nowhere",
        "SELECT users.ssn FROM users u",
        "SELECT 1 FROM elsewhere.public.users",
        "SELECT 1 FROM users ORDER BY nothing",
        "SELECT name FROM users, LATERAL (SELECT nothing) x",
        "SELECT id FROM (SELECT 1 AS x) s",
        "COPY users (nothing) TO STDOUT",
    ] {
        check(sql, Undecidable::UnknownRelation);
    }
}

#[test]
fn unknown_forms() {
    for sql in [
        "CREATE TEMP VIEW v AS SELECT 1",
        "SELECT 1 FROM pg_temp.t",
        "WITH RECURSIVE a AS (SELECT ssn FROM users), users AS (SELECT 1) SELECT 1 FROM a",
        "SELECT * FROM json_populate_record(null::guess, '{}')",
        "ALTER TABLE users RENAME TO x; SELECT name FROM users",
    ] {
        check(sql, Undecidable::UnknownForm);
    }
}

#[test]
fn bombs_pl19() {
    check(&format!("SELECT {}1{}", "(".repeat(100_000), ")".repeat(100_000)), Undecidable::TooLarge);
    check(&format!("SELECT {}1{}", "(".repeat(499), ")".repeat(499)).replace('1', "1+"), Undecidable::Unparseable);
    check(&format!("SELECT 1{}", "+1".repeat(30_000)), Undecidable::TooLarge);
    check(&format!("SELECT 1{}", ",1".repeat(60_000)), Undecidable::TooLarge);
    check(&format!("SELECT '{}'", "x".repeat(300_000)), Undecidable::TooLarge);
    let joins = |n: usize| {
        (1..n).fold("SELECT 1 FROM users t0".to_owned(), |sql, i| sql + &format!(" JOIN users t{i} ON t{i}.id = t0.id"))
    };
    assert!(!understood(&joins(30)).operations.is_empty());
    check(&joins(80), Undecidable::TooLarge);
    assert_eq!(understood(&format!("SELECT '{}'", "(".repeat(100_000))).operations.len(), 1);
    let wide = vec!["1"; 5_000].join(",");
    assert!(understood(&format!("SELECT id FROM users WHERE id IN ({wide})")).shareable);
}

#[test]
fn version_skew_pl04() {
    for sql in ["SELECT 0x1F", "SELECT 1_000", "SELECT\u{b}1"] {
        check(sql, Undecidable::Unparseable);
    }
    assert_eq!(understood("SELECT '0x1F 1_000', x'1F', users.id FROM users WHERE name = '1_0'").operations.len(), 3);
}

const WORDS: &[&str] = &[
    "SELECT",
    "FROM",
    "users",
    "guess",
    "ssn",
    "id",
    "name",
    "*",
    ",",
    "(",
    ")",
    "WHERE",
    "=",
    "1",
    "'x'",
    "JOIN",
    "ON",
    "WITH",
    "x",
    "AS",
    "UNION",
    "ALL",
    "INSERT",
    "INTO",
    "VALUES",
    "UPDATE",
    "SET",
    "DELETE",
    "RETURNING",
    "ORDER BY",
    "GROUP BY",
    "LIMIT",
    ";",
    "EXISTS",
    "IN",
    "NOT",
    "CASE",
    "WHEN",
    "THEN",
    "END",
    "::text",
    ".",
    "COPY",
    "TO",
    "STDOUT",
    "EXPLAIN",
    "count",
    "OVER",
    "LATERAL",
    "USING",
    "NATURAL",
    "RECURSIVE",
    "active_users",
    "CREATE",
    "TABLE",
    "DROP",
    "$1",
    "DISTINCT",
    "BETWEEN",
    "AND",
    "LIKE",
    "IS NULL",
    "FOR UPDATE",
    "ARRAY",
    "[",
    "]",
    "ROW",
    "DECLARE",
    "CURSOR",
    "MERGE",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_words_panic(words in prop::collection::vec(prop::sample::select(WORDS), 1..25)) {
        drop(analyse(&words.join(" ")));
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,80}") {
        drop(analyse(&text));
    }
}

/// Whether the analysis takes a text on 15 and on 18.
fn taken(sql: &str) -> [bool; 2] {
    let catalogues = super::super::catalogue::tests::captured();
    [0, 1].map(|place| super::super::analyse(sql, &catalogues[place], &super::upstream()).is_ok())
}

#[test]
fn what_an_older_server_reads_otherwise_is_refused_there_pl04() {
    for sql in [
        "SELECT 0x1F",
        "SELECT 1_000",
        "SELECT 1e1_0",
        "SELECT 1\u{b}",
        "SELECT E'\\'', 0x1F",
        "SELECT 1 --'\n, 0b1",
        "SELECT json_object('a' VALUE name) FROM people",
        "SELECT json_array(name) FROM people",
        "SELECT json_value(name::jsonb, '$') FROM people",
        "SELECT json_exists(name::jsonb, '$') FROM people",
        "SELECT json_scalar(name) FROM people",
        "SELECT json('{}')",
        "SELECT '{}' IS JSON",
        "SELECT * FROM json_table('[]'::jsonb, '$' COLUMNS (a int))",
        "SELECT system_user",
        "UPDATE people SET name = 'x' WHERE id = 1 RETURNING WITH (OLD AS o) o.name",
        "UPDATE people SET name = 'x' WHERE id = 1 RETURNING old.name",
        "MERGE INTO people p USING people q ON p.id = q.id WHEN MATCHED THEN DELETE RETURNING p.id",
    ] {
        assert_eq!(taken(sql), [false, true], "{sql}");
    }
    for sql in [
        "SELECT 1 AS x1, 'a 0x1F'",
        "SELECT 1.5e3, 1000",
        "SELECT 'a\u{b}b'",
        "SELECT json_build_object('a', name) FROM people",
        "UPDATE people SET name = 'x' WHERE id = 1 RETURNING people.name",
    ] {
        assert_eq!(taken(sql), [true, true], "{sql}");
    }
}

#[test]
fn constructors_of_json_are_made_of_their_arguments_mk02() {
    let catalogues = super::super::catalogue::tests::captured();
    for value in [
        "json_object('a' VALUE ssn)",
        "json_object(ssn: 1)",
        "json_array(1, ssn)",
        "json_array(SELECT ssn FROM people)",
        "json_arrayagg(ssn)",
        "json_objectagg('a' VALUE ssn)",
        "json_scalar(ssn)",
        "json_serialize(json_scalar(ssn))",
        "json(ssn)",
        "json_value(ssn::jsonb, '$')",
        "json_query(ssn::jsonb, '$')",
        "json_exists('1'::jsonb, '$' PASSING ssn AS x)",
        "json_value('1'::jsonb, '$' DEFAULT ssn ON EMPTY)",
        "ssn IS JSON",
        "xmlforest(ssn)",
        "xmlelement(name a, xmlattributes(ssn AS b))",
        "xmlconcat(xmlelement(name a, ssn))",
        "(people).ssn || ''",
        "(SELECT t.x FROM json_table(ssn::jsonb, '$' COLUMNS (x text PATH '$')) t)",
    ] {
        let sql = format!("SELECT {value} FROM people");
        let analysis = super::super::analyse(&sql, &catalogues[1], &super::upstream())
            .unwrap_or_else(|refused| panic!("{sql}: {refused:?}"));
        let Outputs::Columns(columns) = &analysis.statements[0].outputs else { panic!("{sql}") };
        let Flow::Derived(places) = &columns[0].flow else { panic!("{sql}: {:?}", columns[0].flow) };
        let named =
            |place: &usize| analysis.operations[*place].resource.path.last().is_some_and(|name| &**name == "ssn");
        assert!(places.iter().any(named), "{sql}");
    }
}
