//! What decides which rows exist, apart from what flows into values (hazards MK09): each row an attack on `users.ssn` with
//! the way in which it asks, and a twin that asks another column alike.

use kernel::operation::Action;

use super::{flows, operations, understood};

/// How `users.ssn` is asked about.
fn ways(sql: &str) -> Vec<String> {
    let own = operations(sql).into_iter();
    own.filter_map(|line| line.strip_prefix("infer public.users.ssn ").map(str::to_owned)).collect()
}

/// Name, statement, ways in which it asks about `users.ssn`, and its twin.
type Row = (&'static str, &'static str, &'static [&'static str], &'static str);

const ROWS: &[Row] = &[
    ("constant", "SELECT 1 FROM users WHERE ssn = 'a'", &["equality"], "SELECT 1 FROM users WHERE name = 'a'"),
    ("parameter", "SELECT 1 FROM users WHERE ssn = $1", &["equality"], "SELECT 1 FROM users WHERE name = $1"),
    (
        "computed",
        "SELECT 1 FROM users WHERE ssn = upper($1 || 'x')",
        &["equality"],
        "SELECT 1 FROM users WHERE name = $1",
    ),
    (
        "two guesses",
        "SELECT 1 FROM users WHERE ssn = 'a' OR ssn = 'b'",
        &["equality", "range"],
        "SELECT 1 FROM users WHERE name = 'a' OR name = 'b'",
    ),
    (
        "guesses united",
        "SELECT 1 FROM users WHERE ssn = 'a' UNION ALL SELECT 2 FROM users WHERE ssn = 'b'",
        &["equality", "range"],
        "SELECT 1 FROM users WHERE name = 'a'",
    ),
    (
        "a guess a row",
        "SELECT g FROM users, generate_series(1, 9) g WHERE ssn = g::text",
        &["range"],
        "SELECT g FROM users, generate_series(1, 9) g WHERE id = g",
    ),
    (
        "guess values",
        "SELECT v FROM users, (VALUES ('a'), ('b')) g (v) WHERE ssn = v",
        &["range"],
        "SELECT v FROM users, (VALUES ('a')) g (v) WHERE name = v",
    ),
    (
        "random",
        "SELECT 1 FROM users WHERE ssn = random()::text",
        &["range"],
        "SELECT 1 FROM users WHERE name = random()::text",
    ),
    ("list", "SELECT 1 FROM users WHERE ssn IN ('a', 'b')", &["range"], "SELECT 1 FROM users WHERE name IN ('a', 'b')"),
    ("distinct", "SELECT DISTINCT ssn FROM users", &["distinct"], "SELECT DISTINCT name FROM users"),
    ("distinct on", "SELECT DISTINCT ON (ssn) id FROM users", &["distinct"], "SELECT DISTINCT ON (name) id FROM users"),
    (
        "union",
        "SELECT count(*) FROM (SELECT ssn FROM users UNION SELECT 'a') s",
        &["distinct"],
        "SELECT ssn FROM users UNION ALL SELECT 'a'",
    ),
    (
        "set of rows",
        "SELECT generate_series(1, ascii(ssn)) FROM users",
        &["expression"],
        "SELECT generate_series(1, id), ascii(ssn) FROM users",
    ),
    (
        "rows in FROM",
        "SELECT 1 FROM users u, generate_series(1, ascii(u.ssn)) g",
        &["expression"],
        "SELECT g FROM users u, unnest(ARRAY[u.ssn]) g",
    ),
    (
        "xmltable",
        "SELECT 1 FROM users, xmltable('/a' PASSING (ssn::xml) COLUMNS b text)",
        &["expression"],
        "SELECT 1 FROM users, xmltable('/a' PASSING (name::xml) COLUMNS b text)",
    ),
    (
        "conflict",
        "INSERT INTO users (id, ssn) VALUES (1, 'a') ON CONFLICT (ssn) DO NOTHING",
        &["equality"],
        "INSERT INTO users (id, ssn) VALUES (1, 'a') ON CONFLICT (id) DO NOTHING",
    ),
    (
        "conflicts",
        "INSERT INTO users (id, ssn) VALUES (1, 'a'), (2, 'b') ON CONFLICT (ssn) DO NOTHING",
        &["join"],
        "INSERT INTO users (id, ssn) VALUES (1, 'a'), (2, 'b')",
    ),
    (
        "true of it",
        "SELECT 1 FROM users WHERE (ssn > 'a') IS TRUE",
        &["range"],
        "SELECT 1 FROM users WHERE (name > 'a') IS TRUE",
    ),
    (
        "coalesce",
        "SELECT 1 FROM users WHERE coalesce(ssn LIKE 'a%', false)",
        &["pattern"],
        "SELECT 1 FROM users WHERE coalesce(name LIKE 'a%', false)",
    ),
];

#[test]
fn each_way_is_told_and_its_twin_says_nothing_mk09() {
    for (id, sql, expect, twin) in ROWS {
        assert_eq!(&ways(sql), expect, "{id}: {sql}");
        assert_eq!(ways(twin), [""; 0], "twin of {id}: {twin}");
    }
}

