//! Which attestation makes which workload. The gateway's login path proves an attestation; the rules here bind its claims
//! to exactly one workload; the result is [`Authenticated`], which nothing else can make.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::time::Timestamp;
use crate::workload::{Name, Standing, Workload};

/// The claims of an attestation whose signature, issuer, audience and times were verified. Only the gateway's login
/// modules may make one; a lint confines the constructors to them.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifiedAttestation {
    evidence: Evidence,
    claims: BTreeMap<String, String>,
    expires: Option<Timestamp>,
}

/// What sort of proof was shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Evidence {
    /// A JWT signed by a configured issuer, for our audience.
    Oidc {
        /// Its `iss`.
        issuer: Arc<str>,
    },
    /// A client certificate that chains to a configured authority.
    ClientCertificate {
        /// SHA-256 of its DER form, in hexadecimal.
        fingerprint: Arc<str>,
    },
}

impl Evidence {
    /// The issuer that trust rules name: the `iss`, or the word `certificate`.
    pub fn issuer(&self) -> &str {
        match self {
            Self::Oidc { issuer } => issuer,
            Self::ClientCertificate { .. } => "certificate",
        }
    }
}

impl VerifiedAttestation {
    /// The claims of a JWT whose signature, issuer, audience, algorithm and times the caller has verified. `claims` are
    /// its top-level members that are text, numbers or booleans, as text.
    pub fn by_signature(issuer: &str, claims: BTreeMap<String, String>, expires: Timestamp) -> Self {
        Self { evidence: Evidence::Oidc { issuer: issuer.into() }, claims, expires: Some(expires) }
    }

    /// The subject alternative names of a client certificate whose chain and possession TLS has verified, as claims
    /// `san:dns`, `san:uri` or `san:email`; `expires` is its `notAfter`.
    pub fn by_client_certificate(fingerprint: &str, claims: BTreeMap<String, String>, expires: Timestamp) -> Self {
        Self {
            evidence: Evidence::ClientCertificate { fingerprint: fingerprint.into() },
            claims,
            expires: Some(expires),
        }
    }

    /// What sort of proof it is.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// The claims that were verified.
    pub fn claims(&self) -> &BTreeMap<String, String> {
        &self.claims
    }
}

impl fmt::Debug for VerifiedAttestation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Claims can name people; they belong in the audit log, not in a debug line.
        f.debug_struct("VerifiedAttestation").field("evidence", &self.evidence).finish_non_exhaustive()
    }
}

/// Binds an issuer and a set of claims, compared by equality, to one workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrustRule {
    /// The issuer, as an exact string.
    pub issuer: Arc<str>,
    /// Claims that must all be present and equal.
    pub claims: BTreeMap<String, String>,
    /// The workload that the attestation then is.
    pub workload: Name,
}

impl TrustRule {
    fn matches(&self, attestation: &VerifiedAttestation) -> bool {
        *self.issuer == *attestation.evidence.issuer()
            && !self.claims.is_empty()
            && self.claims.iter().all(|(claim, value)| attestation.claims.get(claim) == Some(value))
    }
}

/// Why a verified attestation is not a workload that may connect. Strangers are told none of this; the log is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityRefusal {
    /// No trust rule matches.
    #[error("no trust rule matches the attestation of issuer `{issuer}`")]
    NoRule {
        /// The issuer.
        issuer: Arc<str>,
    },
    /// Rules for different workloads match, so that the attestation is ambiguous.
    #[error("trust rules for `{first}` and `{second}` both match")]
    Ambiguous {
        /// One of them.
        first: Name,
        /// Another.
        second: Name,
    },
    /// The rule names a workload that is not registered.
    #[error("workload `{workload}` is not registered")]
    Unregistered {
        /// The name in the rule.
        workload: Name,
    },
    /// The client claims another name than its attestation proves.
    #[error("the attestation is of `{proven}`, but the client claims `{claimed}`")]
    OtherName {
        /// Who it is.
        proven: Name,
        /// Who it says it is.
        claimed: String,
    },
    /// Two attestations on one connection name different workloads.
    #[error("two attestations disagree: `{first}` and `{second}`")]
    Disagreement {
        /// By the one.
        first: Name,
        /// By the other.
        second: Name,
    },
    /// Quarantined, retired or expired.
    #[error("workload `{workload}` is {standing:?}")]
    Standing {
        /// Who it is.
        workload: Name,
        /// How it stands.
        standing: Standing,
    },
}

/// A workload that has proved who it is. Can only be made from a [`VerifiedAttestation`] that a trust rule binds.
#[derive(Clone, Debug)]
pub struct Authenticated {
    workload: Name,
    evidence: Evidence,
    until: Option<Timestamp>,
}

impl Authenticated {
    /// Who it is.
    pub fn workload(&self) -> &Name {
        &self.workload
    }

    /// What was shown.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// When the proof ends; the session must not outlive it.
    pub fn until(&self) -> Option<Timestamp> {
        self.until
    }

    /// Joins two proofs shown on one connection: they must name the same workload, and the earlier end counts.
    pub fn and(self, other: &Self) -> Result<Self, IdentityRefusal> {
        if self.workload != other.workload {
            return Err(IdentityRefusal::Disagreement { first: self.workload, second: other.workload.clone() });
        }
        let until = match (self.until, other.until) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        Ok(Self { until, ..self })
    }
}

/// Every trust rule, and the workloads that they may name.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    rules: Vec<TrustRule>,
}

impl Trust {
    /// The rules as configured.
    pub fn new(rules: Vec<TrustRule>) -> Self {
        Self { rules }
    }

    /// The rules.
    pub fn rules(&self) -> &[TrustRule] {
        &self.rules
    }

    /// Binds a verified attestation to the one workload that it proves, which must be in good standing at `now`, and
    /// whose name `claimed` must be, where the protocol has the client claim one.
    pub fn authenticate<'w>(
        &self,
        attestation: &VerifiedAttestation,
        claimed: Option<&str>,
        find: impl Fn(&Name) -> Option<&'w Workload>,
        now: Timestamp,
    ) -> Result<Authenticated, IdentityRefusal> {
        let mut matching = self.rules.iter().filter(|rule| rule.matches(attestation)).map(|rule| &rule.workload);
        let first =
            matching.next().ok_or_else(|| IdentityRefusal::NoRule { issuer: attestation.evidence.issuer().into() })?;
        if let Some(second) = matching.find(|other| *other != first) {
            return Err(IdentityRefusal::Ambiguous { first: first.clone(), second: second.clone() });
        }
        let workload = find(first).ok_or_else(|| IdentityRefusal::Unregistered { workload: first.clone() })?;
        if let Some(claimed) = claimed
            && claimed != workload.name.as_str()
        {
            return Err(IdentityRefusal::OtherName { proven: workload.name.clone(), claimed: claimed.to_owned() });
        }
        match workload.standing(now) {
            Standing::Good => Ok(Authenticated {
                workload: workload.name.clone(),
                evidence: attestation.evidence.clone(),
                until: match (attestation.expires, workload.expires) {
                    (Some(one), Some(two)) => Some(one.min(two)),
                    (one, two) => one.or(two),
                },
            }),
            standing => Err(IdentityRefusal::Standing { workload: workload.name.clone(), standing }),
        }
    }
}
