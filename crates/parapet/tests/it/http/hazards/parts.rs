//! HT14, and HT12 as far as the reverse gateway goes: parts of answers, where masks see only whole ones; and answers that lead
//! elsewhere.

use super::start;
use crate::bed::api::Api;
use crate::bed::raw_http::{self, Kept};

/// A field with a class on every route below `/customers`.
const MASKED: &str = r#"unlisted = "allow"
[[upstreams.shop-api.endpoints]]
id = "customer"
method = "GET"
path = "/customers/{id}"
[[upstreams.shop-api.endpoints]]
id = "customer-head"
method = "HEAD"
path = "/customers/{id}"
[upstreams.shop-api.fields]
"$.email" = ["pii"]
"#;
const BODY: &str = r#"{"id":7,"email":"canary-5f2a@canary.example","name":"Ada"}"#;

fn whole() -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\netag: \"tag-canary\"\r\nlast-modified: Sat, 21 Nov 2026 10:00:00 GMT\r\n\
         content-md5: canary\r\ndigest: sha-256=canary\r\naccept-ranges: bytes\r\ncache-control: public, max-age=600\r\ncontent-length: {}\r\n\r\n{BODY}",
        BODY.len()
    )
    .into_bytes()
}

#[test]
fn no_part_of_an_answer_escapes_its_mask() {
    let (bed, tripwire) = start("http-parts", MASKED, "");
    tripwire.answer(&whole());
    let mut fetched = String::new();
    for at in 0..BODY.len() {
        for header in [format!("Range: bytes={at}-{at}"), format!("Range: bytes={at}-\r\nIf-Range: \"tag-canary\"")] {
            let request =
                format!("GET /customers/7 HTTP/1.1\r\n{}Connection: close\r\n{header}\r\n\r\n", bed.lines("reporting"));
            let answer = raw_http::send(bed.port(), request.as_bytes());
            let got = String::from_utf8(tripwire.take()).unwrap().to_lowercase();
            assert!(!got.contains("range:"), "{got}");
            assert_eq!(answer.status, 200, "{answer:?}");
            fetched.push_str(&answer.text());
        }
        // A connection for each letter is more than enough of them.
        if at == 12 {
            break;
        }
    }
    assert!(!fetched.contains("canary"), "{fetched}");
    for header in [
        "If-None-Match: \"tag-canary\"",
        "If-Modified-Since: Sat, 21 Nov 2026 10:00:00 GMT",
        "If-Match: \"tag-canary\"",
    ] {
        let request =
            format!("GET /customers/7 HTTP/1.1\r\n{}Connection: close\r\n{header}\r\n\r\n", bed.lines("reporting"));
        let answer = raw_http::send(bed.port(), request.as_bytes());
        let got = String::from_utf8(tripwire.take()).unwrap().to_lowercase();
        assert!(!got.contains("tag-canary") && !got.contains("if-modified-since"), "{header}: {got}");
        assert_eq!(answer.status, 200, "{header}: {answer:?}");
        for name in ["etag", "last-modified", "digest", "content-md5", "accept-ranges"] {
            assert_eq!(answer.field(name), None, "{header}: {}", answer.head);
        }
        assert!(answer.field("cache-control").is_some_and(|value| value.contains("no-store")), "{}", answer.head);
        assert_eq!(answer.field("parapet-masked"), Some("email"), "{}", answer.head);
    }
    // A workload that may see the field gets the answer as it is.
    let request = format!("GET /customers/7 HTTP/1.1\r\n{}Connection: close\r\n\r\n", bed.lines("auditor"));
    let answer = raw_http::send(bed.port(), request.as_bytes());
    assert!(answer.text().contains("canary-5f2a@canary.example"), "{answer:?}");
}

