//! Security events from other parties (SSF 1.0, CAEP 1.0), as data: whom they are about and what follows. Pure; whether an
//! event is genuine is the gateway's business, and remembering it the store's.
//!
//! What an event says is its stream's word. It never widens anything: it can only cut, revoke, and make riskier.

mod event;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use event::{CAEP, Kind, RISC, Subject};

use crate::policy::Snapshot;
use crate::risk::{Fading, Level, RiskReason};
use crate::time::Timestamp;
use crate::trust::{Authenticated, IdentityRefusal};
use crate::workload::Name;

/// From when on attestations of a workload count: those that were issued before were revoked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocations(BTreeMap<Name, Timestamp>);

impl Revocations {
    /// As remembered.
    pub fn new(by_workload: BTreeMap<Name, Timestamp>) -> Self {
        Self(by_workload)
    }

    /// What was issued to the workload until then does not count.
    pub fn before(&self, workload: &Name) -> Option<Timestamp> {
        self.0.get(workload).copied()
    }

    /// Refuses a proof that was revoked. Whoever lets a proof count must ask: a login, and an exchange for a token that
    /// would be newer than the revocation.
    pub fn check(&self, who: &Authenticated) -> Result<(), IdentityRefusal> {
        match self.before(who.workload()) {
            Some(before) if who.is_issued_before(before) => {
                Err(IdentityRefusal::Revoked { workload: who.workload().clone(), before })
            }
            _ => Ok(()),
        }
    }
}

/// An event that was verified: its stream vouches for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityEvent {
    /// The stream, by its configured name.
    pub stream: Name,
    /// The `iss` of the SET.
    pub issuer: Arc<str>,
    /// The `jti` of the SET.
    pub id: Arc<str>,
    /// When it was issued, by the `iat` of the SET.
    pub issued: Timestamp,
    /// Whom it is about; none for a verification event.
    pub subject: Option<Subject>,
    /// What happened.
    pub kind: Kind,
}

/// Of whom a stream may speak (hazard ID22), besides the subjects of its own issuer that trust rules bind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// Opaque ids, or the `sub` of its own issuer, and whose they are.
    pub subjects: BTreeMap<String, Name>,
    /// Domains of the e-mail addresses of owners that it may speak of, in lower case.
    pub owner_domains: Vec<String>,
}

impl Mapping {
    /// The workloads that an event is about; none if it is about nobody whom its stream may speak of. Nothing is guessed.
    pub fn workloads(&self, snapshot: &Snapshot, event: &SecurityEvent) -> Vec<Name> {
        let known = |name: &Name| snapshot.workload(name).is_some();
        let mut found: Vec<Name> = match &event.subject {
            None | Some(Subject::Other(_)) => Vec::new(),
            Some(Subject::Opaque(id)) => self.subjects.get(id).cloned().into_iter().collect(),
            Some(Subject::IssuerSubject { issuer, subject }) if **issuer == *event.issuer => {
                let bound = snapshot.trust().rules().iter().filter(|rule| {
                    *rule.issuer == **issuer && rule.claims.get("sub").is_some_and(|sub| *sub == **subject)
                });
                let mapped = self.subjects.get(&**subject).cloned();
                bound.map(|rule| rule.workload.clone()).chain(mapped).collect()
            }
            // Another issuer's subject is not this stream's to speak of.
            Some(Subject::IssuerSubject { .. }) => Vec::new(),
            Some(Subject::Email(address)) => {
                let domain = address.rsplit_once('@').map(|(_, domain)| domain.to_ascii_lowercase());
                match domain.filter(|domain| self.owner_domains.contains(domain)) {
                    None => Vec::new(),
                    Some(_) => snapshot
                        .workloads()
                        .filter(|workload| workload.owner.0.eq_ignore_ascii_case(address))
                        .map(|workload| workload.name.clone())
                        .collect(),
                }
            }
        };
        found.retain(known);
        found.sort();
        found.dedup();
        found
    }
}

/// What follows from an event for each workload that it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Sessions are cut, and what was issued until now does not count any more; native tokens are revoked.
    pub revoke: bool,
    /// Everything is denied until a person releases it.
    pub quarantine: bool,
    /// A reason for risk.
    pub risk: Option<RiskReason>,
}

impl Effects {
    /// What follows from `event`, which was taken at `now`.
    pub fn of(event: &SecurityEvent, now: Timestamp) -> Self {
        let reason = |weight, fading, said: String| {
            Some(RiskReason {
                by: format!("stream {}", event.stream).into(),
                about: event.kind.as_str().into(),
                said: said.into(),
                weight,
                at: now,
                fading,
            })
        };
        match &event.kind {
            // Nobody answers for it any more, or it should be gone itself.
            Kind::AccountDisabled => Self { revoke: true, quarantine: true, risk: None },
            Kind::SessionRevoked | Kind::CredentialChange { ends: true } => Self { revoke: true, ..Self::default() },
            Kind::RiskLevelChange { level, .. } => {
                let said = format!("risk level {}", level.as_str());
                Self { risk: reason(level.weight(), level.fading(), said), ..Self::default() }
            }
            // A weaker assurance or a device that does not comply is worth a look, and fades.
            Kind::AssuranceLevelChange { decreased: true } => Self {
                risk: reason(Level::Low.weight(), Fading::Halves, "assurance decreased".to_owned()),
                ..Self::default()
            },
            Kind::DeviceComplianceChange { compliant: false } => Self {
                risk: reason(Level::Low.weight(), Fading::Halves, "device not compliant".to_owned()),
                ..Self::default()
            },
            Kind::CredentialChange { ends: false }
            | Kind::AssuranceLevelChange { decreased: false }
            | Kind::DeviceComplianceChange { compliant: true }
            | Kind::TokenClaimsChange
            | Kind::Verification { .. }
            | Kind::StreamUpdated
            | Kind::Other(_) => Self::default(),
        }
    }
}

#[cfg(test)]
mod tests;
