//! Any bytes as a request's body in each form that is read: no panic, and what is read as JSON is JSON to serde, too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::http::body::{BodyField, read};

const KINDS: [&str; 3] = ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"];

fuzz_target!(|input: (u8, &[u8])| {
    let fields =
        [BodyField::parse("a", "$.a"), BodyField::parse("b", "$.b.c: decimal(2)")].map(|field| field.expect("a field"));
    let kind = KINDS[usize::from(input.0) % KINDS.len()];
    if read(Some(kind), input.1, &fields).is_ok() && kind == KINDS[0] {
        serde_json::from_slice::<serde::de::IgnoredAny>(input.1).expect("json");
    }
});