#[test]
fn what_an_upstream_sends_in_parts_unasked_is_refused() {
    let (bed, tripwire) = start("http-unasked-parts", MASKED, "");
    let part = &BODY[16..40];
    for (name, answer) in [
        ("206", format!("HTTP/1.1 206 Partial Content\r\ncontent-type: application/json\r\ncontent-range: bytes 16-39/60\r\ncontent-length: {}\r\n\r\n{part}", part.len())),
        ("a coding nobody knows", format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: rot13\r\ncontent-length: {}\r\n\r\n{BODY}", BODY.len())),
        ("a type that cannot be masked", format!("HTTP/1.1 200 OK\r\ncontent-type: text/csv\r\ncontent-length: {}\r\n\r\n{BODY}", BODY.len())),
        ("no type", format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{BODY}", BODY.len())),
        ("parts", format!("HTTP/1.1 206 Partial Content\r\ncontent-type: multipart/byteranges; boundary=b\r\ncontent-length: {}\r\n\r\n{BODY}", BODY.len())),
        ("not JSON", "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 33\r\n\r\nemail=canary-5f2a@canary.example\r\n".to_owned()),
        ("cut short", format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{}", 38, &BODY[..38])),
    ] {
        tripwire.answer(answer.as_bytes());
        let request = format!("GET /customers/7 HTTP/1.1\r\n{}Connection: close\r\n\r\n", bed.lines("reporting"));
        let answer = raw_http::send(bed.port(), request.as_bytes());
        let all = format!("{}{}", answer.head, answer.text());
        assert!(!all.contains("canary"), "{name}: {all}");
        // It is an error, or an answer that does not end as one.
        let ended = answer.field("content-length").is_some() || answer.text().ends_with("0\r\n\r\n");
        assert!(answer.status >= 500 || !ended, "{name} looks like success: {all}");
    }
}

/// HEAD tells a length and a tag, which are those of the clear answer.
#[test]
fn head_tells_nothing_of_what_is_masked() {
    let (bed, tripwire) = start("http-head", MASKED, "");
    let head = whole();
    let head = &head[..head.len() - BODY.len()];
    tripwire.answer(head);
    let mut client = Kept::open(bed.port());
    client.write(format!("HEAD /customers/7 HTTP/1.1\r\n{}\r\n", bed.lines("reporting")).as_bytes());
    let head = String::from_utf8(client.until(b"\r\n\r\n")).unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    for part in ["etag", "tag-canary", "content-length: 58", "content-md5", "last-modified"] {
        assert!(!head.contains(part), "{part}: {head}");
    }
}

/// HT12: an answer that leads elsewhere is the client's to follow, never ours; and an upstream is a name, not what a client says.
#[test]
fn nothing_is_followed() {
    let (bed, tripwire) = start("http-redirects", "unlisted = \"allow\"", "");
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let answer = format!(
            "HTTP/1.1 {status}\r\nlocation: http://127.0.0.1:{}/followed\r\ncontent-length: 0\r\n\r\n",
            tripwire.port()
        );
        tripwire.answer(answer.as_bytes());
        let request = format!("GET /a HTTP/1.1\r\n{}Connection: close\r\n\r\n", bed.lines("reporting"));
        let answer = raw_http::send(bed.port(), request.as_bytes());
        assert_eq!(answer.status.to_string(), &status[..3], "{answer:?}");
        let got = String::from_utf8(tripwire.take()).unwrap();
        assert!(!got.contains("/followed"), "{got}");
    }
}

/// HT12: an upstream in clear is on loopback; no configuration leads the gateway to another host without TLS.
#[test]
fn an_upstream_elsewhere_needs_tls() {
    for url in [
        "http://169.254.169.254",
        "http://10.0.0.1",
        "http://metadata.google.internal",
        "http://2852039166",
        "http://[::ffff:169.254.169.254]",
    ] {
        let api = Api::new("http-plain-elsewhere").upstream("shop-api", url, "");
        let ran = api.check();
        assert_eq!(ran.code, 3, "{url}: {ran:?}");
    }
}
