//! The template memory, and its lexer held against PostgreSQL's scanner.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::lexer;
use super::super::template::Templates;
use super::{CATALOGUE, catalogue_at, upstream};

fn key(sql: &str) -> Option<Vec<u8>> {
    let mut key = Vec::new();
    lexer::key(sql.as_bytes(), &mut key).then_some(key)
}

#[test]
fn keys_leave_constants_out() {
    for (a, b) in [
        ("SELECT 1", "select 2"),
        ("SELECT name FROM users WHERE id = 5", "SELECT name\n\tFROM Users  WHERE id=67"),
        ("SELECT 'a''b' ", "SELECT 'c'"),
        ("SELECT 1.5", "SELECT 2"),
        ("INSERT INTO t VALUES (1,'a')", "INSERT INTO t VALUES ( 2 , '' )"),
    ] {
        assert!(key(a).is_some() && key(a) == key(b), "{a} / {b}");
    }
    for (a, b) in [
        ("SELECT 1", "SELECT '1'"),
        ("SELECT a b", "SELECT ab"),
        ("SELECT a FROM b", "SELECT a, b"),
        ("SELECT $1", "SELECT $2"),
        ("SELECT a LIMIT 1", "SELECT a LIMIT 2"),
        ("SELECT a FETCH FIRST 1 ROWS ONLY", "SELECT a FETCH FIRST 2 ROWS ONLY"),
        ("SELECT a < b", "SELECT a <= b"),
        ("SELECT a - b", "SELECT a + b"),
        ("SELECT a IN (1)", "SELECT a IN (1, 2)"),
    ] {
        assert!(key(a).is_some() && key(b).is_some() && key(a) != key(b), "{a} / {b}");
    }
}

#[test]
fn the_odd_is_left_to_the_full_look() {
    for sql in [
        "SELECT 1 -- x",
        "SELECT /* x */ 1",
        "SELECT \"a\"",
        "SELECT 'a\\'",
        "SELECT E'a'",
        "SELECT U&'a'",
        "SELECT B'1'",
        "SELECT x'1'",
        "SELECT N'a'",
        "SELECT $$a$$",
        "SELECT $a$b$a$",
        "SELECT 'a'\n'b'",
        "SELECT 1e5",
        "SELECT 1_000",
        "SELECT 0x1",
        "SELECT 1a",
        "SELECT .5",
        "SELECT 1.",
        "SELECT a$b",
        "SELECT é",
        "SELECT u&\"a\"",
        "SELECT 'a",
        "SELECT a:=1",
        "SELECT 1 +- 2",
        "SELECT $1a",
        "SELECT a\u{b}b",
        "SELECT 1 !=-1",
        "SELECT 1\0",
        "SELECT 1..2",
    ] {
        assert_eq!(key(sql), None, "{sql}");
    }
}

/// What the scanner says, in the lexer's own form. `None` if it fails.
fn scanned(sql: &str) -> Option<Vec<(String, &'static str)>> {
    let tokens = pg_query::scan(sql).ok()?.tokens;
    let kind = |token: &pg_query::protobuf::ScanToken| match token.token() {
        pg_query::protobuf::Token::Iconst | pg_query::protobuf::Token::Fconst => "number",
        pg_query::protobuf::Token::Sconst => "string",
        pg_query::protobuf::Token::SqlComment | pg_query::protobuf::Token::CComment => "comment",
        pg_query::protobuf::Token::Usconst | pg_query::protobuf::Token::Bconst | pg_query::protobuf::Token::Xconst => {
            "odd"
        }
        _ => "word",
    };
    Some(
        tokens
            .iter()
            .map(|token| {
                (
                    sql.get(token.start as usize..token.end as usize).unwrap_or_default().to_ascii_lowercase(),
                    kind(token),
                )
            })
            .collect(),
    )
}

/// The scanner's tokens as a key.
fn scanned_key(sql: &str) -> Option<Vec<u8>> {
    let mut key = Vec::new();
    let mut before = String::new();
    for (text, kind) in scanned(sql)? {
        match kind {
            "number" if matches!(before.as_str(), "limit" | "first" | "next") => key.extend_from_slice(text.as_bytes()),
            "number" => key.push(1),
            "string" => key.push(2),
            "word" => key.extend_from_slice(text.as_bytes()),
            _ => return None,
        }
        key.push(3);
        before = text;
    }
    Some(key)
}

