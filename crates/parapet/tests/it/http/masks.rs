//! Masks on JSON as it streams: over chunks, every coding, HTTP/2, lines, and events. What a client got is searched byte by byte.

use std::process::Command;

use serde_json::{Value, json};

use crate::bed::api::{Api, ApiBed};
use crate::bed::authority;
use crate::bed::clients::{run, run_with};
use crate::bed::folder::Folder;
use crate::bed::peer::{self, Peer};
use crate::bed::raw_http;
use crate::bed::tripwire::{Tripwire, find};

/// A word that stands in every masked value and nowhere else.
const CANARY: &str = "c4n4ry7f";

const ROUTES: &str = r#"unlisted = "allow"
[upstreams.shop-api.fields]
"$.customers[*].email" = ["pii"]
"$.customers[*].address.phone" = ["pii"]
"$.email" = ["pii"]
"$.address.phone" = ["pii"]
"#;

/// No form of the canary stands in what came, whatever it was packed into.
fn assert_hidden(name: &str, bytes: &[u8]) {
    for form in [
        CANARY.to_owned(),
        CANARY.to_uppercase(),
        CANARY.chars().rev().collect(),
        "YzRuNHJ5N2".to_owned(),
        "63346e347279".to_owned(),
    ] {
        assert!(
            find(bytes, form.as_bytes()).is_none(),
            "{name}: `{form}` came through: {}",
            String::from_utf8_lossy(bytes)
        );
    }
}

struct Masked {
    bed: ApiBed,
    _origin: Peer,
    _folder: Folder,
}

fn masked(name: &str) -> Option<Masked> {
    let folder = Folder::new(&format!("{name}-origin"));
    let ca = authority::issue(&folder, &["localhost"]);
    folder.make("files");
    let origin = Peer::start("origin.mjs", &folder)?;
    files(&folder);
    let two = ROUTES.replace("shop-api", "two-api");
    let bed = Api::new(name)
        .upstream("shop-api", &format!("http://localhost:{}", origin.port("http")), ROUTES)
        .upstream(
            "two-api",
            &format!("https://localhost:{}", origin.port("https")),
            &format!("hosts = [\"two.internal\"]\nca = {ca:?}\n{two}"),
        )
        .start();
    Some(Masked { bed, _origin: origin, _folder: folder })
}

/// The same customers in each coding, for the origin to send in small pieces.
fn files(folder: &Folder) {
    const PACK: &str = r#"
import sys, json, gzip, brotli, zstandard
folder, canary = sys.argv[1:]
one = lambda n: {"id": n, "email": f"{canary}-{n}@example.com", "note": "é😀\u2028", "address": {"phone": f"+31 {canary}", "city": "Delft"}}
text = json.dumps({"customers": [one(n) for n in range(50)]}).encode()
for name, data in {"plain.json": text, "c.json.gz": gzip.compress(text), "c.json.br": brotli.compress(text), "c.json.zst": zstandard.ZstdCompressor().compress(text),
                   "members.json.gz": b"".join(gzip.compress(text[at:at + 700]) for at in range(0, len(text), 700))}.items():
    open(f"{folder}/{name}", "wb").write(data)
"#;
    run(Command::new(peer::installed("venv/bin/python")).args([
        "-c",
        PACK,
        &folder.join("files").display().to_string(),
        CANARY,
    ]))
    .assert_done();
}

