//! Frames as they are written: the head in its shortest form, and the mask of a client's payload.

use super::Opcode;

/// What stands before a payload.
pub(super) struct Head {
    pub(super) opcode: Opcode,
    pub(super) last: bool,
    /// Of the payload, in bytes.
    pub(super) length: u64,
    pub(super) mask: Option<[u8; 4]>,
}

impl Head {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(self.opcode.number() | if self.last { 0x80 } else { 0 });
        let masked = if self.mask.is_some() { 0x80 } else { 0 };
        match (u8::try_from(self.length), u16::try_from(self.length)) {
            (Ok(length @ 0..126), _) => out.push(masked | length),
            (_, Ok(length)) => {
                out.push(masked | 126);
                out.extend_from_slice(&length.to_be_bytes());
            }
            _ => {
                out.push(masked | 127);
                out.extend_from_slice(&self.length.to_be_bytes());
            }
        }
        out.extend(self.mask.iter().flatten());
    }
}

/// Appends a payload with its mask taken off, or put on: it is the same.
pub(super) fn unmask(payload: &[u8], mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
    match mask {
        None => out.extend_from_slice(payload),
        Some(mask) => out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask)),
    }
}
