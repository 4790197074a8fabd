//! Every form of a path, its one text, and what is none.

use super::JsonPath;

#[test]
fn paths_have_one_text() {
    let cases = [
        ("$", Some("$")),
        ("$.email", Some("$.email")),
        ("$['email']", Some("$.email")),
        ("$[\"email\"]", Some("$.email")),
        ("$.customers[*].email", Some("$.customers[*].email")),
        ("$[*]", Some("$[*]")),
        ("$.*", Some("$.*")),
        ("$..email", Some("$..email")),
        ("$..['e mail']", Some("$..['e mail']")),
        ("$..*", Some("$..*")),
        ("$['odd key'].x", Some("$['odd key'].x")),
        ("$['it\\'s']", Some("$['it\\'s']")),
        ("$['']", Some("$['']")),
        ("$.größe", Some("$.größe")),
        ("$.@type", Some("$.@type")),
        ("", None),
        ("email", None),
        ("$email", None),
        ("$.", None),
        ("$..", None),
        ("$...a", None),
        ("$[0]", None),
        ("$['a'", None),
        ("$['a\\x']", None),
        ("$..[*]", None),
        ("$.a b", None),
        ("$.a[?(@.b)]", None),
    ];
    for (text, canonical) in cases {
        let path = JsonPath::parse(text).ok();
        assert_eq!(path.as_ref().map(|path| path.text().as_ref()), canonical, "{text}");
        if let Some(path) = path {
            assert_eq!(JsonPath::parse(path.text()), Ok(path.clone()), "{text}");
        }
    }
    assert!(JsonPath::parse(&format!("${}", ".a".repeat(65))).is_err());
}

#[test]
fn only_members_name_one_place() {
    let cases = [("$.a.b", true), ("$", true), ("$.a[*]", false), ("$.*", false), ("$..a", false)];
    for (text, single) in cases {
        assert_eq!(JsonPath::parse(text).unwrap().single().is_some(), single, "{text}");
    }
}
