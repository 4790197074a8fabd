//! Which operations a statement comes to.

use super::{operations, understood};

fn check(sql: &str, expect: &[&str]) {
    assert_eq!(operations(sql), expect, "{sql}");
}

#[test]
fn reads() {
    check("SELECT 1", &["select DATABASE"]);
    check("SELECT now()", &["select DATABASE"]);
    check("SELECT name FROM users", &["select public.users", "select public.users.name"]);
    check("SELECT count(*) FROM users", &["select public.users"]);
    check(
        "SELECT name FROM users WHERE id = 5",
        &["select public.users", "select public.users.name", "infer public.users.id equality"],
    );
    check(
        "SELECT u.name FROM users u JOIN orders o ON o.user_id = u.id WHERE o.total > 5 ORDER BY u.name",
        &[
            "select public.users",
            "select public.orders",
            "select public.users.name",
            "infer public.users.id join",
            "infer public.users.name order",
            "infer public.orders.user_id join",
            "infer public.orders.total range",
        ],
    );
    check(
        "SELECT kind, count(*) FROM app.events GROUP BY kind",
        &["select app.events", "select app.events.kind", "infer app.events.kind group"],
    );
    check(
        "SELECT 1 FROM users WHERE name LIKE 'a%' AND upper(email) = 'X' AND ssn IS NULL",
        &[
            "select public.users",
            "infer public.users.name pattern",
            "infer public.users.email expression",
            "infer public.users.ssn expression",
        ],
    );
    check(
        "TABLE guess",
        &["select public.guess", "select public.guess.id", "select public.guess.ssn", "select public.guess.name"],
    );
    check("SELECT id FROM users FOR UPDATE", &["lock public.users", "select public.users", "select public.users.id"]);
}

#[test]
fn writes() {
    check("INSERT INTO users (id, name) VALUES (1, 'x')", &["insert public.users"]);
    check(
        "INSERT INTO users (id, name) VALUES (1, 'x') RETURNING id",
        &["insert public.users", "select public.users", "select public.users.id"],
    );
    check(
        "INSERT INTO guess (ssn) SELECT ssn FROM users",
        &["insert public.guess", "select public.users", "select public.users.ssn"],
    );
    check(
        "INSERT INTO users (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET name = excluded.name",
        &["insert public.users", "update public.users", "infer public.users.id equality"],
    );
    check("UPDATE users SET name = 'x' WHERE id = 1", &["update public.users", "infer public.users.id equality"]);
    check("UPDATE orders SET total = total + 1", &["update public.orders"]);
    check("UPDATE users SET note = ssn", &["update public.users", "select public.users", "select public.users.ssn"]);
    check("DELETE FROM users", &["delete public.users"]);
    check(
        "WITH gone AS (DELETE FROM users WHERE id = 1 RETURNING id) SELECT * FROM gone",
        &["delete public.users", "select public.users", "select public.users.id", "infer public.users.id equality"],
    );
    check(
        "MERGE INTO guess g USING users u ON g.id = u.id WHEN MATCHED THEN UPDATE SET name = u.name \
         WHEN NOT MATCHED THEN INSERT (id) VALUES (u.id)",
        &[
            "update public.guess",
            "insert public.guess",
            "select public.users",
            "select public.users.id",
            "select public.users.name",
            "infer public.users.id join",
            "infer public.guess.id join",
        ],
    );
}

#[test]
fn stored_values_are_marked() {
    for (sql, copied) in [
        ("INSERT INTO guess (ssn) SELECT ssn FROM users", 1),
        ("INSERT INTO guess (ssn) VALUES ('x')", 0),
        ("UPDATE users SET note = ssn", 1),
        ("UPDATE users SET note = upper(note)", 0),
        ("UPDATE guess SET ssn = u.ssn FROM users u WHERE u.id = guess.id", 1),
        ("CREATE TABLE copy AS SELECT ssn, id FROM users", 2),
        ("SELECT ssn INTO copy FROM users", 1),
        ("SELECT ssn FROM users", 0),
        ("CREATE VIEW v AS SELECT ssn FROM users", 0),
        ("COPY users (ssn) TO '/tmp/x'", 1),
        ("COPY users (ssn) TO STDOUT", 0),
        ("SELECT risky(ssn) FROM users", 1),
    ] {
        assert_eq!(understood(sql).statements[0].copied.len(), copied, "{sql}");
    }
}