#[test]
fn no_canary_comes_through_in_any_coding_or_version() {
    let Some(masked) = masked("http-masks") else { return };
    let query = format!("secret={CANARY}&n=40");
    let mut paths = vec![format!("/customers?{query}"), format!("/v1/customers/7?secret={CANARY}")];
    paths.extend(["gzip", "br", "deflate"].map(|coding| format!("/customers?{query}&encoding={coding}")));
    for file in ["plain.json", "c.json.gz", "c.json.br", "c.json.zst", "members.json.gz"] {
        paths.extend([1, 7, 61, 4096].map(|piece| format!("/files/{file}?piece={piece}")));
        paths.push(format!("/files/{file}?length=1"));
    }
    for host in ["shop.internal", "two.internal"] {
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            for path in &paths {
                for accepted in ["identity", "gzip", "br", "zstd", "gzip, br, zstd;q=0.5, *"] {
                    if accepted != "identity" && !path.contains("json") && !path.contains("encoding") {
                        continue;
                    }
                    let named = format!("Host: {host}");
                    let coding = format!("Accept-Encoding: {accepted}");
                    let ran = masked.bed.curl("reporting", path, &[version, "-H", &named, "-H", &coding, "-D", "-"]);
                    let name = format!("{host} {version} {path} {accepted}");
                    assert_hidden(&name, ran.out.as_bytes());
                    let (head, body) = ran.out.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{name}: {ran:?}"));
                    assert!(head.contains(" 200") && ran.code == 0, "{name}: {ran:?}");
                    let head = head.to_lowercase();
                    assert!(
                        head.contains("parapet-masked: ") && head.contains("no-store") && !head.contains("etag"),
                        "{name}: {head}"
                    );
                    assert!(!head.contains("content-encoding"), "{name}: {head}");
                    let came: Value =
                        serde_json::from_str(body).unwrap_or_else(|error| panic!("{name}: {error}: {body}"));
                    // All else is as it was.
                    let first = came.pointer("/customers/0").unwrap_or(&came);
                    assert_eq!(first.pointer("/address/city"), Some(&json!("Delft")), "{name}: {came}");
                }
                // The same for one who may see it, so that the canary was there to be found.
            }
        }
    }
    for path in ["/files/plain.json", "/files/c.json.zst", "/customers?secret=c4n4ry7f"] {
        let ran = masked.bed.curl("auditor", path, &["--compressed"]);
        assert!(ran.out.contains(CANARY), "{path}: {ran:?}");
    }
}

/// Lines, and events, each masked as it comes: nothing waits for the end.
#[test]
fn streams_are_masked_as_they_come() {
    let Some(masked) = masked("http-masked-streams") else { return };
    for http2 in [false, true] {
        let name = format!("masked-{http2}");
        let steps = json!([
            {"path": format!("/events?name={name}&secret={CANARY}"), "release": name},
            {"path": format!("/lines?n=20&secret={CANARY}")},
            {"path": format!("/big?bytes=3000000&secret={CANARY}")},
        ]);
        let came = masked.bed.httpx("reporting", http2, steps).unwrap();
        assert_hidden(&name, came[0].to_string().as_bytes());
        assert_eq!(came[0]["lines"].as_array().map(Vec::len), Some(3), "{}", came[0]);
        assert_eq!(came[1]["status"], 200, "{}", came[1]);
        assert_hidden(&name, came[1].to_string().as_bytes());
        assert_eq!(came[1]["body"].as_str().unwrap().lines().count(), 20, "{}", came[1]);
        assert_eq!(came[2]["status"], 200, "{}", came[2]);
    }
}

