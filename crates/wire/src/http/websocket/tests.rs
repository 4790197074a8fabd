//! Frames that pass and that do not, cut at every byte (hazards HT11); what is replaced in texts, and what may not come back.

use std::sync::Arc;

use kernel::verdict::Mask;
use proptest::prelude::*;

use super::{FrameFault, Frames, MOST_LOOKED, Pings, Side, close};
use crate::detect::Detector;
use crate::http::echo::{Echoes, Search};
use crate::http::json_mask::{Detect, Masks};
use crate::http::json_path::JsonPath;
use crate::mask::MaskKey;

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

fn frames(parts: &[(u8, &[u8])], masked: bool) -> Vec<u8> {
    parts.iter().flat_map(|(first, payload)| frame(*first, payload, masked)).collect()
}

fn masks(path: &str, mask: Mask) -> Masks {
    let key = Arc::new(MaskKey::new(b"a key of thirty-two bytes or so."));
    Masks::new(&[(JsonPath::parse(path).unwrap(), mask)], key, Detect::Off, None)
}

/// What a reader makes of frames that left: messages and control frames in their order. An unfinished one is none.
fn read(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let (mut all, mut open) = (Vec::new(), (0, Vec::new()));
    while let [first, second, rest @ ..] = bytes {
        let (length, rest) = match second & 0x7F {
            126 => (u16::from_be_bytes([rest[0], rest[1]]) as usize, &rest[2..]),
            127 => (u64::from_be_bytes(rest[..8].try_into().unwrap()) as usize, &rest[8..]),
            length => (usize::from(length), rest),
        };
        let (mask, rest) =
            if second & 0x80 == 0 { ([0; 4], rest) } else { (rest[..4].try_into().unwrap(), &rest[4..]) };
        let payload: Vec<u8> = rest[..length].iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]).collect();
        bytes = &rest[length..];
        let opcode = first & 0x0F;
        if opcode >= 8 {
            all.push((opcode, payload));
            continue;
        }
        assert_eq!(opcode == 0, open.0 != 0, "a fragment out of order");
        open.0 = open.0.max(opcode);
        open.1.extend(payload);
        if first & 0x80 != 0 {
            all.push(std::mem::take(&mut open));
        }
    }
    assert!(bytes.is_empty(), "half a frame left");
    all
}

type Said = Result<Vec<(u8, Vec<u8>)>, FrameFault>;

fn run(mut frames: Frames, pieces: &[&[u8]]) -> Said {
    let mut out = Vec::new();
    for piece in pieces {
        let before = out.len();
        let fed = frames.feed(piece, &mut out);
        // Whatever has left ends between two frames.
        read_frames(&out[before..]);
        fed?;
    }
    Ok(read(&out))
}

/// Walks over whole frames.
fn read_frames(mut bytes: &[u8]) {
    while let [_, second, rest @ ..] = bytes {
        let (length, rest) = match second & 0x7F {
            126 => (u16::from_be_bytes([rest[0], rest[1]]) as usize, &rest[2..]),
            127 => (u64::from_be_bytes(rest[..8].try_into().unwrap()) as usize, &rest[8..]),
            length => (usize::from(length), rest),
        };
        bytes = &rest[length + usize::from(second >> 7) * 4..];
    }
    assert!(bytes.is_empty(), "half a frame left");
}

/// The same whole, byte by byte, and cut in two.
fn cut(make: impl Fn() -> Frames, bytes: &[u8]) -> Said {
    let whole = run(make(), &[bytes]);
    assert_eq!(run(make(), &bytes.chunks(1).collect::<Vec<_>>()), whole);
    for cut in 0..bytes.len().min(300) {
        let (head, tail) = bytes.split_at(cut);
        assert_eq!(run(make(), &[head, tail]), whole, "cut at {cut}");
    }
    whole
}

