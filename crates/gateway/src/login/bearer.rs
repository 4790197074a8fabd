//! OAUTHBEARER (RFC 7628), as libpq 18 speaks it: a workload's token in a SASL message instead of a password. For which names it is
//! asked, and what the exchange says; what the token proves is `oidc.rs` and `native.rs`.
//!
//! The mechanism is chosen by the name that a client claims, registered or not, and never offered beside a weaker one.

use std::collections::BTreeSet;

use serde_json::json;

/// The mechanism's name.
pub const MECHANISM: &str = "OAUTHBEARER";
/// What stands for every name.
const EVERY: &str = "*";
/// The longest message: a token of 16 KiB, and what is around it.
const LONGEST: usize = 16 * 1024 + 64;
/// Ends every key and value.
const END: u8 = 1;

/// Who logs in by OAUTHBEARER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BearerLogins {
    names: BTreeSet<String>,
    challenge: String,
}

/// Why a client's message is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BearerRefusal {
    /// Longer than any token.
    #[error("the SASL message is too long")]
    TooLong,
    /// It binds to a channel, which this mechanism cannot, or acts as somebody else.
    #[error("the SASL message has channel binding, or an authorization identity")]
    Header,
    /// Not keys and values as RFC 7628 has them, or another key than `auth`.
    #[error("the SASL message is none of RFC 7628, or has another key than `auth`")]
    Malformed,
    /// Another scheme than `Bearer`, or a token of letters that no token has.
    #[error("the SASL message has no bearer token of printable letters")]
    NotBearer,
}

/// What a client says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BearerMessage<'m> {
    /// It has no token, and wishes to learn where to get one.
    Discovery,
    /// Its token.
    Token(&'m str),
}

impl BearerLogins {
    /// For these names (`*` is every name). `issuer` is where a client without a token is sent, if anywhere.
    pub fn new(names: impl IntoIterator<Item = String>, issuer: Option<&str>) -> Self {
        let mut challenge = json!({ "status": "invalid_token", "scope": "openid" });
        if let (Some(issuer), Some(members)) = (issuer, challenge.as_object_mut()) {
            let metadata = format!("{}/.well-known/openid-configuration", issuer.strip_suffix('/').unwrap_or(issuer));
            members.insert("openid-configuration".to_owned(), metadata.into());
        }
        Self { names: names.into_iter().collect(), challenge: challenge.to_string() }
    }

    /// Does whoever claims this name log in so?
    pub fn is_for(&self, name: &str) -> bool {
        self.names.contains(EVERY) || self.names.contains(name)
    }

    /// What a client is told whose token is absent or refused (RFC 7628, section 3.2.2): the same, whatever is wrong.
    pub fn challenge(&self) -> &[u8] {
        self.challenge.as_bytes()
    }
}

/// Reads a client's first message (RFC 7628, section 3.1).
pub fn read(message: &[u8]) -> Result<BearerMessage<'_>, BearerRefusal> {
    if message.len() > LONGEST {
        return Err(BearerRefusal::TooLong);
    }
    let message = std::str::from_utf8(message).map_err(|_odd| BearerRefusal::Malformed)?;
    // GS2: no channel binding, or none that the server could use; no other identity (RFC 5801, section 4).
    let rest = ["n,,", "y,,"].iter().find_map(|header| message.strip_prefix(header)).ok_or(BearerRefusal::Header)?;
    let end = char::from(END);
    let pairs = rest.strip_prefix(end).and_then(|rest| rest.strip_suffix(end)).ok_or(BearerRefusal::Malformed)?;
    // One pair, with its own end: other keys are for what a proxy would say, and none stands here.
    let pair = pairs.strip_suffix(end).filter(|pair| !pair.contains(end)).ok_or(BearerRefusal::Malformed)?;
    let value = pair.strip_prefix("auth=").ok_or(BearerRefusal::Malformed)?;
    if value.is_empty() {
        return Ok(BearerMessage::Discovery);
    }
    let (scheme, token) = value.split_once(' ').ok_or(BearerRefusal::NotBearer)?;
    // `b64token` of RFC 6750, section 2.1.
    let letters = token.trim_end_matches('=');
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    if !scheme.eq_ignore_ascii_case("bearer") || letters.is_empty() || !letters.bytes().all(fits) {
        return Err(BearerRefusal::NotBearer);
    }
    Ok(BearerMessage::Token(token))
}

#[cfg(test)]
mod tests;
