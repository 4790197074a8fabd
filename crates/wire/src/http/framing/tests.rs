//! Tests of framing, by hazard: what is taken, what is refused, and that neither splits nor a second parser change it.

use proptest::prelude::*;

use super::*;

/// How a whole stream is read: the violation, or the number of requests and whether one is under way.
fn read(pieces: &[&[u8]], limits: FramingLimits) -> Result<(u64, bool), Violation> {
    let mut framing = Framing::new(limits);
    for piece in pieces {
        framing.feed(piece)?;
        assert_eq!(framing.passed(), piece.len());
    }
    Ok((framing.heads(), !framing.is_between() && !matches!(framing.state, State::Upgrading)))
}

/// Reads it whole, in two pieces at each place, and byte by byte: the answer is one.
fn check(stream: &[u8], expect: Result<u64, Violation>) {
    let shown = String::from_utf8_lossy(stream).into_owned();
    let whole = read(&[stream], FramingLimits::default());
    assert_eq!(whole.map(|(heads, _)| heads), expect, "{shown:?}");
    for at in 0..stream.len() {
        let (front, back) = stream.split_at(at);
        assert_eq!(read(&[front, back], FramingLimits::default()), whole, "{shown:?} in two at {at}");
    }
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(read(&bytes, FramingLimits::default()), whole, "{shown:?} byte by byte");
}

#[test]
fn plain_requests_are_taken() {
    let cases: &[(&str, u64)] = &[
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1),
        ("GET /a?b=c HTTP/1.0\r\nhost: a:80\r\n\r\n", 1),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 1),
        ("GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n", 1),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n", 2),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 2),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:  3  \r\n\r\nabc", 1),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 1),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0000A\r\n0123456789\r\n0\r\n\r\n", 1),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=\"b\"\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            2,
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: \t a,\tb \t\r\nY:\r\n\r\n", 1),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: caf\u{e9}\r\n\r\n", 1),
        ("DELETE /a HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 1),
        // Under way.
        ("GET / HTTP/1.1\r\nHo", 0),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab", 1),
        ("", 0),
    ];
    for (stream, heads) in cases {
        check(stream.as_bytes(), Ok(*heads));
    }
}

#[test]
fn ht01_what_two_parsers_read_in_two_ways_is_refused() {
    use Violation as V;
    let heads: &[(&str, Violation)] = &[
        ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", V::EmptyLine),
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", V::BareLineEnd),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", V::BareLineEnd),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", V::BareLineEnd),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\rContent-Length: 3\r\n\r\n", V::BareLineEnd),
        ("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", V::BareLineEnd),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", V::RequestLine),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", V::RequestLine),
        (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", V::RequestLine),
        ("GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", V::RequestLine),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", V::RequestLine),
        ("GET / \r\nHost: a\r\n\r\n", V::RequestLine),
        ("GET /\r\n\r\n", V::RequestLine),
        ("GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", V::RequestLine),
        ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", V::RequestLine),
        ("GET /\u{7f} HTTP/1.1\r\nHost: a\r\n\r\n", V::RequestLine),
        ("GET /<a> HTTP/1.1\r\nHost: a\r\n\r\n", V::RequestLine),
        ("G:T / HTTP/1.1\r\nHost: a\r\n\r\n", V::RequestLine),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", V::RequestLine),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", V::Version),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", V::Version),
        ("GET / HTTP/01.1\r\nHost: a\r\n\r\n", V::Version),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", V::Version),
        ("GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", V::Folded),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n", V::Folded),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", V::Folded),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", V::HeaderName),
        ("GET / HTTP/1.1\r\nHost\t: a\r\n\r\n", V::HeaderName),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\n", V::HeaderName),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent\u{0}Length: 3\r\n\r\n", V::HeaderName),
        ("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", V::HeaderName),
        ("GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", V::HeaderName),
        ("GET / HTTP/1.1\r\nHost: a\r\nA(B): c\r\n\r\n", V::HeaderName),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent_Length: 3\r\n\r\n", V::HeaderName),
        ("GET / HTTP/1.1\r\nHost: a\r\ntransfer_encoding: chunked\r\n\r\n", V::HeaderName),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\u{0}b\r\n\r\n", V::HeaderValue),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\u{b}b\r\n\r\n", V::HeaderValue),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\u{7f}\r\n\r\n", V::HeaderValue),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length:\t3\r\n\r\nabc", V::HeaderValue),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tchunked\r\n\r\n", V::HeaderValue),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", V::LengthAndEncoding),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", V::LengthAndEncoding),
        ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", V::TransferEncoding),
    ];
    for (stream, violation) in heads {
        check(stream.as_bytes(), Err(*violation));
    }
}