fn told(side: Side, bytes: &[u8]) -> String {
    let parts = match cut(|| Frames::new(side, 100_000), bytes) {
        Err(fault) => return fault.code().to_string(),
        Ok(all) => all.into_iter().map(|(opcode, payload)| match opcode {
            1 => String::from_utf8(payload).unwrap(),
            2 => format!("{} bytes", payload.len()),
            8 => "close".to_owned(),
            9 => "ping".to_owned(),
            _ => "pong".to_owned(),
        }),
    };
    parts.collect::<Vec<_>>().join(" ")
}

#[test]
fn frames_pass_or_end_the_connection() {
    let client = |parts: &[(u8, &[u8])]| told(Side::Client, &frames(parts, true));
    assert_eq!(client(&[(0x81, b"hello")]), "hello");
    assert_eq!(client(&[(0x81, b"")]), "");
    assert_eq!(client(&[(0x82, &[0xFF; 300])]), "300 bytes");
    assert_eq!(client(&[(0x82, &vec![0; 66_000])]), "66000 bytes");
    // Fragments, with a ping between them, and a character across them.
    assert_eq!(client(&[(0x01, b"h\xc3"), (0x80, b"\xa9y")]), "héy");
    assert_eq!(client(&[(0x01, b"h\xc3"), (0x89, b"p"), (0x80, b"\xa9y")]), "ping héy");
    assert_eq!(client(&[(0x02, b"a"), (0x00, b"b"), (0x80, b"c")]), "3 bytes");
    assert_eq!(client(&[(0x8A, b""), (0x88, b"")]), "pong close");
    assert_eq!(client(&[(0x88, b"\x03\xe8bye")]), "close");
    type Case<'c> = (&'c str, &'c [(u8, &'c [u8])]);
    let refused: [Case<'_>; 22] = [
        // Reserved bits and opcodes.
        ("1002", &[(0xC1, b"x")]),
        ("1002", &[(0xA1, b"x")]),
        ("1002", &[(0x91, b"x")]),
        ("1002", &[(0x83, b"x")]),
        ("1002", &[(0x8B, b"x")]),
        // Fragments out of order.
        ("1002", &[(0x80, b"x")]),
        ("1002", &[(0x00, b"x")]),
        ("1002", &[(0x01, b"x"), (0x81, b"y")]),
        ("1002", &[(0x01, b"x"), (0x02, b"y")]),
        // Control frames: in fragments, too long, with codes that nobody sends, before something else.
        ("1002", &[(0x09, b"x")]),
        ("1002", &[(0x08, b"")]),
        ("1002", &[(0x89, &[0; 126])]),
        ("1002", &[(0x88, b"\x03")]),
        ("1002", &[(0x88, b"\x03\xed")]),
        ("1002", &[(0x88, b"\x03\xee")]),
        ("1007", &[(0x88, b"\x03\xe8\xff")]),
        ("1002", &[(0x88, b""), (0x81, b"x")]),
        // Texts.
        ("1007", &[(0x81, b"\xff")]),
        ("1007", &[(0x81, b"\xc3")]),
        ("1007", &[(0x81, b"\xed\xa0\x80")]),
        // Bounds.
        ("1009", &[(0x82, &[0; 100_001])]),
        ("1009", &[(0x02, &[0; 60_000]), (0x80, &[0; 60_000])]),
    ];
    for (code, parts) in refused {
        assert_eq!(client(parts), code, "{:?}", parts.iter().map(|(first, _)| first).collect::<Vec<_>>());
    }
    // Each side masks as it must.
    assert_eq!(told(Side::Server, &frame(0x81, b"x", false)), "x");
    assert_eq!(told(Side::Server, &frame(0x81, b"x", true)), "1002");
    assert_eq!(told(Side::Client, &frame(0x81, b"x", false)), "1002");
    // Lengths in the shortest form.
    assert_eq!(told(Side::Server, &[0x82, 126, 0, 125]), "1002");
    assert_eq!(told(Side::Server, &[0x82, 127, 0, 0, 0, 0, 0, 0, 255, 255]), "1002");
    assert_eq!(told(Side::Server, &[0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255]), "1009");
}

