//! Any bytes as frames of a WebSocket: no panic, and whatever the cut the same end and as many messages.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::http::websocket::{Frames, Side};

fuzz_target!(|input: (u8, bool, &[u8])| {
    let side = if input.1 { Side::Client } else { Side::Server };
    let run = |pieces: &[&[u8]]| {
        let (mut frames, mut out, mut messages) = (Frames::new(side, 1 << 20), Vec::new(), 0);
        let ended =
            pieces.iter().try_for_each(|piece| frames.feed(piece, &mut out).map(|passed| messages += passed.messages));
        ended.map(|()| messages)
    };
    let (head, tail) = input.2.split_at(usize::from(input.0).min(input.2.len()));
    assert_eq!(run(&[head, tail]), run(&[input.2]));
});
