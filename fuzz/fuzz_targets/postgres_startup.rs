//! Any bytes as the first packet of a connection: no panic, and nothing beyond the allow-list passes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::postgres::{frame, message::StartupPacket, startup::StartupRequest};

fuzz_target!(|data: &[u8]| if let frame::Framing::Complete(frame) = frame::startup(data)
    && let Ok(StartupPacket::Startup(startup)) = StartupPacket::decode(frame.body)
    && let Ok(request) = StartupRequest::check(&startup)
{
    assert!(!request.user.is_empty() && request.settings.len() <= 5);
});
