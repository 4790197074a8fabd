//! HT05, HT11, HT12, HT13 on the way out: each form beside its harmless twin, before a server that records each byte.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::hello;
use crate::bed::api::{Api, ApiBed};
use crate::bed::tripwire::Tripwire;

pub(super) struct Guarded {
    pub(super) bed: ApiBed,
    tripwire: Tripwire,
}

impl Guarded {
    /// Every tunnel is permitted: what is refused here, is refused whatever policies say.
    pub(super) fn start(name: &str) -> Self {
        let tripwire = Tripwire::start();
        let egress = "\n[egress]\nlisten = \"127.0.0.1:0\"\ntls = \"off\"\nenvironment = \"production\"\n\
                      allow = [\"127.0.0.2/32\"]\nhosts = { \"chosen.test\" = \"127.0.0.1\" }\n";
        let also = "hosts = [\"api.test\"]\nunlisted = \"allow\"\n";
        let url = format!("http://127.0.0.1:{}", tripwire.port());
        let bed = Api::new(name).upstream("api", &url, also).also(egress).start();
        Self { bed, tripwire }
    }

    pub(super) fn authorization(&self) -> String {
        STANDARD.encode(format!("deploy:{}", self.bed.token("deploy")))
    }

    pub(super) fn open(&self, head: &str) -> (TcpStream, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.bed.gateway.listener("egress").port())).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
            answer.push(byte[0]);
        }
        (stream, String::from_utf8_lossy(&answer).into_owned())
    }

    /// Asks for a tunnel; the connection, and the head of the answer.
    pub(super) fn connect(&self, to: &str) -> (TcpStream, String) {
        let authorization = self.authorization();
        self.open(&format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\nProxy-Authorization: Basic {authorization}\r\n\r\n"))
    }
}

#[test]
fn ht12_nothing_but_the_public_internet_is_reached() {
    let guarded = Guarded::start("egress-ht12");
    let port = guarded.tripwire.port();
    for (host, status) in [
        ("localhost", "403"),
        ("LOCALHOST.", "403"),
        ("127.0.0.1", "403"),
        ("127.0.0.3", "403"),
        ("0.0.0.0", "403"),
        ("10.0.0.1", "403"),
        ("192.168.0.1", "403"),
        ("100.64.0.1", "403"),
        ("169.254.169.254", "403"),
        ("93.184.215.14", "403"),
        ("[::1]", "403"),
        ("[::ffff:127.0.0.1]", "403"),
        ("[::ffff:7f00:1]", "403"),
        ("[64:ff9b::7f00:1]", "403"),
        ("[2002:7f00:1::]", "403"),
        ("[fe80::1]", "403"),
        ("[fd00:ec2::254]", "403"),
        // What is no host at all.
        ("2130706433", "400"),
        ("0x7f000001", "400"),
        ("017700000001", "400"),
        ("0177.0.0.1", "400"),
        ("127.1", "400"),
        ("127.0.0.1.5", "400"),
        ("[fe80::1%25lo]", "400"),
        ("a@localhost", "400"),
        ("local%68ost", "400"),
    ] {
        let (_, answer) = guarded.connect(&format!("{host}:{port}"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{host}: {answer}");
        assert!(status == "400" || answer.contains("PAR0227"), "{host}: {answer}");
        let authorization = guarded.authorization();
        let head = format!(
            "GET http://{host}:{port}/latest/meta-data HTTP/1.1\r\nHost: {host}:{port}\r\n\
             Proxy-Authorization: Basic {authorization}\r\n\r\n"
        );
        let (_, answer) = guarded.open(&head);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{host}: {answer}");
    }
    assert!(guarded.tripwire.take().is_empty());
    // The twin, which the operator chose: its address, not its name, is what is dialled.
    let authorization = guarded.authorization();
    let head = format!(
        "GET http://chosen.test:{port}/twin HTTP/1.1\r\nHost: chosen.test:{port}\r\nProxy-Authorization: Basic {authorization}\r\n\r\n"
    );
    let (_, answer) = guarded.open(&head);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let got = String::from_utf8_lossy(&guarded.tripwire.take()).to_ascii_lowercase();
    assert!(got.starts_with("get /twin http/1.1\r\n") && !got.contains("proxy-authorization"), "{got}");
}

#[test]
fn ht05_tls_in_a_tunnel_is_for_the_host_that_was_judged() {
    let guarded = Guarded::start("egress-ht05");
    let to = format!("chosen.test:{}", guarded.tripwire.port());
    let (mut stream, answer) = guarded.connect(&to);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let twin = hello("chosen.test");
    stream.write_all(&twin).unwrap();
    let mut got = Vec::new();
    crate::bed::wait::until("the twin", Duration::from_secs(20), || {
        got.extend(guarded.tripwire.take());
        (got.len() >= twin.len()).then_some(())
    });
    assert_eq!(got, twin);
    drop(stream);
    for (what, bytes) in [
        ("another name", hello("evil.test")),
        ("no name", hello("127.0.0.1")),
        ("no TLS", b"GET /smuggled HTTP/1.1\r\nHost: chosen.test\r\n\r\n".to_vec()),
        ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
    ] {
        let (mut stream, answer) = guarded.connect(&to);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{what}: {answer}");
        stream.write_all(&bytes).unwrap();
        let mut rest = Vec::new();
        drop(stream.read_to_end(&mut rest));
        // A fatal alert of TLS, and the end.
        assert_eq!(rest, [0x15, 3, 1, 0, 2, 2, 0x70], "{what}");
    }
    assert!(guarded.tripwire.take().is_empty());
    // A request whose target and Host differ, and one that comes before the answer (HT11).
    let (port, authorization) = (guarded.tripwire.port(), guarded.authorization());
    for (what, head) in [
        (
            "Host",
            format!(
                "CONNECT {to} HTTP/1.1\r\nHost: evil.test:443\r\nProxy-Authorization: Basic {authorization}\r\n\r\n"
            ),
        ),
        (
            "two Hosts",
            format!(
                "CONNECT {to} HTTP/1.1\r\nHost: {to}\r\nHost: {to}\r\nProxy-Authorization: Basic {authorization}\r\n\r\n"
            ),
        ),
        (
            "absolute form",
            format!(
                "GET http://chosen.test:{port}/ HTTP/1.1\r\nHost: evil.test\r\nProxy-Authorization: Basic {authorization}\r\n\r\n"
            ),
        ),
        (
            "early bytes",
            format!(
                "CONNECT {to} HTTP/1.1\r\nHost: {to}\r\nProxy-Authorization: Basic {authorization}\r\n\r\nGET /early HTTP/1.1\r\n\r\n"
            ),
        ),
    ] {
        let (_, answer) = guarded.open(&head);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{what}: {answer}");
    }
    assert!(guarded.tripwire.take().is_empty());
}

#[test]
fn ht13_a_look_inside_is_for_the_host_alone() {
    let guarded = Guarded::start("egress-ht13");
    // The host that is looked into, with TLS for another, and with no TLS at all.
    for bytes in [hello("evil.test"), hello("127.0.0.1"), b"GET / HTTP/1.1\r\nHost: api.test\r\n\r\n".to_vec()] {
        let (mut stream, answer) = guarded.connect("api.test:443");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        stream.write_all(&bytes).unwrap();
        let mut rest = Vec::new();
        drop(stream.read_to_end(&mut rest));
        assert_eq!(rest, [0x15, 3, 1, 0, 2, 2, 0x70]);
    }
    assert!(guarded.tripwire.take().is_empty());
}
