//! Masks in streamed JSON: what is replaced, what passes as it came, what stops the answer. Every case is cut at every byte.

use std::sync::Arc;

use kernel::verdict::Mask;

use super::{DEEPEST_ANSWER, Detect, Form, JsonMasker, LONGEST_INSPECTED, LONGEST_VALUE, MaskError, Masks};
use crate::detect::Detector;
use crate::http::json_path::JsonPath;
use crate::mask::MaskKey;

mod events;
mod property;

fn masks(paths: &[(&str, Mask)], detect: Detect) -> Masks {
    let paths: Vec<_> = paths.iter().map(|(path, mask)| (JsonPath::parse(path).unwrap(), *mask)).collect();
    let detector = (detect != Detect::Off).then(|| Arc::new(Detector::new().unwrap()));
    Masks::new(&paths, Arc::new(MaskKey::new(b"a key of thirty-two bytes or so.")), detect, detector)
}

fn run(masks: &Masks, form: Form, pieces: &[&[u8]]) -> Result<Vec<u8>, MaskError> {
    let mut masker = JsonMasker::new(masks.clone(), form);
    let mut out = Vec::new();
    for piece in pieces {
        masker.feed(piece, &mut out)?;
    }
    masker.finish(&mut out)?;
    Ok(out)
}

/// As many places as GraphQL may select, and each of them is found.
#[test]
fn many_places_are_found() {
    let paths: Vec<String> = (0..10_000).map(|place| format!("$..data.a{}", place * 7 % 10_000)).collect();
    let paths: Vec<(&str, Mask)> = paths.iter().map(|path| (path.as_str(), Mask::Null)).collect();
    let members: Vec<String> = (0..10_010).map(|place| format!("\"a{place}\":\"marie\"")).collect();
    let answer = format!("{{\"data\":{{{}}}}}", members.join(","));
    let masked = run(&masks(&paths, Detect::Off), Form::Json, &[answer.as_bytes()]).unwrap();
    let masked = String::from_utf8(masked).unwrap();
    assert_eq!((masked.matches("null").count(), masked.matches("marie").count()), (10_000, 10));
}

/// The same result for the whole, for every cut in two, and byte by byte.
fn cut_everywhere(masks: &Masks, form: Form, input: &[u8]) -> Result<Vec<u8>, MaskError> {
    let whole = run(masks, form, &[input]);
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    let text = String::from_utf8_lossy(input);
    assert_eq!(run(masks, form, &bytes), whole, "byte by byte: {text}");
    for cut in 0..=input.len() {
        let (head, tail) = input.split_at(cut);
        assert_eq!(run(masks, form, &[head, tail]), whole, "cut at {cut}: {text}");
    }
    whole
}

fn check(paths: &[(&str, Mask)], input: &str, expect: Result<&str, MaskError>) {
    let masked = cut_everywhere(&masks(paths, Detect::Off), Form::Json, input.as_bytes());
    let masked = masked.map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(masked.as_deref().map_err(|error| *error), expect, "{input}");
}

