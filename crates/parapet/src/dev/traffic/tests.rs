//! The line of each decision, and what all of them come to.

use serde_json::json;

use super::*;

fn found(seq: u64, entry: Value) -> Found {
    Found { seq, entry, chain: kernel::audit::ChainHash::default() }
}

#[test]
fn a_line_for_each_decision() {
    let asked = |verb: &str, table: &str| json!([{ "verb": verb, "kind": "table", "resource": format!("shop-db/shop.public.{table}") }]);
    let mut traffic = Traffic::default();
    for (entry, expected) in [
        (
            json!({ "verdict": "permit", "workload": "local-script", "operations": [{"action": "connect:session", "verb": "CONNECT", "kind": "upstream"}] }),
            None,
        ),
        (
            json!({ "verdict": "permit", "workload": "local-script", "statement": "select $1", "operations": asked("SELECT", "orders") }),
            Some("  ✓ permit    local-script  SELECT on shop-db/shop.public.orders"),
        ),
        (
            json!({ "verdict": "permit", "workload": "local-agent", "statement": "drop table orders", "decision": "dec_1",
                "terms": { "observed": [{ "policy": "agents-never-destroy" }] }, "operations": asked("DROP TABLE", "orders") }),
            Some(
                "  ◷ observed  local-agent  DROP TABLE on shop-db/shop.public.orders   would have been stopped by \"agents-never-destroy\"   dec_1",
            ),
        ),
        (
            json!({ "verdict": "deny", "workload": "local-agent", "statement": "select $1", "decision": "dec_2",
                "reason": { "why": "cannot_decide" }, "operations": [], "upstream": "shop-db" }),
            Some("  ✗ deny      local-agent  statement on shop-db   cannot_decide   dec_2"),
        ),
        (
            json!({ "verdict": "ask", "workload": "local-agent", "statement": "alter\u{1b}[31m", "decision": "dec_3",
                "by": { "policy": "schema-needs-dba" }, "operations": asked("ALTER\nTABLE", "notes") }),
            Some("  ◷ ask       local-agent  ALTER TABLE on shop-db/shop.public.notes   schema-needs-dba   dec_3"),
        ),
    ] {
        let line = traffic.line(&found(7, entry)).map(|line| anstream::adapter::strip_str(&line).to_string());
        assert_eq!(line.as_deref(), expected);
    }
    assert_eq!((traffic.seen, traffic.summary().as_str()), (Some(7), "4 statements, 3 shapes, 2 tables"));
}
