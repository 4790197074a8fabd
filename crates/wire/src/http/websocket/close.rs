//! The frame that ends a connection: its code and its reason.

use super::write::{Head, unmask};
use super::{CODE, FrameFault, LONGEST_CONTROL, Opcode};

/// The longest reason: a control frame without its code.
const LONGEST_REASON: usize = LONGEST_CONTROL as usize - CODE;

/// Checks the payload of a close that a side sent: a code that may be sent (RFC 6455, 7.4), a reason in UTF-8.
pub(super) fn check(payload: &[u8]) -> Result<(), FrameFault> {
    let Some((code, reason)) = payload.split_first_chunk::<CODE>() else { return Ok(()) };
    if !matches!(u16::from_be_bytes(*code), 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(FrameFault::Malformed);
    }
    std::str::from_utf8(reason).map(drop).map_err(|_invalid| FrameFault::NotUtf8)
}

/// A close of the gateway's own: to a server with a mask, to a client without. What is too long of the reason is left out.
pub fn close(code: u16, reason: &str, mask: Option<[u8; 4]>) -> Vec<u8> {
    let end = reason.floor_char_boundary(LONGEST_REASON);
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason.get(..end).unwrap_or_default().as_bytes());
    let mut frame = Vec::with_capacity(payload.len() + 6);
    Head { opcode: Opcode::Close, last: true, length: payload.len() as u64, mask }.write(&mut frame);
    unmask(&payload, mask, &mut frame);
    frame
}
