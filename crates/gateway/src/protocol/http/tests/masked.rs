//! What must not come back from a client because a mask made it (hazards MK18), and parts of answers that nobody asked for (HT14).

use std::convert::Infallible;
use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use futures_util::{StreamExt as _, stream};
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper::client::conn::http2;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wire::http::endpoint::{Endpoint, Endpoints, Field, Template, Unlisted};
use wire::http::json_path::JsonPath;

use super::bed::{Bed, name, ok, request, token};
use super::check;

const JSON: &str = "content-type: application/json\r\n";

/// A request whose body comes in chunks of that size.
fn chunked(line: &str, body: &str, size: usize) -> String {
    let mut said = request(line, &format!("{JSON}transfer-encoding: chunked\r\n"), "");
    for chunk in body.as_bytes().chunks(size) {
        said.push_str(&format!("{:x}\r\n{}\r\n", chunk.len(), String::from_utf8_lossy(chunk)));
    }
    said + "0\r\n\r\n"
}

#[tokio::test]
async fn what_a_mask_made_is_not_written_back() {
    let masked = r#"{"name":"Ann","contact":{"e\u006dail":"[redacted]"}}"#;
    let long = format!(r#"{{"name":"{}","email":"[redacted]"}}"#, "x".repeat(8192));
    let merged = "content-type: application/merge-patch+json\r\n";
    let pointed = "content-type: application/json-patch+json\r\n";
    let pointers = r#"[{"op":"replace","path":"/email","value":"[redacted]"}]"#.to_owned();
    for (name, said) in [
        ("whole", request("PUT /v1/customers/7", JSON, masked)),
        ("in the query", request("PATCH /v1/customers/7?id=7&email=%5Bredacted%5D", "", "")),
        (
            "in the query, with a body",
            request("PUT /v1/customers/7?email=[redacted]", "content-type: text/plain\r\n", "x"),
        ),
        ("a patch", request("PATCH /v1/customers/7", merged, masked)),
        ("a patch by pointers", request("PATCH /v1/customers/7", pointed, &pointers)),
        ("in chunks", chunked("PUT /v1/customers/7", masked, 7)),
        ("byte by byte", chunked("PUT /v1/customers/7", masked, 1)),
        ("longer than what is read whole", request("PUT /v1/customers/7", JSON, &long)),
    ] {
        let bed = Bed::new().await;
        let answer = bed.talk(&said).await;
        check(&answer, &["HTTP/1.1 403", "PAR0213", "write only the columns"]);
        let heard = bed.tripwire.heard();
        assert!(!heard.contains("redacted"), "{name}: {heard}");
        assert!(!heard.ends_with("0\r\n\r\n"), "{name}: a whole request came: {heard}");
        check(&bed.house.entries().join("\n"), &["masked_value"]);
    }
    for (name, said) in [
        ("a value of their own", request("PUT /v1/customers/7", JSON, r#"{"email":"bob@example.com"}"#)),
        ("a value of their own, in chunks", chunked("PUT /v1/customers/7", r#"{"email":"bob@example.com"}"#, 5)),
        ("another field", request("PUT /v1/customers/7", JSON, r#"{"name":"[redacted]"}"#)),
        ("no json", request("PUT /v1/customers/7", "content-type: text/plain\r\n", masked)),
        ("where nothing is masked", request("PUT /v1/open/7", JSON, masked)),
        ("another field in the query", request("PUT /v1/customers/7?name=%5Bredacted%5D&email=a", "", "")),
        ("nothing at all", request("PUT /v1/customers/7", JSON, "")),
    ] {
        let bed = Bed::new().await;
        let answer = bed.talk(&said).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{name}: {answer}");
    }
}

const FORM: &str = "content-type: application/x-www-form-urlencoded\r\n";
const PARTS: &str = "content-type: multipart/form-data; boundary=b\r\n";

fn part(head: &str, content: &str) -> String {
    format!("--b\r\nContent-Disposition: form-data; name=\"{head}\r\n\r\n{content}\r\n--b--\r\n")
}

/// Sends a body whole, and in chunks of seven bytes: each answer, and what the upstream heard.
async fn told(line: &str, head: &str, body: &[u8]) -> Vec<(String, String)> {
    let whole = request(line, &format!("{head}content-length: {}\r\n", body.len()), "").into_bytes();
    let mut chunks = request(line, &format!("{head}transfer-encoding: chunked\r\n"), "").into_bytes();
    for chunk in body.chunks(7) {
        chunks.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        chunks.extend([chunk, b"\r\n"].concat());
    }
    let mut all = Vec::new();
    for said in [[&whole, body].concat(), [chunks.as_slice(), b"0\r\n\r\n"].concat()] {
        let bed = Bed::new().await;
        let mut client = bed.connect(false);
        client.write_all(&said).await.unwrap();
        drop(client.shutdown().await);
        let mut answer = Vec::new();
        drop(client.read_to_end(&mut answer).await);
        all.push((String::from_utf8_lossy(&answer).into_owned(), bed.tripwire.heard()));
    }
    all
}

#[tokio::test]
async fn nor_in_forms_and_parts() {
    for (head, body) in [
        (FORM, "name=Ann&email=%5Bredacted%5D".to_owned()),
        (FORM, "contact%5Bemail%5D=a***%40e***.com&name=Ann".to_owned()),
        (FORM, r#"{"email":"[redacted]"}"#.to_owned()),
        ("", "name=Ann&email=[redacted]".to_owned()),
        (PARTS, part("email\"", "[redacted]")),
        (PARTS, part("customer\"\r\nContent-Type: application/json", r#"{"email":"[redacted]"}"#)),
    ] {
        for (answer, heard) in told("PUT /v1/customers/7", head, body.as_bytes()).await {
            check(&answer, &["HTTP/1.1 403", "PAR0213"]);
            assert!(!heard.ends_with("0\r\n\r\n"), "{body}: a whole request came: {heard}");
        }
        for (answer, _) in told("PUT /v1/open/7", head, body.as_bytes()).await {
            check(&answer, &["HTTP/1.1 200"]);
        }
    }
    for (head, body) in [
        (FORM, "email=bob%40example.com&name=%5Bredacted%5D".to_owned()),
        (PARTS, part("name\"", "[redacted]")),
        (PARTS, part("email\"", "bob@example.com")),
    ] {
        for (answer, heard) in told("PUT /v1/customers/7", head, body.as_bytes()).await {
            check(&answer, &["HTTP/1.1 200"]);
            assert!(heard.contains("PUT /v1/customers/7"), "{heard}");
        }
    }
}

/// Of a body whose length is known the upstream has all at its last byte, whether HTTP/2's end of the stream comes or not.
#[tokio::test]
async fn nor_at_the_very_end_of_a_long_form() {
    let filler = "x".repeat(8192);
    for (last, status) in [("&email=%5Bredacted%5D", StatusCode::FORBIDDEN), ("&email=bob", StatusCode::OK)] {
        let bed = Bed::new().await;
        let pieces = [format!("name={filler}"), last.to_owned()];
        let length: usize = pieces.iter().map(String::len).sum();
        let frames = pieces.map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from(piece))));
        let body = StreamBody::new(stream::iter(frames).chain(stream::pending()));
        let said = Request::put("http://payments.internal/v1/customers/7")
            .header("authorization", format!("Bearer {}", token("bot")))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("content-length", length)
            .body(body)
            .unwrap();
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(bed.connect(true))).await.unwrap();
        bed.tasks.spawn("client's connection", async move { drop(connection.await) });
        let answer = sender.send_request(said).await.unwrap();
        assert_eq!(answer.status(), status, "{last}");
        assert_eq!(bed.tripwire.heard().contains(last), status == StatusCode::OK, "{last}");
    }
}

/// What cannot be searched does not pass, where there is something to be found.
#[tokio::test]
async fn what_cannot_be_searched_does_not_pass() {
    let utf16 = "content-type: application/json; charset=utf-16\r\n";
    let base64 = part("email\"\r\nContent-Transfer-Encoding: base64", "W3JlZGFjdGVkXQ==");
    for (head, body, status) in [
        (JSON, "{'email':'[redacted]'}", "400"),
        (utf16, "{}", "415"),
        (PARTS, &base64, "415"),
        ("content-type: multipart/form-data\r\n", "", "415"),
        ("content-encoding: zip\r\ncontent-type: application/json\r\n", "{}", "415"),
        ("content-encoding: gzip\r\ncontent-type: application/json\r\n", "{}", "400"),
        ("content-encoding: gzip, gzip\r\ncontent-type: application/json\r\n", "{}", "415"),
    ] {
        // An empty body is as good as none.
        let body = if body.is_empty() { "x" } else { body };
        for (answer, heard) in told("PUT /v1/customers/7", head, body.as_bytes()).await {
            check(&answer, &[&format!("HTTP/1.1 {status}"), "PAR0223"]);
            assert!(!heard.ends_with("0\r\n\r\n"), "{body}: a whole request came: {heard}");
        }
        for (answer, _) in told("PUT /v1/open/7", head, body.as_bytes()).await {
            check(&answer, &["HTTP/1.1 200"]);
        }
    }
}

#[tokio::test]
async fn nor_compressed() {
    let gzip = |text: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    let deflate = |text: &[u8]| {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    let zstd = |text: &[u8]| ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest);
    type Coder<'c> = &'c dyn Fn(&[u8]) -> Vec<u8>;
    let codings: [(&str, Coder<'_>); 3] = [("gzip", &gzip), ("deflate", &deflate), ("zstd", &zstd)];
    for (coding, coder) in codings {
        let filler = "x".repeat(5000);
        for (kind, masked, own) in [
            (JSON, format!(r#"{{"name":"{filler}","email":"[redacted]"}}"#), r#"{"email":"bob@example.com"}"#),
            (FORM, "email=%5Bredacted%5D".to_owned(), "email=bob"),
        ] {
            let head = format!("{kind}content-encoding: {coding}\r\n");
            for (answer, heard) in told("PUT /v1/customers/7", &head, &coder(masked.as_bytes())).await {
                check(&answer, &["HTTP/1.1 403", "PAR0213"]);
                assert!(!heard.ends_with("0\r\n\r\n"), "{coding}: a whole request came");
            }
            for (answer, heard) in told("PUT /v1/customers/7", &head, &coder(own.as_bytes())).await {
                check(&answer, &["HTTP/1.1 200"]);
                check(&heard, &[&format!("content-encoding: {coding}")]);
            }
        }
        // Half of it; and a little that becomes much.
        let half = coder(b"{}").split_last().unwrap().1.to_vec();
        let much = (coding == "gzip").then(|| coder(&[b"[".as_slice(), &vec![b' '; 17 << 20]].concat()));
        for body in [Some(half), much].into_iter().flatten() {
            let bed = Bed::with(|upstream| upstream.limits.body = 1 << 20).await;
            let head = format!("{JSON}content-encoding: {coding}\r\ncontent-length: {}\r\n", body.len());
            let mut client = bed.connect(false);
            client.write_all(request("PUT /v1/customers/7", &head, "").as_bytes()).await.unwrap();
            client.write_all(&body).await.unwrap();
            let answer = super::bed::until(&mut client, "}").await;
            check(&answer, &["HTTP/1.1 400", "PAR0223"]);
            assert_eq!(bed.tripwire.heard(), "", "{coding}");
        }
    }
}

#[tokio::test]
async fn nor_by_a_mutation() {
    let bed = |selection: Option<&'static str>| {
        Bed::with(move |upstream| {
            let mut endpoint = Endpoint::new("POST", Template::parse("/graphql").unwrap());
            endpoint.graphql = true;
            endpoint.selections = selection.into_iter().map(Arc::from).collect();
            upstream.endpoints = Arc::new(Endpoints::new(&name("payments"), vec![endpoint], Unlisted::Deny).unwrap());
        })
    };
    let mask = |scope: &str| {
        format!("@id(\"m\") @mask(\"redact\") forbid(principal, action == Action::\"graphql:query\", {scope};")
    };
    let by_id = mask("resource == Field::\"payments/graphql Query.customer.email\")");
    let by_name = mask("resource is Field) when { resource.name == \"Query.customer.email\" }");
    let by_pattern = mask("resource is Field) when { resource.name like \"Query.*.email\" }");
    let elsewhere = mask("resource == Field::\"payments/other Query.customer.email\")");
    let classed = Some("Query.customer.email");
    let cases = [
        (classed, &by_id, true),
        (None, &by_id, true),
        (None, &by_name, true),
        (None, &by_pattern, true),
        (classed, &elsewhere, false),
        (None, &elsewhere, false),
    ];
    for (body, status, heard) in [
        (r#"{"query":"mutation { update(id: 7, email: \"[redacted]\") { id } }"}"#, "403", false),
        (r#"{"query":"mutation($e: E) { update(email: $e) { id } }","variables":{"e":"[redacted]"}}"#, "403", false),
        (r#"{"query":"mutation { update(id: 7, email: \"bob@example.com\") { id } }"}"#, "200", true),
        (r#"{"query":"mutation { update(id: 7, name: \"[redacted]\") { id } }"}"#, "200", true),
        (r#"{"query":"query { customer(email: \"[redacted]\") { id } }"}"#, "200", true),
    ] {
        for (selection, more, is_masked) in cases {
            let (status, heard) = if is_masked { (status, heard) } else { ("200", true) };
            let bed = bed(selection).await;
            bed.house.reload_after_next_look(more);
            for said in [request("POST /graphql", JSON, body), chunked("POST /graphql", body, 7)] {
                let answer = bed.talk(&said).await;
                check(&answer, &[&format!("HTTP/1.1 {status}")]);
                assert_eq!(answer.contains("PAR0213"), !heard, "{answer}");
            }
            assert_eq!(!bed.tripwire.heard().is_empty(), heard, "{body}");
        }
    }
}

/// An upstream with a field that no policy masks but these.
async fn phone_book(policies: &str) -> Bed {
    let bed = Bed::with(|upstream| {
        let endpoint = |method| Endpoint::new(method, Template::parse("/v1/people/{id}").unwrap());
        let mut get = endpoint("GET");
        get.id = Some("one-person".into());
        get.fields = vec![Field { path: JsonPath::parse("$.phone").unwrap(), classes: Vec::new() }];
        let endpoints = vec![get, endpoint("PUT"), endpoint("POST")];
        upstream.endpoints = Arc::new(Endpoints::new(&name("payments"), endpoints, Unlisted::Deny).unwrap());
    })
    .await;
    bed.house.reload(policies);
    bed
}

const UTF16: &str = "content-type: application/json; charset=utf-16\r\n";
/// By what only readings have.
const READINGS: [&str; 2] = [
    "when { context.http.method == \"GET\" }",
    "when { context.http has operation && context.http.operation == \"one-person\" }",
];

/// Who is shown everything may write what looks like a mask, and what cannot be searched; it is not read whole either.
#[tokio::test]
async fn who_sees_all_is_not_searched() {
    let bed = phone_book("").await;
    for (head, body) in [(JSON, r#"{"phone":"[redacted]"}"#), (UTF16, "{}"), (JSON, "{'phone'")] {
        let mut client = bed.connect(false);
        let head = format!("{head}content-length: {}\r\n", body.len());
        let (first, last) = body.split_at(1);
        client.write_all((request("PUT /v1/people/7", &head, "") + first).as_bytes()).await.unwrap();
        while !bed.tripwire.heard().ends_with(&format!("\r\n\r\n{first}")) {
            tokio::task::yield_now().await;
        }
        client.write_all(last.as_bytes()).await.unwrap();
        check(&super::bed::until(&mut client, "}").await, &["HTTP/1.1 200"]);
    }
    for condition in READINGS {
        let mask = format!(
            "@id(\"m\") @mask(\"redact\") forbid(principal, action == Action::\"http:field\", resource) {condition};"
        );
        let bed = phone_book(&mask).await;
        for said in [
            request("PUT /v1/people/7", JSON, r#"{"Phone":"[redacted]"}"#),
            chunked("PUT /v1/people/7", r#"{"phone":"[redacted]"}"#, 7),
        ] {
            check(&bed.talk(&said).await, &["HTTP/1.1 403", "PAR0213"]);
        }
        check(&bed.talk(&request("PUT /v1/people/7", UTF16, "{}")).await, &["HTTP/1.1 415", "PAR0223"]);
    }
}

/// Who may not read a field may have been handed what a mask made of it by who may.
#[tokio::test]
async fn who_only_writes_is_searched() {
    let never = "@id(\"n\") forbid(principal, action == Action::\"http:field\", resource);";
    for (head, body, status) in
        [(JSON, r#"{"phone":"[redacted]"}"#, "403"), (JSON, r#"{"phone":"+43 1 23456"}"#, "200"), (UTF16, "{}", "415")]
    {
        let bed = phone_book(never).await;
        let answer = bed.talk(&request("PUT /v1/people/7", head, body)).await;
        check(&answer, &[&format!("HTTP/1.1 {status}")]);
        assert_eq!(bed.tripwire.heard().is_empty(), status != "200", "{body}");
    }
}

/// Nothing is nothing, of whatever type it is said to be.
#[tokio::test]
async fn nothing_needs_no_search() {
    for head in [
        UTF16,
        "content-type: multipart/form-data\r\n",
        "content-encoding: zip\r\ncontent-type: application/json\r\n",
        "content-encoding: gzip\r\ncontent-type: application/json\r\n",
        "content-encoding: gzip, gzip\r\ncontent-type: application/json\r\n",
    ] {
        for length in ["", "content-length: 0\r\n"] {
            let bed = Bed::new().await;
            for line in ["PUT /v1/customers/7", "POST /v1/open/7"] {
                let answer = bed.talk(&request(line, &format!("{head}{length}"), "")).await;
                assert!(answer.starts_with("HTTP/1.1 200"), "{line} {head}{length}: {answer}");
            }
        }
        let bed = Bed::new().await;
        let chunked = format!("{head}transfer-encoding: chunked\r\n");
        let answer = bed.talk(&(request("PUT /v1/customers/7", &chunked, "") + "0\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{head} in chunks: {answer}");
    }
}

/// What is refused before any of it is sent draws on nothing; what was sent in part, on all.
#[tokio::test]
async fn what_a_mask_made_draws_on_no_budget() {
    let once = "@id(\"once\") @limit(\"per=1/1h\") forbid(principal, action == Action::\"http:PUT\", resource);";
    let masked = r#"{"email":"[redacted]"}"#;
    let own = request("PUT /v1/customers/7", JSON, r#"{"email":"bob@example.com"}"#);
    for (said, then) in [
        (request("PUT /v1/customers/7", JSON, masked), "HTTP/1.1 200"),
        (chunked("PUT /v1/customers/7", masked, 7), "HTTP/1.1 429"),
    ] {
        let bed = Bed::new().await;
        bed.house.reload(once);
        check(&bed.talk(&said).await, &["HTTP/1.1 403", "PAR0213"]);
        check(&bed.talk(&own).await, &[then]);
    }
}

/// People are not asked about what may not be done anyway.
#[tokio::test]
async fn what_a_mask_made_is_not_held() {
    let bed = Bed::new().await;
    bed.house.reload_after_next_look(
        "@id(\"asks\") @approve(\"ops\") forbid(principal, action == Action::\"http:PUT\", resource);",
    );
    let answer = bed.talk(&chunked("PUT /v1/customers/7", r#"{"email":"[redacted]"}"#, 7)).await;
    check(&answer, &["HTTP/1.1 403", "PAR0213"]);
    assert_eq!(bed.house.approvals().len(), 0);
    assert_eq!(bed.tripwire.heard(), "");
}

/// A part says nothing of the place that a value has in the whole.
#[tokio::test]
async fn parts_of_masked_answers_are_withheld() {
    let part = r#""ann@example.com""#;
    for (status, more) in [
        ("206 Partial Content", "content-range: bytes 9-25/27\r\n"),
        ("206 Partial Content", ""),
        ("200 OK", "content-range: bytes 9-25/27\r\n"),
        ("226 IM Used", ""),
    ] {
        let bed = Bed::new().await;
        let said = ok(part).replace("200 OK", status).replace("content-type", &format!("{more}content-type"));
        bed.tripwire.answer(said.clone());
        let answer = bed.talk(&request("GET /v1/customers/7", "range: bytes=9-25\r\n", "")).await;
        check(&answer, &["HTTP/1.1 503", "PAR0212"]);
        assert!(!answer.contains("ann@"), "{answer}");
        assert!(!bed.tripwire.heard().contains("range"), "{}", bed.tripwire.heard());
        // Where nothing is masked, a part is as good as the whole.
        let bed = Bed::new().await;
        bed.tripwire.answer(said);
        let answer = bed.talk(&request("GET /v1/open/7", "range: bytes=9-25\r\n", "")).await;
        check(&answer, &[status, "ann@"]);
    }
}
