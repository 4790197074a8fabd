//! What policies read of an HTTP request is found in their text.

use super::*;
use crate::policy::{PolicyFile, Snapshot};
use crate::testing::{name, parts, upstream};

fn named(names: &[&str]) -> NamesRead {
    match names {
        [] => NamesRead::None,
        ["*"] => NamesRead::All,
        names => NamesRead::Named(names.iter().map(|name| Arc::from(*name)).collect()),
    }
}

fn reads(policies: &str) -> Arc<HttpReads> {
    let mut parts = parts("");
    parts.policies = vec![PolicyFile { name: "x.cedar".into(), text: policies.into() }];
    parts.upstreams = vec![upstream("payments", &[]), upstream("other", &[])];
    Snapshot::build(parts).map(|snapshot| snapshot.http_reads(&name("payments"))).unwrap()
}

#[test]
fn conditions_say_what_they_read() {
    let forbid = |condition: &str| {
        format!("@id(\"x\") forbid(principal, action == Action::\"http:POST\", resource) when {{ {condition} }};")
    };
    for (condition, expected) in [
        ("principal.risk > 3", HttpReads::default()),
        ("context.http.method == \"POST\"", HttpReads::default()),
        ("context has http && context.tls", HttpReads::default()),
        ("context.http has operation && context.http.operation == \"refund\"", HttpReads::default()),
        ("context.http.path like \"/v1/*\"", HttpReads { path: true, ..HttpReads::default() }),
        ("context.http.size > 1000", HttpReads { size: true, ..HttpReads::default() }),
        (
            "context.body.hasTag(\"currency\") && context.body.getTag(\"currency\") == \"EUR\"",
            HttpReads { body: named(&["currency"]), ..HttpReads::default() },
        ),
        (
            "context.amounts.hasTag(\"amount\") && context.amounts.getTag(\"amount\") > 100 \
             || context.body.hasTag(\"note\")",
            HttpReads { body: named(&["note"]), amounts: named(&["amount"]), ..HttpReads::default() },
        ),
        (
            "context.parameters.hasTag(\"id\") && context.query.hasTag(context.parameters.getTag(\"id\"))",
            HttpReads { parameters: named(&["id"]), query: NamesRead::All, ..HttpReads::default() },
        ),
        (
            "context.body == context.query",
            HttpReads { body: named(&["*"]), query: named(&["*"]), ..HttpReads::default() },
        ),
        ("context.http == context.http", HttpReads { path: true, size: true, ..HttpReads::default() }),
        ("context == context", HttpReads::all()),
    ] {
        let policy = Policy::parse(None, forbid(condition)).unwrap();
        assert_eq!(HttpReads::of(&policy, &Remedy::Block), expected, "{condition}");
    }
}

#[test]
fn policies_of_an_upstream_add_up_and_others_do_not_count() {
    let text = r#"
        @id("a") forbid(principal, action == Action::"http:POST", resource in Upstream::"payments")
          when { context.amounts.hasTag("amount") && context.amounts.getTag("amount") > 100 };
        @id("b") @limit("sum(fee)=100/1h, per=3/1m") forbid(principal, action == Action::"http:POST", resource is Endpoint);
        @id("c") forbid(principal, action == Action::"http:POST", resource in Upstream::"other")
          when { context.body.hasTag("secret") && context.http.size > 5 };
        @id("d") forbid(principal, action == Action::"http:POST", resource == Endpoint::"payments/v1/refunds")
          when { context.query.hasTag("dry") };
        @id("e") forbid(principal, action == Action::"http:POST", resource in Environment::"staging")
          when { context.http.path == "/" };"#;
    let found = reads(text);
    let expected = HttpReads { query: named(&["dry"]), amounts: named(&["amount", "fee"]), ..HttpReads::default() };
    assert_eq!(*found, expected);
    assert!(found.reads_field("fee") && !found.reads_field("secret"));
    // What is not known might be anything.
    let mut parts = parts(text);
    parts.upstreams.clear();
    assert_eq!(*Snapshot::build(parts).unwrap().http_reads(&name("payments")), HttpReads::all());
}

#[test]
fn masks_name_what_graphql_selects() {
    let found = |remedy: &str, scope: &str, condition: &str| {
        let text = format!(
            "@id(\"x\") {remedy} @reason(\"of Query.x\") forbid(principal, action == Action::\"graphql:query\", {scope}) {condition};"
        );
        reads(&text).masked.iter().map(|text| text.to_string()).collect::<Vec<_>>()
    };
    let field = r#"Field::"payments/graphql Query.customer.email""#;
    let mask = "@mask(\"redact\")";
    for (scope, condition, expected) in [
        (format!("resource == {field}"), String::new(), "payments/graphql Query.customer.email"),
        ("resource".to_owned(), format!("when {{ resource == {field} }}"), "payments/graphql Query.customer.email"),
        (
            "resource is Field".to_owned(),
            "when { resource.name == \"Subscription.sold.card\" }".to_owned(),
            "Subscription.sold.card",
        ),
        ("resource is Field".to_owned(), "when { resource.name like \"Query.*.email\" }".to_owned(), "Query.*.email"),
        ("resource is Field".to_owned(), "unless { !(resource.name like \"*.email\") }".to_owned(), "*.email"),
        (
            "resource is Field".to_owned(),
            "when { [\"Mutation.a.b\", \"none\"].contains(resource.name) }".to_owned(),
            "Mutation.a.b",
        ),
    ] {
        assert_eq!(found(mask, &scope, &condition), [expected], "{condition}");
        assert_eq!(found("", &scope, &condition), [""; 0], "{condition}");
    }
    let by_class = "when { resource.classes.contains(\"pii\") }";
    assert_eq!(found(mask, "resource is Field", by_class), [""; 0]);
}