/// However an upstream cuts its answer, and whatever JSON it writes, the value does not come out.
#[test]
fn no_way_to_write_a_value_escapes_its_mask() {
    let tripwire = Tripwire::start();
    let bed = Api::new("http-mask-forms")
        .upstream("shop-api", &format!("http://127.0.0.1:{}", tripwire.port()), ROUTES)
        .start();
    let escaped: String = CANARY.chars().map(|letter| format!("\\u{:04x}", letter as u32)).collect();
    let long = format!("{}{CANARY}", "x".repeat(300_000));
    let bodies = [
        format!("{{\"email\":\"{CANARY}\"}}"),
        format!("{{\"em\\u0061il\":\"{CANARY}\"}}"),
        format!("{{\"email\":{{\"value\":\"{CANARY}\"}}}}"),
        format!("{{\"email\":[\"{CANARY}\",[\"{CANARY}\"]]}}"),
        format!("{{\"email\":\"{escaped}\"}}"),
        format!("{{\"email\":\"{long}\"}}"),
        format!("\u{feff}{{\"email\":\"{CANARY}\"}}"),
        format!("{{\"email\":1,\"email\":\"{CANARY}\"}}"),
        format!(" \n\t{{ \"email\" : \"{CANARY}\" }} \n"),
        format!("{{\"customers\":[[{{\"email\":\"{CANARY}\"}}]],\"email\":\"{CANARY}\"}}"),
        format!("{{\"email\":\"{CANARY}\""),
        format!("{{\"email\":'{CANARY}'}}"),
        format!("{{\"x\":1}}{{\"email\":\"{CANARY}\"}}"),
        format!("{{\"email\":\"\\x{CANARY}\"}}"),
        format!("/* c */ {{\"email\":\"{CANARY}\"}}"),
    ];
    let request = format!("GET /one HTTP/1.1\r\n{}Connection: close\r\n\r\n", bed.lines("reporting"));
    for body in &bodies {
        let whole = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let letters: String = body.bytes().take(400).map(|byte| format!("1\r\n{}\r\n", char::from(byte))).collect();
        let rest = body.get(400..).map(|rest| format!("{:x}\r\n{rest}\r\n", rest.len())).unwrap_or_default();
        let chunked = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{letters}{rest}0\r\n\r\n"
        );
        let until_closed = format!("HTTP/1.1 200 OK\r\ncontent-type: text/json\r\nconnection: close\r\n\r\n{body}");
        for (form, answer) in [("whole", whole), ("in letters", chunked), ("until it closes", until_closed)] {
            if form == "in letters" && !body.is_ascii() || form == "until it closes" {
                continue;
            }
            tripwire.answer(answer.as_bytes());
            let answer = raw_http::send(bed.port(), request.as_bytes());
            assert_hidden(
                &format!("{form}: {}", body.chars().take(60).collect::<String>()),
                &[answer.head.as_bytes(), &answer.rest].concat(),
            );
        }
    }
}

/// Who may write besides, and of whom all but `auditor` see the fields masked.
const WRITERS: &str = r#"
@id("all-write")
permit (principal, action in Action::"write", resource);
"#;

const MUTATES: &str = r#"
"Query.customer.email" = ["pii"]
[[upstreams.shop-api.endpoints]]
id = "graphql"
method = "POST"
path = "/graphql"
graphql = true
"#;

/// A request with this body, closing the connection behind it.
fn write(bed: &ApiBed, workload: &str, target: &str, head: &str, body: &[u8]) -> raw_http::Answer {
    let lines = bed.lines(workload);
    let length = body.len();
    let head = format!("{target} HTTP/1.1\r\n{lines}Connection: close\r\n{head}\r\nContent-Length: {length}\r\n\r\n");
    raw_http::send(bed.port(), &[head.as_bytes(), body].concat())
}

