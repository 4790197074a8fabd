//! Where each result column comes from.

use super::flows;

fn check(sql: &str, expect: &[&str]) {
    assert_eq!(flows(sql), expect, "{sql}");
}

#[test]
fn bare_forms_mk01() {
    for sql in [
        "SELECT ssn FROM users",
        "SELECT ssn AS x FROM users",
        "SELECT u.ssn FROM users AS u",
        "SELECT public.users.ssn FROM public.users",
        "SELECT ssn::text FROM users",
        "SELECT (users).ssn FROM users",
        "SELECT x.y FROM (SELECT ssn AS y FROM users) x",
        "SELECT y FROM (SELECT ssn FROM users) x (y)",
        "WITH x AS (SELECT ssn FROM users) SELECT ssn FROM x",
        "WITH x (y) AS (SELECT ssn FROM users), z AS (SELECT y FROM x) SELECT y FROM z",
        "SELECT l.ssn FROM orders o, LATERAL (SELECT u.ssn FROM users u WHERE u.id = o.user_id) l",
        "SELECT DISTINCT ssn FROM users",
        "SELECT ssn FROM users WHERE id = 1",
        "UPDATE users SET name = 'x' WHERE id = 1 RETURNING ssn",
        "DELETE FROM users WHERE id = 1 RETURNING ssn",
        "INSERT INTO users (id, name) VALUES (1, 'x') RETURNING ssn",
        "SELECT \"ssn\" FROM \"users\"",
        "SELECT SSN FROM Users",
        "SELECT U&\"\\0073sn\" FROM users",
        "SELECT ssn FROM users UNION ALL SELECT ssn FROM users",
        "SELECT ssn FROM users TABLESAMPLE system (10)",
        "SELECT s.x FROM (WITH w AS (TABLE users) SELECT w.ssn AS x FROM w) s",
        "SELECT ssn FROM ONLY users FOR SHARE",
        "SELECT ssn FROM orders o CROSS JOIN LATERAL (SELECT * FROM users u WHERE u.id = o.user_id) l",
        "COPY (SELECT ssn FROM users) TO STDOUT",
        "COPY users (ssn) TO STDOUT WITH (FORMAT csv)",
        "WITH w AS (UPDATE users SET name = 'x' WHERE id = 1 RETURNING *) SELECT ssn FROM w",
        "SELECT j.ssn FROM (users u JOIN orders o ON o.user_id = u.id) j",
        "SELECT ssn FROM users u LEFT JOIN orders o ON o.user_id = u.id",
    ] {
        check(sql, &["=users.ssn"]);
    }
    check("SELECT id FROM users", &["=users.id"]);
}

#[test]
fn expressions_mk02() {
    for sql in [
        "SELECT (SELECT ssn FROM users LIMIT 1)",
        "SELECT ssn || '' FROM users",
        "SELECT ssn::varchar(3) FROM users",
        "SELECT ssn COLLATE \"C\" FROM users",
        "SELECT upper(ssn) FROM users",
        "SELECT coalesce(ssn, '') FROM users",
        "SELECT max(ssn) FROM users",
        "SELECT first_value(ssn) OVER () FROM users",
        "SELECT CASE WHEN ssn = 'x' THEN 1 ELSE 2 END FROM users",
        "SELECT CASE ssn WHEN 'x' THEN 1 END FROM users",
        "SELECT array_agg(ssn) FROM users",
        "SELECT x FROM (VALUES ((SELECT ssn FROM users LIMIT 1))) v (x)",
        "SELECT ssn FROM users UNION SELECT 'x'",
        "SELECT ARRAY(SELECT ssn FROM users)",
        "SELECT ROW(ssn) FROM users",
        "SELECT json_build_object('a', ssn) FROM users",
        "SELECT x FROM users, unnest(ARRAY[ssn]) x",
        "SELECT x FROM users, ROWS FROM (unnest(ARRAY[ssn])) AS r (x)",
        "SELECT nullif(ssn, 'x') FROM users",
        "SELECT greatest(ssn, 'x') FROM users",
        "SELECT ssn = 'x' FROM users",
        "SELECT ssn IS NULL FROM users",
        "SELECT xmlelement(name a, ssn) FROM users",
        "SELECT substring(ssn from 1 for 3) FROM users",
        "SELECT (ARRAY[ssn])[1] FROM users",
        "SELECT string_agg(ssn, ',' ORDER BY id) FROM users",
        "SELECT count(ssn) FROM users",
        "SELECT count(DISTINCT ssn) FROM users",
        "SELECT xmlagg(xmlelement(name a, ssn)) FROM users",
        "SELECT xmlforest(ssn) FROM users",
        "SELECT xmlelement(name a, xmlattributes(ssn AS b)) FROM users",
        "SELECT xmlserialize(content xmlelement(name a, ssn) as text) FROM users",
        "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY ssn) FROM users",
        "SELECT mode() WITHIN GROUP (ORDER BY ssn) FROM users",
        "SELECT lag(ssn) OVER (ORDER BY id) FROM users",
        "SELECT max(ssn) FILTER (WHERE id > 1) FROM users",
        "SELECT (ARRAY[ssn])[1:2] FROM users",
        "SELECT ARRAY[ssn]::text[] FROM users",
        "SELECT 'x' = ANY (ARRAY[ssn]) FROM users",
        "SELECT 'x' IN (SELECT ssn FROM users)",
        "SELECT (SELECT ROW(ssn) FROM users LIMIT 1)",
        "SELECT x FROM users, xmltable('/a' PASSING (ssn::xml) COLUMNS x text)",
        "SELECT x[1] FROM (SELECT ARRAY[ssn] AS x FROM users) s",
        "SELECT (s.r).f1 FROM (SELECT ROW(ssn) AS r FROM users) s",
        "SELECT ssn FROM (SELECT 1 AS id, upper(ssn) AS ssn FROM users GROUP BY GROUPING SETS ((ssn), ())) s",
        "SELECT max(ssn) OVER w FROM users WINDOW w AS (PARTITION BY id)",
        "SELECT to_jsonb(ssn) -> 'a' FROM users",
        "SELECT ssn FROM users UNION ALL SELECT 'x'",
        "SELECT x FROM (SELECT 'x' AS x INTERSECT SELECT ssn FROM users) s",
    ] {
        check(sql, &["~users.ssn"]);
    }
    check("SELECT id::text FROM users", &["~users.id"]);
    check("SELECT count(*), 1, now(), $1::int FROM users", &["-", "-", "-", "-"]);
    check("SELECT risky(ssn) FROM users", &["?"]);
    check("SELECT risky('x')", &["?"]);
}

