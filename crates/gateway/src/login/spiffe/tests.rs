//! The grammar of ids: what is one, and everything that looks like one.

use super::*;

#[test]
fn the_grammar_is_strict() {
    for (text, trust_domain) in [
        ("spiffe://example.org/a", Some("example.org")),
        ("spiffe://example.org/ns/shop/sa/deploy", Some("example.org")),
        ("spiffe://a_b-c.9/A.b_c-d", Some("a_b-c.9")),
        ("spiffe://example.org/...", Some("example.org")),
        ("spiffe://example.org", None),
        ("spiffe://example.org/", None),
        ("spiffe://example.org/a/", None),
        ("spiffe://example.org//a", None),
        ("spiffe://example.org/a/../b", None),
        ("spiffe://example.org/./a", None),
        ("spiffe://Example.org/a", None),
        ("SPIFFE://example.org/a", None),
        ("spiffe:/example.org/a", None),
        ("https://example.org/a", None),
        ("spiffe:///a", None),
        ("spiffe://example.org:80/a", None),
        ("spiffe://user@example.org/a", None),
        ("spiffe://example.org/a?b", None),
        ("spiffe://example.org/a#b", None),
        ("spiffe://example.org/a%2fb", None),
        ("spiffe://example.org/a b", None),
        ("spiffe://example.org/a\0", None),
        ("spiffe://exämple.org/a", None),
        ("spiffe://example.org/ä", None),
        (" spiffe://example.org/a", None),
        ("", None),
    ] {
        assert_eq!(SpiffeId::parse(text).map(|id| id.trust_domain().to_owned()).as_deref(), trust_domain, "{text}");
    }
    let id = SpiffeId::parse("spiffe://example.org/a").unwrap();
    assert_eq!((id.to_string(), id.issuer()), ("spiffe://example.org/a".to_owned(), "spiffe://example.org".to_owned()));
    let long = |letters: usize| format!("spiffe://e/{}", "a".repeat(letters));
    assert!(SpiffeId::parse(&long(2048 - 11)).is_some() && SpiffeId::parse(&long(2048 - 10)).is_none());
    assert!(SpiffeId::parse(&format!("spiffe://{}/a", "e".repeat(256))).is_none());
}
