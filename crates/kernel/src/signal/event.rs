//! The events and the subjects that are understood, by their names on the wire.

use std::sync::Arc;

use crate::risk::Level;

/// What the URIs of CAEP's events begin with (CAEP 1.0, section 3).
pub const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
/// What the URIs of RISC's events begin with.
pub const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// CAEP `session-revoked`.
    SessionRevoked,
    /// RISC `account-disabled` and `account-purged`.
    AccountDisabled,
    /// CAEP `credential-change`.
    CredentialChange {
        /// Was the credential revoked or deleted, rather than made or changed?
        ends: bool,
    },
    /// CAEP `risk-level-change`.
    RiskLevelChange {
        /// The current level.
        level: Level,
    },
    /// CAEP `assurance-level-change`.
    AssuranceLevelChange {
        /// Is it lower than before?
        decreased: bool,
    },
    /// CAEP `device-compliance-change`.
    DeviceComplianceChange {
        /// Does the device comply now?
        compliant: bool,
    },
    /// CAEP `token-claims-change`.
    TokenClaimsChange,
    /// SSF `verification`: the stream lives.
    Verification {
        /// What we asked with, if the stream was asked by us.
        state: Option<Arc<str>>,
    },
    /// SSF `stream-updated`: the other side paused or disabled the stream, or enabled it.
    StreamUpdated,
    /// Something else, by the last part of its URI.
    Other(Arc<str>),
}

impl Kind {
    /// The word for people and for the log.
    pub fn as_str(&self) -> &str {
        match self {
            Self::SessionRevoked => "session-revoked",
            Self::AccountDisabled => "account-disabled",
            Self::CredentialChange { .. } => "credential-change",
            Self::RiskLevelChange { .. } => "risk-level-change",
            Self::AssuranceLevelChange { .. } => "assurance-level-change",
            Self::DeviceComplianceChange { .. } => "device-compliance-change",
            Self::TokenClaimsChange => "token-claims-change",
            Self::Verification { .. } => "verification",
            Self::StreamUpdated => "stream-updated",
            Self::Other(name) => name,
        }
    }

    /// Is it about the stream itself?
    pub fn is_of_stream(&self) -> bool {
        matches!(self, Self::Verification { .. } | Self::StreamUpdated)
    }
}

/// Whom an event is about (RFC 9493).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// `iss_sub`
    IssuerSubject {
        /// Whose.
        issuer: Arc<str>,
        /// Who.
        subject: Arc<str>,
    },
    /// `email`
    Email(Arc<str>),
    /// `opaque`
    Opaque(String),
    /// A form that is not understood, by its name.
    Other(Arc<str>),
}

impl Subject {
    /// For people and for the log.
    pub fn shown(&self) -> String {
        match self {
            Self::IssuerSubject { issuer, subject } => format!("{subject} of {issuer}"),
            Self::Email(address) => address.to_string(),
            Self::Opaque(id) => id.clone(),
            Self::Other(format) => format!("a subject of form {format}"),
        }
    }
}