#[test]
fn definitions() {
    check("CREATE TABLE t (id int)", &["create public.t"]);
    check("CREATE TABLE app.t (id int DEFAULT risky('x')::int)", &["create app.t", "call public.risky"]);
    check("DROP TABLE users, app.events", &["drop public.users", "drop app.events"]);
    check("DROP SCHEMA app CASCADE", &["drop app"]);
    check("DROP FUNCTION risky(text)", &["drop public.risky"]);
    check("TRUNCATE users", &["truncate public.users"]);
    check("ALTER TABLE users DROP COLUMN note", &["drop public.users"]);
    check("ALTER TABLE users ADD COLUMN x int", &["alter public.users"]);
    check("ALTER TABLE users OWNER TO bob", &["grant public.users"]);
    // Under another name its values would lose their labels.
    check(
        "ALTER TABLE guess RENAME TO people",
        &["alter public.guess", "select public.guess.id", "select public.guess.ssn", "select public.guess.name"],
    );
    check("ALTER TABLE guess RENAME ssn TO free", &["alter public.guess", "select public.guess.ssn"]);
    check("ALTER TABLE guess ALTER name TYPE text USING ssn", &["alter public.guess", "select public.guess.ssn"]);
    check("ALTER TABLE guess ALTER name TYPE varchar USING name || ''", &["alter public.guess"]);
    check("ALTER TABLE guess RENAME CONSTRAINT a TO b", &["alter public.guess"]);
    check("CREATE INDEX ON users (upper(name))", &["create public.users"]);
    check(
        "CREATE VIEW v AS SELECT id FROM users",
        &["create public.v", "select public.users", "select public.users.id"],
    );
    check("COMMENT ON COLUMN users.ssn IS 'x'", &["alter public.users"]);
    check("GRANT SELECT ON users TO bob", &["grant public.users"]);
    check("GRANT admin TO bob", &["grant role.admin"]);
    check("CREATE ROLE bob", &["grant role.bob"]);
    check("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", &["code public.f"]);
    check("CREATE EXTENSION dblink", &["code extension.dblink"]);
    check("CREATE TRIGGER t BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION f()", &["code public.users"]);
    check("DO $$BEGIN END$$", &["code DATABASE"]);
    check("CALL tidy()", &["call public.tidy"]);
    check("VACUUM users", &["maintain public.users"]);
    check("ALTER SYSTEM SET work_mem = '1GB'", &["administer setting.*"]);
    check("REFRESH MATERIALIZED VIEW totals", &["maintain public.totals"]);
}

#[test]
fn sessions() {
    check("BEGIN", &["transaction DATABASE"]);
    check("SAVEPOINT a", &["transaction DATABASE"]);
    check("SET application_name = 'x'", &["set setting.application_name"]);
    check("SET LOCAL statement_timeout = 5", &["set setting.statement_timeout"]);
    check("SHOW search_path", &["set setting.search_path"]);
    check("SET TIME ZONE 'UTC'", &["set setting.timezone"]);
    check("SET client_encoding TO 'UTF8'", &["set setting.client_encoding"]);
    check("SET search_path = public", &["set setting.search_path"]);
    check("SET TRANSACTION READ ONLY", &["set setting.transaction"]);
    check("SELECT set_config('application_name', 'x', false)", &["set setting.application_name"]);
    check("NOTIFY jobs, 'x'", &["notify channel.jobs"]);
    check("LISTEN jobs", &["listen channel.jobs"]);
    check("LOCK TABLE users", &["lock public.users"]);
    check("DISCARD ALL", &["set DATABASE"]);
    check("RESET ALL", &["set setting.*"]);
    check(
        "PREPARE p AS SELECT name FROM users WHERE id = $1",
        &["select public.users", "select public.users.name", "infer public.users.id equality"],
    );
    check("DECLARE c CURSOR FOR SELECT ssn FROM users", &["select public.users", "select public.users.ssn"]);
}

