//! The places of parts in Cedar text.

use super::*;

#[test]
fn statements_end_at_semicolons_outside_strings_and_comments() {
    for (text, expected) in [
        ("", vec![]),
        ("// nothing; here\n", vec![]),
        ("permit(principal, action, resource);", vec!["permit(principal, action, resource);"]),
        (
            "@reason(\"a; b \\\" ;\") forbid(principal, action, resource); // c; d\n permit(principal, action, resource);",
            vec![
                "@reason(\"a; b \\\" ;\") forbid(principal, action, resource);",
                "permit(principal, action, resource);",
            ],
        ),
        ("permit(principal", vec!["permit(principal"]),
        ("forbid(\"unended; ", vec!["forbid(\"unended; "]),
    ] {
        let found: Vec<&str> = statements(text).into_iter().map(|range| text.get(range).unwrap()).collect();
        assert_eq!(
            found.iter().map(|part| part.trim()).collect::<Vec<_>>(),
            expected.iter().map(|part| part.trim()).collect::<Vec<_>>()
        );
    }
}

#[test]
fn parts_are_found_by_place() {
    let text = "@id(\"permit\") @permit forbid (\n  principal in Group::\"a,b\", action in [Action::\"x\", Action::\"y\"], resource is Column in Table::\"t\")\n\
                when { a && (b || c) && d.contains(\"&&\") } unless { e || f && g } when { [1, 2].contains(3) };";
    let parts = parts(text);
    let scope: Vec<&str> = parts.scope.iter().map(|range| text.get(range.clone()).unwrap()).collect();
    assert_eq!(
        scope,
        [
            "principal in Group::\"a,b\"",
            "action in [Action::\"x\", Action::\"y\"]",
            "resource is Column in Table::\"t\""
        ]
    );
    let conditions: Vec<(bool, Vec<&str>)> = parts
        .conditions
        .iter()
        .map(|condition| {
            (condition.unless, condition.conjuncts.iter().map(|range| text.get(range.clone()).unwrap()).collect())
        })
        .collect();
    assert_eq!(
        conditions,
        [
            (false, vec!["a", "(b || c)", "d.contains(\"&&\")"]),
            (true, vec!["e || f && g"]),
            (false, vec!["[1, 2].contains(3)"])
        ]
    );
}

#[test]
fn the_first_path_leaves_methods_out() {
    for (expression, expected) in [
        ("principal.environment == \"sandbox\"", Some("principal.environment")),
        ("context.source.threats.contains(\"tor\")", Some("context.source.threats")),
        ("!resource.classes.contains(\"pii\")", Some("resource.classes")),
        ("50 <= context.session.rows_read", Some("context.session.rows_read")),
        ("principal in Group::\"a\"", None),
        ("true", None),
    ] {
        assert_eq!(first_path(expression), expected, "{expression}");
    }
}
