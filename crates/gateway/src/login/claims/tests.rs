//! Claims made flat: those of issuers that nest, and those that try to pass for nested ones.

use super::*;
use crate::login::json;

fn flat(text: &str) -> Vec<(String, String)> {
    flattened(json::object(text.as_bytes()).unwrap()).into_iter().collect()
}

#[test]
fn nested_claims_have_pointers() {
    for (text, expected) in [
        (r#"{"sub":"a","n":7,"t":true,"f":0.5,"z":null}"#, vec![("n", "7"), ("sub", "a"), ("t", "true")]),
        (
            r#"{"kubernetes.io":{"namespace":"shop","pod":{"name":"p","uid":"u1"},"serviceaccount":{"uid":"u2"}}}"#,
            vec![
                ("/kubernetes.io/namespace", "shop"),
                ("/kubernetes.io/pod/name", "p"),
                ("/kubernetes.io/pod/uid", "u1"),
                ("/kubernetes.io/serviceaccount/uid", "u2"),
            ],
        ),
        (
            r#"{"https://sts.amazonaws.com/":{"aws_account":"1","principal_tags":{"a/b~c":"x"}}}"#,
            vec![
                ("/https:~1~1sts.amazonaws.com~1/aws_account", "1"),
                ("/https:~1~1sts.amazonaws.com~1/principal_tags/a~1b~0c", "x"),
            ],
        ),
        (r#"{"aud":["a","b"],"groups":[{"id":3}]}"#, vec![("/aud/0", "a"), ("/aud/1", "b"), ("/groups/0/id", "3")]),
        // What is named like a pointer is no pointer, whichever comes first.
        (r#"{"/a/b":"forged","a":{"b":"true one"}}"#, vec![("/a/b", "true one")]),
        (r#"{"/kubernetes.io/namespace":"forged"}"#, vec![]),
        (r#"{"a":{"b":{"c":{"d":{"e":"too deep"}}}}}"#, vec![]),
        (r#"{"a":{"":"empty"},"":"none"}"#, vec![("", "none"), ("/a/", "empty")]),
    ] {
        let expected: Vec<(String, String)> =
            expected.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut found = flat(text);
        found.sort();
        let mut expected = expected;
        expected.sort();
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn the_number_of_claims_is_bounded() {
    let many: Vec<String> = (0..2000).map(|number| number.to_string()).collect();
    assert_eq!(flat(&format!("{{\"a\":[{}]}}", many.join(","))).len(), MOST);
}