/// A client that reads what is masked, and writes all of it back, in each form that a body may have (MK18).
#[test]
fn what_a_mask_made_is_not_written_back() {
    const PACK: &str = r#"
import sys, json, gzip, brotli, zstandard
coders = {"gzip": gzip.compress, "br": brotli.compress, "zstd": zstandard.ZstdCompressor().compress}
text = sys.stdin.read().encode()
json.dump({name: coder(text).hex() for name, coder in coders.items()}, sys.stdout)
"#;
    if peer::command("origin.mjs").is_none() {
        return;
    }
    let tripwire = Tripwire::start();
    let bed = Api::new("http-mask-back")
        .upstream("shop-api", &format!("http://127.0.0.1:{}", tripwire.port()), &format!("{ROUTES}{MUTATES}"))
        .policies(WRITERS)
        .start();
    let json = "Content-Type: application/json";
    let form = "Content-Type: application/x-www-form-urlencoded";
    let parts = "Content-Type: multipart/form-data; boundary=b";
    let part = |name: &str, value: &str| {
        let file = "x".repeat(30_000);
        format!(
            "--b\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"a.png\"\r\n\r\n{file}\r\n\
             --b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n--b--\r\n"
        )
    };
    let mutation = |value: &str| json!({"query": format!("mutation {{ update(id: 7, email: \"{value}\") {{ id }} }}")});
    let variables = |value: &str| json!({"query": "mutation($c: C) { update(c: $c) { id } }", "variables": {"c": {"email": value}}});
    let packed = |text: String| -> Vec<(String, Vec<u8>)> {
        let ran = run_with(Command::new(peer::installed("venv/bin/python")).args(["-c", PACK]), &text);
        let packed: std::collections::BTreeMap<String, String> = serde_json::from_str(&ran.out).unwrap();
        let bytes = |hex: &String| -> Vec<u8> {
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
        };
        packed.iter().map(|(coding, hex)| (format!("{json}\r\nContent-Encoding: {coding}"), bytes(hex))).collect()
    };
    // What the client reads first.
    let read = br#"{"email":"ann@example.com"}"#;
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", read.len());
    tripwire.answer(&[head.as_bytes(), read].concat());
    let seen = raw_http::send(
        bed.port(),
        format!("GET /customers/7 HTTP/1.1\r\n{}Connection: close\r\n\r\n", bed.lines("reporting")).as_bytes(),
    );
    let masked = "[redacted]";
    assert!(seen.text().contains(&json!({"email": masked}).to_string()), "{}", seen.text());
    tripwire.take();
    type Made<'m> = &'m dyn Fn(&str) -> Vec<(String, Vec<u8>)>;
    let made: [(&str, &str, Made<'_>); 6] = [
        ("json", "PUT /customers/7", &|value| {
            vec![(json.to_owned(), json!({"email": value}).to_string().into_bytes())]
        }),
        ("a form", "POST /customers/7", &|value| {
            vec![(
                form.to_owned(),
                format!("id=7&customer%5Bemail%5D={}", value.replace('[', "%5B").replace(']', "%5D")).into_bytes(),
            )]
        }),
        ("parts", "POST /customers/7", &|value| vec![(parts.to_owned(), part("email", value).into_bytes())]),
        ("a mutation", "POST /graphql", &|value| vec![(json.to_owned(), mutation(value).to_string().into_bytes())]),
        ("variables", "POST /graphql", &|value| vec![(json.to_owned(), variables(value).to_string().into_bytes())]),
        ("compressed", "PUT /customers/7", &|value| {
            packed(json!({"note": "x".repeat(3000), "email": value}).to_string())
        }),
    ];
    for (name, target, make) in made {
        for (head, body) in make(masked) {
            let refused = write(&bed, "reporting", target, &head, &body);
            assert_eq!(refused.status, 403, "{name} {head}: {}", refused.text());
            assert!(refused.text().contains("PAR0213"), "{name} {head}: {}", refused.text());
            assert_eq!(String::from_utf8_lossy(&tripwire.take()), "", "{name} {head}");
            // Who sees it in clear may write what looks like it.
            let clear = write(&bed, "auditor", target, &head, &body);
            assert_eq!(clear.status, 200, "{name} {head}: {}", clear.text());
            assert!(tripwire.take().ends_with(&body), "{name} {head}");
        }
        for (head, body) in make("bob@example.com") {
            let own = write(&bed, "reporting", target, &head, &body);
            assert_eq!(own.status, 200, "{name} {head}: {}", own.text());
            assert!(tripwire.take().ends_with(&body), "{name} {head}");
        }
    }
    // What cannot be searched does not pass.
    for (head, body, status) in [
        (format!("{json}\r\nContent-Encoding: compress"), "{}", 415),
        (format!("{json}\r\nContent-Encoding: gzip"), "{}", 400),
        (json.to_owned(), "{'email': '[redacted]'}", 400),
    ] {
        let refused = write(&bed, "reporting", "PUT /customers/7", &head, body.as_bytes());
        assert_eq!(refused.status, status, "{head}: {}", refused.text());
        assert_eq!(String::from_utf8_lossy(&tripwire.take()), "", "{head}");
        assert_eq!(write(&bed, "auditor", "PUT /customers/7", &head, body.as_bytes()).status, 200, "{head}");
        tripwire.take();
    }
}
