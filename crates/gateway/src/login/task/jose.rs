//! Signed texts of our own making, and of holders of our tokens: compact JWS with one exact `typ`, ES256 or EdDSA, and a key
//! that the caller finds or that the header shows. Read more strictly than RFC 7515 demands; written in one form.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::login::json::{self, Json, Object};
use crate::login::jwks::{self, Purpose, SignatureAlgorithm, VerifyingKey};

/// The longest text, in bytes.
pub(in crate::login) const LONGEST: usize = 16 * 1024;

/// A signed text whose signature is still to be verified.
pub(in crate::login) struct Signed<'t> {
    algorithm: SignatureAlgorithm,
    /// Which key signed, for texts whose key is found by its id.
    pub(in crate::login) kid: Option<String>,
    /// The key in the header, for texts that show theirs.
    pub(in crate::login) key: Option<PublicKey>,
    claims: Vec<u8>,
    message: &'t str,
    signature: &'t str,
}

impl<'t> Signed<'t> {
    /// Reads a text of this `typ`. Header members besides `typ`, `alg`, and `kid` or `jwk` are refused.
    pub(in crate::login) fn parse(text: &'t str, typ: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let (message, signature) = text.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let decoded = |part| URL_SAFE_NO_PAD.decode(part).ok();
        let (header, claims) = (json::object(&decoded(header)?)?, decoded(claims)?);
        decoded(signature)?;
        let member = |name: &str| match header.get(name) {
            Some(Json::Text(text)) => Some(text.as_str()),
            _ => None,
        };
        let known = |name: &str| matches!(name, "typ" | "alg" | "kid" | "jwk");
        if member("typ") != Some(typ) || !header.keys().all(|name| known(name)) {
            return None;
        }
        let algorithm = SignatureAlgorithm::named(member("alg")?)
            .filter(|found| matches!(found, SignatureAlgorithm::Es256 | SignatureAlgorithm::EdDsa))?;
        let (kid, key) = match (header.get("kid"), header.get("jwk")) {
            (Some(Json::Text(kid)), None) => (Some(kid.clone()), None),
            (None, Some(Json::Object(jwk))) => (None, Some(PublicKey::read(jwk)?)),
            _ => return None,
        };
        Some(Self { algorithm, kid, key, claims, message, signature })
    }

    /// Is it signed by this key?
    pub(in crate::login) fn is_by(&self, key: &VerifyingKey) -> bool {
        key.verifies(self.algorithm, self.message.as_bytes(), self.signature)
    }

    /// Its claims, without a word on who signed them.
    pub(in crate::login) fn claims(&self) -> &[u8] {
        &self.claims
    }

    /// SHA-256 of what is signed: the same whatever form a signature over it has.
    pub(in crate::login) fn mark(&self) -> [u8; 32] {
        sha256(self.message.as_bytes())
    }
}

/// The `typ` of a compact JWS, unverified: to choose who is to verify it.
pub(in crate::login) fn typ(text: &str) -> Option<String> {
    let header = URL_SAFE_NO_PAD.decode(text.get(..text.len().min(LONGEST))?.split_once('.')?.0).ok()?;
    match json::object(&header)?.remove("typ") {
        Some(Json::Text(typ)) => Some(typ),
        _ => None,
    }
}

pub(in crate::login) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// A public key that somebody shows: P-256 or Ed25519.
#[derive(Clone)]
pub struct PublicKey {
    thumbprint: String,
    jwk: Value,
    key: Arc<VerifyingKey>,
}

impl PublicKey {
    /// Reads a JWK that holds a public key and nothing else: a private one that is shown is no longer private.
    fn read(jwk: &Object) -> Option<Self> {
        let member = |name: &str| match jwk.get(name) {
            Some(Json::Text(text)) => Some(text.as_str()),
            _ => None,
        };
        let (kty, crv, x) = (member("kty")?, member("crv")?, member("x")?);
        let (members, canonical) = match (kty, crv) {
            ("EC", "P-256") => {
                let y = member("y")?;
                let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, json!(x), json!(y));
                (["kty", "crv", "x", "y"].as_slice(), canonical)
            }
            ("OKP", "Ed25519") => {
                (["kty", "crv", "x"].as_slice(), format!(r#"{{"crv":"Ed25519","kty":"OKP","x":{}}}"#, json!(x)))
            }
            _ => return None,
        };
        if !jwk.keys().all(|name| members.contains(&name.as_str()) || matches!(name.as_str(), "alg" | "use" | "kid")) {
            return None;
        }
        // RFC 7638, section 3: the required members alone, in the order of their names, without white space.
        let thumbprint = URL_SAFE_NO_PAD.encode(sha256(canonical.as_bytes()));
        let jwk: Value = serde_json::from_str(&canonical).ok()?;
        let mut named = jwk.clone();
        named.as_object_mut()?.insert("kid".to_owned(), json!("shown"));
        let set = json!({ "keys": [named] }).to_string();
        let key = jwks::parse(set.as_bytes(), Purpose::Tokens).ok()?.remove("shown")?;
        Some(Self { thumbprint, jwk, key })
    }

    /// Reads the text of a JWK.
    pub fn parse(text: &str) -> Option<Self> {
        Self::read(&json::object(text.as_bytes())?)
    }

    /// Its JWK, in canonical form.
    pub fn jwk(&self) -> &Value {
        &self.jwk
    }

    /// SHA-256 of its canonical form, in base64url (RFC 7638).
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    pub(in crate::login) fn key(&self) -> &VerifyingKey {
        &self.key
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey").field("thumbprint", &self.thumbprint).finish_non_exhaustive()
    }
}

/// No key could be made, read or used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key is none, or cannot be used")]
pub struct KeyError;

/// A key pair for ES256: Parapet's own, or that of a token's holder.
pub struct KeyPair {
    pair: EcdsaKeyPair,
    public: PublicKey,
}

impl KeyPair {
    /// A new one, with the PKCS #8 form to keep.
    pub fn generate() -> Result<(Self, zeroize::Zeroizing<Vec<u8>>), KeyError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| KeyError)?;
        let form = zeroize::Zeroizing::new(pair.to_pkcs8v1().map_err(|_| KeyError)?.as_ref().to_vec());
        Ok((Self::of(pair)?, form))
    }

    /// From the PKCS #8 form.
    pub fn read(form: &[u8]) -> Result<Self, KeyError> {
        Self::of(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, form).map_err(|_| KeyError)?)
    }

    fn of(pair: EcdsaKeyPair) -> Result<Self, KeyError> {
        // Uncompressed: a byte 4, then both coordinates of 32 bytes.
        let point = pair.public_key().as_ref();
        let (x, y) = point.get(1..33).zip(point.get(33..65)).ok_or(KeyError)?;
        let jwk =
            json!({ "kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y) });
        let public = PublicKey::parse(&jwk.to_string()).ok_or(KeyError)?;
        Ok(Self { pair, public })
    }

    /// Its public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs claims under a header with this `typ`, and the key's id or, for a holder's, the key itself.
    pub(in crate::login) fn sign(&self, typ: &str, shows_key: bool, claims: &Value) -> Result<String, KeyError> {
        let header = match shows_key {
            true => json!({ "typ": typ, "alg": "ES256", "jwk": self.public.jwk }),
            false => json!({ "typ": typ, "alg": "ES256", "kid": self.public.thumbprint }),
        };
        let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encoded(&header), encoded(claims));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).map_err(|_| KeyError)?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("public", &self.public).finish_non_exhaustive()
    }
}
