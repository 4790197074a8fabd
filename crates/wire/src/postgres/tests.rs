//! Captured sessions of real clients with PostgreSQL 15, replayed through framing, decoding and reply tracking.
//!
//! A capture is a list of pieces as they were read from the sockets: a direction (`>` client, `<` server), a length of
//! four bytes, and the bytes.

use super::frame::{self, CLIENT_CAP, Framing, HARD_CAP};
use super::message::{Authentication, BackendMessage, FrontendMessage, Name, StartupPacket};
use super::startup::StartupRequest;
use super::state::{Answer, Asked, Replies, Reply};
use crate::reader::Reader;

/// What a capture showed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    user: String,
    forwarded: usize,
    rows: usize,
    errors: usize,
    ready: usize,
}

fn asked(message: &FrontendMessage<'_>) -> Option<Asked> {
    match message {
        FrontendMessage::Query(_) => Some(Asked::Query),
        FrontendMessage::Parse(_) => Some(Asked::Parse),
        FrontendMessage::Bind(_) => Some(Asked::Bind),
        FrontendMessage::Describe(Name::Statement(_)) => Some(Asked::DescribeStatement),
        FrontendMessage::Describe(Name::Portal(_)) => Some(Asked::DescribePortal),
        FrontendMessage::Execute(_) => Some(Asked::Execute),
        FrontendMessage::Close(_) => Some(Asked::Close),
        FrontendMessage::Sync => Some(Asked::Sync),
        _ => None,
    }
}

/// Replays a capture, each piece cut again into reads of at most `size` bytes.
fn replay(capture: &[u8], size: usize) -> Seen {
    let (mut seen, mut replies, mut logged_in) = (Seen::default(), Replies::new(), false);
    let (mut client, mut server) = (Vec::new(), Vec::new());
    let mut reader = Reader::new(capture);
    while reader.left() > 0 {
        let (direction, length) = (reader.u8().unwrap(), reader.u32().unwrap());
        for piece in reader.bytes(length as usize).unwrap().chunks(size) {
            if direction == b'>' {
                client.extend_from_slice(piece);
                from_client(&mut client, &mut seen, &mut replies);
            } else {
                server.extend_from_slice(piece);
                from_server(&mut server, &mut seen, &mut replies, &mut logged_in);
            }
        }
    }
    assert!(client.is_empty() && server.is_empty() && replies.waiting() == 0);
    seen
}

fn from_client(buffer: &mut Vec<u8>, seen: &mut Seen, replies: &mut Replies<usize>) {
    if seen.user.is_empty() {
        let Framing::Complete(frame) = frame::startup(buffer) else { return };
        let StartupPacket::Startup(startup) = StartupPacket::decode(frame.body).unwrap() else { panic!() };
        seen.user = StartupRequest::check(&startup).unwrap().user;
        let length = frame.whole.len();
        buffer.drain(..length);
    }
    let mut scan = frame::scan(buffer, CLIENT_CAP);
    for frame in scan.by_ref() {
        let frame = frame.unwrap();
        let message = FrontendMessage::decode(frame.tag, frame.body).unwrap();
        let mut again = Vec::new();
        message.encode(&mut again).unwrap();
        assert_eq!(again, frame.whole);
        match message {
            FrontendMessage::CopyData(_) => assert!(replies.copy_in()),
            // A client ends its data even if the server has already given up.
            FrontendMessage::CopyDone | FrontendMessage::CopyFail(_) if replies.copy_in() => {
                replies.end_copy_in(Answer::Upstream).unwrap();
            }
            _ => {}
        }
        if let Some(asked) = asked(&message) {
            replies.push(asked, Answer::Upstream, seen.forwarded).unwrap();
            seen.forwarded += 1;
        }
    }
    let left = scan.rest().len();
    buffer.drain(..buffer.len() - left);
}

fn from_server(buffer: &mut Vec<u8>, seen: &mut Seen, replies: &mut Replies<usize>, logged_in: &mut bool) {
    let mut scan = frame::scan(buffer, HARD_CAP);
    for frame in scan.by_ref() {
        let frame = frame.unwrap();
        let message = BackendMessage::decode(frame.tag, frame.body).unwrap();
        let mut again = Vec::new();
        message.encode(&mut again).unwrap();
        assert_eq!(again, frame.whole);
        if !*logged_in {
            assert!(!matches!(message, BackendMessage::Authentication(ref other) if *other != Authentication::Ok));
            *logged_in = matches!(message, BackendMessage::ReadyForQuery(_));
            continue;
        }
        seen.rows += usize::from(frame.tag == b'D');
        match replies.on_backend(frame.tag, frame.body).unwrap() {
            Reply::Error(_) => seen.errors += 1,
            Reply::Ready { .. } => seen.ready += 1,
            Reply::Aside | Reply::Part(_) | Reply::Done(_) => {}
            other @ (Reply::Refused(_) | Reply::Fatal) => panic!("{other:?}"),
        }
    }
    let left = scan.rest().len();
    buffer.drain(..buffer.len() - left);
}

#[test]
fn captured_sessions() {
    let captures: &[(&str, &[u8], [usize; 4])] = &[
        ("psql simple", include_bytes!("testdata/psql-15-simple.bin"), [17, 6, 3, 17]),
        ("pgbench extended", include_bytes!("testdata/pgbench-15-extended.bin"), [40, 12, 0, 8]),
        ("pgbench prepared", include_bytes!("testdata/pgbench-15-prepared.bin"), [40, 12, 0, 12]),
        ("pgbench pipeline", include_bytes!("testdata/pgbench-15-pipeline.bin"), [22, 3, 0, 2]),
    ];
    for (name, capture, [forwarded, rows, errors, ready]) in captures {
        let expect =
            Seen { user: "postgres".to_owned(), forwarded: *forwarded, rows: *rows, errors: *errors, ready: *ready };
        for size in [1, 2, 7, 1 << 20] {
            assert_eq!(replay(capture, size), expect, "{name} in reads of {size}");
        }
    }
}
