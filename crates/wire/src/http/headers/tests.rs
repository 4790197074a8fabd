//! Tests of headers: what goes on and what does not, in both directions (HT02, HT06, HT07, HT13, HT14).

use super::*;

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn names(headers: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

/// Every header that never goes upstream, each with the hazard that it is about.
#[test]
fn what_never_goes_upstream() {
    let cases: &[(&str, &[&str])] = &[
        (
            "HT06",
            &[
                "X-HTTP-Method-Override",
                "X-HTTP-Method",
                "X-Method-Override",
                "X-Original-URL",
                "X-Rewrite-URL",
                "X-Original-URI",
                "X_HTTP_METHOD_OVERRIDE",
                "X-Original_URL",
                "X-Middleware-Subrequest",
                "X-Script-Name",
            ],
        ),
        (
            "HT07",
            &[
                "Connection",
                "Keep-Alive",
                "Proxy-Connection",
                "Upgrade",
                "Transfer-Encoding",
                "Forwarded",
                "Via",
                "X-Forwarded-For",
                "X-Forwarded-Host",
                "X-Forwarded-Proto",
                "X-Forwarded-Anything",
                "X-Real-IP",
                "True-Client-IP",
                "CF-Connecting-IP",
                "X-Remote-User",
                "Remote-User",
                "Remote-Groups",
                "X-Remote-Group",
                "X-Remote-Extra-Scopes",
                "Impersonate-User",
                "Impersonate-Extra-Scopes",
                "X-WebAuth-User",
                "X-Authentik-Username",
                "X-Pomerium-Claim-Email",
                "X-Consumer-Username",
                "X-Credential-Identifier",
                "X-Goog-IAP-JWT-Assertion",
                "X-Amzn-Mtls-Clientcert-Subject",
                "X-ARR-ClientCert",
                "X-SSL-Cert",
                "X-Client-Certificate",
                "Cf-Access-Jwt-Assertion",
                "Tailscale-User-Login",
                "X-Auth-Request-Email",
                "X_Forwarded_For",
                "X-Envoy-Original-Path",
                "Proxy",
                "Parapet-Decision",
                "X-Parapet-Workload",
                "HTTP2-Settings",
                "Max-Forwards",
            ],
        ),
        ("HT13", &["Authorization", "Proxy-Authorization", "Cookie", "Cookie2", "DPoP", "X_Api_Key"]),
        ("HT05", &["Host"]),
        ("HT11", &["Expect"]),
    ];
    for (hazard, gone) in cases {
        for name in *gone {
            let mut headers = map(&[(name, "x"), ("Accept", "*/*"), ("X-Request-Id", "7")]);
            for_upstream(&mut headers).unwrap();
            assert_eq!(names(&headers), ["accept", "x-request-id"], "{hazard} {name}");
        }
    }
    let kept = [
        "Accept",
        "Accept-Encoding",
        "Accept-Language",
        "Content-Type",
        "Content-Length",
        "Content-Encoding",
        "User-Agent",
        "If-Match",
        "Range",
        "Trailer",
        "Idempotency-Key",
        "X-Api-Version",
        "grpc-timeout",
        "Sec-WebSocket-Key",
        "traceparent",
        "Origin",
        "Referer",
    ];
    let fields: Vec<(&str, &str)> = kept.iter().map(|name| (*name, "x")).collect();
    let mut headers = map(&fields);
    for_upstream(&mut headers).unwrap();
    assert_eq!(headers.len(), kept.len(), "{:?}", names(&headers));
}

#[test]
fn ht07_nominated_headers_go_and_what_must_reach_the_end_may_not_be_nominated() {
    let mut headers = map(&[
        ("Connection", "close, X-Policy ,"),
        ("Connection", "x-other"),
        ("X-Policy", "a"),
        ("X-Other", "b"),
        ("X-Third", "c"),
    ]);
    for_upstream(&mut headers).unwrap();
    assert_eq!(names(&headers), ["x-third"]);
    for name in [
        "Host",
        "content-length",
        "Transfer-Encoding",
        "authorization",
        "Content-Type",
        "Cookie",
        "content_length",
        "if-match",
    ] {
        let mut headers = map(&[("Connection", &format!("close, {name}"))]);
        assert_eq!(for_upstream(&mut headers), Err(Violation::Nominated), "{name}");
    }
    // A name that is no token names nothing.
    let mut headers = map(&[("Connection", "a b, (), keep-alive"), ("X", "1")]);
    for_upstream(&mut headers).unwrap();
    assert_eq!(names(&headers), ["x"]);
}

#[test]
fn trailers_are_still_asked_for() {
    for (te, kept) in [("trailers", true), ("deflate, Trailers", true), ("gzip", false)] {
        let mut headers = map(&[("TE", te), ("Connection", "TE")]);
        for_upstream(&mut headers).unwrap();
        assert_eq!(headers.get(header::TE).map(HeaderValue::as_bytes), kept.then_some(&b"trailers"[..]), "{te}");
    }
}

#[test]
fn ht02_headers_of_a_connection_have_no_place_in_http2() {
    for name in ["Connection", "Keep-Alive", "Proxy-Connection", "Upgrade", "Transfer-Encoding", "HTTP2-Settings"] {
        let headers = map(&[(name, "x")]);
        assert_eq!(check(&headers, true), Err(Violation::ConnectionHeader), "{name}");
        assert_eq!(check(&headers, false), Ok(()), "{name}");
    }
    assert_eq!(check(&map(&[("te", "trailers")]), true), Ok(()));
    assert_eq!(check(&map(&[("te", "gzip")]), true), Err(Violation::ConnectionHeader));
    assert_eq!(check(&map(&[("te", "trailers, gzip")]), true), Err(Violation::ConnectionHeader));
}

#[test]
fn ht08_headers_that_may_stand_once() {
    for name in [
        "Authorization",
        "Content-Type",
        "Content-Length",
        "Host",
        "Expect",
        "Range",
        "DPoP",
        "Cookie",
        "Content-Encoding",
    ] {
        let headers = map(&[(name, "a"), (name, "a")]);
        assert_eq!(check(&headers, false), Err(Violation::RepeatedHeader), "{name}");
    }
    assert_eq!(check(&map(&[("cookie", "a=1"), ("cookie", "b=2")]), true), Ok(()), "HTTP/2 may split it");
    assert_eq!(check(&map(&[("accept", "a"), ("accept", "b")]), false), Ok(()));
}

#[test]
fn ht13_a_response_says_nothing_of_the_upstreams_connection() {
    let fields = [
        ("Content-Type", "application/json"),
        ("Content-Length", "2"),
        ("ETag", "\"a\""),
        ("Set-Cookie", "s=1"),
        ("Alt-Svc", "h3=\":443\""),
        ("Connection", "close, X-Hop"),
        ("X-Hop", "1"),
        ("Transfer-Encoding", "chunked"),
        ("Parapet-Decision", "dec_forged"),
        ("Keep-Alive", "timeout=5"),
        ("X-Accel-Redirect", "/etc"),
    ];
    let mut headers = map(&fields);
    from_upstream(&mut headers, ResponseRules::default());
    assert_eq!(names(&headers), ["content-length", "content-type", "etag"]);
    let mut headers = map(&fields);
    from_upstream(&mut headers, ResponseRules { cookies: true, masked: false });
    assert_eq!(names(&headers), ["content-length", "content-type", "etag", "set-cookie"]);
}

#[test]
fn ht14_nothing_tells_of_the_unmasked_bytes() {
    let mut headers = map(&[
        ("Content-Type", "application/json"),
        ("Content-Length", "2"),
        ("ETag", "\"a\""),
        ("Last-Modified", "now"),
        ("Accept-Ranges", "bytes"),
        ("Content-Range", "bytes 0-1/2"),
        ("Content-MD5", "x"),
        ("Digest", "x"),
        ("Repr-Digest", "x"),
        ("Content-Digest", "x"),
        ("Cache-Control", "public, max-age=60"),
        ("Age", "3"),
        ("Expires", "later"),
        ("Trailer", "x-sum"),
    ]);
    from_upstream(&mut headers, ResponseRules { cookies: false, masked: true });
    assert_eq!(names(&headers), ["cache-control", "content-type"]);
    assert_eq!(headers.get("cache-control").unwrap(), "no-store");

    let mut headers = map(&[
        ("Range", "bytes=0-1"),
        ("If-Range", "x"),
        ("If-None-Match", "x"),
        ("If-Modified-Since", "x"),
        ("Want-Digest", "x"),
        ("If-Match", "x"),
        ("Accept", "x"),
    ]);
    let mut read = headers.clone();
    for_masked_route(&mut read, &Method::GET);
    assert_eq!(names(&read), ["accept"]);
    for_masked_route(&mut headers, &Method::PUT);
    assert_eq!(
        names(&headers),
        ["accept", "if-match", "if-modified-since", "if-none-match"],
        "a write keeps its conditions"
    );

    let mut trailers = map(&[
        ("grpc-status", "0"),
        ("grpc-message", "ok"),
        ("x-sum", "abc"),
        ("content-length", "3"),
        ("set-cookie", "a"),
    ]);
    response_trailers(&mut trailers, false);
    assert_eq!(names(&trailers), ["grpc-message", "grpc-status", "x-sum"]);
    response_trailers(&mut trailers, true);
    assert_eq!(names(&trailers), ["grpc-message", "grpc-status"]);
    assert_eq!(request_trailers(&map(&[("x-sum", "a")])), Ok(()));
    assert_eq!(request_trailers(&map(&[("authorization", "a")])), Err(Violation::Trailer));
}

#[test]
fn ht13_echoes_of_an_added_secret_go() {
    let mut headers =
        map(&[("X-Echo", "Bearer s3cr3t-token"), ("Location", "https://x/?k=s3cr3t-token"), ("X-Other", "s3cr3t")]);
    let mut echoes = Echoes::default();
    echoes.add("s");
    assert_eq!(without_echo(&mut headers, &echoes), 0);
    echoes.add("s3cr3t-token");
    assert_eq!(without_echo(&mut headers, &echoes), 2);
    assert_eq!(names(&headers), ["x-other"]);
}