#[test]
fn ht01_lengths_and_codings_have_one_spelling() {
    let head = |line: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n");
    for value in [
        "",
        "+3",
        "-3",
        "0x3",
        "3,3",
        "3, 3",
        "3 3",
        "03",
        "00",
        "3.0",
        "3;",
        "1e3",
        "³",
        "9999999999999999999",
        "18446744073709551619",
    ] {
        check(head(&format!("Content-Length: {value}")).as_bytes(), Err(Violation::ContentLength));
    }
    check(head("Content-Length: 3\r\nContent-Length: 3").as_bytes(), Err(Violation::ContentLength));
    check(head("Content-Length: 3\r\nContent-Length: 4").as_bytes(), Err(Violation::ContentLength));
    for value in [
        "",
        "Chunked",
        "CHUNKED",
        "chunked, chunked",
        "gzip, chunked",
        "chunked, identity",
        "identity",
        "xchunked",
        "chunked;a=b",
        "\"chunked\"",
        "chunked,",
    ] {
        check(head(&format!("Transfer-Encoding: {value}")).as_bytes(), Err(Violation::TransferEncoding));
    }
    check(
        head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked").as_bytes(),
        Err(Violation::TransferEncoding),
    );
    check(
        head("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity").as_bytes(),
        Err(Violation::TransferEncoding),
    );
}

#[test]
fn ht01_chunks_have_one_spelling() {
    let with = |body: &str| format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    let cases: &[(&str, Violation)] = &[
        ("\r\n", Violation::Chunk),
        ("g\r\n", Violation::Chunk),
        ("0x3\r\nabc", Violation::Chunk),
        ("+3\r\nabc", Violation::Chunk),
        ("-1\r\n", Violation::Chunk),
        (" 3\r\nabc", Violation::Chunk),
        ("3 \r\nabc", Violation::Chunk),
        ("3 ;a\r\nabc", Violation::Chunk),
        ("3\t\r\nabc", Violation::Chunk),
        ("3\u{0}\r\nabc", Violation::Chunk),
        ("3;\u{1}\r\nabc", Violation::Chunk),
        ("3;\u{e9}\r\nabc", Violation::Chunk),
        ("1000000000000000\r\nabc", Violation::Chunk),
        ("ffffffffffffffff\r\nabc", Violation::Chunk),
        ("10000000000000003\r\nabc", Violation::Chunk),
        ("0000000000000003\r\nabc", Violation::Chunk),
        ("3\nabc", Violation::BareLineEnd),
        ("3\r\rabc\r\n", Violation::BareLineEnd),
        ("3;a\nb\r\nabc", Violation::BareLineEnd),
        ("3\r\nabcd\r\n0\r\n\r\n", Violation::Chunk),
        ("3\r\nabc0\r\n\r\n", Violation::Chunk),
        ("3\r\nabc\n0\r\n\r\n", Violation::BareLineEnd),
        ("0\r\nContent-Length: 3\r\n\r\n", Violation::Trailer),
        ("0\r\nHost: b\r\n\r\n", Violation::Trailer),
        ("0\r\nAuthorization: b\r\n\r\n", Violation::Trailer),
        ("0\r\nTransfer-Encoding: chunked\r\n\r\n", Violation::Trailer),
        ("0\r\nX-Forwarded-For: b\r\n\r\n", Violation::Trailer),
        ("0\r\nX-HTTP-Method-Override: PUT\r\n\r\n", Violation::Trailer),
        ("0\r\n X: b\r\n\r\n", Violation::Folded),
        ("0\r\nX : b\r\n\r\n", Violation::HeaderName),
        ("0\r\nX: b\n\r\n", Violation::BareLineEnd),
        ("0\r\n\n", Violation::BareLineEnd),
    ];
    for (body, violation) in cases {
        check(with(body).as_bytes(), Err(*violation));
    }
}

