//! Tests of messages: one table of bytes and meaning for each direction, malformed bodies, round trips, no panic.

use proptest::prelude::*;

use super::*;
use crate::postgres::frame::{self, HARD_CAP};

fn framed(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    out.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    out.extend_from_slice(body);
    out
}

/// Decodes and encodes again: the bytes must be the same. Gives the error if they do not decode.
fn frontend_round_trip(tag: u8, body: &[u8]) -> Option<DecodeError> {
    let message = match FrontendMessage::decode(tag, body) {
        Ok(message) => message,
        Err(error) => return Some(error),
    };
    let mut out = b"before".to_vec();
    message.encode(&mut out).unwrap();
    assert_eq!(out, [b"before".to_vec(), framed(tag, body)].concat(), "{message:?}");
    None
}

fn backend_round_trip(tag: u8, body: &[u8]) -> Option<DecodeError> {
    let message = match BackendMessage::decode(tag, body) {
        Ok(message) => message,
        Err(error) => return Some(error),
    };
    let mut out = b"before".to_vec();
    message.encode(&mut out).unwrap();
    assert_eq!(out, [b"before".to_vec(), framed(tag, body)].concat(), "{message:?}");
    None
}

/// Well-formed client messages, one of each and some variants.
const FRONTEND: &[(u8, &[u8])] = &[
    (b'Q', b"SELECT 1\0"),
    (b'Q', b"\0"),
    (b'P', b"s1\0SELECT $1\0\0\x01\0\0\0\x17"),
    (b'P', b"\0\0\0\0"),
    (b'B', b"\0s1\0\0\x01\0\x01\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\x01\0\0"),
    (b'B', b"p\0\0\0\x02\0\0\0\x01\0\x02\0\0\0\0\0\0\0\x01\xff\0\0"),
    (b'D', b"Ss1\0"),
    (b'D', b"P\0"),
    (b'E', b"\0\0\0\0\0"),
    (b'E', b"p\0\xff\xff\xff\xff"),
    (b'C', b"Sx\0"),
    (b'C', b"Px\0"),
    (b'S', b""),
    (b'H', b""),
    (b'X', b""),
    (b'd', b"1\t2\n"),
    (b'd', b""),
    (b'c', b""),
    (b'f', b"no\0"),
    (b'p', b"secret\0"),
    (b'F', b"\0\0\0\x59\0\0\0\0\0\0"),
];

