//! Tests of paths (HT04): a grid of raw paths with their one form, or why there is none.

use proptest::prelude::*;

use super::*;

fn segments(raw: &str) -> Result<(String, Vec<String>), Violation> {
    let path = CanonicalPath::read(raw)?;
    Ok((path.as_str().to_owned(), path.segments().map(str::to_owned).collect()))
}

#[test]
fn ht04_a_path_has_one_form() {
    // As it comes, as it is sent, and the segments that policy sees.
    let cases: &[(&str, &str, &[&str])] = &[
        ("/", "/", &[]),
        ("/v1/refunds", "/v1/refunds", &["v1", "refunds"]),
        ("/v1/refunds/", "/v1/refunds/", &["v1", "refunds"]),
        ("/v1/%72efunds", "/v1/refunds", &["v1", "refunds"]),
        ("/%7euser/%2D%5F%2e%2ex", "/~user/-_..x", &["~user", "-_..x"]),
        ("/a%20b", "/a%20b", &["a b"]),
        ("/a%2cb,c", "/a,b,c", &["a,b,c"]),
        ("/v1/jobs/7:cancel", "/v1/jobs/7:cancel", &["v1", "jobs", "7:cancel"]),
        ("/v1/jobs/7%3acancel", "/v1/jobs/7:cancel", &["v1", "jobs", "7:cancel"]),
        ("/@scope/p!$&'()*=", "/@scope/p!$&'()*=", &["@scope", "p!$&'()*="]),
        ("/a+b", "/a+b", &["a+b"]),
        ("/a%2bb+c", "/a%2Bb+c", &["a+b+c"]),
        ("/caf%c3%a9", "/caf%C3%A9", &["caf\u{e9}"]),
        ("/%e2%82%ac", "/%E2%82%AC", &["\u{20ac}"]),
        ("/a\"<>^`{|}[]", "/a%22%3C%3E%5E%60%7B%7C%7D%5B%5D", &["a\"<>^`{|}[]"]),
        ("/a%3fb%23c", "/a%3Fb%23c", &["a?b#c"]),
        ("/100%25", "/100%25", &["100%"]),
        ("/5%25of", "/5%25of", &["5%of"]),
        ("/...", "/...", &["..."]),
        ("/.well-known/x", "/.well-known/x", &[".well-known", "x"]),
        ("/a..b/..c/d..", "/a..b/..c/d..", &["a..b", "..c", "d.."]),
    ];
    for (raw, sent, seen) in cases {
        let seen: Vec<String> = seen.iter().map(|segment| (*segment).to_owned()).collect();
        assert_eq!(segments(raw), Ok(((*sent).to_owned(), seen)), "{raw}");
        assert_eq!(segments(sent).unwrap(), segments(raw).unwrap(), "{sent} is its own form");
    }
}

