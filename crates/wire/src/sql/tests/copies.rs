//! What is stored where, and the temporary tables of a session (hazards MK08).

use kernel::verdict::Undecidable;

use super::super::catalogue::{Made, Temporary};
use super::{Analysis, CATALOGUE, Refused, flows_of, show, understood, upstream};

/// Each stored value: `schema.table.column <- table.column,…`, with `=` where it is the very value.
fn stored(analysis: &Analysis) -> Vec<String> {
    let name = |place: &usize| analysis.operations[*place].resource.path[2..].join(".");
    let of = analysis.statements.iter().flat_map(|statement| &statement.stored);
    of.map(|stored| {
        let from = stored.from.iter().map(name).collect::<Vec<_>>().join(",");
        format!("{} <-{} {from}", stored.into.join("."), if stored.bare { "=" } else { "" })
    })
    .collect()
}

#[test]
fn stored_values_are_told_with_their_targets_mk08() {
    for (sql, expect) in [
        ("INSERT INTO guess VALUES (1, 'x')", &[][..]),
        ("INSERT INTO guess (name, id) SELECT ssn, 1 FROM users", &["public.guess.name <-= users.ssn"]),
        (
            "INSERT INTO guess SELECT id, upper(ssn) FROM users",
            &["public.guess.id <-= users.id", "public.guess.ssn <- users.ssn"],
        ),
        (
            "UPDATE guess SET name = u.ssn || u.name FROM users u WHERE u.id = guess.id",
            &["public.guess.name <- users.name,users.ssn"],
        ),
        ("UPDATE users SET name = upper(name) WHERE id = 1", &[]),
        ("UPDATE users SET name = ssn WHERE id = 1", &["public.users.name <-= users.ssn"]),
        (
            "INSERT INTO users SELECT * FROM users ON CONFLICT (id) DO UPDATE SET name = excluded.ssn",
            &["public.users.name <- users.ssn"],
        ),
        ("INSERT INTO guess VALUES (1, 'x', 'y') ON CONFLICT (id) DO UPDATE SET name = excluded.ssn", &[]),
        (
            "MERGE INTO guess g USING users u ON g.id = u.id WHEN NOT MATCHED THEN INSERT (id, name) VALUES (u.id, u.ssn)",
            &["public.guess.id <-= users.id", "public.guess.name <-= users.ssn"],
        ),
        (
            "UPDATE guess SET (name, ssn) = (SELECT u.ssn, u.name FROM users u WHERE u.id = guess.id) WHERE id = 1",
            &["public.guess.name <-= users.ssn", "public.guess.ssn <-= users.name"],
        ),
        (
            "UPDATE guess SET (name, id) = ROW (u.ssn, 1) FROM users u WHERE u.id = guess.id",
            &["public.guess.name <- users.ssn"],
        ),
        ("CREATE TABLE kept (a, b) AS SELECT ssn, 1 FROM users", &["public.kept.a <-= users.ssn"]),
        ("SELECT ssn AS a INTO kept FROM users", &["public.kept.a <-= users.ssn"]),
        ("ALTER TABLE users RENAME COLUMN ssn TO harmless", &["public.users.harmless <-= users.ssn"]),
        (
            "ALTER TABLE guess RENAME TO clue",
            &["public.clue.id <-= guess.id", "public.clue.ssn <-= guess.ssn", "public.clue.name <-= guess.name"],
        ),
        ("ALTER TABLE users ALTER COLUMN name TYPE text USING ssn", &["public.users.name <-= users.ssn"]),
    ] {
        assert_eq!(stored(&understood(sql)), expect, "{sql}");
    }
}

/// A session with a table of columns `a` (a text of `users.ssn`) and `b`.
fn session() -> Temporary {
    let mut temporary = Temporary::default();
    assert!(temporary.make(&Made { name: "mine".into(), columns: vec![("a".into(), 25), ("b".into(), 23)] }));
    temporary.fill("mine", "a", &[["public".into(), "users".into(), "ssn".into()]], true);
    temporary
}

fn analysed(sql: &str, temporary: &Temporary) -> Result<Analysis, Refused> {
    super::super::analyse(sql, &CATALOGUE.with_temporary(temporary), &upstream())
}

