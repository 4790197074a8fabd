//! One record of the log as a line of text: `<sequence> <chain hash> <entry>` and a newline.
//!
//! The line is a way to keep and to ship a leaf; the leaf itself is the entry alone. There is exactly one line for a record,
//! so that any other form of it is an error.

use crate::audit::{ChainHash, LeafIndex};

/// The longest entry in bytes: a tile of a transparency log gives an entry's length 16 bits (C2SP `tlog-tiles`).
pub const LONGEST_ENTRY: usize = 65_535;

/// The longest line in bytes, without its newline: 20 digits, 64 hexadecimal digits, two spaces, the entry.
pub const LONGEST_RECORD: usize = 20 + 1 + 64 + 1 + LONGEST_ENTRY;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// A record as it was read. Nothing about it is verified but its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its position in the log.
    pub seq: LeafIndex,
    /// The chain after it, as the line claims.
    pub chain: ChainHash,
    /// The entry's bytes.
    pub entry: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads a line without its newline. `None` unless it is the one line that [`write_record`] would write.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let space = line.iter().take(21).position(|byte| *byte == b' ')?;
        let (digits, rest) = line.split_at_checked(space)?;
        let (hash, rest) = rest.strip_prefix(b" ")?.split_at_checked(64)?;
        let entry = rest.strip_prefix(b" ")?;
        let entry_fits = !entry.is_empty() && entry.len() <= LONGEST_ENTRY && !entry.contains(&b'\n');
        entry_fits.then_some(())?;
        Some(Self { seq: LeafIndex(parse_sequence(digits)?), chain: parse_chain(hash)?, entry })
    }
}

/// Appends a record's line, newline included. On the hot path: no formatting machinery, no allocation once `out` has grown.
pub fn write_record(seq: LeafIndex, chain: &ChainHash, entry: &[u8], out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut used = 0;
    let mut rest = seq.0;
    for slot in digits.iter_mut().rev() {
        *slot = b'0' + (rest % 10) as u8;
        used += 1;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(20 - used..).unwrap_or_default());
    out.push(b' ');
    out.extend_from_slice(&hexadecimal(&chain.0));
    out.push(b' ');
    out.extend_from_slice(entry);
    out.push(b'\n');
}

/// 64 lower-case hexadecimal digits, without a table so that many are made at a time.
pub(super) fn hexadecimal(hash: &[u8; 32]) -> [u8; 64] {
    let digit = |nibble: u8| nibble + if nibble < 10 { b'0' } else { b'a' - 10 };
    let mut text = [0; 64];
    for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(hash) {
        *pair = [digit(byte >> 4), digit(byte & 15)];
    }
    text
}

/// A decimal number without leading zeros.
fn parse_sequence(digits: &[u8]) -> Option<u64> {
    let canonical = !digits.is_empty() && (digits.len() == 1 || digits.first() != Some(&b'0'));
    canonical.then_some(())?;
    digits.iter().try_fold(0u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// 64 lower-case hexadecimal digits.
pub fn parse_chain(text: &[u8]) -> Option<ChainHash> {
    let mut chain = [0u8; 32];
    if text.len() != 64 {
        return None;
    }
    for (slot, pair) in chain.iter_mut().zip(text.chunks_exact(2)) {
        *slot = pair.iter().try_fold(0u8, |byte, digit| {
            let nibble = HEX.iter().position(|letter| letter == digit)?;
            Some((byte << 4) | u8::try_from(nibble).ok()?)
        })?;
    }
    Some(ChainHash(chain))
}
