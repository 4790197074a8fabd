//! Which endpoint a path belongs to, by hazard id where there is one.

use kernel::workload::Name;

use super::{Endpoint, EndpointError, Endpoints, Field, Template, Unlisted, merge};
use crate::http::json_path::JsonPath;

fn name() -> Name {
    "payments".parse().unwrap()
}

fn endpoint(text: &str) -> Endpoint {
    let (method, path) = text.split_once(' ').unwrap();
    Endpoint::new(method, Template::parse(path).unwrap())
}

const LISTED: [&str; 16] = [
    "GET /kv/data/{path...}",
    "GET /",
    "GET /v1/refunds",
    "POST /v1/refunds",
    "GET /v1/refunds/{id}",
    "GET /v1/refunds/latest",
    "PUT /v1/refunds/{id}/notes/{note}",
    "GET /v1/files/{name}.json",
    "GET /v1/files/{name}",
    "POST /v1/{job}:cancel",
    "GET /v1/tiles/{x},{y}",
    "GET /static/**",
    "GET /any/*/thing",
    "* /hooks/{hook}",
    "GET /gr%C3%B6%C3%9Fe",
    "HEAD /v1/head",
];

fn answer(endpoints: &Endpoints, method: &str, path: &str) -> String {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let segments = if path == "/" { &[] } else { segments.as_slice() };
    match endpoints.find(method, segments) {
        None => "none".to_owned(),
        Some(found) => {
            let mut text = found.endpoint.template.text().to_owned();
            for (name, value) in found.parameters {
                text.push_str(&format!(" {name}={value}"));
            }
            text
        }
    }
}

#[test]
fn paths_find_their_endpoints() {
    let listed = || LISTED.iter().map(|text| endpoint(text)).collect();
    let strict = Endpoints::new(&name(), listed(), Unlisted::Deny).unwrap();
    let open = Endpoints::new(&name(), listed(), Unlisted::Allow).unwrap();
    let cases = [
        ("GET", "/", "/", "/"),
        ("GET", "/v1/refunds", "/v1/refunds", "/v1/refunds"),
        ("HEAD", "/v1/refunds", "/v1/refunds", "/v1/refunds"),
        ("GET", "/v1/refunds/", "/v1/refunds", "/v1/refunds"),
        ("GET", "/v1/refunds/17", "/v1/refunds/{id} id=17", "/v1/refunds/{id} id=17"),
        ("GET", "/v1/refunds/latest", "/v1/refunds/latest", "/v1/refunds/latest"),
        (
            "PUT",
            "/v1/refunds/latest/notes/2",
            "/v1/refunds/{id}/notes/{note} id=latest note=2",
            "/v1/refunds/{id}/notes/{note} id=latest note=2",
        ),
        ("GET", "/v1/files/a.json", "/v1/files/{name}.json name=a", "/v1/files/{name}.json name=a"),
        ("GET", "/v1/files/.json", "/v1/files/{name} name=.json", "/v1/files/{name} name=.json"),
        ("GET", "/v1/files/a.txt", "/v1/files/{name} name=a.txt", "/v1/files/{name} name=a.txt"),
        ("POST", "/v1/import:cancel", "/v1/{job}:cancel job=import", "/v1/{job}:cancel job=import"),
        ("GET", "/v1/tiles/3,4", "/v1/tiles/{x},{y} x=3 y=4", "/v1/tiles/{x},{y} x=3 y=4"),
        ("GET", "/static", "/static/**", "/static/**"),
        ("GET", "/kv/data/a/b", "/kv/data/{path...} path=a/b", "/kv/data/{path...} path=a/b"),
        ("GET", "/kv/data", "none", "/**"),
        ("GET", "/static/a/b/c", "/static/**", "/static/**"),
        ("GET", "/any/one/thing", "/any/*/thing", "/any/*/thing"),
        ("PATCH", "/hooks/x", "/hooks/{hook} hook=x", "/hooks/{hook} hook=x"),
        ("GET", "/größe", "/größe", "/größe"),
        ("GET", "/v1/head", "none", "/v1/head"),
        // Another method of a listed path is that path's, never `/**`.
        ("DELETE", "/v1/refunds/17", "none", "/v1/refunds/{id} id=17"),
        ("DELETE", "/v1/refunds", "none", "/v1/refunds"),
        ("GET", "/v2", "none", "/**"),
        ("GET", "/v1/refunds/17/x", "none", "/**"),
        // HT04: a server that does not tell cases apart would serve these.
        ("POST", "/V1/refunds", "none", "none"),
        ("GET", "/v1/Files/a", "none", "none"),
        ("GET", "/v1/refunds/Latest", "none", "none"),
        ("GET", "/v1/refunds/latest.", "none", "none"),
        ("GET", "/v1/refunds/latest ", "none", "none"),
        ("GET", "/v1/refunds/latest.x", "/v1/refunds/{id} id=latest.x", "/v1/refunds/{id} id=latest.x"),
        (
            "PUT",
            "/v1/refunds/LATEST/notes/2",
            "/v1/refunds/{id}/notes/{note} id=LATEST note=2",
            "/v1/refunds/{id}/notes/{note} id=LATEST note=2",
        ),
        ("GET", "/static.", "none", "none"),
        ("GET", "/STATIC", "none", "none"),
        ("GET", "/v1/refunds//17", "none", "/**"),
    ];
    for (method, path, expect, expect_open) in cases {
        assert_eq!(answer(&strict, method, path).replace("%C3%B6%C3%9F", "öß"), expect, "{method} {path}");
        assert_eq!(answer(&open, method, path).replace("%C3%B6%C3%9F", "öß"), expect_open, "{method} {path}");
    }
}

