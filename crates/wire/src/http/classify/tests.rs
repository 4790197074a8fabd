//! Which operations a request is, what stands in their facts, and what tells two requests apart.

use std::sync::Arc;

use kernel::operation::ActionGroup;
use kernel::policy::{HttpReads, NamesRead};
use kernel::verdict::Mask;
use kernel::workload::Name;

use super::{Classified, Request, Unclassified, classify};
use crate::http::body::{self, BodyField};
use crate::http::endpoint::{Endpoint, Endpoints, Field, Template, Unlisted};
use crate::http::json_path::JsonPath;

fn endpoints(upstream: &Name) -> Endpoints {
    let endpoint = |method: &str, path: &str| Endpoint::new(method, Template::parse(path).unwrap());
    let field = |path: &str| Field { path: JsonPath::parse(path).unwrap(), classes: vec!["pii".into()] };
    let mut refund = endpoint("POST", "/v1/refunds/{id}");
    refund.id = Some("refund".into());
    refund.body = vec![BodyField::parse("amount", "$.amount").unwrap(), BodyField::parse("note", "$.note").unwrap()];
    let mut customer = endpoint("GET", "/v1/customers/{id}");
    customer.fields = vec![field("$.email"), field("$.address")];
    let mut search = endpoint("POST", "/v1/search");
    search.group = Some(ActionGroup::Read);
    let mut run = endpoint("POST", "/v1/jobs");
    run.group = Some(ActionGroup::Execute);
    Endpoints::new(upstream, vec![refund, customer, search, run], Unlisted::Allow).unwrap()
}

fn classified(method: &str, path: &str, body: &str, reads: &HttpReads) -> Result<Classified, Unclassified> {
    let upstream: Name = "payments".parse().unwrap();
    let endpoints = endpoints(&upstream);
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let matched = endpoints.find(method, &segments).unwrap();
    let body = match body {
        "" => Default::default(),
        text => body::read(Some("application/json"), text.as_bytes(), &matched.endpoint.body).unwrap(),
    };
    let request = Request {
        upstream: &upstream,
        method,
        host: "payments.internal",
        path,
        matched: &matched,
        query: [(Arc::from("force"), Arc::from("1"))].into(),
        body,
        graphql: None,
        secrets: &[],
        size: Some(17),
        content_type: Some("Application/JSON; charset=utf-8"),
        upgrade: None,
    };
    classify(&request, reads)
}

#[test]
fn requests_are_operations() {
    let cases = [
        ("POST", "/v1/refunds/7", "http:POST payments/v1/refunds/{id}"),
        (
            "GET",
            "/v1/customers/7",
            "http:GET payments/v1/customers/{id}, http:field payments/v1/customers/{id} $.email, http:field payments/v1/customers/{id} $.address",
        ),
        (
            "HEAD",
            "/v1/customers/7",
            "http:HEAD payments/v1/customers/{id}, http:field payments/v1/customers/{id} $.email, http:field payments/v1/customers/{id} $.address",
        ),
        ("POST", "/v1/search", "http:GET payments/v1/search"),
        ("POST", "/v1/jobs", "http:execute payments/v1/jobs"),
        ("DELETE", "/else", "http:DELETE payments/**"),
        ("DELETE", "/v1/jobs", "http:DELETE payments/v1/jobs"),
    ];
    for (method, path, expect) in cases {
        let all = classified(method, path, "", &HttpReads::all()).unwrap();
        let told: Vec<String> = all.operations.iter().map(|one| format!("{} {}", one.action, one.resource)).collect();
        assert_eq!(told.join(", "), expect, "{method} {path}");
    }
    for method in ["TRACE", "CONNECT", "get", "PROPFIND"] {
        assert_eq!(classified(method, "/else", "", &HttpReads::all()).unwrap_err(), Unclassified::Method, "{method}");
    }
}

#[test]
fn only_what_policies_read_tells_requests_apart() {
    let amount = HttpReads { amounts: NamesRead::Named(["amount".into()].into()), ..HttpReads::default() };
    let shape = |path: &str, body: &str, reads: &HttpReads| classified("POST", path, body, reads).unwrap().shape;
    let none = HttpReads::default();
    let all = HttpReads::all();
    let base = ("/v1/refunds/7", r#"{"amount": 5, "note": "a"}"#);
    let cases = [
        ("/v1/refunds/8", r#"{"amount": 5, "note": "a"}"#, true, true, false),
        ("/v1/refunds/7", r#"{"amount": 6, "note": "a"}"#, true, false, false),
        ("/v1/refunds/7", r#"{"amount": 5, "note": "b"}"#, true, true, false),
        ("/v1/jobs", "", false, false, false),
    ];
    for (path, body, by_none, by_amount, by_all) in cases {
        for (reads, same) in [(&none, by_none), (&amount, by_amount), (&all, by_all)] {
            assert_eq!(shape(path, body, reads) == shape(base.0, base.1, reads), same, "{path} {body} {reads:?}");
        }
    }
    let read = classified("POST", base.0, base.1, &amount).unwrap();
    let http = read.operations[0].facts.http.clone().unwrap();
    assert_eq!((http.path.as_ref(), http.size, http.texts.len(), http.parameters.len()), ("", None, 0, 0));
    assert_eq!(http.numbers.get("amount"), Some(&5));
    assert_eq!(http.content_type.as_deref(), Some("application/json"));
    assert_eq!(http.operation.as_deref(), Some("refund"));
    let http = classified("POST", base.0, base.1, &all).unwrap().operations[0].facts.http.clone().unwrap();
    assert_eq!(http.parameters.get("id").map(AsRef::as_ref), Some("7"));
    assert_eq!(http.query.get("force").map(AsRef::as_ref), Some("1"));
    assert_eq!(http.texts.get("note").map(AsRef::as_ref), Some("a"));
}

#[test]
fn masks_are_paths_of_the_answer() {
    let read = classified("GET", "/v1/customers/7", "", &HttpReads::default()).unwrap();
    let masks = |terms: &[(usize, Mask)]| -> Vec<String> {
        let terms: Vec<_> = terms.iter().map(|(place, mask)| (*place, *mask, "policy".into())).collect();
        read.masks(&terms).iter().map(|(path, mask)| format!("{path} {}", mask.as_str())).collect()
    };
    assert_eq!(masks(&[(1, Mask::Hash), (2, Mask::Null)]), ["$.email hash", "$.address null"]);
    assert_eq!(masks(&[]), Vec::<String>::new());
    // A mask on the request itself is one on everything that it answers.
    assert_eq!(masks(&[(0, Mask::Redact)]), ["$ redact"]);
}
