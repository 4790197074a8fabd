//! What loads, and what is said of what does not.

use super::*;

/// The policies of DESIGN §3, as they stand there.
const DESIGN: &str = include_str!("design_examples.cedar");

fn file(name: &str, text: &str) -> PolicyFile {
    PolicyFile { name: name.into(), text: text.into() }
}

#[test]
fn the_examples_of_the_design_load() {
    let bundle = Bundle::load(&[file("design.cedar", DESIGN)]).unwrap();
    let found: Vec<(&str, &str, u32)> =
        bundle.policies().iter().map(|policy| (&**policy.id(), policy.remedy().as_str(), policy.place(0).0)).collect();
    assert_eq!(
        found,
        [
            ("orders-migrations", "block", 1),
            ("writes-are-bounded", "block", 3),
            ("destroy-needs-dba", "approve", 5),
            ("pii-is-masked", "mask", 6),
            ("hot", "quarantine", 8),
            ("no-tor", "block", 9)
        ]
    );
    assert_eq!(bundle.digest().len(), 64);
    assert!(bundle.digest().starts_with(bundle.short_digest()));
}

#[test]
fn every_problem_is_told_with_its_place() {
    let mut wrong = Vec::new();
    for (text, expected) in [
        ("", vec![]),
        ("@id(\"a\") permit(principal, action, resource)", vec!["1:45 PAR0101"]),
        ("@id(\"a\") permit(principal, action, resource);\n  permit(principal, action);", vec!["2:27 PAR0101"]),
        ("permit(principal, action, resource);", vec!["1:1 PAR0103"]),
        ("@id(\"a b\") permit(principal, action, resource);", vec!["1:1 PAR0103"]),
        (
            "@id(\"a\") permit(principal, action, resource);\n@id(\"a\") forbid(principal, action, resource);",
            vec!["2:1 PAR0104"],
        ),
        ("@id(\"a\")\n@quarantin forbid(principal, action, resource);", vec!["2:1 PAR0105"]),
        (
            "@id(\"a\") @mask(\"blur\") forbid(principal, action in Action::\"read\", resource is Column);",
            vec!["1:10 PAR0106"],
        ),
        ("@id(\"a\") @durable(\"x\") permit(principal, action, resource);", vec!["1:10 PAR0106"]),
        ("@id(\"a\") @observe(\"x\") forbid(principal, action, resource);", vec!["1:10 PAR0106"]),
        ("@id(\"a\") @reason(\"two\\nlines\") forbid(principal, action, resource);", vec!["1:10 PAR0106"]),
        ("@id(\"a\") @severity(\"huge\") forbid(principal, action, resource);", vec!["1:10 PAR0106"]),
        ("@id(\"a\") @quarantine permit(principal, action, resource);", vec!["1:10 PAR0107"]),
        ("@id(\"a\") @observe permit(principal, action, resource);", vec!["1:10 PAR0107"]),
        ("@id(\"a\") @quarantine @approve(\"dba\") forbid(principal, action, resource);", vec!["1:10 PAR0108"]),
        ("@id(\"a\") @limit(\"rows=10, per=60s\") forbid(principal, action, resource);", vec!["1:10 PAR0106"]),
        ("@id(\"a\") @limit(\"per=0/1h\") forbid(principal, action, resource);", vec!["1:10 PAR0106"]),
        ("@id(\"a\") @limit(\"per=20/1y\") forbid(principal, action, resource);", vec!["1:10 PAR0106"]),
        ("@id(\"a\") @limit(\"rows=10, per=20/1h\") forbid(principal, action, resource);", vec![]),
        (
            "@id(\"a\") @limit(\"sum(amount)=10000000000/1h, sum(fee)=1/1d\") forbid(principal, action, resource);",
            vec![],
        ),
        ("@id(\"a\") @limit(\"sum()=1/1h\") forbid(principal, action, resource);", vec!["1:10 PAR0106"]),
        ("@id(\"a\") @limit(\"sum(a b)=1/1h\") forbid(principal, action, resource);", vec!["1:10 PAR0106"]),
        ("@id(\"a\") @limit(\"sum(amount)=0/1h\") forbid(principal, action, resource);", vec!["1:10 PAR0106"]),
        ("@id(\"a\") @limit(\"sum(amount)=-5/1h\") forbid(principal, action, resource);", vec!["1:10 PAR0106"]),
        (
            "@id(\"a\") @limit(\"sum(amount)=99999999999999999999/1h\") forbid(principal, action, resource);",
            vec!["1:10 PAR0106"],
        ),
        ("@id(\"a\") forbid(principal, action == Action::\"sql:drop\", resource is Workload);", vec!["1:1 PAR0110"]),
        ("@id(\"a\") @mask(\"null\") forbid(principal, action, resource is Column);", vec!["1:10 PAR0111"]),
        ("@id(\"a\") @mask(\"null\") forbid(principal, action in Action::\"read\", resource);", vec!["1:10 PAR0111"]),
        ("@id(\"a\") forbid(principal, action, resource) when { principal.riks > 1 };", vec!["1:53 PAR0102"]),
        ("@id(\"a\") forbid(principal, action == Action::\"sql:dorp\", resource);", vec!["1:38 PAR0102"]),
        (
            "@id(\"a\") forbid(principal, action in Action::\"write\", resource) when { context.bounded };",
            vec!["1:72 PAR0102"],
        ),
        (
            "@id(\"a\") forbid(principal, action, resource) when { context.session.rows_read > 30000 };",
            vec!["1:61 PAR0110"],
        ),
        ("@id(\"a\") forbid(principal == ?principal, action, resource);", vec!["1:30 PAR0101"]),
        (
            "@id(\"a\") permit(principal, action, resource) when { 1 };\n@id(\"b\") @approv(\"x\") forbid(principal, action, resource);",
            vec!["1:53 PAR0102", "2:10 PAR0105"],
        ),
    ] {
        let problems = Bundle::load(&[file("p.cedar", text)]).err().unwrap_or_default();
        let found: Vec<String> =
            problems.iter().map(|problem| format!("{}:{} {}", problem.line, problem.column, problem.code())).collect();
        if found != expected {
            wrong.push(format!(
                "{text}: {found:?} {}",
                problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
            ));
        }
        assert!(problems.iter().all(|problem| &*problem.file == "p.cedar"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn approve_is_read_with_its_options() {
    let load = |annotation: &str| {
        Bundle::load(&[file(
            "p.cedar",
            &format!("@id(\"a\") @approve({annotation:?}) forbid(principal, action, resource);"),
        )])
    };
    let bundle = load("dba, security,quorum=2 window=5m, valid=8h, uses=3").unwrap();
    let Remedy::Approve(terms) = bundle.policies()[0].remedy() else { panic!("no approval") };
    assert_eq!(terms.groups.iter().map(|group| group.as_str()).collect::<Vec<_>>(), ["dba", "security"]);
    assert_eq!((terms.quorum, terms.uses), (2, 3));
    assert_eq!((terms.open_for.as_secs(), terms.valid_for.as_secs()), (300, 8 * 3600));
    assert!(terms.policies.contains("a"));
    for wrong in ["", "quorum=2", "dba, quorum=0", "dba, window=30", "dba, window=90d", "dba, times=1", "d!ba"] {
        assert_eq!(load(wrong).unwrap_err()[0].code(), "PAR0106", "{wrong}");
    }
}

#[test]
fn unknown_annotations_come_with_a_suggestion() {
    let problems = Bundle::load(&[file("p.cedar", "@id(\"a\") @aprove(\"dba\") forbid(principal, action, resource);")])
        .unwrap_err();
    assert_eq!(problems[0].help.as_deref(), Some("did you mean `@approve`?"));
    assert_eq!(
        problems[0].to_string(),
        "p.cedar:1:10: unknown annotation `@aprove` (PAR0105); did you mean `@approve`?"
    );
}

#[test]
fn misspelt_actions_come_with_a_suggestion() {
    let text = "@id(\"a\") forbid(principal, action == Action::\"sql:dorp\", resource);";
    let problems = Bundle::load(&[file("p.cedar", text)]).unwrap_err();
    assert_eq!(problems[0].help.as_deref(), Some("did you mean `Action::\"sql:drop\"`?"));
}
