//! What a caller shows of itself, whatever protocol it speaks: a client certificate, if a trust rule matches that alone, or
//! a token. Verified here by the file for its sort; which workload it is, the trust rules say.
//!
//! How a token travels (a password, a SASL message, a header) is the protocol's business.

use std::net::IpAddr;
use std::sync::Arc;

use kernel::policy::Snapshot;
use kernel::trust::VerifiedAttestation;
use rustls_pki_types::CertificateDer;

use super::certificate::CertificateRefusal;
use super::native::NativeLogins;
use super::oidc::Issuers;
use super::task::{ShownBeside, TaskTokens};
use crate::session::Session;

/// Everything that attestations are verified by.
#[derive(Clone, Debug)]
pub struct Logins {
    issuers: Arc<Issuers>,
    native: Option<Arc<NativeLogins>>,
    tasks: Option<Arc<TaskTokens>>,
}

impl Logins {
    /// By these issuers. Native tokens and Parapet's own are refused.
    pub const fn new(issuers: Arc<Issuers>) -> Self {
        Self { issuers, native: None, tasks: None }
    }

    /// The same, taking native tokens too.
    #[must_use]
    pub fn with_native_tokens(self, native: Arc<NativeLogins>) -> Self {
        Self { native: Some(native), ..self }
    }

    /// The same, taking Parapet's own tokens too.
    #[must_use]
    pub fn with_task_tokens(self, tasks: Arc<TaskTokens>) -> Self {
        Self { tasks: Some(tasks), ..self }
    }

    /// What a chain of client certificates proves by itself: none if there is none, or if no trust rule matches it alone; it
    /// can still be what a token is bound to.
    ///
    /// # Errors
    /// What is wrong with it, for the log alone.
    pub fn attest_certificates(
        &self,
        snapshot: &Snapshot,
        chain: &[CertificateDer<'static>],
    ) -> Result<Option<VerifiedAttestation>, String> {
        if chain.is_empty() {
            return Ok(None);
        }
        let attested = match self.issuers.trust_domains().attest(chain) {
            Ok(attestation) => attestation,
            // It names nobody, and can still be what a token is bound to.
            Err(CertificateRefusal::NoName) => return Ok(None),
            Err(error) => return Err(format!("client certificate: {error}")),
        };
        let bound = snapshot.trust().matching(&attested).next().is_some();
        Ok(bound.then_some(attested))
    }

    /// What a token proves, shown beside a certificate or the proof of a key.
    ///
    /// # Errors
    /// What is wrong with it, for the log alone.
    pub async fn attest_token(
        &self,
        token: &str,
        beside: ShownBeside<'_>,
        source: IpAddr,
    ) -> Result<VerifiedAttestation, String> {
        if NativeLogins::is_meant(token) {
            let native = self.native.as_ref().ok_or("no native tokens are taken")?;
            return native.verify(token, source).map_err(|error| format!("token: {error}"));
        }
        if TaskTokens::is_meant(token) {
            let tasks = self.tasks.as_ref().ok_or("no tokens of Parapet's own are taken")?;
            return tasks.verify(token, beside).map_err(|error| format!("token: {error}"));
        }
        let verified = self.issuers.verify_beside(token, beside.certificate).await;
        verified.map_err(|error| format!("token: {error}"))
    }

    /// Watches over a session that has begun: it ends when what opened it is revoked, also if that happened while it began.
    pub fn watch(&self, session: &Session) {
        if let Some(native) = &self.native {
            native.watch(session.who().evidence(), session.live());
        }
        if let Some(tasks) = &self.tasks {
            tasks.watch(session.who(), session.live());
        }
    }
}
