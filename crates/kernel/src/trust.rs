//! Which attestation makes which workload. The gateway's login path proves an attestation; the rules here (`trust/rule.rs`)
//! bind its claims to exactly one workload; the result is [`Authenticated`], which nothing else can make.

mod resume;
mod rule;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

pub use resume::NotResumed;
pub use rule::{Claims, Difference, Sender, Terms, TrustRule};

use crate::id::TaskId;
use crate::provenance::Provenance;
use crate::task::Task;
use crate::time::Timestamp;
use crate::workload::{Name, Standing, Workload};

/// The claims of an attestation whose signature, issuer, audience and times were verified. Only the gateway's login
/// modules may make one; a lint confines the constructors to them.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifiedAttestation {
    evidence: Evidence,
    claims: Claims,
    expires: Option<Timestamp>,
    sender: Sender,
    /// The workload that a native token was given to; rules decide for everything else.
    given_to: Option<Name>,
    /// What a Parapet token says of its run.
    provenance: Option<Provenance>,
    /// When it was issued, where no claim says so.
    issued: Option<Timestamp>,
}

/// What sort of proof was shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// A JWT-SVID, signed by a key of its trust domain's bundle.
    JwtSvid {
        /// `spiffe://` and the trust domain.
        trust_domain: Arc<str>,
    },
    /// An X.509-SVID that chains to its trust domain's bundle.
    X509Svid {
        /// `spiffe://` and the trust domain.
        trust_domain: Arc<str>,
        /// SHA-256 of its DER form, in hexadecimal.
        fingerprint: Arc<str>,
    },
    /// A token that Parapet gave to a workload without an issuer: a static key (NHI7).
    NativeToken {
        /// Its id, which says nothing about the token.
        id: Arc<str>,
    },
    /// A token that Parapet signed for a task.
    ParapetToken {
        /// Its `jti`.
        id: Arc<str>,
        /// Its task.
        task: TaskId,
        /// Must whoever shows it have its key? One that is not bound is the weakest form.
        bound: bool,
    },
}

impl Evidence {
    /// The issuer that trust rules name: the `iss`, `spiffe://` and a trust domain, or the word `certificate`. No rule can
    /// name native tokens.
    pub fn issuer(&self) -> &str {
        match self {
            Self::Oidc { issuer } => issuer,
            Self::ClientCertificate { .. } => "certificate",
            Self::JwtSvid { trust_domain } | Self::X509Svid { trust_domain, .. } => trust_domain,
            Self::NativeToken { .. } | Self::ParapetToken { .. } => "",
        }
    }
}

impl VerifiedAttestation {
    fn new(evidence: Evidence, claims: Claims, expires: Timestamp, sender: Sender) -> Self {
        Self { evidence, claims, expires: Some(expires), sender, given_to: None, provenance: None, issued: None }
    }

    /// The claims of a JWT whose signature, issuer, audience, algorithm and times the caller has verified. `claims` are
    /// its members that are text, numbers or booleans, as text; nested ones by their JSON pointer.
    pub fn by_signature(issuer: &str, claims: Claims, expires: Timestamp) -> Self {
        Self::new(Evidence::Oidc { issuer: issuer.into() }, claims, expires, Sender::Bearer)
    }

    /// The subject alternative names of a client certificate whose chain and possession TLS has verified, as claims
    /// `san:dns`, `san:uri` or `san:email`; `expires` is its `notAfter`.
    pub fn by_client_certificate(fingerprint: &str, claims: Claims, expires: Timestamp) -> Self {
        let evidence = Evidence::ClientCertificate { fingerprint: fingerprint.into() };
        Self::new(evidence, claims, expires, Sender::Bound)
    }

    /// The claims of a JWT-SVID whose signature by the bundle of `trust_domain` (`spiffe://…`), audience and times the
    /// caller has verified.
    pub fn by_jwt_svid(trust_domain: &str, claims: Claims, expires: Timestamp) -> Self {
        Self::new(Evidence::JwtSvid { trust_domain: trust_domain.into() }, claims, expires, Sender::Bearer)
    }

