//! HT09: GraphQL, where the path and the method say nothing of what is asked. The document does: each field that it selects is a
//! resource, under whatever name it is written.

use super::start;
use crate::bed::raw_http;

const ENDPOINTS: &str = r#"unlisted = "deny"
[[upstreams.shop-api.endpoints]]
id = "graphql"
method = "POST"
path = "/graphql"
graphql = true
[[upstreams.shop-api.endpoints]]
id = "graphql-get"
method = "GET"
path = "/graphql"
graphql = true
[upstreams.shop-api.fields]
"Query.customer.secretNote" = ["secret"]
"#;

/// Nobody selects what is secret, nor asks too much at once; only `deploy` changes anything.
const POLICY: &str = r#"
@id("nothing-secret")
forbid (principal, action, resource is Field)
when { resource.classes.contains("secret") };

@id("not-too-deep")
forbid (principal, action, resource)
when { context has http && context.http has depth && context.http.depth > 8 };

@id("not-too-dear")
forbid (principal, action, resource)
when { context has http && context.http has cost && context.http.cost > 200 };
"#;

fn request(lines: &str, body: &str) -> Vec<u8> {
    format!(
        "POST /graphql HTTP/1.1\r\n{lines}Connection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn document(text: &str) -> String {
    serde_json::json!({ "query": text }).to_string()
}

#[test]
fn a_field_is_known_under_every_name() {
    let (bed, tripwire) = start("http-graphql", ENDPOINTS, POLICY);
    let deep = format!("{{ {} id {} }}", "customer { friend { ".repeat(20), "} }".repeat(20));
    let many: String = (0..2000).map(|number| format!("a{number}: customer(id: {number}) {{ name }} ")).collect();
    let refused: Vec<(&str, String)> = vec![
        ("as it is", document("{ customer(id: 7) { secretNote } }")),
        ("under another name", document("{ customer(id: 7) { harmless: secretNote } }")),
        ("below another name", document("{ a: customer(id: 7) { name b: secretNote } }")),
        ("in a fragment", document("query { customer(id: 7) { ...F } } fragment F on Customer { secretNote }")),
        ("in a fragment of a fragment", document("{ ...Q } fragment F on Customer { secretNote } fragment Q on Query { customer(id: 7) { ...F } }")),
        ("in an inline fragment", document("{ customer(id: 7) { ... on Customer { secretNote } } }")),
        ("in an inline fragment without a type", document("{ customer(id: 7) { ... { secretNote } } }")),
        ("left out by a directive, perhaps", document("query($x: Boolean!) { customer(id: 7) { secretNote @include(if: $x) } }")),
        ("in the operation that is named", serde_json::json!({"query": "query A { customer(id: 7) { name } } query B { customer(id: 7) { secretNote } }", "operationName": "B"}).to_string()),
        ("in one of two, and none is named", document("query A { customer(id: 7) { name } } query B { customer(id: 7) { secretNote } }")),
        ("in the second of a batch", format!("[{},{}]", document("{ customer(id: 7) { name } }"), document("{ customer(id: 7) { secretNote } }"))),
        ("behind a comment", document("{ customer(id: 7) { # name\n secretNote } }")),
        ("in the second of two documents", r#"{"query": "{ customer { name } }", "query": "{ customer { secretNote } }"}"#.to_owned()),
        ("a change", document("mutation { deleteCustomer(id: 7) { id } }")),
        ("a change that is named a query", document("mutation query { deleteCustomer(id: 7) { id } }")),
        ("a document that is known elsewhere", r#"{"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "ab"}}}"#.to_owned()),
        ("no document", "{}".to_owned()),
        ("not a document", document("{ customer(id: 7) { name ")),
        ("too deep", document(&deep)),
        ("too much at once", document(&format!("{{ {many} }}"))),
        ("fragments that go in circles", document("{ customer { ...A } } fragment A on Customer { ...B } fragment B on Customer { ...A }")),
        ("fragments that grow", document(&grows())),
    ];
    let lines = bed.lines("reporting");
    let mut wrong = Vec::new();
    for (name, body) in refused {
        let answer = raw_http::send(bed.port(), &request(&lines, &body));
        let got = tripwire.take();
        if ![400, 403, 413, 415].contains(&answer.status) || !got.is_empty() {
            wrong.push(format!(
                "HT09 {name}: answered {}, {} bytes reached the upstream: {}",
                answer.status,
                got.len(),
                answer.text()
            ));
        }
        let twin = document("query A($id: ID!) { a: customer(id: $id) { ...F } } fragment F on Customer { name }");
        let answer = raw_http::send(bed.port(), &request(&lines, &twin));
        if answer.status != 200 || !tripwire.take().ends_with(twin.as_bytes()) {
            wrong.push(format!("HT09 {name}: its twin was answered {}: {}", answer.status, answer.text()));
        }
    }
    // The other ways to bring a document along.
    for target in [
        "/graphql?query=%7Bcustomer%7BsecretNote%7D%7D",
        "/graphql?query=mutation%7Bx%7D",
        "/graphql?query=%7Bcustomer%7Bname%7D%7D&query=%7Bcustomer%7BsecretNote%7D%7D",
        "/graphql",
    ] {
        let answer =
            raw_http::send(bed.port(), format!("GET {target} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n").as_bytes());
        if ![400, 403, 405, 415].contains(&answer.status) || !tripwire.take().is_empty() {
            wrong.push(format!("HT09 GET {target}: answered {}", answer.status));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // A workload that may change things does.
    let change = document("mutation { deleteCustomer(id: 7) { id } }");
    let answer = raw_http::send(bed.port(), &request(&bed.lines("deploy"), &change));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Each fragment names the next one twice: a small document, and a million fields.
fn grows() -> String {
    let mut text = "{ customer { ...F0 } }".to_owned();
    for number in 0..20 {
        text.push_str(&format!(
            " fragment F{number} on Customer {{ a {{ ...F{next} }} b {{ ...F{next} }} }}",
            next = number + 1
        ));
    }
    text + " fragment F20 on Customer { name }"
}