#[test]
fn templates_that_are_none() {
    for text in [
        "",
        "v1",
        "/v1//x",
        "/./x",
        "/a/../b",
        "/{}",
        "/{a",
        "/a}",
        "/{a}{b}",
        "/{a}/{a}",
        "/**/x",
        "/a*",
        "/a?b",
        "/a#b",
        "/{a...}/b",
        "/{...}",
        "/x{a...}",
        "/%2f",
        "/%zz",
        "/%ff",
        "/a\\b",
        "/{a b}",
        "/%00",
    ] {
        assert!(Template::parse(text).is_err(), "{text}");
    }
}

#[test]
fn one_endpoint_stands_once() {
    let twice = vec![endpoint("GET /a/{x}"), endpoint("GET /a/{y}")];
    assert!(matches!(Endpoints::new(&name(), twice, Unlisted::Deny), Err(EndpointError::Twice { .. })));
    let two = vec![endpoint("GET /a/{x}"), endpoint("POST /a/{y}")];
    let two = Endpoints::new(&name(), two, Unlisted::Deny).unwrap();
    assert_eq!(answer(&two, "POST", "/a/1"), "/a/{y} y=1");
}

#[test]
fn configuration_goes_before_the_document() {
    let mut described = endpoint("POST /v1/refunds/{id}");
    described.id = Some("createRefund".into());
    let mut configured = endpoint("POST /v1/refunds/{refund}");
    configured.graphql = true;
    let merged = merge(vec![described, endpoint("GET /x")], vec![configured, endpoint("GET /y")]);
    let told: Vec<_> = merged.iter().map(|one| (one.template.text(), one.id.as_deref(), one.graphql)).collect();
    assert_eq!(told, [("/v1/refunds/{refund}", Some("createRefund"), true), ("/x", None, false), ("/y", None, false)]);
}

#[test]
fn fields_hold_for_what_is_not_listed() {
    let field = |path: &str, class: &str| Field { path: JsonPath::parse(path).unwrap(), classes: vec![class.into()] };
    let mut customer = endpoint("GET /customers/{id}");
    customer.fields = vec![field("$.email", "pii")];
    let everywhere = [field("$..token", "secret"), field("$.email", "contact")];
    let endpoints = Endpoints::with_fields(&name(), vec![customer], Unlisted::Allow, &everywhere).unwrap();
    let fields = |method: &str, segments: &[&str]| -> Vec<String> {
        let found = endpoints.find(method, segments).unwrap();
        assert_eq!(found.endpoint.field_resources(&name()).len(), found.endpoint.fields.len());
        found.endpoint.fields.iter().map(|field| format!("{} {}", field.path, field.classes.join("+"))).collect()
    };
    assert_eq!(fields("GET", &["customers", "1"]), ["$.email contact+pii", "$..token secret"]);
    assert_eq!(fields("PATCH", &["customers", "1"]), ["$.email contact+pii", "$..token secret"]);
    assert_eq!(fields("GET", &["else"]), ["$..token secret", "$.email contact"]);
}