#[test]
fn ht05_a_request_names_its_host_once() {
    check(b"GET / HTTP/1.1\r\n\r\n", Err(Violation::NoAuthority));
    check(b"GET / HTTP/1.0\r\n\r\n", Err(Violation::NoAuthority));
    check(b"GET / HTTP/1.1\r\nHost:\r\n\r\n", Err(Violation::NoAuthority));
    check(b"GET / HTTP/1.1\r\nHost:   \r\n\r\n", Err(Violation::NoAuthority));
    check(b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Err(Violation::TwoHosts));
    check(b"GET / HTTP/1.1\r\nHost: a\r\nhOST: b\r\n\r\n", Err(Violation::TwoHosts));
    check(b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", Err(Violation::Authority));
    check(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Err(Violation::Authority));
    check(b"GET / HTTP/1.1\r\nHost:\ta\r\n\r\n", Err(Violation::HeaderValue));
}

#[test]
fn ht03_heads_lines_and_trailers_are_bounded() {
    let limits = FramingLimits { head: 300, target: 40, headers: 4, trailers: 60, extensions: 10 };
    let cases: Vec<(String, Violation)> = vec![
        (format!("GET /{} HTTP/1.1\r\n", "a".repeat(200)), Violation::TargetTooLong),
        ("G".repeat(500), Violation::TargetTooLong),
        (format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(300)), Violation::HeadTooLong),
        ("GET / HTTP/1.1\r\nA: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\nE: 1\r\n".to_owned(), Violation::TooManyHeaders),
        (
            format!(
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: {}\r\n\r\n",
                "a".repeat(80)
            ),
            Violation::HeadTooLong,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;aaaaaa\r\nx\r\n1;aaaaaa\r\nx\r\n"
                .to_owned(),
            Violation::ChunkExtension,
        ),
        (
            format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;{}", "a".repeat(300)),
            Violation::ChunkExtension,
        ),
    ];
    for (stream, violation) in cases {
        let bytes = stream.as_bytes();
        assert_eq!(read(&[bytes], limits), Err(violation), "{stream:?}");
        for size in [1, 2, 7, 64] {
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            assert_eq!(read(&pieces, limits), Err(violation), "{stream:?} by {size}");
        }
    }
    // What is kept of a line that never ends is no more than a head.
    let mut framing = Framing::new(limits);
    framing.feed(b"GET / HTTP/1.1\r\nX: ").unwrap();
    while framing.feed(&[b'a'; 10]).is_ok() {
        assert!(framing.line.len() <= 300);
    }
    assert_eq!(framing.line.capacity(), 0);
}

#[test]
fn the_bounds_of_one_request_are_not_the_next_ones() {
    let limits = FramingLimits { head: 120, target: 40, headers: 3, trailers: 30, extensions: 10 };
    let one =
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;aaaaaa\r\nx\r\n0\r\nX: a\r\nY: b\r\n\r\n";
    let stream = one.repeat(5);
    assert_eq!(read(&[&stream], limits), Ok((5, false)));
}

