//! What policies read is found in every form of use.

use super::*;

#[test]
fn reads_are_found_in_every_form() {
    for (condition, expected) in [
        ("when { true }", Reads::NOTHING),
        ("when { principal.risk >= 80 }", Reads::NOTHING),
        ("unless { context.bounded }", Reads::NOTHING),
        ("when { context.tls }", Reads::TLS),
        ("when { context has tls }", Reads::TLS),
        ("when { context.source.threats.contains(\"anonymizer\") }", Reads::THREATS),
        ("when { context has source.threats }", Reads::THREATS),
        (
            "when { context.source == {address: ip(\"::1\"), threats: []} }",
            Reads::ADDRESS | Reads::THREATS | Reads::STALE,
        ),
        ("when { context[\"session\"][\"rows_read\"] > 1 }", Reads::ROWS),
        (
            "when { if context.in_transaction then context.time.hour < 6 else context.time.weekday > 5 }",
            Reads::IN_TRANSACTION | Reads::HOUR | Reads::WEEKDAY,
        ),
        (
            "when { context.time.now > datetime(\"2026-01-01\") } unless { context.session.denials < 3 }",
            Reads::NOW | Reads::DENIALS,
        ),
        ("when { context has task.goal && context.task.goal == \"x\" }", Reads::TASK),
        ("when { context has provenance }", Reads::PROVENANCE),
        ("when { \"context.tls\" == \"Var\" }", Reads::NOTHING),
        ("when { {a: context.tls}.a }", Reads::TLS),
        ("when { {Value: context.tls}.Value }", Reads::TLS),
        ("when { [context].contains(context) }", Reads::along(&[])),
        ("when { (if true then context else context).tls }", Reads::along(&[])),
    ] {
        let policy = Policy::parse(None, format!("forbid(principal, action, resource) {condition};")).unwrap();
        assert_eq!(Reads::of(&policy), expected, "{condition} {:?}", policy.to_json());
    }
}

#[test]
fn every_circumstance_has_a_place() {
    let all = Reads::PLACES.iter().fold(Reads::NOTHING, |all, (_, one)| all | *one);
    assert_eq!(all, Reads::along(&[]));
    assert_eq!(all.0.count_ones(), 14);
}

#[test]
fn what_an_answer_depends_on_is_found() {
    for (condition, facts, others) in [
        ("when { true }", false, false),
        ("when { context.tls && principal.risk > 3 }", false, false),
        ("when { context has source.threats }", false, false),
        ("unless { context.bounded }", true, false),
        ("when { context has inference }", true, false),
        ("when { [context].contains(context) }", true, false),
        ("unless { principal in Group::\"readers\" }", false, false),
        ("unless { principal in [Group::\"readers\", Group::\"others\"] }", false, false),
        ("when { resource == Table::\"shop-db/shop.public.orders\" }", false, false),
        ("when { Table::\"shop-db/shop.public.orders\" != resource }", false, false),
        ("when { resource is Column in Schema::\"shop-db/shop.public\" }", false, false),
        ("when { Table::\"shop-db/shop.public.orders\" in Schema::\"shop-db/shop.public\" }", false, true),
        ("when { Table::\"shop-db/shop.public.orders\".name == \"orders\" }", false, true),
        ("when { principal in (if true then Group::\"a\" else Group::\"b\") }", false, true),
        ("when { [Group::\"a\"].contains(principal) }", false, true),
        ("when { {\"==\": Table::\"t\".name}[\"==\"] == \"x\" }", false, true),
        ("when { principal.name == \"__entity\" }", false, false),
    ] {
        let policy = Policy::parse(None, format!("forbid(principal, action, resource) {condition};")).unwrap();
        assert_eq!(Depends::of(&policy), Depends { facts, others }, "{condition} {:?}", policy.to_json());
    }
}
