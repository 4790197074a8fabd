//! Hazards §1 and §3 as far as analysis alone can show them; each attack beside its twin.

use kernel::operation::Action;

use super::{analyse, flows, operations, understood};

fn statements(sql: &str) -> usize {
    understood(sql).statements.len()
}

fn actions(sql: &str) -> Vec<Action> {
    understood(sql).operations.iter().map(|operation| operation.action).collect()
}

#[test]
fn comments_pl01() {
    assert_eq!(statements("SELECT 1 --\r; DELETE FROM users"), 2);
    assert_eq!(statements("SELECT 1 -- ; DELETE FROM users"), 1);
    assert_eq!(statements("SELECT /* /* */ ; DELETE FROM users */ 1"), 1);
    assert_eq!(operations("DELETE/**/FROM/**/users/* where */"), ["delete public.users"]);
    assert_eq!(understood("DELETE FROM users /* where id = 1 */").operations[0].facts.bounded, Some(false));
    assert_eq!(understood("DELETE FROM users /* x */ where id = 1").operations[0].facts.bounded, Some(true));
}

#[test]
fn string_and_name_forms_pl02() {
    let plain = operations("SELECT name FROM users WHERE ssn = 'a'");
    for sql in [
        "SELECT name FROM users WHERE ssn = E'a'",
        "SELECT name FROM users WHERE ssn = E'\\x61\\''",
        "SELECT name FROM users WHERE ssn = U&'\\0061'",
        "SELECT name FROM users WHERE ssn = U&'!0061' UESCAPE '!'",
        "SELECT name FROM users WHERE ssn = $a$a$b$ $a$",
        "SELECT name FROM users WHERE ssn = 'a'\n'b'",
        "SELECT U&\"n\\0061me\" FROM \"users\" WHERE SSN = 'a'",
        "SELECT public.users.name FROM public.users WHERE \"ssn\" = 'a'",
    ] {
        assert_eq!(operations(sql), plain, "{sql}");
    }
    let long = "x".repeat(63);
    let wanted = format!("drop public.{long}");
    assert_eq!(operations(&format!("DROP TABLE {long}, {long}yyy")), [wanted.clone(), wanted]);
}

#[test]
fn dollars_in_names_pl03() {
    assert_eq!(statements("SELECT 1 AS a$$; DELETE FROM users; SELECT 1 AS b$$"), 3);
    assert_eq!(statements("SELECT $$; DELETE FROM users; SELECT $$"), 1);
}

#[test]
fn nul_and_tail_pl07() {
    assert!(analyse("SELECT 1\0DELETE FROM users").is_err());
    assert!(analyse("SELECT 1").is_ok());
}

#[test]
fn stacked_statements_pl08() {
    let analysis = understood("COMMIT; DROP TABLE users");
    assert_eq!(
        analysis.operations.iter().map(|operation| operation.action).collect::<Vec<_>>(),
        [Action::SqlEnd, Action::SqlDrop]
    );
    assert!(analysis.operations.iter().all(|operation| operation.facts.statements == 2));
    assert_eq!(analysis.statements[1].operations, 1..2);
}

#[test]
fn effects_inside_reads_pl09() {
    for sql in [
        "WITH x AS (DELETE FROM guess RETURNING id) SELECT * FROM x",
        "WITH x AS (DELETE FROM guess) SELECT 1",
        "EXPLAIN ANALYZE DELETE FROM guess",
        "COPY (DELETE FROM guess RETURNING id) TO STDOUT",
        "MERGE INTO guess USING users u ON guess.id = u.id WHEN MATCHED THEN DELETE",
        "PREPARE p AS DELETE FROM guess",
        "SELECT 1; WITH a AS (WITH b AS (SELECT 1) SELECT * FROM b), x AS (DELETE FROM guess) SELECT * FROM a",
    ] {
        assert!(actions(sql).contains(&Action::SqlDelete), "{sql}");
    }
    for sql in ["SELECT id INTO y FROM users", "CREATE TABLE y AS SELECT id FROM users"] {
        assert!(actions(sql).contains(&Action::SqlCreate), "{sql}");
    }
    assert_eq!(
        operations("WITH x AS (SELECT id FROM guess) SELECT * FROM x"),
        ["select public.guess", "select public.guess.id"]
    );
}

#[test]
fn functions_that_do_more_pl10_pl11() {
    for sql in [
        "SELECT query_to_xml('SELECT ssn FROM users', true, false, '')",
        "SELECT table_to_xml('users', true, false, '')",
        "SELECT schema_to_xml('public', true, false, '')",
        "SELECT database_to_xml(true, false, '')",
        "SELECT cursor_to_xml('c', 1, true, false, '')",
        "SELECT ts_stat('SELECT ssn FROM users')",
        "SELECT * FROM ts_stat('SELECT 1') AS t (word, ndoc, nentry)",
        "SELECT ts_rewrite('a'::tsquery, 'SELECT 1')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_ls_dir('/')",
        "SELECT dblink('x', 'SELECT 1')",
        "SELECT pg_terminate_backend(1)",
        "SELECT pg_reload_conf()",
        "SELECT pg_stat_get_activity(1)",
        "SELECT lo_get(1)",
        "SELECT 1 FROM users WHERE pg_read_file('x') = ''",
        "SELECT 1 ORDER BY query_to_xml('x', true, false, '')",
        "UPDATE users SET note = pg_read_file('x')",
        "SELECT pg_catalog.query_to_xml('SELECT 1', true, false, '')",
        "SELECT xpath_table('a', 'b', 'c', 'd', 'e')",
    ] {
        assert!(actions(sql).contains(&Action::SqlAdminister), "{sql}");
    }
    for sql in [
        "SELECT setval('numbers', 1)",
        "SELECT pg_notify('a', 'b')",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_sleep(9)",
    ] {
        assert!(actions(sql).contains(&Action::SqlCall), "{sql}");
    }
    assert_eq!(operations("SELECT 'query_to_xml(x)', upper('a'), to_jsonb(1)"), ["select DATABASE"]);
}

