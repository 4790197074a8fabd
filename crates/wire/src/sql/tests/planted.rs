//! Names that somebody planted, code that runs unasked, and labels that go down (hazards PL10, PL14, PL17, MK15), against
//! catalogues captured from PostgreSQL 15 and 18; each attack beside its twin.

use std::sync::LazyLock;

use super::super::catalogue::Catalogue;
use super::super::catalogue::tests::captured;
use super::{Analysis, Refused, flows_of, show, upstream};

static CATALOGUES: LazyLock<Vec<Catalogue>> = LazyLock::new(captured);

fn analyses(sql: &str) -> Vec<Result<Analysis, Refused>> {
    CATALOGUES.iter().map(|catalogue| super::super::analyse(sql, catalogue, &upstream())).collect()
}

fn understood(sql: &str) -> Vec<Analysis> {
    analyses(sql).into_iter().map(|result| result.unwrap_or_else(|refused| panic!("{sql}: {refused:?}"))).collect()
}

fn check(sql: &str, wanted: &[&str]) {
    for (analysis, major) in understood(sql).iter().zip([15, 18]) {
        assert_eq!(flows_of(analysis), wanted, "{sql} on {major}");
    }
}

fn calls(sql: &str) -> Vec<String> {
    let mut all: Vec<Vec<String>> = understood(sql)
        .iter()
        .map(|analysis| {
            analysis
                .operations
                .iter()
                .map(show)
                .filter_map(|line| line.strip_prefix("call ").map(str::to_owned))
                .collect()
        })
        .collect();
    let one = all.pop().unwrap();
    assert_eq!(all, std::slice::from_ref(&one), "{sql}: the versions differ");
    one
}

#[test]
fn children_and_generated_copies_are_their_sources_mk15() {
    check("SELECT ssn FROM people_1a", &["=people.ssn,people_1.ssn,people_1a.ssn"]);
    check("SELECT ssn FROM people_2", &["=people.ssn,people_2.ssn"]);
    check("SELECT ssn FROM people", &["=people.ssn"]);
    check("SELECT tag, secret FROM cats", &["=animals.tag,cats.tag", "=cats.secret"]);
    check("SELECT again FROM own_copy", &["~own_copy.ssn,own_copy.again"]);
    check("SELECT id FROM own_copy", &["=own_copy.id"]);
    check("SELECT again || id FROM own_copy", &["~own_copy.id,own_copy.ssn,own_copy.again"]);
    // The generated column calls the planted `upper`? It was resolved when it was defined: to the server's own.
    check("SELECT initials FROM people", &["~people.name,people.ssn,people.initials"]);
    check(
        "SELECT initials FROM people_2",
        &["~people.name,people.ssn,people.initials,people_2.name,people_2.ssn,people_2.initials"],
    );
    check("SELECT ssn FROM people_view", &["=people.ssn,people_2.ssn,people_view.ssn"]);
    check("SELECT kept FROM people_copy", &["=people.ssn,people_copy.kept"]);
    for analysis in understood("SELECT id FROM people_1a") {
        assert!(analysis.operations.iter().map(show).any(|line| line == "select public.people"));
    }
    for analysis in understood("DELETE FROM people_1a WHERE id = 1") {
        assert!(analysis.operations.iter().map(show).any(|line| line == "delete public.people"));
    }
}

#[test]
fn a_planted_function_wins_only_where_the_server_would_choose_it_pl14() {
    // `lower(varchar)` is planted: it wins for a varchar, and may for what has no type yet.
    check("SELECT lower(note) FROM people", &["?"]);
    assert_eq!(calls("SELECT lower(note) FROM people"), ["public.lower"]);
    // The server's own has exactly the column's type.
    check("SELECT lower(email) FROM people", &["~people.email"]);
    assert_eq!(calls("SELECT lower(email) FROM people"), [""; 0]);
    check("SELECT pg_catalog.lower(note) FROM people", &["~people.note"]);
    // `upper(text)` is planted with the very signature of the server's own, which stands before it.
    check("SELECT upper(email) FROM people", &["~people.email"]);
    check("SELECT upper(note) FROM people", &["~people.note"]);
    check("SELECT public.upper(email) FROM people", &["?"]);
    // Another number of arguments.
    check("SELECT concat(note, 'x') FROM people", &["~people.note"]);
    // Of an extension that only computes.
    check("SELECT max(id), min(name) FROM people", &["~people.id", "~people.name"]);
    check("SELECT max(mail) FROM people", &["~people.mail"]);
}

