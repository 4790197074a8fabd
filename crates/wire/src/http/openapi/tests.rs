//! What is read of an OpenAPI document.

use super::{OpenApiError, read};
use crate::http::endpoint::Endpoint;

/// `POST /v1/refunds id=refund group=write body[amount: integer] fields[$.email pii]`.
fn told(endpoint: &Endpoint) -> String {
    let mut text = format!("{} {}", endpoint.method, endpoint.template);
    if let Some(id) = &endpoint.id {
        text.push_str(&format!(" id={id}"));
    }
    if let Some(group) = endpoint.group {
        text.push_str(&format!(" group={}", group.as_str()));
    }
    for field in &endpoint.body {
        text.push_str(&format!(" [{} {} {}]", field.name, field.path, field.expect));
    }
    for field in &endpoint.fields {
        text.push_str(&format!(" <{} {}>", field.path, field.classes.join("+")));
    }
    text
}

fn all(text: &str) -> Vec<String> {
    read(text).unwrap().iter().map(told).collect()
}

const PAYMENTS: &str = r##"
openapi: 3.1.0
info: { title: Payments, version: "1" }
servers:
  - url: https://api.example.com/v1/
paths:
  /refunds:
    post:
      operationId: createRefund
      x-parapet-group: execute
      requestBody:
        content:
          application/json:
            schema:
              type: object
              properties:
                amount: { type: integer }
                total: { type: number, multipleOf: 0.01 }
                ratio: { type: number }
                currency: { type: string, enum: [EUR, USD] }
                live: { type: [boolean, "null"] }
                tags: { type: array, items: { type: string } }
                card:
                  $ref: '#/components/schemas/Card'
              allOf:
                - properties: { note: { type: string } }
      responses:
        200: { $ref: '#/components/responses/Refund' }
    parameters: []
  /customers/{id}:
    summary: one
    get:
      responses:
        '200':
          content:
            application/json; charset=utf-8:
              schema: { $ref: '#/components/schemas/Customer' }
            text/html: { schema: { type: string, x-parapet-classes: [pii] } }
        default:
          content:
            application/problem+json:
              schema: { properties: { detail: { type: string, x-parapet-classes: secret } } }
    trace: {}
components:
  responses:
    Refund:
      content:
        application/json:
          schema: { type: array, items: { $ref: '#/components/schemas/Customer' } }
  schemas:
    Card: { type: object, properties: { number: { type: string } } }
    Customer:
      type: object
      properties:
        id: { type: string }
        email: { type: string, x-parapet-classes: [pii, contact] }
        address: { $ref: '#/components/schemas/Address', x-parapet-classes: [pii] }
        friends: { type: array, items: { $ref: '#/components/schemas/Customer' } }
      additionalProperties: { type: string, x-parapet-classes: [misc] }
      oneOf:
        - properties: { iban: { x-parapet-classes: [bank] } }
    Address: { type: object, properties: { "post code": { x-parapet-classes: [pii] } } }
"##;

#[test]
fn a_document_is_endpoints() {
    let expect = [
        "POST /v1/refunds id=createRefund group=execute [amount $.amount integer] [total $.total decimal(2)] \
         [currency $.currency text] [live $.live boolean] [card.number $.card.number text] [note $.note text] \
         <$[*].email contact+pii> <$[*].address pii> <$[*].address['post code'] pii> <$[*].* misc> <$[*].iban bank> \
         <$[*]..email contact+pii> <$[*]..address pii> <$[*]..address['post code'] pii> <$[*]..* misc> <$[*]..iban bank>",
        "GET /v1/customers/{id} <$.email contact+pii> <$.address pii> <$.address['post code'] pii> <$.* misc> <$.iban bank> \
         <$..email contact+pii> <$..address pii> <$..address['post code'] pii> <$..* misc> <$..iban bank> <$.detail secret>",
    ];
    let mut told = all(PAYMENTS);
    // The order of members is not the document's: JSON objects have none.
    let sorted = |text: &str| {
        let mut parts: Vec<String> = text.split(['<', '[']).map(|part| part.trim().to_owned()).collect();
        parts.sort();
        parts
    };
    told.sort_by_key(|text| !text.starts_with("POST"));
    for (text, expect) in told.iter().zip(expect) {
        assert_eq!(sorted(text), sorted(expect));
    }
    assert_eq!(told.len(), expect.len());
}