    /// An X.509-SVID whose chain to the bundle of its own trust domain, and possession, TLS has verified. `id` becomes the
    /// claim `sub`, as in a JWT-SVID.
    pub fn by_x509_svid(trust_domain: &str, fingerprint: &str, id: &str, expires: Timestamp) -> Self {
        let evidence = Evidence::X509Svid { trust_domain: trust_domain.into(), fingerprint: fingerprint.into() };
        Self::new(evidence, Claims::from([("sub".to_owned(), id.to_owned())]), expires, Sender::Bound)
    }

    /// A token of ours that the caller has found in force by its hash.
    pub fn by_native_token(id: &str, workload: Name, expires: Timestamp) -> Self {
        let evidence = Evidence::NativeToken { id: id.into() };
        Self { given_to: Some(workload), ..Self::new(evidence, Claims::new(), expires, Sender::Bearer) }
    }

    /// A token that Parapet signed for a task of `workload`, whose whole chain the caller has verified, and with `sender`
    /// how it is bound to who shows it.
    pub fn by_parapet_token(
        id: &str,
        workload: Name,
        task: Task,
        provenance: Provenance,
        expires: Timestamp,
        sender: Sender,
    ) -> Self {
        let evidence = Evidence::ParapetToken { id: id.into(), task: task.id(), bound: sender == Sender::Bound };
        let provenance = Some(Provenance { task: Some(Arc::new(task)), ..provenance });
        Self { given_to: Some(workload), provenance, ..Self::new(evidence, Claims::new(), expires, sender) }
    }

    /// The same attestation, whose binding to the connection's own key the caller has verified (RFC 8705, section 3).
    #[must_use]
    pub fn bound_to_sender(self) -> Self {
        Self { sender: Sender::Bound, ..self }
    }

    /// The same attestation, of which the caller has found out when it was issued: a certificate's `notBefore`.
    #[must_use]
    pub fn issued_at(self, issued: Timestamp) -> Self {
        Self { issued: Some(issued), ..self }
    }

    /// What sort of proof it is.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// The claims that were verified.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// When it ends.
    pub fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// Is it bound to who shows it?
    pub fn sender(&self) -> Sender {
        self.sender
    }
}

impl fmt::Debug for VerifiedAttestation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Claims can name people; they belong in the audit log, not in a debug line.
        f.debug_struct("VerifiedAttestation").field("evidence", &self.evidence).finish_non_exhaustive()
    }
}

/// The rule that came nearest, and what keeps it from matching: for the owner, never for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nearest {
    /// The rule's workload.
    pub workload: Name,
    /// What differs; never empty.
    pub differences: Vec<Difference>,
}

/// Why a verified attestation is not a workload that may connect. Strangers are told none of this; the log is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityRefusal {
    /// No trust rule matches.
    #[error("no trust rule matches the attestation of issuer `{issuer}`{}", told(.nearest.as_deref()))]
    NoRule {
        /// The issuer.
        issuer: Arc<str>,
        /// The issuer's rule for the claimed workload, or else the one that came nearest.
        nearest: Option<Box<Nearest>>,
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
    #[error("the attestation is of `{proven}`, but the client claims `{claimed}`{}", told(.nearest.as_deref()))]
    OtherName {
        /// Who it is.
        proven: Name,
        /// Who it says it is.
        claimed: String,
        /// What keeps the rule for the claimed workload from matching.
        nearest: Option<Box<Nearest>>,
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
    /// The token counts once, and has been shown before.
    #[error("the token was shown before, and its rule takes each token once")]
    Replayed,
    /// A signal revoked what was issued to the workload until then.
    #[error("what was issued to `{workload}` until {before} was revoked by a signal")]
    Revoked {
        /// Who it is.
        workload: Name,
        /// Until when.
        before: Timestamp,
    },
    /// Whether the token was shown before cannot be found out.
    #[error("whether the token was shown before cannot be found out")]
    Unspendable,
}

fn told(nearest: Option<&Nearest>) -> String {
    let Some(Nearest { workload, differences }) = nearest else { return String::new() };
    let said: Vec<String> = differences.iter().map(Difference::to_string).collect();
    format!("; the rule for `{workload}` does not: {}", said.join("; "))
}

/// A token that counts once: its issuer and its `jti`, until when it must be remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnceToken {
    /// Who issued it: a `jti` is unique for its issuer alone.
    pub issuer: Arc<str>,
    /// Its `jti`.
    pub id: String,
    /// The end of the token; it need not be remembered for longer.
    pub until: Timestamp,
}

