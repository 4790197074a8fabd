//! Which patterns give which classes.

use super::*;
use crate::workload::Name;

#[test]
fn patterns_match_names() {
    for (pattern, name, expected) in [
        ("email", "email", true),
        ("email", "emails", false),
        ("*", "", true),
        ("*", "anything", true),
        ("*_at", "created_at", true),
        ("*_at", "created_at_", false),
        ("c*d*", "created", true),
        ("*a*b*", "xxbxaxx", false),
        ("a*a", "a", false),
        ("a**b", "ab", true),
        ("Email", "email", false),
    ] {
        assert_eq!(name_matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
    }
}

#[test]
fn classes_of_tables_hold_for_their_columns() {
    let upstream: Name = "shop-db".parse().unwrap();
    let patterns = [
        ClassPattern::new("public.customers.email", "pii").unwrap(),
        ClassPattern::new("public.customers", "people").unwrap(),
        ClassPattern::new("*.*.card", "pci").unwrap(),
    ];
    for (kind, path, expected) in [
        (ResourceKind::Column, &["shop", "public", "customers", "email"][..], &["people", "pii"][..]),
        (ResourceKind::Column, &["shop", "public", "customers", "card"], &["pci", "people"]),
        (ResourceKind::Column, &["shop", "public", "orders", "email"], &[]),
        (ResourceKind::Table, &["shop", "public", "customers"], &["people"]),
        (ResourceKind::Table, &["shop", "other", "customers"], &[]),
        (ResourceKind::Function, &["shop", "public", "customers"], &[]),
        (ResourceKind::Upstream, &[], &[]),
    ] {
        let found = classes(&patterns, &Resource::new(kind, &upstream, path));
        assert_eq!(found.iter().map(|class| &**class).collect::<Vec<_>>(), expected, "{path:?}");
    }
}

#[test]
fn other_forms_are_refused() {
    for pattern in ["", "customers", "a.b.c.d", "public..email", "public.customers."] {
        assert_eq!(ClassPattern::new(pattern, "pii"), Err(InvalidPattern), "{pattern}");
    }
    assert_eq!(ClassPattern::new("public.customers", ""), Err(InvalidPattern));
}
