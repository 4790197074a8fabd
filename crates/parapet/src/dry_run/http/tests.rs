//! What a question of people becomes, before policy sees it.

use kernel::policy::{PolicyFile, SnapshotParts};
use wire::http::endpoint::{Endpoint, Template, Unlisted};

use super::*;
use crate::recorded::hypothetical;

fn snapshot() -> Snapshot {
    let permit = "@id(\"all\") permit(principal, action, resource);";
    let files = vec![PolicyFile { name: "x.cedar".into(), text: permit.into() }];
    Snapshot::build(SnapshotParts { epoch: 1, policies: files, ..SnapshotParts::default() }).unwrap()
}

#[test]
fn requests_that_cannot_be_read_are_not_judged() {
    let name: Name = "payments".parse().unwrap();
    let listed = vec![Endpoint::new("GET", Template::parse("/v1/x").unwrap())];
    let endpoints = Endpoints::new(&name, listed, Unlisted::Deny).unwrap();
    let api = Api { name: &name, host: "payments.internal", endpoints: &endpoints };
    let snapshot = snapshot();
    let around = hypothetical(kernel::time::Timestamp::from_secs(1));
    for (line, header, expected) in [
        ("GET /v1/x", None, "None"),
        ("GET /v1/x?a=1", None, "None"),
        ("GET /v1/y", None, "Some(UnknownEndpoint)"),
        ("POST /v1/x", None, "Some(UnknownEndpoint)"),
        ("GET", None, "Some(UnsupportedMessage)"),
        ("GET v1/x", None, "Some(UnsupportedMessage)"),
        ("G\nT /v1/x", None, "Some(UnsupportedMessage)"),
        ("GET /v1/%2e%2e/x", None, "Some(AmbiguousPath)"),
        ("GET /v1/x", Some(("host", "a, b")), "Some(AmbiguousAuthority)"),
        ("TRACE /v1/x", None, "Some(Method)"),
    ] {
        let headers = header.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let question = Question { line: line.to_owned(), headers, body: None };
        let found = api.understood(&snapshot, &question).err();
        assert_eq!(format!("{found:?}"), expected, "{line:?}");
    }
    // Who is not known is not judged either.
    let nobody: Name = "nobody".parse().unwrap();
    let question = Question { line: "GET /v1/x".to_owned(), ..Question::default() };
    let judged = api.ask(&snapshot, &nobody, &question, &around);
    assert_eq!(judged.evaluation.verdict, "deny");
    assert_eq!(judged.asked.map(|asked| asked.template.to_string()).as_deref(), Some("GET /v1/x"));
}
