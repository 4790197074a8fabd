//! Messages of gRPC, cut in every way: what passes, what is overwritten, what is broken off, and that none waits for the next.

use std::io::Write as _;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use wire::http::echo::Echoes;

use super::*;

const KEY: &str = "canary+7c1f9&";

/// A message as it stands in an answer.
fn message(compressed: bool, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[u8::from(compressed)][..], &length, payload].concat()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn calls(kind: &'static str, coding: &'static str) -> Option<Calls> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, kind.parse().unwrap());
    headers.insert("grpc-encoding", coding.parse().unwrap());
    Calls::of(&headers)
}

/// What leaves of these bytes, cut at these places, and whether it was broken off.
fn passed(coding: &'static str, bytes: &[u8], pieces: &[&[u8]]) -> (Vec<u8>, bool) {
    let mut echoes = Echoes::default();
    echoes.add(KEY);
    let mut search = Search::new(&Arc::new(echoes)).unwrap();
    let mut calls = calls("application/grpc+proto", coding).unwrap();
    let mut out = Vec::new();
    for piece in pieces {
        match calls.pass(Bytes::copy_from_slice(piece), &mut search) {
            Ok(leaves) => out.extend(leaves),
            Err(_broken) => return (out, true),
        }
    }
    let is_message = bytes.first().is_none_or(|flags| flags & !FLAGS == 0);
    assert!(!is_message || (calls.held(&search), out.len()) == (0, bytes.len()), "a message waits for the next");
    let rest = calls.finish(&mut search).unwrap();
    assert!(!is_message || rest.is_empty());
    (out.into_iter().chain(rest).collect(), false)
}

#[test]
fn messages_are_searched_one_by_one() {
    let (holds, passes) = (gzip(&format!("you are {KEY}")), gzip("you are you, canary+7c1f9"));
    let stars = "*".repeat(KEY.len());
    let said = |text: &str| message(false, text.as_bytes());
    for (coding, messages, expected) in [
        ("identity", vec![said("you"), said("")], Some(vec![said("you"), said("")])),
        (
            "gzip",
            vec![said(&format!("{KEY}{KEY}")), said("canary+"), said("7c1f9&"), said(KEY)],
            Some(vec![said(&format!("{stars}{stars}")), said("canary+"), said("7c1f9&"), said(&stars)]),
        ),
        (
            "gzip",
            vec![message(true, &passes), said(KEY), message(true, &passes)],
            Some(vec![message(true, &passes), said(&stars), message(true, &passes)]),
        ),
        ("gzip", vec![said(KEY), message(true, &holds), said("more")], None),
        // Where it says that it is compressed and is not, it cannot be looked at.
        ("gzip", vec![message(true, KEY.as_bytes())], None),
        // Nobody here can decode that: it is looked at as it is.
        ("snappy", vec![message(true, &passes), said(KEY)], Some(vec![message(true, &passes), said(&stars)])),
        ("snappy", vec![message(true, KEY.as_bytes())], Some(vec![message(true, stars.as_bytes())])),
        ("identity", vec![message(true, KEY.as_bytes())], Some(vec![message(true, stars.as_bytes())])),
        // No message at all, whatever it begins with.
        ("gzip", vec![KEY.into()], Some(vec![stars.clone().into()])),
        ("gzip", vec![format!("{{\"you\":\"{KEY}\"}}").into()], Some(vec![format!("{{\"you\":\"{stars}\"}}").into()])),
    ] {
        let bytes = messages.concat();
        let whole = passed(coding, &bytes, &[&bytes]);
        assert_eq!(whole.1, expected.is_none(), "{coding}");
        match expected {
            Some(expected) => assert_eq!(whole.0, expected.concat(), "{coding}"),
            None => assert_eq!(whole.0, b"", "{coding}"),
        }
        let by_byte = passed(coding, &bytes, &bytes.chunks(1).collect::<Vec<_>>());
        assert_eq!(by_byte.1, whole.1, "{coding}, byte by byte");
        assert!(whole.1 || by_byte.0 == whole.0, "{coding}, byte by byte");
        assert!(!String::from_utf8_lossy(&by_byte.0).contains(KEY), "{coding}, byte by byte");
        for cut in 0..bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            let cut_so = passed(coding, &bytes, &[head, tail]);
            assert_eq!(cut_so.1, whole.1, "{coding}, cut at {cut}");
            assert!(whole.1 || cut_so.0 == whole.0, "{coding}, cut at {cut}");
        }
    }
}

#[test]
fn what_is_base64_as_a_whole_has_no_messages() {
    for (kind, is_call) in [
        ("application/grpc", true),
        ("application/grpc-web+proto", true),
        ("application/grpc-web-text", false),
        ("application/json", false),
    ] {
        assert_eq!(calls(kind, "identity").is_some(), is_call, "{kind}");
    }
    assert!(Calls::of(&HeaderMap::new()).is_none());
}