#[test]
fn json_documents_and_servers() {
    let document = |servers: &str, path: &str| {
        format!(r#"{{"openapi":"3.0.3","servers":{servers},"paths":{{"{path}":{{"get":{{}}}},"x-note":5}}}}"#)
    };
    let cases = [
        ("[]", "/a", vec!["GET /a"]),
        (r#"[{"url":"/"}]"#, "/a", vec!["GET /a"]),
        (r#"[{"url":"/api"}]"#, "/a", vec!["GET /api/a"]),
        (r#"[{"url":"https://x.example"},{"url":"https://y.example/"}]"#, "/a", vec!["GET /a"]),
        (
            r#"[{"url":"https://x.example/v1"},{"url":"https://x.example/v2"}]"#,
            "/a/{b}",
            vec!["GET /v1/a/{b}", "GET /v2/a/{b}"],
        ),
        (
            r#"[{"url":"{scheme}://{host}/{base}","variables":{"base":{"default":"v3"},"scheme":{"default":"https"},"host":{"default":"h"}}}]"#,
            "/a",
            vec!["GET /v3/a"],
        ),
    ];
    for (servers, path, expect) in cases {
        assert_eq!(all(&document(servers, path)), expect, "{servers}");
    }
    let own = r#"{"openapi":"3.0.3","servers":[{"url":"/v1"}],"paths":{"/a":{"servers":[{"url":"/v2"}],"get":{},"post":{"servers":[{"url":"/v3"}]}}}}"#;
    assert_eq!(all(own), ["GET /v2/a", "POST /v3/a"]);
    assert_eq!(all(r#"{"openapi":"3.1.0"}"#), Vec::<String>::new());
}

#[test]
fn documents_that_are_refused() {
    let deep = format!(
        r#"{{"openapi":"3.0.0","paths":{{"/a":{{"get":{{"responses":{{"200":{{"content":{{"application/json":{{"schema":{}{{"x-parapet-classes":["a"]}}{}}}}}}}}}}}}}}}}}"#,
        r#"{"items":"#.repeat(52),
        "}".repeat(52)
    );
    let schema = |schema: &str| {
        format!(
            r#"{{"openapi":"3.0.0","paths":{{"/a":{{"get":{{"responses":{{"200":{{"content":{{"application/json":{{"schema":{schema}}}}}}}}}}}}}}}}}"#
        )
    };
    let cases = [
        ("{", "syntax"),
        ("a: [", "syntax"),
        ("swagger: '2.0'", "version"),
        ("{}", "version"),
        (r#"{"openapi":"4.0.0"}"#, "version"),
        (r#"{"openapi":"3.0.0","paths":[]}"#, "expected"),
        (r#"{"openapi":"3.0.0","paths":{"/a":5}}"#, "expected"),
        (r#"{"openapi":"3.0.0","paths":{"/a":{"get":5}}}"#, "expected"),
        (r#"{"openapi":"3.0.0","paths":{"/{a":{"get":{}}}}"#, "path"),
        (r#"{"openapi":"3.0.0","paths":{"/a":{"get":{"operationId":""}}}}"#, "expected"),
        (r#"{"openapi":"3.0.0","paths":{"/a":{"get":{"x-parapet-group":"look"}}}}"#, "expected"),
        (r##"{"openapi":"3.0.0","paths":{"/a":{"$ref":"#/paths/~1a"}}}"##, "reference"),
        (r#"{"openapi":"3.0.0","paths":{"/a":{"$ref":"other.yaml"}}}"#, "reference"),
        (&schema(r##"{"$ref":"#/components/schemas/Missing","x-parapet-classes":["a"]}"##), "reference"),
        (&schema(r#"{"$ref":"https://example.com/x.json","x-parapet-classes":["a"]}"#), "reference"),
        (&schema(r#"{"x-parapet-classes":[]}"#), "expected"),
        (&schema(r#"{"x-parapet-classes":["a b"]}"#), "expected"),
        (&schema(r#"{"x-parapet-classes":{"a":1}}"#), "expected"),
        (&deep, "deep"),
    ];
    for (text, expect) in cases {
        let told = match read(text) {
            Ok(_) => "read",
            Err(OpenApiError::TooLarge) => "large",
            Err(OpenApiError::Syntax { .. }) => "syntax",
            Err(OpenApiError::Version) => "version",
            Err(OpenApiError::Expected { .. }) => "expected",
            Err(OpenApiError::Path { .. }) => "path",
            Err(OpenApiError::Reference { .. }) => "reference",
            Err(OpenApiError::TooDeep { .. }) => "deep",
        };
        assert_eq!(told, expect, "{}", text.chars().take(120).collect::<String>());
    }
}

#[test]
fn schemas_in_circles_end() {
    let document = r##"{"openapi":"3.1.0","paths":{"/t":{"get":{"responses":{"200":{"content":{"application/json":{"schema":{"$ref":"#/$defs/A"}}}}},
        "requestBody":{"content":{"application/json":{"schema":{"$ref":"#/$defs/A"}}}}}}},
        "$defs":{"A":{"properties":{"b":{"$ref":"#/$defs/B"},"s":{"type":"string","x-parapet-classes":["x"]}}},
                 "B":{"properties":{"a":{"$ref":"#/$defs/A"},"t":{"type":"string","x-parapet-classes":["y"]}}}}}"##;
    let endpoints = read(document).unwrap();
    let mut fields: Vec<String> = endpoints[0].fields.iter().map(|field| field.path.to_string()).collect();
    fields.sort();
    // `$.b.a.s` is `$..s`.
    assert_eq!(fields, ["$..b.t", "$..s", "$.b.t", "$.s"]);
    assert_eq!(endpoints[0].body.len(), 2);
}
