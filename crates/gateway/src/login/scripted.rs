//! What the tests of logins and fetches share: a clock that stands where it is put, and an HTTP server on loopback that gives
//! the answer that it is told, and counts; and issuers' keys. Not built into the product.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaEncoding, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::ports::Clock;
use kernel::time::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::lanes::Lanes;
use crate::listen::{Host, accept_loop};
use crate::tasks::Tasks;

/// The time at which scripted clocks begin, in seconds.
pub(crate) const NOW: i64 = 1_800_000_000;

/// A clock that moves when told.
#[derive(Debug)]
pub(crate) struct ScriptedClock(AtomicI64);

impl ScriptedClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(NOW * 1000)))
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.0.fetch_add(i64::try_from(time.as_millis()).unwrap_or(0), Ordering::SeqCst);
    }

    pub(crate) fn set_back(&self, time: Duration) {
        self.0.fetch_sub(i64::try_from(time.as_millis()).unwrap_or(0), Ordering::SeqCst);
    }
}

impl Clock for ScriptedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }

    fn random(&self) -> u64 {
        7
    }
}

/// One lane for what a test accepts.
pub(crate) fn host(tasks: &Tasks) -> Host {
    let lanes = Lanes::start(std::num::NonZeroUsize::MIN, 1 << 20, &tokio::runtime::Handle::current()).unwrap();
    Host { tasks: tasks.clone(), lanes: Arc::new(lanes) }
}

/// An HTTP server that gives one answer to everything.
#[derive(Debug)]
pub(crate) struct Server {
    port: u16,
    shared: Arc<Shared>,
    _tasks: Tasks,
}

#[derive(Debug)]
struct Shared {
    answer: Mutex<String>,
    request: Mutex<String>,
    count: AtomicUsize,
}

impl Server {
    pub(crate) async fn start(answer: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            answer: Mutex::new(answer.to_owned()),
            request: Mutex::default(),
            count: AtomicUsize::new(0),
        });
        let tasks = Tasks::new();
        let serving = Arc::clone(&shared);
        let looping = accept_loop(listener, 100, host(&tasks), "scripted", move |mut stream, _peer| {
            let shared = Arc::clone(&serving);
            async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => break,
                    }
                }
                shared.count.fetch_add(1, Ordering::SeqCst);
                *shared.request.lock().unwrap() = String::from_utf8_lossy(&head).into_owned();
                let answer = shared.answer.lock().unwrap().clone();
                // A client that has read enough closes, so that the rest cannot be written.
                drop(stream.write_all(answer.as_bytes()).await);
                drop(stream.shutdown().await);
            }
        });
        tasks.spawn("scripted listener", looping);
        Self { port, shared, _tasks: tasks }
    }

    pub(crate) async fn with_document(document: &str) -> Self {
        Self::start(&ok(document)).await
    }

    pub(crate) fn answer_with(&self, answer: &str) {
        answer.clone_into(&mut self.shared.answer.lock().unwrap());
    }

    pub(crate) fn answer_with_document(&self, document: &str) {
        self.answer_with(&ok(document));
    }

    pub(crate) fn location(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn requests(&self) -> usize {
        self.shared.count.load(Ordering::SeqCst)
    }

    pub(crate) fn last_request(&self) -> String {
        self.shared.request.lock().unwrap().clone()
    }
}

fn ok(document: &str) -> String {
    // Content types are not trusted, so that a wrong one does no harm.
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{document}", document.len())
}

/// A key pair of an issuer.
pub(crate) enum IssuerKey {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl IssuerKey {
    pub(crate) fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    pub(crate) fn ec() -> Self {
        Self::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub(crate) fn ed() -> Self {
        Self::Ed(Ed25519KeyPair::generate().unwrap())
    }

    /// Its public half as a JWK without `alg` and `use`.
    pub(crate) fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Rsa(pair) => {
                let public = pair.public_key();
                let n = URL_SAFE_NO_PAD.encode(public.modulus().big_endian_without_leading_zero());
                let e = URL_SAFE_NO_PAD.encode(public.exponent().big_endian_without_leading_zero());
                json!({"kty": "RSA", "kid": kid, "n": n, "e": e})
            }
            Self::Ec(pair) => {
                // Uncompressed: 4, x, y.
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
                json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": x, "y": y})
            }
            Self::Ed(pair) => {
                let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x})
            }
        }
    }

    pub(crate) fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let padding: &'static dyn RsaEncoding =
                    if algorithm == "PS256" { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signature).unwrap();
                signature
            }
            Self::Ec(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// A token of a header and claims as they stand.
    pub(crate) fn token(&self, header: &str, claims: &str) -> String {
        let algorithm = serde_json::from_str::<Value>(header)
            .ok()
            .and_then(|header| Some(header.get("alg")?.as_str()?.to_owned()))
            .unwrap_or_default();
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.sign(&algorithm, message.as_bytes()));
        format!("{message}.{signature}")
    }
}

/// A key set.
pub(crate) fn key_set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}