/// Well-formed server messages, one of each and some variants.
const BACKEND: &[(u8, &[u8])] = &[
    (b'R', b"\0\0\0\0"),
    (b'R', b"\0\0\0\x02"),
    (b'R', b"\0\0\0\x03"),
    (b'R', b"\0\0\0\x05salt"),
    (b'R', b"\0\0\0\x07"),
    (b'R', b"\0\0\0\x08data"),
    (b'R', b"\0\0\0\x09"),
    (b'R', b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"),
    (b'R', b"\0\0\0\x0br=x"),
    (b'R', b"\0\0\0\x0cv=x"),
    (b'K', b"\0\0\x01\x02key!"),
    (b'v', b"\0\x03\0\0\0\0\0\x01_pq_.x\0"),
    (b'S', b"server_version\x0018.1\0"),
    (b'Z', b"I"),
    (b'Z', b"T"),
    (b'Z', b"E"),
    (b'T', b"\0\x02id\0\0\0\x40\0\0\x01\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0\xff\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\0\0\0\x08\0\x01"),
    (b'T', b"\0\0"),
    (b'D', b"\0\x02\0\0\0\x01x\xff\xff\xff\xff"),
    (b'D', b"\0\0"),
    (b'C', b"INSERT 0 1\0"),
    (b'I', b""),
    (b'E', b"SERROR\0VERROR\0C42501\0Mno\0\0"),
    (b'E', b"\0"),
    (b'N', b"SNOTICE\0C00000\0Mhi\0\0"),
    (b'A', b"\0\0\0\x07ch\0pay\0"),
    (b't', b"\0\x01\0\0\0\x17"),
    (b'1', b""),
    (b'2', b""),
    (b'3', b""),
    (b'n', b""),
    (b's', b""),
    (b'G', b"\0\0\x02\0\0\0\0"),
    (b'H', b"\x01\0\x01\0\x01"),
    (b'W', b"\0\0\0"),
    (b'd', b"\x80\xff"),
    (b'c', b""),
    (b'V', b"\0\0\0\x01x"),
    (b'V', b"\xff\xff\xff\xff"),
];

#[test]
fn every_message_comes_back_as_it_was() {
    for (tag, body) in FRONTEND {
        assert_eq!(frontend_round_trip(*tag, body), None, "{} {body:?}", char::from(*tag));
    }
    for (tag, body) in BACKEND {
        assert_eq!(backend_round_trip(*tag, body), None, "{} {body:?}", char::from(*tag));
    }
}

#[test]
fn a_byte_more_or_less_is_an_error() {
    // Messages whose last field takes whatever is there.
    let open_ended = |tag: u8, body: &[u8]| match tag {
        b'd' | b'p' | b'F' | b'K' => true,
        b'R' => matches!(body.get(3), Some(8 | 11 | 12)),
        _ => false,
    };
    for (tag, body) in FRONTEND.iter().filter(|(tag, body)| !open_ended(*tag, body)) {
        for tail in [&b"\0"[..], b"x", b"DELETE FROM t\0"] {
            let longer = [body, tail].concat();
            assert!(FrontendMessage::decode(*tag, &longer).is_err(), "{} {longer:?}", char::from(*tag));
        }
        if let Some((_, shorter)) = body.split_last() {
            assert!(FrontendMessage::decode(*tag, shorter).is_err(), "{} {shorter:?}", char::from(*tag));
        }
    }
    for (tag, body) in BACKEND.iter().filter(|(tag, body)| !open_ended(*tag, body)) {
        for tail in [&b"\0"[..], b"x"] {
            let longer = [body, tail].concat();
            assert!(BackendMessage::decode(*tag, &longer).is_err(), "{} {longer:?}", char::from(*tag));
        }
        if let Some((_, shorter)) = body.split_last() {
            assert!(BackendMessage::decode(*tag, shorter).is_err(), "{} {shorter:?}", char::from(*tag));
        }
    }
}

#[test]
fn malformed_client_messages() {
    let cases: &[(u8, &[u8], DecodeError)] = &[
        // A statement behind the zero byte (the server would not see it, or would).
        (b'Q', b"SELECT 1\0; DROP TABLE t\0", DecodeError::Layout(ReadError::Trailing(15))),
        (b'Q', b"SELECT 1", DecodeError::Layout(ReadError::Unterminated)),
        (b'Q', b"SELECT '\xff'\0", DecodeError::Layout(ReadError::NotUtf8)),
        (b'Q', b"SELECT '\xc0\xa7'\0", DecodeError::Layout(ReadError::NotUtf8)),
        (b'P', b"s\0SELECT 1\0\xff\xff", DecodeError::Layout(ReadError::Truncated)),
        (b'B', b"\0\0\0\x01\0\x02\0\0\0\0", DecodeError::Value("the format code")),
        (b'B', b"\0\0\0\x02\0\0\0\0\0\x01\xff\xff\xff\xff\0\0", DecodeError::Value("the number of parameter formats")),
        (b'B', b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0", DecodeError::Value("the length of a value")),
        (b'B', b"\0\0\0\0\0\x01\x7f\xff\xff\xff\0\0", DecodeError::Layout(ReadError::Truncated)),
        (b'D', b"Xname\0", DecodeError::Value("the kind of name")),
        (b'C', b"\0\0", DecodeError::Value("the kind of name")),
        (b'R', b"", DecodeError::UnknownTag(b'R')),
        (0, b"", DecodeError::UnknownTag(0)),
        (b'q', b"", DecodeError::UnknownTag(b'q')),
    ];
    for (tag, body, error) in cases {
        assert_eq!(FrontendMessage::decode(*tag, body), Err(*error), "{} {body:?}", char::from(*tag));
    }
}

#[test]
fn malformed_server_messages() {
    let cases: &[(u8, &[u8], DecodeError)] = &[
        (b'Z', b"X", DecodeError::Value("the transaction status")),
        (b'R', b"\0\0\0\x01", DecodeError::Value("the authentication method")),
        (b'R', b"\0\0\0\x06", DecodeError::Value("the authentication method")),
        (b'K', b"\0\0\0\0abc", DecodeError::Value("the length of the cancel key")),
        (b'G', b"\x02\0\0", DecodeError::Value("the format of copy data")),
        (b'T', b"\xff\xff", DecodeError::Layout(ReadError::Unterminated)),
        (b'D', b"\xff\xff", DecodeError::Layout(ReadError::Truncated)),
        (b'v', b"\0\x03\0\0\xff\xff\xff\xff", DecodeError::Layout(ReadError::Unterminated)),
        (b'Q', b"\0", DecodeError::UnknownTag(b'Q')),
    ];
    for (tag, body, error) in cases {
        assert_eq!(BackendMessage::decode(*tag, body), Err(*error), "{} {body:?}", char::from(*tag));
    }
    let key = |length: usize| BackendMessage::decode(b'K', &vec![1; 4 + length]).is_ok();
    assert_eq!([3, 4, 32, 256, 257].map(key), [false, true, true, true, false]);
}

#[test]
fn the_fields_mean_what_they_should() {
    let bind = Bind::decode(b"p\0s1\0\0\x02\0\x01\0\0\0\x02\0\0\0\x02ab\xff\xff\xff\xff\0\x01\0\x01").unwrap();
    assert_eq!((bind.portal, bind.statement), ("p", "s1"));
    let parameters: Vec<_> = bind.parameters().collect();
    assert_eq!(parameters, [(Format::Binary, Some(&b"ab"[..])), (Format::Text, None)]);
    assert_eq!((bind.result_formats.of(0), bind.result_formats.of(9)), (Some(Format::Binary), Some(Format::Binary)));
    assert_eq!(Formats::TEXT.of(3), Some(Format::Text));
    let results = |codes: &[u8]| Bind::decode(&[b"\0\0\0\0\0\0", codes].concat()).unwrap().result_formats.is_text();
    let formats: [&[u8]; 4] = [b"\0\0", b"\0\x02\0\0\0\0", b"\0\x01\0\x01", b"\0\x02\0\0\0\x01"];
    assert_eq!(formats.map(results), [true, true, false, false]);
    let single = Bind::decode(b"\0\0\0\x01\0\x01\0\x02\0\0\0\0\0\0\0\0\0\0").unwrap();
    assert!(single.parameters().all(|(format, value)| format == Format::Binary && value == Some(&b""[..])));

    let row = DataRow::decode(b"\0\x03\0\0\0\x01x\xff\xff\xff\xff\0\0\0\0").unwrap();
    assert_eq!(row.columns().collect::<Vec<_>>(), [Some(&b"x"[..]), None, Some(&b""[..])]);
    assert_eq!(CommandComplete { tag: "INSERT 0 12" }.rows(), Some(12));
    assert_eq!(CommandComplete { tag: "SELECT 3" }.rows(), Some(3));
    assert_eq!(CommandComplete { tag: "CREATE TABLE" }.rows(), None);

    let fields = ErrorFields::decode(b"SFEHLER\0VFATAL\0C57P01\0\0").unwrap();
    assert!(fields.ends_session());
    assert_eq!(fields.sqlstate(), Some("57P01"));

    let response = |body| AuthenticationResponse { body };
    assert_eq!(response(b"pw\0").password(), Ok(&b"pw"[..]));
    assert_eq!(response(b"\0").password(), Ok(&b""[..]));
    assert!(response(b"pw\0x").password().is_err());
    let initial = response(b"SCRAM-SHA-256\0\0\0\0\x03n,,").sasl_initial().unwrap();
    assert_eq!((initial.mechanism, initial.data), ("SCRAM-SHA-256", Some(&b"n,,"[..])));
    assert!(response(b"SCRAM-SHA-256\0\0\0\0\x04n,,").sasl_initial().is_err());
    let mut out = Vec::new();
    initial.encode(&mut out).unwrap();
    assert_eq!(out, framed(b'p', b"SCRAM-SHA-256\0\0\0\0\x03n,,"));
}

#[test]
fn startup_packets() {
    let startup = b"\0\x03\0\0user\0u\0database\0d\0\0";
    match StartupPacket::decode(startup).unwrap() {
        StartupPacket::Startup(message) => {
            assert_eq!(message.version, ProtocolVersion::V3_0);
            assert_eq!(message.parameters, [("user", "u"), ("database", "d")]);
        }
        other => panic!("{other:?}"),
    }
    let packets: &[&[u8]] =
        &[startup, b"\x04\xd2\x16\x2f", b"\x04\xd2\x16\x30", b"\x04\xd2\x16\x2e\0\0\0\x07key!", b"\0\x03\0\x02\0"];
    for body in packets {
        let mut out = Vec::new();
        StartupPacket::decode(body).unwrap().encode(&mut out).unwrap();
        assert_eq!(out.get(4..), Some(*body));
    }
    let malformed: &[&[u8]] = &[
        b"",
        b"\x04\xd2\x16\x2fx",
        b"\x04\xd2\x16\x31",
        b"\x04\xd2\x16\x2e\0\0\0\x07key",
        b"\0\x03\0\0",
        b"\0\x03\0\0user\0u\0",
        b"\0\x03\0\0user\0u\0\0x",
        b"\0\x03\0\0user\0\xff\0\0",
        b"\0\x03\0\0user\0",
    ];
    for body in malformed {
        assert!(StartupPacket::decode(body).is_err(), "{body:?}");
    }
    assert!(StartupPacket::decode(&[&b"\x04\xd2\x16\x2e\0\0\0\x07"[..], &[7; 256]].concat()).is_ok());
    assert!(StartupPacket::decode(&[&b"\x04\xd2\x16\x2e\0\0\0\x07"[..], &[7; 257]].concat()).is_err());
}

#[test]
fn a_failed_encoding_leaves_nothing_behind() {
    let mut out = b"x".to_vec();
    assert_eq!(Query { text: "a\0b" }.encode(&mut out), Err(EncodeError::ZeroByte));
    assert_eq!(ErrorFields { fields: vec![(0, b"x")] }.encode_error(&mut out), Err(EncodeError::ZeroByte));
    let types = vec![0; 65_536];
    assert_eq!(ParameterDescription { types }.encode(&mut out), Err(EncodeError::TooMany));
    let mut row = DataRowWriter::new(&mut out, 2);
    row.value(None);
    assert_eq!(row.finish(), Err(EncodeError::TooMany));
    let mut row = DataRowWriter::new(&mut out, 0);
    row.value_with(|out| out.push(1));
    assert_eq!(row.finish(), Err(EncodeError::TooMany));
    assert_eq!(out, b"x");
}

#[test]
fn debug_shows_no_data() {
    let secret = "hunter2";
    let body = format!("{secret}\0");
    let shown = [
        format!("{:?}", FrontendMessage::decode(b'Q', body.as_bytes()).unwrap()),
        format!("{:?}", FrontendMessage::decode(b'p', body.as_bytes()).unwrap()),
        format!("{:?}", FrontendMessage::decode(b'B', b"\0\0\0\0\0\x01\0\0\0\x07hunter2\0\0").unwrap()),
        format!("{:?}", BackendMessage::decode(b'D', b"\0\x01\0\0\0\x07hunter2").unwrap()),
        format!("{:?}", BackendMessage::decode(b'K', b"\0\0\0\x01hunter2").unwrap()),
        format!("{:?}", BackendMessage::decode(b'E', b"Mhunter2\0\0").unwrap()),
        format!("{:?}", BackendMessage::decode(b'R', b"\0\0\0\x0bhunter2").unwrap()),
    ];
    assert!(shown.iter().all(|text| !text.contains(secret) && !text.contains("104, 117")), "{shown:?}");
}

proptest! {
    #[test]
    fn no_body_panics_and_what_decodes_comes_back(tag in any::<u8>(), body in prop::collection::vec(any::<u8>(), 0..80)) {
        frontend_round_trip(tag, &body);
        backend_round_trip(tag, &body);
        if let Ok(packet) = StartupPacket::decode(&body)
            && !matches!(&packet, StartupPacket::Startup(startup) if startup.version.major() != 3)
        {
            let mut out = Vec::new();
            packet.encode(&mut out).unwrap();
            prop_assert_eq!(out.get(4..), Some(body.as_slice()));
        }
    }

    #[test]
    fn mutated_messages_do_not_panic(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let all: Vec<_> = FRONTEND.iter().chain(BACKEND).collect();
        let (tag, body) = which.get(&all);
        let mut body = body.to_vec();
        if !body.is_empty() {
            let at = at.index(body.len());
            body[at] = byte;
            if cut {
                body.truncate(at);
            }
        }
        frontend_round_trip(*tag, &body);
        backend_round_trip(*tag, &body);
    }

    #[test]
    fn rows_written_are_rows_read(columns in prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..20)), 0..20)) {
        let mut out = Vec::new();
        let mut writer = DataRowWriter::new(&mut out, columns.len() as u16);
        for (position, column) in columns.iter().enumerate() {
            match column {
                Some(bytes) if position % 2 == 0 => writer.value_with(|out| out.extend_from_slice(bytes)),
                column => writer.value(column.as_deref()),
            }
        }
        writer.finish().unwrap();
        let frame = frame::scan(&out, HARD_CAP).next().unwrap().unwrap();
        prop_assert_eq!(frame.whole.len(), out.len());
        let row = DataRow::decode(frame.body).unwrap();
        let read: Vec<_> = row.columns().map(|column| column.map(<[u8]>::to_vec)).collect();
        prop_assert_eq!(read, columns);
    }

    #[test]
    fn texts_and_names_come_back(statement in "[^\0]{0,20}", text in "[^\0]{0,60}", types in prop::collection::vec(any::<u32>(), 0..5)) {
        let parse = Parse { statement: &statement, text: &text, parameter_types: types };
        let mut out = Vec::new();
        parse.encode(&mut out).unwrap();
        let frame = frame::scan(&out, HARD_CAP).next().unwrap().unwrap();
        prop_assert_eq!(Parse::decode(frame.body), Ok(parse.clone()));
    }
}
