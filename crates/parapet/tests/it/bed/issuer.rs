//! An issuer of OIDC tokens with its own key, which signs whatever a test wants to see refused.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::folder::Folder;

/// Its name, the tokens' `iss`.
pub(crate) const NAME: &str = "https://issuer.example";
/// The tokens' `aud`.
pub(crate) const AUDIENCE: &str = "parapet";
const KEY_ID: &str = "test-key-1";

/// An issuer.
#[derive(Debug)]
pub(crate) struct Issuer {
    key: EcdsaKeyPair,
    jwks: PathBuf,
}

impl Issuer {
    /// Makes a key and writes its public half into the folder.
    pub(crate) fn new(folder: &Folder) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        // An uncompressed point: a byte 4, x, y.
        let point = key.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..65]));
        let keys = json!({"keys": [{"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": KEY_ID, "x": x, "y": y}]});
        let jwks = folder.write("jwks.json", &keys.to_string());
        Self { key, jwks }
    }

    /// The file with its public keys.
    pub(crate) fn jwks(&self) -> &PathBuf {
        &self.jwks
    }

    /// A good token.
    pub(crate) fn token(&self, workload: &str, life: Duration) -> String {
        self.sign(&header(), &claims(workload, life))
    }

    /// Signs a header and claims as they are.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    /// Signs texts as they are, which need not be JSON.
    pub(crate) fn sign_text(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.key.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

/// The header of a good token.
pub(crate) fn header() -> Value {
    json!({"alg": "ES256", "typ": "JWT", "kid": KEY_ID})
}

/// The claims of a good token.
pub(crate) fn claims(workload: &str, life: Duration) -> Value {
    let now = now();
    json!({"iss": NAME, "aud": AUDIENCE, "sub": format!("workload:{workload}"), "ref": "refs/heads/main", "iat": now, "exp": now + life.as_secs()})
}

/// Header and claims, encoded, without a signature.
pub(crate) fn unsigned(header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", encode(header), encode(claims))
}

/// The time, in seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}
