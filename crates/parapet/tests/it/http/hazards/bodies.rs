//! HT08, HT09, HT10: bodies where a rule reads them. Two parsers must find the same values in them, or they are refused; where no
//! rule reads, they pass as they are.

use super::{Case, Expect, check, start};
use crate::bed::api::ApiBed;
use crate::bed::clients::run_with;
use crate::bed::peer;
use crate::bed::raw_http;
use crate::bed::tripwire::Tripwire;

/// Refunds above 100 are forbidden, and so is an account by a parameter.
const POLICY: &str = r#"
@id("no-large-refunds")
forbid (principal, action == Action::"http:POST", resource)
when { context has amounts && context.amounts.hasTag("amount") && context.amounts.getTag("amount") > 100 };

@id("only-euro")
forbid (principal, action == Action::"http:POST", resource)
when { context has body && context.body.hasTag("currency") && context.body.getTag("currency") != "EUR" };

@id("not-the-board")
forbid (principal, action == Action::"http:GET", resource)
when { context has query && context.query.hasTag("account") && context.query.getTag("account") == "board" };
"#;

const ENDPOINTS: &str = r#"unlisted = "allow"
[[upstreams.shop-api.endpoints]]
id = "refund"
method = "POST"
path = "/refunds"
body = { amount = "$.amount", currency = "$.currency" }
[[upstreams.shop-api.endpoints]]
id = "accounts"
method = "GET"
path = "/accounts"
"#;

fn guarded(name: &str) -> (ApiBed, Tripwire) {
    start(name, ENDPOINTS, POLICY)
}

