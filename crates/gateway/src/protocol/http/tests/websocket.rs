//! WebSockets (RFC 6455): what passes, what each side may not send, what is masked, and how the gateway ends them: with a close that
//! says why.

use std::sync::Arc;
use std::time::Duration;

use kernel::ports::LiveSessions as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use wire::detect::Detector;
use wire::http::json_mask::Detect;

use super::bed::{Bed, request, until};
use super::check;

const SWITCHES: &str =
    "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: x\r\n\r\n";
const ASKS: &str = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: k\r\nsec-websocket-version: 13\r\n\
                    sec-websocket-extensions: permessage-deflate\r\n";

/// A frame of a server's.
pub(super) fn said(first: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() < 126);
    [&[first, payload.len() as u8], payload].concat()
}

/// A frame of a client's, by a mask of zeros, so that the tripwire can be searched for it.
fn sent(first: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() < 126);
    [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
}

/// A socket whose upstream says these frames at once, and again whenever it hears an empty line with some blanks behind it.
pub(super) async fn socket(bed: &Bed, path: &str, frames: &[u8]) -> DuplexStream {
    bed.tripwire.answer([SWITCHES.as_bytes(), frames].concat());
    let mut client = bed.connect(false);
    client.write_all(request(&format!("GET {path}"), ASKS, "").as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    check(&String::from_utf8_lossy(&head), &["HTTP/1.1 101", "upgrade: websocket", "parapet-decision: dec_"]);
    bed.tripwire.answer(frames);
    client
}

/// The next frame: a text, or the code of a close and its reason.
pub(super) async fn next(client: &mut DuplexStream) -> String {
    let first = client.read_u8().await.unwrap();
    let length = client.read_u8().await.unwrap();
    assert!(length < 126);
    let mut payload = vec![0; length.into()];
    client.read_exact(&mut payload).await.unwrap();
    match (first, payload.split_first_chunk()) {
        (0x88, Some((code, reason))) => format!("{} {}", u16::from_be_bytes(*code), String::from_utf8_lossy(reason)),
        (0x88, None) => "closed".to_owned(),
        _ => format!("{first:02x} {}", String::from_utf8_lossy(&payload)),
    }
}

/// Nothing follows.
async fn over(mut client: DuplexStream) {
    let mut rest = Vec::new();
    drop(client.read_to_end(&mut rest).await);
    assert_eq!(rest, b"", "something follows a close");
}

async fn heard(bed: &Bed, what: &str) {
    while !bed.tripwire.heard().contains(what) {
        tokio::task::yield_now().await;
    }
}

pub(super) async fn ended(bed: &Bed) -> String {
    while !bed.sessions.list().is_empty() {
        tokio::task::yield_now().await;
    }
    bed.house.entries().join("\n")
}

#[tokio::test]
async fn messages_pass_and_are_counted() {
    let bed = Bed::new().await;
    let frames = [said(0x01, b"hel"), said(0x89, b"?"), said(0x80, b"lo"), said(0x82, b"\0\xff")].concat();
    let mut client = socket(&bed, "/v1/open/socket", &frames).await;
    for wanted in ["01 hel", "89 ?", "80 lo"] {
        assert_eq!(next(&mut client).await, wanted);
    }
    next(&mut client).await;
    client.write_all(&[sent(0x8A, b"?"), sent(0x81, b"to there"), sent(0x88, b"\x03\xe8bye")].concat()).await.unwrap();
    heard(&bed, "bye").await;
    let up = bed.tripwire.heard();
    check(&up, &["to there", "sec-websocket-key: k"]);
    assert!(!up.contains("permessage-deflate"), "{up}");
    drop(client);
    let entries = ended(&bed).await;
    check(&entries, &["\"rows\":2", "\"bytes\":7"]);
}

/// What a client may not send ends it with the code that RFC 6455 has for it, and stands in the log.
#[tokio::test]
async fn what_no_client_may_send_ends_it() {
    let long = [&[0x82, 0xff, 0, 0, 0, 0, 0x7f, 0, 0, 0][..], &[0; 4]].concat();
    let cases: [(&str, &str, Vec<u8>); 11] = [
        ("no mask", "1002", said(0x81, b"secret")),
        ("a reserved bit", "1002", sent(0xC1, b"secret")),
        ("a reserved opcode", "1002", sent(0x83, b"secret")),
        ("a continuation of nothing", "1002", sent(0x80, b"secret")),
        ("two messages in one", "1002", [sent(0x01, b"a"), sent(0x81, b"secret")].concat()),
        ("a control frame in fragments", "1002", sent(0x09, b"secret")),
        ("a close with a code that nobody sends", "1002", sent(0x88, b"\x03\xee")),
        ("something after a close", "1002", [sent(0x88, b""), sent(0x81, b"secret")].concat()),
        ("a text that is none", "1007", sent(0x81, b"secret\xff")),
        ("too long a message", "1009", long),
        ("no frames at all", "1002", b"GET /v1/secrets HTTP/1.1\r\n\r\n".to_vec()),
    ];
    for (name, code, bytes) in cases {
        let bed = Bed::new().await;
        let mut client = socket(&bed, "/v1/open/socket", b"").await;
        client.write_all(&bytes).await.unwrap();
        let told = next(&mut client).await;
        assert!(told.starts_with(code) && told.contains("blocked, cannot decide (PAR"), "{name}: {told}");
        over(client).await;
        let id = told.split(['[', ']']).nth(1).unwrap();
        check(&ended(&bed).await, &[id]);
        let up = bed.tripwire.heard();
        assert!(!up.contains("secret"), "{name}: {up}");
    }
}

/// What an upstream may not send does not reach the client; both are told.
#[tokio::test]
async fn what_no_upstream_may_send_ends_it() {
    for (name, code, bytes) in [
        ("a mask", "1014 a frame of the websocket is malformed", sent(0x81, b"x")),
        ("a reserved bit", "1014 a frame of the websocket is malformed", said(0xC1, b"x")),
        ("a text that is none", "1014 a text of the websocket is not valid utf-8", said(0x81, b"\xff")),
        ("too long a message", "1009 a message of the websocket is too long", b"\x82\x7f\0\0\0\0\x7f\0\0\0".to_vec()),
    ] {
        let bed = Bed::new().await;
        let mut client = socket(&bed, "/v1/open/socket", &[said(0x81, b"first"), bytes].concat()).await;
        assert_eq!(next(&mut client).await, "81 first", "{name}");
        assert_eq!(next(&mut client).await, code, "{name}");
        over(client).await;
        ended(&bed).await;
    }
    // One that answers with an extension that nobody offered has not understood.
    let bed = Bed::new().await;
    bed.tripwire.answer(SWITCHES.replace("sec-websocket-accept: x", "sec-websocket-extensions: permessage-deflate"));
    let mut client = bed.connect(false);
    client.write_all(request("GET /v1/open/socket", ASKS, "").as_bytes()).await.unwrap();
    check(&until(&mut client, "}").await, &["HTTP/1.1 502"]);
}

/// A frame that is still coming is no reason not to be told.
#[tokio::test]
async fn a_cut_is_said_in_the_middle_of_a_message() {
    let bed = Bed::new().await;
    let mut client = socket(&bed, "/v1/open/socket", b"\x82\x7e\xff\xffhalf").await;
    assert_eq!(next(&mut client).await, "02 half");
    for open in bed.sessions.list() {
        assert!(bed.sessions.kill(open.id));
    }
    assert_eq!(next(&mut client).await, "1008 blocked, the session is cut: killed");
    over(client).await;
    check(&ended(&bed).await, &["killed"]);
}

#[tokio::test]
async fn no_message_passes_once_policy_says_no() {
    // A policy that is new.
    let bed = Bed::new().await;
    let mut client = socket(&bed, "/v1/open/socket", b"").await;
    bed.house.reload_after_next_look("@id(\"no-more\") forbid(principal, action == Action::\"http:GET\", resource);");
    client.write_all(&sent(0x81, b"before")).await.unwrap();
    heard(&bed, "before").await;
    client.write_all(&sent(0x81, b"after")).await.unwrap();
    let told = next(&mut client).await;
    assert!(told.starts_with("1008 blocked by policy \"no-more\""), "{told}");
    over(client).await;
    check(&ended(&bed).await, &["no-more"]);
    assert!(!bed.tripwire.heard().contains("after"));
    // A workload that may not act any more.
    let bed = Bed::new().await;
    let mut client = socket(&bed, "/v1/open/socket", &said(0x81, b"x")).await;
    assert_eq!(next(&mut client).await, "81 x");
    bed.house.quarantine_bot();
    client.write_all(&sent(0x81, b"after")).await.unwrap();
    let told = next(&mut client).await;
    assert!(told.starts_with("1008 blocked, the workload may not act"), "{told}");
    over(client).await;
    assert!(!bed.tripwire.heard().contains("after"));
    // A mask that is new: what is masked is fixed when the socket opens.
    let bed = Bed::new().await;
    let mut client = socket(&bed, "/v1/customers/7", b"").await;
    bed.house.reload_after_next_look(
        "@id(\"stronger\") @mask(\"null\") forbid (principal, action == Action::\"http:field\", resource);",
    );
    client.write_all(&sent(0x81, b"before")).await.unwrap();
    heard(&bed, "before").await;
    client.write_all(&sent(0x81, b"after")).await.unwrap();
    assert_eq!(next(&mut client).await, "1012 the policies have changed, connect again");
    assert!(!bed.tripwire.heard().contains("after"));
}

#[tokio::test]
async fn messages_are_masked_or_refused() {
    let bed = Bed::new().await;
    let frames = [
        said(0x01, br#"{"em"#),
        said(0x89, b""),
        said(0x80, br#"ail":"ann@example.com","n":1}"#),
        said(0x81, br#"{"customers":[{"email":"ann@example.com"}]}"#),
    ];
    let mut client = socket(&bed, "/v1/customers/7", &frames.concat()).await;
    let mut all = String::new();
    for _ in 0..4 {
        all.push_str(&next(&mut client).await);
    }
    assert!(!all.contains("ann@"), "{all}");
    check(&all, &[r#"{"em"#, "89 ", r#"ail":"[redacted]","n":1}"#, r#"{"customers":[{"email":"[redacted]"}]}"#]);
    // A ping says nothing, and its answer what it said.
    bed.tripwire.answer(said(0x89, b"ann@example.com"));
    client.write_all(&sent(0x81, b"\"more\"\r\n\r\n        ")).await.unwrap();
    assert_eq!(next(&mut client).await, "89 \0\0\0\0");
    bed.tripwire.answer(b"".as_slice());
    client.write_all(&sent(0x8A, b"\0\0\0\0")).await.unwrap();
    heard(&bed, "ann@example.com").await;
    // What a mask made does not come back.
    client.write_all(&sent(0x81, br#"{"email":"bob@example.com"}"#)).await.unwrap();
    heard(&bed, "bob@").await;
    client.write_all(&sent(0x81, br#"{"email":"[redacted]","other":1}"#)).await.unwrap();
    let told = next(&mut client).await;
    assert!(told.starts_with("1008 blocked, cannot decide (PAR0213)"), "{told}");
    over(client).await;
    assert!(!bed.tripwire.heard().contains("redacted"));
    for (name, frame) in [
        ("bytes", said(0x82, br#"{"email":"ann@example.com"}"#)),
        ("no json", said(0x81, b"email ann@example.com")),
        ("half of it", said(0x81, br#"{"email":"ann@example.com""#)),
    ] {
        let bed = Bed::new().await;
        let mut client = socket(&bed, "/v1/customers/7", &frame).await;
        let mut told = next(&mut client).await;
        if !told.starts_with("1003") {
            assert!(!told.contains("ann@"), "{name}: {told}");
            told = next(&mut client).await;
        }
        assert_eq!(told, "1003 a message of the websocket must be masked and is not json", "{name}");
        over(client).await;
    }
}

#[tokio::test]
async fn detectors_look_at_messages() {
    let detector = Arc::new(Detector::new().unwrap());
    let bed = Bed::with(|upstream| upstream.detect = Some((Detect::Signal, detector))).await;
    let message = said(0x81, br#"{"note":"ann@example.com"}"#);
    let mut client = socket(&bed, "/v1/open/socket", &message).await;
    check(&next(&mut client).await, &["ann@example.com"]);
    drop(client);
    check(&ended(&bed).await, &[r#""detector":"email""#, r#""column":"message."#]);
}

#[tokio::test]
async fn limits_on_bytes_and_rows_hold() {
    let bed = Bed::new().await;
    let frames = [said(0x81, &[b'a'; 60]), said(0x81, &[b'b'; 60])];
    let mut client = socket(&bed, "/v1/capped", &frames[0]).await;
    assert!(next(&mut client).await.contains("aaaa"));
    bed.tripwire.answer(frames[1].clone());
    client.write_all(&sent(0x81, b"more\r\n\r\n        ")).await.unwrap();
    assert_eq!(next(&mut client).await, "1008 blocked, more than 100 bytes");
    over(client).await;
    let bed = Bed::new().await;
    bed.house.reload_after_next_look(
        "@id(\"two\") @limit(\"rows=2\") forbid(principal, action == Action::\"http:GET\", resource);",
    );
    let frames = [said(0x81, b"one"), said(0x01, b"tw"), said(0x80, b"o")].concat();
    let mut client = socket(&bed, "/v1/open/socket", &frames).await;
    for wanted in ["81 one", "01 tw", "80 o"] {
        assert_eq!(next(&mut client).await, wanted);
    }
    bed.tripwire.answer(said(0x81, b"three"));
    client.write_all(&sent(0x81, b"more\r\n\r\n        ")).await.unwrap();
    assert_eq!(next(&mut client).await, "1008 blocked, more than 2 messages");
    over(client).await;
}

#[tokio::test]
async fn silence_ends_it_and_a_ping_is_none() {
    let bed = Bed::with(|upstream| upstream.limits.idle = Duration::from_secs(3)).await;
    let gateway = Arc::clone(&bed.gateway);
    bed.tasks.spawn("deadlines", async move { gateway.look_after().await });
    let mut client = socket(&bed, "/v1/open/socket", &said(0x89, b"ping")).await;
    // For longer than the cap, but never without a frame for as long; each is answered.
    for _ in 0..16 {
        assert_eq!(next(&mut client).await, "89 ping");
        client.write_all(&sent(0x8A, b"ping\r\n\r\n        ")).await.unwrap();
        drop(tokio::time::timeout(Duration::from_millis(250), std::future::pending::<()>()).await);
    }
    assert_eq!(next(&mut client).await, "89 ping");
    assert_eq!(next(&mut client).await, "1001 neither side said anything for 3 s");
    over(client).await;
    ended(&bed).await;
}

#[tokio::test]
async fn a_side_that_is_gone_is_told_of() {
    let bed = Bed::new().await;
    // These words close the tripwire's side behind them.
    let mut client = socket(&bed, "/v1/open/socket", &said(0x81, b"connection: close")).await;
    assert_eq!(next(&mut client).await, "81 connection: close");
    assert_eq!(next(&mut client).await, "1014 the upstream is gone");
    over(client).await;
    let bed = Bed::new().await;
    let mut client = socket(&bed, "/v1/open/socket", &said(0x81, b"x")).await;
    assert_eq!(next(&mut client).await, "81 x");
    drop(client);
    ended(&bed).await;
}

#[tokio::test]
async fn a_drain_says_that_the_gateway_goes() {
    let bed = Bed::new().await;
    let mut client = socket(&bed, "/v1/open/socket", &said(0x81, b"x")).await;
    assert_eq!(next(&mut client).await, "81 x");
    let tasks = bed.tasks.clone();
    let (drained, told) = tokio::join!(tasks.drain(Duration::from_secs(2)), async move {
        let told = next(&mut client).await;
        over(client).await;
        told
    });
    assert_eq!(told, "1001 the gateway stops");
    drop(drained);
    check(&ended(&bed).await, &["session_ended"]);
}
