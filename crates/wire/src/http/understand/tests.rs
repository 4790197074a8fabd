//! From heads and bodies to operations: named fields, GraphQL in body and URL, secret stores; and where that stops.

use ::http::{Request, Version};
use kernel::policy::{HttpReads, NamesRead};
use kernel::workload::Name;

use super::{Wanted, understand};
use crate::http::body::BodyField;
use crate::http::endpoint::{Endpoint, Endpoints, Template, Unlisted};
use crate::http::head::{Arrived, Head};
use crate::http::secret_store::Profile;
use crate::http::violation::Violation;

fn endpoints(upstream: &Name) -> Endpoints {
    let endpoint = |method: &str, path: &str| Endpoint::new(method, Template::parse(path).unwrap());
    let mut refund = endpoint("POST", "/refunds");
    refund.body = vec![BodyField::parse("amount", "$.amount").unwrap()];
    let mut graphql = endpoint("*", "/graphql");
    graphql.graphql = true;
    let mut all = vec![refund, graphql, endpoint("GET", "/plain")];
    all.extend(Profile::Vault.endpoints().unwrap());
    let mut aws = Profile::AwsSecretsManager.endpoints().unwrap();
    all.append(&mut aws);
    Endpoints::new(upstream, all, Unlisted::Deny).unwrap()
}

/// The operations, or the violation.
fn told(method: &str, target: &str, fields: &[(&str, &str)], body: Option<&str>) -> String {
    let mut request =
        Request::builder().method(method).uri(target).version(Version::HTTP_11).header("host", "a.example");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let parts = request.body(()).unwrap().into_parts().0;
    let head = match Head::read(&parts, Arrived::default()) {
        Ok(head) => head,
        Err(violation) => return format!("{violation:?}"),
    };
    let upstream: Name = "api".parse().unwrap();
    let endpoints = endpoints(&upstream);
    let segments: Vec<&str> = head.path.segments().collect();
    let Some(matched) = endpoints.find(head.method.as_str(), &segments) else { return "none".to_owned() };
    let reads = HttpReads::all();
    let wanted = Wanted::of(&matched, &reads);
    match understand(&upstream, &head, &matched, &reads, &wanted, body.map(str::as_bytes)) {
        Ok(classified) => {
            let all = classified.operations.iter().map(|one| format!("{} {}", one.action, one.resource));
            let amount =
                classified.operations.first().and_then(|one| one.facts.http.as_ref()?.numbers.get("amount").copied());
            all.chain(amount.map(|amount| format!("amount={amount}"))).collect::<Vec<_>>().join(", ")
        }
        Err(violation) => format!("{violation:?}"),
    }
}

