//! What is an origin, and what names it.

use super::*;

#[test]
fn origins() {
    for (text, expected) in [
        ("https://API.example", Ok("https://api.example")),
        ("https://api.example/", Ok("https://api.example")),
        ("https://api.example.:8443", Ok("https://api.example:8443")),
        ("https://api.example:443", Ok("https://api.example")),
        ("http://api.example:80/", Ok("http://api.example")),
        ("http://127.0.0.1:8080", Ok("http://127.0.0.1:8080")),
        ("https://[2001:DB8::1]", Ok("https://[2001:db8::1]")),
        ("https://api.example/v1", Err(InvalidOrigin::Path)),
        ("https://api.example/?a", Err(InvalidOrigin::Path)),
        ("https://user:word@api.example", Err(InvalidOrigin::UserInfo)),
        ("https://api.example:0", Err(InvalidOrigin::NotUrl)),
        ("https://api.example:99999", Err(InvalidOrigin::NotUrl)),
        ("ftp://api.example", Err(InvalidOrigin::Scheme)),
        ("api.example", Err(InvalidOrigin::NotUrl)),
        ("/v1", Err(InvalidOrigin::NotUrl)),
    ] {
        let found = text.parse::<Origin>().map(|origin| origin.to_string());
        assert_eq!(found, expected.map(str::to_owned), "{text}");
    }
}

#[test]
fn names() {
    let origin: Origin = "https://api.example".parse().unwrap();
    for (authority, expected) in [
        ("api.example", true),
        ("API.Example", true),
        ("api.example.", true),
        ("api.example:443", true),
        ("api.example:80", false),
        ("api.example:", false),
        ("api.example:70000", false),
        ("evil.example", false),
        ("api.example.evil.example", false),
        ("user@api.example", false),
        ("api.example@evil.example", false),
        ("", false),
    ] {
        assert_eq!(origin.is_named_by(authority), expected, "{authority}");
    }
}
