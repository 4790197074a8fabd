//! Any bytes as a request's body in each form that is read: no panic, what is read as JSON is JSON to serde, too, and whether it
//! overrides the method does not depend on how it is cut.
#![no_main]

use http::Method;
use libfuzzer_sys::fuzz_target;
use wire::http::body::{BodyField, read};
use wire::http::overrides::Overrides;

const KINDS: [&str; 3] = ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"];

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (kind, cut, body) = input;
    let fields =
        [BodyField::parse("a", "$.a"), BodyField::parse("b", "$.b.c: decimal(2)")].map(|field| field.expect("a field"));
    let kind = KINDS[usize::from(kind) % KINDS.len()];
    let read = read(Some(kind), body, &fields).is_ok();
    if read && kind == KINDS[0] {
        serde_json::from_slice::<serde::de::IgnoredAny>(body).expect("json");
    }
    let overrides = |pieces: &[&[u8]]| {
        let found = Overrides::of(&Method::POST, Some(kind.as_bytes()), false).expect("a type");
        let mut found = found.expect("a form that is looked through");
        pieces.iter().try_for_each(|piece| found.feed(piece))
    };
    let (head, tail) = body.split_at(usize::from(cut).min(body.len()));
    assert_eq!(overrides(&[head, tail]), overrides(&[body]));
});
