//! Each form holds each failure once, and no name of a test can end what it stands in.

use std::path::PathBuf;

use super::*;
use crate::policy_test::Difference;

fn report() -> Report {
    let outcome = |name: &str, differences| Outcome {
        name: name.to_owned(),
        file: PathBuf::from("policies/tests.yaml"),
        line: 12,
        differences,
        came: "permit".to_owned(),
    };
    let difference = Difference { of: "verdict", expected: "deny".to_owned(), came: "permit".to_owned() };
    let mut report = Report::default();
    report.outcomes.push(outcome("fine", Vec::new()));
    report.outcomes.push(outcome("a \"<b>\" & c: 5%, | # TODO\n::error::x", vec![difference]));
    report
}

#[test]
fn every_form_says_what_failed() {
    for (form, parts) in [
        (
            ReportForm::Junit,
            &[
                "<testsuites tests=\"2\" failures=\"1\">",
                "name=\"fine\" file=\"policies/tests.yaml\" line=\"12\"/>",
                "name=\"a &quot;&lt;b&gt;&quot; &amp; c: 5%, | # TODO ::error::x\"",
                "<failure message=\"verdict: expected deny, came permit\"/>",
            ][..],
        ),
        (ReportForm::Sarif, &["\"version\": \"2.1.0\"", "\"startLine\": 12", "expected deny, came permit"]),
        (
            ReportForm::Github,
            &[
                "::error file=policies/tests.yaml,line=12,title=a \"<b>\" & c%3A 5%25%2C | # TODO %3A%3Aerror%3A%3Ax::verdict: expected",
            ],
        ),
        (
            ReportForm::Tap,
            &["1..2\nok 1 - fine\nnot ok 2 - a \"<b>\" & c: 5%, | \\# TODO", "  message: \"verdict: expected"],
        ),
        (
            ReportForm::Md,
            &["1 passed, 1 failed", "| a \"&lt;b>\" & c: 5%, \\| # TODO ::error::x | `policies/tests.yaml:12` |"],
        ),
    ] {
        let text = form.render(&report());
        for part in parts {
            assert!(text.contains(part), "{form:?}: {part}\n{text}");
        }
        assert_eq!(text.matches("expected deny").count(), 1, "{form:?}: {text}");
    }
    let sarif: serde_json::Value = serde_json::from_str(&ReportForm::Sarif.render(&report())).unwrap();
    assert_eq!(sarif["runs"][0]["results"].as_array().unwrap().len(), 1);
}
