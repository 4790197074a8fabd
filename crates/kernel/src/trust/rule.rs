//! A trust rule: which issuer and which claims make an attestation be a workload, and what else must hold. Claims are
//! compared by equality alone (hazard ID03); what differs is told apart claim by claim, for the owner of the workload.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::workload::Name;

/// Binds an issuer and a set of claims, compared by equality, to one workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrustRule {
    /// The issuer, as an exact string.
    pub issuer: Arc<str>,
    /// Claims that must all be present and equal. A nested claim is named by its JSON pointer (RFC 6901).
    pub claims: BTreeMap<String, String>,
    /// The workload that the attestation then is.
    pub workload: Name,
    /// What else must hold.
    pub terms: Terms,
}

/// What must hold beside the claims of a rule. None of it ever widens a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Terms {
    /// For a claim, values with which the rule does not match: the events of a pull request, say (hazard ID05).
    pub barred: BTreeMap<String, Vec<String>>,
    /// Pairs of claims that must be equal where the second is present: the project of a GitLab pipeline and that of its
    /// job (hazard ID06).
    pub equal: Vec<(String, String)>,
    /// The attestation counts once, by its `jti` (hazard ID01).
    pub once: bool,
    /// The attestation must be bound to its sender; a bare bearer token is not enough (RFC 8705).
    pub bound: bool,
    /// The longest life of a token that it is exchanged for.
    #[serde(skip)]
    pub task_life: Option<Duration>,
}

/// Claims of an attestation, flat: nested ones by their JSON pointer.
pub type Claims = BTreeMap<String, String>;

/// One way in which an attestation is not what a rule wants. For the owner of the workload and the log, never for the
/// caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Difference {
    /// The claim is not there.
    Missing {
        /// Which claim.
        claim: String,
        /// What the rule wants.
        wanted: String,
    },
    /// The claim has another value.
    Other {
        /// Which claim.
        claim: String,
        /// What the rule wants.
        wanted: String,
        /// What the attestation has, shortened.
        found: String,
    },
    /// The claim has a value with which the rule never matches.
    Barred {
        /// Which claim.
        claim: String,
        /// What the attestation has.
        found: String,
    },
    /// Two claims that must agree do not.
    Unequal {
        /// The one.
        claim: String,
        /// What it is.
        found: String,
        /// The other.
        other: String,
        /// What that is.
        other_found: String,
    },
    /// The rule wants a token that is bound to its sender.
    Bearer,
    /// The rule takes a token once, and this one has no `jti`.
    NoTokenId,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { claim, wanted } => write!(f, "`{claim}` is absent, and must be `{wanted}`"),
            Self::Other { claim, wanted, found } => write!(f, "`{claim}` is `{found}`, not `{wanted}`"),
            Self::Barred { claim, found } => write!(f, "`{claim}` is `{found}`, which the rule does not take"),
            Self::Unequal { claim, found, other, other_found } => {
                write!(f, "`{claim}` is `{found}`, but `{other}` is `{other_found}`")
            }
            Self::Bearer => f.write_str("the token is not bound to its sender (`cnf`)"),
            Self::NoTokenId => f.write_str("the token has no `jti`, and the rule takes each token once"),
        }
    }
}

/// Is the token bound to who shows it?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// No: whoever has it can show it.
    Bearer,
    /// Yes, and the possession of the key was proved on this connection.
    Bound,
}

impl TrustRule {
    /// A rule that wants these claims and nothing else.
    pub fn new(issuer: &str, claims: Claims, workload: Name) -> Self {
        Self { issuer: issuer.into(), claims, workload, terms: Terms::default() }
    }

    /// Every way in which claims of the rule's own issuer differ from what it wants. None: it matches.
    pub fn differences(&self, claims: &Claims, sender: Sender) -> Vec<Difference> {
        let mut differences: Vec<Difference> =
            self.claims.iter().filter_map(|(claim, wanted)| differs(claims, claim, wanted)).collect();
        for (claim, values) in &self.terms.barred {
            if let Some(found) = claims.get(claim).filter(|found| values.contains(found)) {
                differences.push(Difference::Barred { claim: claim.clone(), found: found.clone() });
            }
        }
        for (claim, other) in &self.terms.equal {
            if let Some(other_found) = claims.get(other)
                && claims.get(claim) != Some(other_found)
            {
                differences.push(Difference::Unequal {
                    claim: claim.clone(),
                    found: shortened(claims.get(claim).map_or("", String::as_str)),
                    other: other.clone(),
                    other_found: shortened(other_found),
                });
            }
        }
        if self.terms.bound && sender == Sender::Bearer {
            differences.push(Difference::Bearer);
        }
        if self.terms.once && claims.get("jti").is_none_or(String::is_empty) {
            differences.push(Difference::NoTokenId);
        }
        differences
    }

    pub(super) fn matches(&self, claims: &Claims, sender: Sender) -> bool {
        // Nearly every rule differs in a claim: that is found out without telling how.
        !self.claims.is_empty()
            && self.claims.iter().all(|(claim, value)| claims.get(claim) == Some(value))
            && self.differences(claims, sender).is_empty()
    }
}

fn differs(claims: &Claims, claim: &str, wanted: &str) -> Option<Difference> {
    let (claim, wanted) = (claim.to_owned(), wanted.to_owned());
    match claims.get(&claim) {
        Some(found) if *found == wanted => None,
        Some(found) => Some(Difference::Other { claim, wanted, found: shortened(found) }),
        None => Some(Difference::Missing { claim, wanted }),
    }
}

/// A value as it may stand in a log: a branch is named by whoever pushes it.
pub(super) fn shortened(text: &str) -> String {
    const LONGEST: usize = 200;
    let mut short: String = text.chars().filter(|letter| !letter.is_control()).take(LONGEST).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}
