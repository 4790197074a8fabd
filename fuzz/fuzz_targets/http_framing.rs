//! Any bytes as a connection of HTTP/1: no panic, and the answer does not depend on how they are cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::http::framing::{Framing, FramingLimits};

fuzz_target!(|stream: &[u8]| {
    let read = |size: usize| {
        let mut framing = Framing::new(FramingLimits::default());
        let fed = stream.chunks(size).try_for_each(|piece| framing.feed(piece));
        (fed, framing.heads())
    };
    let whole = read(stream.len().max(1));
    assert_eq!(read(1), whole);
    assert_eq!(read(7), whole);
});