impl OnceToken {
    /// SHA-256 over both, which is all that a store need keep.
    pub fn hash(&self) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        // The length comes first, so that no other pair makes the same text.
        context.update(&(self.issuer.len() as u64).to_be_bytes());
        context.update(self.issuer.as_bytes());
        context.update(self.id.as_bytes());
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        hash
    }
}

/// A workload that has proved who it is. Can only be made from a [`VerifiedAttestation`] that a trust rule binds, or by
/// counting one that was made so again: see [`Authenticated::resume`].
#[derive(Clone, Debug)]
pub struct Authenticated {
    workload: Name,
    evidence: Evidence,
    until: Option<Timestamp>,
    accepted: Arc<Claims>,
    once: Vec<OnceToken>,
    provenance: Option<Arc<Provenance>>,
    issued: Option<Timestamp>,
    task_life: Option<Duration>,
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

    /// The claims that were accepted, and those that say where it ran, for the audit log (standards §1.1).
    pub fn accepted(&self) -> &Claims {
        &self.accepted
    }

    /// The longest life of a token that its proof is exchanged for, as its trust rules say.
    pub fn task_life(&self) -> Option<Duration> {
        self.task_life
    }

    /// From what run it comes, and for what task; none where nothing is known of it.
    pub fn provenance(&self) -> Option<&Arc<Provenance>> {
        self.provenance.as_ref()
    }

    /// The task that narrows what it may do.
    pub fn task(&self) -> Option<&Arc<Task>> {
        self.provenance.as_ref()?.task.as_ref()
    }

    /// When the proof was issued; none where it does not say.
    pub fn issued(&self) -> Option<Timestamp> {
        self.issued
    }

    /// From when it counts where proofs are revoked by age: when it was issued, or for ever for what is revoked by its own
    /// store. None where it does not say, which counts as old.
    pub fn counts_from(&self) -> Option<Timestamp> {
        match self.evidence {
            Evidence::NativeToken { .. } => Some(Timestamp::from_millis(i64::MAX)),
            Evidence::Oidc { .. }
            | Evidence::ClientCertificate { .. }
            | Evidence::JwtSvid { .. }
            | Evidence::X509Svid { .. }
            | Evidence::ParapetToken { .. } => self.issued,
        }
    }

    /// Was the proof issued at or before `before`? One that does not say counts as old.
    pub fn is_issued_before(&self, before: Timestamp) -> bool {
        self.counts_from().is_none_or(|from| from <= before)
    }

    /// The tokens that must be spent before the session begins.
    pub fn once(&self) -> &[OnceToken] {
        &self.once
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
        let once = self.once.iter().chain(&other.once).cloned().collect();
        if self.task().is_some() && other.task().is_some() && self.task() != other.task() {
            return Err(IdentityRefusal::Disagreement { first: self.workload, second: other.workload.clone() });
        }
        // A task shown with either narrows both.
        let provenance = match (&self.provenance, &other.provenance) {
            (Some(own), Some(others)) if own.task.is_none() && others.task.is_some() => other.provenance.clone(),
            (None, Some(_)) => other.provenance.clone(),
            (Some(_), _) | (None, None) => self.provenance.clone(),
        };
        // A certificate that only binds a token may be old; what counts is the newer of both.
        let issued = self.issued.max(other.issued);
        Ok(Self { until, once, provenance, issued, ..self })
    }
}