#[test]
fn temporary_tables_are_what_they_were_filled_from_mk08() {
    let temporary = session();
    for (sql, flows) in [
        ("SELECT a, b FROM mine", &["=users.ssn,mine.a", "=mine.b"][..]),
        ("SELECT * FROM pg_temp.mine", &["=users.ssn,mine.a", "=mine.b"]),
        ("SELECT upper(a) FROM mine", &["~users.ssn,mine.a"]),
        ("WITH x AS (SELECT a FROM mine) SELECT x.a FROM x", &["=users.ssn,mine.a"]),
        ("UPDATE mine SET b = 1 WHERE b = 2 RETURNING a", &["=users.ssn,mine.a"]),
    ] {
        let analysis = analysed(sql, &temporary).unwrap_or_else(|refused| panic!("{sql}: {refused:?}"));
        assert_eq!(flows_of(&analysis), flows, "{sql}");
    }
    let infers = analysed("SELECT b FROM mine WHERE a > 'x'", &temporary).unwrap();
    let lines: Vec<String> = infers.operations.iter().map(show).collect();
    assert!(lines.contains(&"infer public.users.ssn range".to_owned()), "{lines:?}");
    assert!(lines.contains(&"select pg_temp.mine".to_owned()), "{lines:?}");
    let copied = analysed("INSERT INTO mine SELECT name, id FROM users", &temporary).unwrap();
    assert_eq!(stored(&copied), ["pg_temp.mine.a <-= users.name", "pg_temp.mine.b <-= users.id"]);
    let onward = analysed("INSERT INTO guess (name) SELECT a FROM mine", &temporary).unwrap();
    assert_eq!(stored(&onward), ["public.guess.name <-= users.ssn,mine.a"]);
    // A view's definition and a function's body mean other tables, and other sessions know nothing of it.
    assert_eq!(
        super::super::analyse("SELECT a FROM mine", &CATALOGUE, &upstream()).unwrap_err().why,
        Undecidable::UnknownRelation
    );
}

#[test]
fn temporary_tables_are_made_dropped_and_never_hide_others() {
    let none = Temporary::default();
    for (sql, columns) in [
        ("CREATE TEMP TABLE t (id int, note text)", vec![("id", 23), ("note", 25)]),
        ("CREATE TEMP TABLE t AS SELECT name, 1 AS one FROM users", vec![("name", 25), ("one", 0)]),
        ("SELECT ssn INTO TEMP t FROM users", vec![("ssn", 25)]),
        ("CREATE TABLE pg_temp.t (id int)", vec![("id", 23)]),
    ] {
        let analysis = analysed(sql, &none).unwrap_or_else(|refused| panic!("{sql}: {refused:?}"));
        let made = analysis.statements[0].made.clone().unwrap();
        assert_eq!(
            made.columns.iter().map(|(name, _)| &**name).collect::<Vec<_>>(),
            columns.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            "{sql}"
        );
        assert_eq!(analysis.operations.first().map(show).as_deref(), Some("create pg_temp.t"), "{sql}");
        assert!(!analysis.statements[0].changes_catalogue);
    }
    let temporary = session();
    let dropped = analysed("DROP TABLE mine", &temporary).unwrap();
    assert_eq!(
        (&*dropped.statements[0].unmade[0], show(&dropped.operations[0])),
        ("mine", "drop pg_temp.mine".to_owned())
    );
    for sql in [
        "CREATE TEMP TABLE users (id int)",
        "CREATE TEMP TABLE pg_class (id int)",
        "CREATE DOMAIN pg_temp.text AS int",
        "CREATE TYPE pg_temp.mood AS ENUM ('x')",
        "CREATE TEMP TABLE t (LIKE users)",
        "CREATE TEMP TABLE t () INHERITS (users)",
        "CREATE TEMP VIEW v AS SELECT 1",
        "CREATE VIEW pg_temp.v AS SELECT 1",
        "CREATE TEMP SEQUENCE s",
        "ALTER TABLE mine RENAME TO users",
        "ALTER TABLE mine ADD c int",
        "ALTER TABLE mine SET SCHEMA public",
    ] {
        assert_eq!(analysed(sql, &temporary).unwrap_err().why, Undecidable::UnknownForm, "{sql}");
    }
}

#[test]
fn what_was_in_a_temporary_table_is_not_forgotten_with_it() {
    let mut temporary = session();
    temporary.unmake("mine");
    assert!(temporary.is_empty());
    assert!(analysed("SELECT a FROM mine", &temporary).is_err());
    // The drop may have been undone: then the server still has the first.
    assert!(temporary.make(&Made { name: "mine".into(), columns: vec![("b".into(), 23)] }));
    assert_eq!(flows_of(&analysed("SELECT b FROM mine", &temporary).unwrap()), ["~users.ssn,mine.b"]);
    let version = temporary.version();
    temporary.fill("mine", "b", &[["public".into(), "users".into(), "gone".into()]], true);
    assert!(temporary.version() > version);
    assert_eq!(flows_of(&analysed("SELECT b FROM mine", &temporary).unwrap()), ["?"]);
    for n in 0..100 {
        temporary.fill("mine", "b", &[["public".into(), "users".into(), format!("c{n}").into()]], false);
    }
    assert_eq!(flows_of(&analysed("SELECT b FROM mine", &temporary).unwrap()), ["?"]);
    temporary.clear();
    assert!(temporary.is_empty());
    let full = (0..300).all(|n| temporary.make(&Made { name: format!("t{n}").into(), columns: Vec::new() }));
    assert!(!full);
}
