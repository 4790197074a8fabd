//! Whose a proof is that somebody else received and passes on: verified as at a login, without a session. For the decision
//! point.
//!
//! No handshake of ours stands behind a certificate that was passed on: its chain is verified here, and that its key was proved
//! is the matter of whoever passes it on.

use std::net::IpAddr;
use std::sync::Arc;

use kernel::ports::Spent;
use kernel::task::Left;
use kernel::time::Timestamp;
use kernel::trust::Authenticated;
use rustls_pki_types::CertificateDer;

use super::bundle::Authorities;
use super::jwks::KeysError;
use super::logins::Logins;
use super::oidc::Issuers;
use super::task::ShownBeside;
use super::trust_domains::{TrustDomains, Voucher, unix};
use crate::session::Parts;

/// A proof, as it is passed on.
#[derive(Clone, Copy, Debug)]
pub struct PassedOn<'p> {
    /// A token.
    pub token: Option<&'p str>,
    /// A chain of certificates, leaf first.
    pub certificates: &'p [CertificateDer<'static>],
    /// Who has verified the chain so far.
    pub verified: Verified,
    /// Where it comes from.
    pub source: IpAddr,
    /// Does what is asked with it cost its task a use?
    pub costs: bool,
}

/// Who has verified a chain of certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// A handshake of ours, with the proof of its key.
    ByHandshake,
    /// Nobody that we know.
    ByNobody,
}

/// Verifies what is passed on.
#[derive(Debug)]
pub struct PassedOnLogins {
    parts: Parts,
    issuers: Arc<Issuers>,
    logins: Logins,
    authorities: Authorities,
}

impl PassedOnLogins {
    /// By these logins; certificates that are no X.509-SVIDs by these authorities.
    ///
    /// # Errors
    /// What is no authority.
    pub fn new(
        parts: Parts,
        issuers: Arc<Issuers>,
        logins: Logins,
        authorities: Vec<CertificateDer<'static>>,
    ) -> Result<Self, KeysError> {
        Ok(Self { parts, issuers, logins, authorities: Authorities::of(authorities)? })
    }

    /// Finds out whose it is, and what is left of its task. A token beside a certificate must be bound to that, or to nothing.
    ///
    /// # Errors
    /// What is wrong with it, for the log alone.
    pub async fn identify(&self, passed: PassedOn<'_>) -> Result<(Authenticated, Left), String> {
        let (parts, now) = (&self.parts, self.parts.clock.now());
        // What nobody vouches for is as good as none.
        let genuine = is_genuine(self.issuers.trust_domains(), &self.authorities, &passed, now);
        let certificates = if genuine { passed.certificates } else { &[] };
        let attestation = match passed.token {
            Some(token) => {
                let beside = ShownBeside { certificate: certificates.first(), key: None };
                self.logins.attest_token(token, beside, passed.source).await?
            }
            None if certificates.is_empty() => {
                return Err("no configured authority vouches for the certificate".to_owned());
            }
            None => {
                let attested = self.logins.attest_certificates(&parts.snapshots.current(), certificates)?;
                attested.ok_or("no trust rule matches the client certificate")?
            }
        };
        let bound = parts.authenticate_unclaimed(&[attestation]).map_err(|refusal| refusal.to_string())?;
        let who = bound.ok_or("no attestation was shown")?;
        for token in who.once() {
            match parts.spent.spend(token).await {
                Ok(Spent::Consumed) => {}
                Ok(Spent::AlreadyUsed) => return Err("the token counts once, and was shown before".to_owned()),
                Err(error) => return Err(error.to_string()),
            }
        }
        let uses = parts.sessions.task_uses();
        let left = match who.task() {
            None => Left::default(),
            Some(task) if passed.costs => uses.take(task, now),
            Some(task) => uses.left(task, now),
        };
        Ok((who, left))
    }
}

/// Is the chain genuine? That of an X.509-SVID is verified where it is attested.
fn is_genuine(domains: &TrustDomains, authorities: &Authorities, passed: &PassedOn<'_>, now: Timestamp) -> bool {
    let Some(leaf) = passed.certificates.first() else { return false };
    match (passed.verified, domains.voucher(leaf)) {
        (Verified::ByHandshake, _) | (Verified::ByNobody, Voucher::TrustDomains) => true,
        (Verified::ByNobody, Voucher::Authorities) => authorities.verify(passed.certificates, unix(now)),
    }
}

#[cfg(test)]
mod tests;