#[test]
fn samples_count_as_every_column_mk05() {
    let asked = operations("SELECT 1 FROM pg_stats WHERE most_common_vals::text LIKE '%a%'");
    assert!(asked.contains(&"infer public.users.ssn pattern".to_owned()), "{asked:?}");
    let read = operations("SELECT most_common_vals FROM pg_stats");
    assert!(read.contains(&"select public.users.ssn".to_owned()));
    assert_eq!(flows("SELECT most_common_vals FROM pg_stats"), ["?"]);
    assert_eq!(operations("SELECT relname FROM pg_class"), ["select pg_catalog.pg_class"]);
}

/// The columns whose value is stored under another label.
fn copied(sql: &str) -> Vec<String> {
    let analysis = understood(sql);
    let places = &analysis.statements.last().unwrap().copied;
    places.iter().map(|place| analysis.operations[*place].resource.path[2..].join(".")).collect()
}

#[test]
fn a_copy_is_what_leaves_its_label_mk08() {
    for (sql, expect) in [
        ("INSERT INTO guess (ssn) SELECT ssn FROM users", &["users.ssn"][..]),
        ("INSERT INTO users (id, ssn) SELECT id + 1, ssn FROM users", &[]),
        ("INSERT INTO guess SELECT * FROM guess", &[]),
        ("INSERT INTO users (id, name) SELECT id, ssn FROM users", &["users.ssn"]),
        ("INSERT INTO guess (name, ssn) SELECT ssn, name FROM guess", &["guess.ssn", "guess.name"]),
        ("UPDATE users SET ssn = ssn || 'x'", &[]),
        ("UPDATE users SET note = ssn", &["users.ssn"]),
        ("UPDATE users SET (note, name) = (SELECT ssn, 'x' FROM guess)", &["guess.ssn"]),
        ("CREATE TABLE t AS SELECT ssn FROM users", &["users.ssn"]),
        ("SELECT ssn INTO t FROM users", &["users.ssn"]),
        ("ALTER TABLE users RENAME ssn TO free", &["users.ssn"]),
        ("ALTER TABLE guess SET SCHEMA app", &["guess.id", "guess.ssn", "guess.name"]),
        ("ALTER TABLE users ALTER note TYPE text USING ssn", &["users.ssn"]),
        ("ALTER TABLE users ALTER ssn TYPE varchar USING ssn::varchar", &[]),
    ] {
        assert_eq!(copied(sql), expect, "{sql}");
    }
}

#[test]
fn a_refusal_knows_its_place_also_for_shared_texts() {
    let sql = "SELECT 'äöü', name FROM users WHERE ssn > 'a' ORDER BY id";
    let analysis = understood(sql);
    let infer = analysis.operations.iter().find(|operation| {
        operation.action == Action::SqlInfer && operation.resource.path.last().is_some_and(|name| &**name == "ssn")
    });
    let place = super::super::locate(sql, &super::CATALOGUE, &super::upstream(), infer.unwrap()).unwrap();
    assert_eq!(sql.chars().skip(place as usize).take(3).collect::<String>(), "ssn");
    let call = understood("SELECT id, risky(name) FROM users");
    let call_of = call.operations.iter().find(|operation| operation.action == Action::SqlCall).unwrap();
    assert_eq!(
        super::super::locate("SELECT id, risky(name) FROM users", &super::CATALOGUE, &super::upstream(), call_of),
        Some(11)
    );
}

#[test]
fn an_error_is_a_channel_mk09() {
    for (sql, twin) in [
        (
            "SELECT 1 / (CASE WHEN ssn LIKE '1%' THEN 1 ELSE 0 END) FROM users",
            "SELECT CASE WHEN ssn LIKE '1%' THEN 1 ELSE 0 END FROM users",
        ),
        (
            "SELECT (CASE WHEN ssn > '5' THEN 'x' ELSE '1' END)::int FROM users",
            "SELECT (CASE WHEN name > '5' THEN 'x' ELSE '1' END)::int FROM users",
        ),
        (
            "SELECT CASE WHEN ssn > '5' THEN 1 / (id - id) END FROM users",
            "SELECT CASE WHEN ssn > '5' THEN id END FROM users",
        ),
        (
            "SELECT chr(CASE WHEN ssn = 'a' THEN 0 ELSE 65 END) FROM users",
            "SELECT upper(CASE WHEN ssn = 'a' THEN 'b' ELSE 'c' END) FROM users",
        ),
        ("SELECT substr('ab', (ssn > 'a')::int, 1)::int FROM users", "SELECT substr(ssn, 1, 2) FROM users"),
        ("SELECT id % ascii(ssn) FROM users", "SELECT ssn::int FROM users"),
        ("SELECT 1 / count(ssn) FROM users", "SELECT count(ssn)::int FROM users"),
    ] {
        assert!(ways(sql).contains(&"expression".to_owned()), "{sql}: {:?}", ways(sql));
        assert_eq!(ways(twin), [""; 0], "{twin}");
    }
}
