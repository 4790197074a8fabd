//! What must not come back from a client because a mask made it (hazards MK18), and parts of answers that nobody asked for (HT14).

use super::bed::{Bed, ok, request};
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
        ("nothing at all", request("PUT /v1/customers/7", JSON, "")),
    ] {
        let bed = Bed::new().await;
        let answer = bed.talk(&said).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{name}: {answer}");
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