#[test]
fn ht11_nothing_comes_before_an_upgrade_is_answered() {
    let upgrade = b"GET /live HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n";
    check(upgrade, Ok(1));
    check(&[upgrade.as_slice(), b"\x81\x05hello"].concat(), Err(Violation::EarlyBytes));
    check(&[upgrade.as_slice(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"].concat(), Err(Violation::EarlyBytes));
    check(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", Ok(1));
    check(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n\x16\x03", Err(Violation::EarlyBytes));
    let cases: &[&[u8]] = &[
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nContent-Length: 3\r\n\r\n",
        b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    ];
    for stream in cases {
        check(stream, Err(Violation::Upgrade));
    }
    check(
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n\r\n",
        Err(Violation::RepeatedHeader),
    );

    let mut framing = Framing::new(FramingLimits::default());
    assert_eq!(framing.release(), Err(Violation::EarlyBytes));
    framing.feed(upgrade).unwrap();
    framing.resume();
    framing.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(framing.release(), Err(Violation::EarlyBytes), "the last request asked for nothing");
    framing.feed(upgrade).unwrap();
    framing.release().unwrap();
    framing.feed(b"\x81\x05hello\r\n\n\0").unwrap();
    assert_eq!(framing.violation(), None);
}

#[test]
fn a_violation_is_final_and_what_stood_before_it_passes() {
    let good = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut framing = Framing::new(FramingLimits::default());
    let stream = [good.as_slice(), b"GET /b HTTP/1.1\r\nHost : b\r\n\r\n"].concat();
    assert_eq!(framing.feed(&stream), Err(Violation::HeaderName));
    assert_eq!(framing.passed(), good.len());
    assert_eq!((framing.feed(good), framing.passed()), (Err(Violation::HeaderName), 0));
    assert_eq!(framing.violation(), Some(Violation::HeaderName));

    // A head that was handed on before its body broke waits for it; one that came with it never leaves.
    let (head, body) = (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n1\r\nb\n");
    let mut framing = Framing::new(FramingLimits::default());
    assert_eq!(framing.feed(&[good.as_slice(), head, body].concat()), Err(Violation::BareLineEnd));
    assert_eq!((framing.passed(), framing.body_pending(), framing.head_pending()), (good.len(), false, false));
    let mut framing = Framing::new(FramingLimits::default());
    framing.feed(head).unwrap();
    assert_eq!(framing.feed(body), Err(Violation::BareLineEnd));
    assert_eq!((framing.passed(), framing.body_pending()), (0, true));
    // The same for a head that came in two pieces, the latter with its body.
    let stream = [head.as_slice(), body].concat();
    for cut in 1..head.len() {
        let mut framing = Framing::new(FramingLimits::default());
        framing.feed(&stream[..cut]).unwrap();
        assert_eq!(framing.feed(&stream[cut..]), Err(Violation::BareLineEnd), "{cut}");
        assert_eq!((framing.passed(), framing.body_pending(), framing.head_pending()), (0, false, false), "{cut}");
    }
    // The last byte of a head that is refused never passes, so that no parser can take it for a whole one.
    let mut framing = Framing::new(FramingLimits::default());
    framing.feed(b"GET / HTTP/1.1\r\nX: b\r\n").unwrap();
    assert_eq!(framing.feed(b"\r\n"), Err(Violation::NoAuthority));
    assert_eq!((framing.passed(), framing.body_pending()), (0, false));
}

#[test]
fn ht03_a_slow_head_is_seen() {
    let mut framing = Framing::new(FramingLimits::default());
    let mut seen = |bytes: &[u8]| {
        framing.feed(bytes).unwrap();
        (framing.head_pending(), framing.body_pending(), framing.is_between())
    };
    assert_eq!(seen(b""), (false, false, true));
    assert_eq!(seen(b"P"), (true, false, false));
    assert_eq!(seen(b"OST / HTTP/1.1\r\n"), (true, false, false));
    assert_eq!(seen(b"Host: a\r\nContent-Length: 2\r\n"), (true, false, false));
    assert_eq!(seen(b"\r\n"), (false, true, false));
    assert_eq!(seen(b"a"), (false, true, false));
    assert_eq!(seen(b"b"), (false, false, true));
}

/// Streams that are nearly right: lines of requests in any order, with odd ones among them.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => Just("GET /a HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        4 => Just("POST / HTTP/1.1\r\n".to_owned()),
        4 => Just("Host: a\r\n".to_owned()),
        3 => Just("Content-Length: 5\r\n".to_owned()),
        3 => Just("Transfer-Encoding: chunked\r\n".to_owned()),
        3 => Just("Connection: upgrade\r\nUpgrade: websocket\r\n".to_owned()),
        4 => Just("\r\n".to_owned()),
        3 => Just("5\r\nhello\r\n".to_owned()),
        3 => Just("0\r\n\r\n".to_owned()),
        2 => Just("hello".to_owned()),
        2 => "[ -~]{0,12}(\r\n|\n|\r|:|;)?",
        1 => "(\r|\n|\t|\u{0}| ){1,2}",
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn any_split_gives_the_same_answer(stream in streams(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        let limits = FramingLimits { head: 200, target: 60, headers: 6, trailers: 60, extensions: 12 };
        let whole = read(&[&stream], limits);
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        places.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for place in places {
            pieces.push(&stream[from..place]);
            from = place;
        }
        pieces.push(&stream[from..]);
        prop_assert_eq!(read(&pieces, limits), whole);
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        prop_assert_eq!(read(&bytes, limits), whole);
    }

    #[test]
    fn no_bytes_panic(stream in prop::collection::vec(any::<u8>(), 0..300)) {
        let _read = read(&[&stream], FramingLimits::default());
    }

    /// What we take, the parser of hyper reads in the same way: the same ends of heads, the same sizes of chunks.
    #[test]
    fn hypers_parser_reads_what_is_taken_the_same(stream in streams()) {
        let mut framing = Framing::new(FramingLimits::default());
        let (mut begin, mut ends) = (0, Vec::new());
        let mut sizes = Vec::new();
        let mut line = 0;
        for (at, byte) in stream.iter().enumerate() {
            let (heads, state) = (framing.heads(), framing.state);
            if framing.is_between() {
                begin = at;
            }
            if framing.feed(&[*byte]).is_err() {
                break;
            }
            if framing.heads() > heads {
                ends.push((begin, at + 1));
            }
            if *byte == b'\n' {
                if state == State::Size {
                    sizes.push((line, at + 1, framing.state));
                }
                line = at + 1;
            }
            if matches!(state, State::Data(1)) {
                line = at + 1;
            }
        }
        for (begin, end) in ends {
            let mut fields = [httparse::EMPTY_HEADER; 32];
            let mut request = httparse::Request::new(&mut fields);
            prop_assert_eq!(request.parse(&stream[begin..]), Ok(httparse::Status::Complete(end - begin)));
            let hosts = request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case("host")).count();
            prop_assert_eq!(hosts, 1);
        }
        for (begin, end, state) in sizes {
            let expect = if let State::Data(size) = state { size } else { 0 };
            prop_assert_eq!(httparse::parse_chunk_size(&stream[begin..end]), Ok(httparse::Status::Complete((end - begin, expect))));
        }
    }
}
