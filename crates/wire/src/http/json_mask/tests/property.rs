//! Against a reference that reads the whole document with serde_json: the masked text, read, is the read document, masked.

use std::sync::Arc;

use kernel::verdict::Mask;
use proptest::prelude::*;
use serde_json::{Map, Number, Value};

use super::run;
use crate::http::json_mask::{Detect, Form, Masks};
use crate::http::json_path::{JsonPath, Step};
use crate::mask::{MaskKey, json};

fn key() -> Arc<MaskKey> {
    Arc::new(MaskKey::new(b"a key of thirty-two bytes or so."))
}

/// Few names, so that paths meet them.
fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[abc]", Just("é".to_owned()), Just(String::new())]
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|number| Value::Number(Number::from(number))),
        (-10_000i64..10_000).prop_map(|number| Value::Number(Number::from(number))),
        "\\PC{0,12}".prop_map(Value::String),
        "[a-z]{1,6}@[a-z]{1,6}\\.com".prop_map(Value::String),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map(name(), inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn path() -> impl Strategy<Value = JsonPath> {
    let member = prop_oneof![4 => name().prop_map(|name| Step::Member(name.into())), 1 => Just(Step::AnyMember)];
    let steps = prop_oneof![
        4 => member.clone().prop_map(|one| vec![one]),
        1 => member.prop_map(|one| vec![Step::Deep, one]),
        1 => Just(vec![Step::Elements]),
    ];
    prop::collection::vec(steps, 0..4).prop_map(|steps| JsonPath::of(steps.concat()).unwrap())
}

fn mask() -> impl Strategy<Value = Mask> {
    prop::sample::select(vec![Mask::Null, Mask::Redact, Mask::Hash, Mask::Token, Mask::Last4, Mask::Partial])
}

/// The strongest mask of the paths that lead to where these names lead. Arrays count for nothing.
fn mask_at(paths: &[(JsonPath, Mask)], names: &[String]) -> Option<Mask> {
    fn leads(steps: &[Step], names: &[String]) -> bool {
        match (steps, names) {
            ([], []) => true,
            ([Step::Elements, rest @ ..], _) => leads(rest, names),
            ([Step::Deep, rest @ ..], _) => (0..names.len()).any(|skipped| leads(rest, &names[skipped..])),
            ([Step::AnyMember, rest @ ..], [_, names @ ..]) => leads(rest, names),
            ([Step::Member(member), rest @ ..], [name, names @ ..]) => **member == *name && leads(rest, names),
            ([Step::AnyMember | Step::Member(_), ..], []) | ([], [_, ..]) => false,
        }
    }
    paths.iter().filter(|(path, _)| leads(path.steps(), names)).map(|(_, mask)| *mask).min()
}

fn reference(
    value: &Value,
    paths: &[(JsonPath, Mask)],
    names: &mut Vec<String>,
    inherited: Option<Mask>,
    key: &MaskKey,
) -> Value {
    let mask = mask_at(paths, names).into_iter().chain(inherited).min();
    let unseen = |mask| if mask == Mask::Null { Value::Null } else { Value::String("[redacted]".to_owned()) };
    let mut out = Vec::new();
    match (value, mask) {
        (Value::Array(items), mask) if mask != Some(Mask::Null) => {
            Value::Array(items.iter().map(|item| reference(item, paths, names, mask, key)).collect())
        }
        (Value::Object(members), None) => {
            let mut masked = Map::new();
            for (name, member) in members {
                names.push(name.clone());
                masked.insert(name.clone(), reference(member, paths, names, None, key));
                names.pop();
            }
            Value::Object(masked)
        }
        (value, None) => value.clone(),
        (Value::Null, _) => Value::Null,
        (Value::Array(_) | Value::Object(_), Some(mask)) => unseen(mask),
        (Value::Bool(_), Some(mask)) => {
            if mask == Mask::Redact {
                Value::Bool(false)
            } else {
                Value::Null
            }
        }
        (Value::String(text), Some(mask)) => match json::text(mask, text.as_bytes(), key, &mut out) {
            true => Value::String(String::from_utf8(out).unwrap()),
            false => Value::Null,
        },
        (Value::Number(number), Some(mask)) => match json::number(mask, number.to_string().as_bytes(), key, &mut out) {
            true => serde_json::from_slice(&out).unwrap(),
            false => Value::Null,
        },
    }
}

/// Any spelling of a document: blanks, escapes.
fn spell(value: &Value, odd: &mut impl FnMut() -> bool, out: &mut String) {
    let blank = |out: &mut String, odd: &mut dyn FnMut() -> bool| {
        if odd() {
            out.push_str(" \n");
        }
    };
    blank(out, odd);
    match value {
        Value::Array(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                out.push_str(if place > 0 { "," } else { "" });
                spell(item, odd, out);
            }
            blank(out, odd);
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (place, (name, member)) in members.iter().enumerate() {
                out.push_str(if place > 0 { "," } else { "" });
                blank(out, odd);
                spell_text(name, odd, out);
                blank(out, odd);
                out.push(':');
                spell(member, odd, out);
            }
            blank(out, odd);
            out.push('}');
        }
        Value::String(text) => spell_text(text, odd, out),
        other => out.push_str(&other.to_string()),
    }
    blank(out, odd);
}

