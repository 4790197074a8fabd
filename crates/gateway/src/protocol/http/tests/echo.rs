//! An API that repeats the credential which the gateway has added: in bodies of every framing, coding and version.

use std::io::{Read, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::bed::{Bed, ok, request, token, typed, unchunked, until};
use super::check;
use super::websocket::{ended, next, said, socket};
use crate::login::scripted::ScriptedClock;
use crate::upstream::credential::{Credential, Kind};
use crate::upstream::dial::Dialler;
use crate::upstream::fetch::Fetcher;
use crate::upstream::secret::SecretSource;

const KEY: &str = "canary+7c1f9/upstream";

/// An upstream whose credential is a key, in a file that goes when the test is over.
struct Keyed {
    bed: Bed,
    file: std::path::PathBuf,
}

impl Keyed {
    async fn new(name: &str) -> Self {
        let file = std::env::temp_dir().join(format!("parapet-echo-{}-{name}", std::process::id()));
        std::fs::write(&file, KEY).unwrap();
        let kind = Kind::Bearer(SecretSource::File(file.clone()));
        let bed = Bed::with(|upstream| {
            let fetcher = Fetcher::new(Dialler::new(), None);
            let credential = Credential::new(upstream.origin.clone(), kind, ScriptedClock::new(), fetcher);
            upstream.credential = Some(credential.unwrap().into());
        });
        Self { bed: bed.await, file }
    }
}

impl Drop for Keyed {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.file));
    }
}

/// An answer in chunks of so many bytes.
fn chunked(more: &str, body: &[u8], size: usize, trailers: &str) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\n{more}transfer-encoding: chunked\r\n\r\n").into_bytes();
    for chunk in body.chunks(size) {
        answer.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        answer.extend_from_slice(chunk);
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend(format!("0\r\n{trailers}\r\n").into_bytes());
    answer
}

