//! HT01: where a message ends, and where its lines and names do. Two parsers could read each of these in two ways.

use super::{Case, Expect, check, start};

/// 400 and an end of the connection, beside a twin.
const fn bad(name: &'static str, attack: &'static [u8], twin: &'static [u8]) -> Case {
    Case { id: "HT01", name, attack, expect: Expect::Closed(400), twin }
}

/// The same in the middle of a body.
const fn cut(name: &'static str, attack: &'static [u8], twin: &'static [u8]) -> Case {
    Case { id: "HT01", name, attack, expect: Expect::Cut(400), twin }
}

const LENGTH: &[u8] = b"POST /a HTTP/1.1\r\n@CContent-Length: 4\r\n\r\nabcd";
const CHUNKED: &[u8] = b"POST /a HTTP/1.1\r\n@CTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n";
const FIELD: &[u8] = b"GET /a HTTP/1.1\r\n@CX-A: b\r\n\r\n";

const CASES: &[Case] = &[
    bad("length, then chunks", b"POST /a HTTP/1.1\r\n@WContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n@W\r\n", CHUNKED),
    bad("chunks, then length", b"POST /a HTTP/1.1\r\n@WTransfer-Encoding: chunked\r\nContent-Length: 44\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n@W\r\n", CHUNKED),
    bad("two unequal lengths", b"POST /a HTTP/1.1\r\n@WContent-Length: 0\r\nContent-Length: 40\r\n\r\nGET /smuggled HTTP/1.1\r\n@W\r\n", LENGTH),
    bad("two equal lengths", b"POST /a HTTP/1.1\r\n@WContent-Length: 4\r\nContent-Length: 4\r\n\r\nabcd", LENGTH),
    bad("a list of lengths", b"POST /a HTTP/1.1\r\n@WContent-Length: 4, 4\r\n\r\nabcd", LENGTH),
    bad("a length with a plus", b"POST /a HTTP/1.1\r\n@WContent-Length: +4\r\n\r\nabcd", LENGTH),
    bad("a negative length", b"POST /a HTTP/1.1\r\n@WContent-Length: -4\r\n\r\nabcd", LENGTH),
    bad("a hexadecimal length", b"POST /a HTTP/1.1\r\n@WContent-Length: 0x4\r\n\r\nabcd", LENGTH),
    bad("a length with a space", b"POST /a HTTP/1.1\r\n@WContent-Length: 0 4\r\n\r\nabcd", LENGTH),
    bad("an empty length", b"POST /a HTTP/1.1\r\n@WContent-Length: \r\n\r\n", LENGTH),
    bad("a length that overflows", b"POST /a HTTP/1.1\r\n@WContent-Length: 18446744073709551620\r\n\r\nabcd", LENGTH),
    bad("an unknown coding", b"POST /a HTTP/1.1\r\n@WTransfer-Encoding: xchunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n", CHUNKED),
    bad("identity", b"POST /a HTTP/1.1\r\n@WTransfer-Encoding: identity\r\nContent-Length: 4\r\n\r\nabcd", CHUNKED),
    bad("chunked, identity", b"POST /a HTTP/1.1\r\n@WTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", CHUNKED),
    bad("gzip, chunked", b"POST /a HTTP/1.1\r\n@WTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", CHUNKED),
    bad("chunked twice in a list", b"POST /a HTTP/1.1\r\n@WTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", CHUNKED),
    bad("chunked twice in two lines", b"POST /a HTTP/1.1\r\n@WTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", CHUNKED),
    bad("chunked in quotes", b"POST /a HTTP/1.1\r\n@WTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", CHUNKED),
    bad("chunked behind a vertical tab", b"POST /a HTTP/1.1\r\n@WTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", CHUNKED),
    bad("chunked behind a tab", b"POST /a HTTP/1.1\r\n@WTransfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n", CHUNKED),
    bad("chunks in HTTP/1.0", b"POST /a HTTP/1.0\r\n@WTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", CHUNKED),
    bad("bare line feeds", b"GET /a HTTP/1.1\n@A\n\n", FIELD),
    bad("a bare line feed in the head", b"GET /a HTTP/1.1\r\n@WX-A: b\nX-B: c\r\n\r\n", FIELD),
    bad("a bare carriage return in a value", b"GET /a HTTP/1.1\r\n@WX-A: b\rX-B: c\r\n\r\n", FIELD),
    bad("a folded line", b"GET /a HTTP/1.1\r\n@WX-A: b\r\n c\r\n\r\n", FIELD),
    bad("a folded line with a tab", b"GET /a HTTP/1.1\r\n@WX-A: b\r\n\tTransfer-Encoding: chunked\r\n\r\n", FIELD),
    bad("a first header that is folded", b"GET /a HTTP/1.1\r\n X-A: b\r\n@W\r\n", FIELD),
    bad("a space before the colon", b"POST /a HTTP/1.1\r\n@WContent-Length : 4\r\n\r\nabcd", LENGTH),
    bad("a tab before the colon", b"POST /a HTTP/1.1\r\n@WTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", CHUNKED),
    bad("a space in a name", b"GET /a HTTP/1.1\r\n@WX A: b\r\n\r\n", FIELD),
    bad("no name", b"GET /a HTTP/1.1\r\n@W: b\r\n\r\n", FIELD),
    bad("no colon", b"GET /a HTTP/1.1\r\n@WX-A\r\n\r\n", FIELD),
    bad("a name that is no token", b"GET /a HTTP/1.1\r\n@WX(A): b\r\n\r\n", FIELD),
    bad("a letter beyond ASCII in a name", b"GET /a HTTP/1.1\r\n@WX-\xc3\xa9: b\r\n\r\n", FIELD),
    bad("NUL in a value", b"GET /a HTTP/1.1\r\n@WX-A: b\x00c\r\n\r\n", FIELD),
    bad("a control character in a value", b"GET /a HTTP/1.1\r\n@WX-A: b\x01c\r\n\r\n", FIELD),
    bad("NUL in a name", b"GET /a HTTP/1.1\r\n@WTransfer-Encoding\x00: chunked\r\n\r\n", FIELD),
    cut("a chunk size that overflows", b"POST /a HTTP/1.1\r\n@WTransfer-Encoding: chunked\r\n\r\n10000000000000004\r\nabcd\r\n0\r\n\r\n", CHUNKED),
    cut("a negative chunk size", b"POST /a HTTP/1.1\r\n@WTransfer-Encoding: chunked\r\n\r\n-4\r\nabcd\r\n0\r\n\r\n", CHUNKED),
    cut("a chunk size with a prefix", b"POST /a HTTP/1.1\r\n@WTransfer-Encoding: chunked\r\n\r\n0x4\r\nabcd\r\n0\r\n\r\n", CHUNKED),
    cut("a chunk size behind a space", b"POST /a HTTP/1.1\r\n@WTransfer-Encoding: chunked\r\n\r\n 4\r\nabcd\r\n0\r\n\r\n", CHUNKED),
    cut("no chunk size", b"POST /a HTTP/1.1\r\n@WTransfer-Encoding: chunked\r\n\r\n\r\nabcd\r\n0\r\n\r\n", CHUNKED),
    cut("a chunk size that ends in a line feed", b"POST /a HTTP/1.1\r\n@WTransfer-Encoding: chunked\r\n\r\n4\nabcd\r\n0\r\n\r\n", CHUNKED),
    cut("a chunk longer than its size", b"POST /a HTTP/1.1\r\n@WTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", CHUNKED),
    cut("a chunk that ends in a line feed", b"POST /a HTTP/1.1\r\n@WTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\n0\r\n\r\n", CHUNKED),
    cut("an extension with a line feed", b"POST /a HTTP/1.1\r\n@WTransfer-Encoding: chunked\r\n\r\n4;a\nb\r\nabcd\r\n0\r\n\r\n", CHUNKED),
    cut("an extension without end", b"POST /a HTTP/1.1\r\n@WTransfer-Encoding: chunked\r\n\r\n4;@N\r\nabcd\r\n0\r\n\r\n", CHUNKED),
    cut("a length in the trailers", b"POST /a HTTP/1.1\r\n@WTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 4\r\n\r\n", CHUNKED),
    cut("a host in the trailers", b"POST /a HTTP/1.1\r\n@WTransfer-Encoding: chunked\r\n\r\n0\r\nHost: b\r\n\r\n", CHUNKED),
    cut("a credential in the trailers", b"POST /a HTTP/1.1\r\n@WTransfer-Encoding: chunked\r\n\r\n0\r\n@A\r\n", CHUNKED),
    cut("a folded trailer", b"POST /a HTTP/1.1\r\n@WTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: b\r\n c\r\n\r\n", CHUNKED),
    bad("two spaces in the request line", b"GET  /a HTTP/1.1\r\n@W\r\n", FIELD),
    bad("a tab in the request line", b"GET\t/a HTTP/1.1\r\n@W\r\n", FIELD),
    bad("a third word in the request line", b"GET /a smuggled HTTP/1.1\r\n@W\r\n", FIELD),
    bad("a space before the method", b" GET /a HTTP/1.1\r\n@W\r\n", FIELD),
    bad("an empty line before the request", b"\r\nGET /a HTTP/1.1\r\n@W\r\n", FIELD),
    bad("the version in small letters", b"GET /a http/1.1\r\n@W\r\n", FIELD),
    bad("no version", b"GET /a\r\n@W\r\n", FIELD),
    bad("a method that is no token", b"GE(T /a HTTP/1.1\r\n@W\r\n", FIELD),
    Case { id: "HT01", name: "a later version", attack: b"GET /a HTTP/1.2\r\n@W\r\n", expect: Expect::Closed(505), twin: FIELD },
    Case { id: "HT01", name: "HTTP/2 in the line of HTTP/1", attack: b"GET /a HTTP/2.0\r\n@W\r\n", expect: Expect::Closed(505), twin: FIELD },
    Case { id: "HT03", name: "a head without end", attack: b"GET /a HTTP/1.1\r\n@WX-A: @N\r\n\r\n", expect: Expect::Closed(431), twin: FIELD },
    Case { id: "HT03", name: "a target without end", attack: b"GET /@N HTTP/1.1\r\n@W\r\n", expect: Expect::Closed(414), twin: FIELD },
    // One length, computed anew: what the upstream gets is framed by us.
    Case {
        id: "HT01",
        name: "extensions and trailers are not passed on as they came",
        attack: b"POST /a HTTP/1.1\r\n@CTransfer-Encoding: chunked\r\n\r\n00004;x=y\r\nabcd\r\n0\r\n\r\n",
        expect: Expect::Sent { with: &["abcd"], without: &["x=y", "00004"] },
        twin: CHUNKED,
    },
];

#[test]
fn what_two_parsers_could_frame_in_two_ways_is_refused() {
    let (bed, tripwire) = start("http-framing", "unlisted = \"allow\"", "");
    check(&bed, &tripwire, CASES);
}

/// Behind a refused request nothing of the connection is read any more: what a client pipelined after it is lost with it.
#[test]
fn nothing_behind_a_refused_request_is_served() {
    use crate::bed::raw_http;
    let (bed, tripwire) = start("http-behind", "unlisted = \"allow\"", "");
    let lines = bed.lines("deploy");
    let good = format!("GET /first HTTP/1.1\r\n{lines}\r\n");
    let bad =
        format!("POST /second HTTP/1.1\r\n{lines}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    let answer = raw_http::send(bed.port(), format!("{good}{bad}GET /third HTTP/1.1\r\n{lines}\r\n").as_bytes());
    assert_eq!((answer.status, answer.closed, answer.answers()), (200, true, 2), "{answer:?}");
    assert!(answer.text().contains("HTTP/1.1 400 "), "{}", answer.text());
    let got = tripwire.take();
    assert_eq!(super::requests(&got), 1, "{:?}", String::from_utf8_lossy(&got));
}