#[test]
fn code_and_administration_pl12() {
    for (sql, action) in [
        ("DO 'BEGIN END'", Action::SqlCode),
        ("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS ''", Action::SqlCode),
        ("CREATE RULE r AS ON SELECT TO users DO INSTEAD SELECT 1", Action::SqlCode),
        ("CREATE EXTENSION file_fdw", Action::SqlCode),
        ("CREATE EVENT TRIGGER t ON sql_drop EXECUTE FUNCTION f()", Action::SqlCode),
        ("ALTER FUNCTION risky(text) SECURITY DEFINER", Action::SqlCode),
        ("CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p", Action::SqlAdminister),
        ("CREATE SERVER s FOREIGN DATA WRAPPER f", Action::SqlAdminister),
        ("LOAD 'x'", Action::SqlAdminister),
        ("ALTER SYSTEM SET x = 1", Action::SqlAdminister),
        ("SECURITY LABEL ON TABLE users IS 'x'", Action::SqlGrant),
        ("COPY users TO PROGRAM 'x'", Action::SqlAdminister),
        ("COPY users FROM '/etc/passwd'", Action::SqlAdminister),
        ("COPY (SELECT 1) TO '/tmp/x'", Action::SqlAdminister),
        ("CALL tidy()", Action::SqlCall),
        ("CREATE TABLESPACE x LOCATION '/'", Action::SqlAdminister),
        ("PREPARE TRANSACTION 'x'", Action::SqlAdminister),
    ] {
        assert!(actions(sql).contains(&action), "{sql}");
    }
    assert_eq!(actions("COPY guess FROM STDIN"), [Action::SqlInsert]);
}

#[test]
fn role_changes_pl15() {
    for sql in
        ["SET ROLE postgres", "RESET ROLE", "SET SESSION AUTHORIZATION x", "SELECT set_config('role', 'x', true)"]
    {
        assert!(analyse(sql).is_err(), "{sql}");
    }
    assert!(analyse("SHOW role").is_ok());
}

#[test]
fn statistics_mk05() {
    for sql in [
        "SELECT * FROM pg_stats",
        "SELECT 1 FROM pg_catalog.pg_statistic",
        "SELECT query FROM pg_stat_activity",
        "SELECT rolpassword FROM pg_authid",
        "SELECT passwd FROM pg_shadow",
        "SELECT * FROM pg_hba_file_rules",
        "SELECT 1 FROM users WHERE EXISTS (SELECT 1 FROM pg_stats)",
        "SELECT umoptions FROM pg_user_mappings",
        "SELECT data FROM pg_largeobject",
    ] {
        assert!(actions(sql).contains(&Action::SqlAdminister), "{sql}");
    }
    assert_eq!(flows("SELECT most_common_vals FROM pg_stats, users"), ["?"]);
    assert_eq!(operations("SELECT relname FROM pg_class"), ["select pg_catalog.pg_class"]);
}

#[test]
fn inference_mk09() {
    for (sql, how) in [
        ("SELECT 1 FROM users WHERE ssn = '1'", "equality"),
        ("SELECT 1 FROM users WHERE ssn IN ('1')", "equality"),
        ("SELECT 1 FROM users WHERE ssn IN ('1', '2')", "range"),
        ("SELECT 1 FROM users WHERE ssn LIKE '1%'", "pattern"),
        ("SELECT 1 FROM users WHERE ssn ~ '^1'", "pattern"),
        ("SELECT 1 FROM users WHERE ssn > '1'", "range"),
        ("SELECT 1 FROM users WHERE ssn BETWEEN '1' AND '2'", "range"),
        ("SELECT 1 FROM users ORDER BY ssn", "order"),
        ("SELECT 1 FROM users GROUP BY ssn", "group"),
        ("SELECT DISTINCT upper(ssn) FROM users", "distinct"),
        ("SELECT 1 FROM users u JOIN guess g ON g.ssn = u.ssn", "join"),
        ("SELECT 1 FROM users JOIN guess USING (ssn)", "join"),
        ("SELECT 1 FROM users WHERE ssn IN (SELECT 'x')", "join"),
        ("SELECT 1 FROM users WHERE 'x' IN (SELECT ssn FROM users)", "join"),
        ("SELECT count(*) FILTER (WHERE ssn = '1') FROM users", "equality"),
        ("SELECT 1 FROM users WHERE CASE WHEN ssn > '5' THEN true ELSE false END", "range"),
        ("SELECT rank() OVER (ORDER BY ssn) FROM users", "order"),
        ("SELECT rank() OVER (PARTITION BY ssn) FROM users", "group"),
        ("SELECT 1 FROM users LIMIT (SELECT ssn::int FROM users)", "expression"),
        ("SELECT EXISTS (SELECT 1 FROM users WHERE ssn = '1')", "equality"),
        ("SELECT 1 FROM users HAVING max(ssn) > '1'", "expression"),
        ("SELECT ssn FROM users EXCEPT SELECT ssn FROM guess", "join"),
        ("SELECT 1 FROM active_users WHERE secret = '1'", "equality"),
        ("UPDATE users SET note = '' WHERE ssn = '1'", "equality"),
    ] {
        let wanted = format!("infer public.users.ssn {how}");
        assert!(operations(sql).contains(&wanted), "{sql}: {:?}", operations(sql));
    }
    assert!(
        !operations("SELECT ssn FROM users WHERE id = 1")
            .iter()
            .any(|operation| operation.starts_with("infer public.users.ssn"))
    );
}
