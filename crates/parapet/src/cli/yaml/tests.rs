//! What is written is read back as it was, by the parser of policy tests.

use serde_json::{Value, json};

use super::*;

#[test]
fn a_document_is_read_back() {
    let strings = [
        "",
        "a",
        "triage-bot",
        "true",
        "No",
        "~",
        "null",
        "1",
        "0x1f",
        "1e3",
        "2026-11-21T04:00:00Z",
        "a: b",
        "a #b",
        "- a",
        "#",
        "'",
        "\"",
        "two words",
        " led",
        "trailed ",
        "two\nlines\n",
        "tab\t",
        "\u{1b}[31mred",
        "\u{85}\u{2028}\u{202e}",
        "Größe",
        "\u{1f600}",
        "{a}",
        "[",
        "*a",
        "&a",
        "!t",
        "%x",
        "@a",
        "`",
        "|",
        ">",
        "?",
        ":",
        "-",
        "---",
        "...",
        "<<",
        "=",
    ];
    let by_name: serde_json::Map<String, Value> =
        strings.iter().enumerate().map(|(at, name)| ((*name).to_owned(), json!(at))).collect();
    let value = json!({
        "id": "dec_01", "none": null, "yes": true, "count": -12, "part": 0.5, "empty": {}, "nothing": [], "a: b": 1,
        "strings": strings.as_slice(),
        "by_name": by_name,
        "items": [{ "name": "a", "groups": ["x", "y"], "deep": { "deeper": [{ "b": [] }] } }, {}, [], [[1, 2], [3]], null],
    });
    let text = document("parapet.test/v1", &value);
    let read: Value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut expected = value;
    expected["schema"] = json!("parapet.test/v1");
    assert_eq!(read, expected, "{text}");
    assert!(text.starts_with("---\nschema: parapet.test/v1\n"), "{text}");
    assert!(!text.chars().any(|letter| letter.is_control() && letter != '\n'), "{text:?}");
}
