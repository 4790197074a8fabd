//! The issuer of `demo` and `dev`: a key in the state folder that signs short-lived workload tokens, and its JWK set. It
//! stands in for the identity provider that production has; whoever can read the folder can be any of its workloads.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use kernel::secret::Secret;
use kernel::time::Timestamp;
use kernel::workload::Name;
use serde_json::json;

/// Its `iss`.
pub(crate) const ISSUER: &str = "parapet-development";
/// The `aud` of its tokens.
pub(crate) const AUDIENCE: &str = "parapet";
/// The `environment` of its tokens, which rules for CI jobs must name.
pub(crate) const ENVIRONMENT: &str = "development";
/// How long a token lives: long enough for an afternoon at a shell.
const LIFE_SECONDS: i64 = 8 * 3600;
const KEY_ID: &str = "development";

/// Where the JWK set stands in a state folder.
pub(crate) fn jwks_path(state: &Path) -> PathBuf {
    state.join("dev-issuer/jwks.json")
}

fn key_path(state: &Path) -> PathBuf {
    state.join("dev-issuer/key.der")
}

/// Makes the key and its JWK set, unless they are there.
pub(crate) fn ensure(state: &Path) -> anyhow::Result<()> {
    let key_path = key_path(state);
    if key_path.is_file() {
        return Ok(());
    }
    let folder = state.join("dev-issuer");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| anyhow!("no key could be made"))?;
    let pkcs8 = pair.to_pkcs8v1().map_err(|_| anyhow!("the key could not be written"))?;
    // An uncompressed point: 0x04, then both coordinates of 32 bytes.
    let point = pair.public_key().as_ref();
    let (x, y) =
        point.get(1..33).zip(point.get(33..65)).ok_or_else(|| anyhow!("the public key has an unexpected form"))?;
    let jwks = json!({ "keys": [{
        "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": KEY_ID,
        "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
    }]});
    fs::write(jwks_path(state), jwks.to_string())?;
    write_private(&key_path, pkcs8.as_ref())
}

/// Writes a file that only its owner can read.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(bytes)?;
    Ok(())
}

/// A token for a workload; none if the state folder has no such issuer.
pub(crate) fn mint(state: &Path, workload: &Name, now: Timestamp) -> anyhow::Result<Option<Secret<String>>> {
    let path = key_path(state);
    if !path.is_file() {
        return Ok(None);
    }
    let der = zeroize::Zeroizing::new(fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
    let issued = now.millis() / 1000;
    let claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": workload.as_str(), "environment": ENVIRONMENT,
        "iat": issued, "exp": issued + LIFE_SECONDS,
    });
    let header = Header { kid: Some(KEY_ID.to_owned()), ..Header::new(Algorithm::ES256) };
    let token = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ec_der(&der))?;
    Ok(Some(Secret::new(token)))
}
