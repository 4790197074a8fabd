//! Tests of queries and forms: one form, overrides refused (HT06), duplicates known where a rule reads (HT08).

use proptest::prelude::*;

use super::*;

fn sent(raw: &str) -> Result<String, Violation> {
    Query::read(Some(raw)).map(|query| query.as_str().unwrap_or_default().to_owned())
}

fn facts(raw: &str) -> Result<Vec<(String, String)>, Violation> {
    let facts = Query::read(Some(raw))?.facts(&NamesRead::All)?;
    Ok(facts.into_iter().map(|(name, value)| (name.to_string(), value.to_string())).collect())
}

#[test]
fn a_query_has_one_form() {
    let cases = [
        ("", "", vec![]),
        ("a=1&b=2", "a=1&b=2", vec![("a", "1"), ("b", "2")]),
        ("a", "a", vec![("a", "")]),
        ("a=", "a=", vec![("a", "")]),
        ("a=b=c", "a=b=c", vec![("a", "b=c")]),
        ("a=%62%2f%2F", "a=b%2F%2F", vec![("a", "b//")]),
        ("%61=1", "a=1", vec![("a", "1")]),
        ("q=a+b%20c%2bd", "q=a+b%20c%2Bd", vec![("q", "a b c+d")]),
        ("a=%26b%3D", "a=%26b%3D", vec![("a", "&b=")]),
        ("a=/?:@!$'()*,", "a=/?:@!$'()*,", vec![("a", "/?:@!$'()*,")]),
        ("f[x]=1&f[y]=2", "f[x]=1&f[y]=2", vec![("f[x]", "1"), ("f[y]", "2")]),
        ("a=\"<>|\\^`{}", "a=%22%3C%3E%7C%5C%5E%60%7B%7D", vec![("a", "\"<>|\\^`{}")]),
        ("a=1&&b=2&", "a=1&&b=2&", vec![("a", "1"), ("b", "2")]),
        ("a=%c3%a9", "a=%C3%A9", vec![("a", "\u{e9}")]),
        ("a=1%0a2", "a=1%0A2", vec![("a", "1\n2")]),
    ];
    for (raw, form, pairs) in cases {
        assert_eq!(sent(raw).as_deref(), Ok(form), "{raw}");
        assert_eq!(sent(form).as_deref(), Ok(form), "{form} is its own form");
        let pairs: Vec<(String, String)> = pairs.into_iter().map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
        assert_eq!(facts(raw), Ok(pairs), "{raw}");
    }
    assert_eq!(Query::read(None).unwrap().as_str(), None);
}

#[test]
fn ht04_what_cannot_be_decoded_is_refused() {
    for raw in ["a=%", "a=%2", "a=%zz", "%=1", "a=%u0041", "&&x=%g0"] {
        assert_eq!(sent(raw), Err(Violation::Escape), "{raw}");
    }
    for raw in ["a=\u{e9}", "a=b c", "a=b\u{7f}", "a=b#c", "a=\u{0}"] {
        assert_eq!(sent(raw), Err(Violation::PathCharacter), "{raw}");
    }
    assert_eq!(sent(&"a".repeat(QUERY_CAP + 1)), Err(Violation::TargetTooLong));
    assert_eq!(sent(&"a=1&".repeat(PARAMETER_CAP + 1)), Err(Violation::TargetTooLong));
}

#[test]
fn ht06_parameters_that_override_the_method_are_refused() {
    for raw in [
        "_method=DELETE",
        "a=1&_method=DELETE",
        "_METHOD=delete",
        "%5fmethod=DELETE",
        "_method",
        "a=1;_method=DELETE",
        "a;_method=DELETE;b",
        "X-HTTP-Method-Override=DELETE",
        "x_http_method_override=PUT",
        // As PHP registers names.
        ".method=DELETE",
        "+_method=DELETE",
        "%20_method=DELETE",
        "%2emethod=DELETE",
        "_method%00=DELETE",
        "_method%00aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=DELETE",
        "_HttpMethod=PUT",
    ] {
        assert_eq!(sent(raw), Err(Violation::Override), "{raw}");
    }
    for raw in ["method=DELETE", "payment_method=card", "a=_method", "_methods=1"] {
        assert_eq!(sent(raw).as_deref(), Ok(raw), "{raw}");
    }
}

#[test]
fn ht08_duplicates_are_refused_where_a_rule_reads() {
    for raw in [
        "amount=1&amount=100",
        "amount=1&amount=1",
        "amount=1&Amount=100",
        "amount=1&%61mount=100",
        "amount=1&amount[]=100",
        "amount[]=1&amount[]=100",
        "amount=1&amount[0]=100",
        "a.b=1&a_b=2",
        "a b=1&a_b=2".replace(' ', "+").as_str(),
        "amount&amount=1",
    ] {
        assert_eq!(facts(raw), Err(Violation::RepeatedParameter), "{raw}");
        assert!(sent(raw).is_ok(), "no rule reads {raw}");
    }
    for raw in ["a=1;b=2", "a=%ff", "%ff=1", "a=%00", "a=1%1b", "=1", "a=%c0%af"] {
        assert_eq!(facts(raw), Err(Violation::AmbiguousParameters), "{raw}");
        assert!(sent(raw).is_ok(), "no rule reads {raw}");
    }
}

#[test]
fn ht08_a_name_that_may_be_taken_for_one_that_is_read_is_refused() {
    let read = |raw: &str, names: &[&str]| {
        let reads = NamesRead::Named(names.iter().map(|name| Arc::from(*name)).collect());
        Query::read(Some(raw)).unwrap().facts(&reads).map(|facts| facts.len())
    };
    for raw in ["Limit=9", "limit[]=9", "limit[0]=9", "+limit=9", "LIMIT[a]=9", "%6cim%69t%00x=9"] {
        assert_eq!(read(raw, &["limit"]), Err(Violation::AmbiguousParameters), "{raw}");
    }
    for (raw, own) in
        [("a.b=1", "a_b"), ("a_b=1", "a.b"), ("filter=1", "filter[status]"), ("Filter[Status]=1", "filter[status]")]
    {
        assert_eq!(read(raw, &[own]), Err(Violation::AmbiguousParameters), "{raw}");
    }
    for (raw, own) in
        [("limit=9&x=1", "limit"), ("limits=9", "limit"), ("filter[a]=1&filter[status]=2", "filter[status]")]
    {
        assert!(read(raw, &[own]).is_ok(), "{raw}");
    }
}

/// The pairs that a lenient reader finds.
fn pairs(text: &str) -> Vec<(String, String)> {
    parts(text).map(|part| (decode(halves(part).0).unwrap().0, decode(halves(part).1).unwrap().0)).collect()
}

proptest! {
    #[test]
    fn the_form_means_the_same(raw in "([a-z=&;+_.]|%[0-9a-f]{2}|\\[\\]){0,30}") {
        if let Ok(query) = Query::read(Some(&raw)) {
            let form = query.as_str().unwrap().to_owned();
            let again = Query::read(Some(&form)).unwrap();
            prop_assert_eq!(pairs(&form), pairs(&raw));
            prop_assert_eq!(again.facts(&NamesRead::All), query.facts(&NamesRead::All));
            prop_assert_eq!(again.as_str(), Some(form.as_str()));
        }
    }

    #[test]
    fn no_text_panics(raw in "\\PC{0,60}") {
        let _read = Query::read(Some(&raw)).map(|query| query.facts(&NamesRead::All));
    }
}
