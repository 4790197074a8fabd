//! Interim answers (1xx): which the gateway says, which it takes from an upstream, and that the final answer is whole whatever
//! came before it.

use crate::bed::api::{Api, ApiBed};
use crate::bed::raw_http::{self, Kept};
use crate::bed::tripwire::{Tripwire, find};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 15\r\n\r\n{\"whole\": true}";

fn start(name: &str) -> (ApiBed, Tripwire) {
    let tripwire = Tripwire::start();
    let url = format!("http://127.0.0.1:{}", tripwire.port());
    let waits = "@id(\"waits\") @approve(\"dba\") forbid (principal, action == Action::\"http:PUT\", resource);";
    (Api::new(name).upstream("shop-api", &url, "unlisted = \"allow\"\n").policies(waits).start(), tripwire)
}

#[test]
fn interim_answers_end_at_the_gateway_and_the_final_one_is_whole() {
    let (bed, tripwire) = start("http-interim");
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n";
    for before in [
        hints.to_owned(),
        hints.repeat(3),
        "HTTP/1.1 102 Processing\r\n\r\n".to_owned(),
        // Nobody asked for it.
        "HTTP/1.1 100 Continue\r\n\r\n".to_owned(),
        format!("HTTP/1.1 100 Continue\r\n\r\n{hints}HTTP/1.1 199 Odd\r\nx-odd: 1\r\n\r\n"),
    ] {
        tripwire.answer(format!("{before}{OK}").as_bytes());
        let request = format!("GET /page HTTP/1.1\r\n{}Connection: close\r\n\r\n", bed.lines("deploy"));
        let answer = raw_http::send(bed.port(), request.as_bytes());
        assert_eq!((answer.status, answer.text().as_str()), (200, "{\"whole\": true}"), "{before}: {}", answer.head);
        assert!(answer.field("link").is_none() && answer.field("x-odd").is_none(), "{}", answer.head);
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            let ran = bed.curl("deploy", "/page", &[version, "-i"]);
            assert!(ran.out.ends_with("{\"whole\": true}") && !ran.out.contains("103"), "{before} {version}: {ran:?}");
        }
    }
}

#[test]
fn continue_is_said_by_the_gateway_and_asked_of_no_upstream() {
    let (bed, tripwire) = start("http-expect");
    let mut client = Kept::open(bed.port());
    let head =
        format!("POST /page HTTP/1.1\r\n{}Content-Length: 4\r\nExpect: 100-continue\r\n\r\n", bed.lines("deploy"));
    client.write(head.as_bytes());
    let interim = client.until(b"\r\n\r\n");
    assert!(interim.starts_with(b"HTTP/1.1 100 "), "{}", String::from_utf8_lossy(&interim));
    client.write(b"abcd");
    assert_eq!(client.answer().status, 200);
    let heard = tripwire.take().to_ascii_lowercase();
    assert!(
        find(&heard, b"abcd").is_some() && find(&heard, b"expect:").is_none(),
        "{}",
        String::from_utf8_lossy(&heard)
    );
}

/// HTTP has no word for a wait that clients show, so nothing comes before the end of a hold.
#[test]
fn nothing_is_said_during_a_hold() {
    let (bed, tripwire) = start("http-silent-hold");
    let lines = bed.lines("deploy");
    let request =
        format!("PUT /page HTTP/1.1\r\n{lines}Prefer: wait=1\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx");
    let answer = raw_http::send(bed.port(), request.as_bytes());
    assert_eq!((answer.status, answer.answers()), (403, 1), "{}", answer.head);
    assert!(answer.text().contains("approval-required"), "{}", answer.text());
    assert!(tripwire.take().is_empty());
}
