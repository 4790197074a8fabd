//! What is read, and what is not.

use super::*;

#[test]
fn reads_strictly() {
    for (text, expected) in [
        (r#"{}"#, Some(0)),
        (r#" {"a":1,"b":[true,null,"x"],"c":{"a":2}} "#, Some(3)),
        (r#"{"a":1,"a":1}"#, None),
        (r#"{"a":1,"\u0061":2}"#, None),
        (r#"{"b":{"a":1,"a":2}}"#, None),
        (r#"{"b":[{"a":1,"a":2}]}"#, None),
        (r#"{"a":1} {}"#, None),
        (r#"{"a":1,}"#, None),
        (r#"{"a":NaN}"#, None),
        (r#"[]"#, None),
        (r#"null"#, None),
        (r#""#, None),
    ] {
        assert_eq!(object(text.as_bytes()).map(|object| object.len()), expected, "{text}");
    }
    assert_eq!(object(b"{\"a\":\"\xff\"}"), None);
    let deep = format!("{}1{}", "{\"a\":".repeat(1000), "}".repeat(1000));
    assert_eq!(object(deep.as_bytes()), None);
}

#[test]
fn keeps_integers_and_fractions_apart() {
    for (text, expected) in [
        ("7", Json::Integer(7)),
        ("-7", Json::Integer(-7)),
        ("18446744073709551615", Json::Integer(u64::MAX.into())),
        ("18446744073709551616", Json::Fraction),
        ("7.0", Json::Fraction),
        ("7e0", Json::Fraction),
        ("\"7\"", Json::Text("7".to_owned())),
    ] {
        let object = object(format!("{{\"n\":{text}}}").as_bytes()).unwrap();
        assert_eq!(object["n"], expected, "{text}");
    }
}