#[tokio::test]
async fn what_repeats_it_is_overwritten() {
    let keyed = Keyed::new("plain").await;
    let stars = "*".repeat(KEY.len());
    let json = format!(r#"{{"you":"Bearer {KEY}","php":"{}","at the end":"{KEY}"#, KEY.replace('/', r"\/"));
    let hidden = format!(r#"{{"you":"Bearer {stars}","php":"{stars}*","at the end":"{stars}"#);
    for answer in [
        typed("application/json", &json).into_bytes(),
        typed("text/plain", &json).into_bytes(),
        chunked("", json.as_bytes(), 1, ""),
        chunked("", json.as_bytes(), 7, ""),
        chunked("content-encoding: identity\r\n", json.as_bytes(), 4096, ""),
        format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{json}").into_bytes(),
        format!("HTTP/1.1 401 Unauthorized\r\ncontent-length: {}\r\n\r\n{json}", json.len()).into_bytes(),
        format!(
            "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-{}/999\r\ncontent-length: {}\r\n\r\n{json}",
            json.len() - 1,
            json.len()
        )
        .into_bytes(),
    ] {
        keyed.bed.tripwire.answer(answer);
        let asked = request("GET /v1/open/me", "accept-encoding: gzip, br\r\n", "");
        let said = unchunked(&keyed.bed.talk(&asked).await);
        assert!(said.ends_with(&format!("\r\n\r\n{hidden}")), "{said}");
        if said.contains("content-length") {
            check(&said, &[&format!("content-length: {}\r\n", json.len())]);
        }
    }
    let heard = keyed.bed.tripwire.heard();
    check(&heard, &[KEY, "accept-encoding: identity\r\n"]);
    assert!(!heard.contains("gzip"), "{heard}");
    let entries = keyed.bed.house.entries().join("\n");
    check(&entries, &[r#""detector":"upstream-credential""#, r#""hits":3"#]);
    assert!(!entries.contains("canary"), "{entries}");
}

#[tokio::test]
async fn headers_that_repeat_it_are_left_out_and_entered() {
    let keyed = Keyed::new("headers").await;
    let escaped = KEY.replace('+', "%2b").replace('/', "%2F");
    let head = format!("x-you: Bearer {KEY}\r\nlocation: /v1/me?key={escaped}\r\nx-me: canary\r\ncontent-length: 0");
    keyed.bed.tripwire.answer(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n").into_bytes());
    let said = keyed.bed.talk(&request("GET /v1/open/me", "", "")).await;
    check(&said, &["x-me: canary\r\n"]);
    assert!(!said.contains("x-you") && !said.contains("location"), "{said}");
    check(&ended(&keyed.bed).await, &["\"detector\":\"upstream-credential\"", "\"column\":\"header.", "\"hits\":2"]);
}

#[tokio::test]
async fn an_answer_without_it_is_what_it_was() {
    let keyed = Keyed::new("without").await;
    for body in ["", "canary+7c1f9/upstrea", "{}", "x"] {
        for answer in [ok(body).into_bytes(), chunked("", body.as_bytes(), 3, "")] {
            keyed.bed.tripwire.answer(answer);
            let said = keyed.bed.talk(&request("GET /v1/open/me", "", "").repeat(2)).await;
            assert_eq!(said.matches("HTTP/1.1 200").count(), 2, "{said}");
            assert!(unchunked(&said).contains(body), "{said}");
        }
    }
    // What knows its length has ended with its last byte, and leaves the connection to what comes next.
    assert_eq!(keyed.bed.tripwire.connections(), 1);
    assert!(!keyed.bed.house.entries().join("\n").contains("upstream-credential"));
    // Nobody else's answers are asked for as they are.
    let bed = Bed::new().await;
    bed.talk(&request("GET /v1/open/me", "accept-encoding: gzip\r\n", "")).await;
    check(&bed.tripwire.heard(), &["accept-encoding: gzip\r\n"]);
}

#[tokio::test]
async fn events_are_not_delayed() {
    let keyed = Keyed::new("events").await;
    let never = std::sync::Arc::new(tokio::sync::Notify::new());
    *keyed.bed.tripwire.hold.lock().unwrap() = Some(never);
    let mut answer = chunked("content-type: text/event-stream\r\n", format!("data: {KEY}\n\n").as_bytes(), 4, "");
    answer.truncate(answer.len() - 5);
    keyed.bed.tripwire.answer(answer);
    let mut client = keyed.bed.connect(false);
    client.write_all(request("GET /v1/open/events", "", "").as_bytes()).await.unwrap();
    // The answer goes on; what has come has left.
    let said = until(&mut client, "\n\n").await;
    assert!(!said.contains("canary"), "{said}");
}

#[tokio::test]
async fn messages_of_websockets_do_not_repeat_it() {
    let keyed = Keyed::new("websocket").await;
    let (begin, end) = KEY.split_at(9);
    let frames = [
        said(0x81, format!("you are {KEY}").as_bytes()),
        // In two fragments, with a ping between them, of which none repeats it as a whole.
        said(0x01, format!("you {begin}").as_bytes()),
        said(0x89, KEY.as_bytes()),
        said(0x80, format!("{end}!").as_bytes()),
        said(0x88, format!("\u{10}\0{KEY}").as_bytes()),
    ];
    let frames = frames.concat();
    let mut client = socket(&keyed.bed, "/v1/open/socket", &frames).await;
    let stars = "*".repeat(KEY.len());
    for wanted in [
        format!("81 you are {stars}"),
        "01 you ".to_owned(),
        // A ping says a number, so that the pong can repeat it.
        "89 \0\0\0\0".to_owned(),
        format!("80 {stars}!"),
        format!("4096 {stars}"),
    ] {
        assert_eq!(next(&mut client).await, wanted);
    }
    drop(client);
    check(&ended(&keyed.bed).await, &["\"detector\":\"upstream-credential\"", "\"hits\":3", "\"column\":\"message."]);
}

#[tokio::test]
async fn what_is_masked_is_searched_too() {
    let keyed = Keyed::new("masked").await;
    let body = format!(r#"{{"id":1,"email":"ada@example.com","you":"{KEY}"}}"#);
    keyed.bed.tripwire.answer(ok(&body));
    let said = unchunked(&keyed.bed.talk(&request("GET /v1/customers/7", "", "")).await);
    check(&said, &["parapet-masked: ", &format!(r#""you":"{}""#, "*".repeat(KEY.len()))]);
    assert!(!said.contains("ada@"), "{said}");
}

/// What [`coded`] makes of the key, and of `of yours`, in Brotli, by the reference encoder.
const BROTLI: [&[u8]; 2] = [
    &[
        0x1b, 0x46, 0x0a, 0x28, 0xad, 0x0e, 0xcc, 0xc3, 0xa0, 0xfd, 0x66, 0x16, 0x25, 0xd8, 0x64, 0xe9, 0xf1, 0x27,
        0x12, 0xb9, 0xab, 0x45, 0xea, 0xd8, 0xee, 0xf6, 0x8d, 0xce, 0x5e, 0x9f, 0x06, 0x59, 0x61, 0xcb, 0xd3, 0x63,
        0x65, 0x6f, 0x70, 0xea, 0xc5, 0xac, 0x62, 0x72, 0x60, 0x22, 0x27, 0x6c, 0xcd, 0x53, 0x0e, 0x98, 0x6f, 0x76,
        0xd8, 0x80, 0xa3, 0x20, 0xd6, 0xec, 0xdf, 0xf9, 0x2e, 0x40, 0x2e, 0x9a, 0x61, 0xc4, 0x82, 0xf5, 0x6f, 0x9c,
        0xdf, 0x8e, 0x26, 0x9f,
    ],
    &[
        0x1b, 0x39, 0x0a, 0xf8, 0x9d, 0x09, 0xb6, 0x4d, 0xe2, 0xad, 0x0b, 0x69, 0xd8, 0x83, 0xa1, 0xa3, 0x75, 0x99,
        0xd9, 0xdd, 0x9e, 0x7a, 0xcb, 0x2b, 0x9d, 0xbe, 0x16, 0x01, 0x61, 0xab, 0xdb, 0xd2, 0x18, 0x64, 0x58, 0x6b,
        0xba, 0x80, 0x04, 0x16, 0x2a, 0xc9, 0x9d, 0x63, 0x0b, 0x5b, 0x07, 0x7b, 0x05, 0xb6, 0x41, 0xc9, 0x27,
    ],
];

/// A body that holds this, coded.
fn coded(coding: &str, what: &str) -> Vec<u8> {
    let plain = format!("{}{{\"you\":\"{what}\"}}{}", "well ".repeat(200), "and more".repeat(200));
    match coding {
        "gzip" => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(plain.as_bytes()).unwrap();
            encoder.finish().unwrap()
        }
        "deflate" => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::none());
            encoder.write_all(plain.as_bytes()).unwrap();
            encoder.finish().unwrap()
        }
        _ => BROTLI[usize::from(what != KEY)].to_vec(),
    }
}

/// What can be read of a coded body that breaks off.
fn decoded(mut reader: impl Read) -> String {
    let (mut plain, mut byte) = (Vec::new(), [0]);
    while let Ok(1) = reader.read(&mut byte) {
        plain.extend(byte);
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[tokio::test]
async fn what_is_coded_all_the_same_is_broken_off() {
    let keyed = Keyed::new("coded").await;
    for coding in ["gzip", "deflate", "br"] {
        let (holds, passes) = (coded(coding, KEY), coded(coding, "of yours"));
        for size in [1, 100, 100_000] {
            let head = format!("content-encoding: {coding}\r\n");
            let mut said = Vec::new();
            for answer in [chunked(&head, &holds, size, ""), chunked(&head, &passes, size, "")] {
                keyed.bed.tripwire.answer(answer);
                let mut client = keyed.bed.connect(false);
                client.write_all(request("GET /v1/open/me", "", "").as_bytes()).await.unwrap();
                drop(client.shutdown().await);
                let mut bytes = Vec::new();
                drop(client.read_to_end(&mut bytes).await);
                said.push(body_of(&bytes));
            }
            let [(broken, false), (whole, true)] = said.as_slice() else { panic!("{coding} by {size}: {said:?}") };
            let text = match coding {
                "gzip" => decoded(flate2::read::GzDecoder::new(broken.as_slice())),
                "deflate" => decoded(flate2::read::ZlibDecoder::new(broken.as_slice())),
                _ => decoded(brotli_decompressor::Decompressor::new(broken.as_slice(), 4096)),
            };
            assert!(!text.contains("canary") && !text.contains("and more"), "{coding} by {size}: {text}");
            assert_eq!(*whole, passes, "{coding} by {size}");
        }
    }
    check(&keyed.bed.house.entries().join("\n"), &[r#""detector":"upstream-credential""#]);
    // What says that it is coded and is not, nobody can search.
    keyed.bed.tripwire.answer(chunked("content-encoding: gzip\r\n", format!("you are {KEY}").as_bytes(), 5, ""));
    let said = keyed.bed.talk(&request("GET /v1/open/me", "", "")).await;
    assert!(!unchunked(&said).contains("canary"), "{said}");
}

/// The bytes of a chunked body, and whether it has its end.
fn body_of(said: &[u8]) -> (Vec<u8>, bool) {
    // Where the first of it breaks off, not even the head is sent.
    let Some(head) = said.windows(4).position(|window| window == b"\r\n\r\n") else { return (Vec::new(), false) };
    let (mut rest, mut body) = (&said[head + 4..], Vec::new());
    while let Some(at) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..at]).unwrap(), 16).unwrap();
        if size == 0 {
            return (body, true);
        }
        body.extend_from_slice(&rest[at + 2..at + 2 + size]);
        rest = &rest[at + 2 + size + 2..];
    }
    (body, false)
}

#[tokio::test]
async fn by_http2_and_with_trailers() {
    let keyed = Keyed::new("http2").await;
    let body = format!("you are {KEY}");
    let trailers = format!("x-kept: yes\r\nx-you: {KEY}\r\n");
    keyed.bed.tripwire.answer(chunked("trailer: x-kept, x-you\r\n", body.as_bytes(), 5, &trailers));
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(keyed.bed.connect(true))).await.unwrap();
    keyed.bed.tasks.spawn("client's connection", async move { drop(connection.await) });
    let asked = Request::get("http://payments.internal/v1/open/me")
        .header("authorization", format!("Bearer {}", token("bot")))
        .header("te", "trailers")
        .body(Full::<Bytes>::default())
        .unwrap();
    let answer = sender.send_request(asked).await.unwrap().into_body().collect().await.unwrap();
    let trailers = answer.trailers().cloned().unwrap_or_default();
    assert_eq!(answer.to_bytes(), format!("you are {}", "*".repeat(KEY.len())));
    assert_eq!(trailers.get("x-kept").map(|kept| kept.as_bytes()), Some(&b"yes"[..]));
    assert!(!trailers.contains_key("x-you"));
    drop(sender);
    check(&ended(&keyed.bed).await, &["\"column\":\"header.", "\"column\":\"answer."]);
}
