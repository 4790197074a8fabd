//! Tests of framing: boundary lengths (PW01, PW02), any split, scan.

use proptest::prelude::*;

use super::*;

fn with_length(tag: u8, length: u32, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(body);
    out
}

#[test]
fn lengths_at_their_boundaries() {
    let cases: &[(u32, Result<Option<usize>, FrameError>)] = &[
        (0, Err(FrameError::Length)),
        (3, Err(FrameError::Length)),
        (4, Ok(Some(5))),
        (CLIENT_CAP, Ok(Some(CLIENT_CAP as usize + 1))),
        (CLIENT_CAP + 1, Err(FrameError::Oversize { tag: b'Q', total: CLIENT_CAP as usize + 2 })),
        (HARD_CAP - 1, Err(FrameError::Oversize { tag: b'Q', total: HARD_CAP as usize })),
        (HARD_CAP, Err(FrameError::Length)),
        (i32::MAX as u32, Err(FrameError::Length)),
        (0x8000_0000, Err(FrameError::Length)),
        (u32::MAX, Err(FrameError::Length)),
    ];
    for (length, expect) in cases {
        let got = header(&with_length(b'Q', *length, b""), CLIENT_CAP).map(|header| header.map(|header| header.total));
        assert_eq!(got, *expect, "{length}");
    }
    // A caller cannot lift the hard cap.
    assert_eq!(header(&with_length(b'D', HARD_CAP, b""), u32::MAX), Err(FrameError::Length));
}

#[test]
fn startup_lengths_at_their_boundaries() {
    for (length, expect) in
        [(0u32, false), (4, false), (7, false), (8, true), (10_000, true), (10_001, false), (u32::MAX, false)]
    {
        let malformed = matches!(startup(&length.to_be_bytes()), Framing::Malformed(FrameError::Length));
        assert_eq!(!malformed, expect, "{length}");
    }
    // Direct TLS is not mistaken for a packet.
    assert_eq!(startup(b"\x16\x03\x01\x02"), Framing::Malformed(FrameError::Length));
    assert_eq!(startup(b"\0\0"), Framing::Incomplete { needed: 2 });
    let ssl = b"\0\0\0\x08\x04\xd2\x16\x2fX";
    match startup(ssl) {
        Framing::Complete(frame) => assert_eq!((frame.whole.len(), frame.body), (8, &ssl[4..8])),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_error_ends_the_scan_and_keeps_the_rest() {
    let mut bytes = with_length(b'S', 4, b"");
    bytes.extend(with_length(b'Q', 2, b"xx"));
    let mut scan = scan(&bytes, CLIENT_CAP);
    assert_eq!(scan.next().unwrap().unwrap().tag, b'S');
    assert_eq!(scan.next(), Some(Err(FrameError::Length)));
    assert_eq!(scan.next(), None);
    assert_eq!(scan.rest().len(), bytes.len() - 5);
}

proptest! {
    #[test]
    fn any_split_gives_the_same_frames(
        messages in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..40)), 0..12),
        chunks in prop::collection::vec(1usize..17, 1..40),
    ) {
        let mut stream = Vec::new();
        for (tag, body) in &messages {
            stream.extend(with_length(*tag, body.len() as u32 + 4, body));
        }
        let at_once: Vec<(u8, Vec<u8>)> =
            scan(&stream, CLIENT_CAP).map(|frame| frame.map(|frame| (frame.tag, frame.body.to_vec())).unwrap()).collect();
        prop_assert_eq!(&at_once, &messages);

        let (mut buffer, mut got, mut rest, mut sizes) = (Vec::new(), Vec::new(), stream.as_slice(), chunks.iter().cycle());
        while !rest.is_empty() {
            let (now, later) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            buffer.extend_from_slice(now);
            rest = later;
            let mut scanner = scan(&buffer, CLIENT_CAP);
            for frame in scanner.by_ref() {
                let frame = frame.unwrap();
                got.push((frame.tag, frame.body.to_vec()));
            }
            let left = scanner.rest().len();
            buffer.drain(..buffer.len() - left);
        }
        prop_assert_eq!(&got, &messages);
        prop_assert!(buffer.is_empty());
    }

    #[test]
    fn incomplete_asks_for_no_more_than_the_frame(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        match frame(&bytes, CLIENT_CAP) {
            Framing::Complete(frame) => prop_assert!(frame.whole.len() == frame.body.len() + HEADER && frame.whole.len() <= bytes.len()),
            Framing::Incomplete { needed } => prop_assert!(needed > 0 && needed + bytes.len() <= CLIENT_CAP as usize + 1),
            Framing::Malformed(error) => prop_assert!(bytes.len() >= HEADER, "{}", error),
        }
    }
}
