//! A mock of an SSF transmitter, since there is no real one to start: it signs real security event tokens with a key of its own,
//! pushes them, and answers polls. What it signs is as the test says, good or bad.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::folder::Folder;
use super::issuer;

/// Its `iss`.
pub(crate) const NAME: &str = "https://idp.example";
/// The `aud` of its events.
pub(crate) const AUDIENCE: &str = "https://parapet.example/ssf";
/// The token by which it pushes.
pub(crate) const TOKEN: &str = "a token that the transmitter was given";
const KEY_ID: &str = "set-key-1";

/// The transmitter.
#[derive(Debug)]
pub(crate) struct Transmitter {
    key: RsaKeyPair,
    jwks: PathBuf,
    issued: AtomicU64,
    /// Its own folder, if it has one: it goes with it.
    _folder: Option<Folder>,
}

impl Transmitter {
    /// One with a folder of its own.
    pub(crate) fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        let transmitter = Self::within(&folder, "set-jwks.json");
        Self { _folder: Some(folder), ..transmitter }
    }

    /// Makes a key and writes its public half into a file of the folder.
    pub(crate) fn within(folder: &Folder, file: &str) -> Self {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let public = key.public_key();
        let n = URL_SAFE_NO_PAD.encode(public.modulus().big_endian_without_leading_zero());
        let e = URL_SAFE_NO_PAD.encode(public.exponent().big_endian_without_leading_zero());
        let keys = json!({"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID, "n": n, "e": e}]});
        Self { key, jwks: folder.write(file, &keys.to_string()), issued: AtomicU64::new(0), _folder: None }
    }

    /// The file with its public keys.
    pub(crate) fn jwks(&self) -> &PathBuf {
        &self.jwks
    }

    /// Signs a header and claims as they are.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(header), encode(claims));
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Claims of a good event.
    pub(crate) fn claims(&self, event: &str, payload: &Value, subject: &Value) -> Value {
        let number = self.issued.fetch_add(1, Ordering::SeqCst);
        json!({
            "iss": NAME, "aud": AUDIENCE, "iat": issuer::now(), "jti": format!("event-{number}"),
            "sub_id": subject, "events": {event: payload},
        })
    }

    /// A good event of CAEP.
    pub(crate) fn caep(&self, event: &str, payload: &Value, subject: &Value) -> String {
        let event = format!("https://schemas.openid.net/secevent/caep/event-type/{event}");
        self.sign(&header(), &self.claims(&event, payload, subject))
    }
}

/// The header of a good event.
pub(crate) fn header() -> Value {
    json!({"alg": "RS256", "typ": "secevent+jwt", "kid": KEY_ID})
}

/// The workload as its own issuer's subject.
pub(crate) fn opaque(id: &str) -> Value {
    json!({"format": "opaque", "id": id})
}

/// Pushes an event to a gateway's port; status and body of the answer.
pub(crate) fn push(port: u16, stream: &str, token: Option<&str>, set: &str) -> (u16, String) {
    let authorization = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    post(port, &format!("/ssf/push/{stream}"), "application/secevent+jwt", &authorization, set)
}

/// Posts a body; status and body of the answer.
pub(crate) fn post(port: u16, path: &str, kind: &str, headers: &str, body: &str) -> (u16, String) {
    ask(
        port,
        &format!(
            "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-type: {kind}\r\n{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        ),
    )
}

/// Sends a request as it is; status and body of the answer.
pub(crate) fn ask(port: u16, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no answer of HTTP: {answer}")), body.to_owned())
}

/// A server of polls: what waits is given at each poll until it is acknowledged.
#[derive(Debug)]
pub(crate) struct Polled {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<BTreeMap<String, String>>,
    refused: Mutex<Vec<String>>,
    asked: Mutex<Vec<Value>>,
}

impl Polled {
    /// Starts it; its thread ends with the tests' process.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::<Shared>::default();
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| serve(stream, &serving)));
        Self { port, shared }
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Lets an event wait to be polled, by its `jti`.
    pub(crate) fn offer(&self, jti: &str, set: &str) {
        self.shared.waiting.lock().unwrap().insert(jti.to_owned(), set.to_owned());
    }

    /// The events that are not acknowledged.
    pub(crate) fn waiting(&self) -> Vec<String> {
        self.shared.waiting.lock().unwrap().keys().cloned().collect()
    }

    /// The codes of the events that were refused.
    pub(crate) fn refused(&self) -> Vec<String> {
        self.shared.refused.lock().unwrap().clone()
    }

    /// The requests for verification events.
    pub(crate) fn asked(&self) -> Vec<Value> {
        self.shared.asked.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) {
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut request = Vec::new();
    let mut part = [0; 4096];
    let (path, body) = loop {
        let Ok(read @ 1..) = stream.read(&mut part) else { return };
        request.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ").map(str::to_owned));
        if body.len() >= length.and_then(|length| length.trim().parse().ok()).unwrap_or(0) {
            break (head.split(' ').nth(1).unwrap().to_owned(), serde_json::from_str::<Value>(body).unwrap());
        }
    };
    let answer = if path == "/verify" {
        shared.asked.lock().unwrap().push(body);
        json!({})
    } else {
        let mut waiting = shared.waiting.lock().unwrap();
        for ack in body["ack"].as_array().into_iter().flatten() {
            waiting.remove(ack.as_str().unwrap());
        }
        for (jti, error) in body["setErrs"].as_object().into_iter().flatten() {
            waiting.remove(jti);
            shared.refused.lock().unwrap().push(error["err"].as_str().unwrap().to_owned());
        }
        json!({ "sets": *waiting, "moreAvailable": false })
    };
    let answer = answer.to_string();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length:";
    let _gone = write!(stream, "{head} {}\r\n\r\n{answer}", answer.len());
}

/// A door that leads nowhere until it is told to which port of this machine it leads.
#[derive(Debug)]
pub(crate) struct Front {
    port: u16,
    leads_to: Arc<std::sync::atomic::AtomicU16>,
}

impl Front {
    /// Opens it.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let leads_to = Arc::new(std::sync::atomic::AtomicU16::new(0));
        let leading = Arc::clone(&leads_to);
        std::thread::spawn(move || {
            for inner in listener.incoming().flatten() {
                let Ok(outer) = TcpStream::connect(("127.0.0.1", leading.load(Ordering::SeqCst))) else { continue };
                for (mut from, mut to) in [
                    (inner.try_clone().unwrap(), outer.try_clone().unwrap()),
                    (outer.try_clone().unwrap(), inner.try_clone().unwrap()),
                ] {
                    std::thread::spawn(move || {
                        let _ended = std::io::copy(&mut from, &mut to);
                        let _closed = to.shutdown(std::net::Shutdown::Write);
                    });
                }
            }
        });
        Self { port, leads_to }
    }

    /// Where it stands.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// From now on it leads there.
    pub(crate) fn lead_to(&self, port: u16) {
        self.leads_to.store(port, Ordering::SeqCst);
    }
}