/// A request with a body of this type; its length is right.
fn post(content_type: &str, coding: &str, body: &[u8]) -> Vec<u8> {
    let coding = if coding.is_empty() { String::new() } else { format!("Content-Encoding: {coding}\r\n") };
    let kind = if content_type.is_empty() { String::new() } else { format!("Content-Type: {content_type}\r\n") };
    let head = format!("POST /refunds HTTP/1.1\r\n@C{kind}{coding}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn json(body: &str) -> Vec<u8> {
    post("application/json", "", body.as_bytes())
}

fn utf16(text: &str, big: bool) -> Vec<u8> {
    text.encode_utf16().flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
}

const GOOD: &str = r#"{"amount": 5, "currency": "EUR"}"#;
const JSON: &str = "application/json";

#[test]
fn a_rule_on_a_body_reads_what_the_upstream_will() {
    let (bed, tripwire) = guarded("http-bodies");
    let deep = format!("{{\"amount\": 5, \"x\": {}1{}}}", "[".repeat(5000), "]".repeat(5000));
    let attacks: Vec<(&str, &str, Vec<u8>, u16)> = vec![
        ("HT08", "too large an amount", json(r#"{"amount": 500, "currency": "EUR"}"#), 403),
        ("HT08", "another currency", json(r#"{"amount": 5, "currency": "USD"}"#), 403),
        ("HT08", "a key twice, the first harmless", json(r#"{"amount": 5, "currency": "EUR", "amount": 500}"#), 400),
        ("HT08", "a key twice, the last harmless", json(r#"{"amount": 500, "amount": 5, "currency": "EUR"}"#), 400),
        ("HT08", "a key twice, once escaped", json(r#"{"amount": 5, "am\u006funt": 500, "currency": "EUR"}"#), 400),
        ("HT08", "a key twice, deeper", json(r#"{"amount": 5, "x": {"a": 1, "a": 2}, "currency": "EUR"}"#), 400),
        ("HT08", "not a number", json(r#"{"amount": NaN, "currency": "EUR"}"#), 400),
        ("HT08", "infinity", json(r#"{"amount": Infinity, "currency": "EUR"}"#), 400),
        ("HT08", "an exponent without end", json(r#"{"amount": 1e400, "currency": "EUR"}"#), 400),
        ("HT08", "more digits than a number holds", json(r#"{"amount": 99999999999999999999999, "currency": "EUR"}"#), 400),
        ("HT08", "deep nesting", json(&deep), 400),
        ("HT08", "a second value", json(r#"{"amount": 5, "currency": "EUR"} {"amount": 500}"#), 400),
        ("HT08", "a comment", json(r#"{"amount": 5 /* "amount": 500 */, "currency": "EUR"}"#), 400),
        ("HT08", "a comma too many", json(r#"{"amount": 5, "currency": "EUR",}"#), 400),
        ("HT08", "single quotes", json(r"{'amount': 500}"), 400),
        ("HT08", "cut short", json(r#"{"amount": 5, "currency": "EUR""#), 400),
        ("HT08", "half a surrogate in a key", json("{\"amount\": 5, \"\\ud800\": 1, \"currency\": \"EUR\"}"), 400),
        ("HT09", "not UTF-8", post(JSON, "", b"{\"amount\": 5, \"currency\": \"EUR\xff\"}"), 400),
        ("HT09", "UTF-16, little end first", post(JSON, "", &utf16(r#"{"amount": 500}"#, false)), 400),
        ("HT09", "UTF-16, big end first", post(JSON, "", &utf16(r#"{"amount": 500}"#, true)), 400),
        ("HT09", "UTF-16, as the type says", post("application/json; charset=utf-16", "", &utf16(r#"{"amount": 500}"#, true)), 415),
        ("HT09", "UTF-7, as the type says", post("application/json; charset=utf-7", "", br#"{"amount": 500}"#), 415),
        ("HT09", "JSON as plain text", post("text/plain", "", br#"{"amount": 500}"#), 415),
        ("HT09", "JSON as XML", post("application/xml", "", br#"{"amount": 500}"#), 415),
        ("HT09", "without a type", post("", "", br#"{"amount": 500}"#), 415),
        ("HT09", "a form as JSON", post(JSON, "", b"amount=500"), 400),
        ("HT08", "a form with a field twice", post("application/x-www-form-urlencoded", "", b"amount=5&amount=500&currency=EUR"), 400),
        ("HT08", "a form with a field twice, once escaped", post("application/x-www-form-urlencoded", "", b"amount=5&%61mount=500"), 400),
        ("HT08", "a form with semicolons", post("application/x-www-form-urlencoded", "", b"currency=EUR;amount=500"), 400),
        ("HT08", "a form with too large an amount", post("application/x-www-form-urlencoded", "", b"amount=500&currency=EUR"), 403),
        (
            "HT08",
            "parts with one name",
            post("multipart/form-data; boundary=b", "", b"--b\r\nContent-Disposition: form-data; name=\"amount\"\r\n\r\n5\r\n--b\r\nContent-Disposition: form-data; name=\"amount\"\r\n\r\n500\r\n--b--\r\n"),
            400,
        ),
        (
            "HT09",
            "two boundaries",
            post("multipart/form-data; boundary=b; boundary=c", "", b"--c\r\nContent-Disposition: form-data; name=\"amount\"\r\n\r\n500\r\n--c--\r\n"),
            415,
        ),
        ("HT10", "a coding that nobody knows", post(JSON, "sdch", br#"{"amount": 500}"#), 415),
        ("HT10", "a coding that is old", post(JSON, "compress", br#"{"amount": 500}"#), 415),
        ("HT08", "a parameter twice", b"GET /accounts?account=mine&account=board HTTP/1.1\r\n@C\r\n".to_vec(), 400),
        ("HT08", "a parameter twice, once escaped", b"GET /accounts?account=mine&%61ccount=board HTTP/1.1\r\n@C\r\n".to_vec(), 400),
        ("HT08", "parameters and semicolons", b"GET /accounts?x=1;account=board HTTP/1.1\r\n@C\r\n".to_vec(), 400),
        ("HT08", "a forbidden parameter", b"GET /accounts?account=board HTTP/1.1\r\n@C\r\n".to_vec(), 403),
        ("HT08", "a forbidden parameter, escaped", b"GET /accounts?%61ccount=bo%61rd HTTP/1.1\r\n@C\r\n".to_vec(), 403),
    ];
    let leak = |bytes: Vec<u8>| -> &'static [u8] { Vec::leak(bytes) };
    let twin = leak(json(GOOD));
    let cases: Vec<Case> = attacks
        .into_iter()
        .map(|(id, name, attack, status)| Case {
            id,
            name,
            attack: leak(attack),
            expect: Expect::Refused(status),
            twin,
        })
        .collect();
    check(&bed, &tripwire, &cases);
}

#[test]
fn good_bodies_pass_whole() {
    let (bed, tripwire) = guarded("http-good-bodies");
    for (name, request) in [
        ("plain", json(GOOD)),
        ("with white space", json(" \r\n{ \"currency\" : \"EUR\" , \"amount\" : 100 }\n")),
        ("with an escape", json(r#"{"am\u006funt": 7, "currency": "\u0045UR"}"#)),
        (
            "with other members",
            json(r#"{"amount": 1, "currency": "EUR", "lines": [{"a": 1}, {"a": 1}], "note": "\ud83d\ude00"}"#),
        ),
        ("utf-8 said", post("application/json; charset=UTF-8", "", GOOD.as_bytes())),
        ("a suffix", post("application/vnd.shop+json", "", GOOD.as_bytes())),
        ("a form", post("application/x-www-form-urlencoded", "", b"amount=5&currency=EUR")),
    ] {
        let answer = raw_http::send(bed.port(), &super::fill(&bed, &request));
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        let got = tripwire.take();
        let body = &request[crate::bed::tripwire::find(&request, b"\r\n\r\n").unwrap() + 4..];
        assert!(got.ends_with(body), "{name}: the body changed on its way: {:?}", String::from_utf8_lossy(&got));
    }
}

/// The same body in each coding, and what only unpacks to more than may be.
#[test]
fn codings_do_not_hide_a_body() {
    const PACK: &str = r#"
import sys, json, gzip, zlib, brotli, zstandard
coders = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress, "zstd": zstandard.ZstdCompressor().compress}
bodies = {"good": b'{"amount": 5, "currency": "EUR"}', "large": b'{"amount": 500, "currency": "EUR"}', "bomb": b'{"amount": 5, "x": "' + b"x" * 200_000_000 + b'"}'}
out = {f"{body} {name}": coder(text).hex() for name, coder in coders.items() for body, text in bodies.items()}
out["nested gzip, gzip"] = gzip.compress(gzip.compress(bodies["large"])).hex()
out["cut gzip"] = gzip.compress(bodies["good"])[:-9].hex()
out["tail gzip"] = (gzip.compress(bodies["good"]) + b"tail").hex()
json.dump(out, sys.stdout)
"#;
    if peer::command("origin.mjs").is_none() {
        return;
    }
    let packed = run_with(std::process::Command::new(peer::installed("venv/bin/python")).args(["-c", PACK]), "");
    packed.assert_done();
    let packed: std::collections::BTreeMap<String, String> = serde_json::from_str(&packed.out).unwrap();
    let (bed, tripwire) = guarded("http-codings");
    let mut wrong = Vec::new();
    for (name, hex) in packed {
        let bytes: Vec<u8> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        let (what, coding) = name.split_once(' ').unwrap();
        let answer = raw_http::send(bed.port(), &super::fill(&bed, &post(JSON, coding, &bytes)));
        let got = tripwire.take();
        let fine = match what {
            // Read, or refused because it cannot be: never passed unread.
            "good" => answer.status == 200 || answer.status == 415,
            "large" => [403, 415].contains(&answer.status) && got.is_empty(),
            _ => [400, 413, 415].contains(&answer.status) && got.is_empty(),
        };
        if !fine {
            wrong.push(format!("HT10 {name}: answered {}, {} bytes reached the upstream", answer.status, got.len()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
