//! Each coding, cut into pieces in every way; and what is refused.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use super::*;

fn text() -> Vec<u8> {
    (0..4000).flat_map(|number| format!("{{\"n\":{number},\"text\":\"aaaaaaaaaaaaaaaa\"}}\n").into_bytes()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// `hello hello hello hello hello ` in Brotli, by the reference encoder.
const BROTLI: &[u8] = &[
    0x1b, 0x1d, 0x00, 0xf8, 0x8d, 0x94, 0x6e, 0xde, 0x44, 0x55, 0x86, 0x96, 0x6c, 0x20, 0x6f, 0x41, 0x4f, 0x1c, 0x40,
    0x71,
];

fn decode(coding: &str, bytes: &[u8], piece: usize) -> Result<Vec<u8>, DecodeError> {
    let mut decoder = Decoder::of(Some(coding.as_bytes()))?;
    let mut out = Vec::new();
    for step in bytes.chunks(piece.min(STEP)) {
        decoder.feed(step, &mut out)?;
    }
    decoder.finish(&mut out)?;
    Ok(out)
}

#[test]
fn every_coding_in_pieces() {
    let plain = text();
    let two = [gzip(b"one "), gzip(b"two")].concat();
    // So much comes out of so little that a decoder must stop in the middle of a step.
    let dense = b"ab".repeat(200_000);
    for (coding, coded, expected) in [
        ("identity", plain.clone(), plain.as_slice()),
        ("gzip", gzip(&plain), &plain),
        ("X-GZIP", gzip(&plain), &plain),
        ("gzip", two, b"one two"),
        ("deflate", zlib(&plain), &plain),
        ("deflate", zlib(&dense), &dense),
        ("gzip", gzip(&dense), &dense),
        ("br", BROTLI.to_vec(), b"hello hello hello hello hello "),
        ("zstd", zstd(&plain), &plain),
        ("zstd", [zstd(b"one "), zstd(b"two")].concat(), b"one two"),
    ] {
        for piece in [1, 7, 2048] {
            assert!(decode(coding, &coded, piece).as_deref() == Ok(expected), "{coding} in pieces of {piece}");
        }
    }
}

#[test]
fn what_is_not_whole_or_not_known_is_refused() {
    let plain = text();
    for (coding, coded) in [("gzip", gzip(&plain)), ("deflate", zlib(&plain)), ("zstd", zstd(&plain))] {
        let short = coded.get(..coded.len() - 6).unwrap();
        assert!(decode(coding, short, 512).is_err(), "{coding} cut short");
        let mut garbled = coded.clone();
        garbled.extend_from_slice(b"{\"behind\":1}");
        assert!(decode(coding, &garbled, 512).is_err(), "{coding} with more behind");
        assert!(decode(coding, b"no such thing at all", 512).is_err(), "{coding} of something else");
    }
    for unknown in ["compress", "gzip, br", "gzip,gzip", "dcb", "\u{1}"] {
        assert_eq!(decode(unknown, b"x", 1), Err(DecodeError::Unknown), "{unknown}");
    }
    assert_eq!(decode("br", b"\xff\xff\xff\xff\xff", 5), Err(DecodeError::Malformed));
}

#[test]
fn bombs_are_stopped() {
    // What zstd can do with a block of one repeated byte: 128 KiB for 4 bytes.
    let header = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
    let block = [0x02, 0x00, 0x10, b'a'];
    let mut decoder = Decoder::of(Some(b"zstd")).unwrap();
    let mut out = Vec::new();
    decoder.feed(&header, &mut out).unwrap();
    let blocks: Vec<u8> = block.iter().copied().cycle().take(STEP).collect();
    assert_eq!(decoder.feed(&blocks, &mut out), Err(DecodeError::Inflation));
    assert!(out.len() <= MOST_AT_ONCE + (256 << 10), "{}", out.len());
}