#[test]
fn requests_are_understood() {
    let json = ("content-type", "application/json");
    let query = "graphql:query api/graphql, graphql:query api/graphql Query.a";
    let amz = |call: &'static str| ("x-amz-target", call);
    type Case<'c> = (&'c str, &'c str, &'c [(&'c str, &'c str)], Option<&'c str>, &'c str);
    let cases: [Case<'_>; 27] = [
        ("POST", "/graphql", &[json], Some(r#"{"_method":"DELETE","query":"{a}"}"#), "Override"),
        ("POST", "/refunds", &[], Some("_method=DELETE"), "Override"),
        ("POST", "/refunds", &[json], Some(r#"{"amount":5}"#), "http:POST api/refunds, amount=5"),
        ("POST", "/refunds", &[json], Some(r#"{"amount":5,"amount":6}"#), "RepeatedMember"),
        ("POST", "/refunds", &[json], Some(r#"{"amount":5.5}"#), "Body"),
        ("POST", "/refunds", &[("content-type", "text/plain")], Some("x"), "BodyType"),
        ("POST", "/refunds", &[json, ("content-encoding", "gzip")], Some("x"), "ContentCoding"),
        ("POST", "/refunds", &[json], None, "Body"),
        (
            "POST",
            "/refunds",
            &[("content-type", "application/x-www-form-urlencoded")],
            Some("_method=DELETE"),
            "Override",
        ),
        // GraphQL in the body and in the URL.
        ("POST", "/graphql", &[json], Some(r#"{"query":"{a}"}"#), query),
        ("GET", "/graphql?query=%7Ba%7D", &[], None, query),
        ("GET", "/graphql?query=%7Ba%7D", &[], Some(""), query),
        ("GET", "/graphql?query=%7Ba%7D", &[json], Some(r#"{"query":"{b}"}"#), "Body"),
        ("GET", "/graphql?query=mutation%7Ba%7D", &[], None, "Method"),
        ("GET", "/graphql", &[], None, "Body"),
        ("POST", "/graphql?query=%7Bb%7D", &[json], Some(r#"{"query":"{a}"}"#), "RepeatedParameter"),
        ("POST", "/graphql?Query=%7Bb%7D", &[json], Some(r#"{"query":"{a}"}"#), "RepeatedParameter"),
        ("POST", "/graphql?trace=1", &[json], Some(r#"{"query":"{a}"}"#), query),
        ("POST", "/graphql", &[json], Some(r#"{"query":"{"}"#), "Body"),
        ("POST", "/graphql", &[json, ("content-encoding", "gzip")], Some("x"), "ContentCoding"),
        ("POST", "/graphql", &[json], None, "Body"),
        // Secret stores.
        ("GET", "/v1/kv/data/app/db", &[], None, "http:reveal api/kv/app/db"),
        ("GET", "/v1/kv/data/app/db", &[("x-vault-namespace", "team")], None, "Override"),
        (
            "POST",
            "/",
            &[json, amz("secretsmanager.GetSecretValue")],
            Some(r#"{"SecretId":"a"}"#),
            "http:reveal api/secretsmanager/a",
        ),
        ("POST", "/", &[json], Some(r#"{"SecretId":"a"}"#), "Body"),
        (
            "POST",
            "/",
            &[json, amz("secretsmanager.GetSecretValue"), amz("secretsmanager.ListSecrets")],
            Some(r#"{"SecretId":"a"}"#),
            "RepeatedHeader",
        ),
        ("GET", "/plain", &[], None, "http:GET api/plain"),
    ];
    for (method, target, fields, body, expect) in cases {
        assert_eq!(told(method, target, fields, body), expect, "{method} {target} {fields:?} {body:?}");
    }
}

/// A text that begins with a number is that number to some upstreams.
#[test]
fn what_only_counts_as_a_number_has_to_be_one() {
    let upstream: Name = "api".parse().unwrap();
    let endpoints = endpoints(&upstream);
    let matched = endpoints.find("POST", &["refunds"]).unwrap();
    let parts = Request::builder()
        .method("POST")
        .uri("/refunds")
        .header("host", "a")
        .header("content-type", "application/json");
    let head = Head::take(parts.body(()).unwrap().into_parts().0, Arrived::default()).unwrap();
    let named = || NamesRead::Named(["amount".into()].into());
    let amount = HttpReads { amounts: named(), ..HttpReads::default() };
    let both = HttpReads { body: named(), ..amount.clone() };
    for (reads, value, expect) in [
        (&amount, "\"5000 EUR\"", Err(Violation::Body)),
        (&amount, "true", Err(Violation::Body)),
        (&amount, "\"5000\"", Ok(Some(5000))),
        (&amount, "5000", Ok(Some(5000))),
        (&amount, "null", Ok(None)),
        (&both, "\"5000 EUR\"", Ok(None)),
    ] {
        let wanted = Wanted::of(&matched, reads);
        let body = format!("{{\"amount\":{value}}}");
        let found = understand(&upstream, &head, &matched, reads, &wanted, Some(body.as_bytes()));
        let number = found.map(|found| found.operations[0].facts.http.as_ref().unwrap().numbers.get("amount").copied());
        assert_eq!(number, expect, "{value}");
    }
}
