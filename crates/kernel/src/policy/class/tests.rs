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
        let found = Classes::new(patterns.to_vec()).of(&Resource::new(kind, &upstream, path));
        assert_eq!(found.iter().map(|class| &**class).collect::<Vec<_>>(), expected, "{path:?}");
    }
}

#[test]
fn classes_of_fields_are_by_path_and_template() {
    let upstream: Name = "payments".parse().unwrap();
    let patterns = [
        ClassPattern::new("$.customers[*].email", "pii").unwrap(),
        ClassPattern::new("/v1/customers/{id} $.email", "pii").unwrap(),
        ClassPattern::new("GET /v1/cards $['a b'].number", "pci").unwrap(),
        ClassPattern::new("Query.*.phone", "pii").unwrap(),
        ClassPattern::new("public.customers.email", "sql").unwrap(),
    ];
    for (template, field, expected) in [
        ("/v1/x", "$.customers[*].email", &["pii"][..]),
        ("/**", "$.customers[*].email", &["pii"]),
        ("/v1/customers/{id}", "$.email", &["pii"]),
        ("/v1/customers", "$.email", &[]),
        ("/v1/cards", "$['a b'].number", &["pci"]),
        ("/graphql", "Query.customer.phone", &["pii"]),
        ("/graphql", "Query.customer.orders.phone", &["pii"]),
        ("/graphql", "Mutation.customer.phone", &[]),
    ] {
        let found =
            Classes::new(patterns.to_vec()).of(&Resource::new(ResourceKind::Field, &upstream, [template, field]));
        assert_eq!(found.iter().map(|class| &**class).collect::<Vec<_>>(), expected, "{template} {field}");
    }
    // A schema may be called as the root of GraphQL.
    let query = ClassPattern::new("Query.t.c", "pii").unwrap();
    let column = Resource::new(ResourceKind::Column, &upstream, ["db", "Query", "t", "c"]);
    assert_eq!(Classes::new(vec![query]).of(&column).len(), 1);
}

#[test]
fn other_forms_are_refused() {
    for pattern in [
        "$",
        "GET $.email",
        "v1 $.email",
        "/v1 /v2 x $.email",
        "GET  /v1 $.email",
        "/v1$.email",
        "$.a\n",
        "",
        "customers",
        "a.b.c.d",
        "public..email",
        "public.customers.",
    ] {
        assert_eq!(ClassPattern::new(pattern, "pii"), Err(InvalidPattern), "{pattern}");
    }
    assert_eq!(ClassPattern::new("public.customers", ""), Err(InvalidPattern));
}

#[test]
fn sources_add_up_and_none_takes_nothing_away() {
    use ClassSource::{Comment, Configuration, Confirmed, Label};
    let upstream: Name = "shop-db".parse().unwrap();
    let declare = |table: &str, column: Option<&str>, class: &str, source| DeclaredClass {
        schema: "public".into(),
        table: table.into(),
        column: column.map(Arc::from),
        class: class.into(),
        source,
    };
    let classes = Classes::new(vec![ClassPattern::new("public.customers.email", "pii").unwrap()]).declaring(&[
        declare("customers", Some("email"), "none", Confirmed),
        declare("customers", Some("email"), "secret", Comment),
        declare("customers", Some("card"), "pci", Label),
        declare("customers", None, "people", Comment),
        declare("orders_2026", Some("note"), "pii", Confirmed),
    ]);
    for (table, column, kin, expected) in [
        (
            "customers",
            Some("email"),
            None,
            &[("none", Confirmed), ("people", Comment), ("pii", Configuration), ("secret", Comment)][..],
        ),
        ("customers", Some("card"), None, &[("pci", Label), ("people", Comment)]),
        ("customers", None, None, &[("people", Comment)]),
        ("orders", Some("note"), None, &[]),
        ("orders", Some("note"), Some("orders_2026"), &[("pii", Confirmed)]),
        ("orders", Some("id"), Some("orders_2026"), &[]),
    ] {
        let kind = if column.is_some() { ResourceKind::Column } else { ResourceKind::Table };
        let path = ["shop", "public", table].into_iter().chain(column);
        let mut resource = Resource::new(kind, &upstream, path);
        resource.kin = kin.map(|child| [("public".into(), child.into())].into());
        let found = classes.sources(&resource);
        let found: Vec<(&str, ClassSource)> = found.iter().map(|(class, source)| (&**class, *source)).collect();
        assert_eq!(found, expected, "{table} {column:?}");
        let carried: Vec<&str> = expected.iter().map(|(class, _)| *class).filter(|class| *class != NO_CLASS).collect();
        assert!(classes.of(&resource).iter().map(|class| &**class).eq(carried), "{table} {column:?}");
    }
}
