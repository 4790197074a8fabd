//! Proof of possession of a key with each HTTP request (RFC 9449). A proof counts once, for one method and one place, and only
//! with a nonce that Parapet gave out lately.
//!
//! Nothing of it is an attestation: it says which key somebody has, never who they are.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::ports::{Clock, Spent, SpentTokens};
use kernel::time::Timestamp;
use kernel::trust::OnceToken;
use serde::Deserialize;

use super::task::jose::{self, Signed};
use super::task::{KeyError, KeyPair, PublicKey};

/// The `typ` of a proof.
const TYP: &str = "dpop+jwt";
/// How far a proof's time may be off.
const LEEWAY: Duration = Duration::from_secs(60);
/// How long a nonce is given out; it is taken for as long again.
const NONCE: i64 = 120_000;
/// The longest `jti`, in bytes.
const LONGEST_ID: usize = 256;

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DpopRefusal {
    /// Its form, or the key in it.
    #[error("it is no DPoP proof with a public key of P-256 or Ed25519")]
    Form,
    /// Its claims.
    #[error("its claims are not those of a DPoP proof")]
    Claims,
    /// Its signature.
    #[error("it is not signed by the key that it shows")]
    Signature,
    /// For another method or place.
    #[error("it is for another method or place")]
    Place,
    /// Too old, or not yet.
    #[error("its time is not now")]
    Time,
    /// For another token, or for none where one is shown.
    #[error("it is for another token")]
    Token,
    /// Without a nonce of ours, or with an old one.
    #[error("it needs a nonce that was given out lately")]
    Nonce,
    /// Shown before (hazard ID01).
    #[error("it was shown before")]
    Replayed,
    /// Whether it was shown before cannot be found out.
    #[error("whether it was shown before cannot be found out")]
    Unspendable,
}

#[derive(Deserialize)]
struct Claims {
    htm: String,
    htu: String,
    iat: i64,
    jti: String,
    #[serde(default)]
    nonce: Option<String>,
    #[serde(default)]
    ath: Option<String>,
}

/// Where a proof is shown.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The text of the header, which stood there once.
    pub proof: &'a str,
    /// The method of the request.
    pub method: &'a str,
    /// The place that was asked, as Parapet itself names it, without query and fragment.
    pub place: &'a str,
    /// The token that the proof must be for, where one is used to get in.
    pub token: Option<&'a str>,
}

/// Verifies proofs.
pub struct DpopProofs {
    spent: Arc<dyn SpentTokens>,
    clock: Arc<dyn Clock>,
    /// Made at the start: a nonce outlives no restart, and who shows an old one is given another.
    key: hmac::Key,
}

impl fmt::Debug for DpopProofs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DpopProofs").finish_non_exhaustive()
    }
}

impl DpopProofs {
    /// With the memory of what was shown, which all nodes share.
    pub fn new(spent: Arc<dyn SpentTokens>, clock: Arc<dyn Clock>) -> Self {
        let secret: Vec<u8> = (0..4).flat_map(|_| clock.random().to_be_bytes()).collect();
        Self { spent, clock, key: hmac::Key::new(hmac::HMAC_SHA256, &secret) }
    }

    /// The nonce to be used now.
    pub fn nonce(&self) -> String {
        self.nonce_of(self.clock.now().millis().div_euclid(NONCE))
    }

    fn nonce_of(&self, window: i64) -> String {
        let tag = hmac::sign(&self.key, &window.to_be_bytes());
        URL_SAFE_NO_PAD.encode(tag.as_ref().get(..18).unwrap_or_default())
    }

    /// Verifies a proof, and spends it: which key is it of?
    pub async fn verify(&self, shown: Shown<'_>) -> Result<PublicKey, DpopRefusal> {
        let signed = Signed::parse(shown.proof, TYP).ok_or(DpopRefusal::Form)?;
        let key = signed.key.clone().ok_or(DpopRefusal::Form)?;
        if !signed.is_by(key.key()) {
            return Err(DpopRefusal::Signature);
        }
        let claims: Claims = serde_json::from_slice(signed.claims()).map_err(|_| DpopRefusal::Claims)?;
        if claims.jti.is_empty() || claims.jti.len() > LONGEST_ID {
            return Err(DpopRefusal::Claims);
        }
        let place = claims.htu.split(['?', '#']).next().unwrap_or_default();
        if claims.htm != shown.method || place != shown.place {
            return Err(DpopRefusal::Place);
        }
        let now = self.clock.now();
        let issued = Timestamp::from_secs(claims.iat.clamp(0, 253_402_300_799));
        if issued > now.after(LEEWAY) || issued.after(LEEWAY) < now {
            return Err(DpopRefusal::Time);
        }
        let wanted = shown.token.map(|token| URL_SAFE_NO_PAD.encode(jose::sha256(token.as_bytes())));
        if wanted.is_some() && claims.ath != wanted {
            return Err(DpopRefusal::Token);
        }
        let window = now.millis().div_euclid(NONCE);
        let known = |nonce: &String| [window, window - 1].iter().any(|window| self.nonce_of(*window) == *nonce);
        if !claims.nonce.as_ref().is_some_and(known) {
            return Err(DpopRefusal::Nonce);
        }
        let once = OnceToken {
            issuer: format!("dpop {}", key.thumbprint()).into(),
            id: claims.jti,
            until: issued.after(LEEWAY * 2),
        };
        match self.spent.spend(&once).await {
            Ok(Spent::Consumed) => Ok(key),
            Ok(Spent::AlreadyUsed) => Err(DpopRefusal::Replayed),
            Err(error) => {
                tracing::error!(%error, "a DPoP proof cannot be spent");
                Err(DpopRefusal::Unspendable)
            }
        }
    }
}

/// A proof to be signed, by who holds a key.
#[derive(Clone, Copy, Debug)]
pub struct NewProof<'a> {
    /// The method of the request.
    pub method: &'a str,
    /// Where it goes, without query and fragment.
    pub place: &'a str,
    /// The nonce that was given out.
    pub nonce: Option<&'a str>,
    /// The token that is used to get in.
    pub token: Option<&'a str>,
    /// Its `jti`, which nobody can guess.
    pub id: &'a str,
    /// When.
    pub at: Timestamp,
}

/// Signs a proof.
pub fn prove(pair: &KeyPair, new: &NewProof<'_>) -> Result<String, KeyError> {
    let mut claims =
        serde_json::json!({ "htm": new.method, "htu": new.place, "iat": new.at.millis() / 1000, "jti": new.id });
    if let Some(members) = claims.as_object_mut() {
        members.extend(new.nonce.map(|nonce| ("nonce".to_owned(), nonce.into())));
        let hash = |token: &str| URL_SAFE_NO_PAD.encode(jose::sha256(token.as_bytes()));
        members.extend(new.token.map(|token| ("ath".to_owned(), hash(token).into())));
    }
    pair.sign(TYP, true, &claims)
}

#[cfg(test)]
mod tests;
