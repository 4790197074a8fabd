//! Tests of the normal form of a request, and that what was judged is what is sent.

use proptest::prelude::*;

use super::*;

fn parts(method: &str, target: &str, fields: &[(&str, &str)]) -> Parts {
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
    *request.uri_mut() = Uri::try_from(target).unwrap();
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
    }
    request.into_parts().0
}

fn head(method: &str, target: &str, fields: &[(&str, &str)]) -> Result<Head, Violation> {
    let mut all = vec![("Host", "payments.internal")];
    all.extend_from_slice(fields);
    Head::read(&parts(method, target, &all), Arrived::default())
}

#[test]
fn what_is_judged_is_what_is_sent() {
    let head = head(
        "POST",
        "/v1/%72efunds?b=%7e&a=1",
        &[
            ("Authorization", "Bearer tok"),
            ("Content-Type", "application/json; charset=utf-8"),
            ("Content-Length", "12"),
            ("X-Forwarded-For", "1.2.3.4"),
            ("Cookie", "s=1"),
        ],
    )
    .unwrap();
    assert_eq!(head.target(), "/v1/refunds?b=~&a=1");
    assert_eq!(head.content_length(), Some(12));
    assert_eq!(
        head.credential.as_ref().map(|own| (own.scheme, own.token.expose().as_str())),
        Some((CredentialScheme::Bearer, "tok"))
    );
    assert_eq!(head.cookies.as_ref().map(HeaderValue::as_bytes), Some(&b"s=1"[..]));

    let to = Destination { scheme: Scheme::Https, host: "api.payments.example", version: Version::HTTP_11 };
    let sent = head.for_upstream(to).unwrap();
    let mut lines: Vec<String> =
        sent.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    lines.sort_unstable();
    assert_eq!((sent.method.as_str(), sent.uri.to_string().as_str()), ("POST", "/v1/refunds?b=~&a=1"));
    assert_eq!(
        lines,
        ["content-length: 12", "content-type: application/json; charset=utf-8", "host: api.payments.example"]
    );
    let sent = head.for_upstream(Destination { version: Version::HTTP_2, ..to }).unwrap();
    assert_eq!(sent.uri, "https://api.payments.example/v1/refunds?b=~&a=1");
    assert!(!sent.headers.contains_key("host"));
}

#[test]
fn ht11_methods_and_forms_that_are_not_served() {
    for method in ["TRACE", "CONNECT", "PRI", "PROPFIND", "get", "Get", "DELETE2"] {
        assert_eq!(head(method, "/", &[]).map(drop), Err(Violation::Method), "{method}");
    }
    for method in ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"] {
        assert_eq!(head(method, "/", &[]).unwrap().method, method);
    }
    assert_eq!(head("OPTIONS", "*", &[]).map(drop), Err(Violation::TargetForm));
    assert_eq!(head("GET", "payments.internal", &[]).map(drop), Err(Violation::TargetForm));
    assert!(head("GET", "/", &[("Expect", "100-Continue")]).unwrap().expects_continue);
    assert_eq!(head("GET", "/", &[("Expect", "200-maybe")]).map(drop), Err(Violation::Expectation));
}

#[test]
fn ht11_only_a_plain_upgrade_is_one() {
    let upgrade = |method: &str, protocol: &str, connection: &str| {
        head(method, "/live", &[("Upgrade", protocol), ("Connection", connection)]).map(|head| head.upgrade)
    };
    assert_eq!(upgrade("GET", "WebSocket", "keep-alive, Upgrade"), Ok(Some("websocket".to_owned())));
    assert_eq!(upgrade("POST", "spdy/3.1", "upgrade"), Ok(Some("spdy/3.1".to_owned())));
    for (method, protocol, connection) in [
        ("GET", "h2c", "Upgrade, HTTP2-Settings"),
        ("GET", "H2C", "upgrade"),
        ("GET", "h2", "upgrade"),
        ("GET", "HTTP/2.0", "upgrade"),
        ("GET", "TLS/1.0", "upgrade"),
        ("GET", "websocket, h2c", "upgrade"),
        ("GET", "websocket", "close"),
        ("POST", "websocket", "upgrade"),
        ("GET", "", "upgrade"),
    ] {
        assert_eq!(upgrade(method, protocol, connection), Err(Violation::Upgrade), "{method} {protocol} {connection}");
    }
}

#[test]
fn ht14_a_masked_answer_is_asked_for_whole() {
    let mut read = head("GET", "/", &[("Range", "bytes=0-1"), ("If-Match", "x"), ("Accept", "x")]).unwrap();
    read.ask_for_the_whole();
    assert_eq!(read.headers.len(), 1);
    let mut write = head("PUT", "/", &[("Range", "bytes=0-1"), ("If-None-Match", "*")]).unwrap();
    write.ask_for_the_whole();
    assert!(write.headers.contains_key("if-none-match") && write.headers.len() == 1);
}

