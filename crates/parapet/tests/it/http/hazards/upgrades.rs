//! HT11: what would leave HTTP, where nothing is read any more. Only a declared upgrade passes, and no byte before its answer.

use super::{Case, Expect, check, start};
use crate::bed::raw_http::Kept;
use crate::bed::tripwire::find;

const fn bad(name: &'static str, attack: &'static [u8], status: u16, twin: &'static [u8]) -> Case {
    Case { id: "HT11", name, attack, expect: Expect::Refused(status), twin }
}

const CASES: &[Case] = &[
    bad("to HTTP/2 in clear", b"GET /a HTTP/1.1\r\n@WConnection: close, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n", 400, b""),
    bad("to a WebSocket that is not declared", b"GET /a HTTP/1.1\r\n@WConnection: close, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", 400, b""),
    bad("to something else", b"GET /a HTTP/1.1\r\n@WConnection: close, Upgrade\r\nUpgrade: planted/1\r\n\r\n", 400, b""),
    bad("with a body", b"POST /a HTTP/1.1\r\n@WConnection: close, Upgrade\r\nUpgrade: websocket\r\nContent-Length: 26\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n", 400, b""),
    bad("TRACE", b"TRACE /a HTTP/1.1\r\n@C\r\n", 405, b"OPTIONS /a HTTP/1.1\r\n@C\r\n"),
    bad("TRACK", b"TRACK /a HTTP/1.1\r\n@C\r\n", 405, b""),
    bad("CONNECT", b"CONNECT shop.internal:443 HTTP/1.1\r\n@C\r\n", 405, b""),
    bad("a method of WebDAV", b"PROPFIND /a HTTP/1.1\r\n@C\r\n", 405, b""),
    bad("a method in small letters", b"get /a HTTP/1.1\r\n@C\r\n", 405, b""),
    bad("an unknown expectation", b"POST /a HTTP/1.1\r\n@CExpect: 200-planted\r\nContent-Length: 1\r\n\r\na", 417, b""),
];

#[test]
fn nothing_leaves_http_unasked() {
    let (bed, tripwire) = start("http-upgrades", "unlisted = \"allow\"", "");
    check(&bed, &tripwire, CASES);
}

/// What a client sends behind its request for an upgrade could be read as a request by the upstream.
#[test]
fn bytes_before_the_answer_to_an_upgrade_go_nowhere() {
    let (bed, tripwire) = start("http-early", "unlisted = \"allow\"\nupgrades = [\"websocket\"]", "");
    let head = format!(
        "GET /talk HTTP/1.1\r\n{}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        bed.lines("deploy")
    );
    // An upstream that does not change: it answers 200, and would read what comes next as a request.
    let mut client = Kept::open(bed.port());
    client.write(format!("{head}GET /smuggled HTTP/1.1\r\nHost: shop.internal\r\n\r\n").as_bytes());
    let (answers, _) = client.rest();
    let got = tripwire.take();
    assert!(find(&got, b"smuggled").is_none(), "{:?}", String::from_utf8_lossy(&got));
    assert!(!String::from_utf8_lossy(&answers).contains("HTTP/1.1 101"), "{:?}", String::from_utf8_lossy(&answers));
    // One that says 101 without the proof that it understood.
    tripwire.answer(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: planted\r\n\r\n");
    let mut client = Kept::open(bed.port());
    client.write(head.as_bytes());
    let answer = client.answer();
    assert_eq!(answer.status, 502, "{answer:?}");
    // Nor is a frame passed that no client may send: without a mask.
    tripwire.answer(
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    );
    tripwire.take();
    let mut client = Kept::open(bed.port());
    client.write(head.as_bytes());
    let answer = client.answer();
    assert_eq!(answer.status, 101, "{answer:?}");
    client.write(b"\x81\x08smuggled");
    let (_, closed) = client.rest();
    assert!(closed, "the connection stayed open");
    let got = tripwire.take();
    assert!(find(&got, b"smuggled").is_none(), "{:?}", String::from_utf8_lossy(&got));
}