#[test]
fn what_the_gateway_has_shown_is_overwritten() {
    let mut echoes = Echoes::default();
    echoes.add("canary/1");
    let echoes = Arc::new(echoes);
    let make = |masked: bool| {
        let frames = Frames::new(Side::Server, 1000).overwriting(Search::new(&echoes).unwrap());
        if masked { frames.masking(masks("$.email", Mask::Redact), true) } else { frames }
    };
    let server = |parts: &[(u8, &[u8])], masked: bool| -> String {
        let all = cut(|| make(masked), &frames(parts, false)).unwrap();
        all.iter().map(|(_, text)| String::from_utf8_lossy(text).into_owned() + " ").collect()
    };
    assert_eq!(server(&[(0x81, b"you are canary/1"), (0x82, b"canary/1\0")], false), "you are ******** ********\0 ");
    // In fragments, and in what is said between them.
    assert_eq!(
        server(&[(0x01, b"[\"can"), (0x89, b"canary/1"), (0x00, b"ary"), (0x00, b""), (0x80, b"\\/1\"]")], false),
        "******** [\"*********\"] "
    );
    // Each message stands for itself, and is whole.
    assert_eq!(server(&[(0x81, b"canary"), (0x81, b"/1"), (0x81, b"")], false), "canary /1  ");
    assert_eq!(server(&[(0x88, b"\x03\xe8by canary/1")], false), "\u{3}\u{fffd}by ******** ");
    assert_eq!(
        server(&[(0x81, br#"{"email":"a@b.c","you":"canary/1"}"#), (0x82, b"canary/1")], true),
        r#"{"email":"[redacted]","you":"********"} ******** "#
    );
    let mut frames = make(false);
    let mut out = Vec::new();
    for (said, heard) in [(b"\x02\x06canary".as_slice(), b"".as_slice()), (b"\x00\x02/\n", b"\x02\x08canary/\n")] {
        out.clear();
        frames.feed(said, &mut out).unwrap();
        assert_eq!((out.as_slice(), frames.overwritten()), (heard, 0));
    }
    frames.feed(b"\x80\x08canary/1", &mut out).unwrap();
    assert_eq!(frames.overwritten(), 1);
}

#[test]
fn texts_are_masked() {
    let server = |parts: &[(u8, &[u8])], binary: bool| -> String {
        let make = || Frames::new(Side::Server, 100_000).masking(masks("$..email", Mask::Redact), binary);
        match cut(make, &frames(parts, false)) {
            Err(fault) => fault.code().to_string(),
            Ok(all) => all.iter().map(|(_, text)| String::from_utf8_lossy(text).into_owned() + " ").collect(),
        }
    };
    let masked = r#"{"email":"[redacted]","n":1} "#;
    assert_eq!(server(&[(0x81, br#"{"email":"a@b.c","n":1}"#)], false), masked);
    // In fragments, whose cuts stand wherever they like, with a ping in the middle of the value.
    assert_eq!(
        server(
            &[(0x01, br#"{"em"#), (0x00, b""), (0x00, br#"ail":"a@"#), (0x89, b"p"), (0x80, br#"b.c","n":1}"#)],
            false
        ),
        format!("p {masked}")
    );
    assert_eq!(
        server(&[(0x81, br#"42["user",{"email":["a@b.c"]}]"#)], false),
        r#"42["user",{"email":["[redacted]"]}] "#
    );
    assert_eq!(server(&[(0x81, b""), (0x81, b"2")], false), " 2 ");
    for (code, parts) in [
        ("1003", &[(0x81_u8, &b"email: a@b.c"[..])][..]),
        ("1003", &[(0x81, br#"{"email":"a@b.c""#)]),
        ("1003", &[(0x01, br#"{"email":"#), (0x80, b"'a@b.c'}")]),
        ("1003", &[(0x82, br#"{"email":"a@b.c"}"#)]),
        ("1007", &[(0x81, b"{\"x\":\"\xff\"}")]),
        ("1009", &[(0x01, br#"{"email":"#), (0x80, &[b' '; 100_000])]),
    ] {
        assert_eq!(server(parts, false), code, "{parts:?}");
    }
    assert_eq!(server(&[(0x82, b"bytes")], true), "bytes ");
    assert_eq!(server(&[(0x88, b"\x0f\xa0a@b.c")], false), "\u{f}\u{fffd} ");
    assert_eq!(server(&[(0x88, b"")], false), " ");
    // What one masked message costs does not grow with it.
    let mut frames = Frames::new(Side::Server, 100_000).masking(masks("$", Mask::Redact), false);
    let mut out = Vec::new();
    frames.feed(&frame(0x01, br#"{"a":"#, false), &mut out).unwrap();
    frames.feed(&frame(0x00, &[b' '; 90_000], false), &mut out).unwrap();
    assert_eq!(read(&[out.as_slice(), &frame(0x80, b"", false)].concat()), [(1, b"\"[redacted]\"".to_vec())]);
}

#[test]
fn what_a_mask_made_does_not_come_back() {
    let sought = |parts: &[(u8, &[u8])]| {
        let make = || Frames::new(Side::Client, 100_000).seeking(masks("$..email", Mask::Partial));
        cut(make, &frames(parts, true)).map(|all| all.len())
    };
    assert_eq!(sought(&[(0x81, br#"{"email":"m***@e***.com"}"#)]), Err(FrameFault::MaskedValue));
    assert_eq!(
        sought(&[(0x01, br#"{"email":{"a":["m***"#), (0x80, br#"@e***.com"]}}"#)]),
        Err(FrameFault::MaskedValue)
    );
    for honest in [&br#"{"email":"marie@example.com"}"#[..], br#"{"note":"m***@e***.com"}"#, b"m***@e***.com", b"{"] {
        assert_eq!(sought(&[(0x81, honest)]), Ok(1));
    }
    let deep = format!(r#"{{"a":{}{},"email":"m***@e***.com"}}"#, "[".repeat(600), "]".repeat(600));
    assert_eq!(sought(&[(0x81, deep.as_bytes())]), Err(FrameFault::Unmaskable));
    assert_eq!(sought(&[(0x82, br#"{"email":"m***@e***.com"}"#)]), Ok(1));
}

/// A server's ping says nothing to the client, and its answer says to the server what it asked.
#[test]
fn pings_and_pongs_hide_what_a_server_says() {
    let pings = Pings::default();
    let mut down = Frames::new(Side::Server, 100).masking(masks("$", Mask::Redact), false).hiding(pings.clone());
    let mut up = Frames::new(Side::Client, 100).hiding(pings);
    let said = |way: &mut Frames, parts: &[(u8, &[u8])], masked: bool| {
        let mut out = Vec::new();
        for byte in frames(parts, masked) {
            way.feed(&[byte], &mut out).unwrap();
        }
        read(&out)
    };
    let number = |number: u8| vec![0, 0, 0, number];
    // Not the empty one, which says nothing.
    let heard = said(&mut down, &[(0x89, b"marie"), (0x89, b""), (0x8A, b"marie"), (0x89, b"pierre")], false);
    assert_eq!(heard, [(9, number(0)), (9, vec![]), (10, vec![]), (9, number(1))]);
    // In any order, and more than once.
    let parts =
        [(0x8A, &number(1)[..]), (0x8A, &number(0)), (0x8A, &number(0)), (0x8A, b""), (0x8A, b"own"), (0x89, b"who")];
    let expect = [(10, "pierre"), (10, "marie"), (10, "marie"), (10, ""), (10, "own"), (9, "who")];
    assert_eq!(said(&mut up, &parts, true), expect.map(|(opcode, text)| (opcode, text.as_bytes().to_vec())));
    // What the client asked comes back to it.
    assert_eq!(said(&mut down, &[(0x8A, b"who"), (0x8A, b"whom")], false), [(10, b"who".to_vec()), (10, vec![])]);
    // Not all of them are remembered.
    for _ in 0..32 {
        said(&mut down, &[(0x89, b"another")], false);
    }
    assert_eq!(
        said(&mut up, &[(0x8A, &number(0)), (0x8A, &number(2))], true),
        [(10, number(0)), (10, b"another".to_vec())]
    );
}

#[test]
fn detectors_look_at_texts() {
    let detector = Some(Arc::new(Detector::new().unwrap()));
    let key = Arc::new(MaskKey::new(b"a key of thirty-two bytes or so."));
    let path = JsonPath::parse("$.email").unwrap();
    let signal = |paths: &[(JsonPath, Mask)]| Masks::new(paths, key.clone(), Detect::Signal, detector.clone());
    let found = |mut way: Frames, parts: &[(u8, &[u8])]| {
        let mut out = Vec::new();
        way.feed(&frames(parts, false), &mut out).unwrap();
        (read(&out), way.found().map(|(kind, count)| (kind.as_str(), count)).collect::<Vec<_>>())
    };
    let note = br#"{"note":"call marie@example.com","email":"a@example.com"}"#;
    let parts: [(u8, &[u8]); 6] = [
        (0x81, note),
        (0x01, br#"{"note":"call ma"#),
        (0x80, br#"rie@example.com"}"#),
        (0x82, note),
        (0x81, b"a@example.com"),
        (0x81, b"4111111111111111"),
    ];
    let passed = read(&frames(&parts, false));
    let looking = Frames::new(Side::Server, 1 << 20).looking(signal(&[]));
    assert_eq!(found(looking, &parts), (passed, vec![("email", 3), ("payment-card", 1)]));
    // What is masked is not a finding.
    let masking = Frames::new(Side::Server, 1 << 20).masking(signal(&[(path, Mask::Null)]), true);
    let (heard, kinds) = found(masking, &parts[..1]);
    assert_eq!(heard, [(1, br#"{"note":"call marie@example.com","email":null}"#.to_vec())]);
    assert_eq!(kinds, [("email", 1)]);
    // What comes late is not looked at.
    let blanks = vec![b' '; MOST_LOOKED as usize];
    let late: [(u8, &[u8]); 2] = [(0x81, &blanks), (0x81, note)];
    let looking = Frames::new(Side::Server, 1 << 20).looking(signal(&[]));
    assert_eq!(found(looking, &late), (read(&frames(&late, false)), vec![]));
}

#[test]
fn closes_are_what_others_can_read() {
    assert_eq!(close(1001, "", None), b"\x88\x02\x03\xe9");
    assert_eq!(told(Side::Server, &close(1008, "blocked", None)), "close");
    assert_eq!(told(Side::Client, &close(1008, &"é".repeat(100), Some([1, 2, 3, 4]))), "close");
    assert_eq!(read(&close(1008, &"é".repeat(100), Some([1, 2, 3, 4]))), read(&close(1008, &"é".repeat(61), None)));
}

proptest! {
    #[test]
    fn utf8_as_the_standard_library_reads_it(bytes in prop::collection::vec(prop::sample::select(vec![0x41, 0x80, 0x9f, 0xa0, 0xbf, 0xc1, 0xc3, 0xe0, 0xe2, 0xed, 0xf0, 0xf4, 0xf5, 0x8f, 0x90]), 0..6)) {
        let passes = run(Frames::new(Side::Server, 100), &[&frame(0x81, &bytes, false)]).is_ok();
        prop_assert_eq!(passes, std::str::from_utf8(&bytes).is_ok());
    }

    #[test]
    fn cuts_make_no_difference(bytes in prop::collection::vec(any::<u8>(), 0..60), cut in 0usize..60) {
        let (head, tail) = bytes.split_at(cut.min(bytes.len()));
        let make = || Frames::new(Side::Client, 100);
        prop_assert_eq!(run(make(), &[head, tail]), run(make(), &[&bytes]));
    }
}
