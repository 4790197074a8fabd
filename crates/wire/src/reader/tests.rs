//! Tests of the reader.

use super::*;

#[test]
fn takes_what_is_asked_and_no_more() {
    let mut reader = Reader::new(b"\x01\xff\xfe\x00\x00\x00\x05abc\0\xc3\xa9\0tail");
    assert_eq!(reader.u8(), Ok(1));
    assert_eq!(reader.i16(), Ok(-2));
    assert_eq!(reader.u32(), Ok(5));
    assert_eq!(reader.cstr(), Ok(&b"abc"[..]));
    assert_eq!(reader.text(), Ok("é"));
    assert_eq!(reader.finish(), Err(ReadError::Trailing(4)));
    assert_eq!(reader.rest(), b"tail");
    assert_eq!(reader.finish(), Ok(()));
}

#[test]
fn a_failed_step_does_not_move() {
    let mut reader = Reader::new(b"\xff\xff");
    assert_eq!(reader.i32(), Err(ReadError::Truncated));
    assert_eq!(reader.bytes(3), Err(ReadError::Truncated));
    assert_eq!(reader.cstr(), Err(ReadError::Unterminated));
    assert_eq!(reader.left(), 2);
    let mut bad = Reader::new(b"\xff\0");
    assert_eq!(bad.text(), Err(ReadError::NotUtf8));
    assert_eq!(bad.left(), 2);
    assert_eq!(bad.bytes(usize::MAX), Err(ReadError::Truncated));
}
