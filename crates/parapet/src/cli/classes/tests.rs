//! How columns are named on the command line.

use super::split;

#[test]
fn columns_are_named_by_three_names() {
    for (text, expected) in [
        ("public.customers.email", Some(["public", "customers", "email"])),
        ("\"my.schema\".t.\"a\"\"b\"", Some(["my.schema", "t", "a\"b"])),
        ("customers.email", None),
        ("a.b.c.d", None),
        ("a..c", None),
        ("a.b.\"c", None),
        ("", None),
    ] {
        assert_eq!(split(text), expected.map(|names| names.map(str::to_owned)), "{text}");
    }
}