#[test]
fn values_at_their_places_are_replaced() {
    use Mask::{Last4, Null, Partial, Redact};
    type Case<'c> = (&'c [(&'c str, Mask)], &'c str, &'c str);
    let email: &[(&str, Mask)] = &[("$.email", Partial)];
    let cases: [Case<'_>; 38] = [
        (email, r#"{"email":"marie@example.com","x":1}"#, r#"{"email":"m***@e***.com","x":1}"#),
        (email, r#" { "email" : "marie@example.com" } "#, r#" { "email" : "m***@e***.com" } "#),
        (email, r#"{"x":"marie@example.com"}"#, r#"{"x":"marie@example.com"}"#),
        (email, r#"{"x":{"email":"a"}}"#, r#"{"x":{"email":"a"}}"#),
        // The name in any spelling, and every time.
        (email, r#"{"\u0065mail":"marie@example.com"}"#, r#"{"\u0065mail":"m***@e***.com"}"#),
        (email, r#"{"\u0065\u006d\u0061\u0069\u006C":"marie"}"#, r#"{"\u0065\u006d\u0061\u0069\u006C":"m***"}"#),
        (email, r#"{"email":"marie","email":"pierre"}"#, r#"{"email":"m***","email":"p***"}"#),
        (email, r#"{"email":"ma\u0072ie@ex\u0061mple.com"}"#, r#"{"email":"m***@e***.com"}"#),
        (email, r#"{"email":"\"arie"}"#, r#"{"email":"\"***"}"#),
        (email, r#"{"email":"\ud83d\ude00arie"}"#, r#"{"email":"😀***"}"#),
        (email, r#"{"email":"\ud83darie"}"#, "{\"email\":\"\u{fffd}***\"}"),
        (email, r#"{"emails":"a","emai":"b","":"c"}"#, r#"{"emails":"a","emai":"b","":"c"}"#),
        // Arrays are looked through, on both sides.
        (email, r#"[{"email":"marie"},[{"email":"pierre"}]]"#, r#"[{"email":"m***"},[{"email":"p***"}]]"#),
        (&[("$.c[*].e", Redact)], r#"{"c":{"e":"x"}}"#, r#"{"c":{"e":"[redacted]"}}"#),
        (
            &[("$.c.e", Redact)],
            r#"{"c":[{"e":"x"},{"e":["y",2]}]}"#,
            r#"{"c":[{"e":"[redacted]"},{"e":["[redacted]",0]}]}"#,
        ),
        (&[("$[*]", Redact)], r#"["x",1]"#, r#"["[redacted]",0]"#),
        // Numbers, words, null.
        (&[("$.n", Redact)], r#"{"n":17.50}"#, r#"{"n":0.00}"#),
        (&[("$.n", Partial)], r#"{"n":-12345}"#, r#"{"n":-10000}"#),
        (&[("$.n", Last4)], r#"{"n":4111111111111111}"#, r#"{"n":1111}"#),
        (&[("$.n", Last4)], r#"{"n":4111111111111111411111111111}"#, r#"{"n":1111}"#),
        (&[("$.n", Null)], r#"{"n":1}"#, r#"{"n":null}"#),
        (
            &[("$.n", Redact)],
            r#"[{"n":true},{"n":null},{"n":-0},{"n":0}]"#,
            r#"[{"n":false},{"n":null},{"n":0},{"n":0}]"#,
        ),
        (&[("$.n", Partial)], r#"[{"n":true},{"n":false}]"#, r#"[{"n":null},{"n":null}]"#),
        (&[("$", Redact)], "17", "0"),
        (&[("$", Redact)], "17 \"x\" null", "0 \"[redacted]\" null"),
        // Structures.
        (&[("$.o", Redact)], r#"{"o":{"a":[1,{"b":"]}"}]},"x":1}"#, r#"{"o":"[redacted]","x":1}"#),
        (&[("$.o", Null)], r#"{"o":[1,[2]],"x":1}"#, r#"{"o":null,"x":1}"#),
        (&[("$.o", Partial)], r#"{"o":[["marie"],{"a":1},null]}"#, r#"{"o":[["m***"],"[redacted]",null]}"#),
        (&[("$.o", Redact), ("$.o.x", Null)], r#"{"o":{"x":1,"y":2}}"#, r#"{"o":"[redacted]"}"#),
        (&[("$.o", Partial), ("$.o.x", Null)], r#"{"o":[{"x":1}],"x":3}"#, r#"{"o":["[redacted]"],"x":3}"#),
        // Any member, any depth, several masks on one place.
        (&[("$.*.e", Redact)], r#"{"a":{"e":1},"e":2}"#, r#"{"a":{"e":0},"e":2}"#),
        (&[("$..e", Redact)], r#"{"e":1,"a":[{"b":{"e":2,"f":3}}]}"#, r#"{"e":0,"a":[{"b":{"e":0,"f":3}}]}"#),
        (
            &[("$..a.e", Redact)],
            r#"{"a":{"a":{"e":1}},"e":2,"b":{"a":{"e":3}}}"#,
            r#"{"a":{"a":{"e":0}},"e":2,"b":{"a":{"e":0}}}"#,
        ),
        (&[("$..a..e", Redact)], r#"{"a":{"x":{"a":{"e":1}}},"e":2}"#, r#"{"a":{"x":{"a":{"e":0}}},"e":2}"#),
        (&[("$.a..*", Null)], r#"{"a":{"x":1,"y":{}},"b":2}"#, r#"{"a":{"x":null,"y":null},"b":2}"#),
        (&[("$.e", Partial), ("$..e", Null)], r#"{"e":"marie"}"#, r#"{"e":null}"#),
        (&[("$['']", Redact)], r#"{"":1}"#, r#"{"":0}"#),
        (&[("$.größe", Redact)], r#"{"größe":1,"gr\u00f6\u00DFe":2}"#, r#"{"größe":0,"gr\u00f6\u00DFe":0}"#),
    ];
    for (paths, input, expect) in cases {
        check(paths, input, Ok(expect));
    }
}

#[test]
fn what_is_no_json_stops() {
    let mask: &[(&str, Mask)] = &[("$.email", Mask::Partial)];
    let invalid = [
        "x",
        "{",
        "[",
        "\"",
        "tru",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "[1",
        "1e",
        "-",
        "01",
        "1.",
        ".5",
        "+1",
        "NaN",
        "nul1",
        "TRUE",
        "{a:1}",
        "{'a':1}",
        "{\"a\" 1}",
        "{\"a\":1,}",
        "[1,]",
        "[,1]",
        "{,}",
        "[1 2]",
        "]",
        "}",
        "[}",
        "{]",
        "\"\\x\"",
        "\"\\u00g0\"",
        "\"\\u00\"",
        "\"a\nb\"",
        "\"\u{1}\"",
        "/* */ 1",
        "{\"a\":1}}",
        "[1]]",
        "1,2",
        "{\"a\":\u{a0}1}",
        "\u{feff}\u{feff}1",
        "{\"email\":\"\\ud8\"}",
        "\u{1e}1",
    ];
    for text in invalid {
        let result = cut_everywhere(&masks(mask, Detect::Off), Form::Json, text.as_bytes());
        assert!(matches!(result, Err(MaskError::Invalid | MaskError::Truncated)), "{text}: {result:?}");
    }
    for bytes in [&b"\"\xff\""[..], b"\"\xc1\xa1\"", b"\"\xed\xa0\x80\"", b"{\"\xe2\x82", b"\xff\xfe{\0}\0"] {
        assert!(cut_everywhere(&masks(mask, Detect::Off), Form::Json, bytes).is_err(), "{bytes:?}");
    }
    let utf16: Vec<u8> = "{\"email\":\"x\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(cut_everywhere(&masks(mask, Detect::Off), Form::Json, &utf16), Err(MaskError::Invalid));
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let all = masks(mask, Detect::Off);
    assert!(run(&all, Form::Json, &[deep(DEEPEST_ANSWER).as_bytes()]).is_ok());
    assert_eq!(run(&all, Form::Json, &[deep(DEEPEST_ANSWER + 1).as_bytes()]), Err(MaskError::TooDeep));
    // Also beneath what is left out.
    let hidden = format!("{{\"email\":{{\"a\":{}}}}}", deep(DEEPEST_ANSWER));
    assert_eq!(run(&all, Form::Json, &[hidden.as_bytes()]), Err(MaskError::TooDeep));
    // Once it has failed, nothing more comes out.
    let mut masker = JsonMasker::new(all, Form::Json);
    let mut out = Vec::new();
    assert_eq!(masker.feed(b"{]", &mut out), Err(MaskError::Invalid));
    out.clear();
    assert_eq!(masker.feed(b"{\"email\":\"marie\"}", &mut out), Err(MaskError::Invalid));
    assert_eq!(masker.finish(&mut out), Err(MaskError::Invalid));
    assert!(out.is_empty());
}

#[test]
fn empty_answers_and_many_documents_pass() {
    let email = masks(&[("$.email", Mask::Partial)], Detect::Off);
    let cases = [
        (Form::Json, "", ""),
        (Form::Json, " \n", " \n"),
        (Form::Json, "\u{feff}{\"email\":\"marie\"}", "\u{feff}{\"email\":\"m***\"}"),
        (
            Form::Lines,
            "{\"email\":\"marie\"}\n{\"email\":\"pierre\"}\n",
            "{\"email\":\"m***\"}\n{\"email\":\"p***\"}\n",
        ),
        (Form::Lines, "\u{1e}{\"email\":\"marie\"}\n\u{1e}3\n", "\u{1e}{\"email\":\"m***\"}\n\u{1e}3\n"),
        (Form::Json, "{\"email\":\"marie\"}{\"email\":\"pierre\"}", "{\"email\":\"m***\"}{\"email\":\"p***\"}"),
    ];
    for (form, input, expect) in cases {
        let masked = cut_everywhere(&email, form, input.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(masked).unwrap(), expect, "{input}");
    }
}

#[test]
fn long_values_are_bounded() {
    // MK: two gibibytes in one text, in pieces; nothing is kept but what is appended for a piece.
    let email = masks(&[("$.email", Mask::Hash)], Detect::Off);
    let mut masker = JsonMasker::new(email.clone(), Form::Json);
    let mut out = Vec::new();
    masker.feed(b"{\"email\":\"", &mut out).unwrap();
    let piece = vec![b'a'; 1 << 16];
    for _ in 0..64 {
        masker.feed(&piece, &mut out).unwrap();
    }
    masker.feed(b"\",\"x\":\"", &mut out).unwrap();
    assert_eq!(String::from_utf8(out.clone()).unwrap(), "{\"email\":\"[redacted]\",\"x\":\"");
    out.clear();
    for _ in 0..64 {
        masker.feed(&piece, &mut out).unwrap();
        assert_eq!(out.len(), piece.len());
        out.clear();
    }
    masker.feed(b"\"}", &mut out).unwrap();
    masker.finish(&mut out).unwrap();
    // At the bound, the cuts make no difference.
    for length in [LONGEST_VALUE - 3, LONGEST_VALUE - 2, LONGEST_VALUE - 1, LONGEST_VALUE] {
        let text = format!("{{\"email\":\"{}\"}}", "a".repeat(length));
        let whole = run(&email, Form::Json, &[text.as_bytes()]).unwrap();
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(1000).collect();
        assert_eq!(run(&email, Form::Json, &pieces).unwrap(), whole);
        assert_eq!(String::from_utf8(whole).unwrap().contains("redacted"), length > LONGEST_VALUE - 2, "{length}");
    }
    // Names and numbers, too.
    let name = format!("{{\"{}\":1,\"email\":{}}}", "n".repeat(1 << 20), "1".repeat(1 << 20));
    let pieces: Vec<&[u8]> = name.as_bytes().chunks(777).collect();
    let masked = run(&email, Form::Json, &pieces).unwrap();
    assert!(masked.ends_with(b":1,\"email\":null}"));
    assert_eq!(run(&email, Form::Json, &[name.as_bytes()]).unwrap(), masked);
}

#[test]
fn detectors_look_at_what_passes() {
    let input = r#"{"note":"call marie@example.com or pi\u0065rre@example.org now","card":4111111111111111,"email":"a@example.com","n":17}"#;
    let signal = masks(&[("$.email", Mask::Null)], Detect::Signal);
    let mut masker = JsonMasker::new(signal.clone(), Form::Json);
    let mut out = Vec::new();
    masker.feed(input.as_bytes(), &mut out).unwrap();
    let found: Vec<(&str, u32)> = masker.found().map(|(kind, count)| (kind.as_str(), count)).collect();
    assert_eq!(found, [("email", 2), ("payment-card", 1)]);
    assert_eq!(masker.masked(), 1);
    assert_eq!(
        String::from_utf8(cut_everywhere(&signal, Form::Json, input.as_bytes()).unwrap()).unwrap(),
        input.replace("\"a@example.com\"", "null")
    );
    let masked = masks(&[("$.email", Mask::Null)], Detect::Mask(Mask::Partial));
    assert_eq!(
        String::from_utf8(cut_everywhere(&masked, Form::Json, input.as_bytes()).unwrap()).unwrap(),
        r#"{"note":"call m***@e***.com or p***@e***.org now","card":4000000000000000,"email":null,"n":17}"#
    );
    // Who only counts may stop; who masks may not.
    for (masks, counts) in [(&signal, 0), (&masked, 3)] {
        let mut masker = JsonMasker::new(masks.clone(), Form::Json);
        masker.look_no_more();
        let mut out = Vec::new();
        masker.feed(input.as_bytes(), &mut out).unwrap();
        assert_eq!(masker.found().map(|(_, count)| count).sum::<u32>(), counts);
        assert_eq!(out, cut_everywhere(masks, Form::Json, input.as_bytes()).unwrap());
    }
    for (detect, passes) in [(Detect::Signal, true), (Detect::Mask(Mask::Partial), false)] {
        let text = format!("\"marie@example.com {}\"", "x".repeat(LONGEST_INSPECTED));
        let whole = run(&masks(&[], detect), Form::Json, &[text.as_bytes()]).unwrap();
        assert_eq!(whole == text.as_bytes(), passes);
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(999).collect();
        assert_eq!(run(&masks(&[], detect), Form::Json, &pieces).unwrap(), whole);
    }
}

#[test]
fn forms_of_content_types() {
    let cases = [
        ("application/json", Some(Form::Json)),
        ("application/problem+json; charset=utf-8", Some(Form::Json)),
        ("text/event-stream", Some(Form::Events)),
        ("application/x-ndjson", Some(Form::Lines)),
        ("application/json-seq", Some(Form::Lines)),
        ("application/json; charset=utf-16", None),
        ("application/json; charset=latin1", None),
        ("text/html", None),
        ("multipart/mixed; boundary=x", None),
        ("application/octet-stream", None),
        ("", None),
    ];
    for (text, form) in cases {
        assert_eq!(Form::of_content_type(text), form, "{text}");
    }
    assert!(masks(&[], Detect::Off).is_idle());
    assert!(!masks(&[("$", Mask::Null)], Detect::Off).is_idle());
}

#[test]
fn what_a_mask_made_is_found_again() {
    use super::JsonSeeker;
    let places = masks(&[("$..email", Mask::Partial), ("$.card", Mask::Null)], Detect::Off);
    let seek = |body: &str| {
        let found = |pieces: &[&[u8]]| {
            let mut seeker = JsonSeeker::new(places.clone(), Form::Json);
            let fed = pieces.iter().try_fold(false, |_, piece| seeker.feed(piece));
            fed.and_then(|found| Ok(seeker.finish()? || found))
        };
        let whole = found(&[body.as_bytes()]);
        assert_eq!(found(&body.as_bytes().chunks(1).collect::<Vec<_>>()), whole, "{body}");
        whole
    };
    for masked in [
        r#"{"email":"m***@e***.com"}"#,
        r#"{"email":"\u006d***@e***.com"}"#,
        r#"{"em\u0061il":"[redacted]"}"#,
        r#"{"card":"************4417"}"#,
        r#"{"customer":{"email":["x","m***@e***.com"]}}"#,
        r#"{"card":{"number":{"shown":"************4417"}}}"#,
    ] {
        assert_eq!(seek(masked), Ok(true), "{masked}");
    }
    for honest in [
        r#"{"email":"marie@example.com","card":"4929750318264417"}"#,
        r#"{"note":"m***@e***.com"}"#,
        r#"{"a":{"card":"************4417"}}"#,
        r#"{"email":null,"card":17}"#,
        "",
    ] {
        assert_eq!(seek(honest), Ok(false), "{honest}");
    }
    assert_eq!(seek("{'email':'m***@e***.com'}"), Err(MaskError::Invalid));
    assert_eq!(seek(r#"{"email":"#), Err(MaskError::Truncated));
}
