//! Frames that pass and that do not, cut at every byte (hazards HT11).

use proptest::prelude::*;

use super::{FrameLimits, Frames, Seen, Side};
use crate::http::violation::Violation;

/// Head byte, payload; masked with a key that hides zeros.
fn frame(first: u8, payload: &[u8], masked: bool) -> Vec<u8> {
    let mut out = vec![first];
    let bit = if masked { 0x80 } else { 0 };
    match payload.len() {
        length @ 0..126 => out.push(bit | length as u8),
        length @ 126..65536 => {
            out.push(bit | 126);
            out.extend((length as u16).to_be_bytes());
        }
        length => {
            out.push(bit | 127);
            out.extend((length as u64).to_be_bytes());
        }
    }
    let mask = [0x11, 0x22, 0x33, 0x44];
    if masked {
        out.extend(mask);
    }
    out.extend(payload.iter().enumerate().map(|(place, byte)| if masked { byte ^ mask[place % 4] } else { *byte }));
    out
}

fn run(side: Side, pieces: &[&[u8]]) -> Result<Vec<Seen>, Violation> {
    let mut frames = Frames::new(side, FrameLimits { frame: 70_000, message: 100_000, copy: 8 });
    let mut all = Vec::new();
    for piece in pieces {
        frames.feed(piece, |seen| all.push(seen))?;
    }
    Ok(all)
}

fn told(side: Side, bytes: &[u8]) -> String {
    let whole = run(side, &[bytes]);
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(run(side, &single), whole);
    let parts = match whole {
        Err(_) => return "refused".to_owned(),
        Ok(all) => all.into_iter().map(|seen| match seen {
            Seen::Text { content, whole } => {
                format!("{}{}", String::from_utf8_lossy(&content), if whole { "" } else { "…" })
            }
            Seen::Binary(length) => format!("{length} bytes"),
            Seen::Close => "close".to_owned(),
        }),
    };
    parts.collect::<Vec<_>>().join(" ")
}

#[test]
fn frames() {
    let of = |parts: &[(u8, &[u8])], masked: bool| -> Vec<u8> {
        parts.iter().flat_map(|(first, payload)| frame(*first, payload, masked)).collect()
    };
    let client = |parts: &[(u8, &[u8])]| told(Side::Client, &of(parts, true));
    assert_eq!(client(&[(0x81, b"hello")]), "hello");
    assert_eq!(client(&[(0x81, b"")]), "");
    assert_eq!(client(&[(0x81, b"hello world")]), "hello wo…");
    assert_eq!(client(&[(0x82, &[0xFF; 300])]), "300 bytes");
    assert_eq!(client(&[(0x82, &vec![0; 66_000])]), "66000 bytes");
    // Fragments, with a ping between them, and a character across them.
    assert_eq!(client(&[(0x01, b"h\xc3"), (0x89, b"p"), (0x80, b"\xa9y")]), "héy");
    assert_eq!(client(&[(0x02, b"a"), (0x00, b"b"), (0x80, b"c")]), "3 bytes");
    assert_eq!(client(&[(0x8A, b""), (0x88, b"")]), "close");
    assert_eq!(client(&[(0x88, b"\x03\xe8bye")]), "close");
    let refused: [&[(u8, &[u8])]; 19] = [
        // Reserved bits and opcodes.
        &[(0xC1, b"x")],
        &[(0xA1, b"x")],
        &[(0x91, b"x")],
        &[(0x83, b"x")],
        &[(0x8B, b"x")],
        // Fragments out of order.
        &[(0x80, b"x")],
        &[(0x01, b"x"), (0x81, b"y")],
        &[(0x01, b"x"), (0x02, b"y")],
        // Control frames.
        &[(0x09, b"x")],
        &[(0x89, &[0; 126])],
        &[(0x88, b"\x03")],
        &[(0x88, b"\x03\xed")],
        &[(0x88, b"\x03\xe8\xff")],
        &[(0x88, b""), (0x81, b"x")],
        // Texts.
        &[(0x81, b"\xff")],
        &[(0x81, b"\xc3")],
        &[(0x81, b"\xed\xa0\x80")],
        // Bounds.
        &[(0x82, &[0; 70_001])],
        &[(0x02, &[0; 60_000]), (0x80, &[0; 60_000])],
    ];
    for parts in refused {
        assert_eq!(client(parts), "refused", "{:?}", parts.iter().map(|(first, _)| first).collect::<Vec<_>>());
    }
    // Each side masks as it must.
    assert_eq!(told(Side::Server, &frame(0x81, b"x", false)), "x");
    assert_eq!(told(Side::Server, &frame(0x81, b"x", true)), "refused");
    assert_eq!(told(Side::Client, &frame(0x81, b"x", false)), "refused");
    // Lengths in the shortest form.
    assert_eq!(told(Side::Server, &[0x82, 126, 0, 125]), "refused");
    assert_eq!(told(Side::Server, &[0x82, 127, 0, 0, 0, 0, 0, 0, 255, 255]), "refused");
    assert_eq!(told(Side::Server, &[0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255]), "refused");
}

proptest! {
    #[test]
    fn utf8_as_the_standard_library_reads_it(bytes in prop::collection::vec(prop::sample::select(vec![0x41, 0x80, 0x9f, 0xa0, 0xbf, 0xc1, 0xc3, 0xe0, 0xe2, 0xed, 0xf0, 0xf4, 0xf5, 0x8f, 0x90]), 0..6)) {
        let passes = run(Side::Server, &[&frame(0x81, &bytes, false)]).is_ok();
        prop_assert_eq!(passes, std::str::from_utf8(&bytes).is_ok());
    }

    #[test]
    fn cuts_make_no_difference(bytes in prop::collection::vec(any::<u8>(), 0..60), cut in 0usize..60) {
        let (head, tail) = bytes.split_at(cut.min(bytes.len()));
        prop_assert_eq!(run(Side::Client, &[head, tail]), run(Side::Client, &[&bytes]));
    }
}