#[test]
fn ht13_credentials_are_taken_out() {
    let read = |value: &str| {
        head("GET", "/", &[("Authorization", value)]).map(|head| {
            assert!(!head.headers.contains_key("authorization"));
            head.credential.map(|own| (own.scheme, own.token.expose().clone()))
        })
    };
    use CredentialScheme as S;
    assert_eq!(read("bearer  a.b.c"), Ok(Some((S::Bearer, "a.b.c".to_owned()))));
    assert_eq!(read("DPoP x"), Ok(Some((S::Dpop, "x".to_owned()))));
    assert_eq!(read("Basic dTpw"), Ok(Some((S::Basic, "dTpw".to_owned()))));
    assert_eq!(read("AWS4-HMAC-SHA256 Credential=a, b=c").map(|own| own.map(|(scheme, _)| scheme)), Ok(Some(S::Other)));
    for odd in ["", "Bearer", "Bearer ", "token"] {
        assert_eq!(read(odd), Err(Violation::Credential), "{odd:?}");
    }
    let twice = [("Authorization", "Bearer a"), ("Authorization", "Bearer b")];
    assert_eq!(head("GET", "/", &twice).map(drop), Err(Violation::RepeatedHeader));
    let proof = head("GET", "/", &[("Authorization", "DPoP a"), ("DPoP", "p.q.r")]).unwrap();
    assert_eq!(proof.credential.unwrap().proof.as_deref(), Some("p.q.r"));
    assert!(
        !format!(
            "{:?}",
            head("GET", "/secret?token=hush", &[("Authorization", "Bearer hush"), ("X", "hush")]).unwrap()
        )
        .contains("hush")
    );

    let proxied = parts("CONNECT", "a:443", &[("Proxy-Authorization", "Basic dTpw")]);
    let own = CallerCredential::for_proxy(&proxied.headers).unwrap().unwrap();
    assert_eq!((own.scheme, own.token.expose().as_str()), (S::Basic, "dTpw"));
}

#[test]
fn preferences_are_kept_aside() {
    let read = |value: &str| {
        let head = head("GET", "/", &[("Prefer", value)]).unwrap();
        let rest = head.headers.get("prefer").map(|rest| rest.to_str().unwrap().to_owned());
        (head.prefers.wait, head.prefers.respond_async, rest)
    };
    assert_eq!(read("wait=20"), (Some(20), false, None));
    assert_eq!(read("respond-async, wait=5"), (Some(5), true, None));
    assert_eq!(read("return=minimal, wait=\"7\", wait=9"), (Some(7), false, Some("return=minimal".to_owned())));
    assert_eq!(read("wait=soon, Respond-Async"), (None, true, None));
}

#[test]
fn a_refusal_is_read_by_a_person_or_a_program() {
    let read = |accept: &str| head("GET", "/", &[("Accept", accept)]).unwrap().accepts.html;
    assert!(read("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
    assert!(read("text/html, application/json"));
    assert!(!read("*/*") && !read("application/json, text/html") && !read("text/html;q=0, */*"));
    let grpc = |kind: &str| {
        let accepts = head("POST", "/pkg.Service/Call", &[("Content-Type", kind)]).unwrap().accepts;
        (accepts.grpc, accepts.grpc_web)
    };
    assert_eq!(grpc("application/grpc"), (true, false));
    assert_eq!(grpc("application/grpc+proto"), (true, false));
    assert_eq!(grpc("application/grpc-web+proto"), (true, true));
    assert_eq!(grpc("application/json"), (false, false));
}

#[test]
fn ht02_http2_has_its_host_in_the_authority() {
    let read = |target: &str, fields: &[(&str, &str)]| {
        let arrived = Arrived { h2: true, sni: Some("a.b"), tls: true };
        Head::read(&parts("GET", target, fields), arrived).map(|head| head.authority.to_string())
    };
    assert_eq!(read("https://a.b/x", &[]).as_deref(), Ok("a.b"));
    assert_eq!(read("https://a.b/x", &[("host", "a.b")]).as_deref(), Ok("a.b"));
    assert_eq!(read("https://a.b/x", &[("host", "c.d")]), Err(Violation::AuthoritiesDiffer));
    assert_eq!(read("https://c.d/x", &[]), Err(Violation::ServerName));
    assert_eq!(read("/x", &[]), Err(Violation::NoAuthority));
    assert_eq!(read("https://a.b/x", &[("connection", "close")]), Err(Violation::ConnectionHeader));
    assert_eq!(read("https://a.b/x", &[("te", "gzip")]), Err(Violation::ConnectionHeader));
    let split = parts("GET", "https://a.b/x", &[("cookie", "a=1"), ("cookie", "b=2")]);
    let head = Head::take(split, Arrived { h2: true, sni: None, tls: true }).unwrap();
    assert_eq!(head.cookies.unwrap(), "a=1; b=2");
}

proptest! {
    #[test]
    fn what_is_taken_is_sent_as_it_was_judged(
        target in "/([a-z./%;+~]|%[0-9a-f]{2}){0,16}(\\?([a-z=&+_]|%[0-9a-f]{2}){0,16})?",
        name in "[a-z-]{1,12}",
        value in "[ -~]{0,12}",
    ) {
        let fields: [(&str, &[u8]); 2] = [("host", b"a.b"), (&name, value.as_bytes())];
        if let Some(Ok(target)) = read_raw("GET", &target, &fields, Arrived::default()) {
            let again = read_raw("GET", &target, &[("host", b"a.b")], Arrived::default());
            prop_assert_eq!(again, Some(Ok(target)));
        }
    }
}
