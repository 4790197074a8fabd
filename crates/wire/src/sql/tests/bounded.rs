//! Is the WHERE constant? (hazards PL16), each tautology beside conditions that are none.

use super::understood;

fn bounded(condition: &str) -> Option<bool> {
    let sql = format!("DELETE FROM users WHERE {condition}");
    understood(&sql).operations.first().and_then(|operation| operation.facts.bounded)
}

#[test]
fn constant_conditions_pl16() {
    for condition in [
        "true",
        "1 = 1",
        "1=1",
        "'a' = 'a'",
        "1 <> 2",
        "2 > 1",
        "id = id",
        "users.id = id",
        "id >= id",
        "not false",
        "NOT (1 = 2)",
        "id = 5 OR true",
        "id = 5 OR 1 = 1",
        "true OR id = 5",
        "id IS NOT DISTINCT FROM id",
        "id = 5 OR NOT id = 5",
        "id = 5 OR id <> 5",
        "id < 5 OR id >= 5",
        "note IS NULL OR note IS NOT NULL",
        "id IS NOT NULL",
        "id IN (id)",
        "id IN (1, id)",
        "id BETWEEN id AND id",
        "upper(name) = upper(name)",
        "coalesce(note, '') = coalesce(note, '')",
        "name LIKE '%'",
        "$1 = $1",
        "coalesce(true, id = 5)",
        "coalesce(NULL, id = id)",
        "CASE WHEN true THEN true ELSE id = 5 END",
        "CASE WHEN id = 5 THEN true ELSE true END",
        "(id = id) IS TRUE",
        "(id <> id) IS NOT TRUE",
        "(id = 5) IS NOT UNKNOWN",
        "(id = 5) IS NOT NULL",
        "NOT (id = 5 AND id <> 5)",
        "EXISTS (SELECT 1)",
        "EXISTS (SELECT users.id)",
        "id IN (SELECT id FROM users)",
        "id = ANY (ARRAY[id, 7])",
        "id - id = 0",
        "id * 0 = 0",
        "ROW(id, 1) = ROW(id, 1)",
        "id >= -2147483648",
        "id <= 2147483647",
        "abs(id) >= 0",
        "name >= ''",
        "name ~ '.*'",
        "id > 5 OR id < 10",
        "id <> 5 OR id <> 6",
        "$1 = 1",
        "now() > '2020-01-01'",
        "random() < 2",
        "EXISTS (SELECT 1)",
        "EXISTS (SELECT 1 FROM guess)",
        "1 IN (SELECT 1)",
        "true AND true",
        "id::text = id::text",
        "(SELECT true)",
        "current_user = 'x'",
        "1 = 1 AND 2 = 2",
        "null",
        "1 = 2",
        "id = 5 OR current_user <> 'x'",
        "NOT (id = 5 AND false)",
    ] {
        assert_eq!(bounded(condition), Some(false), "{condition}");
    }
}

#[test]
fn real_conditions() {
    for condition in [
        "id = 5",
        "id = $1",
        "id = 5 AND true",
        "id = 5 AND 1 = 1",
        "id = 5 OR false",
        "id = 5 OR 1 = 2",
        "name = 'x'",
        "id IN (1, 2)",
        "id = ANY ($1)",
        "name LIKE 'a%'",
        "note IS NOT NULL",
        "NOT id = 5",
        "id = 5 OR name = 'x'",
        "EXISTS (SELECT 1 FROM orders o WHERE o.user_id = users.id)",
        "id IN (SELECT user_id FROM orders)",
        "id BETWEEN 1 AND 5",
        "upper(name) = 'X'",
        "(id, name) = (1, 'x')",
        "id = note::int",
    ] {
        assert_eq!(bounded(condition), Some(true), "{condition}");
    }
}

#[test]
fn statements() {
    for (sql, expect) in [
        ("DELETE FROM users", false),
        ("UPDATE users SET name = ''", false),
        ("UPDATE users SET name = '' WHERE id = 1", true),
        ("SELECT name FROM users", false),
        ("SELECT name FROM users WHERE id = 1", true),
        ("SELECT name FROM (SELECT name FROM users WHERE id = 1) x", true),
        ("SELECT name FROM (SELECT name FROM users) x", false),
        ("WITH x AS (SELECT name FROM users WHERE id = 1) SELECT name FROM x", true),
        ("SELECT name FROM users WHERE id = 1 UNION ALL SELECT name FROM users", false),
        ("MERGE INTO guess g USING users u ON true WHEN MATCHED THEN DELETE", false),
        ("MERGE INTO guess g USING users u ON g.id = u.id WHEN MATCHED THEN DELETE", true),
    ] {
        assert_eq!(understood(sql).operations[0].facts.bounded, Some(expect), "{sql}");
    }
    // The write inside WITH has its own condition, whatever stands outside.
    let analysis = understood("WITH x AS (DELETE FROM users RETURNING id) SELECT id FROM x WHERE id = 1");
    assert_eq!(analysis.operations[0].facts.bounded, Some(false));
}

#[test]
fn limits() {
    for (sql, limit) in [
        ("SELECT name FROM users LIMIT 7", Some(7)),
        ("SELECT name FROM users FETCH FIRST 7 ROWS ONLY", Some(7)),
        ("SELECT name FROM users LIMIT $1", None),
        ("SELECT name FROM users LIMIT ALL", None),
        ("SELECT name FROM (SELECT name FROM users LIMIT 7) x", None),
    ] {
        assert_eq!(understood(sql).operations[0].facts.limit, limit, "{sql}");
    }
}

#[test]
fn conditions_that_only_look_constant_pl16() {
    for condition in [
        "coalesce(id = 5, false)",
        "CASE WHEN id = 5 THEN true END",
        "CASE WHEN id = 5 THEN true ELSE false END",
        "(id = 5) IS TRUE",
        "(id = 5) IS NOT FALSE",
        "EXISTS (SELECT 1 FROM orders o WHERE o.user_id = users.id)",
        "id IN (SELECT user_id FROM orders)",
        "id IN (SELECT id FROM users WHERE name = 'x')",
        "id = ANY (ARRAY[5, 7])",
        "id - 5 = 0",
        "id >= 0",
        "abs(id) >= 1",
        "name ~ '^a'",
        "id > 10 OR id < 5",
        "id <> 5 AND id <> 6",
        "id = 5 AND name = 'x'",
    ] {
        assert_eq!(bounded(condition), Some(true), "{condition}");
    }
}
