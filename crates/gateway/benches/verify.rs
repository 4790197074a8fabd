//! What verifying a token and finding its workload costs, with the issuer's keys cached and 1,000 trust rules: processor time for
//! each algorithm, whatever else the machine does, and what that makes a second on one processor.

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a bench prints, measures, and stops where it cannot be set up"
)]

use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
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
use kernel::trust::{Claims, Trust, TrustRule};
use kernel::workload::{Name, Person, Workload, WorkloadKind, WorkloadStatus};
use parapet_gateway::login::jwks::{Freshness, JwksSource, SignatureAlgorithm};
use parapet_gateway::login::oidc::{IssuerSettings, Issuers};
use parapet_gateway::upstream::dial::Dialler;
use parapet_gateway::upstream::fetch::Fetcher;
use serde_json::{Value, json};

const ISSUER: &str = "https://token.actions.githubusercontent.com";
const NOW: i64 = 1_800_000_000;
const RULES: usize = 1000;
/// More tokens than signatures are remembered of.
const TOKENS: usize = 5000;

#[derive(Debug)]
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(NOW)
    }

    fn random(&self) -> u64 {
        7
    }
}

enum Key {
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Key {
    fn jwk(&self, algorithm: &str) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Rsa(pair, _) => {
                let public = pair.public_key();
                let n = encode(public.modulus().big_endian_without_leading_zero());
                let e = encode(public.exponent().big_endian_without_leading_zero());
                json!({"kty": "RSA", "alg": algorithm, "kid": algorithm, "n": n, "e": e})
            }
            Self::Ec(pair) => {
                let (x, y) = pair.public_key().as_ref().get(1..).expect("a point").split_at(32);
                json!({"kty": "EC", "crv": "P-256", "kid": algorithm, "x": encode(x), "y": encode(y)})
            }
            Self::Ed(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": algorithm, "x": encode(pair.public_key().as_ref())})
            }
        }
    }

    fn token(&self, algorithm: &str, claims: &Value) -> String {
        let header = json!({"alg": algorithm, "typ": "JWT", "kid": algorithm}).to_string();
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let random = SystemRandom::new();
        let signature = match self {
            Self::Rsa(pair, padding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*padding, &random, message.as_bytes(), &mut signature).expect("a signature");
                signature
            }
            Self::Ec(pair) => pair.sign(&random, message.as_bytes()).expect("a signature").as_ref().to_vec(),
            Self::Ed(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// What GitHub writes for a run.
fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "parapet", "iat": NOW - 10, "nbf": NOW - 10, "exp": NOW + 590, "jti": "6b1c7a2e",
        "sub": "repo:shop/api:environment:production", "ref": "refs/heads/main", "ref_type": "branch",
        "ref_protected": "true", "sha": "c0ffee", "repository": "shop/api", "repository_id": "500",
        "repository_owner": "shop", "repository_owner_id": "11", "repository_visibility": "private",
        "environment": "production", "event_name": "push", "workflow": "deploy", "run_id": "77", "run_attempt": "1",
        "run_number": "5", "actor": "mara", "actor_id": "9", "head_ref": "", "base_ref": "",
        "workflow_ref": "shop/api/.github/workflows/deploy.yml@refs/heads/main",
        "job_workflow_ref": "shop/api/.github/workflows/deploy.yml@refs/heads/main",
        "runner_environment": "github-hosted"
    })
}

/// Gives one key set to whoever asks.
fn serve(keys: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 4096];
            let _whole = stream.read(&mut head);
            let answer =
                format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{keys}", keys.len());
            let _gone = stream.write_all(answer.as_bytes());
        }
    });
    port
}

/// How long this thread has run on a processor (Linux).
fn on_processor() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanoseconds = text.split_whitespace().next().and_then(|field| field.parse().ok());
    Duration::from_nanos(nanoseconds.expect("a number"))
}

fn name(number: usize) -> Name {
    format!("w{number}").parse().expect("a name")
}

fn trust() -> Trust {
    let rules = (0..RULES).map(|number| {
        let bound = [("repository_id", number.to_string()), ("ref", "refs/heads/main".to_owned())];
        let claims: Claims = bound.into_iter().map(|(claim, value)| (claim.to_owned(), value)).collect();
        TrustRule::new(ISSUER, claims, name(number))
    });
    Trust::new(rules.collect())
}

fn workload(name: &Name) -> Workload {
    Workload {
        name: name.clone(),
        owner: Person("mara@example.com".into()),
        kind: WorkloadKind::Ci,
        environment: "production".parse().expect("a name"),
        purpose: "benches".to_owned(),
        groups: [].into(),
        expires: None,
        status: WorkloadStatus::Active,
        risk: 0,
    }
}

fn main() {
    let keys = [
        ("RS256", Key::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"), &RSA_PKCS1_SHA256)),
        ("PS256", Key::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"), &RSA_PSS_SHA256)),
        ("ES256", Key::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key"))),
        ("EdDSA", Key::Ed(Ed25519KeyPair::generate().expect("a key"))),
    ];
    let set: Vec<Value> = keys.iter().map(|(algorithm, key)| key.jwk(algorithm)).collect();
    let port = serve(json!({ "keys": set }).to_string());
    let settings = IssuerSettings {
        issuer: ISSUER.to_owned(),
        audience: "parapet".to_owned(),
        algorithms: keys.iter().filter_map(|(algorithm, _)| SignatureAlgorithm::named(algorithm)).collect(),
        jwks: JwksSource::url(&format!("http://127.0.0.1:{port}/keys")).expect("a place"),
        max_lifetime: Duration::from_secs(86_400),
        freshness: Freshness::default(),
    };
    let clock: Arc<dyn Clock> = Arc::new(Stopped);
    let issuers = Issuers::new(vec![settings], &Fetcher::new(Dialler::new(), None), clock).expect("an issuer");
    let (trust, owner) = (trust(), workload(&name(500)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for (algorithm, key) in &keys {
        let of = |run: usize| {
            let mut claims = claims();
            let members = claims.as_object_mut().expect("an object");
            members.insert("run_id".to_owned(), json!(run.to_string()));
            key.token(algorithm, &claims)
        };
        let tokens: Vec<String> = (0..TOKENS).map(of).collect();
        for (which, tokens) in [("fresh", tokens.as_slice()), ("again", tokens.get(..1).unwrap_or_default())] {
            let took = runtime.block_on(async {
                let mut next = tokens.iter().cycle();
                let mut verify = async || {
                    let attestation = issuers.verify(next.next().expect("one")).await.expect("a good token");
                    let find = |wanted: &Name| (owner.name == *wanted).then_some(&owner);
                    black_box(trust.authenticate(&attestation, Some("w500"), find, Timestamp::from_secs(NOW)))
                        .expect("a workload");
                };
                // The first fetches the keys.
                verify().await;
                let mut rounds = 64_u32;
                loop {
                    let began = on_processor();
                    for _round in 0..rounds {
                        verify().await;
                    }
                    let elapsed = on_processor() - began;
                    if elapsed > Duration::from_millis(700) {
                        return elapsed / rounds;
                    }
                    rounds *= 2;
                }
            });
            let (rate, took) = (1_000_000_000 / took.as_nanos().max(1), took.as_nanos());
            println!("verify and match, {RULES} rules, {algorithm}, {which}: {took:>6} ns, {rate:>6} a second");
        }
    }
}