#[test]
fn ht04_what_others_decode_otherwise_is_refused() {
    use Violation as V;
    let cases: &[(&str, Violation)] = &[
        ("", V::TargetForm),
        ("*", V::TargetForm),
        ("a/b", V::TargetForm),
        ("/a%2fb", V::PathSeparator),
        ("/a%2Fb", V::PathSeparator),
        ("/a%5cb", V::PathSeparator),
        ("/a\\b", V::PathSeparator),
        ("/..\\..\\b", V::PathSeparator),
        ("/%2f..%2fb", V::PathSeparator),
        ("/..", V::PathDots),
        ("/.", V::PathDots),
        ("/a/../b", V::PathDots),
        ("/a/./b", V::PathDots),
        ("/a/%2e%2e/b", V::PathDots),
        ("/a/%2E./b", V::PathDots),
        ("/a/.%2e", V::PathDots),
        ("/a/%2e/", V::PathDots),
        ("//", V::PathEmpty),
        ("//a", V::PathEmpty),
        ("/a//b", V::PathEmpty),
        ("/a//", V::PathEmpty),
        ("/a;x=1/b", V::PathParameter),
        ("/..;/b", V::PathParameter),
        ("/a%3bx", V::PathParameter),
        ("/;", V::PathParameter),
        ("/a%00", V::PathCharacter),
        ("/a%00.json", V::PathCharacter),
        ("/a%0d%0aHost:%20b", V::PathCharacter),
        ("/a%09", V::PathCharacter),
        ("/a%7f", V::PathCharacter),
        ("/caf\u{e9}", V::PathCharacter),
        ("/a%", V::Escape),
        ("/a%2", V::Escape),
        ("/a%zz", V::Escape),
        ("/a%2g", V::Escape),
        ("/a%u002f", V::Escape),
        ("/a% 2f", V::Escape),
        ("/a%252fb", V::PathTwice),
        ("/a%252Fb", V::PathTwice),
        ("/%252e%252e/b", V::PathTwice),
        ("/a%2500", V::PathTwice),
        ("/a%25%32%66", V::PathTwice),
        ("/a%25u002f", V::PathTwice),
        ("/a%2525", V::PathTwice),
        // Overlong forms of `/` and `.`, halves of surrogates, and what is no UTF-8 at all.
        ("/a%c0%afb", V::PathNotUtf8),
        ("/a%e0%80%afb", V::PathNotUtf8),
        ("/a%f0%80%80%afb", V::PathNotUtf8),
        ("/%c0%ae%c0%ae/b", V::PathNotUtf8),
        ("/a%ed%a0%80", V::PathNotUtf8),
        ("/a%ff", V::PathNotUtf8),
        ("/a%c3", V::PathNotUtf8),
        // Letters that some servers fold to `/`, `\`, `.` and `;`, and marks that turn what a person reads.
        ("/a%ef%bc%8fb", V::PathCharacter),
        ("/a%ef%bc%bcb", V::PathCharacter),
        ("/%ef%bc%8e%ef%bc%8e/b", V::PathCharacter),
        ("/%e2%80%a5/b", V::PathCharacter),
        ("/a%e2%88%95b", V::PathCharacter),
        ("/a%cd%be", V::PathCharacter),
        ("/a%ef%bc%852f", V::PathCharacter),
        ("/a%c2%85", V::PathCharacter),
        ("/a%e2%80%ae", V::PathCharacter),
        ("/a%ef%bb%bf", V::PathCharacter),
    ];
    for (raw, violation) in cases {
        assert_eq!(segments(raw).map(|(sent, _)| sent), Err(*violation), "{raw}");
    }
    assert_eq!(segments(&format!("/{}", "a".repeat(PATH_CAP))), Err(V::TargetTooLong));
    assert_eq!(segments(&"/a".repeat(SEGMENT_CAP + 1)), Err(V::TargetTooLong));
    assert!(segments(&"/a".repeat(SEGMENT_CAP)).is_ok());
}

#[test]
fn a_prefix_ends_at_a_segment() {
    let path = |raw: &str| CanonicalPath::read(raw).unwrap();
    for (own, prefix, below) in [
        ("/v1/a", "/v1", true),
        ("/v1", "/v1/", true),
        ("/v1/", "/v1", true),
        ("/v10", "/v1", false),
        ("/v1", "/v1/a", false),
        ("/x", "/", true),
        ("/", "/", true),
    ] {
        assert_eq!(path(own).is_below(&path(prefix)), below, "{own} under {prefix}");
    }
}

/// What the most common other parsers make of a path that is sent: each must see our segments.
fn lenient(sent: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let decoded = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            if byte == b'%' {
                let pair = [rest.next().unwrap(), rest.next().unwrap()];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&pair).unwrap(), 16).unwrap());
            } else {
                bytes.push(byte);
            }
        }
        String::from_utf8(bytes).unwrap()
    };
    // Decodes first, takes `\` for `/`, resolves dots, drops parameters and empty segments.
    for segment in decoded(sent).replace('\\', "/").split('/') {
        match segment.split(';').next().unwrap_or_default() {
            "" | "." => {}
            ".." => drop(out.pop()),
            segment => out.push(segment.to_owned()),
        }
    }
    out
}

proptest! {
    #[test]
    fn ht04_other_parsers_see_the_same_segments(raw in "/([a-z./\\\\;%~+ -]|%2[ef]|%5c|%25|%2[EF]|%c0%af|%C3%A9|%3b|\u{e9}){0,24}") {
        if let Ok(path) = CanonicalPath::read(&raw) {
            let own: Vec<String> = path.segments().map(str::to_owned).collect();
            prop_assert_eq!(lenient(path.as_str()), own.clone());
            let again = CanonicalPath::read(path.as_str());
            prop_assert_eq!(again.as_ref(), Ok(&path), "the form is its own form");
            prop_assert!(path.as_str().is_ascii());
            prop_assert!(http::uri::PathAndQuery::try_from(path.as_str()).is_ok());
            // Nothing comes out of decoding it again.
            prop_assert!(own.iter().all(|segment| !segment.is_empty() && !segment.contains(['/', '\\', ';', '\0'])));
        }
    }

    #[test]
    fn no_text_panics(raw in "\\PC{0,60}") {
        let _read = CanonicalPath::read(&raw);
        let _read = CanonicalPath::read(&format!("/{raw}"));
    }
}