fn spell_text(text: &str, odd: &mut impl FnMut() -> bool, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        if odd() || letter.is_control() || matches!(letter, '"' | '\\') {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(letter);
        }
    }
    out.push('"');
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn masked_streams_are_masked_documents(
        document in document(),
        paths in prop::collection::vec((path(), mask()), 0..5),
        oddities in prop::collection::vec(any::<bool>(), 1..40),
        cuts in prop::collection::vec(0usize..400, 0..8),
    ) {
        let mut turn = 0;
        let mut odd = || { turn += 1; oddities[turn % oddities.len()] && oddities[(turn / 3) % oddities.len()] };
        let mut text = String::new();
        spell(&document, &mut odd, &mut text);
        let bytes = text.as_bytes();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.sort_unstable();
        cuts.insert(0, 0);
        cuts.push(bytes.len());
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();

        let key = key();
        let masks = Masks::new(&paths, key.clone(), Detect::Off, None);
        let masked = run(&masks, Form::Json, &pieces).unwrap();
        prop_assert_eq!(&run(&masks, Form::Json, &[bytes]).unwrap(), &masked);
        let read: Value = serde_json::from_slice(&masked).unwrap();
        let expect = reference(&document, &paths, &mut Vec::new(), None, &key);
        prop_assert_eq!(read, expect, "{} under {:?}", text, paths);
        if paths.is_empty() {
            prop_assert_eq!(masked.as_slice(), bytes);
        }
    }

    /// No bytes make it panic, and cuts make no difference to what comes out at the end.
    #[test]
    fn any_bytes(bytes in prop::collection::vec(prop::sample::select(b"{}[]\",:\\u0061e1-.tfn \n".to_vec()), 0..40), cut in 0usize..40) {
        let masks = Masks::new(&[(JsonPath::parse("$..a").unwrap(), Mask::Hash)], key(), Detect::Off, None);
        let (head, tail) = bytes.split_at(cut.min(bytes.len()));
        prop_assert_eq!(run(&masks, Form::Json, &[head, tail]).is_ok(), run(&masks, Form::Json, &[&bytes]).is_ok());
        prop_assert_eq!(
            run(&masks, Form::Json, &[head, tail]).unwrap_or_default(),
            run(&masks, Form::Json, &[&bytes]).unwrap_or_default()
        );
        // What it takes, a strict reader takes as a stream of documents.
        let strict = serde_json::Deserializer::from_slice(&bytes).into_iter::<Value>().all(|one| one.is_ok());
        if strict {
            prop_assert!(run(&masks, Form::Json, &[&bytes]).is_ok());
        }
    }
}
