//! Access tokens by OAuth 2 client credentials (RFC 6749, section 4.4): the client shows its secret by HTTP Basic, as every
//! server must take it (section 2.3.1). A token is renewed after four fifths of its life.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use kernel::ports::Clock;
use kernel::secret::Secret;
use serde::Deserialize;
use zeroize::{Zeroize as _, Zeroizing};

use super::held::Kept;
use super::{CredentialError, encode, sensitive};
use crate::upstream::fetch::{Fetcher, Location};
use crate::upstream::secret::SecretSource;

/// The longest answer of a token endpoint, in bytes.
const LONGEST: usize = 64 * 1024;
/// How long a token endpoint may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The life of a token whose issuer does not tell it.
const UNTOLD: u64 = 60;
/// Nothing is believed to live longer.
const LONGEST_LIFE: u64 = 24 * 60 * 60;

/// Where and as whom access tokens are fetched.
#[derive(Clone, Debug)]
pub struct ClientCredentials {
    /// The token endpoint.
    pub token_url: Location,
    /// The client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretSource,
    /// The scopes that are asked for, separated by spaces.
    pub scope: Option<String>,
    /// The API that the token is for, where the server asks for an `audience`.
    pub audience: Option<String>,
}

/// The answer (RFC 6749, section 5.1). Other members are ignored, as the section says.
#[derive(Deserialize)]
struct Answer {
    access_token: String,
    token_type: String,
    expires_in: Option<u64>,
}

/// Fetches a token.
pub(super) async fn fetch(
    settings: &ClientCredentials,
    fetcher: &Fetcher,
    clock: &dyn Clock,
) -> Result<Kept<Secret<String>>, CredentialError> {
    let secret = settings.client_secret.read().await?;
    let mut pair = Zeroizing::new(String::new());
    encode(settings.client_id.as_bytes(), false, &mut pair);
    pair.push(':');
    encode(secret.expose().as_bytes(), false, &mut pair);
    let authorization = Zeroizing::new(format!("Basic {}", *Zeroizing::new(STANDARD.encode(pair.as_bytes()))));
    let mut form = String::from("grant_type=client_credentials");
    for (name, value) in [("scope", &settings.scope), ("audience", &settings.audience)] {
        if let Some(value) = value {
            form.push('&');
            form.push_str(name);
            form.push('=');
            encode(value.as_bytes(), false, &mut form);
        }
    }
    // The life counts from before the question, since nobody knows how long the answer was on its way.
    let asked = clock.now();
    let answer =
        fetcher.post_form(&settings.token_url, sensitive(&authorization)?, Bytes::from(form), LONGEST, PATIENCE);
    let mut answer = answer.await?;
    let parsed = match answer.status {
        200 => serde_json::from_slice::<Answer>(&answer.body).map_err(|_error| CredentialError::TokenMalformed),
        status => Err(CredentialError::TokenRefused(status)),
    };
    answer.body.zeroize();
    let Answer { access_token, token_type, expires_in } = parsed?;
    let token = Secret::new(access_token);
    let is_token = !token.expose().is_empty() && token.expose().bytes().all(|byte| byte.is_ascii_graphic());
    if !token_type.eq_ignore_ascii_case("bearer") || !is_token {
        return Err(CredentialError::TokenMalformed);
    }
    let life = Duration::from_secs(expires_in.unwrap_or(UNTOLD).min(LONGEST_LIFE));
    let (fresh, good) = (asked.after(life * 4 / 5), asked.after(life * 19 / 20));
    Ok(Kept::new(token, asked, fresh, good))
}
