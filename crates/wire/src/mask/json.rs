//! Masks of JSON values in answers of HTTP APIs. A text stays a text, a number a number; what a mask cannot do to a value is null.
//! A number that is whole is masked as a bigint, so that it meets the same value of a database under the same key.

use kernel::verdict::Mask;

use super::key::MaskKey;
use super::kind::Kind;
use super::scalar;
use super::value::Value;

/// Appends the masked form of a text, not escaped; says `false`, with `out` as it was, where it is null.
pub(crate) fn text(mask: Mask, text: &[u8], key: &MaskKey, out: &mut Vec<u8>) -> bool {
    let of = Value { mask, value: text, binary: false, key };
    scalar::write(of, Kind::Text { limit: None, padded: false }, out)
}

/// Appends the masked form of a number of JSON's grammar; says `false`, with `out` as it was, where it is null.
pub(crate) fn number(mask: Mask, number: &[u8], key: &MaskKey, out: &mut Vec<u8>) -> bool {
    let of = Value { mask, value: number, binary: false, key };
    if number.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
        return scalar::write(of, Kind::Numeric { declared: None }, out);
    }
    scalar::write(of, Kind::Integer { bytes: 8 }, out) || scalar::write(of, Kind::Numeric { declared: None }, out)
}
