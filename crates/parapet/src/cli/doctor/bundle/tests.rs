//! What goes into a bundle, and what does not. The whole file is looked at in `tests/it/commands`.

use super::*;

#[test]
fn of_a_secret_only_how_it_is_found() {
    for (value, shown) in [
        ("\"env://SHOP_DB_PASSWORD\"", "env://…"),
        ("\"command:///usr/bin/vault read -token=hunter2\"", "command://…"),
        ("(hidden)", "(hidden)"),
        ("\"hunter2\"", "(hidden)"),
    ] {
        assert_eq!(scheme(value), shown);
    }
    for (value, shown) in [
        ("\"https://me:hunter2@issuer.example/jwks\"", "\"https://issuer.example/jwks\""),
        ("[\"https://a@b\", \"http://c:d@e:80/f@g\"]", "[\"https://b\", \"http://e:80/f@g\"]"),
        ("\"db.example:5432\"", "\"db.example:5432\""),
    ] {
        assert_eq!(without_credentials(value), shown);
    }
}

#[test]
fn an_entry_keeps_what_happened_and_nobodys_words() {
    let decision = json!({
        "v": 1, "at": "2026-11-21T10:00:00.000Z", "kind": "decision", "verdict": "deny", "workload": "reporting",
        "reason": { "why": "policy", "policy": "p", "reason": "words", "hint": "words" }, "statement": "select hunter2",
        "operations": [{ "action": "sql:drop", "verb": "DROP TABLE", "kind": "table", "resource": "hunter2", "facts": {} }],
    });
    let kept = json!({
        "seq": 4, "at": "2026-11-21T10:00:00.000Z", "kind": "decision", "verdict": "deny", "workload": "reporting",
        "why": "policy", "policy": "p", "operations": [{ "action": "sql:drop", "verb": "DROP TABLE", "kind": "table" }],
    });
    assert_eq!(entry(4, &decision), kept);
    let refused = json!({ "kind": "login_refused", "claimed": "hunter2", "why": "hunter2", "source": "10.0.0.1" });
    assert_eq!(entry(5, &refused), json!({ "seq": 5, "kind": "login_refused" }));
    let admin = json!({ "kind": "admin", "action": "workloads release", "by": "a@b", "object": "hunter2", "reason": "hunter2" });
    assert_eq!(entry(6, &admin), json!({ "seq": 6, "kind": "admin", "action": "workloads release" }));
}

#[test]
fn secrets_are_found_in_any_spelling() {
    let text = json!({ "a": "x \"qu\\oted\" y" }).to_string();
    for (secret, found) in [("\"qu\\oted\"", true), ("y\"}", false), ("-----BEGIN", false), ("nothing of it", false)] {
        assert_eq!(holds(&text, secret), found, "{secret}");
    }
}
