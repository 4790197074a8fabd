//! Any text as method, target and headers, a line each: no panic, and the form that is sent is its own form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::http::head::{Arrived, read_raw};

fuzz_target!(|text: &str| {
    let mut lines = text.split('\n');
    let (method, target) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let fields: Vec<(&str, &[u8])> =
        lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name, value.as_bytes())).collect();
    if let Some(Ok(sent)) = read_raw(method, target, &fields, Arrived::default()) {
        assert_eq!(read_raw(method, &sent, &[("host", b"a")], Arrived::default()), Some(Ok(sent)));
    }
});
