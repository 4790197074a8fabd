//! What becomes of a request that nobody sent.

use hyper::{Method, Request, Uri};

use super::*;

#[test]
fn what_policy_would_see() {
    let upstream: Name = "internet".parse().unwrap();
    for (method, target, expected) in [
        ("CONNECT", "API.example.:443", Ok("CONNECT internet/api.example:443 ")),
        ("CONNECT", "[2001:db8::1]:8443", Ok("CONNECT internet/[2001:db8::1]:8443 ")),
        ("GET", "http://api.example/a/../b?q=1", Err(Violation::PathDots)),
        ("GET", "http://api.example/a/b?q=1", Ok("GET internet/api.example:80 /a/b")),
        ("DELETE", "http://api.example:8080/", Ok("DELETE internet/api.example:8080 /")),
        ("GET", "https://api.example/", Err(Violation::Scheme)),
        ("GET", "/only/a/path", Err(Violation::TargetForm)),
        ("CONNECT", "0x7f.1:443", Err(Violation::Authority)),
    ] {
        let uri: Uri = target.parse().unwrap();
        let host = uri.authority().map(ToString::to_string).unwrap_or_default();
        let method: Method = method.parse().unwrap();
        let (parts, ()) =
            Request::builder().method(&method).uri(uri).header("host", host).body(()).unwrap().into_parts();
        let found = operation(&upstream, &parts).map(|operation| {
            let path = operation.facts.http.as_ref().unwrap().path.clone();
            format!("{} {} {path}", operation.verb, operation.resource)
        });
        assert_eq!(found.as_deref().map_err(|violation| *violation), expected, "{method} {target}");
    }
}
