//! Can an API be reached and used as configured? A connection is opened and closed; no request is sent, since nothing goes
//! upstream without a decision.

use aws_lc_rs::digest::{SHA256, digest};
use hyper::Request;
use hyper::header::HOST;
use kernel::ports::Check;

use super::HttpUpstream;
use crate::upstream::credential::CredentialError;
use crate::upstream::dial::Dialler;

impl HttpUpstream {
    /// The checks in order; the first that fails is the last.
    pub async fn test(&self, dialler: &Dialler) -> Vec<Check> {
        let mut checks = vec![self.describe()];
        match self.reach(dialler).await {
            Ok(found) => checks.push(passed("tls", found)),
            Err((check, why)) => {
                checks.push(failed(check, why, "check `url`, `ca` and `credential` of this upstream in parapet.toml"));
                return checks;
            }
        }
        match self.try_credential().await {
            Ok(found) => checks.push(passed("credential", found.to_owned())),
            Err(error) => {
                let fix = "check where `credential.secret` of this upstream is, and who may read it";
                checks.push(failed("credential", error.to_string(), fix));
            }
        }
        checks
    }

    fn describe(&self) -> Check {
        let listed = self.endpoints.all().len();
        let rest = if self.endpoints.allows_unlisted() { "other paths are allowed" } else { "other paths are denied" };
        passed("endpoints", format!("{listed}; {rest}"))
    }

    async fn reach(&self, dialler: &Dialler) -> Result<String, (&'static str, String)> {
        let address = self.origin.address();
        let within = self.limits.connect;
        let stream = dialler.dial(&address, within).await.map_err(|error| ("reach", error.to_string()))?;
        let Some(tls) = &self.tls else { return Ok("off (loopback)".to_owned()) };
        let shown = match &self.credential {
            None => None,
            Some(credential) => Some(credential.tls(tls).await.map_err(|error| ("credential", error.to_string()))?),
        };
        let handshake = shown.as_ref().unwrap_or(tls).connect(stream, &address);
        match tokio::time::timeout(within, handshake).await {
            Ok(Ok(_stream)) => Ok("verified".to_owned()),
            Ok(Err(error)) => Err(("tls", error.to_string())),
            Err(_elapsed) => Err(("tls", "the handshake took too long".to_owned())),
        }
    }

    /// Adds the credential to a request that goes nowhere: its secret is read, and a token is fetched.
    async fn try_credential(&self) -> Result<&'static str, CredentialError> {
        let Some(credential) = &self.credential else { return Ok("none: the gateway adds nothing") };
        let request = Request::builder().uri(format!("{}/", self.origin)).header(HOST, self.origin.authority());
        let (mut parts, ()) = request.body(()).map_err(|_| CredentialError::ForeignOrigin)?.into_parts();
        let nothing = digest(&SHA256, b"");
        let digest = nothing.as_ref().try_into().ok();
        credential.apply(&mut parts, digest).await?;
        Ok("at hand")
    }
}

fn passed(check: &'static str, detail: String) -> Check {
    Check { check, passed: true, detail, fix: None }
}

fn failed(check: &'static str, detail: String, fix: &str) -> Check {
    Check { check, passed: false, detail, fix: Some(fix.to_owned()) }
}