/// Claims that no rule needs to bind, and that say afterwards which run, job, pod or person it was (standards §1.1).
const RECORDED: [&str; 30] = [
    "sub",
    "jti",
    "repository",
    "ref",
    "sha",
    "event_name",
    "environment",
    "workflow_ref",
    "job_workflow_ref",
    "job_workflow_sha",
    "run_id",
    "run_attempt",
    "check_run_id",
    "actor_id",
    "head_ref",
    "base_ref",
    "repository_visibility",
    "runner_environment",
    "pipeline_id",
    "pipeline_source",
    "job_id",
    "runner_id",
    "user_id",
    "project_path",
    "email",
    "xms_az_rid",
    "/kubernetes.io/namespace",
    "/kubernetes.io/serviceaccount/name",
    "/kubernetes.io/pod/name",
    "/kubernetes.io/pod/uid",
];

/// By claim and value, the places of rules.
type ByClaim = BTreeMap<String, BTreeMap<String, Vec<usize>>>;

/// Every trust rule, found by issuer and by a claim that tells the issuer's rules apart.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    rules: Vec<TrustRule>,
    /// By issuer, claim and value: the places of the rules that want it. Each rule stands under one of its claims, that
    /// which the fewest other rules want too, so that ten thousand rules cost a look-up and not a walk.
    index: BTreeMap<Arc<str>, ByClaim>,
}

impl Trust {
    /// The rules as configured.
    pub fn new(rules: Vec<TrustRule>) -> Self {
        let mut wanted: BTreeMap<(&str, &str, &str), usize> = BTreeMap::new();
        for rule in &rules {
            for (claim, value) in &rule.claims {
                *wanted.entry((&rule.issuer, claim, value)).or_default() += 1;
            }
        }
        let mut index: BTreeMap<Arc<str>, ByClaim> = BTreeMap::new();
        for (place, rule) in rules.iter().enumerate() {
            let rarest =
                rule.claims.iter().min_by_key(|(claim, value)| wanted.get(&(&*rule.issuer, claim, value)).copied());
            // A rule without claims matches nothing, and stands nowhere.
            if let Some((claim, value)) = rarest {
                let of_issuer = index.entry(Arc::clone(&rule.issuer)).or_default();
                of_issuer.entry(claim.clone()).or_default().entry(value.clone()).or_default().push(place);
            }
        }
        Self { rules, index }
    }

    /// The rules.
    pub fn rules(&self) -> &[TrustRule] {
        &self.rules
    }

    /// The rules that match the attestation.
    pub fn matching<'t>(&'t self, attestation: &'t VerifiedAttestation) -> impl Iterator<Item = &'t TrustRule> {
        let claims = &attestation.claims;
        let of_issuer = self.index.get(attestation.evidence.issuer());
        let places = of_issuer.into_iter().flatten().filter_map(|(claim, values)| values.get(claims.get(claim)?));
        let rules = places.flatten().filter_map(|place| self.rules.get(*place));
        rules.filter(|rule| rule.matches(claims, attestation.sender))
    }

    /// What each rule of an issuer makes of claims: no differences, or each of them. For the owner of a token in hand.
    pub fn compare(&self, issuer: &str, claims: &Claims, sender: Sender) -> Vec<(&TrustRule, Vec<Difference>)> {
        let of_issuer = self.rules.iter().filter(|rule| *rule.issuer == *issuer);
        of_issuer.map(|rule| (rule, rule.differences(claims, sender))).collect()
    }