#[test]
fn whole_rows_mk03() {
    let all = "~guess.id,guess.ssn,guess.name";
    for sql in [
        "SELECT guess FROM guess",
        "SELECT g FROM guess g",
        "SELECT row_to_json(g) FROM guess g",
        "SELECT to_jsonb(guess) FROM guess",
        "SELECT guess::text FROM guess",
        "SELECT ROW(guess.*) FROM guess",
        "SELECT array_agg(g) FROM guess g",
        "SELECT (SELECT g FROM guess g)",
        "SELECT json_agg(x) FROM (TABLE guess) x",
    ] {
        check(sql, &[all]);
    }
    check("SELECT (g).* FROM guess g", &["=guess.id", "=guess.ssn", "=guess.name"]);
}

#[test]
fn views_mk04() {
    check(
        "SELECT * FROM active_users",
        &[
            "=users.id,active_users.id",
            "=users.ssn,active_users.secret",
            "~users.name,active_users.shout",
            "=active_users.one",
        ],
    );
    check("SELECT deepest x FROM deep", &["=users.ssn,active_users.secret,deep.deepest"]);
    check(
        "SELECT * FROM totals_view",
        &["=users.email,totals.email,totals_view.email", "~orders.total,totals.sum,totals_view.sum"],
    );
}

#[test]
fn positions_mk13() {
    check("SELECT name, * FROM guess", &["=guess.name", "=guess.id", "=guess.ssn", "=guess.name"]);
    check(
        "SELECT * FROM guess g JOIN (SELECT id, note FROM users) u USING (id)",
        &["=guess.id", "=guess.ssn", "=guess.name", "=users.note"],
    );
    check(
        "SELECT * FROM (SELECT id, ssn FROM users) a NATURAL JOIN (SELECT name, ssn FROM guess) b",
        &["=users.ssn", "=users.id", "=guess.name"],
    );
    check("SELECT u.*, g.id FROM guess g, (SELECT note FROM users) u", &["=users.note", "=guess.id"]);
    check("SELECT * FROM dropped", &["=dropped.a", "=dropped.b"]);
    check(
        "SELECT * FROM (SELECT id FROM users) a FULL JOIN (SELECT id FROM guess) b USING (id)",
        &["~users.id,guess.id"],
    );
    check("DELETE FROM guess RETURNING *, 1", &["=guess.id", "=guess.ssn", "=guess.name", "-"]);
    check("COPY app.events TO STDOUT", &["=events.id", "=events.kind", "=events.payload"]);
    check("COPY guess (ssn, id) TO STDOUT", &["=guess.ssn", "=guess.id"]);
}

