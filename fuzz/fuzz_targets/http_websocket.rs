//! Any bytes as frames of a WebSocket: no panic, and the same result whatever the cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::http::websocket::{FrameLimits, Frames, Side};

fuzz_target!(|input: (u8, bool, &[u8])| {
    let side = if input.1 { Side::Client } else { Side::Server };
    let run = |pieces: &[&[u8]]| {
        let (mut frames, mut all) = (Frames::new(side, FrameLimits { copy: 16, ..FrameLimits::default() }), Vec::new());
        pieces.iter().try_for_each(|piece| frames.feed(piece, |seen| all.push(seen))).map(|()| all)
    };
    let (head, tail) = input.2.split_at(usize::from(input.0).min(input.2.len()));
    assert_eq!(run(&[head, tail]), run(&[input.2]));
});
