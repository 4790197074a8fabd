//! The keys of a JWK set (RFC 7517) that may verify signatures, and the algorithms that they may verify. A key's own type fixes
//! its algorithm; a token's header never does (RFC 8725, section 3.1; hazard ID07).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{KeysError, LONGEST_KID, MOST_KEYS};
use crate::login::json::{self, Json, Object};

/// A signature algorithm of RFC 7518 or RFC 8037 that is accepted. `none` and the HMACs are not among them, so that no
/// configuration can let them in (hazard ID07).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SignatureAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl SignatureAlgorithm {
    /// By its name in a header or a key.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "PS256" => Some(Self::Ps256),
            "ES256" => Some(Self::Es256),
            "EdDSA" => Some(Self::EdDsa),
            _ => None,
        }
    }
}

/// What the keys of a set are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::login) enum Purpose {
    /// Tokens of an issuer: `use` is absent or `sig`.
    Tokens,
    /// JWT-SVIDs of a trust domain: `use` is `jwt-svid` (SPIFFE Trust Domain and Bundle, section 4.2).
    JwtSvids,
    /// JWT-SVIDs of a trust domain as the Workload API brings their keys: `use` may be absent there (SPIFFE Workload API,
    /// section 6.2.2), since nothing else stands in the set.
    WorkloadApi,
}

/// A key that may verify signatures. It is parsed once, for each algorithm that it may verify: parsing costs as much as verifying.
pub(in crate::login) struct VerifyingKey {
    pub(super) algorithms: &'static [SignatureAlgorithm],
    parsed: Vec<(SignatureAlgorithm, ParsedPublicKey)>,
}

impl VerifyingKey {
    /// May it verify signatures of this algorithm? Its type decides, and its own `alg`, if it has one.
    pub(in crate::login) fn fits(&self, algorithm: SignatureAlgorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Is `signature`, in base64url, that of `message` by this key?
    pub(in crate::login) fn verifies(&self, algorithm: SignatureAlgorithm, message: &[u8], signature: &str) -> bool {
        let parsed = self.parsed.iter().find(|(own, _)| *own == algorithm && self.fits(algorithm));
        let signature = URL_SAFE_NO_PAD.decode(signature).ok();
        parsed.zip(signature).is_some_and(|((_, key), signature)| key.verify_sig(message, &signature).is_ok())
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey").field("algorithms", &self.algorithms).finish_non_exhaustive()
    }
}

/// The keys of a set that can verify. Others, such as those for encryption or on other curves, are passed over: an issuer
/// may publish what does not concern us. A `kid` that stands twice names neither.
pub(in crate::login) fn parse(text: &[u8], purpose: Purpose) -> Result<HashMap<String, Arc<VerifyingKey>>, KeysError> {
    let mut set = json::object(text).ok_or(KeysError::NotKeys)?;
    let Some(Json::Array(keys)) = set.remove("keys") else { return Err(KeysError::NotKeys) };
    if keys.len() > MOST_KEYS {
        return Err(KeysError::TooMany);
    }
    let mut by_id: HashMap<String, Option<Arc<VerifyingKey>>> = HashMap::new();
    for key in &keys {
        let Json::Object(key) = key else { return Err(KeysError::NotKeys) };
        let Some((kid, key)) = usable(key, purpose) else { continue };
        by_id.entry(kid.to_owned()).and_modify(|known| *known = None).or_insert(Some(Arc::new(key)));
    }
    Ok(by_id.into_iter().filter_map(|(kid, key)| Some((kid, key?))).collect())
}

fn text<'o>(object: &'o Object, member: &str) -> Option<&'o str> {
    match object.get(member) {
        Some(Json::Text(text)) => Some(text),
        _ => None,
    }
}

fn usable(jwk: &Object, purpose: Purpose) -> Option<(&str, VerifyingKey)> {
    let kid = text(jwk, "kid").filter(|kid| !kid.is_empty() && kid.len() <= LONGEST_KID)?;
    let fits = match purpose {
        Purpose::Tokens => !jwk.contains_key("use") || text(jwk, "use") == Some("sig"),
        // The authorities of X.509-SVIDs stand in the same set, and must not sign tokens.
        Purpose::JwtSvids => text(jwk, "use") == Some("jwt-svid"),
        Purpose::WorkloadApi => !jwk.contains_key("use") || text(jwk, "use") == Some("jwt-svid"),
    };
    if !fits {
        return None;
    }
    match jwk.get("key_ops") {
        None => {}
        Some(Json::Array(operations)) if operations.contains(&Json::Text("verify".to_owned())) => {}
        Some(_) => return None,
    }
    let (algorithms, parsed): (&'static [SignatureAlgorithm], _) = match text(jwk, "kty")? {
        "RSA" => {
            let (modulus, exponent) = (number(text(jwk, "n")?)?, number(text(jwk, "e")?)?);
            if !(2048..=8192).contains(&(modulus.len() * 8)) {
                return None;
            }
            let components = RsaPublicKeyComponents { n: modulus, e: exponent };
            let parsed = vec![
                (SignatureAlgorithm::Rs256, components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).ok()?),
                (SignatureAlgorithm::Ps256, components.to_parsed_public_key(&RSA_PSS_2048_8192_SHA256).ok()?),
            ];
            (&[SignatureAlgorithm::Rs256, SignatureAlgorithm::Ps256], parsed)
        }
        "EC" if text(jwk, "crv") == Some("P-256") => {
            let (x, y) = (coordinate(text(jwk, "x")?)?, coordinate(text(jwk, "y")?)?);
            // An uncompressed point.
            let point = [&[4], x.as_slice(), &y].concat();
            let parsed = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok()?;
            (&[SignatureAlgorithm::Es256], vec![(SignatureAlgorithm::Es256, parsed)])
        }
        "OKP" if text(jwk, "crv") == Some("Ed25519") => {
            let parsed = ParsedPublicKey::new(&ED25519, coordinate(text(jwk, "x")?)?).ok()?;
            (&[SignatureAlgorithm::EdDsa], vec![(SignatureAlgorithm::EdDsa, parsed)])
        }
        _ => return None,
    };
    let algorithms = match jwk.get("alg") {
        None => algorithms,
        // The key is for one algorithm only: the other of its type is not its to verify (RFC 8725, section 3.1).
        Some(Json::Text(name)) => {
            let only = SignatureAlgorithm::named(name)?;
            let at = algorithms.iter().position(|algorithm| *algorithm == only)?;
            algorithms.get(at..=at)?
        }
        Some(_) => return None,
    };
    Some((kid, VerifyingKey { algorithms, parsed }))
}

/// A number of RSA: big-endian, without zeros before it.
fn number(text: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    Some(bytes.into_iter().skip_while(|byte| *byte == 0).collect())
}

/// A coordinate of a curve with 256 bits, of which none is left out.
fn coordinate(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() == 32)
}