#[test]
fn functions() {
    check("SELECT upper('x'), random(), nextval('numbers')", &["select DATABASE"]);
    check("SELECT risky('x')", &["call public.risky"]);
    // A function of the search path could win over the built-in one.
    check("SELECT lower('x')", &["call public.lower"]);
    check("SELECT pg_catalog.lower('x')", &["select DATABASE"]);
    check("SELECT pg_sleep(1)", &["call pg_catalog.pg_sleep"]);
    check("SELECT unheard_of(1)", &["call public.unheard_of"]);
    check("SELECT 1 OPERATOR(app.+) 2", &["call app.+"]);
}

#[test]
fn views_read_what_is_behind_them() {
    check(
        "SELECT deepest FROM deep",
        &[
            "select public.deep",
            "select public.active_users",
            "select public.users",
            "select public.users.ssn",
            "select public.active_users.secret",
            "select public.deep.deepest",
        ],
    );
    check(
        "UPDATE active_users SET secret = 'x' WHERE id = 1",
        &[
            "update public.active_users",
            "update public.users",
            "infer public.users.id equality",
            "infer public.active_users.id equality",
        ],
    );
}

#[test]
fn copies_and_explains() {
    check("COPY guess FROM STDIN", &["insert public.guess"]);
    check("COPY guess (id) TO STDOUT", &["select public.guess", "select public.guess.id"]);
    check(
        "COPY (DELETE FROM guess RETURNING ssn) TO STDOUT",
        &["delete public.guess", "select public.guess", "select public.guess.ssn"],
    );
    check("COPY guess FROM PROGRAM 'x'", &["administer DATABASE", "insert public.guess"]);
    for (sql, effect) in [
        ("EXPLAIN DELETE FROM guess", false),
        ("EXPLAIN ANALYZE DELETE FROM guess", true),
        ("EXPLAIN (ANALYZE false) DELETE FROM guess", false),
        ("EXPLAIN (ANALYZE, VERBOSE) DELETE FROM guess", true),
    ] {
        let analysis = understood(sql);
        assert_eq!(analysis.operations[0].facts.explain_only, !effect, "{sql}");
        assert_eq!(analysis.statements[0].writes, effect, "{sql}");
    }
}

#[test]
fn shapes_are_equal_where_policy_cannot_tell_the_texts_apart() {
    let shape = |sql| understood(sql).shape;
    assert_eq!(shape("SELECT name FROM users WHERE id = 5"), shape("select  NAME from Users where id=6 -- x"));
    for (a, b) in [
        ("SELECT name FROM users WHERE id = 5", "SELECT email FROM users WHERE id = 5"),
        ("SELECT name FROM users WHERE id = 5", "SELECT name FROM users WHERE id > 5"),
        ("DELETE FROM users WHERE id = 5", "DELETE FROM users WHERE 1 = 1"),
        ("SELECT name FROM users LIMIT 5", "SELECT name FROM users LIMIT 6"),
        ("SELECT name FROM users", "SELECT upper(name) FROM users"),
        ("SELECT 1", "SELECT 1; SELECT 1"),
    ] {
        assert_ne!(shape(a), shape(b), "{a} / {b}");
    }
}

#[test]
fn templates_hold_no_constants() {
    for (sql, template) in [
        ("SELECT 1", "SELECT $1"),
        (
            "SELECT name FROM users WHERE ssn = '123-45' AND id = $1 -- secret",
            "SELECT name FROM users WHERE ssn = $2 AND id = $1  ",
        ),
        ("DO $x$ secret $x$", "DO $1"),
        ("CREATE ROLE bob PASSWORD 'secret'", "CREATE ROLE bob PASSWORD $1"),
        ("SELECT E'a\\'b', U&'x', 1.5, B'01', x'ff'", "SELECT $1, $2, $3, $4, $5"),
    ] {
        assert_eq!(&*understood(sql).template, template);
    }
}

#[test]
fn spans_point_at_the_name() {
    let sql = "SELECT 1 FROM \"users\" u, app.events";
    let spans: Vec<&str> = understood(sql)
        .operations
        .iter()
        .filter_map(|operation| operation.span)
        .filter_map(|(start, end)| sql.get(start as usize..end as usize))
        .collect();
    assert_eq!(spans, ["\"users\"", "app.events"]);
}