    /// The rule of the same issuer for the claimed workload, or else that with the fewest differences.
    fn nearest(&self, attestation: &VerifiedAttestation, claimed: Option<&str>) -> Option<Box<Nearest>> {
        let compared = self.compare(attestation.evidence.issuer(), &attestation.claims, attestation.sender);
        let differing = compared.into_iter().filter(|(_, differences)| !differences.is_empty());
        let near =
            differing.min_by_key(|(rule, differences)| (claimed != Some(rule.workload.as_str()), differences.len()))?;
        Some(Box::new(Nearest { workload: near.0.workload.clone(), differences: near.1 }))
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
        let (proven, matched) = self.proven(attestation, claimed)?;
        let workload = find(&proven).ok_or_else(|| IdentityRefusal::Unregistered { workload: proven.clone() })?;
        if let Some(claimed) = claimed
            && claimed != workload.name.as_str()
        {
            let nearest = self.nearest(attestation, Some(claimed)).filter(|near| near.workload.as_str() == claimed);
            let claimed = rule::shortened(claimed);
            return Err(IdentityRefusal::OtherName { proven: workload.name.clone(), claimed, nearest });
        }
        match workload.standing(now) {
            Standing::Good => Ok(Authenticated {
                workload: workload.name.clone(),
                evidence: attestation.evidence.clone(),
                until: match (attestation.expires, workload.expires) {
                    (Some(one), Some(two)) => Some(one.min(two)),
                    (one, two) => one.or(two),
                },
                accepted: Arc::new(accepted(attestation, &matched)),
                once: once(attestation, &matched).into_iter().collect(),
                provenance: provenance(attestation),
                task_life: matched.iter().filter_map(|rule| rule.terms.task_life).min(),
                issued: issued(attestation),
            }),
            standing => Err(IdentityRefusal::Standing { workload: workload.name.clone(), standing }),
        }
    }

    /// The workload that an attestation is of, and every rule that says so.
    fn proven<'t>(
        &'t self,
        attestation: &'t VerifiedAttestation,
        claimed: Option<&str>,
    ) -> Result<(Name, Vec<&'t TrustRule>), IdentityRefusal> {
        if let Some(workload) = &attestation.given_to {
            return Ok((workload.clone(), Vec::new()));
        }
        let matched: Vec<&TrustRule> = self.matching(attestation).collect();
        let Some(first) = matched.first() else {
            let issuer = attestation.evidence.issuer().into();
            return Err(IdentityRefusal::NoRule { issuer, nearest: self.nearest(attestation, claimed) });
        };
        if let Some(second) = matched.iter().find(|other| other.workload != first.workload) {
            let (first, second) = (first.workload.clone(), second.workload.clone());
            return Err(IdentityRefusal::Ambiguous { first, second });
        }
        Ok((first.workload.clone(), matched))
    }
}

/// What the rules wanted, and what tells runs apart.
fn accepted(attestation: &VerifiedAttestation, matched: &[&TrustRule]) -> Claims {
    let bound = matched.iter().flat_map(|rule| rule.claims.keys().map(String::as_str));
    let names = bound.chain(RECORDED);
    let value = |name: &str| Some((name.to_owned(), rule::shortened(attestation.claims.get(name)?)));
    names.filter_map(value).collect()
}

/// When an attestation was issued: a token of ours with its task, a certificate by its `notBefore`, another token by its `iat`.
fn issued(attestation: &VerifiedAttestation) -> Option<Timestamp> {
    match &attestation.evidence {
        Evidence::ParapetToken { task, .. } => Some(task.at()),
        Evidence::Oidc { .. }
        | Evidence::ClientCertificate { .. }
        | Evidence::JwtSvid { .. }
        | Evidence::X509Svid { .. }
        | Evidence::NativeToken { .. } => {
            let claimed = attestation.claims.get("iat").and_then(|seconds| seconds.parse().ok());
            attestation.issued.or(claimed.map(Timestamp::from_secs))
        }
    }
}

/// From what run it comes: as a Parapet token says, which had it from an attestation, or as the attestation's claims do.
fn provenance(attestation: &VerifiedAttestation) -> Option<Arc<Provenance>> {
    let known = match &attestation.provenance {
        Some(provenance) => provenance.clone(),
        None => Provenance::of_claims(&attestation.claims),
    };
    (!known.is_empty()).then(|| Arc::new(known))
}

/// The token to be spent, if a rule takes each token once. That it has a `jti` is one of the rule's terms.
fn once(attestation: &VerifiedAttestation, matched: &[&TrustRule]) -> Option<OnceToken> {
    let wanted = matched.iter().any(|rule| rule.terms.once);
    let (id, until) = (attestation.claims.get("jti")?.clone(), attestation.expires?);
    wanted.then(|| OnceToken { issuer: attestation.evidence.issuer().into(), id, until })
}

#[cfg(test)]
mod tests;
