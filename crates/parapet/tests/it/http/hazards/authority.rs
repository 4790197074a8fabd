//! HT05, HT13: whom a request is for. Target, Host, `:authority` and the name of the TLS handshake agree, or nothing is sent; and
//! what the gateway adds for an upstream goes to that upstream alone.

use std::process::Command;

use super::{Case, Expect, check, start};
use crate::bed::api::{Api, HOST};
use crate::bed::clients::run;
use crate::bed::raw_http;
use crate::bed::tripwire::{Tripwire, find};

const fn bad(name: &'static str, attack: &'static [u8], twin: &'static [u8]) -> Case {
    Case { id: "HT05", name, attack, expect: Expect::Refused(400), twin }
}

const HOST_LINE: &[u8] = b"GET /a HTTP/1.1\r\nHost: shop.internal\r\n@AConnection: close\r\n\r\n";
const ABSOLUTE: &[u8] = b"GET http://shop.internal/a HTTP/1.1\r\n@C\r\n";

const CASES: &[Case] = &[
    bad("no host", b"GET /a HTTP/1.1\r\n@AConnection: close\r\n\r\n", HOST_LINE),
    bad("no host in HTTP/1.0", b"GET /a HTTP/1.0\r\n@A\r\n", HOST_LINE),
    bad("an empty host", b"GET /a HTTP/1.1\r\nHost: \r\n@AConnection: close\r\n\r\n", HOST_LINE),
    bad(
        "two hosts",
        b"GET /a HTTP/1.1\r\nHost: shop.internal\r\nHost: evil.example\r\n@AConnection: close\r\n\r\n",
        HOST_LINE,
    ),
    bad(
        "the same host twice",
        b"GET /a HTTP/1.1\r\nHost: shop.internal\r\nHost: shop.internal\r\n@AConnection: close\r\n\r\n",
        HOST_LINE,
    ),
    bad(
        "a list of hosts",
        b"GET /a HTTP/1.1\r\nHost: shop.internal, evil.example\r\n@AConnection: close\r\n\r\n",
        HOST_LINE,
    ),
    bad("a target elsewhere", b"GET http://evil.example/a HTTP/1.1\r\n@C\r\n", ABSOLUTE),
    bad(
        "a host elsewhere",
        b"GET http://shop.internal/a HTTP/1.1\r\nHost: evil.example\r\n@AConnection: close\r\n\r\n",
        ABSOLUTE,
    ),
    bad("user information in the target", b"GET http://shop.internal@evil.example/a HTTP/1.1\r\n@C\r\n", ABSOLUTE),
    bad("a user in the target", b"GET http://user@shop.internal/a HTTP/1.1\r\n@C\r\n", ABSOLUTE),
    bad(
        "user information in the host",
        b"GET /a HTTP/1.1\r\nHost: evil.example@shop.internal\r\n@AConnection: close\r\n\r\n",
        HOST_LINE,
    ),
    bad(
        "a path in the host",
        b"GET /a HTTP/1.1\r\nHost: shop.internal/admin\r\n@AConnection: close\r\n\r\n",
        HOST_LINE,
    ),
    bad("a query in the host", b"GET /a HTTP/1.1\r\nHost: shop.internal?a\r\n@AConnection: close\r\n\r\n", HOST_LINE),
    bad(
        "a backslash in the host",
        b"GET /a HTTP/1.1\r\nHost: shop.internal\\evil.example\r\n@AConnection: close\r\n\r\n",
        HOST_LINE,
    ),
    bad(
        "a space in the host",
        b"GET /a HTTP/1.1\r\nHost: shop.internal evil.example\r\n@AConnection: close\r\n\r\n",
        HOST_LINE,
    ),
    bad("an escape in the host", b"GET /a HTTP/1.1\r\nHost: shop%2einternal\r\n@AConnection: close\r\n\r\n", HOST_LINE),
    bad(
        "a port that is no number",
        b"GET /a HTTP/1.1\r\nHost: shop.internal:http\r\n@AConnection: close\r\n\r\n",
        HOST_LINE,
    ),
    bad(
        "a port beyond the last",
        b"GET /a HTTP/1.1\r\nHost: shop.internal:65616\r\n@AConnection: close\r\n\r\n",
        HOST_LINE,
    ),
    bad("two ports", b"GET /a HTTP/1.1\r\nHost: shop.internal:80:80\r\n@AConnection: close\r\n\r\n", HOST_LINE),
    bad("an open bracket", b"GET /a HTTP/1.1\r\nHost: [::1\r\n@AConnection: close\r\n\r\n", HOST_LINE),
    bad(
        "a letter beyond ASCII",
        b"GET /a HTTP/1.1\r\nHost: sh\xc3\xb6p.internal\r\n@AConnection: close\r\n\r\n",
        HOST_LINE,
    ),
    bad("another scheme", b"GET ftp://shop.internal/a HTTP/1.1\r\n@C\r\n", ABSOLUTE),
    bad("the other scheme", b"GET https://shop.internal/a HTTP/1.1\r\n@C\r\n", ABSOLUTE),
    Case {
        id: "HT05",
        name: "a host in capitals is the same",
        attack: b"GET /a HTTP/1.1\r\nHost: SHOP.Internal\r\n@AConnection: close\r\n\r\n",
        expect: Expect::Sent { with: &["GET /a HTTP/1.1"], without: &["shop.internal"] },
        twin: b"",
    },
];

#[test]
fn a_request_names_one_host() {
    let (bed, tripwire) = start("http-authority", "unlisted = \"allow\"", "");
    check(&bed, &tripwire, CASES);
}