const PIECES: &[&str] = &[
    "select", "FROM", "t", "Users", "limit", "first", " ", "  ", "\n", "\t", "\r", "1", "23", "1.5", "0", "'a'",
    "'it''s'", "''", "$1", "$23", "(", ")", ",", ";", ".", "::", "=", "<", ">", "<=", ">=", "<>", "!=", "+", "-", "*",
    "/", "%", "||", "->", "->>", "#>", "@>", "&&", "~", "?", "^", "--", "/*", "*/", "\"", "\\", "$", "$$", "$a$", "e",
    "E", "u&", "U&", "n", "x", "b", "_", "é", "1e5", "0x1", "1_0", ":", ":=", "[", "]", "'", "@", "!", "#", "|", "&",
    "`", "\u{b}", "\u{c}", "\u{a0}", "..", "e5", "null",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// Whatever the lexer takes, the scanner reads in the same tokens.
    #[test]
    fn equal_to_the_scanner(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..12)) {
        let sql = pieces.concat();
        if let Some(key) = key(&sql) {
            prop_assert_eq!(Some(key), scanned_key(&sql), "{:?}", sql);
        }
    }

    #[test]
    fn equal_to_the_scanner_on_any_text(sql in "[a-cE1-3 '$.,;()=<>+*/%|&~!@#?^:\\\\\"\\-\n\u{b}éU]{0,14}") {
        if let Some(key) = key(&sql) {
            prop_assert_eq!(Some(key), scanned_key(&sql), "{:?}", sql);
        }
    }
}

fn shared(a: &str, b: &str) -> bool {
    let templates = Templates::new();
    let look = |sql: &str| {
        templates.analyse(sql, &CATALOGUE, &upstream()).unwrap_or_else(|refused| panic!("{sql}: {refused:?}"))
    };
    let (first, second) = (look(a), look(b));
    // Shared or not, it is what a full look says.
    for (sql, found) in [(a, &first), (b, &second)] {
        let full = super::understood(sql);
        assert_eq!(found.shape, full.shape, "{sql}");
        assert!(found.template.eq_ignore_ascii_case(&full.template), "{sql}");
        assert!(Arc::ptr_eq(found, &look(sql)), "{sql} is remembered");
    }
    Arc::ptr_eq(&first, &second)
}

#[test]
fn texts_that_differ_in_inert_constants_share_their_analysis() {
    for (a, b) in [
        ("SELECT name FROM users WHERE id = 5", "SELECT name FROM users WHERE id = 6"),
        ("UPDATE users SET name = 'a' WHERE id = 1", "UPDATE users SET name = 'b' WHERE id = 2"),
        ("INSERT INTO guess VALUES (1, 'a', 'b')", "INSERT INTO guess VALUES (2, 'c', 'd')"),
        ("SELECT name FROM users WHERE id = 5 LIMIT 1", "SELECT name FROM users WHERE id = 6 LIMIT 1"),
        ("SELECT name FROM users WHERE id IN (1, 2)", "SELECT name FROM users WHERE id IN (3, 4)"),
        ("BEGIN", "begin"),
    ] {
        assert!(shared(a, b), "{a} / {b}");
    }
}

#[test]
fn texts_whose_constants_decide_do_not() {
    for (a, b) in [
        ("SELECT name, id FROM users ORDER BY 1", "SELECT name, id FROM users ORDER BY 2"),
        ("SELECT name, id FROM users GROUP BY 1, 2", "SELECT name, id FROM users GROUP BY 2, 1"),
        ("DELETE FROM users WHERE 1 = 2", "DELETE FROM users WHERE 1 = 1"),
        ("DELETE FROM users WHERE id = 5 OR 1 = 2", "DELETE FROM users WHERE id = 5 OR 1 = 1"),
        ("DELETE FROM users WHERE id = 5 OR id <> 6", "DELETE FROM users WHERE id = 5 OR id <> 5"),
        ("DELETE FROM users WHERE id + 1 = id + 2", "DELETE FROM users WHERE id + 1 = id + 1"),
        ("DELETE FROM users WHERE name LIKE 'a'", "DELETE FROM users WHERE name LIKE '%'"),
        ("SELECT name FROM users LIMIT 5", "SELECT name FROM users LIMIT 6"),
        ("SELECT name FROM users LIMIT (5)", "SELECT name FROM users LIMIT (6)"),
        ("SET statement_timeout = 1", "SET statement_timeout = 2"),
        ("SELECT set_config('application_name', 'a', false)", "SELECT set_config('work_mem', 'a', false)"),
        ("EXPLAIN (ANALYZE 0) DELETE FROM guess", "EXPLAIN (ANALYZE 1) DELETE FROM guess"),
    ] {
        assert!(!shared(a, b), "{a} / {b}");
    }
}

#[test]
fn nothing_outlives_its_epoch_or_upstream() {
    let templates = Templates::new();
    let sql = "SELECT name FROM users WHERE id = 5";
    let first = templates.analyse(sql, &CATALOGUE, &upstream()).unwrap();
    let later = templates.analyse(sql, &catalogue_at(2), &upstream()).unwrap();
    let other = templates.analyse(sql, &CATALOGUE, &"other".parse().unwrap()).unwrap();
    assert!(!Arc::ptr_eq(&first, &later) && !Arc::ptr_eq(&first, &other));
    assert_eq!(other.operations[0].resource.upstream.as_str(), "other");
}

#[test]
fn the_memory_is_bounded() {
    let templates = Templates::new();
    for number in 0..2_000 {
        let sql = format!("SELECT name FROM users LIMIT {number}");
        assert_eq!(templates.analyse(&sql, &CATALOGUE, &upstream()).unwrap().operations[0].facts.limit, Some(number));
    }
}