#[test]
fn recursion_reaches_a_fixpoint() {
    check(
        "WITH RECURSIVE t (a, b) AS (SELECT 1, ''::text UNION ALL SELECT a + 1, (SELECT ssn FROM users LIMIT 1) FROM t) \
         SELECT a, b FROM t",
        &["-", "~users.ssn"],
    );
    // The secret moves one column a round.
    check(
        "WITH RECURSIVE t (a, b, c) AS (SELECT ssn, '', '' FROM users UNION ALL SELECT '', a, b FROM t) SELECT c FROM t",
        &["~users.ssn"],
    );
    check("WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 9) SELECT i FROM n", &["-"]);
}

#[test]
fn scopes() {
    // A correlated subquery sees the outer row; its own FROM comes first.
    check("SELECT (SELECT u.ssn) FROM users u", &["~users.ssn"]);
    check("SELECT (SELECT ssn FROM guess g WHERE g.id = u.id) FROM users u", &["~guess.ssn"]);
    check("SELECT (SELECT note FROM guess LIMIT 1) FROM users", &["~users.note"]);
    // A CTE hides a table of its name.
    check("WITH users AS (SELECT 1 AS ssn) SELECT ssn FROM users", &["-"]);
    check("WITH users AS (SELECT 1 AS ssn) SELECT ssn FROM public.users", &["=users.ssn"]);
    // A function whose columns are not known may own the name, or not.
    check("SELECT (SELECT ssn FROM json_populate_record(null::guess, '{}') LIMIT 1) FROM users", &["~users.ssn"]);
    check("SELECT x.* FROM generate_series(1, 3) x", &["-"]);
    check("SELECT * FROM jsonb_each('{}')", &["-", "-"]);
    check("SELECT value FROM users, jsonb_each(doc)", &["~users.doc"]);
    check("SELECT oid, relname FROM pg_class", &["-", "-"]);
    check("SELECT ctid FROM users", &["-"]);
    // A column comes before an item of the same name.
    check("SELECT (x).name FROM (SELECT g AS x, 1 AS name FROM guess g) x", &["~guess.name"]);
}

#[test]
fn fields_of_rows_count_by_themselves() {
    for (sql, flow) in [
        ("SELECT ((SELECT u FROM users u LIMIT 1)).name", "~users.name"),
        ("SELECT ((SELECT u FROM users u LIMIT 1)).ssn", "~users.ssn"),
        ("SELECT (s.p).name FROM (SELECT u AS p FROM users u) s", "~users.name"),
        ("SELECT (p).ssn FROM (SELECT u AS p FROM users u) s", "~users.ssn"),
        (
            "SELECT name(users) FROM users",
            "~users.id,users.name,users.email,users.ssn,users.note,users.born,users.tags,users.doc",
        ),
        ("SELECT ssn(users) FROM users", "~users.ssn"),
        ("SELECT (row(ssn, 1)).f2 FROM users", "-"),
        ("SELECT (row(ssn, 1)).f1 FROM users", "~users.ssn"),
        // The row's type keeps its own names, whatever an alias says: then it counts as a whole.
        ("SELECT (s.p).id FROM (SELECT g AS p FROM guess g (ssn, id)) s", "~guess.id,guess.ssn,guess.name"),
        ("SELECT (g).id FROM guess g (ssn, id)", "=guess.ssn"),
        // Of two rows it may be either.
        (
            "SELECT (s.p).id FROM (SELECT g AS p FROM guess g UNION ALL SELECT g FROM guess g) s",
            "~guess.id,guess.ssn,guess.name",
        ),
        ("SELECT (CASE WHEN true THEN g END).id FROM guess g", "~guess.id,guess.ssn,guess.name"),
    ] {
        check(sql, &[flow]);
    }
    check("SELECT ((SELECT g FROM guess g LIMIT 1)).*", &["~guess.id", "~guess.ssn", "~guess.name"]);
    check("SELECT (s.p).* FROM (SELECT row(name, 1) AS p FROM users) s", &["~users.name", "-"]);
    // Nesting costs no more than its length.
    check(
        &format!("SELECT {}(SELECT ssn FROM users LIMIT 1){}", "(SELECT ".repeat(12), ")".repeat(12)),
        &["~users.ssn"],
    );
}

#[test]
fn other_results() {
    check("INSERT INTO guess VALUES (1)", &["none"]);
    check("SHOW timezone", &["text"]);
    check("FETCH 1 FROM c", &["named"]);
    check("EXECUTE p(1)", &["named"]);
    check("EXPLAIN EXECUTE p", &["-"]);
    check("EXPLAIN ANALYZE EXECUTE p", &["?"]);
    check("EXPLAIN SELECT ssn FROM users", &["-"]);
    check("EXPLAIN ANALYZE SELECT ssn FROM users", &["?"]);
    check("EXPLAIN VERBOSE SELECT ssn FROM users", &["?"]);
}