/// Hosts that no upstream has look the same, whether they exist or not, and nothing is dialled for them.
#[test]
fn hosts_that_nobody_configured_lead_nowhere() {
    let (bed, tripwire) = start("http-foreign-hosts", "unlisted = \"allow\"", "");
    let token = bed.token("deploy");
    let port = tripwire.port();
    let mut answers = Vec::new();
    for host in [
        "evil.example",
        "127.0.0.1",
        &format!("127.0.0.1:{port}"),
        "localhost",
        "169.254.169.254",
        "[::1]",
        "shop-api",
        "xshop.internal",
        "shop.internal.evil.example",
    ] {
        let request = format!(
            "GET /smuggled HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        let answer = raw_http::send(bed.port(), request.as_bytes());
        assert!((400..500).contains(&answer.status), "{host}: {answer:?}");
        answers.push(answer.status);
        assert!(!answer.text().contains(host), "{host}: the answer repeats it: {answer:?}");
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "they can be told apart: {answers:?}");
    assert!(tripwire.take().is_empty());
}

/// HT13: a credential is its upstream's. The caller's own never goes on, and what the upstream gives back of ours does not come out.
#[test]
fn a_credential_goes_to_its_own_upstream_and_nowhere_else() {
    const PLANTED: &str = "planted-key-0a1b2c3d4e5f";
    let (first, second) = (Tripwire::start(), Tripwire::start());
    let url = |tripwire: &Tripwire| format!("http://127.0.0.1:{}", tripwire.port());
    let api = Api::new("http-credential");
    api.folder.write("key", PLANTED);
    let key = api.folder.join("key").display().to_string();
    let credential = |name: &str| {
        format!(
            "unlisted = \"allow\"\n[upstreams.{name}.credential]\nkind = \"header\"\nname = \"x-api-key\"\nsecret = \"file://{key}\"\n"
        )
    };
    let bed = api
        .upstream("shop-api", &url(&first), &credential("shop-api"))
        .upstream("other-api", &url(&second), "hosts = [\"other.internal\"]\nunlisted = \"allow\"\n")
        .start();
    let token = bed.token("deploy");
    let ask = |host: &str, also: &str| {
        let request = format!(
            "GET /a HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n{also}\r\n"
        );
        raw_http::send(bed.port(), request.as_bytes())
    };
    // An upstream that echoes what it got, in a header and on another's behalf.
    let echo =
        format!("HTTP/1.1 200 OK\r\nx-seen: {PLANTED}\r\nset-cookie: session={PLANTED}\r\ncontent-length: 0\r\n\r\n");
    first.answer(echo.as_bytes());
    let answer = ask(HOST, "Cookie: session=mine\r\nX-Api-Key: guessed\r\nProxy-Authorization: Basic Zm9v\r\n");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(!answer.head.contains(PLANTED), "the credential came back: {}", answer.head);
    let got = String::from_utf8(first.take()).unwrap();
    assert!(got.contains(&format!("x-api-key: {PLANTED}")), "{got}");
    for stripped in [&token, "session=mine", "guessed", "Zm9v", "authorization"] {
        assert!(!got.contains(stripped), "{stripped} reached the upstream: {got}");
    }
    let answer = ask("other.internal", "X-Api-Key: mine\r\n");
    assert_eq!(answer.status, 200, "{answer:?}");
    let got = String::from_utf8(second.take()).unwrap();
    assert!(!got.contains(PLANTED) && !got.contains(&token), "a credential went astray: {got}");
    // Nor does it follow a host that only looks like the upstream's.
    for host in ["evil.example", "shop.internal.evil.example", "shop.internal:80@evil.example"] {
        assert_ne!(ask(host, "").status, 200, "{host}");
    }
    assert!(first.take().is_empty() && second.take().is_empty());
    for (path, bytes) in bed.everything_written() {
        assert!(find(&bytes, PLANTED.as_bytes()).is_none(), "the credential stands in {}", path.display());
        assert!(find(&bytes, token.as_bytes()).is_none(), "the workload's token stands in {}", path.display());
    }
}

/// Over TLS the name of the handshake is the host that requests ask for.
#[test]
fn the_name_of_the_handshake_binds() {
    let tripwire = Tripwire::start();
    let url = format!("http://127.0.0.1:{}", tripwire.port());
    let api = Api::new("http-sni").upstream(
        "shop-api",
        &url,
        "hosts = [\"shop.internal\", \"two.internal\"]\nunlisted = \"allow\"\n",
    );
    let bed = api.listener("tls = \"self-signed\"").start();
    let token = bed.token("deploy");
    let ask = |name: &str, host: &str, version: &str| {
        let mut command = Command::new("curl");
        command.args([
            "-sk",
            version,
            "-o",
            "-",
            "-w",
            "\n%{http_code} %{http_version}",
            "--max-time",
            "20",
            "--noproxy",
            "*",
        ]);
        command.args(["--resolve", &format!("{name}:{}:127.0.0.1", bed.port())]);
        command.args(["-H", &format!("Authorization: Bearer {token}"), "-H", &format!("Host: {host}")]);
        let ran = run(command.arg(format!("https://{name}:{}/a", bed.port())));
        ran.out.lines().last().unwrap_or_default().to_owned()
    };
    for (version, said) in [("--http1.1", "1.1"), ("--http2", "2")] {
        assert_eq!(ask("shop.internal", "shop.internal", version), format!("200 {said}"));
        assert_eq!(super::requests(&tripwire.take()), 1);
        let refused = ask("shop.internal", "two.internal", version);
        assert!(["400", "421"].contains(&&refused[..3]), "{version}: {refused}");
        assert!(tripwire.take().is_empty(), "{version}");
        assert_eq!(ask("two.internal", "two.internal", version), format!("200 {said}"));
        tripwire.take();
    }
}
