//! Whose a proof is that somebody else received and passes on: verified as at a login, without a session. For the decision
//! point. That the key of a certificate was proved is the matter of whoever passes it on.

use std::net::IpAddr;

use kernel::ports::Spent;
use kernel::task::Left;
use kernel::trust::Authenticated;
use rustls_pki_types::CertificateDer;

use super::logins::Logins;
use super::task::ShownBeside;
use crate::session::Parts;

/// A proof, as it is passed on.
#[derive(Clone, Copy, Debug)]
pub struct PassedOn<'p> {
    /// A token.
    pub token: Option<&'p str>,
    /// A chain of certificates, leaf first.
    pub certificates: &'p [CertificateDer<'static>],
    /// Where it comes from.
    pub source: IpAddr,
    /// Does what is asked with it cost its task a use?
    pub costs: bool,
}

/// Finds out whose it is, and what is left of its task. A token beside a certificate must be bound to that, or to nothing.
///
/// # Errors
/// What is wrong with it, for the log alone.
pub async fn identify(parts: &Parts, logins: &Logins, passed: PassedOn<'_>) -> Result<(Authenticated, Left), String> {
    let attestation = match passed.token {
        Some(token) => {
            let beside = ShownBeside { certificate: passed.certificates.first(), key: None };
            logins.attest_token(token, beside, passed.source).await?
        }
        None => {
            let snapshot = parts.snapshots.current();
            let attested = logins.attest_certificates(&snapshot, passed.certificates)?;
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
        Some(task) if passed.costs => uses.take(task, parts.clock.now()),
        Some(task) => uses.left(task, parts.clock.now()),
    };
    Ok((who, left))
}
