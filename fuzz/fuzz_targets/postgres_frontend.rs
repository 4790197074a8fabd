//! Any bytes as a client's stream: no panic, and what decodes is written back as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::postgres::{frame, message::FrontendMessage};

fuzz_target!(|data: &[u8]| frame::scan(data, frame::CLIENT_CAP).flatten().for_each(|frame| {
    if let Ok(message) = FrontendMessage::decode(frame.tag, frame.body) {
        let mut out = Vec::new();
        assert!(message.encode(&mut out).is_ok() && out == frame.whole);
    }
}));