#[test]
fn a_planted_operator_makes_a_value_opaque_pl14() {
    check("SELECT note = 'x' FROM people", &["?"]);
    check("SELECT note = name FROM people", &["?"]);
    check("SELECT (note || '') = name FROM people", &["?"]);
    check("SELECT name = 'x' FROM people", &["~people.name"]);
    check("SELECT id = 3 FROM people", &["~people.id"]);
    check("SELECT name = email FROM people", &["~people.name,people.email"]);
    check("SELECT note <> 'x' FROM people", &["~people.note"]);
    check("SELECT note OPERATOR(pg_catalog.=) 'x' FROM people", &["~people.note"]);
    check("SELECT name <+> 3 FROM people", &["?"]);
    check("SELECT name OPERATOR(public.<+>) 3 FROM people", &["?"]);
    assert_eq!(calls("SELECT name <+> 3 FROM people"), ["public.spy_join"]);
    assert_eq!(calls("SELECT id FROM people WHERE note = 'x'"), ["public.spy_eq"]);
    assert_eq!(calls("SELECT id FROM people WHERE note IN ('x', 'y')"), ["public.spy_eq"]);
    assert_eq!(calls("SELECT id FROM people WHERE note IN (SELECT note FROM people)"), ["public.spy_eq"]);
    assert_eq!(calls("SELECT id FROM people WHERE name = 'x'"), [""; 0]);
    // citext has operators of its own for `=`, which compute.
    check("SELECT mail = 'x' FROM people", &["~people.mail"]);
}

#[test]
fn a_planted_cast_makes_a_value_opaque_pl14() {
    check("SELECT feeling::text FROM typed", &["?"]);
    assert_eq!(calls("SELECT feeling::text FROM typed"), ["public.spy_mood"]);
    // It happens on assignment too, so the column is of unknown origin wherever it goes.
    check("SELECT feeling FROM typed", &["?"]);
    check("SELECT id::text, brief::text FROM typed", &["~typed.id", "~typed.brief"]);
    check("SELECT mail::text FROM people", &["~people.mail"]);
}

#[test]
fn functions_in_sql_are_looked_into_pl10() {
    check("SELECT ssn_of(1)", &["~people.ssn"]);
    check("SELECT ssn_of(t.id) FROM typed t", &["~people.ssn,typed.id"]);
    check("SELECT shout(email) FROM people", &["~people.email"]);
    check("SELECT standard_body(1)", &["~people.ssn"]);
    check("SELECT atomic_body(1)", &["~people.email"]);
    check("SELECT through(1)", &["~people.ssn"]);
    check("SELECT who, contact FROM born_after('2000-01-01')", &["~people.name", "~people.email"]);
    check("SELECT * FROM everyone()", &["~animals.id", "~animals.tag"]);
    check("SELECT e.tag FROM everyone() AS e (n, tag)", &["~animals.tag"]);
    check("SELECT x FROM ssn_of(1) AS x", &["~people.ssn"]);
    // What the body looks at is an inference: the caller chooses the arguments.
    for analysis in understood("SELECT ssn_of(1)") {
        let lines: Vec<String> = analysis.operations.iter().map(show).collect();
        assert!(lines.contains(&"infer public.people.id equality".to_owned()), "{lines:?}");
        assert!(lines.contains(&"select public.people".to_owned()));
        assert!(lines.contains(&"call public.ssn_of".to_owned()));
    }
    for opaque in ["with_path(1)", "changing(1)", "forever(1)", "opaque(1)"] {
        check(&format!("SELECT {opaque}"), &["?"]);
    }
}

#[test]
fn what_a_write_sets_off_is_called_pl17() {
    assert_eq!(calls("INSERT INTO watched (id) VALUES (1)"), ["public.on_watched", "public.opaque"]);
    assert_eq!(calls("COPY watched FROM STDIN"), ["public.on_watched", "public.opaque"]);
    assert_eq!(calls("DELETE FROM watched WHERE id = 1"), [""; 0]);
    assert_eq!(calls("INSERT INTO quiet (id) VALUES (1)"), [""; 0]);
    assert_eq!(calls("INSERT INTO checked VALUES (1, 'x')"), ["public.opaque"]);
    check("INSERT INTO watched (id) VALUES (1) RETURNING what", &["?"]);
    check("INSERT INTO quiet (id) VALUES (1) RETURNING id", &["=quiet.id"]);
    assert!(analyses("INSERT INTO ruled VALUES (1)").iter().all(Result::is_err));
    assert!(analyses("DELETE FROM ruled WHERE id = 1").iter().all(Result::is_ok));
}
