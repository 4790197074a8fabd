//! SPIFFE ids, read by their grammar and no looser (hazard ID13; SPIFFE-ID, section 2). Nothing is normalised: what would have
//! to be, is refused.
//!
//! JWT-SVIDs are verified in `oidc.rs`, X.509-SVIDs in `trust_domains.rs`.

use std::fmt;

/// The longest id, in bytes.
const LONGEST: usize = 2048;
/// The longest trust domain, in bytes.
const LONGEST_DOMAIN: usize = 255;

/// A SPIFFE id with a path: that of a workload. A trust domain's own id has none and authenticates nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpiffeId<'t> {
    text: &'t str,
    trust_domain: &'t str,
}

impl<'t> SpiffeId<'t> {
    /// Reads an id: `spiffe://`, a trust domain of lower-case letters, digits, `.`, `-` and `_`, and segments of letters,
    /// digits, `.`, `-` and `_`, none of them empty, `.` or `..`.
    pub fn parse(text: &'t str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let (trust_domain, path) = text.strip_prefix("spiffe://")?.split_once('/')?;
        let domain_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        let segment_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let domain_fits =
            !trust_domain.is_empty() && trust_domain.len() <= LONGEST_DOMAIN && trust_domain.bytes().all(domain_letter);
        let segment_fits = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(segment_letter);
        (domain_fits && path.split('/').all(segment_fits)).then_some(Self { text, trust_domain })
    }

    /// As it stands.
    pub const fn as_str(&self) -> &'t str {
        self.text
    }

    /// Its trust domain, without `spiffe://`.
    pub const fn trust_domain(&self) -> &'t str {
        self.trust_domain
    }

    /// The issuer that trust rules name: `spiffe://` and the trust domain.
    pub fn issuer(&self) -> String {
        format!("spiffe://{}", self.trust_domain)
    }
}

impl fmt::Display for SpiffeId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

#[cfg(test)]
mod tests;
